// One connection of the guest as the primary's gate knows it, in LAN coordinates: what was released, what the primary has sent,
// and what the replica has said. Decides whether a segment of the primary may leave. Pure.
//
//   sequence numbers   floor ........ released ........ sentEnd           (the primary's)
//                                     released ... produced   early...    (the replica's bytes, kept until they are compared)
//
// A segment leaves when all it says was said before, or the replica has said the same: its bytes end within `released`, or within
// `produced` and are equal; what it acknowledges was acknowledged before, or by the replica. Segmentation need not match.
import type { CheckpointCause } from './api.ts';
import {
  ACK,
  add,
  after,
  endOf,
  FIN,
  latestTime,
  offerOf,
  RST,
  SYN,
  subtract,
  type TcpSegment,
  timestampOf,
  URG,
  windowScaleOf,
} from './segment.ts';

/** Further back than any window: a number there is not a retransmission of this connection, but another one's. */
const FLOOR_DISTANCE = 0x4000_0000;

/** The replica's segments that came before the ones in front of them. */
const EARLY_LIMIT = 256;

/** A connection has one reset; a port where nobody listens has one per segment. */
const RESET_LIMIT = 64;

/** What a kept chunk costs besides its bytes. */
const CHUNK_OVERHEAD_BYTES = 128;

/** A part of the replica's stream: SYN and FIN are pseudo bytes. */
interface Chunk {
  kind: 'syn' | 'data' | 'fin';
  sequence: number;
  length: number;
  /** data: the bytes; syn: what it offers. */
  bytes: Buffer | null;
  offer: string;
}

export interface HeldSegment {
  segment: TcpSegment;
  end: number;
  interval: number;
  at: number;
  released: boolean;
}

export class Connection {
  readonly key: string;
  /** The SYN's number of this incarnation; null: it began before it was followed. */
  isn: number | null = null;
  /** False: not comparable before the next commit has made both sides equal. */
  known = false;
  /** Something was released or sent: `released` means something. */
  #anchored = false;
  #gap = false;
  /** The primary sent something; else the marks are only what the replica's first segment suggests. */
  #hasSent = false;
  /** The guest sent more than a SYN or a reset: whoever began it has answered from its address. */
  isEstablished = false;
  floor = 0;
  released = 0;
  releasedAck: number | null = null;
  sentEnd = 0;
  sentAck: number | null = null;
  /** The guest's window scale; null: unknown, or the client has not answered yet. */
  scale: number | null = null;
  ownScale: number | null = null;
  sentEdge: number | null = null;
  releasedEdge: number | null = null;
  /** The latest TSval that left. */
  releasedTime: number | null = null;
  /** The replica is in the same incarnation: what it says counts. */
  replicaKnown = false;
  /** The latest TSval of the replica in this interval. */
  replicaTime: number | null = null;
  produced = 0;
  replicaAck: number | null = null;
  replicaEdge: number | null = null;
  /** Numbers of the resets that the replica sent in this incarnation and the primary has not. */
  #resets: number[] = [];
  different = false;
  readonly held: HeldSegment[] = [];
  /** Released with a smaller window than the primary's, at this time: the client is to be told when the replica offers more. */
  clamped: { segment: TcpSegment; at: number } | null = null;
  #chunks: Chunk[] = [];
  #early: Chunk[] = [];
  keptBytes = 0;

  /** It began before anything was followed here: both sides have it from the same state. Else a forgotten one may have been in its place. */
  readonly #isInherited: boolean;

  constructor(key: string, isInherited: boolean) {
    this.key = key;
    this.#isInherited = isInherited;
  }

  /** The primary's guest sent this. True: a new incarnation began with it. */
  sent(s: TcpSegment, isProtected: boolean): boolean {
    // A reset's numbers may be the ones that its offender used.
    if (s.flags & RST) return false;
    if ((s.flags & SYN) === 0) this.isEstablished = true;
    const begins = (s.flags & SYN) !== 0 && this.isn !== s.sequence;
    if (begins) this.#begin(s);
    else if (!this.#anchored || (!isProtected && after(s.sequence, this.sentEnd))) {
      // In the middle: its past is unknown. While nothing is protected that does not matter: it has left.
      this.#anchor(s.sequence);
      this.known = !isProtected || this.#isInherited;
      this.replicaKnown ||= this.#isInherited;
    } else if (after(s.sequence, this.sentEnd)) {
      // A guest leaves no gap: this belongs to another incarnation, or something was missed. It must not move any mark.
      this.#gap = true;
      return false;
    } else if (after(this.floor, s.sequence)) return false;
    this.#hasSent = true;
    const end = endOf(s);
    if (after(end, this.sentEnd)) this.sentEnd = end;
    if (s.flags & ACK) {
      if (this.sentAck === null || after(s.acknowledgement, this.sentAck)) this.sentAck = s.acknowledgement;
      const edge = this.edgeOf(s);
      if (edge !== null && (this.sentEdge === null || after(edge, this.sentEdge))) this.sentEdge = edge;
    }
    return begins;
  }

  #begin(s: TcpSegment): void {
    // Segments of the incarnation before wait in front: their numbers mean something else. The next commit clears it up.
    this.known = this.held.length === 0;
    this.isn = s.sequence;
    this.#anchor(s.sequence);
    this.floor = s.sequence;
    this.releasedAck = null;
    this.sentAck = null;
    this.sentEdge = null;
    this.releasedEdge = null;
    this.releasedTime = null;
    this.replicaTime = null;
    this.replicaKnown = false;
    this.#resets = [];
    this.replicaAck = null;
    this.replicaEdge = null;
    this.clamped = null;
    this.ownScale = windowScaleOf(s);
    // A SYN-ACK offers a scale only when the client's SYN did.
    this.scale = s.flags & ACK ? this.ownScale : null;
    this.#forgetChunks();
  }

  #anchor(sequence: number): void {
    this.#anchored = true;
    this.#gap = false;
    this.released = sequence;
    this.sentEnd = sequence;
    this.produced = sequence;
    this.floor = subtract(sequence, FLOOR_DISTANCE);
  }

  /** The client's SYN-ACK to the guest's SYN: scaling is on when both offered it. */
  answered(offersScale: boolean): void {
    if (this.ownScale !== null && this.scale === null) this.scale = offersScale ? this.ownScale : 0;
  }

  /** Right edge of the offered window; null when the scale is not known. */
  edgeOf(s: TcpSegment): number | null {
    if (s.flags & SYN) return add(s.acknowledgement, s.window);
    return this.scale === null ? null : add(s.acknowledgement, s.window * 2 ** this.scale);
  }

  /** The replica sent this. False: it does not count. */
  replicaSent(s: TcpSegment): boolean {
    if (s.flags & RST) {
      if (this.#resets.length >= RESET_LIMIT) return false;
      this.#resets.push(s.sequence);
      return true;
    }
    if (!this.#anchored && this.#isInherited) {
      // Nothing before its first segment is compared, so nothing before it is released.
      this.#anchor(s.sequence);
      this.floor = s.sequence;
      this.known = true;
      this.replicaKnown = true;
    }
    if (!this.replicaKnown) {
      if ((s.flags & SYN) === 0 || s.sequence !== this.isn) return false;
      this.replicaKnown = true;
      // Those were the incarnation's before.
      this.#resets = [];
    }
    this.replicaTime = latestTime(this.replicaTime, timestampOf(s));
    if (s.flags & ACK) {
      if (this.replicaAck === null || after(s.acknowledgement, this.replicaAck)) this.replicaAck = s.acknowledgement;
      const edge = this.edgeOf(s);
      if (edge !== null && (this.replicaEdge === null || after(edge, this.replicaEdge))) this.replicaEdge = edge;
    }
    let sequence = s.sequence;
    if (s.flags & SYN) {
      this.#keep({ kind: 'syn', sequence, length: 1, bytes: null, offer: offerOf(s) });
      sequence = add(sequence, 1);
    }
    const length = s.endAt - s.payloadAt;
    if (length > 0) {
      this.#keep({ kind: 'data', sequence, length, bytes: s.frame.subarray(s.payloadAt, s.endAt), offer: '' });
      sequence = add(sequence, length);
    }
    if (s.flags & FIN) this.#keep({ kind: 'fin', sequence, length: 1, bytes: null, offer: '' });
    return true;
  }

  #keep(chunk: Chunk): void {
    const end = add(chunk.sequence, chunk.length);
    if (!after(end, this.produced)) return;
    if (after(chunk.sequence, this.produced)) {
      if (this.#early.length >= EARLY_LIMIT) return;
      this.#early.push(chunk);
      this.keptBytes += chunk.length + CHUNK_OVERHEAD_BYTES;
      return;
    }
    this.#append(chunk, end);
    for (;;) {
      const i = this.#early.findIndex((c) => !after(c.sequence, this.produced));
      const [next] = i < 0 ? [] : this.#early.splice(i, 1);
      if (!next) return;
      this.keptBytes -= next.length + CHUNK_OVERHEAD_BYTES;
      const nextEnd = add(next.sequence, next.length);
      if (after(nextEnd, this.produced)) this.#append(next, nextEnd);
    }
  }

  #append(chunk: Chunk, end: number): void {
    const skip = subtract(this.produced, chunk.sequence);
    const kept =
      skip === 0
        ? chunk
        : {
            ...chunk,
            sequence: this.produced,
            length: chunk.length - skip,
            bytes: chunk.bytes === null ? null : chunk.bytes.subarray(skip),
          };
    this.#chunks.push(kept);
    this.keptBytes += kept.length + CHUNK_OVERHEAD_BYTES;
    this.produced = end;
  }

  /** Why the segment may not leave yet; null: it may. */
  refusal(h: HeldSegment): CheckpointCause | null {
    const s = h.segment;
    if (s.flags & RST) return this.#resets.includes(s.sequence) ? null : 'rst';
    if (s.flags & URG) return 'opaque';
    if (!this.known || this.#gap || after(this.floor, s.sequence)) return 'unknown';
    if (this.different) return 'different';
    if (after(h.end, this.released)) {
      if (after(h.end, this.produced)) return kindOf(s);
      if (!this.#equal(s)) {
        this.different = true;
        return 'different';
      }
    }
    if ((s.flags & ACK) === 0 || isWithin(s.acknowledgement, this.replicaAck) || isWithin(s.acknowledgement, this.releasedAck)) return null;
    return s.endAt > s.payloadAt || s.flags & (SYN | FIN) ? kindOf(s) : 'ack';
  }

  /** The bytes beyond `released`, all of which the replica has produced. */
  #equal(s: TcpSegment): boolean {
    let sequence = s.sequence;
    if (s.flags & SYN) {
      if (!this.#equalPart({ kind: 'syn', sequence, length: 1, bytes: null, offer: offerOf(s) })) return false;
      sequence = add(sequence, 1);
    }
    const length = s.endAt - s.payloadAt;
    if (length > 0) {
      const bytes = s.frame.subarray(s.payloadAt, s.endAt);
      if (!this.#equalPart({ kind: 'data', sequence, length, bytes, offer: '' })) return false;
      sequence = add(sequence, length);
    }
    return (s.flags & FIN) === 0 || this.#equalPart({ kind: 'fin', sequence, length: 1, bytes: null, offer: '' });
  }

  #equalPart(part: Chunk): boolean {
    const end = add(part.sequence, part.length);
    for (const chunk of this.#chunks) {
      const chunkEnd = add(chunk.sequence, chunk.length);
      let from = after(part.sequence, chunk.sequence) ? part.sequence : chunk.sequence;
      if (after(this.released, from)) from = this.released;
      const to = after(end, chunkEnd) ? chunkEnd : end;
      if (!after(to, from)) continue;
      if (chunk.kind !== part.kind || chunk.offer !== part.offer) return false;
      if (chunk.bytes === null || part.bytes === null) continue;
      const a = subtract(from, part.sequence);
      const b = subtract(from, chunk.sequence);
      const n = subtract(to, from);
      if (part.bytes.compare(chunk.bytes, b, b + n, a, a + n) !== 0) return false;
    }
    return true;
  }

  /** The segment has left. `agreed`: because the replica said the same. */
  hasLeft(s: TcpSegment, end: number, agreed: boolean): void {
    if (s.flags & RST) {
      const at = agreed ? this.#resets.indexOf(s.sequence) : -1;
      if (at >= 0) this.#resets.splice(at, 1);
      return;
    }
    // A commit releases also what has no place in the stream.
    const fits = !this.#gap && !after(this.floor, s.sequence);
    if (fits) this.releasedTime = latestTime(this.releasedTime, timestampOf(s));
    if (fits && after(end, this.released)) {
      this.released = end;
      const floor = subtract(end, FLOOR_DISTANCE);
      if (after(floor, this.floor)) this.floor = floor;
      if (after(end, this.produced)) this.produced = end;
      this.#forgetReleased();
    }
    if ((s.flags & ACK) === 0) return;
    if (this.releasedAck === null || after(s.acknowledgement, this.releasedAck)) this.releasedAck = s.acknowledgement;
    const edge = this.edgeOf(s);
    if (edge !== null && (this.releasedEdge === null || after(edge, this.releasedEdge))) this.releasedEdge = edge;
  }

  /** It left while nothing was protected, or by a grant: what follows is built on it at whatever replica there will be. */
  passed(s: TcpSegment, end: number): void {
    this.hasLeft(s, end, false);
    this.known = true;
    this.replicaKnown = true;
    if (this.releasedAck !== null && (this.replicaAck === null || after(this.releasedAck, this.replicaAck)))
      this.replicaAck = this.releasedAck;
    if (this.sentEdge !== null && (this.replicaEdge === null || after(this.sentEdge, this.replicaEdge))) this.replicaEdge = this.sentEdge;
  }

  /**
   * The partner owns everything that the primary sent so far: the replica is equal to it. What was sent and lost on its way
   * out counts as said too.
   */
  equalized(): void {
    this.#forgetChunks();
    if (after(this.sentEnd, this.released)) this.released = this.sentEnd;
    const floor = subtract(this.released, FLOOR_DISTANCE);
    if (after(floor, this.floor)) this.floor = floor;
    this.releasedAck = this.sentAck ?? this.releasedAck;
    this.produced = this.released;
    this.replicaAck = this.releasedAck;
    this.replicaEdge = this.sentEdge;
    // The replica that may have been ahead is gone.
    this.replicaTime = null;
    if (this.#resets.length > 0) this.#resets = [];
    this.replicaKnown = true;
    this.different = false;
    this.known = !this.#gap;
    this.#anchored &&= this.#hasSent && !this.#gap;
    this.#gap = false;
  }

  #forgetReleased(): void {
    let n = 0;
    for (const chunk of this.#chunks) {
      if (after(add(chunk.sequence, chunk.length), this.released)) break;
      this.keptBytes -= chunk.length + CHUNK_OVERHEAD_BYTES;
      n++;
    }
    if (n > 0) this.#chunks.splice(0, n);
  }

  #forgetChunks(): void {
    if (this.keptBytes === 0) return;
    this.#chunks = [];
    this.#early = [];
    this.keptBytes = 0;
  }
}

function isWithin(acknowledgement: number, limit: number | null): boolean {
  return limit !== null && !after(acknowledgement, limit);
}

function kindOf(s: TcpSegment): CheckpointCause {
  if (s.flags & SYN) return 'syn';
  return s.flags & FIN ? 'fin' : 'data';
}
