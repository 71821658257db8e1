import { zstdCompressSync } from 'node:zlib';
import t from 'tap';
import { elfKernel } from '../../../../hwqual/lab/guest/kernel-image.ts';

function bzImage(payload: Buffer): Buffer {
  const setup = Buffer.alloc(2 * 512);
  setup.writeUInt8(1, 0x1f1);
  setup.write('HdrS', 0x202, 'latin1');
  setup.writeUInt32LE(64, 0x248);
  setup.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([setup, Buffer.alloc(64), payload]);
}

function packed(elf: Buffer, extra: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(elf.length);
  return Buffer.concat([zstdCompressSync(Buffer.concat([elf, extra])), length]);
}

const ELF = Buffer.concat([Buffer.from([0x7f, 0x45, 0x4c, 0x46]), Buffer.alloc(996, 7)]);

t.test('the ELF file inside', async (t) => {
  t.same(elfKernel(bzImage(packed(ELF, Buffer.alloc(0)))), ELF);
  t.same(elfKernel(bzImage(packed(ELF, Buffer.alloc(12, 1)))), ELF, 'relocations after it are left out');
});

t.test('other packing is not an error', async (t) => {
  t.equal(elfKernel(bzImage(Buffer.alloc(100, 0x1f))), null);
  t.equal(elfKernel(bzImage(packed(Buffer.alloc(64, 1), Buffer.alloc(0)))), null, 'not an ELF file');
});

t.test('damaged images are refused', async (t) => {
  t.throws(() => elfKernel(Buffer.alloc(2000)), /not a Linux kernel/);
  t.throws(() => elfKernel(Buffer.from('short')), /not a Linux kernel/);
  const cut = bzImage(packed(ELF, Buffer.alloc(0))).subarray(0, 1100);
  t.throws(() => elfKernel(cut), /outside the file/);
});
