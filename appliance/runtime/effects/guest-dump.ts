// The memory of a guest that panicked, kept before its engine ends (row 19): it is restarted or taken over anyway, and this is all that
// tells why. A dump that cannot be made is told with its reason and keeps nobody waiting for long.

import { mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import * as qemu from '../../../drivers/qemu/index.ts';
import { sizeText } from '../../console/format.ts';
import type { Parts } from './parts.ts';

/** The latest, and one to compare it with. */
const DUMPS_KEPT = 2;
/** The guest is down as long: some hundred GiB fit, and who has more wants his guest back. */
const DUMP_WITHIN_MS = 120_000;
const YANK_WITHIN_MS = 1_000;
const LEFT_WITHIN_MS = 5_000;
const POLL_MS = 10;
/** Left free: the durable record, the journal and the history lie there too. */
const SPARE_BYTES = 256 * 1048576;
const NAME = /^panic-(\d{6})\.(kdump|elf)$/;

export interface DumpFolder {
  /** Of the next dump. */
  number: number;
  /** What goes when it is there, as names in the folder. */
  superseded: string[];
}

/** @param names What is in the folder; what is no dump of ours is left alone. */
export function planDump(names: readonly string[]): DumpFolder {
  const known = names.flatMap((name) => {
    const number = NAME.exec(name)?.[1];
    return number === undefined ? [] : [{ name, number: Number(number) }];
  });
  known.sort((a, b) => a.number - b.number);
  const superseded = known.slice(0, Math.max(0, known.length - (DUMPS_KEPT - 1))).map(({ name }) => name);
  return { number: (known.at(-1)?.number ?? 0) + 1, superseded };
}

/** Does nothing unless the guest here panicked and its engine still has it. Never rejects: it is told in the history. */
export async function keepDump(p: Parts): Promise<void> {
  const { engine, history } = p;
  if (!engine.hasPanickedGuest) return;
  try {
    const client = engine.control;
    // An engine that stops its guest waits for its writes, and those for a partner that has been let go. Nobody hears of them any more.
    const { mode } = await p.workers.mirror.call('status', {});
    if (mode === 'source') await p.workers.mirror.call('goSolo', {});
    await leaveStream(p, client);
    await qemu.stopGuest(client);
    const { path, bytes, ms } = await dump(p, client);
    const text = `The memory of the guest at its panic is kept in ${path} (${sizeText(bytes)}, written in ${(ms / 1000).toFixed(1)} s). The latest ${DUMPS_KEPT} are kept.`;
    history.add({ severity: 'info', row: '19', text });
  } catch (e) {
    const text = `The memory of the guest at its panic is not kept: ${(e as Error).message}.`;
    history.add({ severity: 'warning', row: '19', text });
  }
}

/** The engine writes none while it is in a checkpoint stream. The guest may run for a moment then, behind a closed gate, into its end. */
async function leaveStream(p: Parts, client: qemu.QmpClient): Promise<void> {
  await qemu.yankMigration(p.engine.emergency, YANK_WITHIN_MS).catch(() => undefined);
  if ((await qemu.queryMigration(client)) !== 'colo') return;
  await qemu.loseHeartbeat(client);
  const deadline = performance.now() + LEFT_WITHIN_MS;
  while ((await qemu.queryMigration(client)) === 'colo') {
    if (performance.now() > deadline) throw new Error('its engine does not leave the checkpoint stream');
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function dump(p: Parts, client: qemu.QmpClient): Promise<{ path: string; bytes: number; ms: number }> {
  const folder = join(p.config.stateDir, 'dumps');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const part = join(folder, 'panic.part');
  await rm(part, { force: true });
  const { bavail, bsize } = await statfs(folder);
  const [free, needed] = [bavail * bsize, p.config.workload.memoryMiB * 1048576 + SPARE_BYTES];
  if (free < needed) throw new Error(`${folder} has ${sizeText(free)} of free space, ${sizeText(needed)} are needed`);
  const began = performance.now();
  try {
    // The engine would make it readable for its group: it holds all that the guest knew.
    await (await open(part, 'wx', 0o600)).close();
    const format = await qemu.dumpGuestMemory(client, part, DUMP_WITHIN_MS);
    const bytes = await flushed(part);
    const { number, superseded } = planDump(await readdir(folder));
    const path = join(folder, `panic-${String(number).padStart(6, '0')}.${format === 'elf' ? 'elf' : 'kdump'}`);
    await rename(part, path);
    for (const name of superseded) await rm(join(folder, name), { force: true });
    const directory = await open(folder, 'r');
    await directory.sync().finally(() => directory.close());
    return { path, bytes, ms: performance.now() - began };
  } finally {
    await rm(part, { force: true });
  }
}

async function flushed(path: string): Promise<number> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
    return (await file.stat()).size;
  } finally {
    await file.close();
  }
}
