import t from 'tap';
import { fileSystemOf, partitionAt, SUPERBLOCK_BYTES, TABLE_BYTES } from '../../../../../appliance/console/cli/disk-layout.ts';
import { nbdUri, progressOf } from '../../../../../appliance/console/cli/point-export.ts';

t.test('partitions of an MBR and of a GPT; no table; not in the table', async (t) => {
  const mbr = Buffer.alloc(TABLE_BYTES);
  t.equal(partitionAt(mbr, 1), undefined);
  mbr.writeUInt16LE(0xaa55, 510);
  mbr.writeUInt8(0x83, 446 + 16 + 4);
  mbr.writeUInt32LE(2048, 446 + 16 + 8);
  mbr.writeUInt32LE(100, 446 + 16 + 12);
  t.equal(partitionAt(mbr, 1), null);
  t.same(partitionAt(mbr, 2), { offset: 2048 * 512, length: 100 * 512 });
  t.equal(partitionAt(mbr, 5), null);
  const gpt = Buffer.alloc(TABLE_BYTES);
  gpt.writeUInt16LE(0xaa55, 510);
  gpt.writeUInt8(0xee, 450);
  t.equal(partitionAt(gpt, 1), undefined, 'no header behind it');
  gpt.write('EFI PART', 512, 'latin1');
  gpt.writeBigUInt64LE(2n, 512 + 72);
  gpt.writeUInt32LE(128, 512 + 80);
  gpt.writeUInt32LE(128, 512 + 84);
  gpt.writeUInt8(1, 1024 + 128);
  gpt.writeBigUInt64LE(4096n, 1024 + 128 + 32);
  gpt.writeBigUInt64LE(8191n, 1024 + 128 + 40);
  t.equal(partitionAt(gpt, 1), null);
  t.same(partitionAt(gpt, 2), { offset: 4096 * 512, length: 4096 * 512 });
  t.equal(partitionAt(gpt, 128), null);
  gpt.writeUInt32LE(0xffffffff, 512 + 84);
  t.equal(partitionAt(gpt, 2), null, 'entries of an absurd size');
});

t.test('file systems, each with how it is read: with its log, without obeying what the guest put there', async (t) => {
  const start = Buffer.alloc(SUPERBLOCK_BYTES);
  t.equal(fileSystemOf(start), null);
  start.writeUInt16LE(0xef53, 0x438);
  t.same(fileSystemOf(start), { type: 'ext4', options: 'ro,nodev,nosuid' });
  const xfs = Buffer.alloc(SUPERBLOCK_BYTES);
  xfs.write('XFSB', 0, 'latin1');
  t.same(fileSystemOf(xfs), { type: 'xfs', options: 'ro,nodev,nosuid,nouuid' });
  t.equal(fileSystemOf(Buffer.alloc(10)), null, 'a disk that ends at once');
});

t.test("qemu-img's progress and the address of an export", async (t) => {
  t.equal(progressOf('    (0.00/100%)\r    (12.50/100%)\r'), 0.125);
  t.equal(progressOf('nothing'), null);
  t.equal(nbdUri('/run/a b.sock', 'point-x'), 'nbd+unix:///point-x?socket=%2Frun%2Fa%20b.sock');
});
