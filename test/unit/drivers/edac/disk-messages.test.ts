// What the kernel's log says of disks and file systems: lines as kernels print them, captured ones, and nonsense.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { FakeKmsg } from '../../../../drivers/edac/fake.ts';
import { hardwareMessage, openKernelLog } from '../../../../drivers/edac/index.ts';

const CASES_MIN = 10_000;

function said(text: string): string | null {
  const message = hardwareMessage(text);
  if (message?.kind === 'diskError') return `${message.operation} ${message.disk}${message.isEcho ? ' (echo)' : ''}`;
  return message?.kind === 'fileSystem' ? `file system ${message.device}` : null;
}

t.test('requests that failed', async (t) => {
  for (const [text, expected] of [
    ['I/O error, dev sdb, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2', 'read /dev/sdb'],
    ['blk_update_request: I/O error, dev sda, sector 512 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 0', 'write /dev/sda'],
    ['print_req_error: I/O error, dev sda, sector 512', 'read /dev/sda'],
    ['critical medium error, dev nvme0n1, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0', 'read /dev/nvme0n1'],
    ['critical target error, dev sdaa, sector 9 op 0x9:(WRITE_ZEROES) flags 0x800 phys_seg 0 prio class 2', 'write /dev/sdaa'],
    ['I/O error, dev sdc, sector 0 op 0x1:(WRITE) flags 0x800 phys_seg 0 prio class 2', 'write /dev/sdc'],
    ['I/O error, dev sdc, sector 0 op 0x2:(FLUSH) flags 0x800 phys_seg 0 prio class 2', 'write /dev/sdc'],
    ['I/O error, dev nvme0n1p2, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2', 'read /dev/nvme0n1'],
    ['I/O error, dev mmcblk0p1, sector 8 op 0x0:(READ) flags 0x0', 'read /dev/mmcblk0'],
    ['nvme0n1: Read(0x2) @ LBA 0, 8 blocks, Unrecovered Read Error (sct 0x2 / sc 0x81) DNR ', 'read /dev/nvme0n1 (echo)'],
    ['nvme0c0n1: I/O Cmd(0x1) @ LBA 64, 8 blocks, I/O Error (sct 0x2 / sc 0x80) MORE DNR ', 'write /dev/nvme0n1 (echo)'],
    ['Buffer I/O error on dev sda1, logical block 5, async page read', 'read /dev/sda (echo)'],
    ['Buffer I/O error on dev sda1, logical block 5, lost async page write', 'write /dev/sda (echo)'],
    // Nothing is lost, or it is no disk of this server.
    ['I/O error, dev sda, sector 8 op 0x3:(DISCARD) flags 0x0 phys_seg 1 prio class 2', null],
    ['operation not supported error, dev sda, sector 8 op 0x9:(WRITE_ZEROES) flags 0x800', null],
    ['critical space allocation error, dev sda, sector 8 op 0x1:(WRITE) flags 0x0', null],
    ['nvme0n1: Dataset Management(0x9) @ LBA 0, 8 blocks, Invalid Field in Command (sct 0x0 / sc 0x2) DNR ', null],
    ['I/O error, dev loop0, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2', null],
    ['I/O error, dev nbd3, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2', null],
    ['I/O error, dev sr0, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2', null],
    ['I/O error, dev dm-0, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2', null],
    ['sd 2:0:0:0: [sda] Attached SCSI disk', null],
    ['I/O error, dev', null],
  ] as const)
    t.equal(said(text), expected, text);
});

t.test('file systems', async (t) => {
  for (const [text, expected] of [
    ['EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0', 'file system /dev/sda1'],
    ['EXT4-fs (nvme0n1p2): Remounting filesystem read-only', 'file system /dev/nvme0n1p2'],
    ['EXT4-fs (dm-0): I/O error while writing superblock', 'file system /dev/dm-0'],
    ['Aborting journal on device sda1-8.', 'file system /dev/sda1'],
    ['Aborting journal on device dm-0-8.', 'file system /dev/dm-0'],
    ['XFS (sda3): log I/O error -5', 'file system /dev/sda3'],
    ['XFS (sda3): Filesystem has been shut down due to log error (0x2).', null],
    ['XFS (sda3): Corruption of in-memory data (0x8) detected at xfs_trans_cancel. Shutting down filesystem.', 'file system /dev/sda3'],
    ['BTRFS error (device sda2: state EA): bdev /dev/sda2 errs: wr 1, rd 0, flush 0, corrupt 0, gen 0', 'file system /dev/sda2'],
    ['BTRFS info (device sda2 state E): forced readonly', 'file system /dev/sda2'],
    ['EXT4-fs (sda1): mounted filesystem 1b2c r/w with ordered data mode. Quota mode: none.', null],
    ['EXT4-fs error (device loop7): ext4_lookup:1', null],
    ['BTRFS info (device sda2): using crc32c', null],
  ] as const)
    t.equal(said(text), expected, text);
});

t.test('the log of a machine whose disks failed', async (t) => {
  const file = join(import.meta.dirname, '../../../../drivers/edac/testdata/qemu-q35/disk-errors.txt');
  const kinds = readFileSync(file, 'utf8')
    .split('\n')
    .map(said)
    .filter((x) => x !== null);
  const count = (kind: string) => kinds.filter((x) => x === kind).length;
  t.ok(count('read /dev/sda') > 0);
  t.ok(count('read /dev/nvme0n1') > 0);
  t.ok(count('write /dev/sda') > 0);
  t.strictSame(
    [...new Set(kinds)].filter((x) => !/ \/dev\/(sda|nvme0n1)/.test(x)),
    [],
    'nothing else',
  );
});

t.test('read beside machine checks', async (t) => {
  const kmsg = new FakeKmsg();
  const log = await openKernelLog({ from: 'now', open: () => kmsg });
  kmsg.print('I/O error, dev sda, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2', 3);
  kmsg.print('EXT4-fs (sda1): Remounting filesystem read-only', 2);
  t.match(log.poll(), {
    checks: [],
    disks: [{ disk: '/dev/sda', operation: 'read', isEcho: false, text: /sector 8/ }],
    fileSystems: [{ device: '/dev/sda1', text: /Remounting/ }],
  });
});

t.test('whatever the kernel prints: a message, or none', async () => {
  const piece = fc.constantFrom(
    'I/O error, dev ',
    'critical medium error, dev ',
    'blk_update_request: ',
    'sda',
    'nvme0n1p1',
    '!'.repeat(40),
    ', sector 8',
    ' op 0x0:(READ)',
    ' op 0x1:(constructor)',
    ' op 0x1:(CONSTRUCTOR)',
    'nvme0n1: ',
    '(0x2) @ LBA 0, 8 blocks, ',
    ' (sct 0x',
    'Buffer I/O error on dev ',
    ', logical block 5',
    'EXT4-fs error (device ',
    '): ',
    'Aborting journal on device ',
    '-8.',
    'XFS (',
    'BTRFS info (device ',
    'forced readonly',
  );
  const line = fc.array(fc.oneof(piece, fc.string({ maxLength: 8 })), { maxLength: 10 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(line, (text) => {
      const message = hardwareMessage(text);
      if (message?.kind === 'diskError') return /^\/dev\/[a-z0-9]{2,16}$/.test(message.disk) && message.text.length <= 200;
      return message?.kind !== 'fileSystem' || message.device.startsWith('/dev/');
    }),
    { numRuns: CASES_MIN },
  );
});
