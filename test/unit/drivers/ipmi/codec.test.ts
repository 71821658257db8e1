// Whatever comes in a packet, the decoders give a value or an IpmiCodecError: nothing else is thrown, nothing loops, nothing is larger than
// what came. And single values against the specification.
import fc from 'fast-check';
import t from 'tap';
import { FakeMachine } from '../../../../drivers/ipmi/fake-machine.ts';
import * as fru from '../../../../drivers/ipmi/fru.ts';
import * as messages from '../../../../drivers/ipmi/messages.ts';
import { decodePacket, encodePlain, encodeSealed, encodeSigned, PACKET_MAX_BYTES } from '../../../../drivers/ipmi/rmcp.ts';
import { convertReading, decodeSdr, decodeSensorThresholds, sdrLength, sharedSensors } from '../../../../drivers/ipmi/sdr.ts';
import { decodeSelEntry, decodeSelInfo } from '../../../../drivers/ipmi/sel.ts';
import { SensorNames, selReading } from '../../../../drivers/ipmi/sel-words.ts';
import { sensorReadings, sensorWith } from '../../../../drivers/ipmi/sensors.ts';
import { SequenceWindow } from '../../../../drivers/ipmi/sequence-window.ts';
import * as codec from '../../../../drivers/ipmi/session-codec.ts';
import { decryptPayload, encryptPayload, padKey, type SessionKeys, sessionKeys } from '../../../../drivers/ipmi/session-keys.ts';
import { IpmiCodecError } from '../../../../drivers/ipmi/types.ts';
import { decodeWatchdog, encodeWatchdog } from '../../../../drivers/ipmi/watchdog-codec.ts';

const RUNS = 10_000;
const RANDOM = Buffer.alloc(16, 7);
const KEYS: SessionKeys = sessionKeys({
  ...{ suite: 17, clientId: 1, bmcId: 2, clientRandom: RANDOM, bmcRandom: RANDOM, guid: RANDOM, role: 0x13 },
  ...{ username: Buffer.from('u'), userKey: padKey(Buffer.from('p')), bmcKey: padKey(Buffer.from('p')) },
});
const bytes = (maxLength: number) => fc.uint8Array({ maxLength, size: 'max' }).map((b) => Buffer.from(b));

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

/** Whatever a record says, its sensors can be read and named. */
function decodeAndRead(b: Buffer): void {
  const { sensor } = decodeSdr(b);
  if (sensor === undefined) return;
  const states = b.readUInt8(b.length - 1) * 0x81;
  const sensors = sharedSensors(sensor).map((one) => sensorWith(one, { raw: b.readUInt8(4), states, scanning: true }));
  const names = new Set(sensorReadings(sensors).map((r) => r.name));
  if (names.size !== sensors.length) throw new Error('a name was given twice');
  if (sensors.some((s) => s.value !== undefined && !Number.isFinite(s.value))) throw new Error('a value that is none');
}

const TEMPERATURES = new SensorNames([decodeSdr(sdr)].flatMap((r) => (r.sensor === undefined ? [] : [r.sensor])));

/** An area with its length, and a checksum that is right. */
function area(head: string, maxLength: number): fc.Arbitrary<Buffer> {
  return bytes(maxLength).map((fields) => {
    const body = Buffer.concat([Buffer.from(head, 'hex'), fields]);
    const b = Buffer.concat([body, Buffer.alloc(8 - (body.length % 8))]);
    b[1] = b.length / 8;
    b[b.length - 1] = -b.reduce((sum, byte) => sum + byte, 0) & 0xff;
    return b;
  });
}

const fruHeader = bytes(6).map((b) => {
  const header = Buffer.concat([Buffer.from([1]), b, Buffer.alloc(7 - b.length)]);
  header[7] = -header.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return header;
});
const record = (type: number) => bytes(60).map((b) => Buffer.concat([Buffer.from([1, 0, 0x51, type, b.length]), b]));

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
  [
    'a SEL entry in words',
    (b) => selReading(decodeSelEntry(b).entry, TEMPERATURES),
    fc.oneof(after('0200010002000000002000040101', 24), bytes(24)),
  ],
  ["a sensor's thresholds", decodeSensorThresholds, bytes(10)],
  ['a FRU info', fru.decodeFruInfo, bytes(4)],
  ["a FRU's header", fru.decodeFruHeader, fc.oneof(bytes(10), fruHeader)],
  ["a FRU area's head", fru.fruAreaLength, fc.oneof(bytes(3), after('01', 2))],
  ['a FRU chassis', fru.decodeFruChassis, fc.oneof(bytes(40), area('010017', 60))],
  ['a FRU board', fru.decodeFruBoard, fc.oneof(bytes(40), area('010019405ae1c3414243', 60), area('010001', 60))],
  ['a FRU product', fru.decodeFruProduct, fc.oneof(bytes(40), area('010019', 60), area('010003', 60))],
  ["a watchdog's state", decodeWatchdog, bytes(12)],
  ["an SDR's head", sdrLength, bytes(8)],
  ['an SDR', decodeAndRead, fc.oneof(bytes(80), damaged(sdr), record(1), record(2), record(3), record(0x11))],
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

t.test('a watchdog as it is set', async (t) => {
  const b = encodeWatchdog({ use: 'smsOs', action: 'hardReset', timeoutMs: 60_050, preTimeoutS: 5, interrupt: 'nmi', silent: true });
  t.equal(b.toString('hex'), '842105105902');
  const state = decodeWatchdog(Buffer.concat([b, Buffer.from([0x2c, 0x01])]));
  t.match(state, {
    use: 'smsOs',
    action: 'hardReset',
    interrupt: 'nmi',
    preTimeoutS: 5,
    timeoutMs: 60_100,
    leftMs: 30_000,
    running: false,
  });
  t.match(decodeWatchdog(Buffer.from('440100100a000a00', 'hex')), { running: true, expired: ['smsOs'], timeoutMs: 1000 });
  t.equal(decodeWatchdog(Buffer.alloc(6)).leftMs, undefined);
  for (const timeoutMs of [0, -1, Number.NaN, 6_553_501])
    t.throws(() => encodeWatchdog({ use: 'smsOs', action: 'none', timeoutMs }), RangeError);
  t.throws(() => encodeWatchdog({ use: 'smsOs', action: 'none', timeoutMs: 1000, preTimeoutS: 256 }), RangeError);
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
