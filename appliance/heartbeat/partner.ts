// Tells the partner's living frames from copies of old ones. Pure: the time is an argument.
//
// A frame's MAC says that someone with the key made it, at some time. Two things say that it is young:
//   - its sequence is above the last one of the same life on this link and path;
//   - it names a frame that this process sent a moment ago (our incarnation is random: nobody could have recorded that before).
// A life (incarnation) of the partner counts once a frame of it has shown the second; the one before it has then ended for ever.
// A frame of another life is answered while none is heard, so that it can prove itself; it changes nothing else.
import type { HeartbeatFrame } from '../wire/heartbeat.ts';
import { NO_INCARNATION } from '../wire/heartbeat.ts';
import type { HeartbeatPath, HeartbeatPayload } from './api.ts';

/** Of the partner's present life. */
export interface LivingFrame {
  kind: 'living';
  /** When the frame of ours that it names was sent; null: none of this process. */
  echoSentMs: number | null;
  rttMs: number | null;
  news: (HeartbeatPayload & { incarnation: string; restarted: boolean }) | null;
  /** By link: earlier frames of this life that were `unproven` and are genuine, as it turns out. Empty unless the life began to count now. */
  proven: readonly number[];
}

export type FrameVerdict =
  | LivingFrame
  /** Perhaps the beginning of a new life: it does not count yet. */
  | { kind: 'unproven' }
  | { kind: 'replayed' }
  /** Never heard before, but younger ones were: held up on its way (a kernel that waited for an address), or by somebody. */
  | { kind: 'late' }
  /** Our own frame; another CoServer of our name. */
  | { kind: 'reflected' | 'sameSide' }
  | { kind: 'wrongLink' | 'wrongPath'; reason: string };

interface Heard {
  incarnation: string;
  sequence: number;
  sentUs: number;
  atMs: number;
}

/** What was heard last on one link and path: of the life that counts, and of one that may begin. */
interface Ear {
  living: Heard | undefined;
  candidate: Heard | undefined;
  /** The latest sequences of the living one, each at its remainder by SEEN: tells late ones from copies. */
  seen: Float64Array;
}

/** More rounds than any kernel keeps frames back. */
const SEEN = 1024;

/** Lives that have ended; older ones cannot name a young frame of ours anyway. */
const ENDED_MAX = 16;
/** Lives that have not proven themselves, whose frames are counted: a flood of recorded ones must not take memory. */
const UNPROVEN_MAX = 16;

export class Partner {
  readonly #side: 'A' | 'B';
  readonly #incarnation: string;
  readonly #ears: Record<HeartbeatPath, Ear>[];
  /** Per life, by link: its frames so far. */
  readonly #unproven = new Map<string, number[]>();
  #ended: string[] = [];
  #living: string | null = null;
  #livingAtMs = Number.NEGATIVE_INFINITY;
  #payloadSequence = -1;
  #payload: HeartbeatPayload | null = null;

  /** side and incarnation are this process's own. */
  constructor(side: 'A' | 'B', incarnation: string, links: number) {
    this.#side = side;
    this.#incarnation = incarnation;
    const ear = (): Ear => ({ living: undefined, candidate: undefined, seen: new Float64Array(SEEN).fill(-1) });
    this.#ears = Array.from({ length: links }, () => ({ ethernet: ear(), ip: ear() }));
  }

  judge(frame: HeartbeatFrame, link: number, path: HeartbeatPath, atMs: number, timeoutMs: number): FrameVerdict {
    if (frame.sender === this.#side) return { kind: frame.incarnation === this.#incarnation ? 'reflected' : 'sameSide' };
    if (frame.path !== path) return { kind: 'wrongPath', reason: 'a frame of the other path' };
    if (frame.link !== link)
      return { kind: 'wrongLink', reason: `link ${link + 1} here is link ${frame.link + 1} at the partner: the cables are crossed` };
    const ear = this.#ears[link]?.[path];
    if (!ear || this.#ended.includes(frame.incarnation)) return { kind: 'replayed' };
    const isLiving = frame.incarnation === this.#living;
    const last = isLiving ? ear.living : ear.candidate;
    if (last?.incarnation === frame.incarnation && frame.sequence <= last.sequence)
      return { kind: isLiving && isLate(ear, frame.sequence, last.sequence) ? 'late' : 'replayed' };

    const heard: Heard = { incarnation: frame.incarnation, sequence: frame.sequence, sentUs: frame.sentUs, atMs };
    const echoSentMs = frame.echo.incarnation === this.#incarnation ? frame.echo.sentUs / 1000 : null;
    const ageMs = echoSentMs === null ? Number.POSITIVE_INFINITY : atMs - echoSentMs;
    const young = ageMs >= 0 && ageMs <= timeoutMs;
    if (!isLiving && !young) {
      if (this.#living === null || atMs - this.#livingAtMs > timeoutMs) ear.candidate = heard;
      this.#countUnproven(frame.incarnation, link);
      return { kind: 'unproven' };
    }
    const restarted = !isLiving && this.#living !== null;
    const proven = isLiving ? [] : this.#begin(frame.incarnation);
    ear.living = heard;
    ear.seen[frame.sequence % SEEN] = frame.sequence;
    this.#livingAtMs = atMs;
    const rttMs = young ? Math.max(0, ageMs - frame.echo.heldUs / 1000) : null;
    return { kind: 'living', echoSentMs, rttMs, news: this.#news(frame, restarted), proven };
  }

  /** What the next frame on this link and path says of the last one heard there. */
  echo(link: number, path: HeartbeatPath, atMs: number): HeartbeatFrame['echo'] {
    const { living, candidate } = this.#ears[link]?.[path] ?? {};
    const heard = candidate && (!living || candidate.atMs > living.atMs) ? candidate : living;
    if (!heard) return { incarnation: NO_INCARNATION, sequence: 0, sentUs: 0, heldUs: 0 };
    return {
      incarnation: heard.incarnation,
      sequence: heard.sequence,
      sentUs: heard.sentUs,
      heldUs: Math.round((atMs - heard.atMs) * 1000),
    };
  }

  /** The life counts from now on. Answers, by link, how many of its frames were not believed before. */
  #begin(incarnation: string): readonly number[] {
    if (this.#living !== null) this.#ended = [...this.#ended, this.#living].slice(-ENDED_MAX);
    this.#living = incarnation;
    this.#payloadSequence = -1;
    this.#payload = null;
    for (const paths of this.#ears)
      for (const ear of [paths.ethernet, paths.ip]) {
        // Its sequence on the other ways goes on from what was heard there.
        ear.living = ear.candidate?.incarnation === incarnation ? ear.candidate : undefined;
        ear.candidate = undefined;
        ear.seen.fill(-1);
        if (ear.living) ear.seen[ear.living.sequence % SEEN] = ear.living.sequence;
      }
    const proven = this.#unproven.get(incarnation) ?? [];
    this.#unproven.delete(incarnation);
    return proven;
  }

  #countUnproven(incarnation: string, link: number): void {
    const counts = this.#unproven.get(incarnation) ?? this.#ears.map(() => 0);
    counts[link] = (counts[link] ?? 0) + 1;
    this.#unproven.set(incarnation, counts);
    const [oldest] = this.#unproven.keys();
    if (this.#unproven.size > UNPROVEN_MAX && oldest !== undefined) this.#unproven.delete(oldest);
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

/** Marks it as heard: a copy of it is not late any more. */
function isLate({ seen }: Ear, sequence: number, last: number): boolean {
  if (last - sequence >= SEEN || seen[sequence % SEEN] === sequence) return false;
  seen[sequence % SEEN] = sequence;
  return true;
}
