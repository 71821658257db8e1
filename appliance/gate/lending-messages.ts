// The messages between the two gates while one lends its business NIC to the other. Pure codec; the byte table is in README.md.
//
//   emit     07  frames (be32 length + frame)...   owner -> lender: the guest says this
//   heard    08  frames                            lender -> owner: this is for the guest
//   lending  09  flag (1: lends, 0: no longer)     lender -> owner
const EMIT = 7;
const HEARD = 8;
const LENDING = 9;
const LENDING_BYTES = 2;

export type LendingMessage = { kind: 'emit' | 'heard'; batch: Buffer } | { kind: 'lending'; lends: boolean };

/** What goes in front of the batch. */
export const EMIT_HEADER = Buffer.from([EMIT]);
export const HEARD_HEADER = Buffer.from([HEARD]);

export function encodeLending(lends: boolean): Buffer {
  return Buffer.from([LENDING, lends ? 1 : 0]);
}

export function isLendingMessage(m: Buffer): boolean {
  const type = m[0] ?? 0;
  return type >= EMIT && type <= LENDING;
}

/** Throws Error naming what is wrong. The batch is a range of the message. */
export function decodeLending(m: Buffer): LendingMessage {
  switch (m[0]) {
    case EMIT:
      return { kind: 'emit', batch: m.subarray(1) };
    case HEARD:
      return { kind: 'heard', batch: m.subarray(1) };
    case LENDING: {
      const flag = m[1];
      if (m.length !== LENDING_BYTES || (flag !== 0 && flag !== 1))
        throw new Error(`network stream: lending message of ${m.length} bytes, flag ${flag}`);
      return { kind: 'lending', lends: flag === 1 };
    }
    default:
      throw new Error(`network stream: unknown message type ${m[0]}`);
  }
}
