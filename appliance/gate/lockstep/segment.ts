// Frames as lockstep sees them: which are compared as TCP streams, which as datagrams, which never; and the in-place change of
// a TCP frame's numbers. Pure.
//
//   tcp        IPv4 (no fragment) or IPv6 (no extension header): followed, compared, translated
//   datagram   UDP, ICMP, ICMPv6 beside neighbour discovery: compared whole
//   control    ARP, RARP, LLDP, neighbour discovery, IGMP, MLD: say where the guest is, and not what it knows
//   opaque     all the rest, also what is malformed: never compared, covered by a commit only
//
// Checksums are changed incrementally (RFC 1624, eqn. 3): a checksum that was wrong stays wrong, as it must. An option may begin
// at an odd offset: then its bytes count with the other weight.
import type { ConnectionKey } from './api.ts';

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const ACK = 0x10;
export const URG = 0x20;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_RARP = 0x8035;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_LLDP = 0x88cc;

const PROTOCOL_ICMP = 1;
const PROTOCOL_IGMP = 2;
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;
const PROTOCOL_ICMPV6 = 58;
const HOP_BY_HOP = 0;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK = 5;
const OPTION_TIMESTAMPS = 8;

const IP_AT = 14;
const TCP_HEADER_BYTES = 20;
const CHECKSUM_AT = 16;

export interface TcpSegment {
  kind: 'tcp';
  frame: Buffer;
  /** As the sender sees it when it is the guest; see `fromGuest`. */
  key: ConnectionKey;
  version: 4 | 6;
  /** Where the TCP header, its payload and the packet's end are in the frame. */
  tcpAt: number;
  payloadAt: number;
  endAt: number;
  flags: number;
  sequence: number;
  acknowledgement: number;
  /** Not scaled. */
  window: number;
}

export interface Datagram {
  kind: 'datagram';
  frame: Buffer;
  /** Addresses, protocol and everything behind the IP header, one character per byte: equal ones are the same datagram. */
  content: string;
}

export type Parsed = TcpSegment | Datagram | { kind: 'control' } | { kind: 'opaque' };

const CONTROL: Parsed = { kind: 'control' };
const OPAQUE: Parsed = { kind: 'opaque' };

/** Sequence numbers, modulo 2^32: true when a is after b. */
export function after(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

export function add(a: number, b: number): number {
  return (a + b) >>> 0;
}

/** a - b modulo 2^32. */
export function subtract(a: number, b: number): number {
  return (a - b) >>> 0;
}

/**
 * @param fromGuest The guest is the sender: else the key is turned round, so that both directions have the same.
 */
export function parseFrame(frame: Buffer, fromGuest: boolean): Parsed {
  if (frame.length < IP_AT) return OPAQUE;
  switch (frame.readUInt16BE(12)) {
    case ETHERTYPE_ARP:
    case ETHERTYPE_RARP:
    case ETHERTYPE_LLDP:
      return CONTROL;
    case ETHERTYPE_IPV4:
      return parseIpv4(frame, fromGuest);
    case ETHERTYPE_IPV6:
      return parseIpv6(frame, fromGuest);
    default:
      return OPAQUE;
  }
}

function parseIpv4(frame: Buffer, fromGuest: boolean): Parsed {
  if (frame.length < IP_AT + 20) return OPAQUE;
  const first = frame[IP_AT] ?? 0;
  const headerBytes = (first & 15) * 4;
  const endAt = IP_AT + frame.readUInt16BE(IP_AT + 2);
  if (first >>> 4 !== 4 || headerBytes < 20 || IP_AT + headerBytes > endAt || endAt > frame.length) return OPAQUE;
  const protocol = frame[IP_AT + 9] ?? 0;
  // More fragments follow, or this is one: the rest of the packet is not here.
  if ((frame.readUInt16BE(IP_AT + 6) & 0x3fff) !== 0) return OPAQUE;
  const at = IP_AT + headerBytes;
  if (protocol === PROTOCOL_TCP) return parseTcp(frame, 4, at, endAt, fromGuest);
  if (protocol === PROTOCOL_UDP || protocol === PROTOCOL_ICMP) return datagram(frame, IP_AT + 12, IP_AT + 20, protocol, at, endAt);
  return protocol === PROTOCOL_IGMP ? CONTROL : OPAQUE;
}

function parseIpv6(frame: Buffer, fromGuest: boolean): Parsed {
  const at = IP_AT + 40;
  if (frame.length < at) return OPAQUE;
  const endAt = at + frame.readUInt16BE(IP_AT + 4);
  if ((frame[IP_AT] ?? 0) >>> 4 !== 6 || endAt > frame.length) return OPAQUE;
  const protocol = frame[IP_AT + 6];
  if (protocol === PROTOCOL_TCP) return parseTcp(frame, 6, at, endAt, fromGuest);
  if (protocol === PROTOCOL_UDP) return datagram(frame, IP_AT + 8, at, protocol, at, endAt);
  if (protocol === PROTOCOL_ICMPV6) {
    const type = endAt > at ? (frame[at] ?? 0) : 0;
    return isNeighborControl(type) ? CONTROL : datagram(frame, IP_AT + 8, at, protocol, at, endAt);
  }
  // Reports of multicast listeners carry a router alert.
  const isReport = protocol === HOP_BY_HOP && endAt > at + 8 && frame[at] === PROTOCOL_ICMPV6 && frame[at + 1] === 0;
  return isReport && isListenerControl(frame[at + 8] ?? 0) ? CONTROL : OPAQUE;
}

/** RFC 4861: solicitations, advertisements, redirect. */
function isNeighborControl(type: number): boolean {
  return (type >= 133 && type <= 137) || isListenerControl(type);
}

/** RFC 2710, RFC 3810. */
function isListenerControl(type: number): boolean {
  return (type >= 130 && type <= 132) || type === 143;
}

function datagram(frame: Buffer, addressesAt: number, addressesEnd: number, protocol: number, at: number, endAt: number): Datagram {
  const content = frame.toString('latin1', addressesAt, addressesEnd) + String.fromCharCode(protocol) + frame.toString('latin1', at, endAt);
  return { kind: 'datagram', frame, content };
}

function parseTcp(frame: Buffer, version: 4 | 6, tcpAt: number, endAt: number, fromGuest: boolean): Parsed {
  if (endAt - tcpAt < TCP_HEADER_BYTES) return OPAQUE;
  const payloadAt = tcpAt + ((frame[tcpAt + 12] ?? 0) >>> 4) * 4;
  if (payloadAt < tcpAt + TCP_HEADER_BYTES || payloadAt > endAt) return OPAQUE;
  return {
    kind: 'tcp',
    frame,
    key: keyAt(frame, version, IP_AT, tcpAt, fromGuest),
    version,
    tcpAt,
    payloadAt,
    endAt,
    flags: frame[tcpAt + 13] ?? 0,
    sequence: frame.readUInt32BE(tcpAt + 4),
    acknowledgement: frame.readUInt32BE(tcpAt + 8),
    window: frame.readUInt16BE(tcpAt + 14),
  };
}

function keyAt(frame: Buffer, version: 4 | 6, ipAt: number, portsAt: number, fromGuest: boolean): ConnectionKey {
  const bytes = version === 4 ? 4 : 16;
  const source = ipAt + (version === 4 ? 12 : 8);
  if (fromGuest) return frame.toString('latin1', source, source + 2 * bytes) + frame.toString('latin1', portsAt, portsAt + 4);
  return (
    frame.toString('latin1', source + bytes, source + 2 * bytes) +
    frame.toString('latin1', source, source + bytes) +
    frame.toString('latin1', portsAt + 2, portsAt + 4) +
    frame.toString('latin1', portsAt, portsAt + 2)
  );
}

/** Sequence number behind the segment's last byte; SYN and FIN count as bytes. */
export function endOf(s: TcpSegment): number {
  return add(s.sequence, s.endAt - s.payloadAt + (s.flags & SYN ? 1 : 0) + (s.flags & FIN ? 1 : 0));
}

/** Calls back with kind, offset of the option in the frame, and its length, until the list ends or is malformed. */
function forEachOption(s: TcpSegment, callback: (kind: number, at: number, length: number) => void): void {
  const { frame } = s;
  let at = s.tcpAt + TCP_HEADER_BYTES;
  while (at < s.payloadAt) {
    const kind = frame[at] ?? OPTION_END;
    if (kind === OPTION_END) return;
    if (kind === OPTION_NOP) {
      at++;
      continue;
    }
    const length = at + 1 < s.payloadAt ? (frame[at + 1] ?? 0) : 0;
    if (length < 2 || at + length > s.payloadAt) return;
    callback(kind, at, length);
    at += length;
  }
}

/** NOP, NOP, timestamps: as most systems begin the options of everything but a SYN. */
const USUAL_OPTIONS = 0x0101_080a;

/** Where TSval is in the frame; -1 without the option. */
function timestampAt(s: TcpSegment): number {
  const first = s.tcpAt + TCP_HEADER_BYTES;
  if (first + 12 <= s.payloadAt && s.frame.readUInt32BE(first) === USUAL_OPTIONS) return first + 4;
  let found = -1;
  forEachOption(s, (kind, at, length) => {
    if (kind === OPTION_TIMESTAMPS && length === 10) found = at + 2;
  });
  return found;
}

/** TSval; null without the option. */
export function timestampOf(s: TcpSegment): number | null {
  const at = timestampAt(s);
  return at < 0 ? null : s.frame.readUInt32BE(at);
}

/** The later of two TSvals; null: unknown. */
export function latestTime(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return after(a, b) ? a : b;
}

/** TSval, in place; nothing without the option. */
export function setTimestamp(s: TcpSegment, value: number): void {
  const at = timestampAt(s);
  if (at >= 0) writeTcp32(s, at, value);
}

/** The window scale of a SYN, 0 without the option (RFC 7323: at most 14). */
export function windowScaleOf(s: TcpSegment): number {
  let value = 0;
  forEachOption(s, (kind, at, length) => {
    if (kind === OPTION_WINDOW_SCALE && length === 3) value = Math.min(s.frame[at + 2] ?? 0, 14);
  });
  return value;
}

/** What a SYN offers, without the values of its timestamps: the replicas must offer the same. */
export function offerOf(s: TcpSegment): string {
  let offer = '';
  forEachOption(s, (kind, at, length) => {
    offer += `${kind}:${kind === OPTION_TIMESTAMPS ? '' : s.frame.toString('hex', at + 2, at + length)} `;
  });
  return offer;
}

/** LAN to guest: acknowledgement, SACK blocks and TSecr become the guest's, in place. */
export function translateForGuest(s: TcpSegment, sequence: number, timestamp: number): void {
  if ((s.flags & ACK) === 0) return;
  const { frame, tcpAt } = s;
  if (sequence !== 0) {
    s.acknowledgement = add(s.acknowledgement, sequence);
    writeTcp32(s, tcpAt + 8, s.acknowledgement);
  }
  forEachOption(s, (kind, at, length) => {
    if (kind === OPTION_SACK && sequence !== 0) {
      for (let edge = at + 2; edge + 4 <= at + length; edge += 4) writeTcp32(s, edge, add(frame.readUInt32BE(edge), sequence));
    } else if (kind === OPTION_TIMESTAMPS && length === 10 && timestamp !== 0) {
      writeTcp32(s, at + 6, add(frame.readUInt32BE(at + 6), timestamp));
    }
  });
}

/** Guest to LAN: sequence number and TSval become the LAN's, in place. */
export function translateForLan(s: TcpSegment, sequence: number, timestamp: number): void {
  const { frame, tcpAt } = s;
  if (sequence !== 0) {
    s.sequence = subtract(s.sequence, sequence);
    writeTcp32(s, tcpAt + 4, s.sequence);
  }
  if (timestamp === 0) return;
  forEachOption(s, (kind, at, length) => {
    if (kind === OPTION_TIMESTAMPS && length === 10) writeTcp32(s, at + 2, subtract(frame.readUInt32BE(at + 2), timestamp));
  });
}

/** The window field, in place. */
export function setWindow(s: TcpSegment, window: number): void {
  const { frame, tcpAt } = s;
  const checksumAt = tcpAt + CHECKSUM_AT;
  const sum = ~frame.readUInt16BE(checksumAt) & 0xffff;
  const changed = sum + (~s.window & 0xffff) + window;
  frame.writeUInt16BE(~fold(changed) & 0xffff, checksumAt);
  frame.writeUInt16BE(window, tcpAt + 14);
  s.window = window;
}

function writeTcp32(s: TcpSegment, at: number, value: number): void {
  replace32(s.frame, at, value, s.tcpAt + CHECKSUM_AT, ((at - s.tcpAt) & 1) === 1);
}

/** Replaces a be32 and corrects the checksum over it. `odd`: the value begins at an odd offset of what is summed. */
export function replace32(frame: Buffer, at: number, value: number, checksumAt: number, odd: boolean): void {
  const old = frame.readUInt32BE(at);
  frame.writeUInt32BE(value, at);
  // Sums of 16 bit words in one's complement arithmetic may be made over swapped words and swapped at the end (RFC 1071 2.B).
  const change = fold((~(old >>> 16) & 0xffff) + (~old & 0xffff) + (value >>> 16) + (value & 0xffff));
  const sum = (~frame.readUInt16BE(checksumAt) & 0xffff) + (odd ? ((change & 0xff) << 8) | (change >>> 8) : change);
  frame.writeUInt16BE(~fold(sum) & 0xffff, checksumAt);
}

function fold(sum: number): number {
  let s = sum;
  while (s > 0xffff) s = (s & 0xffff) + (s >>> 16);
  return s;
}

/** The TCP checksum as it must be, from all bytes (RFC 9293 3.1). Slow: for frames that we make, and for tests. */
export function tcpChecksum(s: TcpSegment): number {
  const { frame, tcpAt, endAt } = s;
  const addressBytes = s.version === 4 ? 8 : 32;
  const addressesAt = IP_AT + (s.version === 4 ? 12 : 8);
  let sum = PROTOCOL_TCP + (endAt - tcpAt);
  for (let i = addressesAt; i < addressesAt + addressBytes; i += 2) sum += frame.readUInt16BE(i);
  for (let i = tcpAt; i < endAt; i += 2) {
    if (i === tcpAt + CHECKSUM_AT) continue;
    sum += i + 1 < endAt ? frame.readUInt16BE(i) : (frame[i] ?? 0) << 8;
  }
  return ~fold(sum) & 0xffff;
}

/** A copy with a memory of its own (its offset is 0): never taken for a range of a batch. */
export function ownCopy(frame: Uint8Array): Buffer {
  const own = Buffer.alloc(frame.length);
  own.set(frame);
  return own;
}

/** The segment without its payload, FIN and SYN at a sequence number: an acknowledgement of its own. A new frame. */
export function acknowledgementOf(s: TcpSegment, sequence: number): TcpSegment {
  const frame = ownCopy(s.frame.subarray(0, s.payloadAt));
  const bare: TcpSegment = { ...s, frame, endAt: s.payloadAt, flags: ACK, sequence };
  frame[s.tcpAt + 13] = ACK;
  frame.writeUInt32BE(sequence, s.tcpAt + 4);
  if (s.version === 4) {
    const bytes = s.payloadAt - IP_AT;
    const checksumAt = IP_AT + 10;
    const change = (~frame.readUInt16BE(checksumAt) & 0xffff) + (~frame.readUInt16BE(IP_AT + 2) & 0xffff) + bytes;
    frame.writeUInt16BE(bytes, IP_AT + 2);
    frame.writeUInt16BE(~fold(change) & 0xffff, checksumAt);
  } else frame.writeUInt16BE(s.payloadAt - IP_AT - 40, IP_AT + 4);
  frame.writeUInt16BE(tcpChecksum(bare), s.tcpAt + CHECKSUM_AT);
  return bare;
}

/**
 * An ICMP error about a TCP segment that the guest sent: the quoted header has the LAN's sequence number, and the guest believes only
 * its own (path MTU discovery depends on it). Answers where the quoted sequence number is, or null for any other frame.
 */
export function quotedSegment(frame: Buffer): { key: ConnectionKey; sequenceAt: number; checksumAt: number } | null {
  if (frame.length < IP_AT + 20) return null;
  const type = frame.readUInt16BE(12);
  if (type === ETHERTYPE_IPV4) {
    const icmpAt = IP_AT + ((frame[IP_AT] ?? 0) & 15) * 4;
    if (frame[IP_AT + 9] !== PROTOCOL_ICMP || (frame.readUInt16BE(IP_AT + 6) & 0x3fff) !== 0 || icmpAt + 8 + 28 > frame.length) return null;
    const errorType = frame[icmpAt];
    const innerAt = icmpAt + 8;
    const tcpAt = innerAt + ((frame[innerAt] ?? 0) & 15) * 4;
    if ((errorType !== 3 && errorType !== 11 && errorType !== 12) || (frame[innerAt] ?? 0) >>> 4 !== 4) return null;
    if (frame[innerAt + 9] !== PROTOCOL_TCP || tcpAt < innerAt + 20 || tcpAt + 8 > frame.length) return null;
    return { key: keyAt(frame, 4, innerAt, tcpAt, true), sequenceAt: tcpAt + 4, checksumAt: icmpAt + 2 };
  }
  const icmpAt = IP_AT + 40;
  const innerAt = icmpAt + 8;
  const tcpAt = innerAt + 40;
  if (type !== ETHERTYPE_IPV6 || tcpAt + 8 > frame.length || frame[IP_AT + 6] !== PROTOCOL_ICMPV6) return null;
  const errorType = frame[icmpAt] ?? 0;
  if (errorType < 1 || errorType > 4 || (frame[innerAt] ?? 0) >>> 4 !== 6 || frame[innerAt + 6] !== PROTOCOL_TCP) return null;
  return { key: keyAt(frame, 6, innerAt, tcpAt, true), sequenceAt: tcpAt + 4, checksumAt: icmpAt + 2 };
}
