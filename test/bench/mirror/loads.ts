// The loads, and one load on one variant: fio through its NBD engine for every server, so that all are asked in the same way.
import { readFileSync } from 'node:fs';
import { run } from '../../../hwqual/lab/command.ts';
import { parseStat } from '../reading.ts';
import type { Running } from './variants.ts';

export const LOADS = ['4k-qd1', '4k-qd32', '128k-write', '128k-read', 'fsync'] as const;
export type Load = (typeof LOADS)[number];

const ARGUMENTS: Record<Load, readonly string[]> = {
  '4k-qd1': ['--rw=randwrite', '--bs=4k', '--iodepth=1'],
  '4k-qd32': ['--rw=randwrite', '--bs=4k', '--iodepth=32'],
  '128k-write': ['--rw=write', '--bs=128k', '--iodepth=16'],
  '128k-read': ['--rw=read', '--bs=128k', '--iodepth=16'],
  fsync: ['--rw=randwrite', '--bs=4k', '--iodepth=1', '--fsync=1'],
};
/** CPU of processes is counted in these (USER_HZ is 100 on every Linux). */
const TICK_S = 0.01;
/** From the request to its end: the engine sees some ends already while it sends, and counts them elsewhere. */
const WHOLE_LATENCY = ['--lat_percentiles=1', '--clat_percentiles=0'];
/** fio's start, and its last requests on a slow variant. */
const GRACE_MS = 20_000;

export interface Figures {
  iops: number;
  megabytesPerS: number;
  /** Of a request; with `fsync`: of the flush. */
  p50Us: number;
  p99Us: number;
  /** Of the variant's processes, seconds per 10^9 bytes. Null: it has none. */
  cpuSPerGB: number | null;
}

/** The part of fio's JSON that is used. Latencies in ns. */
interface FioReport {
  jobs: {
    error: number;
    read: FioDirection;
    write: FioDirection;
    sync: { lat_ns: { percentile?: Record<string, number> } };
  }[];
}
interface FioDirection {
  iops: number;
  bw_bytes: number;
  io_bytes: number;
  lat_ns: { percentile?: Record<string, number> };
}

export async function measureLoad(running: Running, load: Load, seconds: number, sizeBytes: number): Promise<Figures> {
  const target =
    'file' in running.target
      ? ['--ioengine=io_uring', `--filename=${running.target.file}`]
      : ['--ioengine=nbd', `--uri=nbd+unix:///disk0?socket=${running.target.socket}`];
  const before = cpuSeconds(running.pids);
  const text = await run(
    'fio',
    [
      ...[
        '--name=load',
        '--output-format=json',
        '--thread=1',
        '--time_based=1',
        `--runtime=${seconds}`,
        `--size=${sizeBytes}`,
        '--randrepeat=0',
      ],
      ...['--allow_file_create=0', '--norandommap=1', '--refill_buffers=0', '--percentile_list=50:99', ...WHOLE_LATENCY],
      ...target,
      ...ARGUMENTS[load],
    ],
    { timeoutMs: seconds * 1000 + GRACE_MS },
  );
  const cpuS = cpuSeconds(running.pids) - before;
  const job = (JSON.parse(text.slice(text.indexOf('{'))) as FioReport).jobs[0];
  if (job?.error !== 0) throw new Error(`fio failed (error ${job?.error ?? 'unknown'})`);
  const direction = load === '128k-read' ? job.read : job.write;
  const percentiles = load === 'fsync' ? job.sync.lat_ns.percentile : direction.lat_ns.percentile;
  const us = (percent: string): number => (percentiles?.[percent] ?? Number.NaN) / 1000;
  return {
    iops: direction.iops,
    megabytesPerS: direction.bw_bytes / 1e6,
    p50Us: us('50.000000'),
    p99Us: us('99.000000'),
    cpuSPerGB: running.pids.length > 0 && direction.io_bytes > 0 ? (cpuS * 1e9) / direction.io_bytes : null,
  };
}

function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1')).ticks * TICK_S, 0);
}
