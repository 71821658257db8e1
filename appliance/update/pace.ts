// How fast an update is written: the guest's disk may be on the same device, and an update has time.
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * An update of 190 MB is written and read back in 20 s, which nobody waits for while the guest runs; a rotating disk, which does 150 MB/s at
 * best, keeps most of its time for the guest, and a mirrored write waits behind one piece at most.
 */
export const UPDATE_BYTES_PER_SECOND = 20_000_000;

export interface PaceClock {
  nowMs(): number;
  wait(ms: number): Promise<unknown>;
}

const CLOCK: PaceClock = { nowMs: () => performance.now(), wait: (ms) => sleep(ms) };

/** Awaited after each piece of the disk's work. Time that went by without any is not made up for. */
export function paceOf(bytesPerSecond: number, { nowMs, wait }: PaceClock = CLOCK): (bytes: number) => Promise<void> {
  let dueMs = nowMs();
  return async (bytes) => {
    const now = nowMs();
    dueMs = Math.max(dueMs, now - (bytes / bytesPerSecond) * 1000) + (bytes / bytesPerSecond) * 1000;
    if (dueMs > now) await wait(dueMs - now);
  };
}

/** The same pieces, not faster than that. */
export async function* paced(parts: AsyncIterable<Buffer>, pace: (bytes: number) => Promise<void>): AsyncGenerator<Buffer> {
  for await (const part of parts) {
    yield part;
    await pace(part.length);
  }
}
