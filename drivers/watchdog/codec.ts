// The bytes of a watchdog. Pure. The kernel's: include/uapi/linux/watchdog.h, and Documentation/watchdog/watchdog-api.rst for what they mean.
// The stand-in's: one word and perhaps a number per line.

/** _IOR('W', 0, struct watchdog_info) */
export const WDIOC_GETSUPPORT = 0x80285700;
/** _IOWR('W', 6, int): seconds; answers what the device made of it. */
export const WDIOC_SETTIMEOUT = 0xc0045706;
/** _IOR('W', 7, int): seconds. */
export const WDIOC_GETTIMEOUT = 0x80045707;
/** _IOR('W', 5, int) */
export const WDIOC_KEEPALIVE = 0x80045705;
export const WDIOF_SETTIMEOUT = 0x0080;
export const WDIOF_MAGICCLOSE = 0x0100;
/** Written as the last byte before close: stop. Without it the clock runs on. */
export const MAGIC_CLOSE = 'V';
/** struct watchdog_info: u32 options, u32 firmware version, u8 identity[32]. */
export const INFO_BYTES = 40;

export interface WatchdogInfo {
  canSetTimeout: boolean;
  hasMagicClose: boolean;
  identity: string;
}

export function decodeInfo(info: Buffer): WatchdogInfo {
  const options = info.readUInt32LE(0);
  const identity = info.toString('latin1', 8, INFO_BYTES);
  return {
    canSetTimeout: (options & WDIOF_SETTIMEOUT) !== 0,
    hasMagicClose: (options & WDIOF_MAGICCLOSE) !== 0,
    identity: identity.slice(0, identity.indexOf('\0') < 0 ? undefined : identity.indexOf('\0')),
  };
}

/** Longest line of the stand-in's protocol; more is no protocol. */
export const MAX_LINE_CHARS = 200;

export type StandInRequest = { kind: 'arm'; timeoutMs: number } | { kind: 'renew' } | { kind: 'disarm' };

/** Null: not of this protocol. */
export function parseRequest(line: string): StandInRequest | null {
  if (line === 'renew') return { kind: 'renew' };
  if (line === 'disarm') return { kind: 'disarm' };
  const arm = /^arm ([1-9]\d{0,6})$/.exec(line);
  return arm ? { kind: 'arm', timeoutMs: Number(arm[1]) } : null;
}

export type StandInAnswer = { kind: 'armed'; timeoutMs: number } | { kind: 'disarmed' } | { kind: 'refused'; reason: string };

export function parseAnswer(line: string): StandInAnswer {
  if (line === 'disarmed') return { kind: 'disarmed' };
  const armed = /^armed ([1-9]\d{0,6})$/.exec(line);
  if (armed) return { kind: 'armed', timeoutMs: Number(armed[1]) };
  return { kind: 'refused', reason: line.startsWith('refused ') ? line.slice('refused '.length) : `it said '${line}'` };
}
