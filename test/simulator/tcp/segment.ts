// TCP segments as frames on a wire: Ethernet, IPv4 (RFC 791) or IPv6 (RFC 8200), TCP (RFC 9293) with the options of
// RFC 7323 (window scale, timestamps) and RFC 2018 / 2883 (SACK, D-SACK). Everything is checked on reading, so a
// translation that leaves a wrong checksum behind is found at once.

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

export interface Segment {
  v6: boolean;
  /** Host numbers: the last byte of the address. */
  src: number;
  dst: number;
  sport: number;
  dport: number;
  seq: number;
  ack: number;
  flags: number;
  window: number;
  mss: number | null;
  windowShift: number | null;
  sackPermitted: boolean;
  sack: readonly (readonly [number, number])[];
  timestamps: { value: number; echo: number } | null;
  payload: Buffer;
}

// Sequence numbers are compared modulo 2^32 (RFC 9293, 3.4).
export const add = (a: number, b: number): number => (a + b) >>> 0;
export const sub = (a: number, b: number): number => (a - b) >>> 0;
export const before = (a: number, b: number): boolean => ((a - b) | 0) < 0;
export const after = (a: number, b: number): boolean => ((a - b) | 0) > 0;
export const latest = (a: number, b: number): number => (after(a, b) ? a : b);

export const lengthOf = (s: Segment): number => s.payload.length + (s.flags & SYN ? 1 : 0) + (s.flags & FIN ? 1 : 0);
export const endOf = (s: Segment): number => add(s.seq, lengthOf(s));

const ETHERNET_BYTES = 14;

/** The last two bytes are the host: long enough that a key cut short would show. */
function addressOf(v6: boolean, host: number): Buffer {
  return v6 ? Buffer.from([0xfd, 0x54, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, host]) : Buffer.from([10, 77, 0, host]);
}

function sum16(bytes: Buffer, from: number, to: number, start: number): number {
  let s = start;
  let i = from;
  for (; i + 1 < to; i += 2) s += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  if (i < to) s += (bytes[i] ?? 0) << 8;
  while (s > 0xffff) s = (s & 0xffff) + Math.floor(s / 0x10000);
  return s;
}

/** odd: options without the usual padding in front, so that their words lie at odd offsets. */
export function encode(s: Segment, odd = false): Buffer {
  const o: number[] = [];
  const word = (v: number) => o.push(v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255);
  if (s.mss !== null) o.push(2, 4, s.mss >> 8, s.mss & 255);
  if (s.sackPermitted) o.push(4, 2);
  if (s.windowShift !== null) o.push(3, 3, s.windowShift);
  if (s.timestamps) {
    if (odd) o.push(1);
    else while (o.length % 4 !== 2) o.push(1);
    o.push(8, 10);
    word(s.timestamps.value);
    word(s.timestamps.echo);
  }
  if (s.sack.length > 0) {
    const blocks = s.sack.slice(0, s.timestamps ? 3 : 4);
    if (!odd) while (o.length % 4 !== 2) o.push(1);
    o.push(5, 2 + 8 * blocks.length);
    for (const [l, r] of blocks) {
      word(l);
      word(r);
    }
  }
  while (o.length % 4 !== 0) o.push(odd ? 0 : 1);

  const ipBytes = s.v6 ? 40 : 20;
  const tcp = ETHERNET_BYTES + ipBytes;
  const tcpBytes = 20 + o.length + s.payload.length;
  const f = Buffer.alloc(Math.max(60, tcp + tcpBytes));
  f.set([0x52, 0x54, 0, 0, 0, s.dst, 0x52, 0x54, 0, 0, 0, s.src]);
  f.writeUInt16BE(s.v6 ? 0x86dd : 0x0800, 12);
  const src = addressOf(s.v6, s.src);
  const dst = addressOf(s.v6, s.dst);
  if (s.v6) {
    f[14] = 0x60;
    f.writeUInt16BE(tcpBytes, 18);
    f[20] = 6;
    f[21] = 64;
    src.copy(f, 22);
    dst.copy(f, 38);
  } else {
    f[14] = 0x45;
    f.writeUInt16BE(ipBytes + tcpBytes, 16);
    f[20] = 0x40;
    f[22] = 64;
    f[23] = 6;
    src.copy(f, 26);
    dst.copy(f, 30);
    f.writeUInt16BE(~sum16(f, 14, 34, 0) & 0xffff, 24);
  }
  f.writeUInt16BE(s.sport, tcp);
  f.writeUInt16BE(s.dport, tcp + 2);
  f.writeUInt32BE(s.seq >>> 0, tcp + 4);
  f.writeUInt32BE(s.flags & ACK ? s.ack >>> 0 : 0, tcp + 8);
  f[tcp + 12] = ((20 + o.length) / 4) << 4;
  f[tcp + 13] = s.flags;
  f.writeUInt16BE(s.window, tcp + 14);
  f.set(o, tcp + 20);
  s.payload.copy(f, tcp + 20 + o.length);
  f.writeUInt16BE(~tcpSum(f, s.v6, tcp, tcpBytes) & 0xffff, tcp + 16);
  return f;
}

function tcpSum(f: Buffer, v6: boolean, tcp: number, tcpBytes: number): number {
  const pseudo = sum16(f, v6 ? 22 : 26, v6 ? 54 : 34, 6 + tcpBytes);
  return sum16(f, tcp, tcp + tcpBytes, pseudo);
}

/** A segment, null for anything that is not TCP, or what is wrong with it: no wire of the simulation corrupts. */
export function decode(f: Buffer): Segment | null | { wrong: string } {
  const type = f.readUInt16BE(12);
  const v6 = type === 0x86dd;
  if (!v6 && type !== 0x0800) return null;
  const tcp = ETHERNET_BYTES + (v6 ? 40 : 20);
  if (f[v6 ? 20 : 23] !== 6) return null;
  const tcpBytes = v6 ? f.readUInt16BE(18) : f.readUInt16BE(16) - 20;
  if (tcp + tcpBytes > f.length) return { wrong: `${tcpBytes} bytes of TCP in a frame of ${f.length}` };
  if (!v6 && sum16(f, 14, 34, 0) !== 0xffff) return { wrong: 'IPv4 header checksum' };
  if (tcpSum(f, v6, tcp, tcpBytes) !== 0xffff) return { wrong: 'TCP checksum' };
  const data = tcp + ((f[tcp + 12] ?? 0) >> 4) * 4;
  const s: Segment = {
    v6,
    src: f[v6 ? 37 : 29] ?? 0,
    dst: f[v6 ? 53 : 33] ?? 0,
    sport: f.readUInt16BE(tcp),
    dport: f.readUInt16BE(tcp + 2),
    seq: f.readUInt32BE(tcp + 4),
    ack: f.readUInt32BE(tcp + 8),
    flags: f[tcp + 13] ?? 0,
    window: f.readUInt16BE(tcp + 14),
    mss: null,
    windowShift: null,
    sackPermitted: false,
    sack: [],
    timestamps: null,
    payload: f.subarray(data, tcp + tcpBytes),
  };
  for (let at = tcp + 20; at < data; ) {
    const kind = f[at] ?? 0;
    if (kind === 0) break;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = f[at + 1] ?? 0;
    if (length < 2 || at + length > data) return { wrong: `TCP option ${kind} of ${length} bytes` };
    if (kind === 2) s.mss = f.readUInt16BE(at + 2);
    if (kind === 3) s.windowShift = f[at + 2] ?? 0;
    if (kind === 4) s.sackPermitted = true;
    if (kind === 5) {
      const blocks: [number, number][] = [];
      for (let b = at + 2; b + 8 <= at + length; b += 8) blocks.push([f.readUInt32BE(b), f.readUInt32BE(b + 4)]);
      s.sack = blocks;
    }
    if (kind === 8) s.timestamps = { value: f.readUInt32BE(at + 2), echo: f.readUInt32BE(at + 6) };
    at += length;
  }
  return s;
}

export function describe(s: Segment): string {
  const flags = [s.flags & SYN ? 'S' : '', s.flags & FIN ? 'F' : '', s.flags & RST ? 'R' : '', s.flags & ACK ? '.' : ''].join('');
  const ts = s.timestamps ? ` ts ${s.timestamps.value}/${s.timestamps.echo}` : '';
  const sack = s.sack.length > 0 ? ` sack ${s.sack.map(([l, r]) => `${l}-${r}`).join(',')}` : '';
  return `${s.v6 ? '6 ' : ''}${s.src}:${s.sport}>${s.dst}:${s.dport} [${flags}] ${s.seq}+${s.payload.length} ack ${s.ack} win ${s.window}${ts}${sack}`;
}

/** Completes the TCP checksum of a frame that was changed. */
export function tcpChecksum(f: Buffer): void {
  const v6 = f.readUInt16BE(12) === 0x86dd;
  const tcp = ETHERNET_BYTES + (v6 ? 40 : 20);
  const tcpBytes = v6 ? f.readUInt16BE(18) : f.readUInt16BE(16) - 20;
  f.writeUInt16BE(0, tcp + 16);
  f.writeUInt16BE(~tcpSum(f, v6, tcp, tcpBytes) & 0xffff, tcp + 16);
}
