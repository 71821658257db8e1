// A stand-in for an engine: it has a RAM file as QEMU makes it and a thread with the name of a virtual CPU.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findGuestMemory } from '../../../../drivers/qemu/index.ts';
import { BREAKS } from '../../../../hwqual/campaigns/lab-control.ts';
import { breakGuest, engineOf, parseBreak } from '../../../../hwqual/lab/break-secondary.ts';

if (process.getuid?.() !== 0) t.bailout('these tests look into other processes: run them as root');

const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'break-secondary-'));
t.teardown(() => rmSync(folder, { recursive: true }));
// 128 MiB; the pages at 80 MiB, 81 MiB (quiet) and 125 MiB (what the engine loads) hold something, 82 MiB changes all the time.
writeFileSync(
  join(folder, 'engine.c'),
  `#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(void) {
  size_t size = 128u << 20;
  int fd = memfd_create("memory-backend-memfd", 0);
  if (fd < 0 || ftruncate(fd, size)) return 1;
  char *ram = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  for (int at = 80; at < 83; at++) memset(ram + ((size_t)at << 20), at, 4096);
  memset(ram + (125u << 20), 125, 4096);
  prctl(PR_SET_NAME, "CPU 0/TCG");
  puts("ready");
  fflush(stdout);
  for (;;) { ram[82u << 20]++; usleep(1000); }
}
`,
);
execFileSync('gcc', ['-O1', '-Wall', '-o', join(folder, 'engine'), join(folder, 'engine.c')]);

async function engine(t: {
  teardown: (then: () => void) => void;
}): Promise<{ pid: number; ram: () => Promise<Buffer>; ended: Promise<unknown> }> {
  const child = spawn(join(folder, 'engine'), { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const { pid = 0 } = child;
  const memory = await findGuestMemory(pid);
  return { pid, ram: async () => readFileSync(memory?.path ?? ''), ended: once(child, 'exit') };
}

/** Pages that differ, by their place in MiB; the busy one left out. */
function changed(before: Buffer, after: Buffer): number[] {
  const places: number[] = [];
  for (let at = 0; at < before.length; at += 4096)
    if (at !== 82 * MIB && before.compare(after, at, at + 4096, at, at + 4096) !== 0) places.push(at / MIB);
  return places;
}

t.test('one bit of a quiet page', async (t) => {
  const { pid, ram } = await engine(t);
  const before = await ram();
  const { detail } = await breakGuest(pid, 'byte', folder);
  const after = await ram();
  const places = changed(before, after);
  t.equal(places.length, 1);
  const at = Number(/byte (\d+)/.exec(detail)?.[1]);
  t.equal(Math.floor(at / 4096) * 4096, (places[0] ?? 0) * MIB);
  t.equal((before[at] ?? 0) ^ (after[at] ?? 0), 1);
});

t.test('garbage: what the guest made for itself, and only that', async (t) => {
  const { pid, ram } = await engine(t);
  const before = await ram();
  t.match((await breakGuest(pid, 'garbage', folder)).detail, /^3 pages/);
  t.strictSame(changed(before, await ram()), [80, 81]);
});

t.test('stuck: the thread of the virtual CPU is held, and let go', async (t) => {
  const { pid } = await engine(t);
  const state = () => /\) (\w) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
  const broken = await breakGuest(pid, 'stuck', folder);
  t.equal(state(), 't');
  broken.release();
  for (let i = 0; i < 500 && state() === 't'; i++) await new Promise((done) => setTimeout(done, 10));
  t.not(state(), 't');
});

t.test('a process with a held thread can be killed, and its parent hears of it', async (t) => {
  const { pid, ended } = await engine(t);
  await breakGuest(pid, 'stuck', folder);
  process.kill(pid, 'SIGKILL');
  await ended;
});

t.test('what is not there is named', async (t) => {
  const child = spawn('sleep', ['60']);
  t.teardown(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  await t.rejects(breakGuest(pid, 'garbage', folder), /keeps its guest's RAM in no file/);
  await t.rejects(breakGuest(pid, 'stuck', folder), /no thread of a virtual CPU/);
  t.throws(() => engineOf(pid), /0 engines run on this CoServer/);
  t.throws(() => parseBreak('hammer'), /"hammer" breaks nothing/);
  for (const how of BREAKS) t.equal(parseBreak(how), how);
});
