// Breaks the guest of the secondary while its engine lives: what the pair must notice by itself, long before a takeover needs it.
//
//   garbage  all that the guest has made in its RAM becomes random: it panics, resets or spins
//   byte     one bit of a page that nobody touches: nothing is to be seen, only a comparison of memory finds it
//   stuck    the virtual CPU does not run any more: its clock stands still, the engine answers its monitor
//
// The guest's RAM is written through the engine's own file (drivers/qemu/guest-memory.ts). Not by the engine: it does not know.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findGuestMemory } from '../../drivers/qemu/index.ts';
import { BREAKS, type Break } from '../campaigns/lab-control.ts';
import { run } from './command.ts';
import { LabError } from './lab-error.ts';
import { processTree } from './processes.ts';

export interface Broken {
  how: Break;
  /** "5120 pages of the guest's RAM are random". */
  detail: string;
  /** For `stuck`: lets the thread go on. */
  release: () => void;
}

const PAGE_BYTES = 4096;
const CHUNK_BYTES = 2 ** 20;
/** A page that did not change in this time is quiet: some checkpoints. */
const QUIET_MS = 1500;
/** Pages looked at for a quiet one: most of a guest that does little are. */
const CANDIDATES = 2000;
/** The kernel's image (from 16 MiB) and the initramfs (at the top) are left alone: between them lies what the guest made for itself. */
const KERNEL_END_BYTES = 72 * 2 ** 20;
const INITRAMFS_BYTES = 16 * 2 ** 20;
/** QEMU's names for the threads that run the guest. */
const VCPU_THREAD = /^CPU \d+\//;

export function parseBreak(text: string): Break {
  const how = BREAKS.find((b) => b === text);
  if (how === undefined) throw new LabError(`"${text}" breaks nothing`, `give one of ${BREAKS.join(', ')}`);
  return how;
}

/** The engine among a CoServer's processes. */
export function engineOf(pid1: number): number {
  const engines = processTree(pid1).filter((pid) => {
    try {
      return /\/qemu-system-[^/]*$/.test(readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ''));
    } catch {
      return false;
    }
  });
  const [engine, other] = engines;
  if (engine === undefined || other !== undefined) throw new LabError(`${engines.length} engines run on this CoServer: one is needed`);
  return engine;
}

/** @param cacheDirectory Where the helper for `stuck` is kept when it is built. */
export async function breakGuest(engine: number, how: Break, cacheDirectory: string): Promise<Broken> {
  switch (how) {
    case 'garbage':
      return { how, detail: await withMemory(engine, overwriteMemory), release: () => undefined };
    case 'byte':
      return { how, detail: await withMemory(engine, flipQuietBit), release: () => undefined };
    case 'stuck':
      return stopCpu(engine, cacheDirectory);
    default: {
      const unknown: never = how;
      throw new Error(`unknown ${unknown}`);
    }
  }
}

async function withMemory(engine: number, act: (file: FileHandle, sizeBytes: number) => Promise<string>): Promise<string> {
  const memory = await findGuestMemory(engine);
  if (memory === undefined)
    throw new LabError(
      `the engine (pid ${engine}) keeps its guest's RAM in no file`,
      'only an engine with memory-backend-memfd can be broken',
    );
  const file = await open(memory.path, 'r+');
  try {
    return await act(file, memory.sizeBytes);
  } finally {
    await file.close();
  }
}

async function overwriteMemory(file: FileHandle, sizeBytes: number): Promise<string> {
  const garbage = randomFillSync(Buffer.alloc(PAGE_BYTES));
  const zero = Buffer.alloc(PAGE_BYTES);
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let pages = 0;
  for (let at = KERNEL_END_BYTES; at < sizeBytes - INITRAMFS_BYTES; at += CHUNK_BYTES) {
    await file.read(chunk, 0, CHUNK_BYTES, at);
    for (let inside = 0; inside < CHUNK_BYTES; inside += PAGE_BYTES) {
      if (chunk.compare(zero, 0, PAGE_BYTES, inside, inside + PAGE_BYTES) === 0) continue;
      await file.write(garbage, 0, PAGE_BYTES, at + inside);
      pages++;
    }
  }
  return `${pages} pages of the guest's RAM are random`;
}

/** Pages that hold something, from the top of the RAM down; a bit of the first that does not change. */
async function flipQuietBit(file: FileHandle, sizeBytes: number): Promise<string> {
  const page = Buffer.alloc(PAGE_BYTES);
  const read = async (at: number): Promise<string> => {
    await file.read(page, 0, PAGE_BYTES, at);
    return page.every((byte) => byte === 0) ? '' : createHash('sha1').update(page).digest('hex');
  };
  const before = new Map<number, string>();
  const step = PAGE_BYTES * Math.max(1, Math.floor(sizeBytes / PAGE_BYTES / CANDIDATES));
  for (let at = sizeBytes - INITRAMFS_BYTES; at > KERNEL_END_BYTES; at -= step) {
    const hash = await read(at);
    if (hash !== '') before.set(at, hash);
  }
  await sleep(QUIET_MS);
  for (const [at, hash] of before) {
    if ((await read(at)) !== hash) continue;
    page[100] = (page[100] ?? 0) ^ 1;
    await file.write(page, 100, 1, at + 100);
    return `byte ${at + 100} of the guest's RAM differs by one bit`;
  }
  throw new LabError(`none of ${before.size} pages of the guest's RAM was quiet for ${QUIET_MS} ms`);
}

async function stopCpu(engine: number, cacheDirectory: string): Promise<Broken> {
  const thread = readdirSync(`/proc/${engine}/task`).find((id) =>
    VCPU_THREAD.test(readFileSync(`/proc/${engine}/task/${id}/comm`, 'utf8')),
  );
  if (thread === undefined) throw new LabError(`the engine (pid ${engine}) has no thread of a virtual CPU`);
  const holder: ChildProcess = spawn(await stopThreadProgram(cacheDirectory), [thread], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  holder.stderr?.on('data', (piece: Buffer) => {
    said += piece;
  });
  const ended = once(holder, 'exit').then(() => {
    throw new LabError(`the virtual CPU's thread ${thread} cannot be stopped: ${said.trim()}`);
  });
  ended.catch(() => undefined);
  if (holder.stdout !== null) await Promise.race([once(holder.stdout, 'data'), ended]);
  holder.unref();
  return { how: 'stuck', detail: `the virtual CPU's thread ${thread} stands still`, release: () => holder.stdin?.end() };
}

async function stopThreadProgram(cacheDirectory: string): Promise<string> {
  const source = join(import.meta.dirname, 'native', 'stop-thread.c');
  const path = join(cacheDirectory, `stop-thread-${createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12)}`);
  if (existsSync(path)) return path;
  mkdirSync(cacheDirectory, { recursive: true });
  await run('gcc', ['-O2', '-Wall', '-Wextra', '-o', `${path}.${process.pid}`, source], { timeoutMs: 60_000 });
  renameSync(`${path}.${process.pid}`, path);
  return path;
}
