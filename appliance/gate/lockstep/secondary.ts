// Lockstep at the partner: feeds the replica the guest's inputs, and tells the primary what the replica answers. It alone learns
// how the replica's numbers differ from the LAN's, so that a SYN-ACK which the primary released proves that a takeover can carry
// the connection on.
//
//   inputs (LAN) --- + offset ---> replica           stopped .. loaded: inputs are held, the replica's frames wait
//   primary  <------ - offset ---- replica
//
// A connection that begins in an interval: the primary tells its number (isn), the replica's own SYN is held until both are known;
// the difference is the offset, for sequence numbers and for timestamps. At LOADED the replica is the primary's copy: the
// offsets are the primary's base again.
import {
  type BaseOffset,
  type ConnectionKey,
  INPUT_LIMIT_BYTES,
  INPUT_LIMIT_FRAMES,
  type LockstepSecondaryApi,
  OFFSET_LIMIT,
  type PrimaryMessage,
  type SecondaryPorts,
  type SecondaryStatistics,
  WAITING_LIMIT_FRAMES,
} from './api.ts';
import { ClientProbes } from './client-probes.ts';
import { FrameRing } from './frame-ring.ts';
import { isForProbe } from './probe-frames.ts';
import {
  ACK,
  add,
  after,
  endOf,
  latestTime,
  parseFrame,
  quotedSegment,
  RST,
  replace32,
  SYN,
  setTimestamp,
  subtract,
  type TcpSegment,
  timestampOf,
  translateForGuest,
  translateForLan,
} from './segment.ts';

/** Connections whose SYN may come again after a LOADED: half-open ones. */
const REMEMBERED_LIMIT = 4096;

/** What the replica said lately, to be said again after a takeover: some windows, far less than a client could mind to get twice. */
const UNSEEN_LIMIT_BYTES = 1024 * 1024;
const UNSEEN_LIMIT_FRAMES = 1024;

interface Side {
  sequence: number;
  timestamp: number | null;
  answers: number | null;
  /** Its partner was found: both are the same connection. */
  paired: boolean;
}

interface Entry {
  /** Replica minus LAN; null: equal. */
  offset: { sequence: number; timestamp: number } | null;
  primary: (Side & { interval: number }) | null;
  replica: Side | null;
  /** The replica's SYN, until the primary's is known. Nothing of the connection is told meanwhile. */
  held: Buffer | null;
}

export class LockstepSecondary implements LockstepSecondaryApi {
  readonly #ports: SecondaryPorts;
  #session: number | null = null;
  #base = new Map<ConnectionKey, BaseOffset>();
  #entries = new Map<ConnectionKey, Entry>();
  /** Of connections that are equal since a LOADED: the primary's initial numbers, which are the replica's. */
  #remembered = new Map<ConnectionKey, number>();
  /** Inputs for a replica that does not run. */
  readonly #inputs = new FrameRing(INPUT_LIMIT_BYTES, INPUT_LIMIT_FRAMES);
  #waiting: Buffer[] = [];
  /** LAN coordinates, this interval's. */
  readonly #said = new FrameRing(UNSEEN_LIMIT_BYTES, UNSEEN_LIMIT_FRAMES);
  /** The client's acknowledgements in this interval. */
  readonly #acknowledged = new Map<ConnectionKey, number>();
  readonly #probes = new ClientProbes();
  #running = false;
  /** The interval of what the replica sends. */
  #interval = 0;
  #overflowed = false;
  #lostOutputs = 0;
  #outputs = 0;
  #outputBytes = 0;

  constructor(ports: SecondaryPorts) {
    this.#ports = ports;
  }

  fromPartner(message: PrimaryMessage): void {
    switch (message.kind) {
      case 'begin':
        this.#begin(message.session, message.base);
        return;
      case 'mark':
        if (this.#interval === 0) this.#inputs.clear();
        return;
      case 'input':
        if (this.#session === null) return;
        if (this.#running) this.#feed(message.frame);
        else this.#inputs.push(message.frame);
        return;
      case 'isn':
        if (this.#session !== null) this.#onIsn(message);
        return;
      default:
        message satisfies never;
    }
  }

  #begin(session: number, base: readonly BaseOffset[]): void {
    this.#session = session;
    this.#base = new Map(base.slice(-OFFSET_LIMIT).map((b) => [b.key, b]));
    this.#remembered.clear();
    this.#entries.clear();
    this.#inputs.clear();
    this.#waiting = [];
    this.#forgetSaid();
    this.#probes.clear();
    this.#running = false;
    this.#interval = 0;
    this.#overflowed = false;
  }

  // --- inputs ---

  #feed(frame: Buffer): void {
    const parsed = parseFrame(frame, false);
    if (parsed.kind === 'tcp') {
      if (parsed.flags & ACK) this.#noteAcknowledged(parsed);
      this.#probes.note(parsed);
      const offset = this.#entries.get(parsed.key)?.offset;
      if (offset) translateForGuest(parsed, offset.sequence, offset.timestamp);
    } else if (this.#entries.size > 0) this.#translateQuoted(frame);
    this.#ports.feed(frame);
  }

  #translateQuoted(frame: Buffer): void {
    const quoted = quotedSegment(frame);
    const offset = quoted ? this.#entries.get(quoted.key)?.offset : null;
    if (!quoted || !offset) return;
    replace32(frame, quoted.sequenceAt, add(frame.readUInt32BE(quoted.sequenceAt), offset.sequence), quoted.checksumAt, false);
  }

  #noteAcknowledged(s: TcpSegment): void {
    const before = this.#acknowledged.get(s.key);
    if (before === undefined ? this.#acknowledged.size < OFFSET_LIMIT : after(s.acknowledgement, before))
      this.#acknowledged.set(s.key, s.acknowledgement);
  }

  // --- the replica's output ---

  fromReplica(frame: Buffer): void {
    if (this.#running) this.#output(frame);
    else if (this.#session !== null && !isForProbe(frame, this.#session)) {
      if (this.#waiting.length >= WAITING_LIMIT_FRAMES) this.#lostOutputs++;
      else this.#waiting.push(frame);
    }
  }

  #output(frame: Buffer): void {
    const parsed = parseFrame(frame, true);
    if (parsed.kind === 'datagram') this.#tell(frame, false);
    else if (parsed.kind === 'control') {
      // The gate's own questions are answered also by ARP and neighbour discovery.
      if (this.#session !== null && isForProbe(frame, this.#session)) this.#tell(frame, false);
    }
    // The primary's own are never compared: it would only be traffic.
    else if (parsed.kind === 'tcp' && !this.#overflowed) this.#segment(parsed);
  }

  #segment(s: TcpSegment): void {
    const entry = this.#entries.get(s.key);
    if ((s.flags & (SYN | RST)) === SYN && !this.#isKnownSyn(s, entry)) {
      this.#onReplicaSyn(s, entry);
      return;
    }
    if (entry?.held) return;
    this.#translateAndTell(s, entry);
  }

  #isKnownSyn(s: TcpSegment, entry: Entry | undefined): boolean {
    if (entry?.replica?.paired && entry.replica.sequence === s.sequence) return true;
    return !entry && this.#remembered.get(s.key) === s.sequence;
  }

  #translateAndTell(s: TcpSegment, entry: Entry | undefined): void {
    if (entry?.offset) translateForLan(s, entry.offset.sequence, entry.offset.timestamp);
    this.#tell(s.frame, true);
  }

  #tell(frame: Buffer, isStream: boolean): void {
    if (this.#session === null) return;
    if (isStream) this.#said.push(frame);
    this.#outputs++;
    this.#outputBytes += frame.length;
    this.#ports.toPartner({ kind: 'output', session: this.#session, interval: this.#interval, frame });
  }

  // --- learning ---

  #onReplicaSyn(s: TcpSegment, found: Entry | undefined): void {
    const entry = found ?? this.#newEntry(s.key);
    if (!entry) return;
    entry.replica = { sequence: s.sequence, timestamp: timestampOf(s), answers: s.flags & ACK ? s.acknowledgement : null, paired: false };
    entry.held = s.frame;
    this.#pair(entry);
  }

  #onIsn(m: Extract<PrimaryMessage, { kind: 'isn' }>): void {
    const entry = this.#entries.get(m.key) ?? this.#newEntry(m.key);
    if (!entry) return;
    if (entry.primary?.sequence === m.sequence) return;
    entry.primary = { sequence: m.sequence, timestamp: m.timestamp, answers: m.answers, paired: false, interval: m.interval };
    this.#pair(entry);
  }

  #newEntry(key: ConnectionKey): Entry | null {
    if (this.#entries.size >= OFFSET_LIMIT * 2) {
      this.#overflowed = true;
      return null;
    }
    const entry: Entry = { offset: null, primary: null, replica: null, held: null };
    this.#entries.set(key, entry);
    return entry;
  }

  /** Both are new, and answer the same SYN: the same connection. */
  #pair(entry: Entry): void {
    const { primary, replica, held } = entry;
    if (!primary || !replica || !held || primary.paired || replica.paired || primary.answers !== replica.answers) return;
    primary.paired = true;
    replica.paired = true;
    const sequence = subtract(replica.sequence, primary.sequence);
    const both = primary.timestamp !== null && replica.timestamp !== null;
    const timestamp = both ? subtract(replica.timestamp ?? 0, primary.timestamp ?? 0) : 0;
    entry.offset = sequence === 0 && timestamp === 0 ? null : { sequence, timestamp };
    entry.held = null;
    const s = parseFrame(held, true);
    if (s.kind === 'tcp') this.#translateAndTell(s, entry);
  }

  // --- checkpoints ---

  onStopped(interval: number): void {
    if (this.#session !== null && interval === this.#interval) this.#running = false;
  }

  onLoaded(interval: number): void {
    if (this.#session === null) return;
    const entries = new Map<ConnectionKey, Entry>();
    for (const [key, { primary }] of this.#entries) {
      if (!primary) continue;
      if (primary.interval > interval)
        entries.set(key, { offset: null, primary: { ...primary, paired: false }, replica: null, held: null });
      else {
        // In the state that was loaded this connection took the place of an earlier one.
        this.#base.delete(key);
        this.#remember(key, primary.sequence);
      }
    }
    for (const [key, base] of this.#base) {
      const entry = entries.get(key) ?? { offset: null, primary: null, replica: null, held: null };
      entry.offset = { sequence: base.sequence, timestamp: base.timestamp };
      if (base.guestIsn !== null) entry.replica = { sequence: base.guestIsn, timestamp: null, answers: null, paired: true };
      entries.set(key, entry);
    }
    this.#entries = entries;
    this.#overflowed = false;
    this.#forgetSaid();
    this.#probes.turn();
    this.#interval = interval + 1;
    this.#running = true;
    for (const frame of this.#inputs.takeAll()) this.#feed(frame);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const frame of waiting) this.#output(frame);
  }

  #remember(key: ConnectionKey, sequence: number): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, sequence);
    // All at once: finding the oldest passes by all that were deleted before.
    if (this.#remembered.size > REMEMBERED_LIMIT) this.#remembered.clear();
  }

  #forgetSaid(): void {
    this.#said.clear();
    this.#acknowledged.clear();
  }

  // --- takeover ---

  takeOver(): { base: BaseOffset[]; fedFrames: number; late: Buffer[]; unseen: Buffer[] } {
    const inputs = this.#inputs.takeAll();
    for (const frame of inputs) this.#feed(frame);
    const probes = this.#probes.takeAll();
    for (const frame of probes) this.#feed(frame);
    // A connection whose SYN nobody outside has seen yet has the replica's own numbers.
    const late = [...this.#entries.values()].flatMap((e) => (e.held ? [e.held] : []));
    late.push(...this.#waiting);
    const result = { base: this.#exportBase(), fedFrames: inputs.length + probes.length, late, unseen: this.#unseen() };
    this.#session = null;
    this.#running = false;
    this.#waiting = [];
    this.#entries = new Map();
    this.#base = new Map();
    this.#forgetSaid();
    return result;
  }

  #exportBase(): BaseOffset[] {
    const base: BaseOffset[] = [];
    for (const [key, { offset, replica, held }] of this.#entries) {
      if (!offset || held) continue;
      base.push({ key, ...offset, guestIsn: replica?.paired ? replica.sequence : null });
    }
    return base.slice(-OFFSET_LIMIT);
  }

  /** Segments that no client has acknowledged, and the last bare acknowledgement of each connection; all with its latest time. */
  #unseen(): Buffer[] {
    const kept: Buffer[] = [];
    const lastBare = new Set<ConnectionKey>();
    const times = new Map<ConnectionKey, number | null>();
    for (const frame of this.#said.takeAll().reverse()) {
      const s = parseFrame(frame, true);
      if (s.kind !== 'tcp' || s.flags & RST) continue;
      // The client may have heard a later one already: an older one would be dropped there.
      const time = latestTime(times.get(s.key) ?? null, timestampOf(s));
      times.set(s.key, time);
      const isBare = s.endAt === s.payloadAt && (s.flags & SYN) === 0 && !(s.flags & 1);
      const acknowledged = this.#acknowledged.get(s.key);
      if (isBare ? lastBare.has(s.key) : acknowledged !== undefined && !after(endOf(s), acknowledged)) continue;
      if (isBare) lastBare.add(s.key);
      if (time !== null) setTimestamp(s, time);
      kept.push(frame);
    }
    return kept.reverse();
  }

  statistics(): SecondaryStatistics {
    let offsets = 0;
    for (const { offset } of this.#entries.values()) if (offset) offsets++;
    return {
      inSession: this.#session !== null,
      offsets,
      heldInputs: this.#inputs.frames,
      waitingOutputs: this.#waiting.length,
      lostInputs: this.#inputs.forgotten,
      lostOutputs: this.#lostOutputs,
      overflowed: this.#overflowed,
      outputs: this.#outputs,
      outputBytes: this.#outputBytes,
    };
  }
}
