// The flood's frames and counts: round trips, hostile bytes, frames lost, damaged, doubled and late.
import assert from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import {
  dataTemplate,
  decodeFlood,
  encodeState,
  type Received,
  type StateFrame,
  sessionToken,
  writeData,
} from '../../../../hwqual/burn-in/flood-codec.ts';
import { FloodReceiver } from '../../../../hwqual/burn-in/flood-receiver.ts';

const KEY = Buffer.alloc(32, 7);
const MAC = { destination: '52:54:00:00:00:02', source: '52:54:00:00:00:01' };
const SESSION = sessionToken(KEY, Buffer.alloc(16, 1), Buffer.alloc(16, 2));
/** As the decoder's. */
const PLAIN = { noNullPrototype: true };
const count = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const received = fc.record<Received>(
  {
    frames: count,
    bytes: count,
    lost: count,
    damaged: count,
    reordered: count,
    duplicated: count,
    dropped: count,
  },
  PLAIN,
);
const nonce = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => Buffer.from(b));
const anyState = fc.record<StateFrame>(
  {
    sender: fc.constantFrom('A', 'B'),
    link: fc.integer({ min: 0, max: 255 }),
    nonce,
    heardNonce: nonce,
    phase: fc.constantFrom('ready', 'flooding', 'finished'),
    answersOnly: fc.boolean(),
    heardFinished: fc.boolean(),
    sentUs: count,
    echoUs: count,
    heldUs: count,
    sentFrames: count,
    sendDropped: count,
    received,
  },
  PLAIN,
);

t.test('state frames: a round trip, padded or not', async () => {
  fc.assert(
    fc.property(anyState, fc.integer({ min: 0, max: 64 }), (state, padding) => {
      const frame = Buffer.concat([encodeState(state, KEY, MAC), Buffer.alloc(padding, 0xee)]);
      assert.deepStrictEqual(decodeFlood(frame, KEY), { kind: 'state', state });
    }),
    { numRuns: 200 },
  );
});

t.test('state frames: any changed bit, and another key, is not believed', async () => {
  fc.assert(
    fc.property(anyState, fc.nat(), fc.integer({ min: 0, max: 7 }), (state, at, bit) => {
      const frame = encodeState(state, KEY, MAC);
      assert.equal(decodeFlood(frame, Buffer.alloc(32, 8)).kind, 'foreign');
      const i = 14 + (at % (frame.length - 14));
      frame[i] = (frame[i] ?? 0) ^ (1 << bit);
      assert.notEqual(decodeFlood(frame, KEY).kind, 'state');
    }),
    { numRuns: 500 },
  );
});

function data(sequence: number, bytes = 1514): Buffer {
  const frame = dataTemplate(bytes, MAC, { sender: 'A', link: 1, session: SESSION });
  writeData(frame, sequence);
  return frame;
}

t.test('data frames: a round trip at each size', async () => {
  fc.assert(
    fc.property(count, fc.integer({ min: 60, max: 9014 }), fc.integer({ min: 0, max: 20 }), (sequence, bytes, padding) => {
      const frame = Buffer.concat([data(sequence, bytes), Buffer.alloc(padding)]);
      const found = decodeFlood(frame, KEY);
      assert.deepStrictEqual(found, { kind: 'data', data: { sender: 'A', link: 1, session: SESSION, sequence } });
    }),
    { numRuns: 200 },
  );
});

t.test('data frames: any changed bit behind the first five bytes is damage', async () => {
  fc.assert(
    fc.property(count, fc.nat(), fc.integer({ min: 0, max: 7 }), (sequence, at, bit) => {
      const frame = data(sequence, 600);
      const i = 14 + 5 + (at % (frame.length - 19));
      frame[i] = (frame[i] ?? 0) ^ (1 << bit);
      // A data frame whose kind became that of a state frame has no right HMAC.
      assert.equal(decodeFlood(frame, KEY).kind, i === 19 && frame[i] === 1 ? 'foreign' : 'damaged');
    }),
    { numRuns: 1000 },
  );
});

t.test('any bytes at all: an answer, never an exception', async () => {
  const head = Buffer.from('ffffffffffff52540000000188b654534249 01'.replaceAll(' ', ''), 'hex');
  const tails = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(tails, fc.boolean(), fc.nat(20), (tail, ours, cut) => {
      const frame = ours ? Buffer.concat([head, tail]) : Buffer.from(tail);
      assert.ok(['damaged', 'foreign'].includes(decodeFlood(frame, KEY).kind));
      assert.ok(['damaged', 'foreign'].includes(decodeFlood(data(5, 80).subarray(0, cut), KEY).kind));
    }),
    { numRuns: 20_000 },
  );
});

t.test('the bytes of the README', async (t) => {
  t.equal(
    data(0x010203, 60).toString('hex'),
    '52540000000252540000000188b65453424901020001db173dc8c03084b0000000010203002ed57311af4eec8a28c66503a13fde7c1ab856d9a0cd09',
  );
});

t.test('lost, reordered, doubled, damaged', async (t) => {
  const r = new FloodReceiver();
  for (const n of [0, 1, 2, 5, 4, 5, 7]) r.accept(n, 100);
  r.damaged();
  // 3 and 6 are lost, 4 came late, 5 twice.
  t.strictSame(r.read(1), { frames: 7, bytes: 700, lost: 2, damaged: 1, reordered: 1, duplicated: 1, dropped: 1 });
  t.equal(r.read(0, 10).lost, 4, '8 and 9 were sent and never came');
});

t.test('counts are those of a model, for any order of arrival', async (t) => {
  const order = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 400 });
  fc.assert(
    fc.property(order, (sequences) => {
      const r = new FloodReceiver();
      const seen = new Set<number>();
      let [highest, reordered, duplicated] = [-1, 0, 0];
      for (const n of sequences) {
        if (seen.has(n)) duplicated++;
        else if (n < highest) reordered++;
        seen.add(n);
        highest = Math.max(highest, n);
        r.accept(n, 1);
      }
      const lost = highest + 1 - seen.size;
      assert.deepStrictEqual(r.read(0), {
        frames: sequences.length,
        bytes: sequences.length,
        lost,
        damaged: 0,
        reordered,
        duplicated,
        dropped: 0,
      });
    }),
    { numRuns: 500 },
  );
  const r = new FloodReceiver();
  r.accept(0, 1);
  r.accept(1_000_000, 1);
  t.equal(r.read(0).lost, 999_999, 'a gap that is wider than the window');
  r.accept(999_999, 1);
  t.match(r.read(0), { lost: 999_998, reordered: 1, duplicated: 0 });
});
