// What udhcpc's script says, a line an event, and what is taken of it. Pure. Whoever answers first on a cable is the DHCP server: its values
// are a stranger's. They are refused here with a reason, before any of them reaches a port.
//
//   twinstep-dhcp bound enp1s0 192.0.2.50 255.255.255.0 192.0.2.1 3600      README.md has the fields

export interface DhcpLease {
  address: string;
  /** 8 to 32. */
  prefix: number;
  /** Within the lease's network. Null: none is given, or it was refused. */
  router: string | null;
  /** 16 to 4294967295, which is for ever. */
  leaseS: number;
}

export type DhcpEvent =
  /** `routerRefused`: why there is no router. The address is good without it: the browser may be in the same network. */
  | { kind: 'bound' | 'renew'; nic: string; lease: DhcpLease; routerRefused: string | null }
  | { kind: 'deconfig' | 'leasefail' | 'nak'; nic: string }
  /** A lease that is not taken. `reason` continues "the answer is refused:". */
  | { kind: 'refused'; nic: string; reason: string }
  /** Not of our script. */
  | { kind: 'malformed' };

const MARK = 'twinstep-dhcp';
/** As long as the longest name and values, and some more. */
const LINE_MAX_CHARS = 160;
const NONE = '-';
/** Nobody's network is larger: 10.0.0.0/8. A shorter mask would take half of the world's addresses onto this cable. */
const PREFIX_MIN = 8;
/** udhcpc keeps no lease shorter, and takes an hour where the server names no time. */
const LEASE_MIN_S = 16;
const LEASE_DEFAULT_S = 3_600;
const LEASE_MAX_S = 0xffff_ffff;
/** The pair's links. A lease in there would take what one CoServer says to the other. */
const LINK_NETWORKS = ['169.254.76.0', '169.254.77.0'] as const;
const LINK_PREFIX = 30;

/** As the kernel has it, and no option of a command. */
export const NIC_NAME = /^[^\s/.-][^\s/]{0,14}$/;

/**
 * The script, POSIX sh. A value is a server's: printed when it is made of digits and dots, else as "?"; never run, never as a format. Where
 * nobody reads any more, this product has ended without ending udhcpc: it is ended without a word, as its address may be another's by now.
 */
export const SCRIPT = `#!/bin/sh
trap '' PIPE
plain() {
  case $1 in
    '') value=${NONE} ;;
    *[!0-9.]*) value='?' ;;
    *) value=$1 ;;
  esac
}
plain "$ip"
line=$value
plain "$subnet"
line="$line $value"
plain "\${router%% *}"
line="$line $value"
plain "$lease"
printf '%s %s %s %s %s\\n' ${MARK} "$1" "$interface" "$line" "$value" 2>/dev/null || kill -9 "$PPID"
`;

/** Never throws. */
export function parseLine(line: string): DhcpEvent {
  if (line.length > LINE_MAX_CHARS) return { kind: 'malformed' };
  const [mark, kind, nic = '', ...values] = line.split(' ');
  if (mark !== MARK || !NIC_NAME.test(nic) || values.length !== 4) return { kind: 'malformed' };
  switch (kind) {
    case 'deconfig':
    case 'leasefail':
    case 'nak':
      return { kind, nic };
    case 'bound':
    case 'renew': {
      const judged = judgeLease(values);
      return typeof judged === 'string' ? { kind: 'refused', nic, reason: judged } : { kind, nic, ...judged };
    }
    default:
      return { kind: 'malformed' };
  }
}

function judgeLease(values: readonly string[]): { lease: DhcpLease; routerRefused: string | null } | string {
  const [ip = NONE, mask = NONE, routerText = NONE, leaseText = NONE] = values;
  const address = parseAddress(ip);
  if (address === null) return `its address is ${shown(ip)}`;
  if (!isHost(address)) return `${ip} is no address of a server`;
  const prefix = parseMask(mask);
  if (prefix === null) return `its network mask is ${shown(mask)}`;
  if (prefix < PREFIX_MIN) return `the mask ${mask} makes one network of far too many addresses`;
  if (isEdge(address, prefix)) return `${ip}/${prefix} is the network itself, or its broadcast address`;
  for (const network of LINK_NETWORKS)
    if (isWithin(parseAddress(network) ?? 0, address, Math.min(prefix, LINK_PREFIX)))
      return `${ip}/${prefix} meets ${network}/${LINK_PREFIX}, which belongs to the pair's links`;
  const leaseS = parseLease(leaseText);
  if (leaseS === null) return `its time is ${shown(leaseText)}`;
  const routerRefused = judgeRouter(routerText, address, prefix);
  const router = routerText === NONE || routerRefused !== null ? null : routerText;
  return { lease: { address: ip, prefix, router, leaseS }, routerRefused };
}

/** Null: good, or none. */
function judgeRouter(text: string, address: number, prefix: number): string | null {
  if (text === NONE) return null;
  const router = parseAddress(text);
  if (router === null) return `its router is ${shown(text)}`;
  if (!isHost(router)) return `${text} is no address of a router`;
  if (router === address) return `the router ${text} has the address that this server is given`;
  if (!isWithin(router, address, prefix)) return `the router ${text} is outside of the network`;
  return isEdge(router, prefix) ? `the router ${text} is the network itself, or its broadcast address` : null;
}

/** Only what is short enough to be worth reading. */
function shown(text: string): string {
  if (text === NONE) return 'missing';
  return /^[0-9.]{1,20}$/.test(text) ? `"${text}"` : 'not readable';
}

/** Null: not four numbers as everybody writes them (a leading zero is octal to some). */
function parseAddress(text: string): number | null {
  if (!/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(text)) return null;
  const parts = text.split('.').map(Number);
  return parts.some((part) => part > 255) ? null : parts.reduce((all, part) => all * 256 + part, 0);
}

/** Dotted, or the number of bits. Null: not readable, or with gaps. */
function parseMask(text: string): number | null {
  if (/^(\d|[12]\d|3[0-2])$/.test(text)) return Number(text);
  const mask = parseAddress(text);
  if (mask === null) return null;
  const prefix = Math.clz32(~mask);
  return maskOf(prefix) === mask ? prefix : null;
}

function parseLease(text: string): number | null {
  if (text === NONE) return LEASE_DEFAULT_S;
  if (!/^\d{1,10}$/.test(text) || Number(text) > LEASE_MAX_S) return null;
  return Math.max(Number(text), LEASE_MIN_S);
}

function maskOf(prefix: number): number {
  return prefix === 0 ? 0 : (0xffff_ffff << (32 - prefix)) >>> 0;
}

function isWithin(address: number, other: number, prefix: number): boolean {
  return ((address ^ other) & maskOf(prefix)) === 0;
}

/** A network of two addresses, or of one, has no edge (RFC 3021). */
function isEdge(address: number, prefix: number): boolean {
  const host = (address & ~maskOf(prefix)) >>> 0;
  return prefix <= 30 && (host === 0 || host === ~maskOf(prefix) >>> 0);
}

/** Not "this network", not this machine, not multicast and what is above (RFC 6890). */
function isHost(address: number): boolean {
  const first = Math.floor(address / 2 ** 24);
  return first > 0 && first !== 127 && first < 224;
}
