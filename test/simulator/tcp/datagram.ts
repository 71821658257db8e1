// Datagrams: the client asks over UDP or by ICMP echo, the guest answers. The UDP answer tells how many questions it has counted,
// so that a replica that missed one, or was asked one twice, gives another answer than the primary.
const UDP = 17;
const ICMP = 1;
const QUESTION_PORT = 53;
const IP_BYTES = 34;

function datagram(from: number, to: number, protocol: number, body: Buffer): Buffer {
  const f = Buffer.alloc(Math.max(60, IP_BYTES + body.length));
  f.set([0x52, 0x54, 0, 0, 0, to, 0x52, 0x54, 0, 0, 0, from, 8, 0, 0x45]);
  f.writeUInt16BE(20 + body.length, 16);
  f[22] = 64;
  f[23] = protocol;
  f.set([10, 77, 0, from, 10, 77, 0, to], 26);
  let sum = 0;
  for (let i = 14; i < IP_BYTES; i += 2) sum += f.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  f.writeUInt16BE(~sum & 0xffff, 24);
  body.copy(f, IP_BYTES);
  return f;
}

/** UDP without a checksum, or an ICMP echo; `reply`: from the guest. */
export function ask(from: number, to: number, id: number, icmp: boolean): Buffer {
  const body = Buffer.alloc(16);
  if (icmp) {
    body[0] = 8;
    body.writeUInt32BE(id, 8);
    return datagram(from, to, ICMP, body);
  }
  body.writeUInt16BE(30_000, 0);
  body.writeUInt16BE(QUESTION_PORT, 2);
  body.writeUInt16BE(16, 4);
  body.writeUInt32BE(id, 8);
  return datagram(from, to, UDP, body);
}

/** The question, as the guest reads it; null: none. */
export function questionOf(f: Buffer): { from: number; to: number; id: number; icmp: boolean } | null {
  if (f.readUInt16BE(12) !== 0x0800 || f.length < 50) return null;
  const from = f[29] ?? 0;
  const to = f[33] ?? 0;
  const id = f.readUInt32BE(42);
  if (f[23] === ICMP && f[34] === 8) return { from, to, id, icmp: true };
  if (f[23] === UDP && f.readUInt16BE(36) === QUESTION_PORT) return { from, to, id, icmp: false };
  return null;
}

export function answer(q: { from: number; to: number; id: number; icmp: boolean }, count: number): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32BE(q.id, 8);
  if (q.icmp) return datagram(q.to, q.from, ICMP, body);
  body.writeUInt16BE(QUESTION_PORT, 0);
  body.writeUInt16BE(30_000, 2);
  body.writeUInt16BE(16, 4);
  body.writeUInt32BE(count, 12);
  return datagram(q.to, q.from, UDP, body);
}

/** The count in a UDP answer. */
export function answerOf(f: Buffer): number | null {
  if (f.readUInt16BE(12) !== 0x0800 || f[23] !== UDP || f.readUInt16BE(34) !== QUESTION_PORT) return null;
  return f.readUInt32BE(46);
}
