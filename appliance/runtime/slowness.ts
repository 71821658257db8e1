// How many times slower than a server this machine may be, by what its operator says of it: the heartbeat's time-out. Whoever lets a CoServer
// be silent for seconds and does not call it dead has one whose engine and threads are as late. What waits for a program of this machine,
// and gives up, waits that much longer; what waits for another machine or a disk has its own time-outs.
import type { CoServerConfig } from '../config.ts';

/** Up to this the waits are as they are; the heartbeat's time-out on real servers is far below. */
const ORDINARY_TIMEOUT_MS = 1_000;

/** 1 or more. */
export function slownessOf({ heartbeat }: Pick<CoServerConfig, 'heartbeat'>): number {
  return Math.max(1, heartbeat.timeoutMs / ORDINARY_TIMEOUT_MS);
}
