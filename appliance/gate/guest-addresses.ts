// Learns which MAC and IP addresses the guest has, from its own frames. Pure.
//
// Two ranks: an address that the guest *claims* (it asked or answered for it by ARP or neighbour discovery), and one that
// was only *seen* as the source of a packet. A guest that forwards packets sends with other machines' source addresses;
// announcing those would steal them. So a seen address counts only while nothing of its family is claimed.
// A claim by another machine on the LAN takes the address away again: it has moved.
import type { GuestAddresses } from './api.ts';

/** Per family and rank; the oldest is forgotten. A guest with more addresses than this is found by its MAC all the same. */
export const ADDRESS_LIMIT = 16;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;
const ICMPV6 = 58;
const NEIGHBOR_SOLICITATION = 135;
const NEIGHBOR_ADVERTISEMENT = 136;

export type Rank = 'claimed' | 'seen';
export interface LearnedAddress {
  rank: Rank;
  /** 4 or 16 bytes, as hex. */
  hex: string;
}

/** Oldest first. Map: insertion order is age. */
type Table = Map<string, true>;

export class GuestAddressBook {
  readonly #fixedMac: boolean;
  #mac: Buffer | null = null;
  #macHigh = -1;
  #macLow = -1;
  readonly #tables: Record<Rank, { v4: Table; v6: Table }> = {
    claimed: { v4: new Map(), v6: new Map() },
    seen: { v4: new Map(), v6: new Map() },
  };
  /** Grows with every change: what was sent to the partner can be compared with it. */
  revision = 0;
  /** The last source addresses: almost every frame has the same as the one before. */
  #lastV4 = -1;
  readonly #lastV6 = Buffer.alloc(16);

  /** With a configured MAC nothing else is ever taken for the guest's. */
  constructor(mac: string | null = null) {
    if (mac !== null) this.#setMac(macBytes(mac));
    this.#fixedMac = mac !== null;
  }

  get mac(): Buffer | null {
    return this.#mac;
  }

  /** Whether the 6 bytes are the guest's MAC; false while it is unknown. */
  isGuestMac(bytes: Buffer, at: number): boolean {
    return bytes.readUInt32BE(at) === this.#macHigh && bytes.readUInt16BE(at + 4) === this.#macLow;
  }

  /** A frame from the guest's NIC, at bytes[at .. at + length). */
  learn(bytes: Buffer, at: number, length: number): void {
    if (!this.#isOwnMac(bytes, at + 6)) return;
    const type = bytes.readUInt16BE(at + 12);
    const l3 = at + 14;
    const left = length - 14;
    if (type === ETHERTYPE_IPV4 && left >= 20) {
      const source = bytes.readUInt32BE(l3 + 12);
      if (source === this.#lastV4) return;
      this.#lastV4 = source;
      if (isHostV4(source)) this.#add('seen', 'v4', bytes.toString('hex', l3 + 12, l3 + 16));
    } else if (type === ETHERTYPE_ARP && left >= 28) {
      // A probe (RFC 5227) has sender 0.0.0.0: not claimed yet.
      if (isEthernetArp(bytes, l3) && isHostV4(bytes.readUInt32BE(l3 + 14)))
        this.#add('claimed', 'v4', bytes.toString('hex', l3 + 14, l3 + 18));
    } else if (type === ETHERTYPE_IPV6 && left >= 40) {
      if (bytes[l3 + 6] === ICMPV6) this.#learnNeighborDiscovery(bytes, l3, left);
      else if (bytes.compare(this.#lastV6, 0, 16, l3 + 8, l3 + 24) !== 0) {
        bytes.copy(this.#lastV6, 0, l3 + 8, l3 + 24);
        if (isHostV6(bytes, l3 + 8)) this.#add('seen', 'v6', bytes.toString('hex', l3 + 8, l3 + 24));
      }
    }
  }

  #learnNeighborDiscovery(bytes: Buffer, l3: number, left: number): void {
    const type = bytes[l3 + 40];
    const sourceIsHost = isHostV6(bytes, l3 + 8);
    if (left >= 64 && type === NEIGHBOR_ADVERTISEMENT) {
      if (isHostV6(bytes, l3 + 48)) this.#add('claimed', 'v6', bytes.toString('hex', l3 + 48, l3 + 64));
    } else if (left >= 64 && type === NEIGHBOR_SOLICITATION) {
      // Source :: is duplicate address detection: the target is not the guest's yet.
      if (sourceIsHost) this.#add('claimed', 'v6', bytes.toString('hex', l3 + 8, l3 + 24));
    } else if (sourceIsHost) this.#add('seen', 'v6', bytes.toString('hex', l3 + 8, l3 + 24));
  }

  /** A frame from the LAN (not from the guest's MAC): another machine's claim takes the address away. */
  learnForeign(bytes: Buffer, at: number, length: number): void {
    const type = bytes.readUInt16BE(at + 12);
    const l3 = at + 14;
    if (type === ETHERTYPE_ARP && length >= 42) {
      if (isEthernetArp(bytes, l3) && bytes.readUInt32BE(l3 + 14) !== 0) this.#remove('v4', bytes, l3 + 14, l3 + 18);
    } else if (type === ETHERTYPE_IPV6 && length >= 78 && bytes[l3 + 6] === ICMPV6 && bytes[l3 + 40] === NEIGHBOR_ADVERTISEMENT) {
      this.#remove('v6', bytes, l3 + 48, l3 + 64);
    }
  }

  /** What to announce and to show. `mac` is empty when it is unknown. */
  addresses(): GuestAddresses {
    return {
      mac: this.#mac === null ? '' : (this.#mac.toString('hex').match(/../g) ?? []).join(':'),
      ipv4: this.announceable('v4').map((b) => b.join('.')),
      ipv6: this.announceable('v6').map(formatIpv6),
    };
  }

  /** The addresses as bytes, oldest first. */
  announceable(family: 'v4' | 'v6'): Buffer[] {
    const { claimed, seen } = this.#tables;
    const table = claimed[family].size > 0 ? claimed[family] : seen[family];
    return [...table.keys()].map((hex) => Buffer.from(hex, 'hex'));
  }

  /** The whole book, for the partner. */
  export(): LearnedAddress[] {
    const list: LearnedAddress[] = [];
    for (const rank of ['claimed', 'seen'] as const)
      for (const family of ['v4', 'v6'] as const) for (const hex of this.#tables[rank][family].keys()) list.push({ rank, hex });
    return list;
  }

  /** The partner's book: the guest there is this guest. Replaces what is known here. */
  import(mac: Buffer | null, list: readonly LearnedAddress[]): void {
    if (mac && !this.#fixedMac) this.#setMac(mac);
    for (const rank of ['claimed', 'seen'] as const) for (const family of ['v4', 'v6'] as const) this.#tables[rank][family].clear();
    this.#lastV4 = -1;
    this.#lastV6.fill(0);
    for (const { rank, hex } of list) this.#add(rank, hex.length === 8 ? 'v4' : 'v6', hex);
  }

  #isOwnMac(bytes: Buffer, at: number): boolean {
    if (this.#mac) return this.isGuestMac(bytes, at);
    // Group bit set or all zero: no machine's address.
    if (((bytes[at] ?? 1) & 1) === 1 || bytes.readUIntBE(at, 6) === 0) return false;
    this.#setMac(bytes.subarray(at, at + 6));
    this.revision++;
    return true;
  }

  #setMac(mac: Buffer): void {
    this.#mac = Buffer.from(mac);
    this.#macHigh = mac.readUInt32BE(0);
    this.#macLow = mac.readUInt16BE(4);
  }

  #add(rank: Rank, family: 'v4' | 'v6', hex: string): void {
    const table = this.#tables[rank][family];
    if (table.has(hex)) return;
    if (rank === 'seen' && this.#tables.claimed[family].has(hex)) return;
    if (rank === 'claimed') this.#tables.seen[family].delete(hex);
    table.set(hex, true);
    const [oldest] = table.keys();
    if (table.size > ADDRESS_LIMIT && oldest !== undefined) table.delete(oldest);
    this.revision++;
  }

  #remove(family: 'v4' | 'v6', bytes: Buffer, from: number, to: number): void {
    const { claimed, seen } = this.#tables;
    if (claimed[family].size === 0 && seen[family].size === 0) return;
    const hex = bytes.toString('hex', from, to);
    const had = claimed[family].delete(hex);
    if (seen[family].delete(hex) || had) this.revision++;
    this.#lastV4 = -1;
    this.#lastV6.fill(0);
  }
}

/** Throws RangeError: 'aa:bb:cc:dd:ee:ff' is expected. */
export function macBytes(mac: string): Buffer {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac))
    throw new RangeError(`'${mac}' is no MAC address: six hex bytes with colons are expected`);
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

/** RFC 5952: lower case, the longest run of two or more zero groups shortened. */
export function formatIpv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2));
  let best = { at: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > best.length) best = { at: i, length: n };
  }
  const hex = (list: number[]) => list.map((g) => g.toString(16)).join(':');
  return best.at < 0 ? hex(groups) : `${hex(groups.slice(0, best.at))}::${hex(groups.slice(best.at + best.length))}`;
}

/** Ethernet/IPv4 ARP (hardware 1, protocol 0800, lengths 6 and 4). */
function isEthernetArp(bytes: Buffer, l3: number): boolean {
  return bytes.readUInt32BE(l3) === 0x00010800 && bytes.readUInt16BE(l3 + 4) === 0x0604;
}

/** Not 0/8, 127/8, multicast or broadcast. */
function isHostV4(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/** Not ::, ::1 or multicast. */
function isHostV6(bytes: Buffer, at: number): boolean {
  if (bytes[at] === 0xff) return false;
  return !(bytes.readBigUInt64BE(at) === 0n && bytes.readBigUInt64BE(at + 8) <= 1n);
}
