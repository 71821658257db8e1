// TCP and UDP frames for lockstep's tests: made byte by byte from the specifications, with checksums of their own arithmetic.
import { GUEST_MAC, ip4, mac, OTHER_MAC } from '../guest-frames.ts';

export interface TcpParts {
  /** The guest sends it; else the client. */
  fromGuest?: boolean;
  version?: 4 | 6;
  guestPort?: number;
  clientPort?: number;
  seq: number;
  ack?: number;
  flags?: string;
  window?: number;
  data?: string | Uint8Array;
  /** Raw options; padded with zeros to a multiple of 4. */
  options?: Uint8Array;
  timestamps?: [value: number, echo: number];
  /** NOPs in front of the options: shifts them to odd offsets. */
  shift?: number;
  sack?: [number, number][];
  windowScale?: number;
  id?: number;
}

const FLAGS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32 };
export const GUEST_IP = '10.77.0.10';
export const CLIENT_IP = '10.77.0.1';
const GUEST_IP6 = Buffer.from('fd770000000000000000000000000010', 'hex');
const CLIENT_IP6 = Buffer.from('fd770000000000000000000000000001', 'hex');

export function onesSum(parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts.map((p) => (p.length % 2 ? Buffer.concat([p, Buffer.alloc(1)]) : p)));
  let sum = 0n;
  for (let i = 0; i < bytes.length; i += 2) sum += BigInt(bytes.readUInt16BE(i));
  // Folding never makes a zero of something that is not.
  return sum === 0n ? 0 : Number((sum - 1n) % 0xffffn) + 1;
}

function be32(...values: number[]): Buffer {
  const b = Buffer.alloc(values.length * 4);
  values.forEach((v, i) => {
    b.writeUInt32BE(v >>> 0, i * 4);
  });
  return b;
}

function optionsOf(p: TcpParts): Buffer {
  const list: Uint8Array[] = [Buffer.alloc(p.shift ?? 0, 1)];
  if (p.windowScale !== undefined) list.push(Buffer.from([3, 3, p.windowScale]));
  if (p.timestamps) list.push(Buffer.from([8, 10]), be32(...p.timestamps));
  if (p.sack) list.push(Buffer.from([5, 2 + 8 * p.sack.length]), be32(...p.sack.flat()));
  if (p.options) list.push(p.options);
  const bytes = Buffer.concat(list);
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

function addresses(version: 4 | 6, fromGuest: boolean): [Buffer, Buffer] {
  const guest = version === 4 ? ip4(GUEST_IP) : GUEST_IP6;
  const client = version === 4 ? ip4(CLIENT_IP) : CLIENT_IP6;
  return fromGuest ? [guest, client] : [client, guest];
}

export function packet(version: 4 | 6, protocol: number, fromGuest: boolean, l4: Uint8Array, id = 1): Buffer {
  const [source, destination] = addresses(version, fromGuest);
  const macs = fromGuest ? [mac(OTHER_MAC), mac(GUEST_MAC)] : [mac(GUEST_MAC), mac(OTHER_MAC)];
  if (version === 6) {
    const head = Buffer.alloc(8);
    head[0] = 0x60;
    head.writeUInt16BE(l4.length, 4);
    head[6] = protocol;
    head[7] = 64;
    return Buffer.concat([...macs, Buffer.from('86dd', 'hex'), head, source, destination, l4]);
  }
  const head = Buffer.alloc(20);
  head[0] = 0x45;
  head.writeUInt16BE(20 + l4.length, 2);
  head.writeUInt16BE(id & 0xffff, 4);
  head[8] = 64;
  head[9] = protocol;
  source.copy(head, 12);
  destination.copy(head, 16);
  head.writeUInt16BE(~onesSum([head]) & 0xffff, 10);
  return Buffer.concat([...macs, Buffer.from('0800', 'hex'), head, l4]);
}

export function tcp(p: TcpParts): Buffer {
  const { fromGuest = true, version = 4, guestPort = 80, clientPort = 40_000 } = p;
  const data = typeof p.data === 'string' ? Buffer.from(p.data) : (p.data ?? Buffer.alloc(0));
  const options = optionsOf(p);
  const head = Buffer.alloc(20);
  head.writeUInt16BE(fromGuest ? guestPort : clientPort, 0);
  head.writeUInt16BE(fromGuest ? clientPort : guestPort, 2);
  head.writeUInt32BE(p.seq >>> 0, 4);
  head.writeUInt32BE((p.ack ?? 0) >>> 0, 8);
  head[12] = ((20 + options.length) / 4) << 4;
  const flags = p.flags ?? 'A';
  head[13] = [...flags].reduce((n, f) => n | (FLAGS[f] ?? 0), 0);
  head.writeUInt16BE(p.window ?? 1000, 14);
  const l4 = Buffer.concat([head, options, data]);
  l4.writeUInt16BE(~tcpSum(l4, version, fromGuest) & 0xffff, 16);
  return packet(version, 6, fromGuest, l4, p.id);
}

function tcpSum(l4: Buffer, version: 4 | 6, fromGuest: boolean): number {
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(l4.length, 0);
  pseudo[7] = 6;
  return onesSum([...addresses(version, fromGuest), pseudo, l4]);
}

/** True when the TCP checksum of the frame is right. */
export function isChecksumRight(frame: Buffer, fromGuest: boolean): boolean {
  const version = frame.readUInt16BE(12) === 0x0800 ? 4 : 6;
  const at = version === 4 ? 34 : 54;
  const ipRight = version === 6 || onesSum([frame.subarray(14, 34)]) === 0xffff;
  return ipRight && tcpSum(Buffer.from(frame.subarray(at)), version, fromGuest) === 0xffff;
}

/** TSval; null without the option. */
export function timeOf(frame: Buffer): number | null {
  const at = frame.readUInt16BE(12) === 0x0800 ? 34 : 54;
  const options = frame.subarray(at + 20, at + ((frame[at + 12] ?? 0) >> 4) * 4);
  const i = options.indexOf(Buffer.from([8, 10]));
  return i < 0 ? null : options.readUInt32BE(i + 2);
}

export function udp(data: string, options: { fromGuest?: boolean; version?: 4 | 6; id?: number } = {}): Buffer {
  const { fromGuest = true, version = 4, id = 1 } = options;
  const head = Buffer.alloc(8);
  head.writeUInt16BE(fromGuest ? 53 : 5353, 0);
  head.writeUInt16BE(fromGuest ? 5353 : 53, 2);
  head.writeUInt16BE(8 + data.length, 4);
  return packet(version, 17, fromGuest, Buffer.concat([head, Buffer.from(data)]), id);
}

/** `S 5000 ack 101 "data"`: what a frame says, for comparisons in tests. */
export function describe(frame: Buffer): string {
  const type = frame.readUInt16BE(12);
  if (type === 0x0806) return 'arp';
  const v6 = type === 0x86dd;
  const protocol = frame[v6 ? 20 : 23];
  const at = v6 ? 54 : 34;
  if (protocol === 17) return `udp "${frame.toString('latin1', at + 8)}"`;
  if (protocol !== 6) return `protocol ${protocol}`;
  const flags = frame[at + 13] ?? 0;
  const names = Object.keys(FLAGS)
    .filter((f) => flags & (FLAGS[f] ?? 0))
    .join('');
  const data = frame.toString('latin1', at + ((frame[at + 12] ?? 0) >> 4) * 4);
  const ack = flags & 16 ? ` ack ${frame.readUInt32BE(at + 8)}` : '';
  return `${names} ${frame.readUInt32BE(at + 4)}${ack}${data ? ` "${data}"` : ''}`;
}
