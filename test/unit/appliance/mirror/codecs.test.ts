import fc from 'fast-check';
import t from 'tap';
import {
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeRecordHeader,
  encodeSegmentHeader,
  RECORD_HEADER_BYTES,
  type RecordKind,
  SEGMENT_HEADER_BYTES,
} from '../../../../appliance/mirror/journal-codec.ts';
import {
  decodeMessage,
  encodeMessageHeader,
  MESSAGE_HEADER_BYTES,
  type MessageKind,
  type MirrorMessage,
} from '../../../../appliance/mirror/messages.ts';

t.test('the examples of the README', async (t) => {
  t.equal(
    encodeRecordHeader(
      { kind: 'write', release: false, sequence: 7, interval: 3, offset: 4096, length: 512, dataCrc: 0x11223344 },
      0xa1a2a3a4a5a6a7a8n,
    ).toString('hex'),
    '54534a5201000000a1a2a3a4a5a6a7a800000000000000070000000300000200000000000000100011223344723ff74c',
  );
  t.equal(
    encodeMessageHeader({
      kind: 'write',
      fua: true,
      attachment: 0x01020304,
      request: 9,
      interval: 3,
      offset: 4096,
      length: 512,
      status: 'ok',
    }).toString('hex'),
    '0201000001020304000000090000000300000000000010000000020000000000',
  );
  const trim = { kind: 'zero', fua: false, release: true, attachment: 1, request: 2, interval: 3, offset: 4096, length: 512, status: 'ok' };
  t.equal(
    encodeMessageHeader(trim as MirrorMessage).toString('hex'),
    `0302${'0000000000010000000200000003000000000000100000000200'.padEnd(60, '0')}`,
  );
});

t.test('segment headers', async (t) => {
  const h = { blank: false, life: 5n, firstSequence: 2 ** 40, committed: 9, diskBytes: 2 ** 43 };
  const b = encodeSegmentHeader(h);
  t.equal(b.length, SEGMENT_HEADER_BYTES);
  t.same(decodeSegmentHeader(b), h);
  t.equal(decodeSegmentHeader(Buffer.alloc(SEGMENT_HEADER_BYTES)), undefined);
  fc.assert(
    fc.property(fc.nat(39), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const torn = Buffer.from(b);
      torn[at] = (torn[at] ?? 0) ^ flip;
      t.equal(decodeSegmentHeader(torn), undefined);
    }),
  );
});

t.test('a record counts only whole, in its life, in its place', async (t) => {
  const r = { kind: 'overlayWrite' as RecordKind, release: false, sequence: 11, interval: 2, offset: 2 ** 41, length: 4096, dataCrc: 1 };
  const b = encodeRecordHeader(r, 77n);
  t.same(decodeRecordHeader(b, 77n, 11), r);
  const zero = { ...r, kind: 'zero' as RecordKind, release: true };
  t.same(decodeRecordHeader(encodeRecordHeader(zero, 77n), 77n, 11), zero);
  t.equal(decodeRecordHeader(b, 78n, 11), undefined);
  t.equal(decodeRecordHeader(b, 77n, 12), undefined);
  t.equal(decodeRecordHeader(b.subarray(1), 77n, 11), undefined);
  fc.assert(
    fc.property(fc.nat(RECORD_HEADER_BYTES - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const torn = Buffer.from(b);
      torn[at] = (torn[at] ?? 0) ^ flip;
      t.equal(decodeRecordHeader(torn, 77n, 11), undefined);
    }),
  );
});

t.test('messages: what was said is understood, anything else is refused by an error', async (t) => {
  const kinds: MessageKind[] = ['attach', 'write', 'zero', 'flush', 'synced', 'answer'];
  fc.assert(
    fc.property(
      fc.constantFrom(...kinds),
      fc.boolean(),
      fc.nat(0xffffffff),
      fc.nat(Number.MAX_SAFE_INTEGER),
      fc.uint8Array({ maxLength: 100 }),
      fc.constantFrom('ok' as const, 'refused' as const, 'failed' as const),
      (kind, fua, n, offset, data, status) => {
        const m = {
          kind,
          fua,
          release: n % 2 === 0,
          attachment: n,
          request: n,
          interval: n,
          offset,
          length: kind === 'write' ? data.length : n,
          status,
        };
        t.same(decodeMessage(Buffer.concat([encodeMessageHeader(m), data])), {
          ...m,
          repair: false,
          sums: undefined,
          data: Buffer.from(data),
        });
      },
    ),
    { numRuns: 200 },
  );
  for (const hex of [
    '',
    '00'.repeat(32),
    `63${'00'.repeat(31)}`,
    `04${'00'.repeat(30)}09`,
    `02${'00'.repeat(26)}05${'00'.repeat(4)}01`,
    `05${'00'.repeat(26)}05${'00'.repeat(4)}01`,
    `0200000000000000000000000000000000ff${'00'.repeat(14)}`,
  ]) {
    t.throws(() => decodeMessage(Buffer.from(hex, 'hex')), Error, hex);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2 * MESSAGE_HEADER_BYTES }), (b) => {
      try {
        decodeMessage(Buffer.from(b));
      } catch (e) {
        if (!(e as Error).message.match(/disk message|write of|comparison of/)) throw e;
      }
    }),
    { numRuns: 2000 },
  );
});
