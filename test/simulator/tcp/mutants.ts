// Deliberate faults of the gate, each one rule broken, made around the rules and not inside them: by forging what one side
// hears, or by withholding a call. A simulation that does not find every one of them proves nothing.
import type {
  LockstepPrimaryApi,
  LockstepSecondaryApi,
  PrimaryMessage,
  PrimaryPorts,
  SecondaryPorts,
} from '../../../appliance/gate/lockstep/api.ts';
import type { Gates } from './pair.ts';
import { ACK, add, decode, encode, RST, type Segment, SYN, tcpChecksum } from './segment.ts';
import { keyOf } from './stack.ts';

export interface Mutant {
  name: string;
  around(rules: Gates): Gates;
}

type Change<T> = Partial<T>;

/** `inner` with some of its methods replaced. */
function changed<T extends object>(inner: T, change: Change<T>): T {
  return new Proxy(inner, {
    get(target, name) {
      const replaced: unknown = Reflect.get(change, name);
      if (replaced !== undefined) return replaced;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function segmentOf(frame: Buffer): Segment | null {
  const s = decode(frame);
  return s === null || 'wrong' in s ? null : s;
}

/** The primary hears, for each frame of its guest, something that the replica never said. */
function forged(name: string, forge: (s: Segment) => Segment | null): Mutant {
  return {
    name,
    around: (rules) => ({
      ...rules,
      primary: (ports) => {
        let session = 0;
        const inner = rules.primary(ports);
        return changed<LockstepPrimaryApi>(inner, {
          begin: (s) => {
            session = s;
            inner.begin(s);
          },
          fromGuest: (frame, interval, nowMs) => {
            const s = segmentOf(frame);
            const lie = s === null ? null : forge(s);
            inner.fromGuest(frame, interval, nowMs);
            if (lie && interval > 0) inner.fromPartner({ kind: 'output', session, interval, frame: encode(lie) }, nowMs);
          },
        });
      },
    }),
  };
}

function changedMessage(name: string, change: (m: PrimaryMessage) => PrimaryMessage): Mutant {
  return {
    name,
    around: (rules) => ({
      ...rules,
      secondary: (ports) => {
        const inner = rules.secondary(ports);
        return changed<LockstepSecondaryApi>(inner, { fromPartner: (m) => inner.fromPartner(change(m)) });
      },
    }),
  };
}

/** Frames carry a number on their way through the rules (in a part of the MAC that no rule reads), so that what went in is known when it comes out. */
const STAMP_AT = 8;

class Stamps {
  readonly #frames = new Map<number, Buffer>();
  #next = 0;

  put(frame: Buffer): Buffer {
    const stamped = Buffer.from(frame);
    this.#next = (this.#next + 1) & 0xffff;
    stamped.writeUInt16BE(this.#next, STAMP_AT);
    this.#frames.set(this.#next, Buffer.from(frame));
    return stamped;
  }

  take(frame: Buffer): Buffer | null {
    const original = this.#frames.get(frame.readUInt16BE(STAMP_AT)) ?? null;
    frame.writeUInt16BE(0, STAMP_AT);
    return original;
  }
}

/** SACK blocks arrive as they were on the LAN. */
function withSackOf(original: Buffer | null, frame: Buffer): Buffer {
  const was = original && segmentOf(original);
  const is = segmentOf(frame);
  if (!was || !is || is.sack.length === 0 || was.sack.every(([l], i) => l === is.sack[i]?.[0])) return frame;
  return encode({ ...is, sack: was.sack });
}

const sackNotTranslated: Mutant = {
  name: 'SACK blocks are not translated',
  around: (rules) => ({
    ...rules,
    primary: (ports) => {
      const stamps = new Stamps();
      const inner = rules.primary({
        ...ports,
        feed: (frame) => {
          const copy = Buffer.from(frame);
          ports.feed(withSackOf(stamps.take(copy), copy));
        },
        toPartner: (m) => {
          if (m.kind !== 'input') return ports.toPartner(m);
          const copy = Buffer.from(m.frame);
          stamps.take(copy);
          ports.toPartner({ ...m, frame: copy });
        },
      });
      return changed<LockstepPrimaryApi>(inner, { fromLan: (frame, interval) => inner.fromLan(stamps.put(frame), interval) });
    },
    secondary: (ports) => {
      const stamps = new Stamps();
      const inner = rules.secondary({
        ...ports,
        feed: (frame) => {
          const copy = Buffer.from(frame);
          ports.feed(withSackOf(stamps.take(copy), copy));
        },
      });
      return changed<LockstepSecondaryApi>(inner, {
        fromPartner: (m) => inner.fromPartner(m.kind === 'input' ? { ...m, frame: stamps.put(m.frame) } : m),
      });
    },
  }),
};

/** The secondary's rules never hear of checkpoints; the cuts of the input and the tags of the output are kept right around them. */
const offsetsKept: Mutant = {
  name: 'offsets are kept at a commit',
  around: (rules) => ({
    ...rules,
    secondary: (ports) => {
      let stopped = false;
      let loaded = -1;
      const inputs: Buffer[] = [];
      const outputs: Buffer[] = [];
      const inner = rules.secondary({
        feed: (frame) => {
          if (stopped) inputs.push(Buffer.from(frame));
          else ports.feed(frame);
        },
        toPartner: (m) => ports.toPartner({ ...m, interval: loaded + 1 }),
      });
      const run = () => {
        stopped = false;
        for (const frame of inputs.splice(0)) ports.feed(frame);
      };
      return changed<LockstepSecondaryApi>(inner, {
        fromReplica: (frame) => {
          if (stopped) outputs.push(frame);
          else inner.fromReplica(frame);
        },
        onStopped: () => {
          stopped = true;
        },
        onLoaded: (interval) => {
          loaded = interval;
          if (interval === 0) inner.onLoaded(0);
          run();
          for (const frame of outputs.splice(0)) inner.fromReplica(frame);
        },
        takeOver: () => {
          run();
          return inner.takeOver();
        },
      });
    },
  }),
};

const TCP_PORTS = { v4: 34, v6: 54 } as const;

/** Only the lower bytes of the ports pass through the rules; the upper ones travel beside them. */
function cutPorts(frame: Buffer): Buffer {
  const s = segmentOf(frame);
  if (!s) return frame;
  const at = s.v6 ? TCP_PORTS.v6 : TCP_PORTS.v4;
  const cut = Buffer.from(frame);
  cut[STAMP_AT] = frame[at] ?? 0;
  cut[STAMP_AT + 1] = frame[at + 2] ?? 0;
  cut[at] = 0;
  cut[at + 2] = 0;
  tcpChecksum(cut);
  return cut;
}

function wholePorts(frame: Buffer): Buffer {
  const s = segmentOf(frame);
  if (!s) return frame;
  const at = s.v6 ? TCP_PORTS.v6 : TCP_PORTS.v4;
  const whole = Buffer.from(frame);
  whole[at] = frame[STAMP_AT] ?? 0;
  whole[at + 2] = frame[STAMP_AT + 1] ?? 0;
  whole[STAMP_AT] = 0;
  whole[STAMP_AT + 1] = 0;
  tcpChecksum(whole);
  return whole;
}

const keyCollision: Mutant = {
  name: 'ports above 255 are confused',
  around: (rules) => ({
    ...rules,
    primary: (ports) => {
      const inner = rules.primary({
        ...ports,
        release: (frame, by) => ports.release(wholePorts(frame), by),
        feed: (frame) => ports.feed(wholePorts(frame)),
      });
      return changed<LockstepPrimaryApi>(inner, {
        fromGuest: (frame, interval, nowMs) => inner.fromGuest(cutPorts(frame), interval, nowMs),
        fromLan: (frame, interval) => inner.fromLan(cutPorts(frame), interval),
      });
    },
    secondary: (ports) => {
      const inner = rules.secondary({ ...ports, feed: (frame) => ports.feed(wholePorts(frame)) });
      return changed<LockstepSecondaryApi>(inner, {
        fromReplica: (frame) => inner.fromReplica(cutPorts(frame)),
        takeOver: () => {
          const taken = inner.takeOver();
          return { ...taken, late: taken.late.map(wholePorts), unseen: taken.unseen.map(wholePorts) };
        },
      });
    },
  }),
};

/** Whatever the replica says at a place, the primary hears its own bytes. */
const bytesNotCompared: Mutant = {
  name: 'bytes are not compared',
  around: (rules) => ({
    ...rules,
    primary: (ports: PrimaryPorts) => {
      const inner = rules.primary(ports);
      const said = new Map<string, Buffer>();
      const place = (s: Segment) => `${keyOf(s.v6, s.dst, s.dport, s.sport)} ${s.seq}+${s.payload.length}`;
      return changed<LockstepPrimaryApi>(inner, {
        fromGuest: (frame, interval, nowMs) => {
          const s = segmentOf(frame);
          if (s && s.payload.length > 0) said.set(place(s), Buffer.from(s.payload));
          inner.fromGuest(frame, interval, nowMs);
        },
        fromPartner: (m, nowMs) => {
          const s = segmentOf(m.frame);
          const mine = s && said.get(place(s));
          inner.fromPartner(s && mine ? { ...m, frame: encode({ ...s, payload: mine }) } : m, nowMs);
        },
      });
    },
  }),
};

const replyNotHeard: Mutant = {
  name: 'output leaves by comparison between REPLY and LOADED',
  around: (rules) => ({
    ...rules,
    primary: (ports) => changed<LockstepPrimaryApi>(rules.primary(ports), { onReply: () => {} }),
  }),
};

/** The secondary forgets what arrives while the replica is stopped. */
const inputsLost: Mutant = {
  name: 'inputs between REPLY and LOADED reach the stopped replica',
  around: (rules) => ({
    ...rules,
    secondary: (ports: SecondaryPorts) => {
      let stopped = false;
      const inner = rules.secondary(ports);
      return changed<LockstepSecondaryApi>(inner, {
        fromPartner: (m) => {
          if (stopped && m.kind === 'input') return;
          inner.fromPartner(m);
        },
        onStopped: (n) => {
          stopped = true;
          inner.onStopped(n);
        },
        onLoaded: (n) => {
          stopped = false;
          inner.onLoaded(n);
        },
      });
    },
  }),
};

/** The primary believes the replica's clock to be far ahead: its own times leave as they are. */
const clockNotBounded: Mutant = {
  name: 'timestamps leave that the replica has not reached',
  around: (rules) => ({
    ...rules,
    primary: (ports) => {
      const inner = rules.primary(ports);
      return changed<LockstepPrimaryApi>(inner, {
        fromPartner: (m, nowMs) => {
          const s = segmentOf(m.frame);
          const lie = s?.timestamps ? { ...s, timestamps: { ...s.timestamps, value: add(s.timestamps.value, 60_000) } } : null;
          inner.fromPartner(lie ? { ...m, frame: encode(lie) } : m, nowMs);
        },
      });
    },
  }),
};

const EMPTY = Buffer.alloc(0);

export const MUTANTS: readonly Mutant[] = [
  forged('acknowledgements are not held', (s) =>
    (s.flags & (ACK | RST)) === ACK
      ? {
          ...s,
          flags: ACK,
          seq: s.flags & SYN ? add(s.seq, 1) : s.seq,
          payload: EMPTY,
          sack: [],
          mss: null,
          windowShift: null,
          sackPermitted: false,
        }
      : null,
  ),
  forged('a reset leaves alone', (s) => (s.flags & RST ? s : null)),
  changedMessage('timestamps are not translated', (m) => (m.kind === 'isn' ? { ...m, timestamp: null } : m)),
  sackNotTranslated,
  offsetsKept,
  replyNotHeard,
  keyCollision,
  changedMessage('base offsets are lost at re-protection', (m) => (m.kind === 'begin' ? { ...m, base: [] } : m)),
  bytesNotCompared,
  clockNotBounded,
];

/** Faults that cost time and not truth: they must not be found by these oracles. */
export const HARMLESS: readonly Mutant[] = [inputsLost];
