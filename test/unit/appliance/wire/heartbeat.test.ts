import fc from 'fast-check';
import t from 'tap';
import {
  decodeHeartbeat,
  encodeHeartbeat,
  HEARTBEAT_BYTES,
  type HeartbeatFrame,
  heartbeatKey,
  NO_INCARNATION,
} from '../../../../appliance/wire/heartbeat.ts';
import { exampleBytes } from './readme-examples.ts';

const PAIR_ID = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
const KEY = heartbeatKey(PAIR_ID, Buffer.alloc(32, 0x11));

const EXAMPLE: HeartbeatFrame = {
  sender: 'B',
  link: 1,
  path: 'ip',
  incarnation: '1122334455667788',
  sequence: 4711,
  sentUs: 5_000_000,
  generation: 9,
  role: 2,
  revision: 77,
  echo: { incarnation: '99aabbccddeeff00', sequence: 4710, sentUs: 123_456_789, heldUs: 2_500 },
};

const EXAMPLE_HEX = exampleBytes('appliance/wire/README.md', 'heartbeat').toString('hex');

t.test('the example of the README', async (t) => {
  const bytes = encodeHeartbeat(EXAMPLE, KEY);
  t.equal(bytes.length, HEARTBEAT_BYTES);
  t.equal(bytes.toString('hex'), EXAMPLE_HEX);
  t.same(decodeHeartbeat(bytes, KEY), { kind: 'frame', frame: EXAMPLE });
});

t.test('another key or another pair is forged, not malformed', async (t) => {
  const bytes = encodeHeartbeat(EXAMPLE, KEY);
  t.same(decodeHeartbeat(bytes, heartbeatKey(PAIR_ID, Buffer.alloc(32, 0x12))), { kind: 'forged' });
  t.same(decodeHeartbeat(bytes, heartbeatKey(Buffer.alloc(16), Buffer.alloc(32, 0x11))), { kind: 'otherPair' });
  t.throws(() => heartbeatKey(PAIR_ID.subarray(1), Buffer.alloc(32)), /the pair's id has 15 bytes instead of 16/);
  t.throws(() => heartbeatKey(PAIR_ID, Buffer.alloc(31)), /the pair's key has 31 bytes/);
});

t.test('every changed bit is noticed', async (t) => {
  const bytes = encodeHeartbeat(EXAMPLE, KEY);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes);
    const at = Math.floor(bit / 8);
    changed[at] = (changed[at] ?? 0) ^ (1 << (bit % 8));
    const reading = decodeHeartbeat(changed, KEY);
    if (reading.kind === 'frame') t.fail(`bit ${bit} was not noticed`);
    else if (reading.kind !== (at < 4 ? 'malformed' : at === 4 ? 'version' : at >= 8 && at < 24 ? 'otherPair' : 'forged'))
      t.fail(`bit ${bit} is ${reading.kind}`);
  }
  t.pass('896 bits');
});

t.test('malformed frames say why', async (t) => {
  const bytes = encodeHeartbeat(EXAMPLE, KEY);
  const reading = (b: Buffer) => decodeHeartbeat(b, KEY);
  t.same(reading(bytes.subarray(0, 111)), { kind: 'truncated', reason: '111 bytes instead of 112' });
  t.same(reading(Buffer.concat([bytes, Buffer.alloc(1)])), { kind: 'oversized', reason: '113 bytes instead of 112' });
  t.same(reading(Buffer.alloc(112)), { kind: 'malformed', reason: 'not a heartbeat' });
  const version = Buffer.from(bytes);
  version[4] = 2;
  t.same(reading(version), { kind: 'version', version: 2 });
  t.same(reading(version.subarray(0, 90)), { kind: 'version', version: 2 }, 'another version may have another length');
  t.same(reading(bytes.subarray(0, 3)), { kind: 'truncated', reason: '3 bytes instead of 112' });
  t.same(reading(bytes.subarray(0, 4)), { kind: 'truncated', reason: '4 bytes instead of 112' });
  t.same(reading(encodeHeartbeat({ ...EXAMPLE, role: 4 }, KEY)), { kind: 'malformed', reason: 'role 4' });
  t.same(reading(encodeHeartbeat({ ...EXAMPLE, incarnation: NO_INCARNATION }, KEY)), { kind: 'malformed', reason: 'no incarnation' });
  t.same(reading(encodeHeartbeat({ ...EXAMPLE, sequence: 2 ** 60 }, KEY)), { kind: 'malformed', reason: 'a number beyond 2^53' });
});

t.test('what goes in comes out; noise never throws', async () => {
  const hex16 = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }).map((n) => n.toString(16).padStart(16, '0'));
  fc.assert(
    fc.property(
      fc.record({
        sender: fc.constantFrom('A' as const, 'B' as const),
        link: fc.integer({ min: 0, max: 255 }),
        path: fc.constantFrom('ethernet' as const, 'ip' as const),
        incarnation: hex16,
        sequence: fc.maxSafeNat(),
        sentUs: fc.maxSafeNat(),
        generation: fc.maxSafeNat(),
        role: fc.integer({ min: 0, max: 3 }),
        revision: fc.integer({ min: 0, max: 0xffffffff }),
        echo: fc.record({
          incarnation: hex16,
          sequence: fc.maxSafeNat(),
          sentUs: fc.maxSafeNat(),
          heldUs: fc.integer({ min: 0, max: 0xffffffff }),
        }),
      }),
      (frame) => {
        const reading = decodeHeartbeat(encodeHeartbeat(frame, KEY), KEY);
        if (reading.kind !== 'frame' || JSON.stringify(reading.frame) !== JSON.stringify(frame)) throw new Error(JSON.stringify(reading));
      },
    ),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 130 }), fc.boolean(), (noise, magic) => {
      const bytes = Buffer.from(noise);
      if (magic) Buffer.from('5477486201', 'hex').copy(bytes);
      if (decodeHeartbeat(bytes, KEY).kind === 'frame') throw new Error('noise is a frame');
    }),
    { numRuns: 3000 },
  );
});
