// Lockstep at the side whose guest speaks to the LAN: what of its output may leave, and when. See api.ts for the words and the
// order of calls, connection.ts for one connection's rule.
//
//   frames of the guest --(base: to LAN coordinates)--+-- control (ARP, ND) -----------------------------> LAN at once
//                                                     +-- per connection: held in order, head leaves when the replica agrees
//                                                     +-- datagram: leaves when the replica has sent an equal one
//                                                     `-- opaque: waits
//   commit n: everything tagged <= n leaves, in order; then both replicas are equal and comparison begins anew
//
// Nothing leaves on information that did not come from the secondary. Frames of a later interval than the current one are not
// looked at before the commit in between. Between REPLY and LOADED nothing leaves by comparison: the replica that agreed is
// about to be replaced.
import {
  type BaseOffset,
  CHECKPOINT_CAUSES,
  type CheckpointCause,
  CONNECTION_LIMIT,
  type ConnectionKey,
  DEFAULT_HOLD_LIMITS,
  HELD_FRAME_OVERHEAD_BYTES,
  HELD_LIMIT_BYTES,
  type HoldLimits,
  type LockstepPrimaryApi,
  OFFSET_LIMIT,
  type PrimaryPorts,
  type PrimaryStatistics,
  REPLICA_LIMIT_BYTES,
  type ReleasedBy,
  type SecondaryMessage,
  WAITING_LIMIT_FRAMES,
} from './api.ts';
import { Connection, type HeldSegment } from './connection.ts';
import { ReplicaDatagrams } from './replica-datagrams.ts';
import {
  ACK,
  acknowledgementOf,
  add,
  after,
  endOf,
  ownCopy,
  parseFrame,
  quotedSegment,
  RST,
  replace32,
  SYN,
  setWindow,
  subtract,
  type TcpSegment,
  timestampOf,
  translateForGuest,
  translateForLan,
  windowScaleOf,
} from './segment.ts';

/** The tag of frames that no checkpoint will cover: only a grant releases them. */
const NEVER = Number.MAX_SAFE_INTEGER;

/** Of the connections at their limit. */
const FORGET_AT_ONCE = 1024;

/** The client is told of more room only when it is worth a segment of its own. */
const WINDOW_STEP_BYTES = 2 * 1460;

interface HeldFrame {
  frame: Buffer;
  interval: number;
  at: number;
  released: boolean;
  /** Null: opaque, waits for the commit. */
  content: string | null;
}

type Held = HeldFrame | HeldSegment;

const frameOf = (h: Held): Buffer => ('segment' in h ? h.segment.frame : h.frame);

export class LockstepPrimary implements LockstepPrimaryApi {
  readonly #ports: PrimaryPorts;
  readonly #limits: HoldLimits;
  #base = new Map<ConnectionKey, BaseOffset>();
  /** Insertion order is age of use. */
  readonly #connections = new Map<ConnectionKey, Connection>();
  #latestUsed: Connection | null = null;
  /** Connections about which either side said something in this interval. */
  readonly #touched = new Set<Connection>();
  /** Those with held segments or a window made smaller. */
  readonly #waiting = new Set<Connection>();
  readonly #replicaDatagrams = new ReplicaDatagrams();
  /** All held frames of the current interval in the order of the guest; released ones are taken out now and then. */
  #held: Held[] = [];
  #releasedInHeld = 0;
  /** Held frames that belong to no connection. */
  #heldOthers = 0;
  #heldDatagrams = new Map<string, HeldFrame[]>();
  /** Read before the commit of the interval in front of theirs (or never to be committed). */
  #early: { frame: Buffer; tag: number; at: number }[] = [];
  #future: SecondaryMessage[] = [];
  #heldFrames = 0;
  #heldBytes = 0;
  #session: number | null = null;
  /** The interval whose frames are compared; 0: nothing is protected. */
  #current = 0;
  /** The highest counter seen. */
  #latest = 0;
  #committed = 0;
  /** The latest interval whose REPLY has passed; it may be ahead of the current one while frozen. */
  #repliedInterval = 0;
  #comparing = true;
  #frozen = false;
  #asked = false;
  #keptBytes = 0;
  readonly #causes: Record<CheckpointCause, number>;
  readonly #totals = { passed: 0, comparison: 0, commit: 0, grant: 0 };
  #droppedFull = 0;
  #forgotten = 0;
  #ignored = 0;
  #clampedWindows = 0;

  constructor(ports: PrimaryPorts, limits: HoldLimits = DEFAULT_HOLD_LIMITS) {
    this.#ports = ports;
    this.#limits = limits;
    this.#causes = Object.fromEntries(CHECKPOINT_CAUSES.map((c) => [c, 0])) as Record<CheckpointCause, number>;
  }

  // --- a protection's life ---

  begin(session: number): void {
    if (this.#heldFrames > 0)
      throw new Error(`${this.#heldFrames} frames of an earlier protection are still held: release or drop them first`);
    this.#forgetReplica();
    this.#session = session;
    this.#current = 1;
    this.#latest = 0;
    this.#committed = 0;
    this.#repliedInterval = 0;
    this.#asked = false;
    this.#ports.toPartner({ kind: 'begin', session, base: this.exportBase() });
  }

  guestStopped(): void {
    if (this.#session !== null) this.#ports.toPartner({ kind: 'mark' });
  }

  end(): void {
    this.#session = null;
    this.#current = 0;
    this.#frozen = false;
    this.#forgetReplica();
  }

  setComparing(on: boolean, nowMs: number): void {
    this.#comparing = on;
    if (on) this.#releaseAgreed(nowMs);
  }

  freeze(frozen: boolean, nowMs: number): void {
    this.#frozen = frozen;
    if (frozen) return;
    if (this.#session !== null && this.#committed >= this.#current) this.#commit(nowMs);
    else this.#lookAgain(nowMs);
  }

  /** Nothing is protected, or frames of interval 0 before the first checkpoint. */
  #passes(interval: number): boolean {
    return !this.#frozen && this.#heldFrames === 0 && (this.#session === null || (interval === 0 && this.#latest === 0));
  }

  // --- the guest's output ---

  fromGuest(frame: Buffer, interval: number, nowMs: number): void {
    if (this.#session === null && interval > 0 && !this.#frozen) {
      // The counter of a session that this side has left.
      this.#output(frame, 0, nowMs);
      return;
    }
    if (interval > this.#latest) this.#latest = interval;
    const tag = interval < this.#latest || (interval > 0 && interval < this.#current) ? NEVER : interval;
    if (this.#passes(interval) || (tag === this.#current && this.#current > 0)) this.#output(frame, tag, nowMs);
    else this.#keepEarly(frame, tag, nowMs);
  }

  #output(frame: Buffer, interval: number, nowMs: number): void {
    const passes = this.#passes(interval);
    const parsed = parseFrame(frame, true);
    switch (parsed.kind) {
      case 'tcp':
        this.#segment(parsed, interval, passes, nowMs);
        return;
      case 'control':
        if (this.#frozen) this.#holdFrame(frame, null, interval, nowMs);
        else this.#leave(frame, 'passed');
        return;
      case 'datagram':
        if (passes || (this.#mayCompare() && this.#replicaDatagrams.take(parsed.content)))
          this.#leave(frame, passes ? 'passed' : 'comparison');
        else this.#holdFrame(frame, parsed.content, interval, nowMs);
        return;
      case 'opaque':
        if (passes) this.#leave(frame, 'passed');
        else this.#holdFrame(frame, null, interval, nowMs);
        return;
      default:
        parsed satisfies never;
    }
  }

  #segment(s: TcpSegment, interval: number, passes: boolean, nowMs: number): void {
    this.#translateOut(s);
    const connection = this.#connection(s.key);
    const kept = connection.keptBytes;
    const begins = connection.sent(s, !passes);
    this.#keptBytes += connection.keptBytes - kept;
    if (begins && this.#session !== null) this.#tellIsn(s, interval);
    const end = endOf(s);
    if (passes) {
      connection.passed(s, end);
      this.#leave(s.frame, 'passed');
      return;
    }
    const held: HeldSegment = { segment: s, end, interval, at: nowMs, released: false };
    this.#touched.add(connection);
    if (!this.#hold(held)) return;
    connection.held.push(held);
    this.#waiting.add(connection);
    this.#releaseHead(connection, nowMs);
  }

  #translateOut(s: TcpSegment): void {
    if (this.#base.size === 0) return;
    const base = this.#base.get(s.key);
    if (!base) return;
    if (s.flags & SYN && s.sequence !== base.guestIsn) {
      // Another connection with the same addresses and ports.
      this.#base.delete(s.key);
      return;
    }
    translateForLan(s, base.sequence, base.timestamp);
  }

  #tellIsn(s: TcpSegment, interval: number): void {
    // A connection with a base is known there: its SYN only comes again.
    if (this.#base.has(s.key)) return;
    const answers = s.flags & ACK ? s.acknowledgement : null;
    this.#ports.toPartner({ kind: 'isn', interval, key: s.key, sequence: s.sequence, timestamp: timestampOf(s), answers });
  }

  #connection(key: ConnectionKey): Connection {
    const found = this.#connections.get(key);
    if (found) {
      if (found === this.#latestUsed) return found;
      this.#connections.delete(key);
      this.#connections.set(key, found);
      this.#latestUsed = found;
      return found;
    }
    const made = new Connection(key, this.#forgotten === 0);
    this.#connections.set(key, made);
    this.#latestUsed = made;
    if (this.#connections.size >= CONNECTION_LIMIT && this.#connections.size % FORGET_AT_ONCE === 0) this.#forgetOldest();
    return made;
  }

  /** Some at once: finding the oldest passes by all that were deleted before. */
  #forgetOldest(): void {
    let left = this.#connections.size - CONNECTION_LIMIT + FORGET_AT_ONCE;
    for (const [key, connection] of this.#connections) {
      // What waits is bounded by the room for held frames, and must find its connection.
      if (!this.#waiting.has(connection)) {
        this.#connections.delete(key);
        this.#touched.delete(connection);
        this.#keptBytes -= connection.keptBytes;
        this.#forgotten++;
      }
      if (--left === 0) return;
    }
  }

  // --- holding ---

  #room(bytes: number): boolean {
    return this.#heldBytes + bytes + HELD_FRAME_OVERHEAD_BYTES <= HELD_LIMIT_BYTES;
  }

  observe(interval: number): void {
    if (this.#session !== null && interval > this.#latest) this.#latest = interval;
  }

  #count(frame: Buffer): void {
    this.#heldFrames++;
    this.#heldBytes += frame.length + HELD_FRAME_OVERHEAD_BYTES;
  }

  #uncount(frame: Buffer): void {
    this.#heldFrames--;
    this.#heldBytes -= frame.length + HELD_FRAME_OVERHEAD_BYTES;
  }

  #hold(h: Held): boolean {
    const frame = frameOf(h);
    if (!this.#room(frame.length)) {
      this.#droppedFull++;
      this.#want('full');
      return false;
    }
    this.#count(frame);
    if (!('segment' in h)) this.#heldOthers++;
    this.#held.push(h);
    if (!this.#comparing) this.#want('passive');
    return true;
  }

  #holdFrame(frame: Buffer, content: string | null, interval: number, nowMs: number): void {
    const h: HeldFrame = { frame, interval, at: nowMs, released: false, content };
    if (!this.#hold(h) || content === null) return;
    const same = this.#heldDatagrams.get(content);
    if (same) same.push(h);
    else this.#heldDatagrams.set(content, [h]);
  }

  #keepEarly(frame: Buffer, tag: number, nowMs: number): void {
    if (!this.#room(frame.length)) {
      this.#droppedFull++;
      return;
    }
    this.#count(frame);
    this.#early.push({ frame, tag, at: nowMs });
  }

  #leave(frame: Buffer, by: ReleasedBy): void {
    this.#totals[by]++;
    this.#ports.release(frame, by);
  }

  #releaseHeld(h: Held, by: ReleasedBy): void {
    h.released = true;
    if (!('segment' in h)) this.#heldOthers--;
    this.#releasedInHeld++;
    const frame = frameOf(h);
    this.#uncount(frame);
    this.#leave(frame, by);
  }

  /** Taken out in bulk, so that each frame is moved a bounded number of times. */
  #tidyHeld(): void {
    if (this.#releasedInHeld === this.#held.length) this.#held = [];
    else if (this.#releasedInHeld > 64 && this.#releasedInHeld * 2 > this.#held.length) this.#held = this.#held.filter((h) => !h.released);
    else return;
    this.#releasedInHeld = 0;
  }

  // --- comparison ---

  #mayCompare(): boolean {
    return this.#comparing && !this.#frozen && !this.#replied && this.#session !== null;
  }

  #releaseHead(connection: Connection, nowMs: number): void {
    if (!this.#mayCompare()) return;
    let n = 0;
    for (const h of connection.held) {
      const refusal = connection.refusal(h);
      if (refusal !== null) {
        if (refusal === 'different') this.#want('different');
        break;
      }
      this.#clamp(connection, h.segment, nowMs);
      const kept = connection.keptBytes;
      connection.hasLeft(h.segment, h.end, true);
      this.#keptBytes += connection.keptBytes - kept;
      this.#releaseHeld(h, 'comparison');
      n++;
    }
    if (n === 0) return;
    connection.held.splice(0, n);
    if (connection.held.length === 0 && connection.clamped === null) this.#waiting.delete(connection);
    this.#tidyHeld();
  }

  /**
   * A window is a promise to take what the client sends. The replica, which may have to keep it, must have offered as much, now
   * or earlier: else a client would send what a takeover (and the replica already now) can only drop.
   */
  #clamp(connection: Connection, s: TcpSegment, nowMs: number): void {
    if ((s.flags & ACK) === 0 || s.flags & (SYN | RST) || connection.scale === null) return;
    const edge = connection.edgeOf(s);
    const limit = offered(connection);
    if (edge === null || limit === null) return;
    if (!after(edge, limit)) {
      connection.clamped = null;
      return;
    }
    const bytes = after(limit, s.acknowledgement) ? subtract(limit, s.acknowledgement) : 0;
    connection.clamped = { segment: acknowledgementOf(s, endOf(s)), at: connection.clamped?.at ?? nowMs };
    this.#clampedWindows++;
    setWindow(s, Math.floor(bytes / 2 ** connection.scale));
  }

  /** The client was told less than the primary offered; now more is agreed: a window update, made from the last acknowledgement. */
  #widen(connection: Connection): void {
    const { clamped, scale } = connection;
    if (clamped === null || scale === null || connection.held.length > 0 || this.#frozen) return;
    const limit = offered(connection);
    const told = connection.releasedEdge;
    const wanted = connection.sentEdge;
    if (limit === null || told === null || wanted === null || !after(limit, told)) return;
    const isAll = !after(wanted, limit);
    const edge = isAll ? wanted : limit;
    if (!isAll && subtract(edge, told) < WINDOW_STEP_BYTES) return;
    const ack = connection.releasedAck ?? clamped.segment.acknowledgement;
    if (!after(edge, ack)) return;
    const s = acknowledgementOf(clamped.segment, connection.released);
    if (s.acknowledgement !== ack) return;
    setWindow(s, Math.min(0xffff, Math.floor(subtract(edge, ack) / 2 ** scale)));
    connection.hasLeft(s, s.sequence, false);
    if (isAll) {
      connection.clamped = null;
      this.#waiting.delete(connection);
    }
    this.#leave(s.frame, 'comparison');
  }

  fromPartner(message: SecondaryMessage, nowMs: number): void {
    if (message.session !== this.#session || message.interval < this.#current || (message.interval === this.#current && this.#replied)) {
      this.#ignored++;
      return;
    }
    if (message.interval > this.#current) {
      if (this.#future.length >= WAITING_LIMIT_FRAMES) this.#ignored++;
      else this.#future.push(message);
      return;
    }
    const parsed = parseFrame(message.frame, true);
    if (parsed.kind === 'datagram') this.#replicaDatagram(parsed.content);
    else if (parsed.kind === 'tcp') this.#replicaSegment(parsed, nowMs);
  }

  #replicaDatagram(content: string): void {
    const waiting = this.#mayCompare() ? this.#heldDatagrams.get(content) : undefined;
    const h = waiting?.shift();
    if (!h) {
      if (!this.#replicaDatagrams.keep(content)) this.#ignored++;
      return;
    }
    if (waiting?.length === 0) this.#heldDatagrams.delete(content);
    this.#releaseHeld(h, 'comparison');
    this.#tidyHeld();
  }

  #replicaSegment(s: TcpSegment, nowMs: number): void {
    const connection = this.#connection(s.key);
    const kept = connection.keptBytes;
    if (this.#keptBytes + s.endAt - s.payloadAt > REPLICA_LIMIT_BYTES || !connection.replicaSent(s)) {
      this.#ignored++;
      return;
    }
    this.#keptBytes += connection.keptBytes - kept;
    this.#touched.add(connection);
    this.#releaseHead(connection, nowMs);
    if (connection.clamped !== null && this.#mayCompare()) this.#widen(connection);
  }

  #releaseAgreed(nowMs: number): void {
    if (!this.#mayCompare()) return;
    for (const connection of [...this.#waiting]) this.#releaseHead(connection, nowMs);
    for (const h of this.#held) {
      if ('segment' in h || h.released || h.content === null || !this.#replicaDatagrams.take(h.content)) continue;
      const waiting = this.#heldDatagrams.get(h.content);
      waiting?.splice(waiting.indexOf(h), 1);
      if (waiting?.length === 0) this.#heldDatagrams.delete(h.content);
      this.#releaseHeld(h, 'comparison');
    }
    this.#tidyHeld();
  }

  // --- checkpoints ---

  /** The replica that agreed is about to be replaced. */
  get #replied(): boolean {
    return this.#repliedInterval >= this.#current;
  }

  onReply(interval: number): void {
    if (this.#session !== null && interval > this.#repliedInterval) this.#repliedInterval = interval;
  }

  onCommit(interval: number, nowMs: number): void {
    if (interval >= NEVER || !Number.isSafeInteger(interval)) throw new RangeError(`commit of interval ${interval}`);
    if (this.#session === null) return;
    // The counter was raised before the commit. A frame that shows this interval again is another session's.
    if (interval > 0 && interval + 1 > this.#latest) this.#latest = interval + 1;
    if (interval > this.#committed) this.#committed = interval;
    if (!this.#frozen && this.#committed >= this.#current) this.#commit(nowMs);
  }

  #commit(nowMs: number): void {
    this.#current = this.#committed + 1;
    for (const h of this.#held) {
      if (!h.released) this.#releaseHeld(h, 'commit');
      if ('segment' in h) this.#connections.get(h.segment.key)?.hasLeft(h.segment, h.end, false);
    }
    this.#held = [];
    this.#releasedInHeld = 0;
    this.#heldDatagrams.clear();
    this.#replicaDatagrams.clear();
    this.#waiting.clear();
    for (const connection of this.#touched) {
      // What the commit let out said the primary's whole window.
      if (connection.held.length > 0) connection.clamped = null;
      connection.held.length = 0;
      connection.equalized();
      this.#widen(connection);
    }
    this.#touched.clear();
    this.#keptBytes = 0;
    this.#asked = false;
    this.#lookAgain(nowMs);
    const future = this.#future;
    this.#future = [];
    for (const message of future) this.fromPartner(message, nowMs);
  }

  /** What was kept may be due now. */
  #lookAgain(nowMs: number): void {
    const early = this.#early;
    this.#early = [];
    for (const { frame } of early) this.#uncount(frame);
    for (const { frame, tag, at } of early) {
      if (tag <= this.#committed) {
        // Nothing was protected yet, or its interval was committed while it waited.
        this.#outputCommitted(frame);
      } else if (tag === this.#current) this.#output(frame, tag, at);
      else {
        this.#count(frame);
        this.#early.push({ frame, tag, at });
      }
    }
    this.#releaseAgreed(nowMs);
  }

  #outputCommitted(frame: Buffer): void {
    const parsed = parseFrame(frame, true);
    if (parsed.kind === 'tcp') this.#followOnly(parsed);
    this.#leave(frame, 'commit');
  }

  /** It leaves whatever it says: translated, and its connection is kept up. */
  #followOnly(s: TcpSegment): void {
    this.#translateOut(s);
    const connection = this.#connection(s.key);
    connection.sent(s, false);
    connection.passed(s, endOf(s));
  }

  tick(nowMs: number): void {
    if (this.#session === null || this.#asked || this.#replied || this.#frozen) return;
    if (this.#held.length === 0 && this.#waiting.size === 0) return;
    if (!this.#comparing) {
      this.#want('passive');
      return;
    }
    for (const connection of this.#waiting) {
      const h = connection.held[0];
      if (h) {
        const cause = connection.refusal(h) ?? 'unknown';
        const limitMs = cause === 'ack' ? this.#limits.ackMs : cause === 'different' ? 0 : this.#limits.dataMs;
        if (nowMs - h.at >= limitMs) this.#want(cause);
      } else if (connection.clamped && nowMs - connection.clamped.at >= this.#limits.ackMs) this.#want('window');
      if (this.#asked) return;
    }
    if (this.#heldOthers === 0) return;
    for (const h of this.#held) {
      if (h.released || 'segment' in h) continue;
      // In the order of the guest: the first is the oldest.
      if (nowMs - h.at >= this.#limits.dataMs) this.#want(h.content === null ? 'opaque' : 'datagram');
      return;
    }
  }

  #want(cause: CheckpointCause): void {
    if (this.#asked || this.#session === null) return;
    this.#asked = true;
    this.#causes[cause]++;
    this.#ports.wantCheckpoint(cause);
  }

  get isWaiting(): boolean {
    return this.#heldFrames > 0 || this.#waiting.size > 0;
  }

  oldestMs(nowMs: number): number {
    const held = this.#held.find((h) => !h.released);
    const first = held ?? this.#early[0];
    return first ? nowMs - first.at : 0;
  }

  releaseAll(): number {
    const frames = this.#heldFrames;
    for (const h of this.#held) {
      if (!h.released) this.#releaseHeld(h, 'grant');
      if ('segment' in h) this.#connections.get(h.segment.key)?.hasLeft(h.segment, h.end, false);
    }
    const early = this.#early;
    this.#forgetHeld();
    for (const { frame } of early) {
      const parsed = parseFrame(frame, true);
      if (parsed.kind === 'tcp') this.#followOnly(parsed);
      this.#leave(frame, 'grant');
    }
    return frames;
  }

  dropAll(): number {
    const frames = this.#heldFrames;
    this.#forgetHeld();
    return frames;
  }

  #forgetHeld(): void {
    for (const connection of this.#waiting) connection.held.length = 0;
    this.#waiting.clear();
    this.#held = [];
    this.#releasedInHeld = 0;
    this.#heldDatagrams.clear();
    this.#early = [];
    this.#heldOthers = 0;
    this.#heldFrames = 0;
    this.#heldBytes = 0;
  }

  /** Nothing that a replica of another session said counts. */
  #forgetReplica(): void {
    for (const connection of this.#touched) connection.equalized();
    for (const connection of this.#waiting) connection.clamped = null;
    this.#touched.clear();
    this.#replicaDatagrams.clear();
    this.#future = [];
    this.#keptBytes = 0;
  }

  // --- the guest's input ---

  fromLan(frame: Buffer, interval: number): void {
    if (this.#session !== null) this.#ports.toPartner({ kind: 'input', interval, frame });
    this.#ports.feed(this.#forGuest(frame));
  }

  #forGuest(frame: Buffer): Buffer {
    if (this.#base.size === 0 && !mayBeSynAck(frame)) return frame;
    const parsed = parseFrame(frame, false);
    if (parsed.kind === 'tcp') {
      if ((parsed.flags & (SYN | ACK)) === (SYN | ACK)) this.#connections.get(parsed.key)?.answered(windowScaleOf(parsed) > 0);
      const base = this.#base.get(parsed.key);
      if (!base) return frame;
      // The same bytes are on their way to the partner.
      const own = ownCopy(frame);
      translateForGuest({ ...parsed, frame: own }, base.sequence, base.timestamp);
      return own;
    }
    const quoted = quotedSegment(frame);
    const base = quoted ? this.#base.get(quoted.key) : undefined;
    if (!quoted || !base) return frame;
    const own = ownCopy(frame);
    replace32(own, quoted.sequenceAt, add(own.readUInt32BE(quoted.sequenceAt), base.sequence), quoted.checksumAt, false);
    return own;
  }

  // --- base ---

  exportBase(): BaseOffset[] {
    return [...this.#base.values()];
  }

  importBase(base: readonly BaseOffset[]): void {
    this.#base = new Map(base.slice(-OFFSET_LIMIT).map((b) => [b.key, b]));
  }

  statistics(): PrimaryStatistics {
    return {
      heldFrames: this.#heldFrames,
      heldBytes: this.#heldBytes,
      releasedByComparison: this.#totals.comparison,
      releasedByCommit: this.#totals.commit,
      passed: this.#totals.passed,
      droppedFull: this.#droppedFull,
      causes: { ...this.#causes },
      connections: this.#connections.size,
      forgottenConnections: this.#forgotten,
      baseOffsets: this.#base.size,
      replicaBytes: this.#keptBytes,
      replicaIgnored: this.#ignored,
      clampedWindows: this.#clampedWindows,
    };
  }
}

/** Right edge of the window that both sides stand for; null: unknown. */
function offered(connection: Connection): number | null {
  const { replicaEdge, releasedEdge } = connection;
  if (replicaEdge === null) return null;
  return releasedEdge !== null && after(releasedEdge, replicaEdge) ? releasedEdge : replicaEdge;
}

/** Cheap look before parsing: TCP with SYN and ACK, whatever the header's length. */
function mayBeSynAck(frame: Buffer): boolean {
  const isV6 = frame.length > 54 && frame[12] === 0x86;
  const tcpAt = isV6 ? 54 : 14 + ((frame[14] ?? 0) & 15) * 4;
  return ((frame[tcpAt + 13] ?? 0) & (SYN | ACK | RST)) === (SYN | ACK);
}
