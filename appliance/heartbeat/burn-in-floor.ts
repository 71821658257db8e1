// What the last burn-in found of this server's lateness under full load sets the smallest heartbeat time-out that it may use: a partner that is
// merely late must not be taken for dead. What is configured below it is raised, and the history says so; another burn-in sets it anew.
// The running heartbeat measures its own lateness besides (appliance/heartbeat), but it has not yet seen the load that is to come.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerConfig } from '../config.ts';

/** In stateDir: the result of the last burn-in that measured jitter, as hwqual/burn-in writes it. */
export const BURN_IN_FILE = 'burn-in.json';
/** heartbeat.timeoutMs cannot be larger: a server that needs more does not qualify. */
const TIMEOUT_MAX_MS = 10_000;

export interface BurnInFloor {
  /** ISO 8601: when that burn-in began. */
  startedAt: string;
  /** Of heartbeat.timeoutMs. */
  smallestTimeoutMs: number;
}

/** Null: there was no burn-in. A string: the file is there, and holds none. */
export function readBurnInFloor(stateDir: string): BurnInFloor | null | string {
  const file = join(stateDir, BURN_IN_FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'ENOENT' ? null : `cannot read ${file}: ${(e as Error).message}`;
  }
  try {
    const { startedAt, smallestHeartbeatTimeoutMs: smallest } = JSON.parse(text) as Record<string, unknown>;
    if (typeof startedAt === 'string' && /^\d{4}-\d\d-\d\dT/.test(startedAt) && typeof smallest === 'number' && smallest > 0)
      return { startedAt, smallestTimeoutMs: Math.min(Math.ceil(smallest), TIMEOUT_MAX_MS) };
  } catch {
    // Said below.
  }
  return `${file} holds no result of a burn-in: its smallest heartbeat time-out is not known; twinstep burn-in writes it anew`;
}

/** The configuration with the time-out that is used; `told`: what the operator should know, null: nothing. */
export function withBurnInFloor(
  config: CoServerConfig,
  floor: ReturnType<typeof readBurnInFloor>,
): { config: CoServerConfig; told: string | null } {
  if (floor === null) return { config, told: null };
  if (typeof floor === 'string') return { config, told: floor };
  const { timeoutMs } = config.heartbeat;
  const { smallestTimeoutMs, startedAt } = floor;
  const heartbeat = { ...config.heartbeat, timeoutMs: Math.max(timeoutMs, smallestTimeoutMs), smallestTimeoutMs };
  const told =
    timeoutMs >= smallestTimeoutMs
      ? null
      : `heartbeat.timeoutMs is ${timeoutMs}, but in the burn-in of ${startedAt.slice(0, 10)} this server was so late that it needs ${smallestTimeoutMs}: that is used. Set it on both CoServers, or find out what is late and burn in again.`;
  return { config: { ...config, heartbeat }, told };
}
