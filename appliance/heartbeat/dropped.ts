// What came over a link and was dropped, by kind: counted, and now and then worth an entry in the record. Pure: the time is an argument.
import { HEARTBEAT_VERSION } from '../wire/heartbeat.ts';

export const DROP_KINDS = [
  'truncated',
  'oversized',
  'malformed',
  'version',
  'otherPair',
  'forged',
  'reflected',
  'sameSide',
  'wrongLink',
  'wrongPath',
  'replayed',
  'late',
  'unproven',
] as const;
export type DropKind = (typeof DROP_KINDS)[number];
export type DropCounts = Record<DropKind, number>;

/** A few words for the consoles: '5 forged, 2 replayed'. */
export const DROP_WORDS: Readonly<Record<DropKind, string>> = {
  truncated: 'truncated',
  oversized: 'oversized',
  malformed: 'malformed',
  version: 'of another version',
  otherPair: "of another pair's id",
  forged: 'forged',
  reflected: 'reflected',
  sameSide: 'of the same CoServer',
  wrongLink: 'of another link',
  wrongPath: 'of another path',
  replayed: 'replayed',
  late: 'late',
  unproven: 'not proven young',
};

/** The first one of a kind is told at once, and then what has come since, at most this often: a flood must not fill the record. */
export const REPORT_EVERY_MS = 60_000;
/** Fewer are no news: a partner that starts has some unproven ones, a link that comes back some late ones, which a kernel had kept. */
const REPORT_FROM: Partial<DropCounts> = { late: 1000, unproven: 100 };

export interface DropReport {
  link: number;
  kind: DropKind;
  /** Since the last report. */
  count: number;
  sentence: string;
}

export function noDrops(): DropCounts {
  return Object.fromEntries(DROP_KINDS.map((kind) => [kind, 0])) as DropCounts;
}

/** One link's. */
export class DroppedFrames {
  readonly #link: number;
  readonly #counts = noDrops();
  readonly #reported = noDrops();
  readonly #reportedAtMs = new Map<DropKind, number>();
  readonly #details = new Map<DropKind, string>();

  constructor(link: number) {
    this.#link = link;
  }

  get counts(): Readonly<DropCounts> {
    return this.#counts;
  }

  count(kind: DropKind, detail: string): void {
    this.#counts[kind]++;
    this.#details.set(kind, detail);
  }

  /** They have turned out to be genuine: `unproven` ones of a life that has proven itself. */
  takeBack(kind: DropKind, count: number): void {
    this.#counts[kind] -= count;
    this.#reported[kind] = Math.min(this.#reported[kind], this.#counts[kind]);
  }

  /** What the record should hear now. */
  reports(atMs: number): DropReport[] {
    return DROP_KINDS.flatMap((kind) => {
      const count = this.#counts[kind] - this.#reported[kind];
      const last = this.#reportedAtMs.get(kind) ?? Number.NEGATIVE_INFINITY;
      if (count < (REPORT_FROM[kind] ?? 1) || atMs - last < REPORT_EVERY_MS) return [];
      this.#reported[kind] = this.#counts[kind];
      this.#reportedAtMs.set(kind, atMs);
      return [{ link: this.#link, kind, count, sentence: sentence(kind, count, this.#link + 1, this.#details.get(kind) ?? '') }];
    });
  }
}

function sentence(kind: DropKind, count: number, link: number, detail: string): string {
  const came = count === 1 ? `A heartbeat frame came over link ${link}` : `${count} heartbeat frames came over link ${link}`;
  switch (kind) {
    case 'truncated':
    case 'oversized':
      return `${came} with a wrong length (${detail}): dropped.`;
    case 'malformed':
      return `${came} unlike any that a CoServer sends (${detail}): dropped.`;
    case 'version': {
      const theirs = Number(detail);
      const who = theirs > HEARTBEAT_VERSION ? 'update this CoServer' : 'update the partner';
      return `The partner speaks heartbeat version ${theirs}, this CoServer version ${HEARTBEAT_VERSION}: ${who}. ${came} in it: dropped.`;
    }
    case 'otherPair':
      return `${came} from another pair: dropped. Is a foreign CoServer connected there, or is pair.id not the same in both configurations?`;
    case 'forged':
      return `${came} made without this pair's key: dropped. Is a foreign CoServer with another pair's key connected there? If it is the partner, pair the two again (twinstep pair --again).`;
    case 'reflected':
      return `${came} sent by this CoServer itself: dropped. Does the cable of link ${link} lead back to this CoServer?`;
    case 'sameSide':
      return `${came} from a CoServer of this one's own name: dropped. Is the disk of one server a copy of the other's? Install one of the two anew. Else set coServer to A in one configuration and to B in the other.`;
    case 'wrongLink':
      return `${came} made for another one (${detail}): dropped.`;
    case 'wrongPath':
      return `${came} made for its other path: dropped. Somebody copies frames.`;
    case 'replayed':
      return `${came} a second time: dropped. Somebody or something repeats frames.`;
    case 'late':
      return `${came} behind younger ones: dropped. Something holds frames back.`;
    case 'unproven':
      return `${came} without proof of being young: dropped. They are copies of old ones, or the partner does not hear this CoServer.`;
    default:
      return kind satisfies never;
  }
}
