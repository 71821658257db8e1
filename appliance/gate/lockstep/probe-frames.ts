// The audit's questions to both guests and the answers to them, as frames. Pure codec: RFC 826 (ARP), RFC 4861 (neighbour discovery),
// RFC 792 and RFC 4443 (echo), RFC 792 (timestamp).
//
//   arp        is asked by nobody (sender 0.0.0.0, RFC 5227): answered on every network, nothing is learned from it
//   neighbour  is asked by a link-local address of the gate's own
//   echo       IPv4: in the name of a peer that the guest has just sent to, the only one that it surely can answer; the answer is known
//   clock      by its content, not by its receiver. IPv6: by the gate's own address
//
// The gate's MAC and all contents are made from the session's random number: nobody on the LAN can know them, and both gates do.

export type ProbeKind = 'arp' | 'neighbour' | 'echo' | 'clock';

/** Where a question in another one's name seems to come from: the receiver of a frame that the guest sent. */
export interface Peer {
  mac: Buffer;
  /** 4 bytes. */
  address: Buffer;
}

export interface ProbeAnswer {
  kind: ProbeKind;
  /** Low 16 bits of the question's number; null: the protocol has none. */
  ask: number | null;
  /** What must be equal, in hex. */
  content: string;
  /** kind 'clock': ms since midnight UTC; null: no readable clock. */
  clockMs: number | null;
}

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;
const ICMP = 1;
const ICMPV6 = 58;
const ECHO_REPLY = 0;
const ECHO_REQUEST = 8;
const TIMESTAMP_REQUEST = 13;
const TIMESTAMP_REPLY = 14;
const ECHO_REQUEST_V6 = 128;
const ECHO_REPLY_V6 = 129;
const SOLICITATION = 135;
const ADVERTISEMENT = 136;
const IP_AT = 14;
const ICMP_AT = 34;
const ICMPV6_AT = 54;
const ECHO_BYTES = 24;
const TIMESTAMP_BYTES = 20;
const DAY_MS = 86_400_000;
/** The shortest frame of Ethernet, without its check sequence. */
const SHORTEST_BYTES = 60;

/** Locally administered, unicast. */
export function probeMac(session: number): Buffer {
  const mac = Buffer.from([0x02, 0x54, 0, 0, 0, 0]);
  mac.writeUInt32BE(session, 2);
  return mac;
}

/** fe80:: with the interface identifier of RFC 4291 appendix A. */
function linkLocal(mac: Buffer): Buffer {
  const a = Buffer.alloc(16);
  a[0] = 0xfe;
  a[1] = 0x80;
  mac.copy(a, 8, 0, 3);
  a[8] = (a[8] ?? 0) ^ 2;
  a[11] = 0xff;
  a[12] = 0xfe;
  mac.copy(a, 13, 3, 6);
  return a;
}

/** @param target 4 bytes. */
export function arpQuestion(session: number, guestMac: Buffer, target: Buffer): Buffer {
  const f = ethernet(guestMac, probeMac(session), ETHERTYPE_ARP, 28);
  f.writeUInt32BE(0x00010800, IP_AT);
  f.writeUInt32BE(0x06040001, IP_AT + 4);
  probeMac(session).copy(f, IP_AT + 8);
  target.copy(f, IP_AT + 24);
  return f;
}

/** @param target 16 bytes. */
export function neighbourQuestion(session: number, guestMac: Buffer, target: Buffer): Buffer {
  const mac = probeMac(session);
  const f = ipv6(guestMac, mac, linkLocal(mac), target, 32);
  f[ICMPV6_AT] = SOLICITATION;
  target.copy(f, ICMPV6_AT + 8);
  // Source link-layer address.
  f[ICMPV6_AT + 24] = 1;
  f[ICMPV6_AT + 25] = 1;
  mac.copy(f, ICMPV6_AT + 26);
  return sealV6(f, 32);
}

/** @param guest 4 bytes. */
export function echoQuestion(session: number, ask: number, guestMac: Buffer, guest: Buffer, peer: Peer): Buffer {
  const f = ipv4(guestMac, peer, guest, ECHO_BYTES);
  f[ICMP_AT] = ECHO_REQUEST;
  writeEcho(f, ICMP_AT, session, ask);
  return sealV4(f, ECHO_BYTES);
}

/** @param guest 16 bytes. */
export function echoQuestionV6(session: number, ask: number, guestMac: Buffer, guest: Buffer): Buffer {
  const mac = probeMac(session);
  const f = ipv6(guestMac, mac, linkLocal(mac), guest, ECHO_BYTES);
  f[ICMPV6_AT] = ECHO_REQUEST_V6;
  writeEcho(f, ICMPV6_AT, session, ask);
  return sealV6(f, ECHO_BYTES);
}

/** @param guest 4 bytes. */
export function clockQuestion(session: number, ask: number, guestMac: Buffer, guest: Buffer, peer: Peer): Buffer {
  const f = ipv4(guestMac, peer, guest, TIMESTAMP_BYTES);
  f[ICMP_AT] = TIMESTAMP_REQUEST;
  f.writeUInt16BE(session & 0xffff, ICMP_AT + 4);
  f.writeUInt16BE(ask & 0xffff, ICMP_AT + 6);
  f.writeUInt32BE(session, ICMP_AT + 8);
  return sealV4(f, TIMESTAMP_BYTES);
}

/**
 * Whether the guest's frame, at bytes[at .. at + length), is for the gate and nobody else: it must not reach the LAN. Cheap: asked for
 * every frame.
 */
export function isForProbe(bytes: Buffer, session: number, at: number = 0, length: number = bytes.length - at): boolean {
  if (length < ICMP_AT + 8) return false;
  if (bytes.readUInt16BE(at) === 0x0254 && bytes.readUInt32BE(at + 2) === session) return true;
  if (bytes.readUInt16BE(at + 12) !== ETHERTYPE_IPV4 || bytes[at + IP_AT + 9] !== ICMP || bytes[at + IP_AT] !== 0x45) return false;
  const type = bytes[at + ICMP_AT];
  const left = length - ICMP_AT;
  if (type === ECHO_REPLY) return isOwnEcho(bytes, at + ICMP_AT, left, session);
  return type === TIMESTAMP_REPLY && isOwnTimestamp(bytes, at + ICMP_AT, left, session);
}

/** Null: no answer to a question of this session (see isForProbe for what is nevertheless not for the LAN). */
export function readProbeAnswer(frame: Buffer, session: number): ProbeAnswer | null {
  if (!isForProbe(frame, session)) return null;
  const from = frame.toString('hex', 6, 12);
  switch (frame.readUInt16BE(12)) {
    case ETHERTYPE_ARP:
      // A reply: who answers, and for which address.
      if (frame.readUInt16BE(IP_AT + 6) !== 2) return null;
      return { kind: 'arp', ask: null, content: `${from} ${frame.toString('hex', IP_AT + 8, IP_AT + 18)}`, clockMs: null };
    case ETHERTYPE_IPV4:
      return readIcmp(frame, session, from);
    case ETHERTYPE_IPV6:
      return readIcmpV6(frame, session, from);
    default:
      return null;
  }
}

function readIcmp(frame: Buffer, session: number, from: string): ProbeAnswer | null {
  if (frame[IP_AT] !== 0x45 || frame[IP_AT + 9] !== ICMP) return null;
  const addresses = `${from} ${frame.toString('hex', IP_AT + 12, IP_AT + 20)}`;
  const ask = frame.readUInt16BE(ICMP_AT + 6);
  if (frame[ICMP_AT] === ECHO_REPLY && isOwnEcho(frame, ICMP_AT, frame.length - ICMP_AT, session))
    return { kind: 'echo', ask, content: `${addresses} ${frame.toString('hex', ICMP_AT + 8, ICMP_AT + ECHO_BYTES)}`, clockMs: null };
  if (frame[ICMP_AT] === TIMESTAMP_REPLY && isOwnTimestamp(frame, ICMP_AT, frame.length - ICMP_AT, session))
    return { kind: 'clock', ask, content: addresses, clockMs: readClock(frame, ICMP_AT + 16) };
  return null;
}

function readIcmpV6(frame: Buffer, session: number, from: string): ProbeAnswer | null {
  if (frame.length < ICMPV6_AT + 24 || frame[IP_AT + 6] !== ICMPV6) return null;
  const addresses = `${from} ${frame.toString('hex', IP_AT + 8, IP_AT + 40)}`;
  if (frame[ICMPV6_AT] === ADVERTISEMENT)
    return { kind: 'neighbour', ask: null, content: `${addresses} ${frame.toString('hex', ICMPV6_AT + 8, ICMPV6_AT + 24)}`, clockMs: null };
  if (frame[ICMPV6_AT] !== ECHO_REPLY_V6 || !isOwnEcho(frame, ICMPV6_AT, frame.length - ICMPV6_AT, session)) return null;
  const content = `${addresses} ${frame.toString('hex', ICMPV6_AT + 8, ICMPV6_AT + ECHO_BYTES)}`;
  return { kind: 'echo', ask: frame.readUInt16BE(ICMPV6_AT + 6), content, clockMs: null };
}

/** Some systems write it in their own byte order. Not a time of the day in either: RFC 792 allows that (its highest bit says so). */
function readClock(frame: Buffer, at: number): number | null {
  const big = frame.readUInt32BE(at);
  const little = frame.readUInt32LE(at);
  if (big < DAY_MS) return big;
  return little < DAY_MS ? little : null;
}

/** ms from one time of the day to another, less than half a day before or after it. */
export function clockAdvance(fromMs: number, toMs: number): number {
  const difference = (((toMs - fromMs) % DAY_MS) + DAY_MS) % DAY_MS;
  return difference > DAY_MS / 2 ? difference - DAY_MS : difference;
}

function isOwnEcho(frame: Buffer, at: number, length: number, session: number): boolean {
  return length >= ECHO_BYTES && frame.readUInt16BE(at + 4) === (session & 0xffff) && frame.readUInt32BE(at + 8) === session;
}

function isOwnTimestamp(frame: Buffer, at: number, length: number, session: number): boolean {
  return length >= TIMESTAMP_BYTES && frame.readUInt32BE(at + 8) === session;
}

// --- frames; with a memory of their own, as the gate's frames are ---

function ethernet(to: Buffer, from: Buffer, type: number, payloadBytes: number): Buffer {
  const f = Buffer.alloc(Math.max(SHORTEST_BYTES, IP_AT + payloadBytes));
  to.copy(f, 0);
  from.copy(f, 6);
  f.writeUInt16BE(type, 12);
  return f;
}

function ipv4(guestMac: Buffer, peer: Peer, guest: Buffer, icmpBytes: number): Buffer {
  const f = ethernet(guestMac, peer.mac, ETHERTYPE_IPV4, 20 + icmpBytes);
  f[IP_AT] = 0x45;
  f.writeUInt16BE(20 + icmpBytes, IP_AT + 2);
  f[IP_AT + 8] = 64;
  f[IP_AT + 9] = ICMP;
  peer.address.copy(f, IP_AT + 12);
  guest.copy(f, IP_AT + 16);
  f.writeUInt16BE(checksum(f, IP_AT, IP_AT + 20, 0), IP_AT + 10);
  return f;
}

function ipv6(guestMac: Buffer, mac: Buffer, source: Buffer, guest: Buffer, icmpBytes: number): Buffer {
  const f = ethernet(guestMac, mac, ETHERTYPE_IPV6, 40 + icmpBytes);
  f[IP_AT] = 0x60;
  f.writeUInt16BE(icmpBytes, IP_AT + 4);
  f[IP_AT + 6] = ICMPV6;
  // Neighbour discovery believes nothing that could have come through a router.
  f[IP_AT + 7] = 255;
  source.copy(f, IP_AT + 8);
  guest.copy(f, IP_AT + 24);
  return f;
}

function writeEcho(f: Buffer, at: number, session: number, ask: number): void {
  f.writeUInt16BE(session & 0xffff, at + 4);
  f.writeUInt16BE(ask & 0xffff, at + 6);
  f.writeUInt32BE(session, at + 8);
  f.write('is it alive?', at + 12, 'latin1');
}

function sealV4(f: Buffer, icmpBytes: number): Buffer {
  f.writeUInt16BE(checksum(f, ICMP_AT, ICMP_AT + icmpBytes, 0), ICMP_AT + 2);
  return f;
}

function sealV6(f: Buffer, icmpBytes: number): Buffer {
  // RFC 8200 8.1: the addresses, the length and the protocol are part of the sum; here the addresses lie in front of the message.
  f.writeUInt16BE(checksum(f, IP_AT + 8, ICMPV6_AT + icmpBytes, icmpBytes + ICMPV6), ICMPV6_AT + 2);
  return f;
}

/** RFC 1071, over an even number of bytes. */
function checksum(f: Buffer, from: number, to: number, first: number): number {
  let sum = first;
  for (let at = from; at < to; at += 2) sum += f.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
