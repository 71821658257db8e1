// What a block device says of itself that another in its place would not: its worldwide name, its serial number, the uuid of what maps it.
// Names like /dev/sdb say nothing: they are given in the order of finding.
import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** In a disk's folder of /sys, the first that is there and not empty. nvme, scsi, device mapper, md, virtio, nvme's and mmc's controller. */
const NAMES = ['wwid', 'device/wwid', 'dm/uuid', 'md/uuid', 'serial', 'device/serial'];

/**
 * A text that stays the same over restarts; a partition's with its number and start. Null: this device has no name of its own.
 * @param rdev Of the device's stat.
 */
export async function deviceIdentity(rdev: { major: number; minor: number }, sys = '/sys'): Promise<string | null> {
  const found = await realpath(join(sys, 'dev/block', `${rdev.major}:${rdev.minor}`)).catch(() => null);
  if (found === null) return null;
  const partition = await line(join(found, 'partition'));
  const disk = partition === null ? found : join(found, '..');
  const name = (await diskName(disk)) ?? (await loopName(disk));
  if (name === null) return null;
  return partition === null ? name : `${name} partition ${partition} at ${await line(join(found, 'start'))}`;
}

async function diskName(disk: string): Promise<string | null> {
  for (const file of NAMES) {
    const value = await line(join(disk, file));
    if (value) return `${file} ${value}`;
  }
  return null;
}

/** The file behind a loop device is what counts, and may be replaced under its name. */
async function loopName(disk: string): Promise<string | null> {
  const path = await line(join(disk, 'loop/backing_file'));
  if (!path) return null;
  const file = await stat(path, { bigint: true }).catch(() => null);
  return file ? `loop ${path} ${file.ino} ${file.birthtimeNs}` : null;
}

async function line(file: string): Promise<string | null> {
  return await readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
}
