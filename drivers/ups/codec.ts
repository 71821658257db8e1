// Lines of upsd's protocol (RFC 9271; docs/net-protocol.txt of Network UPS Tools). Pure.
//
//   GET VAR rack ups.status   ->   VAR rack ups.status "OB DISCHRG LB"      or      ERR DATA-STALE

export interface UpsReading {
  /** No mains: the battery carries what is connected. */
  onBattery: boolean;
  /** The battery is nearly empty, or the UPS is told to go off. */
  low: boolean;
  /** Null: this UPS does not tell. */
  chargePercent: number | null;
  /** What the UPS expects to last. Null: it does not tell. */
  runtimeS: number | null;
  /** As it came: "OL CHRG". */
  status: string;
}

export type UpsdReply = { kind: 'variable'; name: string; value: string } | { kind: 'error'; code: string } | { kind: 'malformed' };

/** Names go into the request as they are: a space or a new line would make another request of it. */
export const UPS_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export function getRequest(ups: string, variable: string): string {
  if (!UPS_NAME.test(ups)) throw new RangeError(`'${ups}' is no name of a UPS`);
  return `GET VAR ${ups} ${variable}\n`;
}

/** What is shown on terminals and kept in logs: no control characters, and not without end. */
const LINE = /^[\x20-\x7e]{1,512}$/;

/** Never throws. A quotation mark or a backslash in a value comes with a backslash before it (RFC 9271, 4.2.4). */
export function parseReply(line: string, ups: string): UpsdReply {
  if (!LINE.test(line)) return { kind: 'malformed' };
  const error = /^ERR ([A-Z-]+)/.exec(line);
  if (error) return { kind: 'error', code: error[1] ?? '' };
  const variable = /^VAR (\S+) (\S+) "((?:[^"\\]|\\.)*)"$/.exec(line);
  if (!variable || variable[1] !== ups) return { kind: 'malformed' };
  return { kind: 'variable', name: variable[2] ?? '', value: (variable[3] ?? '').replace(/\\(.)/g, '$1') };
}

/** What a status says (RFC 9271, 5.2.1). Null: neither on line nor on battery, so it cannot be told (OFF, a UPS that has not answered yet). */
export function judgeStatus(status: string): { onBattery: boolean; low: boolean } | null {
  const words = new Set(status.split(' '));
  // FSD: the shutdown of everything was ordered, and the mains' return does not stop that.
  if (words.has('FSD')) return { onBattery: true, low: true };
  if (words.has('OB')) return { onBattery: true, low: words.has('LB') };
  if (words.has('OL')) return { onBattery: false, low: false };
  return null;
}

export function numberOf(value: string): number | null {
  return /^\d{1,9}(\.\d{1,9})?$/.test(value) ? Number(value) : null;
}
