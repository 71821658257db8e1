// Lockstep at the side whose guest speaks to the LAN: what of its output may leave, and when. See api.ts for the words and the
// order of calls, connection.ts for one connection's rule, checkpoint-wish.ts for when a checkpoint is asked for.
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
import { CheckpointWish } from './checkpoint-wish.ts';
import type { Connection, HeldSegment } from './connection.ts';
import { ConnectionTable } from './connection-table.ts';
import { type Held, HeldFrames } from './held-frames.ts';
import { ProtectedIntervals } from './protected-intervals.ts';
import { ReplicaDatagrams } from './replica-datagrams.ts';
import { ACK, endOf, parseFrame, type TcpSegment, timestampOf } from './segment.ts';
import { boundTimestamp } from './timestamp-bound.ts';
import { clampWindow, windowUpdate } from './window-promise.ts';

export class LockstepPrimary implements LockstepPrimaryApi {
  readonly #ports: PrimaryPorts;
  readonly #wish: CheckpointWish;
  readonly #intervals = new ProtectedIntervals();
  readonly #base = new BaseOffsets();
  readonly #connections = new ConnectionTable();
  readonly #replicaDatagrams = new ReplicaDatagrams();
  readonly #held = new HeldFrames();
  #future: SecondaryMessage[] = [];
  #comparing = true;
  #frozen = false;
  readonly #totals = { passed: 0, comparison: 0, commit: 0, grant: 0 };
  #droppedFull = 0;
  #ignored = 0;
  #clampedWindows = 0;

  constructor(ports: PrimaryPorts, limits: HoldLimits = DEFAULT_HOLD_LIMITS) {
    this.#ports = ports;
    this.#wish = new CheckpointWish(limits, (cause) => ports.wantCheckpoint(cause));
  }

  // --- a protection's life ---

  begin(session: number): void {
    if (this.#held.frames > 0)
      throw new Error(`${this.#held.frames} frames of an earlier protection are still held: release or drop them first`);
    this.#forgetReplica();
    this.#intervals.begin(session);
    this.#wish.forget();
    this.#ports.toPartner({ kind: 'begin', session, base: this.exportBase() });
  }

  guestStopped(): void {
    if (this.#intervals.isProtected) this.#ports.toPartner({ kind: 'mark' });
  }

  end(): void {
    this.#intervals.end();
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
    if (this.#intervals.isProtected && this.#intervals.isDue) this.#commit(nowMs);
    else this.#lookAgain(nowMs);
  }

  /** Nothing is protected, or frames of interval 0 before the first checkpoint. */
  #passes(interval: number): boolean {
    return !this.#frozen && this.#held.frames === 0 && this.#intervals.isFree(interval);
  }

  // --- the guest's output ---

  fromGuest(frame: Buffer, interval: number, nowMs: number): void {
    if (!this.#intervals.isProtected && interval > 0 && !this.#frozen) {
      // The counter of a session that this side has left.
      this.#output(frame, 0, nowMs);
      return;
    }
    this.#intervals.seen(interval);
    const tag = this.#intervals.tagOf(interval);
    const { current } = this.#intervals;
    if (this.#passes(interval) || (tag === current && current > 0)) this.#output(frame, tag, nowMs);
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
    if (begins && this.#intervals.isProtected) this.#tellIsn(s, interval);
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
    if (this.#intervals.isProtected) this.#intervals.seen(interval);
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
    return this.#comparing && !this.#frozen && !this.#intervals.isReplied && this.#intervals.isProtected;
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
    const { session, current, isReplied } = this.#intervals;
    if (message.session !== session || message.interval < current || (message.interval === current && isReplied)) {
      this.#ignored++;
      return;
    }
    if (message.interval > current) {
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

  onReply(interval: number): void {
    this.#intervals.replied(interval);
  }

  onCommit(interval: number, nowMs: number): void {
    if (this.#intervals.commit(interval) && !this.#frozen && this.#intervals.isDue) this.#commit(nowMs);
  }

  #commit(nowMs: number): void {
    this.#intervals.advance();
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
    this.#wish.forget();
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
      if (tag <= this.#intervals.committed) this.#outputCommitted(frame);
      else if (tag === this.#intervals.current) this.#output(frame, tag, at);
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
    if (!this.#intervals.isProtected || this.#wish.isAsked || this.#intervals.isReplied || this.#frozen) return;
    if (this.#held.list.length === 0 && this.#connections.waiting.size === 0) return;
    const cause = this.#comparing ? this.#wish.overdue(this.#held, this.#connections, nowMs) : 'passive';
    if (cause !== null) this.#want(cause);
  }

  #want(cause: CheckpointCause): void {
    if (this.#intervals.isProtected) this.#wish.ask(cause);
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
    if (this.#intervals.isProtected) this.#ports.toPartner({ kind: 'input', interval, frame });
    this.#connections.fromLan(frame);
    this.#ports.feed(this.#base.forGuest(frame));
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
      causes: this.#wish.causes,
      connections: this.#connections.size,
      forgottenConnections: this.#connections.forgotten,
      baseOffsets: this.#base.size,
      replicaBytes: this.#connections.keptBytes,
      replicaIgnored: this.#ignored,
      clampedWindows: this.#clampedWindows,
    };
  }
}
