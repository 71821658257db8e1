// One start of one variant, and the measures on it. Whatever breaks is a result: it is written down, and the next measure gets a guest
// that answers, if need be by starting the variant anew.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { join } from 'node:path';
import { inNamespace } from '../../hwqual/lab/network.ts';
import { CLIENT_GRACE_MS, GUEST_ADDRESS, HUNG_AFTER_MS, type MeasureName, type MeasureResult } from './measure.ts';
import { takeReading, type Usage, usageBetween } from './reading.ts';
import type { RunningVariant } from './variants/variant.ts';

const CLIENT = join(import.meta.dirname, 'clients/main.ts');
const PGBENCH = '/usr/lib/postgresql/17/bin/pgbench';
/** Two, so that a transaction may wait for the other's fsync; more would queue for one emulated CPU. */
const PGBENCH_CLIENTS = 2;
/** A terminal's Ctrl-C is for us, who end them: a client that dies of it would look like a broken measure. */
const APART = { stdio: ['ignore', 'pipe', 'pipe'], detached: true } satisfies SpawnOptions;
/** Of a client's output: it says one line, pgbench a page. */
const MAX_OUTPUT_BYTES = 65_536;

export interface SessionResult extends MeasureResult {
  /** Null: not measured, because the variant did not come up. */
  usage: Usage | null;
  /** How output was treated at the end, where that can change by itself. */
  mode: string | null;
}

export interface SessionSurroundings {
  lanNamespace: string;
  /** The Debian tree with pgbench. */
  tree: string;
  seconds: number;
  signal: AbortSignal;
}

export async function runMeasure(variant: RunningVariant, measure: MeasureName, around: SessionSurroundings): Promise<SessionResult> {
  const sinceWallMs = Date.now();
  const before = await takeReading(variant, around.lanNamespace, sinceWallMs);
  const result = measure === 'pgbench' ? await runPgbench(around) : await runClient(measure, around);
  const after = await takeReading(variant, around.lanNamespace, sinceWallMs);
  return { ...result, usage: usageBetween(before, after), mode: await variant.mode().catch(() => null) };
}

/** Does the guest answer at all? */
export async function isAlive(around: SessionSurroundings): Promise<boolean> {
  return (await runClient('alive', { ...around, seconds: 0 })).problem === null;
}

async function runClient(measure: MeasureName | 'alive', around: SessionSurroundings): Promise<MeasureResult> {
  const node = ['--no-warnings', CLIENT, measure, String(around.seconds)];
  const [command, args] = inNamespace(around.lanNamespace, process.execPath, node);
  const limitMs = around.seconds * 1000 + 2 * HUNG_AFTER_MS + CLIENT_GRACE_MS;
  const said = await collect(spawn(command, args, APART), limitMs, around.signal);
  if (said.timedOut) return { values: {}, problem: `hung: no result after ${(limitMs / 1000).toFixed(0)} s` };
  if (said.code !== 0) return { values: {}, problem: `the client failed: ${lastLine(said.stderr)}` };
  return JSON.parse(said.stdout) as MeasureResult;
}

async function runPgbench(around: SessionSurroundings): Promise<MeasureResult> {
  const seconds = String(Math.max(1, Math.round(around.seconds)));
  const flags = ['-h', GUEST_ADDRESS, '-U', 'postgres', '-n', '-c', String(PGBENCH_CLIENTS), '-T', seconds, 'postgres'];
  const [command, args] = inNamespace(around.lanNamespace, 'chroot', [around.tree, PGBENCH, ...flags]);
  const limitMs = around.seconds * 1000 + 2 * HUNG_AFTER_MS;
  const child = spawn(command, args, { ...APART, env: { ...process.env, LC_ALL: 'C', PGCONNECT_TIMEOUT: '8' } });
  const said = await collect(child, limitMs, around.signal);
  if (said.timedOut) return { values: {}, problem: `hung: pgbench did not end after ${(limitMs / 1000).toFixed(0)} s` };
  const found = parsePgbench(said.stdout);
  if (said.code !== 0) return { values: found ?? {}, problem: `broken: pgbench failed: ${lastLine(said.stderr)}` };
  // It says no rate when nothing was finished.
  if (found === null) return { values: { tps: 0 }, problem: `no transaction ended within ${seconds} s` };
  return { values: found, problem: null };
}

/** `tps = 20.64 (without initial connection time)`, `latency average = 96.9 ms`; null: not there, nothing was finished. */
export function parsePgbench(text: string): { tps: number; latencyMs: number } | null {
  const tps = /^tps = ([\d.]+)/m.exec(text)?.[1];
  const latency = /^latency average = ([\d.]+) ms/m.exec(text)?.[1];
  return tps === undefined || latency === undefined ? null : { tps: Number(tps), latencyMs: Number(latency) };
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 300) || 'it said nothing';
}

interface Said {
  stdout: string;
  stderr: string;
  code: number | null;
  timedOut: boolean;
}

function collect(child: ChildProcess, limitMs: number, signal: AbortSignal): Promise<Said> {
  return new Promise((resolve, reject) => {
    const said: Said = { stdout: '', stderr: '', code: null, timedOut: false };
    const kill = () => child.kill('SIGKILL');
    const timer = setTimeout(() => {
      said.timedOut = true;
      kill();
    }, limitMs);
    signal.addEventListener('abort', kill);
    child.stdout?.on('data', (d: Buffer) => {
      if (said.stdout.length < MAX_OUTPUT_BYTES) said.stdout += d;
    });
    child.stderr?.on('data', (d: Buffer) => {
      if (said.stderr.length < MAX_OUTPUT_BYTES) said.stderr += d;
    });
    const settled = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', kill);
    };
    child.once('error', (error) => {
      settled();
      reject(error);
    });
    child.once('close', (code) => {
      settled();
      if (signal.aborted) reject(new Error('interrupted'));
      else resolve({ ...said, code });
    });
  });
}
