// What the summary page says of the machine beside the inventory: nothing here is ever compared or judged. The package that finds it out
// starts programs and waits for them (execSync): it is for a worker thread only.
import { isMainThread } from 'node:worker_threads';
import { said } from './text.ts';

export interface MachineSummary {
  /** "Debian GNU/Linux 13 (trixie)". */
  system: string | null;
  hostname: string | null;
  uptimeS: number | null;
  memoryBytes: number | null;
  memoryAvailableBytes: number | null;
  filesystems: { mount: string; type: string | null; sizeBytes: number; usedBytes: number }[];
}

/** Throws in the main thread. Takes up to a second of the thread that calls it. */
export async function readSummary(): Promise<MachineSummary> {
  if (isMainThread) throw new Error('readSummary blocks its thread: call it in a worker');
  const { osInfo, mem, time, fsSize } = await import('systeminformation');
  const [os, memory, filesystems] = [await osInfo(), await mem(), await fsSize()];
  const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : null);
  return {
    system: said([os.distro, os.release, os.codename && `(${os.codename})`].filter(Boolean).join(' ')),
    hostname: said(os.hostname),
    uptimeS: number(Math.floor(Number(time().uptime))),
    memoryBytes: number(memory.total),
    memoryAvailableBytes: number(memory.available),
    filesystems: filesystems
      .filter(({ size, mount }) => number(size) !== null && mount !== '')
      .map(({ mount, type, size, used }) => ({ mount, type: said(type), sizeBytes: size, usedBytes: used })),
  };
}
