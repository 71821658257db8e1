// Counters of a variant at one moment, and what lies between two of them. Read from the kernel, the same way for every variant: no
// program is asked how well it does.
import { readdirSync, readFileSync } from 'node:fs';
import { run } from '../../hwqual/lab/command.ts';
import { inNamespace } from '../../hwqual/lab/network.ts';
import type { RunningVariant } from './variants/variant.ts';

/** CPU of processes is counted in these (USER_HZ is 100 on every Linux). */
const TICK_MS = 10;

export type CpuPart = 'gate' | 'memory' | 'mirror' | 'other' | 'engine';
export const CPU_PARTS: readonly CpuPart[] = ['gate', 'memory', 'mirror', 'other', 'engine'];
type Cpu = Record<'primary' | 'secondary', Record<CpuPart, number>>;

export interface CheckpointsSince {
  /** Total since the pair's start. */
  count: number;
  /** Bytes of each recent checkpoint as the engine made it, where that is told. */
  streamBytes: number[];
  pausesMs: number[];
  /** Why checkpoints were asked for, totals; null: not told. */
  causes: Record<string, number> | null;
}

export interface Reading {
  atMs: number;
  wallMs: number;
  /** At the clients' NIC, both directions. */
  frames: number;
  cpuMs: Cpu;
  /** At the primary's dedicated links, both directions, all streams. */
  linkBytes: number;
  /** Acknowledged by the partner on the connections that carry checkpoints. */
  checkpointBytes: number;
  checkpoints: CheckpointsSince | null;
}

/** What happened between two readings; rates per second, sizes in bytes. */
export interface Usage {
  seconds: number;
  frames: number;
  /** ms of CPU per second, by process and thread. */
  cpuMsPerS: Cpu;
  /** us of CPU per frame: the primary's gate thread, all product processes, all engines, everything. Null: too few frames to say. */
  cpuUsPerFrame: { gate: number; product: number; engine: number; all: number } | null;
  linkBytesPerS: number;
  checkpointsPerS: number | null;
  /** On the wire, per checkpoint. */
  bytesPerCheckpoint: number | null;
  /** As the engine made it, before whatever is done to it on its way. */
  streamBytesPerCheckpoint: number | null;
  pauseP50Ms: number | null;
  pauseP99Ms: number | null;
  causes: Record<string, number> | null;
}

/** Per frame only says something about traffic: below this rate it is the idle load divided by almost nothing. */
const LEAST_FRAMES_PER_S = 20;

/** @param lanNamespace Where the clients are: their NIC is lan0. */
export async function takeReading(variant: RunningVariant, lanNamespace: string, sinceWallMs: number): Promise<Reading> {
  const primary = variant.places.find((p) => p.role === 'primary');
  if (primary === undefined) throw new Error('a variant has a primary');
  const cpuMs: Cpu = { primary: noCpu(), secondary: noCpu() };
  for (const place of variant.places) addCpu(cpuMs[place.role], await pidsIn(place.namespace));
  const [lan, links, checkpointBytes, checkpoints] = await Promise.all([
    run(...inNamespace(lanNamespace, 'cat', ['/proc/net/dev'])),
    run(...inNamespace(primary.namespace, 'cat', ['/proc/net/dev'])),
    acknowledgedBytes(primary.namespace, variant.checkpointPort),
    variant.checkpoints(sinceWallMs),
  ]);
  return {
    atMs: performance.now(),
    wallMs: Date.now(),
    frames: nicCounters(lan, /^lan0$/).frames,
    cpuMs,
    linkBytes: nicCounters(links, /^link\d$/).bytes,
    checkpointBytes,
    checkpoints,
  };
}

export function usageBetween(before: Reading, after: Reading): Usage {
  const seconds = (after.atMs - before.atMs) / 1000;
  const frames = after.frames - before.frames;
  const cpuMsPerS: Cpu = { primary: noCpu(), secondary: noCpu() };
  for (const role of ['primary', 'secondary'] as const)
    for (const part of CPU_PARTS) cpuMsPerS[role][part] = Math.max(0, after.cpuMs[role][part] - before.cpuMs[role][part]) / seconds;
  const perFrame = (ms: number) => (ms * seconds * 1000) / frames;
  const both = (part: CpuPart) => cpuMsPerS.primary[part] + cpuMsPerS.secondary[part];
  const product = both('gate') + both('memory') + both('mirror') + both('other');
  const checkpoints = after.checkpoints === null ? null : after.checkpoints.count - (before.checkpoints?.count ?? 0);
  const pauses = [...(after.checkpoints?.pausesMs ?? [])].sort((a, b) => a - b);
  return {
    seconds,
    frames,
    cpuMsPerS,
    cpuUsPerFrame:
      frames / seconds < LEAST_FRAMES_PER_S
        ? null
        : {
            gate: perFrame(cpuMsPerS.primary.gate),
            product: perFrame(product),
            engine: perFrame(both('engine')),
            all: perFrame(product + both('engine')),
          },
    linkBytesPerS: (after.linkBytes - before.linkBytes) / seconds,
    checkpointsPerS: checkpoints === null ? null : checkpoints / seconds,
    bytesPerCheckpoint: checkpoints === null || checkpoints <= 0 ? null : (after.checkpointBytes - before.checkpointBytes) / checkpoints,
    streamBytesPerCheckpoint: mean(after.checkpoints?.streamBytes ?? []),
    pauseP50Ms: quantile(pauses, 0.5),
    pauseP99Ms: quantile(pauses, 0.99),
    causes: causesBetween(before.checkpoints?.causes ?? null, after.checkpoints?.causes ?? null),
  };
}

function causesBetween(before: Record<string, number> | null, after: Record<string, number> | null): Record<string, number> | null {
  if (after === null) return null;
  const rows = Object.entries(after).map(([cause, total]) => [cause, total - (before?.[cause] ?? 0)] as const);
  return Object.fromEntries(rows.filter(([, count]) => count > 0));
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, v) => sum + v, 0) / values.length;
}

/** @param sorted Ascending. Nearest rank. */
export function quantile(sorted: readonly number[], q: number): number | null {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? null;
}

function noCpu(): Record<CpuPart, number> {
  return { gate: 0, memory: 0, mirror: 0, other: 0, engine: 0 };
}

async function pidsIn(namespace: string): Promise<number[]> {
  return (await run('ip', ['netns', 'pids', namespace])).split('\n').flatMap((line) => (line === '' ? [] : [Number(line)]));
}

/** Threads of our process are told apart by the names that their roles have; those of an engine are one. */
function addCpu(cpu: Record<CpuPart, number>, pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      const isEngine = readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('qemu-system');
      for (const thread of isEngine ? [''] : readdirSync(`/proc/${pid}/task`).map((tid) => `/task/${tid}`)) {
        const { name, ticks } = parseStat(readFileSync(`/proc/${pid}${thread}/stat`, 'latin1'));
        cpu[isEngine ? 'engine' : partOf(name)] += ticks * TICK_MS;
      }
    } catch {
      // It ended while we looked.
    }
  }
}

function partOf(threadName: string): CpuPart {
  return CPU_PARTS.find((part) => part === threadName) ?? 'other';
}

/** proc_pid_stat(5): the name in brackets, then from the third field on; utime and stime are the 14th and 15th. */
export function parseStat(stat: string): { name: string; ticks: number } {
  const end = stat.lastIndexOf(')');
  const fields = stat.slice(end + 2).split(' ');
  return { name: stat.slice(stat.indexOf('(') + 1, end), ticks: Number(fields[11]) + Number(fields[12]) };
}

/** proc_pid_net(5): "name: rx_bytes rx_packets ... (8 fields) tx_bytes tx_packets ...". */
export function nicCounters(text: string, nic: RegExp): { bytes: number; frames: number } {
  const sum = { bytes: 0, frames: 0 };
  for (const line of text.split('\n')) {
    const [name = '', rest = ''] = line.split(':');
    if (!nic.test(name.trim())) continue;
    const fields = rest.trim().split(/\s+/).map(Number);
    sum.bytes += (fields[0] ?? 0) + (fields[8] ?? 0);
    sum.frames += (fields[1] ?? 0) + (fields[9] ?? 0);
  }
  return sum;
}

async function acknowledgedBytes(namespace: string, port: number | null): Promise<number> {
  if (port === null) return 0;
  const text = await run(...inNamespace(namespace, 'ss', ['-tinH', 'state', 'established', `( dport = :${port} or sport = :${port} )`]));
  return [...text.matchAll(/bytes_acked:(\d+)/g)].reduce((sum, match) => sum + Number(match[1]), 0);
}
