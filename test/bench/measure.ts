// What is measured: names, units, and how its numbers are read. The doing is in clients/main.ts (in the LAN) and session.ts.

export const MEASURES = ['download', 'upload', 'echo', 'short', 'fsync', 'cpu', 'pgbench'] as const;
export type MeasureName = (typeof MEASURES)[number];

export interface Column {
  /** In MeasureResult.values. */
  key: string;
  title: string;
  unit: string;
  better: 'more' | 'less';
}

export const MEASURE_COLUMNS: Record<MeasureName, readonly Column[]> = {
  download: [{ key: 'mbitPerS', title: 'TCP download', unit: 'Mbit/s', better: 'more' }],
  upload: [{ key: 'mbitPerS', title: 'TCP upload', unit: 'Mbit/s', better: 'more' }],
  echo: [
    { key: 'p50Ms', title: 'echo p50', unit: 'ms', better: 'less' },
    { key: 'p99Ms', title: 'echo p99', unit: 'ms', better: 'less' },
  ],
  short: [{ key: 'perS', title: 'short connections', unit: '/s', better: 'more' }],
  fsync: [{ key: 'perS', title: 'fsync in the guest', unit: '/s', better: 'more' }],
  cpu: [{ key: 'mloopsPerS', title: 'CPU loop in the guest', unit: 'M/s', better: 'more' }],
  pgbench: [
    { key: 'tps', title: 'PostgreSQL TPC-B', unit: 'tps', better: 'more' },
    { key: 'latencyMs', title: 'PostgreSQL latency', unit: 'ms', better: 'less' },
  ],
};

export interface MeasureResult {
  values: Record<string, number>;
  /** Why the values are not what they should be: hung, refused. Null: measured as intended. */
  problem: string | null;
}

/**
 * Without progress for this long a connection counts as hung. Longer than the two times 3 s that stock COLO's comparator may hold a
 * packet by its own defaults (compare_timeout, expired_scan_cycle): what is called hung did not only wait for them.
 */
export const HUNG_AFTER_MS = 8_000;
/** What a client's process may need beyond its seconds and HUNG_AFTER_MS: start and end of Node on a busy machine. */
export const CLIENT_GRACE_MS = 5_000;

export const GUEST_ADDRESS = '10.77.0.10';
export const PORTS = { echo: 7, http: 80, control: 9020, source: 9021, sink: 9022 } as const;
