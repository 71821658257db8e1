// Frames that tell the LAN where the guest is now. Pure.
//
// The guest keeps its MAC: neighbours' caches stay right, but every switch must learn its new port at once. Any frame from
// that MAC teaches it; the usual forms also refresh neighbours and are what operators look for in a capture.
//   ARP   RFC 5227 announcement (request form) and the reply form (for machines that listen to one only)
//   NA    RFC 4861 7.2.6 unsolicited neighbour advertisement with the override flag, to all nodes
//   RARP  without any known IP address: the form that hypervisors use
import type { GuestAddressBook } from './guest-addresses.ts';

/** ms after the takeover: at once, and again for what was lost while switches learn. */
export const ANNOUNCE_AT_MS = [0, 50, 200, 600] as const;

/** Ethernet's shortest payload makes frames of 60 bytes without the checksum. */
const MINIMUM_WIRE_BYTES = 60;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const RARP_REQUEST = 3;
const NA_FLAG_OVERRIDE = 0x2000_0000;

/** One round of announcement for all known addresses; empty when not even the MAC is known. */
export function announcement(book: GuestAddressBook): Buffer[] {
  const mac = book.mac;
  if (!mac) return [];
  const v4 = book.announceable('v4');
  const frames = [rarp(mac)];
  for (const ip of v4) frames.push(gratuitousArp(mac, ip, ARP_REQUEST), gratuitousArp(mac, ip, ARP_REPLY));
  for (const ip of book.announceable('v6')) frames.push(neighborAdvertisement(mac, ip));
  return frames;
}

function arpFrame(mac: Buffer, etherType: number, operation: number): Buffer {
  const f = Buffer.alloc(MINIMUM_WIRE_BYTES);
  f.fill(0xff, 0, 6);
  mac.copy(f, 6);
  f.writeUInt16BE(etherType, 12);
  f.writeUInt32BE(0x0001_0800, 14); // Ethernet, IPv4
  f.writeUInt16BE(0x0604, 18);
  f.writeUInt16BE(operation, 20);
  mac.copy(f, 22);
  return f;
}

/** Sender and target address are both the guest's. */
export function gratuitousArp(mac: Buffer, ip: Buffer, operation: 1 | 2): Buffer {
  const f = arpFrame(mac, 0x0806, operation);
  ip.copy(f, 28);
  if (operation === ARP_REPLY) f.fill(0xff, 32, 38);
  ip.copy(f, 38);
  return f;
}

function rarp(mac: Buffer): Buffer {
  const f = arpFrame(mac, 0x8035, RARP_REQUEST);
  mac.copy(f, 32);
  return f;
}

/** Unsolicited, to ff02::1, with the target link-layer address option. */
export function neighborAdvertisement(mac: Buffer, ip: Buffer): Buffer {
  const f = Buffer.alloc(14 + 40 + 32);
  f.writeUIntBE(0x3333_0000_0001, 0, 6);
  mac.copy(f, 6);
  f.writeUInt16BE(0x86dd, 12);
  f[14] = 0x60;
  f.writeUInt16BE(32, 18);
  f[20] = 58;
  f[21] = 255; // neighbour discovery is refused with any other hop limit
  ip.copy(f, 22);
  f.writeUInt16BE(0xff02, 38);
  f[53] = 1;
  f[54] = 136;
  f.writeUInt32BE(NA_FLAG_OVERRIDE, 58);
  ip.copy(f, 62);
  f[78] = 2; // target link-layer address
  f[79] = 1; // in units of 8 bytes
  mac.copy(f, 80);
  f.writeUInt16BE(icmpv6Checksum(f, 14), 56);
  return f;
}

/** RFC 4443 2.3: over the pseudo header (addresses, length, next header) and the message with its checksum field 0. */
function icmpv6Checksum(f: Buffer, l3: number): number {
  const length = f.readUInt16BE(l3 + 4);
  let sum = length + 58;
  for (let i = l3 + 8; i < l3 + 40 + length; i += 2) sum += f.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
