// Frames of somebody who means harm, or of a broken NIC: every kind that the gate reads, with bytes changed, cut short, or lengthened.
import fc from 'fast-check';
import { arpFrame, GUEST_MAC, ipv4Frame, neighborFrame, OTHER_MAC } from '../guest-frames.ts';
import { GUEST_IP6_HEX } from './probe-guest.ts';
import { CLIENT_IP, GUEST_IP, packet, tcp, udp } from './tcp-frames.ts';

function quoting(version: 4 | 6): Buffer {
  const inner = tcp({ version, seq: 1000, ack: 5 }).subarray(14);
  const head = Buffer.alloc(8);
  head[0] = version === 4 ? 3 : 2;
  return packet(version, version === 4 ? 1 : 58, false, Buffer.concat([head, inner]));
}

/** Small numbers, so that they meet each other, and some of the edges. */
const number = fc.oneof(fc.integer({ min: 90, max: 120 }), fc.constantFrom(0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff));
const version = fc.constantFrom<4 | 6>(4, 6);

const segment = fc
  .record({
    version,
    fromGuest: fc.boolean(),
    clientPort: fc.integer({ min: 1, max: 4 }),
    seq: number,
    ack: number,
    flags: fc.constantFrom('S', 'SA', 'A', 'FA', 'R', 'RA', 'SF', 'SFRPAU', 'UA', ''),
    window: fc.constantFrom(0, 1, 0xffff),
    data: fc.uint8Array({ maxLength: 40 }),
    options: fc.uint8Array({ maxLength: 36 }),
  })
  .map(tcp);

const sound = fc.oneof(
  { weight: 6, arbitrary: segment },
  { weight: 2, arbitrary: fc.record({ version, fromGuest: fc.boolean() }).map((o) => udp('some words', o)) },
  fc.constantFrom(
    quoting(4),
    quoting(6),
    arpFrame(OTHER_MAC, 1, OTHER_MAC, CLIENT_IP, GUEST_IP),
    arpFrame(OTHER_MAC, 2, GUEST_MAC, GUEST_IP, GUEST_IP),
    neighborFrame(OTHER_MAC, 135, GUEST_IP6_HEX, GUEST_IP6_HEX),
    neighborFrame(GUEST_MAC, 136, GUEST_IP6_HEX, GUEST_IP6_HEX),
    ipv4Frame(GUEST_MAC, OTHER_MAC, CLIENT_IP, GUEST_IP),
  ),
);

interface Harm {
  changes: [at: number, value: number][];
  length: number | null;
  from: string | null;
}

const harm: fc.Arbitrary<Harm> = fc.record({
  // The headers are where it hurts.
  changes: fc.array(fc.tuple(fc.nat(79), fc.oneof(fc.constantFrom(0, 1, 5, 0x40, 0x45, 0x7f, 0x80, 0xff), fc.nat(255))), { maxLength: 4 }),
  length: fc.option(fc.nat(120), { freq: 3 }),
  from: fc.option(fc.constantFrom(GUEST_MAC, OTHER_MAC)),
});

function harmed(frame: Buffer, { changes, length, from }: Harm): Buffer {
  const f = Buffer.alloc(length ?? frame.length);
  frame.copy(f);
  if (from !== null && f.length >= 12) Buffer.from(from.replaceAll(':', ''), 'hex').copy(f, 6);
  for (const [at, value] of changes) if (at < f.length) f[at] = value;
  return f;
}

/** At the end of its memory: a read behind it throws. */
export const hostileFrame: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(sound, harm).map(([f, h]) => harmed(f, h)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)) },
);
