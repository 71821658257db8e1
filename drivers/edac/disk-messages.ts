// What the kernel's log says of disks and file systems. Pure.
//
// Sources, of the kernel: blk_print_req_error and blk_errors in block/blk-core.c ("I/O error, dev sdb, sector 2048 op 0x0:(READ) flags ...";
// before 5.16 with "blk_update_request: " or "print_req_error: " in front), nvme_log_error in drivers/nvme/host/core.c, buffer_io_error and
// end_buffer_async_write in fs/buffer.c, __ext4_error and ext4_handle_error in fs/ext4/super.c, jbd2_journal_abort in fs/jbd2/journal.c,
// xfs_printk in fs/xfs/xfs_message.c, btrfs_printk in fs/btrfs/messages.c.
import { printable } from './codec.ts';
import type { DiskErrorReading, FileSystemReading } from './types.ts';

export type DiskMessage = ({ kind: 'diskError' } & DiskErrorReading) | ({ kind: 'fileSystem' } & FileSystemReading);

/** Not among them: what the disk does not know how to do, or has no room for, or was asked for in the wrong way. */
const REQUEST =
  /^(?:(?:blk_update_request|print_req_error): )?(?:critical medium|critical target|recoverable transport|device offline|protection|timeout|duration limit exceeded|I\/O) error, dev ([\w!-]{1,32}), sector \d{1,20}(?: op 0x[0-9a-f]{1,4}:\(([A-Z_]{1,20})\))?/;
const NVME = /^(nvme\d{1,4})(?:c\d{1,4})?(n\d{1,4}): .{1,60}?\(0x([0-9a-f]{1,2})\) @ LBA \d{1,20}, \d{1,10} blocks, .{1,80}? \(sct 0x/;
const BUFFER = /^Buffer I\/O error on dev(?:ice)? ([\w!-]{1,32}), logical block \d{1,20}(, lost )?/;
const REAL_DISK = /^(?:sd[a-z]{1,4}|hd[a-z]|vd[a-z]{1,3}|xvd[a-z]{1,3}|nvme\d{1,4}n\d{1,4}|mmcblk\d{1,3})$/;
/** Discards and the rest lose nothing. */
const OPERATIONS: Readonly<Record<string, DiskErrorReading['operation']>> = {
  READ: 'read',
  WRITE: 'write',
  FLUSH: 'write',
  WRITE_ZEROES: 'write',
  WRITE_SAME: 'write',
  ZONE_APPEND: 'write',
};
/** NVM Express base and NVM command set specifications: flush, write, read, write zeroes. */
const NVME_OPERATIONS: Readonly<Record<string, DiskErrorReading['operation']>> = { '0': 'write', '1': 'write', '2': 'read', '8': 'write' };

const FILE_SYSTEMS: readonly RegExp[] = [
  /^EXT[234]-fs error \(device ([\w!-]{1,32})\): /,
  /^EXT[234]-fs \(([\w!-]{1,32})\): (?:Remounting filesystem read-only|I\/O error while writing superblock|Delayed block allocation failed)/,
  /^Aborting journal on device ([\w!-]{1,32}?)(?:-\d{1,10})?\.$/,
  /^XFS \(([\w!-]{1,32})\): .{0,120}(?:[Ss]hutting down|[Cc]orruption|metadata I\/O error|log I\/O error)/,
  /^BTRFS (?:error|critical) \(device ([\w!-]{1,32})/,
  /^BTRFS info \(device ([\w!-]{1,32})[^)]{0,40}\)(?:[^:]{0,120})?: forced readonly/,
];
/** Never part of this server: a file, memory, or another machine behind it. */
const NO_DISK = /^(?:loop|ram|zram|nbd|sr|fd)\d/;
const TEXT_MAX_CHARS = 200;

/** Null: nothing about a disk of this server, or nothing that was lost. Never throws. */
export function diskMessage(text: string): DiskMessage | null {
  const said = printable(text, TEXT_MAX_CHARS);
  const [, device, operation] = REQUEST.exec(text) ?? [];
  // Kernels before 4.20 do not tell what was asked for: the milder one.
  if (device !== undefined) return failed(device, operation === undefined ? 'read' : OPERATIONS[operation], false, said);
  const [, controller, space, code] = NVME.exec(text) ?? [];
  if (controller !== undefined && space !== undefined && code !== undefined)
    return failed(controller + space, NVME_OPERATIONS[code.replace(/^0(?=.)/, '')], true, said);
  const [, buffered, lost] = BUFFER.exec(text) ?? [];
  if (buffered !== undefined) return failed(buffered, lost === undefined ? 'read' : 'write', true, said);
  for (const pattern of FILE_SYSTEMS) {
    const [, name] = pattern.exec(text) ?? [];
    if (name !== undefined && !NO_DISK.test(name)) return { kind: 'fileSystem', device: path(name), text: said };
  }
  return null;
}

function failed(device: string, operation: DiskErrorReading['operation'] | undefined, isEcho: boolean, text: string): DiskMessage | null {
  const disk = wholeDisk(device);
  return operation === undefined || disk === null ? null : { kind: 'diskError', disk, operation, isEcho, text };
}

/** "sda1" is on "/dev/sda". Null: what is made of other disks, which have lines of their own. */
function wholeDisk(device: string): string | null {
  const [, name = ''] =
    /^((?:[shv]d|xvd)[a-z]{1,4})\d{0,4}$/.exec(device) ?? /^((?:nvme\d{1,4}n|mmcblk)\d{1,4})(?:p\d{1,4})?$/.exec(device) ?? [];
  return REAL_DISK.test(name) ? path(name) : null;
}

/** The kernel has "!" for "/" in names. */
const path = (name: string): string => `/dev/${name.replaceAll('!', '/')}`;
