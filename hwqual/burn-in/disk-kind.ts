// The device below a file, by /sys: what flush-honesty.ts wants to know of it.
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { deviceNumbers } from '../../drivers/block/index.ts';
import type { DiskKind } from './flush-honesty.ts';

const NOBODY: DiskKind = { device: null, model: null, rotational: null, writeCache: null, virtual: false };

/** @param path A file (the device of its file system counts), a folder, or a device. */
export async function diskKind(path: string, sys = '/sys'): Promise<DiskKind> {
  const found = await stat(path).catch(() => null);
  if (found === null) return NOBODY;
  const { major, minor } = deviceNumbers(found.isBlockDevice() ? found.rdev : found.dev);
  const here = await realpath(join(sys, 'dev/block', `${major}:${minor}`)).catch(() => null);
  if (here === null) return NOBODY;
  const disk = (await line(join(here, 'partition'))) === null ? here : join(here, '..');
  const cache = await line(join(disk, 'queue/write_cache'));
  const rotational = await line(join(disk, 'queue/rotational'));
  return {
    device: `/dev/${basename(disk).replaceAll('!', '/')}`,
    model: (await line(join(disk, 'device/model'))) || null,
    rotational: rotational === null ? null : rotational === '1',
    writeCache: cache === 'write back' || cache === 'write through' ? cache : null,
    virtual: /^(vd|loop|nbd|rbd|ram|zram|xvd)/.test(basename(disk)) || (await isHypervisors(disk)),
  };
}

/** QEMU's and others' disks on emulated controllers say so in their vendor or model. */
async function isHypervisors(disk: string): Promise<boolean> {
  const words = `${(await line(join(disk, 'device/vendor'))) ?? ''} ${(await line(join(disk, 'device/model'))) ?? ''}`;
  return /\b(QEMU|VBOX|VMware|Virtual|Msft)\b/i.test(words);
}

async function line(file: string): Promise<string | null> {
  return await readFile(file, 'latin1').then(
    (text) => text.trim(),
    () => null,
  );
}
