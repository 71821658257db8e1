// The messages of the network stream between the two gates. Pure codec; the byte table is in README.md.
//
//   inputs     01  be32 interval  frames (be32 length + frame)...
//   addresses  02  flags (1: MAC known)  MAC[6]  { rank (0 claimed, 1 seen)  length (4, 16)  address }...
import { countFrames } from './frames.ts';
import type { LearnedAddress } from './guest-addresses.ts';

const INPUTS = 1;
const ADDRESSES = 2;
const INPUTS_HEADER_BYTES = 5;
const ADDRESSES_HEADER_BYTES = 8;

export type PartnerMessage =
  | { kind: 'inputs'; interval: number; batch: Buffer; frames: number }
  | { kind: 'addresses'; mac: Buffer | null; addresses: LearnedAddress[] };

/** What goes in front of the batches of an inputs message. */
export function inputsHeader(interval: number): Buffer {
  const h = Buffer.allocUnsafe(INPUTS_HEADER_BYTES);
  h[0] = INPUTS;
  h.writeUInt32BE(interval, 1);
  return h;
}

export function encodeAddresses(mac: Buffer | null, addresses: readonly LearnedAddress[]): Buffer {
  const parts = [Buffer.alloc(ADDRESSES_HEADER_BYTES)];
  const head = parts[0] as Buffer;
  head[0] = ADDRESSES;
  if (mac) {
    head[1] = 1;
    mac.copy(head, 2);
  }
  for (const { rank, hex } of addresses) parts.push(Buffer.from([rank === 'claimed' ? 0 : 1, hex.length / 2]), Buffer.from(hex, 'hex'));
  return Buffer.concat(parts);
}

/** Throws Error naming what is wrong. The batch is a range of the message. */
export function decodePartnerMessage(m: Buffer): PartnerMessage {
  switch (m[0]) {
    case INPUTS: {
      if (m.length < INPUTS_HEADER_BYTES) throw new Error(`network stream: inputs message of ${m.length} bytes`);
      const batch = m.subarray(INPUTS_HEADER_BYTES);
      return { kind: 'inputs', interval: m.readUInt32BE(1), batch, frames: countFrames(batch) };
    }
    case ADDRESSES: {
      if (m.length < ADDRESSES_HEADER_BYTES) throw new Error(`network stream: addresses message of ${m.length} bytes`);
      const addresses: LearnedAddress[] = [];
      let at = ADDRESSES_HEADER_BYTES;
      while (at < m.length) {
        const rank = m[at];
        const length = m[at + 1];
        if ((rank !== 0 && rank !== 1) || (length !== 4 && length !== 16) || at + 2 + length > m.length) {
          throw new Error(`network stream: address entry at byte ${at} of ${m.length}: rank ${rank}, length ${length}`);
        }
        addresses.push({ rank: rank === 0 ? 'claimed' : 'seen', hex: m.toString('hex', at + 2, at + 2 + length) });
        at += 2 + length;
      }
      return { kind: 'addresses', mac: m[1] === 1 ? Buffer.from(m.subarray(2, 8)) : null, addresses };
    }
    default:
      throw new Error(`network stream: unknown message type ${m[0]}`);
  }
}
