// Tells the partner's living frames from copies of old ones. Pure: the time is an argument.
//
// A frame's MAC says that someone with the key made it, at some time. Two things say that it is young:
//   - its sequence is above the last one of the same life on this link and path;
//   - it names a frame that this process sent a moment ago (our incarnation is random: nobody could have recorded that before).
// A life (incarnation) of the partner counts once a frame of it has shown the second. While one counts and is heard, no other is looked at.
import type { HeartbeatFrame } from '../wire/heartbeat.ts';
import { NO_INCARNATION } from '../wire/heartbeat.ts';
import type { HeartbeatPath, HeartbeatPayload } from './api.ts';

export type FrameVerdict =
  /** Of the partner's present life. echoSentMs: when the frame of ours that it names was sent; null: none of this process. */
  | {
      kind: 'living';
      echoSentMs: number | null;
      rttMs: number | null;
      news: (HeartbeatPayload & { incarnation: string; restarted: boolean }) | null;
    }
  /** Perhaps the beginning of a new life: it is answered, and does not count yet. */
  | { kind: 'unproven' }
  | { kind: 'replayed' }
  | { kind: 'malformed'; reason: string };

interface Heard {
  incarnation: string;
  sequence: number;
  sentUs: number;
  atMs: number;
}

export class Partner {
  readonly #side: 'A' | 'B';
  readonly #incarnation: string;
  readonly #heard: Record<HeartbeatPath, Heard | undefined>[];
  #living: string | null = null;
  #livingAtMs = Number.NEGATIVE_INFINITY;
  #payloadSequence = -1;
  #payload: HeartbeatPayload | null = null;

  /** side and incarnation are this process's own. */
  constructor(side: 'A' | 'B', incarnation: string, links: number) {
    this.#side = side;
    this.#incarnation = incarnation;
    this.#heard = Array.from({ length: links }, () => ({ ethernet: undefined, ip: undefined }));
  }

  judge(frame: HeartbeatFrame, link: number, path: HeartbeatPath, atMs: number, timeoutMs: number): FrameVerdict {
    if (frame.sender === this.#side)
      return { kind: 'malformed', reason: 'our own frame came back, or the partner is configured as the same CoServer' };
    if (frame.path !== path) return { kind: 'malformed', reason: 'a frame of the other path' };
    if (frame.link !== link) {
      return { kind: 'malformed', reason: `link ${link + 1} here is link ${frame.link + 1} at the partner: the cables are crossed` };
    }
    const entry = this.#heard[link];
    const last = entry?.[path];
    if (!entry || (last?.incarnation === frame.incarnation && frame.sequence <= last.sequence)) return { kind: 'replayed' };

    const echoSentMs = frame.echo.incarnation === this.#incarnation ? frame.echo.sentUs / 1000 : null;
    const ageMs = echoSentMs === null ? Number.POSITIVE_INFINITY : atMs - echoSentMs;
    const young = ageMs >= 0 && ageMs <= timeoutMs;
    if (frame.incarnation !== this.#living && !young && this.#living !== null && atMs - this.#livingAtMs <= timeoutMs)
      return { kind: 'replayed' };

    entry[path] = { incarnation: frame.incarnation, sequence: frame.sequence, sentUs: frame.sentUs, atMs };
    let restarted = false;
    if (frame.incarnation !== this.#living) {
      if (!young) return { kind: 'unproven' };
      restarted = this.#living !== null;
      this.#living = frame.incarnation;
      this.#payloadSequence = -1;
      this.#payload = null;
    }
    this.#livingAtMs = atMs;
    const rttMs = young ? Math.max(0, ageMs - frame.echo.heldUs / 1000) : null;
    return { kind: 'living', echoSentMs, rttMs, news: this.#news(frame, restarted) };
  }

  /** What the next frame on this link and path says of the last one heard there. */
  echo(link: number, path: HeartbeatPath, atMs: number): HeartbeatFrame['echo'] {
    const heard = this.#heard[link]?.[path];
    if (!heard) return { incarnation: NO_INCARNATION, sequence: 0, sentUs: 0, heldUs: 0 };
    return {
      incarnation: heard.incarnation,
      sequence: heard.sequence,
      sentUs: heard.sentUs,
      heldUs: Math.round((atMs - heard.atMs) * 1000),
    };
  }

  #news(frame: HeartbeatFrame, restarted: boolean): (HeartbeatPayload & { incarnation: string; restarted: boolean }) | null {
    // The same round of frames comes over four ways: the first one counts.
    if (frame.sequence <= this.#payloadSequence) return null;
    this.#payloadSequence = frame.sequence;
    const { generation, role, revision, incarnation } = frame;
    const before = this.#payload;
    if (before && before.generation === generation && before.role === role && before.revision === revision) return null;
    this.#payload = { generation, role, revision };
    return { generation, role, revision, incarnation, restarted };
  }
}
