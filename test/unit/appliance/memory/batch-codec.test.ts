// Batches: whatever the stream was cut into, the other end gets the same bytes, or the session ends.
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { BatchError, BatchReader, BatchWriter, COMPRESSION } from '../../../../appliance/memory/batch-codec.ts';
import { ForwardParser, PAGE_BYTES } from '../../../../appliance/memory/codec.ts';
import type { MemoryMessage } from '../../../../appliance/memory/messages.ts';
import { Outgoing } from '../../../../appliance/memory/outgoing.ts';
import { PageCache } from '../../../../appliance/memory/page-cache.ts';
import { recordedForward } from './recorded-session.ts';

const SLOTS = 8;

type Piece = { kind: 'page'; number: number; fill: number; edits: number[] } | { kind: 'rest'; bytes: Uint8Array } | { kind: 'seal' };

const pieces: fc.Arbitrary<Piece[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('page' as const),
      number: fc.oneof(fc.nat(20), fc.constant(2 ** 32 - 1)),
      fill: fc.nat(3),
      edits: fc.array(fc.nat(PAGE_BYTES - 1), { maxLength: 4 }),
    }),
    fc.record({ kind: fc.constant('rest' as const), bytes: fc.uint8Array({ maxLength: 40 }) }),
    fc.constant({ kind: 'seal' as const }),
  ),
  { maxLength: 90 },
);

function content(piece: { fill: number; edits: number[] }): Buffer {
  const b = Buffer.alloc(PAGE_BYTES, piece.fill);
  for (const at of piece.edits) b[at] = 0xee;
  return b;
}

/** The stream, and its batches as they go over the link. */
function pack(list: Piece[], cache = new PageCache(SLOTS)): { stream: Buffer; batches: Buffer[] } {
  const writer = new BatchWriter(cache);
  const stream: Uint8Array[] = [];
  const batches: Buffer[] = [];
  const seal = () => {
    const batch = writer.seal();
    if (batch) batches.push(Buffer.concat([batch.header, zstdCompressSync(batch.body, { params: COMPRESSION })]));
  };
  for (const piece of list) {
    if (writer.full) seal();
    switch (piece.kind) {
      case 'page':
        stream.push(content(piece));
        writer.page(piece.number, content(piece));
        break;
      case 'rest':
        stream.push(piece.bytes);
        writer.rest(piece.bytes, undefined);
        break;
      case 'seal':
        seal();
        break;
      default:
        piece satisfies never;
    }
  }
  seal();
  return { stream: Buffer.concat(stream), batches };
}

t.test('round trip, with pages that come again, collide in the cache, and go up to the last number', async (t) => {
  fc.assert(
    fc.property(pieces, (list) => {
      const { stream, batches } = pack(list);
      const reader = new BatchReader(new PageCache(SLOTS));
      return Buffer.concat(batches.map((b) => reader.open(b))).equals(stream);
    }),
    { numRuns: 300 },
  );
  t.pass('300 streams');
});

t.test('device state is compared with the one before, byte by byte of it', async (t) => {
  const first = Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * 2654435761) >>> 24));
  const second = Buffer.from(first);
  second[123] = 0;
  second[650_001] = 7;
  const writer = new BatchWriter(new PageCache(SLOTS));
  const reader = new BatchReader(new PageCache(SLOTS));
  const sizes: number[] = [];
  for (const state of [first, second]) {
    const stream: Buffer[] = [];
    let size = 0;
    for (let at = 0; at < state.length; ) {
      at += writer.rest(state.subarray(at), at);
      const batch = writer.seal();
      if (!batch) throw new Error('an empty batch');
      const message = Buffer.concat([batch.header, zstdCompressSync(batch.body, { params: COMPRESSION })]);
      size += message.length;
      stream.push(reader.open(message));
    }
    t.ok(Buffer.concat(stream).equals(state));
    sizes.push(size);
  }
  t.ok((sizes[1] ?? 0) < 1000, `the second time ${sizes[1]} bytes`);
});

const PAGE: Piece = { kind: 'page', number: 3, fill: 1, edits: [5] };
const AGAIN: Piece = { kind: 'page', number: 3, fill: 2, edits: [] };
const SEAL: Piece = { kind: 'seal' };

t.test('caches out of step are noticed by the checksum', async (t) => {
  const { batches } = pack([PAGE, SEAL, AGAIN]);
  const [, second] = batches;
  const stranger = pack([{ ...PAGE, fill: 3 }]).batches[0];
  if (!second || !stranger) throw new Error('two batches were expected');
  const reader = new BatchReader(new PageCache(SLOTS));
  reader.open(stranger);
  t.throws(() => reader.open(second), { name: 'BatchError', message: /batch 2: its checksum is wrong/ });
  const otherSize = new BatchReader(new PageCache(1));
  const collide = pack([PAGE, { ...PAGE, number: 4 }, SEAL, AGAIN]).batches;
  otherSize.open(collide[0] ?? Buffer.alloc(0));
  t.throws(() => otherSize.open(collide[1] ?? Buffer.alloc(0)), /its checksum is wrong/, 'two ends with caches of different size');
});

t.test('a batch that is missing, comes twice or in another order', async (t) => {
  const { batches } = pack([PAGE, SEAL, AGAIN]);
  const [first, second] = batches;
  if (!first || !second) throw new Error('two batches were expected');
  t.throws(() => new BatchReader(new PageCache(SLOTS)).open(second), /batch 2: batch 1 was expected/);
  const reader = new BatchReader(new PageCache(SLOTS));
  reader.open(first);
  t.throws(() => reader.open(first), /batch 1: batch 2 was expected/);
});

t.test('hostile input: any damaged byte, any cut, any length', async (t) => {
  const batch = pack([{ kind: 'rest', bytes: Buffer.from('head') }, PAGE, { kind: 'rest', bytes: Buffer.from('tail') }]).batches[0];
  if (!batch) throw new Error('a batch was expected');
  const sound = new BatchReader(new PageCache(SLOTS)).open(batch);
  const refused = (message: Buffer): boolean => {
    try {
      // The stream itself is what counts: a bit that zstd does not use may change, the engine's bytes may not.
      return new BatchReader(new PageCache(SLOTS)).open(message).equals(sound);
    } catch (error) {
      if (error instanceof BatchError) return true;
      throw error;
    }
  };
  for (let at = 0; at < batch.length; at++) {
    for (const bit of [1, 0x80]) {
      const damaged = Buffer.from(batch);
      damaged[at] = (damaged[at] ?? 0) ^ bit;
      if (!refused(damaged)) t.fail(`byte ${at} changed`);
    }
    if (!refused(batch.subarray(0, at))) t.fail(`cut at ${at}`);
    t.throws(() => new BatchReader(new PageCache(SLOTS)).open(batch.subarray(0, at)), BatchError);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => refused(Buffer.from(bytes))));
  const header = Buffer.from(batch.subarray(0, 20));
  const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
  t.throws(() => new BatchReader(new PageCache(SLOTS)).open(Buffer.concat([header, bomb])), /cannot be unpacked/, 'a bomb is not unpacked');
  const body = Buffer.from(zstdDecompressSync(batch.subarray(20)));
  body.writeUInt32BE(0xffffffff, PAGE_BYTES + 4);
  t.throws(
    () => new BatchReader(new PageCache(SLOTS)).open(Buffer.concat([header, zstdCompressSync(body)])),
    /a gap of 4294967295 bytes before page 1/,
  );
});

t.test('the recorded session through parser, batches and back, cut anywhere', async (t) => {
  const { synchronisation, request, checkpoints } = recordedForward();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 12 }), async (cuts) => {
      const sent: MemoryMessage[] = [];
      const outgoing = new Outgoing(
        1,
        {
          send: (m) => sent.push(m),
          failed: (reason) => {
            throw new Error(reason);
          },
          nowMs: () => 0,
        },
        new PageCache(64),
      );
      let synchronising = true;
      const parser = new ForwardParser({
        bytes: (b) => (synchronising ? outgoing.feedSynchronisation(b) : outgoing.feed(b)),
        event: (e) => {
          if (e.kind === 'sendBegin') outgoing.beginCheckpoint();
          if (e.kind === 'checkpointEnd') outgoing.end();
        },
        pages: { summedBlock: null, begins: (offset, page, block) => outgoing.page(offset, block.firstPage + page) },
        deviceState: (offset) => outgoing.deviceState(offset),
      });
      let turn = 0;
      const feed = async (bytes: Buffer) => {
        for (let at = 0; at < bytes.length; ) {
          const end = at + (cuts[turn++ % cuts.length] ?? bytes.length);
          parser.feed(bytes.subarray(at, end));
          at = end;
        }
        await new Promise<void>((resolve) => setImmediate(() => outgoing.after(resolve)));
      };
      await feed(synchronisation);
      parser.enterCheckpoints();
      outgoing.end();
      synchronising = false;
      const sizes: number[] = [];
      for (const checkpoint of checkpoints) {
        await feed(request);
        const before = outgoing.linkBytes;
        await feed(checkpoint);
        sizes.push((outgoing.linkBytes - before) / checkpoint.length);
      }
      const reader = new BatchReader(new PageCache(64));
      const stream = Buffer.concat(
        sent.flatMap((m) => {
          if (m.kind === 'data') return [m.bytes];
          return m.kind === 'packed' ? [reader.open(Buffer.concat([m.batch, m.compressed ?? Buffer.alloc(0)]))] : [];
        }),
      );
      const whole = Buffer.concat([synchronisation, ...checkpoints.flatMap((c) => [request, c])]);
      return stream.equals(whole) && (sizes[2] ?? 1) < 0.05;
    }),
    { numRuns: 12 },
  );
  t.pass('the last checkpoint went in less than a twentieth');
});
