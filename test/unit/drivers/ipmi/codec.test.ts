// Whatever comes in a packet, the decoders give a value or an IpmiCodecError: nothing else is thrown, nothing loops, nothing is larger than
// what came. And single values against the specification.
import fc from 'fast-check';
import t from 'tap';
import { FakeMachine } from '../../../../drivers/ipmi/fake-machine.ts';
import * as messages from '../../../../drivers/ipmi/messages.ts';
import { decodePacket, encodePlain, encodeSealed, encodeSigned, PACKET_MAX_BYTES } from '../../../../drivers/ipmi/rmcp.ts';
import { convertReading, decodeSdr, sdrLength } from '../../../../drivers/ipmi/sdr.ts';
import { decodeSelEntry, decodeSelInfo } from '../../../../drivers/ipmi/sel.ts';
import { SequenceWindow } from '../../../../drivers/ipmi/sequence-window.ts';
import * as codec from '../../../../drivers/ipmi/session-codec.ts';
import { decryptPayload, encryptPayload, padKey, type SessionKeys, sessionKeys } from '../../../../drivers/ipmi/session-keys.ts';
import { IpmiCodecError } from '../../../../drivers/ipmi/types.ts';

const RUNS = 10_000;
const RANDOM = Buffer.alloc(16, 7);
const KEYS: SessionKeys = sessionKeys({
  ...{ suite: 17, clientId: 1, bmcId: 2, clientRandom: RANDOM, bmcRandom: RANDOM, guid: RANDOM, role: 0x13 },
  ...{ username: Buffer.from('u'), userKey: padKey(Buffer.from('p')), bmcKey: padKey(Buffer.from('p')) },
});
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((b) => Buffer.from(b));

/** Bytes whose beginning is right, so that the decoders get further than the first check. */
function after(prefix: string, maxLength: number): fc.Arbitrary<Buffer> {
  return bytes(maxLength).map((b) => Buffer.concat([Buffer.from(prefix, 'hex'), b]));
}

function damaged(good: Buffer): fc.Arbitrary<Buffer> {
  const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
  return fc.tuple(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(good.length)).map(([changes, length]) => {
    const b = Buffer.from(good);
    for (const [at, value] of changes) b[at] = value;
    return b.subarray(0, length === 0 ? good.length : length);
  });
}

const sealed = encodeSealed(
  encodeSigned(0, 1, 1, encryptPayload(KEYS, messages.encodeRequest({ netFn: 6, command: 1, sequence: 1, data: RANDOM }))),
  RANDOM,
);
const sdr = new FakeMachine().sdrs[0] ?? Buffer.alloc(0);

const DECODERS: [string, (b: Buffer) => unknown, fc.Arbitrary<Buffer>][] = [
  ['a packet', (b) => decodePacket(b, 16), fc.oneof(bytes(64), after('0600ff0706', 64), after('0600ff0706c0', 80), damaged(sealed))],
  ['a packet of suite 3', (b) => decodePacket(b, 12), fc.oneof(after('0600ff0700', 64), after('0600ff0706', 64))],
  ['Open Session request', codec.decodeOpenSessionRequest, fc.oneof(bytes(48), after('0000000001000000000000080100000001', 32))],
  ['Open Session response', codec.decodeOpenSessionResponse, fc.oneof(bytes(48), after('0000000001000000020000000000000801000000', 24))],
  ['RAKP 1', codec.decodeRakp1, bytes(64)],
  ['RAKP 2', (b) => codec.decodeRakp2(b, 32), fc.oneof(bytes(96), after('0000', 96))],
  ['RAKP 3', codec.decodeRakp3, bytes(48)],
  ['RAKP 4', (b) => codec.decodeRakp4(b, 16), fc.oneof(bytes(48), after('0000', 48))],
  [
    'an encrypted payload',
    (b) => decryptPayload(KEYS, b),
    fc.oneof(
      bytes(80),
      bytes(16).map((b) => Buffer.concat([b, Buffer.alloc(48 - b.length, 1)])),
    ),
  ],
  [
    'a message',
    messages.decodeMessage,
    fc.oneof(bytes(48), damaged(messages.encodeRequest({ netFn: 6, command: 1, sequence: 1, data: RANDOM }))),
  ],
  ['a device id', messages.decodeDeviceId, bytes(20)],
  ['a chassis status', messages.decodeChassisStatus, bytes(8)],
  ['a sensor reading', messages.decodeSensorReading, bytes(8)],
  ['a SEL info', decodeSelInfo, bytes(20)],
  ['a SEL entry', decodeSelEntry, bytes(24)],
  ["an SDR's head", sdrLength, bytes(8)],
  [
    'an SDR',
    decodeSdr,
    fc.oneof(
      bytes(80),
      damaged(sdr),
      bytes(60).map((b) => Buffer.concat([Buffer.from([1, 0, 0x51, 2, b.length]), b])),
    ),
  ],
];

t.test('hostile bytes', async (t) => {
  for (const [name, decode, input] of DECODERS) {
    let taken = 0;
    fc.assert(
      fc.property(input, (b) => {
        try {
          decode(b);
          taken++;
        } catch (error) {
          if (!(error instanceof IpmiCodecError)) throw error;
        }
      }),
      { numRuns: RUNS },
    );
    t.pass(`${name}: ${RUNS} runs, ${taken} taken`);
  }
});

t.test('any reading of any conversion is a number or none', async (t) => {
  const exponent = fc.integer({ min: -8, max: 7 });
  const ten = fc.integer({ min: -512, max: 511 });
  const format = fc.constantFrom('unsigned' as const, 'onesComplement' as const, 'twosComplement' as const);
  const conversion = fc.record({ format, m: ten, b: ten, bExponent: exponent, rExponent: exponent, linearization: fc.nat(127) });
  fc.assert(
    fc.property(fc.nat(255), conversion, (raw, c) => {
      const value = convertReading(raw, c);
      return value === undefined || Number.isFinite(value);
    }),
    { numRuns: RUNS },
  );
  t.equal(convertReading(0xc6, { format: 'unsigned', m: 61, b: 0, bExponent: 0, rExponent: -3, linearization: 0 }), 12.078);
  t.equal(convertReading(0xff, { format: 'twosComplement', m: 1, b: 5, bExponent: 1, rExponent: 0, linearization: 0 }), 49);
  t.equal(convertReading(0xfe, { format: 'onesComplement', m: 1, b: 0, bExponent: 0, rExponent: 0, linearization: 0 }), -1);
});

t.test('a session number is taken once, late ones too, old ones not', async (t) => {
  const window = new SequenceWindow();
  t.strictSame(
    [1, 2, 2, 5, 4, 3, 3, 1].map((n) => window.accept(n)),
    [true, true, false, true, true, true, false, false],
  );
  t.ok(window.accept(1000));
  t.notOk(window.accept(900), 'too old to know');
  t.notOk(window.accept(0), 'of no session');
  const numbers = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 200 });
  fc.assert(
    fc.property(numbers, (all) => {
      const w = new SequenceWindow();
      const taken = all.filter((n) => w.accept(n));
      return new Set(taken).size === taken.length;
    }),
    { numRuns: RUNS },
  );
});

t.test('protection cannot be talked away', async (t) => {
  const clear = encodePlain(0, messages.encodeResponse({ netFn: 7, command: 1, sequence: 1, data: Buffer.from([0]) }));
  clear.writeUInt32LE(1, 6);
  t.throws(() => decodePacket(clear, 16), /without protection/);
  for (const flags of [0x40, 0x80]) {
    const half = Buffer.from(sealed);
    half[5] = flags;
    t.throws(() => decodePacket(half, 16), /half of the protection/);
  }
  t.throws(() => decodePacket(Buffer.alloc(PACKET_MAX_BYTES + 1), 16), IpmiCodecError);
});

t.test('values against the specification', async (t) => {
  const status = messages.decodeChassisStatus(Buffer.from([0x29, 0x12, 0x0c]));
  t.match(status, { on: true, powerFault: true, restorePolicy: 'asBefore', driveFault: true, coolingFault: true, intrusion: false });
  t.strictSame(status.lastPowerEvents, ['overload', 'onByCommand']);
  t.match(messages.decodeSensorReading(Buffer.from([0x55, 0x40, 0xc8])), { raw: 0x55, scanning: true, states: 0xc8 });
  t.equal(messages.decodeSensorReading(Buffer.from([0x55, 0x60])).raw, undefined, 'not available');
  t.equal(messages.decodeSensorReading(Buffer.from([0x55, 0x00])).raw, undefined, 'not scanning');
  const { nextId, entry } = decodeSelEntry(Buffer.from('ffff010002785634122000040c056fa0ff03', 'hex'));
  t.equal(nextId, 0xffff);
  t.match(entry, {
    id: 1,
    recordType: 2,
    timeS: 0x12345678,
    event: { generator: 0x20, sensorType: 0x0c, sensor: 5, deasserted: false, eventType: 0x6f },
  });
  t.match(decodeSdr(sdr), {
    id: 1,
    type: 1,
    sensor: { name: 'CPU Temp', number: 1, unit: 'C', thresholds: { upperNonRecoverable: 160, upperNonCritical: 112 } },
  });
  // 43.15: packed 6-bit text, the specification's own example.
  const packed = Buffer.concat([sdr.subarray(0, 47), Buffer.from([0x83, 0x29, 0xdc, 0xa6])]);
  packed[4] = packed.length - 5;
  t.equal(decodeSdr(packed).sensor?.name, 'IPMI');
});
