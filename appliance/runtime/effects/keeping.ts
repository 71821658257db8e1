// This CoServer's history kept aside before anything may overwrite it (row 25): the disk as its generation left it, under that name.

import { mkdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { copyAside } from '../../../drivers/block/index.ts';
import { sizeText } from '../../console/format.ts';
import { openDisk, type Parts } from './parts.ts';

/** A console shows no more than this. */
const TELL_EVERY_MS = 250;
const NO_PLACE = 'is a block device, so its copy needs a folder with room for it: set workload.keepDir, and start this CoServer again';

/** Answers a sentence that says where it is. Rejects with one that says what is missing. */
export async function keepHistory(p: Parts, generation: number, signal: AbortSignal): Promise<string> {
  const { path, sizeMiB } = p.config.workload.disk;
  const folder = await folderFor(p);
  // What a crash left in the journal belongs to this history: the disk first takes it all, and is then let go.
  await openDisk(p, { serves: true });
  await p.workers.mirror.call('close', {}, 60_000);
  p.disk.isOpen = false;
  signal.throwIfAborted();
  const to = join(folder, `${basename(path)}.generation-${generation}`);
  let toldAt = 0;
  try {
    const { how, bytes } = await copyAside({
      from: path,
      to,
      deviceBytes: sizeMiB * 1048576,
      signal,
      progress: (doneBytes, totalBytes) => {
        if (performance.now() - toldAt < TELL_EVERY_MS) return;
        toldAt = performance.now();
        p.keeping({ doneBytes, totalBytes });
      },
    });
    return `generation ${generation} is kept in ${to} (${sizeText(bytes)}, ${how})`;
  } finally {
    p.keeping(null);
  }
}

async function folderFor(p: Parts): Promise<string> {
  const { path } = p.config.workload.disk;
  const { keepDir } = p.config.workload;
  if (keepDir === '') {
    if (!(await stat(path)).isFile()) throw new Error(`${path} ${NO_PLACE}`);
    return dirname(path);
  }
  await mkdir(keepDir, { recursive: true, mode: 0o700 });
  return keepDir;
}
