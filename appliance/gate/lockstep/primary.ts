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
  DEFAULT_HOLD_LIMITS,
  type HoldLimits,
  type LockstepPrimaryApi,
  type PrimaryPorts,
  type PrimaryStatistics,
  REPLICA_LIMIT_BYTES,
  type ReleasedBy,
  type SecondaryMessage,
  WAITING_LIMIT_FRAMES,
} from './api.ts';
import { BaseOffsets } from './base-offsets.ts';
import type { Connection, HeldSegment } from './connection.ts';
import { ConnectionTable } from './connection-table.ts';
import { type Held, HeldFrames } from './held-frames.ts';
import { ReplicaDatagrams } from './replica-datagrams.ts';
import { ACK, endOf, parseFrame, RST, SYN, type TcpSegment, timestampOf, windowScaleOf } from './segment.ts';
import { boundTimestamp } from './timestamp-bound.ts';
import { clampWindow, windowUpdate } from './window-promise.ts';

/** The tag of frames that no checkpoint will cover: only a grant releases them. */
const NEVER = Number.MAX_SAFE_INTEGER;

export class LockstepPrimary implements LockstepPrimaryApi {
  readonly #ports: PrimaryPorts;
  readonly #limits: HoldLimits;
  readonly #base = new BaseOffsets();
  readonly #connections = new ConnectionTable();
  readonly #replicaDatagrams = new ReplicaDatagrams();
  readonly #held = new HeldFrames();
  #future: SecondaryMessage[] = [];
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
  readonly #causes: Record<CheckpointCause, number>;
  readonly #totals = { passed: 0, comparison: 0, commit: 0, grant: 0 };
  #droppedFull = 0;
  #ignored = 0;
  #clampedWindows = 0;

  constructor(ports: PrimaryPorts, limits: HoldLimits = DEFAULT_HOLD_LIMITS) {
    this.#ports = ports;
    this.#limits = limits;
    this.#causes = Object.fromEntries(CHECKPOINT_CAUSES.map((c) => [c, 0])) as Record<CheckpointCause, number>;
  }

  // --- a protection's life ---

  begin(session: number): void {
    if (this.#held.frames > 0)
      throw new Error(`${this.#held.frames} frames of an earlier protection are still held: release or drop them first`);
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
    return !this.#frozen && this.#held.frames === 0 && (this.#session === null || (interval === 0 && this.#latest === 0));
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
        if (this.#frozen) this.#hold({ frame, content: null, interval, at: nowMs, released: false });
        else this.#leave(frame, 'passed');
        return;
      case 'datagram':
        if (passes || (this.#mayCompare() && this.#replicaDatagrams.take(parsed.content)))
          this.#leave(frame, passes ? 'passed' : 'comparison');
        else this.#hold({ frame, content: parsed.content, interval, at: nowMs, released: false });
        return;
      case 'opaque':
        if (passes) this.#leave(frame, 'passed');
        else this.#hold({ frame, content: null, interval, at: nowMs, released: false });
        return;
      default:
        parsed satisfies never;
    }
  }

  #segment(s: TcpSegment, interval: number, passes: boolean, nowMs: number): void {
    this.#base.forLan(s);
    const connection = this.#connections.use(s.key);
    const kept = connection.keptBytes;
    const begins = connection.sent(s, !passes);
    this.#connections.keptBytes += connection.keptBytes - kept;
    if (begins && this.#session !== null) this.#tellIsn(s, interval);
    const end = endOf(s);
    if (passes) {
      connection.passed(s, end);
      this.#leave(s.frame, 'passed');
      return;
    }
    const held: HeldSegment = { segment: s, end, interval, at: nowMs, released: false };
    this.#connections.touched.add(connection);
    if (!this.#hold(held)) return;
    connection.held.push(held);
    this.#connections.waiting.add(connection);
    this.#releaseHead(connection, nowMs);
  }

  #tellIsn(s: TcpSegment, interval: number): void {
    // A connection with a base is known there: its SYN only comes again.
    if (this.#base.has(s.key)) return;
    const answers = s.flags & ACK ? s.acknowledgement : null;
    this.#ports.toPartner({ kind: 'isn', interval, key: s.key, sequence: s.sequence, timestamp: timestampOf(s), answers });
  }

  // --- holding ---

  observe(interval: number): void {
    if (this.#session !== null && interval > this.#latest) this.#latest = interval;
  }

  #hold(h: Held): boolean {
    if (!this.#held.add(h)) {
      this.#droppedFull++;
      this.#want('full');
      return false;
    }
    if (!this.#comparing) this.#want('passive');
    return true;
  }

  #keepEarly(frame: Buffer, tag: number, nowMs: number): void {
    if (!this.#held.addEarly({ frame, tag, at: nowMs })) this.#droppedFull++;
  }

  #leave(frame: Buffer, by: ReleasedBy): void {
    this.#totals[by]++;
    this.#ports.release(frame, by);
  }

  #releaseHeld(h: Held, by: ReleasedBy): void {
    this.#leave(this.#held.release(h), by);
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
      boundTimestamp(connection, h.segment);
      if (clampWindow(connection, h.segment, nowMs)) this.#clampedWindows++;
      const kept = connection.keptBytes;
      connection.hasLeft(h.segment, h.end, true);
      this.#connections.keptBytes += connection.keptBytes - kept;
      this.#releaseHeld(h, 'comparison');
      n++;
    }
    if (n === 0) return;
    connection.held.splice(0, n);
    if (connection.held.length === 0 && connection.clamped === null) this.#connections.waiting.delete(connection);
    this.#held.tidy();
  }

  /** The client was told less than the primary offered; now more may be agreed. */
  #widen(connection: Connection): void {
    const update = this.#frozen ? null : windowUpdate(connection);
    if (update === null) return;
    if (connection.clamped === null) this.#connections.waiting.delete(connection);
    this.#leave(update, 'comparison');
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
    const h = this.#mayCompare() ? this.#held.findDatagram(content) : undefined;
    if (!h) {
      if (!this.#replicaDatagrams.keep(content)) this.#ignored++;
      return;
    }
    this.#releaseHeld(h, 'comparison');
    this.#held.tidy();
  }

  #replicaSegment(s: TcpSegment, nowMs: number): void {
    const connection = this.#connections.use(s.key);
    const kept = connection.keptBytes;
    if (this.#connections.keptBytes + s.endAt - s.payloadAt > REPLICA_LIMIT_BYTES || !connection.replicaSent(s)) {
      this.#ignored++;
      return;
    }
    this.#connections.keptBytes += connection.keptBytes - kept;
    this.#connections.touched.add(connection);
    this.#releaseHead(connection, nowMs);
    if (connection.clamped !== null && this.#mayCompare()) this.#widen(connection);
  }

  #releaseAgreed(nowMs: number): void {
    if (!this.#mayCompare()) return;
    for (const connection of [...this.#connections.waiting]) this.#releaseHead(connection, nowMs);
    for (const h of this.#held.list) {
      if ('segment' in h || h.released || h.content === null || !this.#replicaDatagrams.take(h.content)) continue;
      this.#releaseHeld(h, 'comparison');
    }
    this.#held.tidy();
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
    for (const h of this.#held.list) {
      if (!h.released) this.#releaseHeld(h, 'commit');
      if ('segment' in h) this.#connections.find(h.segment.key)?.hasLeft(h.segment, h.end, false);
    }
    this.#held.clearList();
    this.#replicaDatagrams.clear();
    this.#connections.waiting.clear();
    for (const connection of this.#connections.touched) {
      // What the commit let out said the primary's whole window.
      if (connection.held.length > 0) connection.clamped = null;
      connection.held.length = 0;
      connection.equalized();
      this.#widen(connection);
    }
    this.#connections.touched.clear();
    this.#connections.keptBytes = 0;
    this.#asked = false;
    this.#lookAgain(nowMs);
    const future = this.#future;
    this.#future = [];
    for (const message of future) this.fromPartner(message, nowMs);
  }

  /** What was kept may be due now. */
  #lookAgain(nowMs: number): void {
    for (const kept of this.#held.takeEarly()) {
      const { frame, tag, at } = kept;
      // Nothing was protected yet, or its interval was committed while it waited.
      if (tag <= this.#committed) this.#outputCommitted(frame);
      else if (tag === this.#current) this.#output(frame, tag, at);
      else this.#held.putBack(kept);
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
    this.#base.forLan(s);
    const connection = this.#connections.use(s.key);
    connection.sent(s, false);
    connection.passed(s, endOf(s));
  }

  tick(nowMs: number): void {
    if (this.#session === null || this.#asked || this.#replied || this.#frozen) return;
    if (this.#held.list.length === 0 && this.#connections.waiting.size === 0) return;
    if (!this.#comparing) {
      this.#want('passive');
      return;
    }
    for (const connection of this.#connections.waiting) {
      const h = connection.held[0];
      if (h) {
        const cause = connection.refusal(h) ?? 'unknown';
        const limitMs = cause === 'ack' ? this.#limits.ackMs : cause === 'different' ? 0 : this.#limits.dataMs;
        if (nowMs - h.at >= limitMs) this.#want(cause);
      } else if (connection.clamped && nowMs - connection.clamped.at >= this.#limits.ackMs) this.#want('window');
      if (this.#asked) return;
    }
    if (this.#held.others === 0) return;
    for (const h of this.#held.list) {
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
    return this.#held.frames > 0 || this.#connections.waiting.size > 0;
  }

  oldestMs(nowMs: number): number {
    return this.#held.oldestMs(nowMs);
  }

  releaseAll(): number {
    const frames = this.#held.frames;
    for (const h of this.#held.list) {
      if (!h.released) this.#releaseHeld(h, 'grant');
      if ('segment' in h) this.#connections.find(h.segment.key)?.hasLeft(h.segment, h.end, false);
    }
    const early = this.#held.takeEarly();
    this.#forgetHeld();
    for (const { frame } of early) {
      const parsed = parseFrame(frame, true);
      if (parsed.kind === 'tcp') this.#followOnly(parsed);
      this.#leave(frame, 'grant');
    }
    return frames;
  }

  dropAll(): number {
    const frames = this.#held.frames;
    this.#forgetHeld();
    return frames;
  }

  #forgetHeld(): void {
    for (const connection of this.#connections.waiting) connection.held.length = 0;
    this.#connections.waiting.clear();
    this.#held.clear();
  }

  /** Nothing that a replica of another session said counts. */
  #forgetReplica(): void {
    for (const connection of this.#connections.touched) connection.equalized();
    for (const connection of this.#connections.waiting) connection.clamped = null;
    this.#connections.touched.clear();
    this.#replicaDatagrams.clear();
    this.#future = [];
    this.#connections.keptBytes = 0;
  }

  // --- the guest's input ---

  fromLan(frame: Buffer, interval: number): void {
    if (this.#session !== null) this.#ports.toPartner({ kind: 'input', interval, frame });
    if (mayBeSynAck(frame)) this.#noteSynAck(frame);
    this.#ports.feed(this.#base.forGuest(frame));
  }

  #noteSynAck(frame: Buffer): void {
    const s = parseFrame(frame, false);
    if (s.kind === 'tcp' && (s.flags & (SYN | ACK)) === (SYN | ACK)) this.#connections.find(s.key)?.answered(windowScaleOf(s) > 0);
  }

  // --- base ---

  exportBase(): BaseOffset[] {
    return this.#base.export();
  }

  importBase(base: readonly BaseOffset[]): void {
    this.#base.import(base);
  }

  statistics(): PrimaryStatistics {
    return {
      heldFrames: this.#held.frames,
      heldBytes: this.#held.bytes,
      releasedByComparison: this.#totals.comparison,
      releasedByCommit: this.#totals.commit,
      passed: this.#totals.passed,
      droppedFull: this.#droppedFull,
      causes: { ...this.#causes },
      connections: this.#connections.size,
      forgottenConnections: this.#connections.forgotten,
      baseOffsets: this.#base.size,
      replicaBytes: this.#connections.keptBytes,
      replicaIgnored: this.#ignored,
      clampedWindows: this.#clampedWindows,
    };
  }
}

/** Cheap look before parsing: TCP with SYN and ACK, whatever the header's length. */
function mayBeSynAck(frame: Buffer): boolean {
  const isV6 = frame.length > 54 && frame[12] === 0x86;
  const tcpAt = isV6 ? 54 : 14 + ((frame[14] ?? 0) & 15) * 4;
  return ((frame[tcpAt + 13] ?? 0) & (SYN | ACK | RST)) === (SYN | ACK);
}
