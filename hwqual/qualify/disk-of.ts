// Which whole disk holds a file, or is the device itself: "/dev/sda" for a file on sda3, or on a mapping that lies on sda alone.
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Linux dev_t as user space has it: 12 bits of major, 20 of minor. */
const major = (device: number): number => Math.floor(device / 2 ** 8) & 0xfff;
const minor = (device: number): number => (device & 0xff) | (Math.floor(device / 2 ** 12) & 0xfff00);
/** LVM on RAID on partitions, and room. */
const LAYERS_MAX = 8;
const BELOW = 'slaves'; // in sysfs: the devices that a mapping lies on

/**
 * Null: it is not known, lies on no disk of its own (tmpfs, network), or on more than one: then no one disk is compared. A file that is not
 * there yet is looked for by its folder.
 */
export async function diskOf(path: string, root = '/'): Promise<string | null> {
  const found = await stat(path)
    .catch(() => stat(dirname(path)))
    .catch(() => null);
  if (!found) return null;
  const device = found.isBlockDevice() ? found.rdev : found.dev;
  const folder = await realpath(join(root, `sys/dev/block/${major(device)}:${minor(device)}`)).catch(() => null);
  const disks = folder === null ? null : await wholeDisks(folder, LAYERS_MAX);
  const [only, ...others] = [...new Set(disks ?? [])];
  return only === undefined || others.length > 0 ? null : `/dev/${only}`;
}

/** Names of the disks below a block device's folder in sysfs; null: it cannot be told. */
async function wholeDisks(folder: string, layers: number): Promise<string[] | null> {
  if (layers === 0) return null;
  const names = await readdir(folder).catch(() => null);
  if (names === null) return null;
  if (names.includes('partition')) return [basename(dirname(folder))];
  const below = names.includes(BELOW) ? await readdir(join(folder, BELOW)).catch(() => []) : [];
  if (below.length === 0) return names.includes('device') ? [basename(folder)] : null;
  const disks: string[] = [];
  for (const name of below) {
    const link = await realpath(join(folder, BELOW, name)).catch(() => null);
    const found = link === null ? null : await wholeDisks(link, layers - 1);
    if (found === null) return null;
    disks.push(...found);
  }
  return disks;
}
