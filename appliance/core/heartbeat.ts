// Decides which links are up, from what was heard and when. Decides nothing else: who may run is arbitration's.
//
//            3 exchanges in a row
//   down ---------------------------> up
//   down <--------------------------- up
//            silent: nothing valid for timeoutMs, or for twice that nothing of ours was heard over there
//            carrier: the cable is dead, and nothing valid for 2 intervals
//
// An exchange is a frame that names a recent frame of ours: hearing is not enough, both directions must work.
// A tick that comes late is evidence against this CoServer, not against the partner: what arrived meanwhile is still unread.
// So a late tick decides nothing for two intervals, and is reported when it was later than half the time-out.

/** Exchanges before a link counts as up: one could be the last gasp of a loose cable. */
const EXCHANGES_TO_RISE = 3;
/** Silent for so many intervals with a dead carrier: down. */
const CARRIER_INTERVALS = 2;
/** After a late tick nothing goes down for so many intervals. */
const GRACE_INTERVALS = 2;

/**
 * Heard, but for so many time-outs nothing of ours was heard over there: down. More than one, because a partner that just woke up from a
 * stall names what it heard before it; and the partner itself, hearing nothing, is already holding.
 */
const DEAF_TIMEOUTS = 2;

export type HeartbeatPathName = 'ethernet' | 'ip';

export interface HeartbeatLimits {
  intervalMs: number;
  /** The configured time-out, raised to the floor of the measured jitter. */
  timeoutMs: number;
  /** See `allowedLatenessMs`. */
  allowedLatenessMs: number;
}

export interface HeartbeatLinkState {
  up: boolean;
  carrier: boolean;
  /** Monotonic ms of the last valid frame per path; null: never. */
  heardMs: { readonly [path in HeartbeatPathName]: number | null };
  /** When the youngest frame of ours that the partner named was sent; null: never. */
  exchangedMs: number | null;
  /** Exchanges in a row while down. */
  rising: number;
}

export interface HeartbeatState {
  links: readonly HeartbeatLinkState[];
  /** Until then no link goes down. */
  graceUntilMs: number;
}

export type HeartbeatInput =
  /** A valid frame. echoSentMs: when the frame of ours that it names was sent; null: it names none of this life. */
  | { kind: 'frame'; at: number; link: number; path: HeartbeatPathName; echoSentMs: number | null }
  | { kind: 'carrier'; at: number; link: number; carrier: boolean }
  /** The clock, and how late it came. */
  | { kind: 'tick'; at: number; lateMs: number };

export interface HeartbeatVerdict {
  link: number;
  up: boolean;
  /** ms since the last exchange or valid frame that counted. */
  silentMs: number;
  reason: 'heard' | 'silent' | 'carrier';
}

export interface HeartbeatStep {
  state: HeartbeatState;
  verdicts: HeartbeatVerdict[];
  /** The tick came so late that this CoServer must suspect itself; null: in time. */
  lateMs: number | null;
}

export function heartbeatStart(links: number): HeartbeatState {
  const link: HeartbeatLinkState = { up: false, carrier: false, heardMs: { ethernet: null, ip: null }, exchangedMs: null, rising: 0 };
  return { links: Array.from({ length: links }, () => link), graceUntilMs: Number.NEGATIVE_INFINITY };
}

/**
 * How late a tick may be before this CoServer suspects itself: the partner, with the same configured time-out, may have given it up soon
 * after. Below it is jitter, which makes the time-out longer; above it is a sleep, which does not.
 */
export function allowedLatenessMs(configuredTimeoutMs: number): number {
  return configuredTimeoutMs / 2;
}

export function heartbeatStep(state: HeartbeatState, input: HeartbeatInput, limits: HeartbeatLimits): HeartbeatStep {
  switch (input.kind) {
    case 'frame':
      return heard(state, input, limits);
    case 'carrier':
      return { state: change(state, input.link, (l) => ({ ...l, carrier: input.carrier })), verdicts: [], lateMs: null };
    case 'tick':
      return tick(state, input.at, input.lateMs, limits);
    default: {
      const never: never = input;
      return never;
    }
  }
}

function change(state: HeartbeatState, link: number, by: (l: HeartbeatLinkState) => HeartbeatLinkState): HeartbeatState {
  return { ...state, links: state.links.map((l, i) => (i === link ? by(l) : l)) };
}

function heard(state: HeartbeatState, frame: HeartbeatInput & { kind: 'frame' }, limits: HeartbeatLimits): HeartbeatStep {
  const before = state.links[frame.link];
  if (!before) return { state, verdicts: [], lateMs: null };
  const sentMs = frame.echoSentMs;
  const exchange = sentMs !== null && frame.at - sentMs <= limits.timeoutMs;
  const rising = before.up ? 0 : exchange ? before.rising + 1 : 0;
  const up = before.up || rising >= EXCHANGES_TO_RISE;
  const after: HeartbeatLinkState = {
    ...before,
    up,
    heardMs: { ...before.heardMs, [frame.path]: frame.at },
    exchangedMs: sentMs === null ? before.exchangedMs : Math.max(before.exchangedMs ?? sentMs, sentMs),
    rising: up ? 0 : rising,
  };
  const verdicts: HeartbeatVerdict[] = up && !before.up ? [{ link: frame.link, up: true, silentMs: 0, reason: 'heard' }] : [];
  return { state: change(state, frame.link, () => after), verdicts, lateMs: null };
}

function tick(state: HeartbeatState, at: number, late: number, limits: HeartbeatLimits): HeartbeatStep {
  const { intervalMs, timeoutMs } = limits;
  const graceUntilMs = late > intervalMs ? at + GRACE_INTERVALS * intervalMs : state.graceUntilMs;
  const lateMs = late > limits.allowedLatenessMs ? late : null;
  if (at < graceUntilMs) return { state: { ...state, graceUntilMs }, verdicts: [], lateMs };
  const verdicts: HeartbeatVerdict[] = [];
  const links = state.links.map((l, link) => {
    const silentMs = silence(l, at);
    if (!l.up) return silentMs > timeoutMs && l.rising > 0 ? { ...l, rising: 0 } : l;
    const deafMs = l.exchangedMs === null ? Number.POSITIVE_INFINITY : at - l.exchangedMs;
    const silent = silentMs > timeoutMs || deafMs > DEAF_TIMEOUTS * timeoutMs;
    const carrier = !l.carrier && silentMs > CARRIER_INTERVALS * intervalMs;
    if (!silent && !carrier) return l;
    verdicts.push({ link, up: false, silentMs, reason: carrier ? 'carrier' : 'silent' });
    return { ...l, up: false, rising: 0 };
  });
  return { state: { links, graceUntilMs }, verdicts, lateMs };
}

/** ms since the last valid frame on either path; Infinity: never. */
function silence(link: HeartbeatLinkState, at: number): number {
  return at - Math.max(link.heardMs.ethernet ?? Number.NEGATIVE_INFINITY, link.heardMs.ip ?? Number.NEGATIVE_INFINITY);
}
