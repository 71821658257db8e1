// The BMC's own watchdog (IPMI 2.0, 27): a clock in the BMC that resets the server or takes its power unless it is started again in time. Pure.
import { needs } from './messages.ts';

/** Table 27-2: for whom it runs. */
export const WATCHDOG_USES = ['none', 'biosFrb2', 'biosPost', 'osLoad', 'smsOs', 'oem'] as const;
export type WatchdogUse = (typeof WATCHDOG_USES)[number];
export const WATCHDOG_ACTIONS = ['none', 'hardReset', 'powerDown', 'powerCycle'] as const;
export type WatchdogAction = (typeof WATCHDOG_ACTIONS)[number];
const PRE_TIMEOUTS = ['none', 'smi', 'nmi', 'messaging'] as const;
export type WatchdogInterrupt = (typeof PRE_TIMEOUTS)[number];

const TICK_MS = 100;
const MAX_TICKS = 0xffff;
export const WATCHDOG_MAX_MS = MAX_TICKS * TICK_MS;

export interface WatchdogSetting {
  /** `smsOs` for a running operating system. */
  use: WatchdogUse;
  action: WatchdogAction;
  /** In steps of 100 ms, rounded up; at most 6,553,500. */
  timeoutMs: number;
  /** So long before the end `interrupt` comes; 0: none. */
  preTimeoutS?: number;
  interrupt?: WatchdogInterrupt;
  /** Its end makes no entry in the event log. */
  silent?: boolean;
  /** A clock that runs goes on with the new time; when left out it stops, until it is started (27.6). */
  keepRunning?: boolean;
}

export interface WatchdogState {
  running: boolean;
  use: WatchdogUse | 'unknown';
  action: WatchdogAction | 'unknown';
  interrupt: WatchdogInterrupt | 'unknown';
  preTimeoutS: number;
  silent: boolean;
  /** For whom it ran when it ended, since this was last set. */
  expired: WatchdogUse[];
  timeoutMs: number;
  /** Undefined: left out, as ipmi_sim does while it stands still. */
  leftMs: number | undefined;
}

/** 27.6. Throws a RangeError for a time that it cannot hold. */
export function encodeWatchdog(s: WatchdogSetting): Buffer {
  const ticks = Math.ceil(s.timeoutMs / TICK_MS);
  const preTimeoutS = s.preTimeoutS ?? 0;
  if (!(ticks >= 1 && ticks <= MAX_TICKS)) throw new RangeError(`a watchdog's time is 1 to ${WATCHDOG_MAX_MS} ms, not ${s.timeoutMs}`);
  if (!(Number.isInteger(preTimeoutS) && preTimeoutS >= 0 && preTimeoutS <= 0xff))
    throw new RangeError(`a watchdog's warning comes 0 to 255 whole seconds before its end, not ${preTimeoutS}`);
  const use = WATCHDOG_USES.indexOf(s.use);
  const b = Buffer.alloc(6);
  b[0] = (s.silent ? 0x80 : 0) | (s.keepRunning ? 0x40 : 0) | use;
  b[1] = (PRE_TIMEOUTS.indexOf(s.interrupt ?? 'none') << 4) | WATCHDOG_ACTIONS.indexOf(s.action);
  b[2] = preTimeoutS;
  // The memory of its last end for this use begins anew.
  b[3] = 1 << use;
  b.writeUInt16LE(ticks, 4);
  return b;
}

/** 27.7. */
export function decodeWatchdog(d: Buffer): WatchdogState {
  needs(d, 6, "a watchdog's state");
  const [use, action, expired] = [d.readUInt8(0), d.readUInt8(1), d.readUInt8(3)];
  return {
    running: (use & 0x40) !== 0,
    silent: (use & 0x80) !== 0,
    use: WATCHDOG_USES[use & 0x07] ?? 'unknown',
    action: WATCHDOG_ACTIONS[action & 0x07] ?? 'unknown',
    interrupt: PRE_TIMEOUTS[(action >> 4) & 0x07] ?? 'unknown',
    preTimeoutS: d.readUInt8(2),
    expired: WATCHDOG_USES.filter((_, bit) => bit > 0 && ((expired >> bit) & 1) === 1),
    timeoutMs: d.readUInt16LE(4) * TICK_MS,
    leftMs: d.length < 8 ? undefined : d.readUInt16LE(6) * TICK_MS,
  };
}
