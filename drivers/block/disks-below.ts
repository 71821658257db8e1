// On which disks a file or block device lies: through partitions, device mapper, md and loop devices. As the kernel names them.
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { deviceNumbers } from './medium.ts';

/** Of what a device is made. */
const MADE_OF = 'slaves'; // its name in sysfs
/** A stack of devices is not deeper than this. */
const DEPTH_LIMIT = 8;

/**
 * "/dev/sda", "/dev/nvme0n1", sorted. Of a path that is not there yet: where it would come to lie. Null: not known (memory, network, a file
 * system that spreads over disks by itself).
 */
export async function disksBelow(path: string, sys = '/sys'): Promise<string[] | null> {
  const found = new Set<string>();
  const isKnown = await ofPath(path, sys, found, 0);
  return isKnown && found.size > 0 ? [...found].sort() : null;
}

async function ofPath(path: string, sys: string, found: Set<string>, depth: number): Promise<boolean> {
  const there = await stat(path).catch(() => null);
  if (there === null) return dirname(path) === path ? false : ofPath(dirname(path), sys, found, depth);
  const { major, minor } = deviceNumbers(there.isBlockDevice() ? there.rdev : there.dev);
  const device = await realpath(join(sys, 'dev/block', `${major}:${minor}`)).catch(() => null);
  return device !== null && ofDevice(device, sys, found, depth);
}

async function ofDevice(device: string, sys: string, found: Set<string>, depth: number): Promise<boolean> {
  if (depth >= DEPTH_LIMIT) return false;
  const partOf = await readdir(join(device, MADE_OF)).catch(() => []);
  if (partOf.length > 0) {
    const below = await Promise.all(partOf.map((name) => realpath(join(device, MADE_OF, name)).catch(() => null)));
    const known = await Promise.all(below.map((one) => one !== null && ofDevice(one, sys, found, depth + 1)));
    return known.every(Boolean);
  }
  const file = await readFile(join(device, 'loop/backing_file'), 'utf8').catch(() => null);
  if (file !== null) return ofPath(file.trim(), sys, found, depth + 1);
  const isPartition = await stat(join(device, 'partition')).then(
    () => true,
    () => false,
  );
  if (isPartition) return ofDevice(dirname(device), sys, found, depth + 1);
  found.add(`/dev/${basename(device).replaceAll('!', '/')}`);
  return true;
}
