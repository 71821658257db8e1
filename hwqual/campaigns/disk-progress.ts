// How long the guest's disk stood still, by this machine's clock: from the lines that the guest says on its serial port whenever writes
// have ended (../lab/guest/README.md). Both replicas say them; those of the one that runs the workload count.
import { open } from 'node:fs/promises';
import type { CoServerName, TakeoverView } from '../../appliance/core/snapshot.ts';
import { noticedAt } from './pair-picture.ts';

const LOOK_EVERY_MS = 40;
const LINE = 'GUEST DISK ';
const READ_BYTES = 1 << 16;
/** Of one round: some minutes. */
const MAX_POINTS = 20_000;

export interface ProgressPoint {
  at: number;
  server: CoServerName;
}

/**
 * The longest time without progress of the workload's disk between `from` and `to`. `first` runs it at `from`; with each takeover the
 * other one does, once it had ended the takeover's last step.
 */
export function longestStandstill(
  points: readonly ProgressPoint[],
  a: { from: number; to: number; first: CoServerName; takeovers: readonly TakeoverView[] },
): number {
  const { from, to, first } = a;
  const takeovers = a.takeovers.filter(({ kind, at }) => kind === 'takeover' && at >= from).sort((x, y) => x.at - y.at);
  const counts = ({ at, server }: ProgressPoint): boolean => {
    let who: CoServerName | null = first;
    for (const takeover of takeovers) {
      const lostAt = noticedAt(takeover);
      if (at >= lostAt) who = at >= lostAt + (takeover.steps.at(-1)?.atMs ?? 0) ? takeover.coServer : null;
    }
    return who === server;
  };
  let longest = 0;
  let before = from;
  for (const point of [...points].sort((x, y) => x.at - y.at)) {
    if (point.at < from || point.at > to || !counts(point)) continue;
    longest = Math.max(longest, point.at - before);
    before = point.at;
  }
  return Math.round(Math.max(longest, to - before));
}

/** Follows the serial logs of both guests. */
export class DiskProgress {
  readonly #paths: Record<CoServerName, string>;
  readonly #read: Record<CoServerName, number> = { A: 0, B: 0 };
  readonly #now: () => number;
  points: ProgressPoint[] = [];
  #timer: NodeJS.Timeout | undefined;
  #looking = false;

  constructor(paths: Record<CoServerName, string>, now: () => number) {
    this.#paths = paths;
    this.#now = now;
  }

  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** What was seen before is of no interest any more. */
  forget(): void {
    this.points = [];
  }

  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    for (const server of ['A', 'B'] as const) {
      // A log that is not there yet, or is just being replaced, tells nothing.
      const moved = await this.#moved(server).catch(() => false);
      if (moved && this.points.length < MAX_POINTS) this.points.push({ at: this.#now(), server });
    }
    this.#looking = false;
  }

  async #moved(server: CoServerName): Promise<boolean> {
    const file = await open(this.#paths[server], 'r');
    try {
      const { size } = await file.stat();
      // Begun anew: a guest that started here.
      if (size < this.#read[server]) this.#read[server] = 0;
      const length = Math.min(READ_BYTES, size - this.#read[server]);
      if (length === 0) return false;
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      this.#read[server] = size;
      return buffer.toString('latin1', 0, bytesRead).includes(LINE);
    } finally {
      await file.close();
    }
  }
}
