import { createHash } from 'node:crypto';
import t from 'tap';
import { type FatFile, fatFileSystem } from '../../../../image/disk/fat.ts';
import { decodeGpt, encodeGpt, SECTOR_BYTES } from '../../../../image/disk/gpt.ts';
import { diskLayout } from '../../../../image/disk/layout.ts';
import { addSections, readSections } from '../../../../image/disk/uki.ts';
import { BLOCK_BYTES, hashTree } from '../../../../image/disk/verity.ts';

t.test('the layout: partitions at whole MiB, behind one another, the table reads back as it was written', async (t) => {
  const { diskSectors, diskId, esp, slots } = diskLayout();
  const partitions = [esp, slots.a, slots.b];
  for (const p of partitions) t.equal((p.firstSector * SECTOR_BYTES) % (1 << 20), 0, p.name);
  t.equal(slots.a.sectors, slots.b.sectors);
  t.equal(new Set(partitions.map((p) => p.id)).size, 3);
  const { front, back } = encodeGpt(partitions, diskId, diskSectors);
  t.strictSame(decodeGpt(front), { diskId, partitions });
  t.equal(back.readBigUInt64LE(back.length - SECTOR_BYTES + 24), BigInt(diskSectors - 1), 'the header at the end knows where it is');
  t.equal(front.readUInt16LE(510), 0xaa55);
  t.equal(front.toString('hex', 1024, 1040), '28732ac11ff8d211ba4b00a0c93ec93b', 'a GUID as the specification has it');
});

t.test('a damaged table and partitions that overlap are refused', async (t) => {
  const { diskSectors, diskId, esp, slots } = diskLayout();
  const { front } = encodeGpt([esp], diskId, diskSectors);
  for (const [at, complaint] of [
    [512, /no GPT/],
    [560, /header's checksum/],
    [1100, /entries' checksum/],
  ] as const) {
    const damaged = Buffer.from(front);
    damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
    t.throws(() => decodeGpt(damaged), { message: complaint });
  }
  t.throws(() => encodeGpt([slots.a, esp], diskId, diskSectors), { message: /twinstep-esp .* does not fit/ });
  t.throws(() => encodeGpt([{ ...esp, sectors: diskSectors }], diskId, diskSectors), { message: /does not fit/ });
});

t.test("dm-verity's tree: one digest a block, the root hash above all of them", async (t) => {
  const salt = '5a'.repeat(32);
  const digest = (block: Buffer) => createHash('sha256').update(Buffer.from(salt, 'hex')).update(block).digest();
  const data = Buffer.alloc(130 * BLOCK_BYTES);
  for (let i = 0; i < 130; i++) data.writeUInt32LE(i, i * BLOCK_BYTES);
  const { tree, rootHash, dataBlocks } = hashTree(data, salt);
  t.equal(dataBlocks, 130);
  t.equal(tree.length, 3 * BLOCK_BYTES, 'one block of digests of the two that 130 digests need');
  t.equal(rootHash, digest(tree.subarray(0, BLOCK_BYTES)).toString('hex'));
  t.ok(tree.subarray(0, 32).equals(digest(tree.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES))));
  t.ok(tree.subarray(2 * BLOCK_BYTES + 32, 2 * BLOCK_BYTES + 64).equals(digest(data.subarray(129 * BLOCK_BYTES))));
  data.writeUInt8(data.readUInt8(5) ^ 1, 5);
  t.not(hashTree(data, salt).rootHash, rootHash);
  t.throws(() => hashTree(data.subarray(1), salt), { message: /whole blocks/ });
});

/** The smallest PE32+ that has what is looked at: a header of 1024 bytes, one section. */
function stub(): Buffer {
  const b = Buffer.alloc(1536);
  b.writeUInt32LE(0x40, 0x3c);
  b.write('PE\0\0', 0x40, 'latin1');
  b.writeUInt16LE(1, 0x46);
  b.writeUInt16LE(0xf0, 0x54);
  const optional = 0x58;
  b.writeUInt16LE(0x20b, optional);
  for (const [at, value] of [
    [32, 4096],
    [36, 512],
    [60, 1024],
    [64, 99],
  ] as const)
    b.writeUInt32LE(value, optional + at);
  const section = optional + 0xf0;
  b.write('.text', section, 'latin1');
  for (const [at, value] of [
    [8, 300],
    [12, 4096],
    [16, 512],
    [20, 1024],
  ] as const)
    b.writeUInt32LE(value, section + at);
  b.write('code', 1024, 'latin1');
  return b;
}

t.test('sections are added behind those of the stub, aligned in file and memory', async (t) => {
  const added = [
    { name: '.cmdline', data: Buffer.from('a b c') },
    { name: '.linux', data: Buffer.alloc(5000, 7) },
  ];
  const uki = addSections(stub(), added);
  t.strictSame(
    readSections(uki).map(({ name }) => name),
    ['.text', '.cmdline', '.linux'],
  );
  t.strictSame(readSections(uki).slice(1), added);
  const table = 0x58 + 0xf0;
  t.strictSame(
    [0, 1, 2].map((i) => uki.readUInt32LE(table + i * 40 + 12)),
    [4096, 8192, 12288],
    'addresses',
  );
  t.equal(uki.readUInt32LE(0x58 + 56), 20480, 'size in memory');
  t.equal(uki.length % 512, 0);
  t.equal(uki.readUInt32LE(0x58 + 64), 0, 'no checksum rather than a wrong one');
  t.throws(() => addSections(Buffer.alloc(512), added), { message: /not a PE32/ });
  const many = Array.from({ length: 20 }, (_, i) => ({ name: `.s${i}`, data: Buffer.from('x') }));
  t.throws(() => addSections(stub(), many), { message: /no room for 20/ });
});

/** Reads one file back, by its long name, as anybody who knows FAT32 does. */
function readFat(volume: Buffer, path: string): Buffer | null {
  const fatAt = volume.readUInt16LE(14) * SECTOR_BYTES;
  const unitBytes = volume.readUInt8(13) * SECTOR_BYTES;
  const dataAt = fatAt + volume.readUInt8(16) * volume.readUInt32LE(36) * SECTOR_BYTES;
  const chain = (first: number): Buffer => {
    const parts: Buffer[] = [];
    for (let c = first; c < 0x0ffffff8; c = volume.readUInt32LE(fatAt + c * 4)) {
      const at = dataAt + (c - 2) * unitBytes;
      parts.push(volume.subarray(at, at + unitBytes));
    }
    return Buffer.concat(parts);
  };
  let content = chain(volume.readUInt32LE(44));
  for (const wanted of path.split('/')) {
    let long = '';
    let found: Buffer | null = null;
    for (let at = 0; at < content.length && content.readUInt8(at) !== 0; at += 32) {
      const e = content.subarray(at, at + 32);
      if (e.readUInt8(11) === 0x0f) {
        const units = [...Array(5).keys()]
          .map((i) => 1 + 2 * i)
          .concat(
            [...Array(6).keys()].map((i) => 14 + 2 * i),
            [28, 30],
          );
        long =
          units
            .map((u) => e.readUInt16LE(u))
            .filter((u) => u !== 0 && u !== 0xffff)
            .map((u) => String.fromCharCode(u))
            .join('') + long;
        continue;
      }
      const sum = e.subarray(0, 11).reduce((c, byte) => (((c & 1) << 7) + (c >> 1) + byte) & 0xff, 0);
      // A long name whose checksum is not that of the short one behind it belongs to a file that is gone.
      if (long === wanted && content.readUInt8(at - 32 + 13) === sum) {
        const body = chain((e.readUInt16LE(20) << 16) | e.readUInt16LE(26));
        found = e.readUInt8(11) & 0x10 ? body : body.subarray(0, e.readUInt32LE(28));
      }
      long = '';
    }
    if (found === null) return null;
    content = found;
  }
  return content;
}

t.test('the EFI system partition: files under their long names, the same bytes each time', async (t) => {
  const files: FatFile[] = [
    { path: 'EFI/BOOT/BOOTX64.EFI', data: Buffer.alloc(5000, 1) },
    { path: 'EFI/Linux/twinstep_0.1.0.efi', data: Buffer.alloc(2048, 2) },
    { path: 'EFI/Linux/twinstep_0.2.0+3.efi', data: Buffer.alloc(1, 3) },
    { path: 'loader/loader.conf', data: Buffer.from('timeout 0\n') },
  ];
  const bytes = 160 << 20;
  const write = () => {
    const volume = Buffer.alloc(bytes);
    for (const { offset, data } of fatFileSystem(files, bytes, { volumeId: 1, label: 'TWINSTEP' })) data.copy(volume, offset);
    return volume;
  };
  const volume = write();
  for (const { path, data } of files) t.ok(readFat(volume, path)?.equals(data), path);
  t.equal(readFat(volume, 'EFI/Linux/other.efi'), null);
  t.ok(volume.equals(write()));
  t.throws(() => fatFileSystem(files, 16 << 20, { volumeId: 1, label: 'T' }), { message: /too few for FAT32/ });
  const large = [{ path: 'x', data: Buffer.alloc(bytes) }];
  t.throws(() => fatFileSystem(large, bytes, { volumeId: 1, label: 'T' }), { message: /do not fit/ });
});
