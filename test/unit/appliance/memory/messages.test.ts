import fc from 'fast-check';
import t from 'tap';
import { decodeMessage, encodeMessage, type MemoryMessage, MemoryMessageError } from '../../../../appliance/memory/messages.ts';

const session = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const message: fc.Arbitrary<MemoryMessage> = fc.oneof(
  fc.record({ kind: fc.constant('begin' as const), session, version: word }),
  fc.record({ kind: fc.constant('data' as const), session, bytes: fc.uint8Array().map((b) => Buffer.from(b)) }),
  fc.record({ kind: fc.constant('released' as const), session }),
  fc.record({ kind: fc.constantFrom('committed' as const, 'final' as const), session, interval: word }),
  fc.record({ kind: fc.constant('consumed' as const), session, bytes: fc.maxSafeNat() }),
  fc.record({
    kind: fc.constant('end' as const),
    session,
    cause: fc.constantFrom('engine', 'protocol', 'channel'),
    reason: fc.string({ maxLength: 200 }),
  }),
);

t.test('there and back', async () => {
  fc.assert(
    fc.property(message, (m) => {
      const back = decodeMessage(Buffer.concat(encodeMessage(m)));
      return JSON.stringify(back) === JSON.stringify(m);
    }),
  );
});

t.test('the byte table of the README', async (t) => {
  const hex = (m: MemoryMessage) => Buffer.concat(encodeMessage(m)).toString('hex');
  t.equal(hex({ kind: 'begin', session: 0x01020304, version: 1 }), '010000000102030400000001');
  t.equal(hex({ kind: 'data', session: 0x01020304, bytes: Buffer.from('abc') }), '0200000001020304616263');
  t.equal(hex({ kind: 'released', session: 0x01020304 }), '0300000001020304');
  t.equal(hex({ kind: 'committed', session: 0x01020304, interval: 258 }), '040000000102030400000102');
  t.equal(hex({ kind: 'consumed', session: 0x01020304, bytes: 2 ** 33 }), '05000000010203040000000200000000');
  t.equal(hex({ kind: 'end', session: 0x01020304, cause: 'protocol', reason: 'no' }), '0600000001020304016e6f');
  t.equal(hex({ kind: 'final', session: 0x01020304, interval: 7 }), '070000000102030400000007');
});

t.test('hostile bytes: a message or a MemoryMessageError', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        decodeMessage(Buffer.from(bytes));
        return true;
      } catch (error) {
        return error instanceof MemoryMessageError;
      }
    }),
    { numRuns: 1000 },
  );
});
