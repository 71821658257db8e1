// A guest that answers what the audit asks, as Linux does: ARP, neighbour solicitation, echo, timestamp.
import { GUEST_MAC, ip4, mac } from '../guest-frames.ts';
import { GUEST_IP, onesSum } from './tcp-frames.ts';

export const GUEST_IP6_HEX = 'fd770000000000000000000000000010';

export interface GuestHabits {
  /** What it does not answer. */
  deaf?: readonly ('arp' | 'neighbour' | 'echo' | 'clock')[];
  /** ms of its day. */
  clockMs?: () => number;
  mac?: string;
}

/** Null: not answered. Throws when the question's checksums are wrong: a guest would drop it silently. */
export function guestAnswer(q: Buffer, { deaf = [], clockMs = () => 0, mac: own = GUEST_MAC }: GuestHabits = {}): Buffer | null {
  const type = q.readUInt16BE(12);
  if (type === 0x0806) {
    if (deaf.includes('arp') || q.readUInt16BE(20) !== 1 || q.subarray(38, 42).compare(ip4(GUEST_IP)) !== 0) return null;
    const a = Buffer.alloc(60);
    q.copy(a, 0, 6, 12);
    mac(own).copy(a, 6);
    Buffer.from('0806000108000604', 'hex').copy(a, 12);
    a.writeUInt16BE(2, 20);
    mac(own).copy(a, 22);
    q.copy(a, 28, 38, 42);
    q.copy(a, 32, 22, 32);
    return a;
  }
  if (type === 0x86dd) return answerV6(q, deaf, own);
  return type === 0x0800 ? answerIcmp(q, deaf, clockMs, own) : null;
}

function answerV6(q: Buffer, deaf: readonly string[], own: string): Buffer | null {
  const end = 54 + q.readUInt16BE(18);
  const pseudo = Buffer.from([0, 0, 0, 0, 0, 0, 0, 58]);
  pseudo.writeUInt32BE(end - 54, 0);
  if (onesSum([q.subarray(22, 54), pseudo, q.subarray(54, end)]) !== 0xffff) throw new Error(`checksum of ${q.toString('hex')}`);
  const isEcho = q[54] === 128;
  if (deaf.includes(isEcho ? 'echo' : 'neighbour')) return null;
  const a = Buffer.from(q);
  q.copy(a, 0, 6, 12);
  mac(own).copy(a, 6);
  q.copy(a, 22, 38, 54);
  q.copy(a, 38, 22, 38);
  a[54] = isEcho ? 129 : 136;
  if (!isEcho) {
    a.writeUInt32BE(0x60000000, 58);
    a[78] = 2;
    mac(own).copy(a, 80);
  }
  return a;
}

function answerIcmp(q: Buffer, deaf: readonly string[], clockMs: () => number, own: string): Buffer | null {
  const end = 14 + q.readUInt16BE(16);
  if (q[23] !== 1) return null;
  if (onesSum([q.subarray(14, 34)]) !== 0xffff || onesSum([q.subarray(34, end)]) !== 0xffff)
    throw new Error(`checksum of ${q.toString('hex')}`);
  const isEcho = q[34] === 8;
  if (deaf.includes(isEcho ? 'echo' : 'clock')) return null;
  const a = Buffer.from(q);
  q.copy(a, 0, 6, 12);
  mac(own).copy(a, 6);
  q.copy(a, 26, 30, 34);
  q.copy(a, 30, 26, 30);
  a[34] = isEcho ? 0 : 14;
  if (!isEcho) {
    a.writeUInt32BE(clockMs(), 46);
    a.writeUInt32BE(clockMs(), 50);
  }
  return a;
}
