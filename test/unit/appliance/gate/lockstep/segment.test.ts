// The change of a segment's numbers, against checksums computed anew from all bytes.
import fc from 'fast-check';
import t from 'tap';
import {
  acknowledgementOf,
  parseFrame,
  quotedSegment,
  setWindow,
  type TcpSegment,
  tcpChecksum,
  timestampOf,
  translateForGuest,
  translateForLan,
} from '../../../../../appliance/gate/lockstep/segment.ts';
import { arpFrame, GUEST_MAC, neighborFrame } from '../guest-frames.ts';
import { isChecksumRight, packet, tcp, udp } from './tcp-frames.ts';

const be32 = fc.integer({ min: 0, max: 0xffff_ffff });

function segment(frame: Buffer, fromGuest: boolean): TcpSegment {
  const parsed = parseFrame(frame, fromGuest);
  if (parsed.kind !== 'tcp') throw new Error(`read as ${parsed.kind}`);
  return parsed;
}

const parts = fc.record({
  version: fc.constantFrom(4 as const, 6 as const),
  seq: be32,
  ack: be32,
  window: fc.integer({ min: 0, max: 0xffff }),
  data: fc.uint8Array({ maxLength: 33 }),
  timestamps: fc.tuple(be32, be32),
  shift: fc.integer({ min: 0, max: 3 }),
  sack: fc.array(fc.tuple(be32, be32), { minLength: 1, maxLength: 2 }),
});

t.test('to the guest: acknowledgement, SACK blocks and TSecr move, nothing else, at any offset', async () => {
  fc.assert(
    fc.property(parts, be32, be32, (p, sequence, timestamp) => {
      const frame = tcp({ ...p, fromGuest: false });
      translateForGuest(segment(frame, false), sequence, timestamp);
      const [value, echo] = p.timestamps;
      const expected = tcp({
        ...p,
        fromGuest: false,
        ack: p.ack + sequence,
        timestamps: [value, echo + timestamp],
        sack: p.sack.map(([a, b]) => [a + sequence, b + sequence]),
      });
      return same(frame, expected) && isChecksumRight(frame, false);
    }),
    { numRuns: 2000 },
  );
});

t.test('to the LAN: sequence number and TSval move, nothing else; and back', async () => {
  fc.assert(
    fc.property(parts, be32, be32, (p, sequence, timestamp) => {
      const frame = tcp(p);
      const before = Buffer.from(frame);
      const s = segment(frame, true);
      translateForLan(s, sequence, timestamp);
      const [value, echo] = p.timestamps;
      const expected = tcp({ ...p, seq: p.seq - sequence, timestamps: [value - timestamp, echo] });
      if (!same(frame, expected) || !isChecksumRight(frame, true) || timestampOf(s) !== (value - timestamp) >>> 0) return false;
      translateForLan(s, -sequence >>> 0, -timestamp >>> 0);
      return same(frame, before);
    }),
    { numRuns: 2000 },
  );
});

t.test('a wrong checksum stays wrong: what a LAN broke is not repaired', async (t) => {
  const frame = tcp({ fromGuest: false, seq: 1, ack: 2, data: 'x' });
  frame[frame.length - 1] = 0x79;
  translateForGuest(segment(frame, false), 1000, 0);
  t.equal(isChecksumRight(frame, false), false);
});

t.test('window, bare acknowledgement and the whole checksum', async () => {
  fc.assert(
    fc.property(parts, fc.integer({ min: 0, max: 0xffff }), be32, (p, window, sequence) => {
      const s = segment(tcp({ ...p, flags: 'PA' }), true);
      if (tcpChecksum(s) !== s.frame.readUInt16BE(s.tcpAt + 16)) return false;
      setWindow(s, window);
      if (!isChecksumRight(s.frame, true)) return false;
      const bare = acknowledgementOf(s, sequence);
      return same(bare.frame, tcp({ ...p, seq: sequence, window, data: '', flags: 'A' })) && segment(bare.frame, true).endAt === bare.endAt;
    }),
  );
});

t.test('what is compared and what is not', async (t) => {
  const kind = (frame: Buffer): string => parseFrame(frame, true).kind;
  const fragment = tcp({ seq: 1, data: 'abcd' });
  fragment.writeUInt16BE(0x2000, 20);
  const lastFragment = tcp({ seq: 1, data: 'abcd' });
  lastFragment.writeUInt16BE(0x00b9, 20);
  const tagged = Buffer.concat([tcp({ seq: 1 }).subarray(0, 12), Buffer.from('81000001', 'hex'), tcp({ seq: 1 }).subarray(12)]);
  t.same(
    {
      tcp4: kind(tcp({ seq: 1 })),
      tcp6: kind(tcp({ seq: 1, version: 6 })),
      udp: kind(udp('a')),
      echo: kind(packet(4, 1, true, Buffer.alloc(16))),
      echo6: kind(packet(6, 58, true, Buffer.from('80000000', 'hex'))),
      arp: kind(arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1')),
      neighbour: kind(neighborFrame(GUEST_MAC, 136, 'fe80'.padEnd(32, '0'), 'fe80'.padEnd(32, '0'))),
      listenerReport: kind(packet(6, 0, true, Buffer.from(`3a00050200000000${'8f'.padEnd(16, '0')}`, 'hex'))),
      igmp: kind(packet(4, 2, true, Buffer.alloc(8))),
      fragment: kind(fragment),
      lastFragment: kind(lastFragment),
      extensionHeader: kind(packet(6, 43, true, Buffer.alloc(48))),
      sctp: kind(packet(4, 132, true, Buffer.alloc(32))),
      tagged: kind(tagged),
    },
    {
      tcp4: 'tcp',
      tcp6: 'tcp',
      udp: 'datagram',
      echo: 'datagram',
      echo6: 'datagram',
      arp: 'control',
      neighbour: 'control',
      listenerReport: 'control',
      igmp: 'control',
      fragment: 'opaque',
      lastFragment: 'opaque',
      extensionHeader: 'opaque',
      sctp: 'opaque',
      tagged: 'opaque',
    },
  );
});

t.test('keys: the same in both directions, different in each of their parts', async (t) => {
  const key = (p: { guestPort?: number; clientPort?: number; version?: 4 | 6 }, fromGuest = true) =>
    segment(tcp({ seq: 1, ...p, fromGuest }), fromGuest).key;
  t.equal(key({ guestPort: 80, clientPort: 51_000 }), key({ guestPort: 80, clientPort: 51_000 }, false));
  const all = [
    key({}),
    key({ guestPort: 81 }),
    key({ guestPort: 0x5050 }),
    key({ guestPort: 0x150 }),
    key({ clientPort: 40_001 }),
    key({ clientPort: 40_256 }),
    key({ version: 6 }),
  ];
  t.equal(new Set(all).size, all.length);
});

t.test('any bytes: read as something, translated within their bounds', async () => {
  fc.assert(
    fc.property(
      parts,
      fc.array(fc.tuple(fc.nat(200), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
      fc.nat(120),
      (p, edits, cut) => {
        const frame = tcp(p).subarray(0, -cut || undefined);
        for (const [at, value] of edits) if (at < frame.length) frame[at] = value;
        for (const fromGuest of [true, false]) {
          const parsed = parseFrame(frame, fromGuest);
          if (parsed.kind === 'tcp') {
            if (parsed.payloadAt > parsed.endAt || parsed.endAt > frame.length) return false;
            translateForGuest(parsed, 12_345, 678);
            translateForLan(parsed, 12_345, 678);
          }
          quotedSegment(frame);
        }
        return true;
      },
    ),
    { numRuns: 3000 },
  );
});

t.test('an ICMP error quotes a segment: its key is that of the connection', async (t) => {
  for (const version of [4, 6] as const) {
    const quoted = tcp({ version, seq: 0x01020304, data: 'abcdefgh' });
    const error = packet(
      version,
      version === 4 ? 1 : 58,
      false,
      Buffer.concat([Buffer.from([version === 4 ? 3 : 2, 0, 0, 0, 0, 0, 5, 0]), quoted.subarray(14)]),
    );
    const found = quotedSegment(error);
    t.equal(found?.key, segment(quoted, true).key);
    t.equal(error.readUInt32BE(found?.sequenceAt ?? 0), 0x01020304);
  }
  t.equal(quotedSegment(tcp({ seq: 1 })), null);
});

function same(a: Buffer, b: Buffer): boolean {
  if (a.equals(b)) return true;
  throw new Error(`${a.toString('hex')}\n${b.toString('hex')}`);
}
