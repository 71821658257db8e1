import fc from 'fast-check';
import t from 'tap';
import {
  decodeHeader,
  decodeHello,
  encodeHeader,
  encodeHello,
  FRAME_ACK,
  FRAME_DATA,
  FRAME_HELLO,
  FrameError,
  type FrameHeader,
  FrameReader,
  HEADER_BYTES,
  type Hello,
  MAX_MESSAGE_BYTES,
} from '../../../../drivers/link/codec.ts';
import { exampleBytes } from '../../appliance/wire/readme-examples.ts';

const README = 'drivers/link/README.md';
const DATA_HEX = exampleBytes(README, 'data').toString('hex');
const ACK_HEX = exampleBytes(README, 'acknowledgement').toString('hex');
const HELLO_HEX = exampleBytes(README, 'hello').toString('hex');

t.test('the examples of the README', async (t) => {
  const data = Buffer.concat([encodeHeader({ type: FRAME_DATA, length: 5, sequence: 7, acknowledged: 3 }), Buffer.from('Twin!')]);
  t.equal(data.toString('hex'), DATA_HEX);
  t.equal(encodeHeader({ type: FRAME_ACK, length: 0, sequence: 0, acknowledged: 0x1_0000_0002 }).toString('hex'), ACK_HEX);
  const hello: Hello = {
    link: 1,
    own: { incarnation: 0x1122334455667788n, resets: 2 },
    partner: { incarnation: 0x99aabbccddeeff00n, resets: 1 },
    receiveWindowBytes: 0x02000000,
    maxMessageBytes: 0x01000000,
  };
  const frame = Buffer.concat([encodeHeader({ type: FRAME_HELLO, length: 48, sequence: 0, acknowledged: 0 }), encodeHello(hello)]);
  t.equal(frame.toString('hex'), HELLO_HEX);
  t.same(decodeHello(frame.subarray(HEADER_BYTES)), hello);
});

t.test('broken headers and hellos name the field', async (t) => {
  const header = (hex: string) => () => decodeHeader(Buffer.from(hex, 'hex'));
  t.throws(header(`09${'00'.repeat(23)}`), { name: 'FrameError', message: 'unknown frame type 9' });
  t.throws(header(`0201${'00'.repeat(22)}`), /reserved header bits/);
  t.throws(header(`0200000001000001${'00'.repeat(7)}01${'00'.repeat(8)}`), /a message of 16777217 bytes, allowed are 16777216/);
  t.throws(header(`02000000${'00'.repeat(20)}`), /without a number/);
  t.throws(header(`0100000000000031${'00'.repeat(16)}`), /a hello of 49 bytes/);
  t.throws(header(`0300000000000001${'00'.repeat(16)}`), /an acknowledgement with 1 bytes/);
  t.throws(header(`0300000000000000${'00'.repeat(8)}ffffffffffffffff`), /acknowledged is beyond 2\^53/);
  const hello = Buffer.from(HELLO_HEX, 'hex').subarray(HEADER_BYTES);
  const changed = (at: number, value: number) => () => {
    const b = Buffer.from(hello);
    b[at] = value;
    return decodeHello(b);
  };
  t.throws(changed(0, 0), /not a hello/);
  t.throws(changed(4, 2), /speaks version 2 of the link protocol, this is 1/);
  t.throws(changed(7, 1), /reserved hello bits/);
  t.throws(() => decodeHello(hello.subarray(0, 47)), /47 bytes/);
  t.throws(() => {
    const b = Buffer.from(hello);
    b.fill(0, 8, 16);
    decodeHello(b);
  }, /without a session/);
});

const framesArbitrary = fc.array(
  fc.oneof(
    fc.record({
      sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      acknowledged: fc.maxSafeNat(),
      payload: fc.uint8Array({ maxLength: 300 }),
    }),
    fc.record({ sequence: fc.constant(0), acknowledged: fc.maxSafeNat(), payload: fc.constant(new Uint8Array()) }),
  ),
  { maxLength: 20 },
);

t.test('frames come out as they went in, however the bytes are cut', async () => {
  fc.assert(
    fc.property(framesArbitrary, fc.infiniteStream(fc.integer({ min: 1, max: 200 })), (frames, cuts) => {
      const bytes = Buffer.concat(
        frames.flatMap((f) => [
          encodeHeader({
            type: f.sequence === 0 ? FRAME_ACK : FRAME_DATA,
            length: f.payload.length,
            sequence: f.sequence,
            acknowledged: f.acknowledged,
          }),
          Buffer.from(f.payload),
        ]),
      );
      const seen: { header: FrameHeader; payload: string }[] = [];
      const reader = new FrameReader();
      for (let at = 0; at < bytes.length; ) {
        const cut = cuts.next().value as number;
        reader.push(bytes.subarray(at, at + cut), (header, payload) => {
          seen.push({ header, payload: payload.toString('hex') });
          return true;
        });
        at += cut;
      }
      if (seen.length !== frames.length) throw new Error(`${seen.length} of ${frames.length} frames`);
      for (const [i, f] of frames.entries()) {
        const s = seen[i];
        if (
          s?.header.sequence !== f.sequence ||
          s.header.acknowledged !== f.acknowledged ||
          s.payload !== Buffer.from(f.payload).toString('hex')
        ) {
          throw new Error(`frame ${i} differs`);
        }
      }
    }),
  );
});

t.test('hostile bytes end in a FrameError or in nothing, with a bounded buffer', async () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 }), (pieces) => {
      const reader = new FrameReader(1000);
      try {
        for (const piece of pieces) {
          reader.push(Buffer.from(piece), (header, payload) => {
            if (payload.length > 1000) throw new Error('beyond the limit');
            if (header.type === FRAME_HELLO) decodeHello(payload);
            return true;
          });
        }
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.nat({ max: HELLO_HEX.length / 2 - 1 }), fc.integer({ min: 0, max: 255 }), (at, value) => {
      const bytes = Buffer.from(HELLO_HEX, 'hex');
      bytes[at] = value;
      try {
        new FrameReader().push(bytes, (_header, payload) => {
          decodeHello(payload);
          return true;
        });
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

t.test('a reader that is told to stop drops the rest', async (t) => {
  const frame = Buffer.from(ACK_HEX, 'hex');
  let count = 0;
  new FrameReader().push(Buffer.concat([frame, frame, frame]), () => ++count < 2);
  t.equal(count, 2);
  t.equal(MAX_MESSAGE_BYTES, 16 * 1024 * 1024);
});
