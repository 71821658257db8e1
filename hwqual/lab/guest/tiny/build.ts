// Builds the tiny guest: a program of a few KiB that needs no operating system (tiny.h), as a multiboot kernel. Kept by the hash of what went in.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { GuestImage } from '../build.ts';

const run = promisify(execFile);
const HERE = import.meta.dirname;
const DEFAULT_CACHE = '/var/cache/twinstep';
const SOURCES = ['start.S', 'main.c', 'machine.c', 'virtio.c', 'network.c', 'records.c'];
const OTHERS = ['tiny.h', 'tiny.ld', 'build.ts'];
/** Code for any PC with nothing below it: no library, no floating point, no addresses that a loader would have to set. */
const FLAGS = [
  ...['-m32', '-march=i686', '-std=gnu11', '-Os', '-Wall', '-Wextra', '-Werror', '-s', '-static', '-nostdlib', '-ffreestanding'],
  ...['-fno-pic', '-fno-pie', '-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-mgeneral-regs-only'],
  ...['-Wl,--build-id=none', '-Wl,-m,elf_i386', '-Wl,-z,noexecstack', '-Wl,-T,tiny.ld'],
];

/** What it runs in: the engine takes no less, and it uses half a MiB. */
export const TINY_MEMORY_MIB = 16;
/** Room for 16000 records, and equal in a second. */
export const TINY_DISK_MIB = 8;

export interface TinyGuestOptions {
  /** Folder under which results are kept. Default: /var/cache/twinstep. */
  out?: string;
  /** IPv4. Default: the lab's guest, 10.77.0.10. */
  address?: string;
  /** Between two writes that it makes by itself; 0: none. Default: 1000. */
  beatMs?: number;
}

export function tinyAppend({ address = '10.77.0.10', beatMs = 1000 }: Omit<TinyGuestOptions, 'out'> = {}): string {
  return `address=${address} beat=${beatMs}`;
}

/** Builds it, or finds it built: half a second the first time. Throws when no compiler is there. */
export async function buildTinyGuest(options: TinyGuestOptions = {}): Promise<GuestImage> {
  const { out: cache = DEFAULT_CACHE, ...told } = options;
  const hash = createHash('sha256');
  for (const name of [...SOURCES, ...OTHERS]) hash.update(await readFile(join(HERE, name)));
  const folder = join(cache, `guest-tiny-${hash.digest('hex').slice(0, 16)}`);
  const image = { kernel: join(folder, 'kernel'), initrd: join(folder, 'initrd.gz'), append: tinyAppend(told) };
  if (existsSync(folder)) return image;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'guest-work-'));
  try {
    await run('gcc', [...FLAGS, '-o', join(work, 'kernel'), ...SOURCES], { cwd: HERE }).catch((error: unknown) => {
      const detail = error instanceof Error ? error.message : String(error);
      throw new Error(`the tiny guest does not compile (is gcc installed?): ${detail}`);
    });
    // The configuration of a workload names one; this guest does not look at it.
    await writeFile(join(work, 'initrd.gz'), 'The tiny guest needs none.\n');
    // A whole folder appears at once; whoever builds the same at the same time has made the same.
    await rename(work, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return image;
}
