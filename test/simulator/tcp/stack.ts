// A small TCP endpoint that behaves on the wire like Linux where it matters here: lazily drawn secrets for sequence numbers
// and timestamps, PAWS, SACK and D-SACK, delayed ACKs, fast retransmit, retransmission with backoff, window scale, zero
// window probes, challenge ACKs (RFC 5961). All of its state is plain data: `copy` is a checkpoint.
import type { Random } from '../random.ts';
import { ACK, add, after, before, decode, describe, encode, endOf, FIN, latest, lengthOf, RST, type Segment, SYN, sub } from './segment.ts';

/** Linux: TCP_RTO_MIN; the maximum is short so that a hang differs from patience. */
const RTO_FIRST_MS = 1000;
const RTO_MIN_MS = 200;
const RTO_MAX_MS = 3000;
const DELAYED_ACK_MS = 40;
/** Longer than any freeze of the pair: a peer that was away must not meet a stranger. */
const TIME_WAIT_MS = 15_000;
const RECEIVE_BUFFER_BYTES = 6000;
const SEND_BUFFER_BYTES = 8000;
const WINDOW_SHIFT = 3;
const INVALID_ANSWER_EVERY_MS = 500;
/** Orphaned: the application is done, the peer never closes (Linux: tcp_fin_timeout). */
const FIN_WAIT_2_MS = 30_000;

export interface Profile {
  host: number;
  mss: number;
  timestamps: boolean;
  sack: boolean;
  oddOptions: boolean;
  /** Probability that a segment is cut shorter than it could be. */
  shortSegments: number;
}

export interface Connection<App> {
  key: string;
  v6: boolean;
  peer: number;
  peerPort: number;
  localPort: number;
  state: 'synSent' | 'synReceived' | 'open' | 'timeWait';
  openedAt: number;
  iss: number;
  irs: number;
  una: number;
  next: number;
  max: number;
  sendWindow: number;
  sendShift: number;
  /** Bytes from `outStart` on: not acknowledged, or not sent. */
  out: Buffer;
  outStart: number;
  finQueued: boolean;
  finAcked: boolean;
  sacked: [number, number][];
  received: number;
  early: { seq: number; data: Buffer; fin: boolean }[];
  finReceived: boolean;
  inbox: Buffer;
  receiveShift: number;
  /** The right edge of the window that was offered never moves left. */
  edge: number;
  ts: { offset: number; recent: number; lastAckSent: number } | null;
  sackOn: boolean;
  mss: number;
  rtoAt: number | null;
  rto: number;
  backoff: number;
  ackAt: number | null;
  ackNow: boolean;
  unacked: number;
  duplicate: [number, number] | null;
  dupAcks: number;
  recover: number | null;
  congestion: number;
  waitUntil: number | null;
  /** Until then no answer to segments without content that do not fit. */
  quietUntil: number;
  /** The application wants to be called at this time. */
  appAt: number | null;
  app: App;
}

export type Ending = 'closed' | 'resetByPeer' | 'aborted' | 'refused';

/** What is left of a connection that is over. */
export interface Grave {
  key: string;
  iss: number;
  irs: number;
  max: number;
  received: number;
  ending: Ending;
}

export interface Behaviour<App extends object> {
  /** A peer connected to a local port; null: nobody listens. */
  accept(port: number): App | null;
  /** Bytes, room, end of stream, connected, or its time. */
  run(stack: Stack<App>, c: Connection<App>): void;
  ended(stack: Stack<App>, c: Connection<App>, how: Ending): void;
  copy(app: App): App;
}

interface Memory<App> {
  secret: number | null;
  ports: number;
  connections: Map<string, Connection<App>>;
  graves: Grave[];
  faults: string[];
  notes: Record<string, number>;
}

const mix = (a: number, b: number): number => {
  let x = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x165667b1, 0xc2b2ae35);
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
  return (x ^ (x >>> 13)) >>> 0;
};

export class Stack<App extends object> {
  readonly profile: Profile;
  readonly behaviour: Behaviour<App>;
  readonly random: Random;
  memory: Memory<App> = { secret: null, ports: 0, connections: new Map(), graves: [], faults: [], notes: {} };
  now = 0;
  /** Frames to the wire since last fetched. */
  #sent: Buffer[] = [];
  log: ((text: string) => void) | null = null;

  constructor(profile: Profile, behaviour: Behaviour<App>, random: Random) {
    this.profile = profile;
    this.behaviour = behaviour;
    this.random = random;
  }

  /** The same machine, going on by itself: what is random from here on differs. */
  copy(random: Random): Stack<App> {
    const other = new Stack(this.profile, this.behaviour, random);
    const m = this.memory;
    other.now = this.now;
    other.memory = {
      secret: m.secret,
      ports: m.ports,
      graves: [...m.graves],
      faults: [...m.faults],
      notes: { ...m.notes },
      connections: new Map(
        [...m.connections].map(([key, c]) => [
          key,
          {
            ...c,
            sacked: c.sacked.map(([l, r]) => [l, r]),
            early: c.early.map((e) => ({ ...e })),
            ts: c.ts ? { ...c.ts } : null,
            app: this.behaviour.copy(c.app),
          },
        ]),
      ),
    };
    return other;
  }

  takeSent(): Buffer[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }

  fault(text: string): void {
    this.memory.faults.push(text);
  }

  // ---- for applications

  connect(app: App, peer: number, peerPort: number, localPort: number, v6: boolean): boolean {
    const key = keyOf(v6, peer, peerPort, localPort);
    if (this.memory.connections.has(key)) return false;
    const c = this.#create(key, v6, peer, peerPort, localPort, app, 'synSent');
    this.#emitSyn(c, SYN);
    this.#armRto(c);
    return true;
  }

  /** Room in the send buffer. */
  room(c: Connection<App>): number {
    return c.finQueued ? 0 : Math.max(0, SEND_BUFFER_BYTES - c.out.length);
  }

  write(c: Connection<App>, bytes: Buffer): void {
    if (c.finQueued) throw new Error('write after close');
    c.out = c.out.length === 0 ? bytes : Buffer.concat([c.out, bytes]);
  }

  read(c: Connection<App>, atMost = Number.POSITIVE_INFINITY): Buffer {
    const taken = c.inbox.subarray(0, Math.min(atMost, c.inbox.length));
    const edgeBefore = add(c.received, this.#freeWindow(c));
    c.inbox = c.inbox.subarray(taken.length);
    // A window that was as good as closed and is open again is announced.
    if (taken.length > 0 && sub(c.edge, c.received) < c.mss && sub(add(c.received, this.#freeWindow(c)), edgeBefore) > 0) c.ackNow = true;
    return taken;
  }

  close(c: Connection<App>): void {
    c.finQueued = true;
  }

  abort(c: Connection<App>): void {
    this.#emit(c, { seq: c.max, flags: RST | ACK, payload: EMPTY });
    this.#bury(c, 'aborted');
  }

  // ---- time

  nextTimerAt(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const c of this.memory.connections.values()) {
      for (const t of [c.rtoAt, c.ackAt, c.waitUntil, c.appAt]) if (t !== null && t < at) at = t;
    }
    return at;
  }

  tick(now: number): void {
    this.now = Math.max(this.now, now);
    for (const c of [...this.memory.connections.values()]) {
      if (this.memory.connections.get(c.key) !== c) continue;
      if (c.waitUntil !== null && c.waitUntil <= now) {
        this.#bury(c, 'closed');
        continue;
      }
      if (c.appAt !== null && c.appAt <= now) {
        c.appAt = null;
        this.behaviour.run(this, c);
      }
      if (c.ackAt !== null && c.ackAt <= now) c.ackNow = true;
      if (this.memory.connections.get(c.key) !== c) continue;
      if (c.rtoAt !== null && c.rtoAt <= now) this.#timeout(c);
      this.#output(c);
    }
  }

  // ---- input

  receive(now: number, frame: Buffer): void {
    this.now = Math.max(this.now, now);
    const s = decode(frame);
    if (s === null || s === undefined) return;
    if ('wrong' in s) {
      this.fault(`a frame arrived broken: ${s.wrong}`);
      return;
    }
    if (s.dst !== this.profile.host) return;
    const key = keyOf(s.v6, s.src, s.sport, s.dport);
    const c = this.memory.connections.get(key);
    this.log?.(`hears ${describe(s)}`);
    if (!c) {
      this.#stranger(s, key);
      return;
    }
    if (c.state === 'synSent') this.#inSynSent(c, s);
    else this.#inConnection(c, s);
    if (this.memory.connections.get(key) === c) this.#output(c);
  }

  #stranger(s: Segment, key: string): void {
    if (s.flags & RST) return;
    if ((s.flags & (SYN | ACK)) === SYN) {
      const app = this.behaviour.accept(s.dport);
      if (app) {
        const c = this.#create(key, s.v6, s.src, s.sport, s.dport, app, 'synReceived');
        this.#learnSyn(c, s);
        this.#emitSyn(c, SYN | ACK);
        this.#armRto(c);
        return;
      }
    }
    this.#note('resetsToStrangers');
    this.log?.(`nobody for ${describe(s)}`);
    const base = { ...BARE, v6: s.v6, src: s.dst, dst: s.src, sport: s.dport, dport: s.sport, window: 0, payload: EMPTY };
    const reset: Segment =
      s.flags & ACK ? { ...base, seq: s.ack, ack: 0, flags: RST } : { ...base, seq: 0, ack: endOf(s), flags: RST | ACK };
    this.#sent.push(encode(reset));
  }

  #inSynSent(c: Connection<App>, s: Segment): void {
    if (s.flags & ACK) {
      const bad = s.ack !== add(c.iss, 1);
      // RFC 7323 as Linux does it: an echo of a time at which no SYN was sent.
      const badEcho = c.ts !== null && s.timestamps !== null && s.timestamps.echo !== 0 && this.#outOfTime(c, s.timestamps.echo);
      if (bad || badEcho) {
        this.#note(bad ? 'synSentBadAck' : 'synSentBadEcho');
        if (!(s.flags & RST)) this.#emit(c, { seq: s.ack, flags: RST, payload: EMPTY });
        return;
      }
    }
    if (s.flags & RST) {
      if (s.flags & ACK) this.#bury(c, 'refused');
      return;
    }
    if ((s.flags & (SYN | ACK)) !== (SYN | ACK)) return;
    this.#learnSyn(c, s);
    c.una = add(c.iss, 1);
    c.outStart = c.una;
    this.#window(c, s);
    c.state = 'open';
    c.rtoAt = null;
    c.backoff = 0;
    c.rto = RTO_MIN_MS;
    c.ackNow = true;
    this.behaviour.run(this, c);
  }

  #outOfTime(c: Connection<App>, echo: number): boolean {
    const since = sub(Math.floor(c.openedAt) >>> 0, 0);
    const offset = c.ts?.offset ?? 0;
    return before(echo, add(since, offset)) || after(echo, this.#timestamp(c));
  }

  #learnSyn(c: Connection<App>, s: Segment): void {
    c.irs = s.seq;
    c.received = add(s.seq, 1);
    c.edge = c.received;
    c.mss = Math.min(this.profile.mss, s.mss ?? 536);
    if (s.timestamps && c.ts) {
      c.ts.recent = s.timestamps.value;
      c.ts.lastAckSent = c.received;
    } else c.ts = null;
    c.sackOn = this.profile.sack && s.sackPermitted;
    if (s.windowShift === null) c.receiveShift = 0;
    c.sendShift = s.windowShift ?? 0;
    c.sendWindow = s.window;
  }

  #inConnection(c: Connection<App>, s: Segment): void {
    if (c.state === 'synReceived' && s.flags & SYN && !(s.flags & ACK) && s.seq === c.irs) {
      this.#emitSyn(c, SYN | ACK);
      return;
    }
    if (c.state === 'timeWait' && (s.flags & (SYN | ACK | RST)) === SYN && after(s.seq, c.received)) {
      this.#bury(c, 'closed');
      this.#stranger(s, c.key);
      return;
    }
    if (c.ts && s.timestamps && before(s.timestamps.value, c.ts.recent) && !(s.flags & RST)) {
      this.#note('paws');
      this.#outOfWindow(c, s);
      return;
    }
    const window = sub(c.edge, c.received);
    if (before(endOf(s), c.received) || after(s.seq, add(c.received, window))) {
      if (!(s.flags & RST)) {
        this.#duplicateSeen(c, s);
        this.#outOfWindow(c, s);
      }
      return;
    }
    if (s.flags & RST) {
      if (s.seq === c.received) this.#bury(c, 'resetByPeer');
      else {
        this.#note('resetChallenged');
        c.ackNow = true;
      }
      return;
    }
    if (s.flags & SYN) {
      c.ackNow = true;
      return;
    }
    if (!(s.flags & ACK)) return;
    if (c.state === 'synReceived') {
      if (s.ack !== add(c.iss, 1) && !(after(s.ack, c.una) && !after(s.ack, c.max))) {
        this.#emit(c, { seq: s.ack, flags: RST, payload: EMPTY });
        return;
      }
      c.state = 'open';
      c.una = add(c.iss, 1);
      c.outStart = c.una;
      c.rtoAt = null;
      c.backoff = 0;
      c.rto = RTO_MIN_MS;
      this.behaviour.run(this, c);
      if (this.memory.connections.get(c.key) !== c) return;
    }
    if (after(s.ack, c.max)) {
      this.#note('ackOfTheFuture');
      this.#outOfWindow(c, s);
      return;
    }
    if (c.ts && s.timestamps && !after(s.seq, c.ts.lastAckSent)) c.ts.recent = s.timestamps.value;
    this.#acknowledge(c, s);
    if (this.memory.connections.get(c.key) !== c) return;
    if (lengthOf(s) > 0) this.#data(c, s);
    this.behaviour.run(this, c);
    if (this.memory.connections.get(c.key) !== c) return;
    this.#ending(c);
  }

  /** Answered, but not for ever: two ends that disagree would talk without end (Linux: tcp_invalid_ratelimit). */
  #outOfWindow(c: Connection<App>, s: Segment): void {
    if (lengthOf(s) === 0) {
      if (this.now < c.quietUntil) return;
      c.quietUntil = this.now + INVALID_ANSWER_EVERY_MS;
    }
    c.ackNow = true;
  }

  #window(c: Connection<App>, s: Segment): void {
    c.sendWindow = s.flags & SYN ? s.window : s.window << c.sendShift;
  }

  #acknowledge(c: Connection<App>, s: Segment): void {
    if (before(s.ack, c.una)) return;
    const windowBefore = c.sendWindow;
    this.#window(c, s);
    if (c.sackOn)
      for (const [l, r] of s.sack) {
        if (before(l, c.iss) || after(r, c.max)) this.fault(`${c.key}: SACK of ${l}-${r}, sent was ${c.iss}-${c.max}`);
        if (before(l, s.ack) || after(r, c.max) || !after(r, l)) continue;
        c.sacked.push([l, r]);
      }
    if (s.ack !== c.una) {
      const n = sub(s.ack, c.una);
      c.una = s.ack;
      const bytes = Math.min(c.out.length, sub(s.ack, c.outStart));
      c.out = c.out.subarray(bytes);
      c.outStart = add(c.outStart, bytes);
      if (c.finQueued && c.out.length === 0 && s.ack === add(c.outStart, 1)) c.finAcked = true;
      if (before(c.next, c.una)) c.next = c.una;
      c.sacked = c.sacked.filter(([, r]) => after(r, c.una));
      c.dupAcks = 0;
      c.backoff = 0;
      c.rto = RTO_MIN_MS;
      c.congestion = Math.min(c.congestion + Math.min(n, c.mss), 20 * c.mss);
      if (c.recover !== null) {
        if (after(c.una, c.recover)) c.recover = null;
        else this.#retransmitHole(c);
      }
      c.rtoAt = c.una === c.max ? null : this.now + c.rto;
    } else if (c.una !== c.max && lengthOf(s) === 0 && c.sendWindow === windowBefore) {
      c.dupAcks++;
      if (c.dupAcks === 3 && c.recover === null) {
        this.#note('fastRetransmit');
        c.recover = c.max;
        c.congestion = Math.max(2 * c.mss, c.congestion / 2);
        this.#retransmitHole(c);
      }
    }
  }

  #retransmitHole(c: Connection<App>): void {
    let from = c.una;
    for (let moved = true; moved; ) {
      moved = false;
      for (const [l, r] of c.sacked) {
        if (!after(l, from) && after(r, from)) {
          from = r;
          moved = true;
        }
      }
    }
    if (before(from, c.max)) this.#sendFrom(c, from, true);
  }

  #duplicateSeen(c: Connection<App>, s: Segment): void {
    if (c.sackOn && s.payload.length > 0 && before(s.seq, c.received))
      c.duplicate = [s.seq, before(endOf(s), c.received) ? endOf(s) : c.received];
  }

  #data(c: Connection<App>, s: Segment): void {
    const end = endOf(s);
    if (!after(end, c.received)) {
      this.#duplicateSeen(c, s);
      c.ackNow = true;
      return;
    }
    if (c.finReceived) return;
    let seq = s.seq;
    let data = s.payload;
    let fin = (s.flags & FIN) !== 0;
    if (before(seq, c.received)) {
      this.#duplicateSeen(c, s);
      data = data.subarray(sub(c.received, seq));
      seq = c.received;
    }
    const fits = sub(c.edge, seq);
    if (data.length > fits) {
      data = data.subarray(0, fits);
      fin = false;
    }
    c.early.push({ seq, data, fin });
    if (seq !== c.received) {
      c.ackNow = true;
      return;
    }
    const holes = c.early.length > 1;
    for (let moved = true; moved; ) {
      moved = false;
      for (const e of c.early) {
        if (c.finReceived || after(e.seq, c.received)) continue;
        const skip = sub(c.received, e.seq);
        if (skip > e.data.length || (skip === e.data.length && !e.fin)) continue;
        const fresh = e.data.subarray(skip);
        c.inbox = c.inbox.length === 0 ? fresh : Buffer.concat([c.inbox, fresh]);
        c.received = add(c.received, fresh.length);
        if (e.fin) {
          c.finReceived = true;
          c.received = add(c.received, 1);
        }
        moved = true;
      }
    }
    c.early = c.early.filter((e) => after(add(e.seq, e.data.length), c.received));
    c.unacked++;
    if (c.unacked >= 2 || holes || c.finReceived) c.ackNow = true;
    else c.ackAt ??= this.now + DELAYED_ACK_MS * (0.2 + 0.8 * this.random.next());
  }

  #ending(c: Connection<App>): void {
    if (!c.finAcked) return;
    if (c.finReceived) {
      if (c.state !== 'timeWait') {
        c.state = 'timeWait';
        c.rtoAt = null;
        c.waitUntil = this.now + TIME_WAIT_MS;
      }
    } else c.waitUntil = this.now + FIN_WAIT_2_MS;
  }

  // ---- output

  #timeout(c: Connection<App>): void {
    c.backoff++;
    this.#note('timeouts');
    c.rto = Math.min(RTO_MAX_MS, c.rto * 2);
    c.rtoAt = this.now + c.rto;
    if (c.state === 'synSent') {
      this.#emitSyn(c, SYN);
      return;
    }
    if (c.state === 'synReceived') {
      this.#emitSyn(c, SYN | ACK);
      return;
    }
    if (c.una === c.max) {
      // Closed window: a probe below the window; the answer tells the window (Linux: tcp_xmit_probe_skb).
      this.#emit(c, { seq: sub(c.una, 1), flags: ACK, payload: EMPTY });
      return;
    }
    // RFC 2018: after a timeout what was SACKed may have been forgotten by the receiver.
    c.sacked = [];
    c.recover = null;
    c.dupAcks = 0;
    c.congestion = 2 * c.mss;
    c.next = c.una;
    this.#sendFrom(c, c.una, true);
    c.next = latest(c.next, add(c.una, 1));
  }

  /** One segment that begins at `from`; answers its end. */
  #sendFrom(c: Connection<App>, from: number, again: boolean): number {
    const start = sub(from, c.outStart);
    const overhead = c.ts ? 12 : 0;
    let n = Math.min(c.mss - overhead, c.out.length - start);
    if (n > 1 && this.random.chance(this.profile.shortSegments)) n = 1 + Math.floor(this.random.next() * n);
    if (again) n = Math.min(n, Math.max(1, c.sendWindow - sub(from, c.una)));
    n = Math.max(0, n);
    const fin = c.finQueued && start + n === c.out.length && !c.finAcked;
    const payload = c.out.subarray(start, start + n);
    if (payload.length === 0 && !fin) return from;
    this.#emit(c, { seq: from, flags: ACK | (fin ? FIN : 0), payload });
    const end = add(from, payload.length + (fin ? 1 : 0));
    c.max = latest(c.max, end);
    return end;
  }

  #output(c: Connection<App>): void {
    if (c.state === 'open') {
      for (let burst = 0; burst < 40; burst++) {
        const flight = sub(c.next, c.una);
        const window = Math.min(c.sendWindow, c.congestion) - flight;
        const left = c.out.length - sub(c.next, c.outStart);
        const finLeft = c.finQueued && !c.finAcked && c.next === add(c.outStart, c.out.length);
        if (finLeft && c.out.length === sub(c.next, c.outStart)) {
          c.next = this.#sendFrom(c, c.next, false);
          break;
        }
        if (left <= 0 || window <= 0 || (window < Math.min(left, c.mss) && flight > 0)) break;
        const end = this.#limited(c, window);
        if (end === c.next) break;
        c.next = end;
      }
      const more = before(c.next, add(c.outStart, c.out.length));
      if (c.una !== c.max || more) c.rtoAt ??= this.now + c.rto;
      this.#ending(c);
    }
    if (c.ackNow && c.state !== 'synSent') this.#emit(c, { seq: c.max, flags: ACK, payload: EMPTY });
  }

  #limited(c: Connection<App>, window: number): number {
    const whole = c.out;
    const fin = c.finQueued;
    const start = sub(c.next, c.outStart);
    if (whole.length - start > window) {
      c.out = whole.subarray(0, start + window);
      c.finQueued = false;
    }
    const end = this.#sendFrom(c, c.next, false);
    c.out = whole;
    c.finQueued = fin;
    return end;
  }

  #freeWindow(c: Connection<App>): number {
    return Math.max(0, RECEIVE_BUFFER_BYTES - c.inbox.length);
  }

  #timestamp(c: Connection<App>): number {
    return add(Math.floor(this.now) >>> 0, c.ts?.offset ?? 0);
  }

  #emit(c: Connection<App>, what: { seq: number; flags: number; payload: Buffer }): void {
    let window = this.#freeWindow(c);
    // Never moves left; a window too small to be worth it is not offered (silly window syndrome).
    const offered = Math.max(0, sub(c.edge, c.received) | 0);
    if (window < c.mss && window - offered < c.mss) window = offered;
    window = Math.max(window, offered);
    const shown = (window >> c.receiveShift) << c.receiveShift;
    if (what.flags & ACK && after(add(c.received, shown), c.edge)) c.edge = add(c.received, shown);
    const sack: [number, number][] = [];
    if (what.flags & ACK && c.sackOn) {
      if (c.duplicate) sack.push(c.duplicate);
      for (const e of [...c.early].reverse().slice(0, 3)) if (e.data.length > 0) sack.push([e.seq, add(e.seq, e.data.length)]);
      c.duplicate = null;
    }
    const s: Segment = {
      ...BARE,
      v6: c.v6,
      src: this.profile.host,
      dst: c.peer,
      sport: c.localPort,
      dport: c.peerPort,
      seq: what.seq,
      ack: what.flags & ACK ? c.received : 0,
      flags: what.flags,
      window: Math.min(0xffff, sub(c.edge, c.received) >> c.receiveShift),
      sack,
      timestamps: c.ts && !(what.flags & RST && !(what.flags & ACK)) ? { value: this.#timestamp(c), echo: c.ts.recent } : null,
      payload: what.payload,
    };
    this.#push(s);
    if (what.flags & ACK) {
      if (c.ts) c.ts.lastAckSent = c.received;
      c.ackNow = false;
      c.ackAt = null;
      c.unacked = 0;
    }
  }

  #emitSyn(c: Connection<App>, flags: number): void {
    const answering = (flags & ACK) !== 0;
    this.#push({
      ...BARE,
      v6: c.v6,
      src: this.profile.host,
      dst: c.peer,
      sport: c.localPort,
      dport: c.peerPort,
      seq: c.iss,
      ack: answering ? c.received : 0,
      flags,
      window: RECEIVE_BUFFER_BYTES,
      mss: this.profile.mss,
      windowShift: answering && c.receiveShift === 0 ? null : WINDOW_SHIFT,
      sackPermitted: answering ? c.sackOn : this.profile.sack,
      timestamps: c.ts ? { value: this.#timestamp(c), echo: answering ? c.ts.recent : 0 } : null,
      payload: EMPTY,
    });
    c.edge = answering ? latest(c.edge, add(c.received, RECEIVE_BUFFER_BYTES)) : c.edge;
    c.max = add(c.iss, 1);
    c.next = c.max;
  }

  #push(s: Segment): void {
    this.log?.(`sends ${describe(s)}`);
    this.#sent.push(encode(s, this.profile.oddOptions));
  }

  #armRto(c: Connection<App>): void {
    c.rto = RTO_FIRST_MS;
    c.rtoAt = this.now + c.rto;
  }

  #create(
    key: string,
    v6: boolean,
    peer: number,
    peerPort: number,
    localPort: number,
    app: App,
    state: 'synSent' | 'synReceived',
  ): Connection<App> {
    // Linux: net_get_random_once at the first connection, not at boot.
    this.memory.secret ??= Math.floor(this.random.next() * 0x100000000);
    const hash = mix(mix(this.memory.secret, (peer << 16) | peerPort), (localPort << 1) | (v6 ? 1 : 0));
    const iss = add(hash, Math.floor(this.now * 15_625) >>> 0);
    const c: Connection<App> = {
      key,
      v6,
      peer,
      peerPort,
      localPort,
      state,
      openedAt: this.now,
      iss,
      irs: 0,
      una: iss,
      next: iss,
      max: iss,
      sendWindow: 0,
      sendShift: 0,
      out: EMPTY,
      outStart: add(iss, 1),
      finQueued: false,
      finAcked: false,
      sacked: [],
      received: 0,
      early: [],
      finReceived: false,
      inbox: EMPTY,
      receiveShift: WINDOW_SHIFT,
      edge: 0,
      ts: this.profile.timestamps ? { offset: mix(this.memory.secret ^ 0x7773, peer), recent: 0, lastAckSent: 0 } : null,
      sackOn: false,
      mss: this.profile.mss,
      rtoAt: null,
      rto: RTO_FIRST_MS,
      backoff: 0,
      ackAt: null,
      ackNow: false,
      unacked: 0,
      duplicate: null,
      dupAcks: 0,
      recover: null,
      congestion: 10 * this.profile.mss,
      waitUntil: null,
      quietUntil: 0,
      appAt: null,
      app,
    };
    this.memory.connections.set(key, c);
    return c;
  }

  #bury(c: Connection<App>, ending: Ending): void {
    this.memory.connections.delete(c.key);
    this.memory.graves.push({ key: c.key, iss: c.iss, irs: c.irs, max: c.max, received: c.received, ending });
    this.log?.(`${c.key} ${ending}`);
    this.behaviour.ended(this, c, ending);
  }

  #note(what: string): void {
    this.memory.notes[what] = (this.memory.notes[what] ?? 0) + 1;
  }
}

export function keyOf(v6: boolean, peer: number, peerPort: number, localPort: number): string {
  return `${v6 ? 6 : 4}/${peer}:${peerPort}/${localPort}`;
}

const EMPTY = Buffer.alloc(0);
const BARE = { mss: null, windowShift: null, sackPermitted: false, sack: [], timestamps: null } as const;
