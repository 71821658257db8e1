// The door: bytes in; out comes a living frame of the partner, or nothing. All else is counted by its kind, and changes nothing. Pure: the time
// is an argument.
import { decodeHeartbeat, type HeartbeatFrame, type HeartbeatKey } from '../wire/heartbeat.ts';
import type { HeartbeatPath } from './api.ts';
import { type DropCounts, DroppedFrames, type DropReport } from './dropped.ts';
import { type LivingFrame, Partner } from './partner.ts';

export class Acceptance {
  readonly #key: HeartbeatKey;
  readonly #partner: Partner;
  readonly #dropped: DroppedFrames[];

  /** side and incarnation are this process's own. */
  constructor(side: 'A' | 'B', incarnation: string, links: number, key: HeartbeatKey) {
    this.#key = key;
    this.#partner = new Partner(side, incarnation, links);
    this.#dropped = Array.from({ length: links }, (_, link) => new DroppedFrames(link));
  }

  /** Null: dropped and counted. */
  accept(bytes: Buffer, link: number, path: HeartbeatPath, atMs: number, timeoutMs: number): LivingFrame | null {
    const dropped = this.#dropped[link];
    if (!dropped) return null;
    const reading = decodeHeartbeat(bytes, this.#key);
    if (reading.kind !== 'frame') {
      dropped.count(reading.kind, 'reason' in reading ? reading.reason : reading.kind === 'version' ? String(reading.version) : '');
      return null;
    }
    const verdict = this.#partner.judge(reading.frame, link, path, atMs, timeoutMs);
    if (verdict.kind !== 'living') {
      dropped.count(verdict.kind, 'reason' in verdict ? verdict.reason : '');
      return null;
    }
    for (const [of, count] of verdict.proven.entries()) this.#dropped[of]?.takeBack('unproven', count);
    return verdict;
  }

  echo(link: number, path: HeartbeatPath, atMs: number): HeartbeatFrame['echo'] {
    return this.#partner.echo(link, path, atMs);
  }

  dropped(link: number): DropCounts {
    return { ...(this.#dropped[link] ?? new DroppedFrames(link)).counts };
  }

  reports(atMs: number): DropReport[] {
    return this.#dropped.flatMap((d) => d.reports(atMs));
  }
}
