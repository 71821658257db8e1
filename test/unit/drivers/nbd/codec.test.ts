import fc from 'fast-check';
import t from 'tap';
import { decodeChunk, encodeGo, encodeMetaContextQuery, encodeOption, encodeRequest } from '../../../../drivers/nbd/client-codec.ts';
import { type ClientItem, ClientParser, OPTION_MAX_BYTES, parseGo, parseMetaContext } from '../../../../drivers/nbd/codec.ts';
import { BLOCK_SIZE, CHUNK, COMMAND, OPTION } from '../../../../drivers/nbd/protocol.ts';
import {
  EXTENTS_MAX,
  encodeBlockStatusChunk,
  encodeDataChunk,
  encodeErrorChunk,
  encodeGreeting,
  encodeHoleChunk,
  extentsToSend,
  HOLE_STEP_BYTES,
  piecesOfRead,
} from '../../../../drivers/nbd/replies.ts';

/** `length`: what the header says of the data. */
const option = (kind: number, data: Buffer, length = data.length): Buffer => {
  const b = encodeOption(kind, data);
  b.writeUInt32BE(length, 12);
  return b;
};

/** All items of a session whose bytes arrive in the given portions. */
function parse(chunks: Buffer[]): ClientItem[] {
  const parser = new ClientParser();
  const items: ClientItem[] = [];
  for (const c of chunks) {
    for (const item of parser.push(c)) {
      items.push(
        item.kind === 'request'
          ? { kind: 'request', request: { ...item.request, data: item.request.data && Buffer.from(item.request.data) } }
          : item,
      );
      if (item.kind === 'option' && item.option === OPTION.go) parser.startTransmission();
    }
  }
  return items;
}

function cut(bytes: Buffer, sizes: number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const n = sizes[i % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + n));
    at += n;
  }
  return chunks;
}

t.test('the greeting, byte for byte', async (t) => {
  t.equal(encodeGreeting(3).toString('hex'), '4e42444d4147494349484156454f50540003');
});

t.test('a session is understood in any portions', async (t) => {
  const payload = Buffer.from('payload of a write');
  const session = Buffer.concat([
    Buffer.from([0, 0, 0, 3]),
    option(OPTION.list, Buffer.alloc(0)),
    option(99, Buffer.alloc(OPTION_MAX_BYTES + 1, 7)),
    option(OPTION.go, Buffer.from('000000056469736b30000100 03'.replace(' ', ''), 'hex')),
    encodeRequest(COMMAND.write, 1, 42n, 2 ** 40 + 512, payload.length),
    payload,
    encodeRequest(COMMAND.flush, 0, 43n, 0, 0),
    encodeRequest(COMMAND.read, 0, 44n, 5, 7),
  ]);
  const whole = parse([session]);
  t.match(whole, [
    { kind: 'clientFlags', flags: 3 },
    { kind: 'option', option: OPTION.list, tooBig: false },
    { kind: 'option', option: 99, tooBig: true },
    { kind: 'option', option: OPTION.go },
    { kind: 'request', request: { command: COMMAND.write, flags: 1, cookie: 42n, offset: 2 ** 40 + 512, length: payload.length } },
    { kind: 'request', request: { command: COMMAND.flush, cookie: 43n } },
    { kind: 'request', request: { command: COMMAND.read, cookie: 44n, offset: 5, length: 7 } },
  ]);
  const write = whole[4];
  t.same(write?.kind === 'request' && write.request.data, payload);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 }), (sizes) => {
      t.same(parse(cut(session, sizes)), whole);
    }),
    { numRuns: 60 },
  );
});

t.test('a payload that is too long is thrown away and the next request understood', async (t) => {
  const parser = new ClientParser();
  const items: ClientItem[] = [];
  const feed = (b: Buffer): void => {
    for (const i of parser.push(b)) items.push(i);
  };
  feed(Buffer.from([0, 0, 0, 3]));
  parser.startTransmission();
  const length = 4 * BLOCK_SIZE.maximum;
  feed(encodeRequest(COMMAND.write, 0, 1n, 0, length));
  const step = Buffer.alloc(1 << 20);
  for (let i = 0; i < length; i += step.length) feed(step);
  feed(encodeRequest(COMMAND.flush, 0, 2n, 0, 0));
  t.match(items, [
    { kind: 'clientFlags' },
    { kind: 'request', request: { cookie: 1n, data: undefined } },
    { kind: 'request', request: { command: COMMAND.flush, cookie: 2n } },
  ]);
});

t.test('hostile bytes: no exception, nothing after garbage, nothing kept beyond the limits', async (t) => {
  const anything = fc.uint8Array({ minLength: 0, maxLength: 400 }).map((b) => Buffer.from(b));
  const almost = fc.oneof(
    anything,
    fc.tuple(fc.nat(12), fc.nat({ max: 0xffffffff }), anything).map(([kind, length, data]) => option(kind, data, length)),
    fc
      .tuple(fc.nat(0xffff), fc.nat(8), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat({ max: 0xffffffff }), anything)
      .map(([flags, command, offset, length, data]) => {
        const r = encodeRequest(command, flags, 9n, 0, length);
        r.writeBigUInt64BE(offset, 16);
        return Buffer.concat([r, data]);
      }),
  );
  fc.assert(
    fc.property(fc.boolean(), fc.array(almost, { maxLength: 8 }), (transmission, parts) => {
      const parser = new ClientParser();
      let garbage = 0;
      for (const p of parts) {
        for (const item of parser.push(p)) {
          if (garbage > 0) throw new Error('an item after garbage');
          if (item.kind === 'garbage') garbage++;
          if (item.kind === 'clientFlags' && transmission) parser.startTransmission();
          if (item.kind === 'option' && item.data.length > OPTION_MAX_BYTES) throw new Error('an endless option');
          if (item.kind === 'request' && item.request.data && item.request.data.length !== item.request.length)
            throw new Error('a wrong payload');
        }
      }
    }),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(anything, (b) => void parseGo(b)),
    { numRuns: 2000 },
  );
  t.equal(parseGo(Buffer.from('ffffffff0000', 'hex')), undefined);
  t.equal(parseGo(Buffer.from('000000000001', 'hex')), undefined);
  t.same(parseGo(Buffer.from('0000000000010003', 'hex')), { name: '', wanted: [3] });
});

t.test('an error chunk', async (t) => {
  t.equal(
    encodeErrorChunk(1n, 22, 'no').toString('hex'),
    `668e33ef00018001000000000000000100000008000000160002${Buffer.from('no').toString('hex')}`,
  );
});

t.test('chunks, byte for byte', async (t) => {
  const head = (done: number, kind: string, length: string) => `668e33ef000${done}${kind}0000000000000001${length}`;
  t.equal(encodeDataChunk(1n, 4096, 8).toString('hex'), `${head(1, '0001', '00000010')}0000000000001000`);
  t.equal(encodeHoleChunk(1n, 4096, 512, false).toString('hex'), `${head(0, '0002', '0000000c')}000000000000100000000200`);
  t.equal(
    encodeBlockStatusChunk(1n, [
      { lengthBytes: 4096, hole: true, zero: true },
      { lengthBytes: 512, hole: false, zero: false },
    ]).toString('hex'),
    `${head(1, '0005', '00000014')}0000000100001000000000030000020000000000`,
  );
  t.equal(encodeErrorChunk(1n, 5, 'no', 4096).toString('hex'), `${head(1, '8002', '00000010')}0000000500026e6f0000000000001000`);
});

t.test('what the server encodes the client decodes', async (t) => {
  const extent = fc.record({ lengthBytes: fc.integer({ min: 1, max: 2 ** 31 }), hole: fc.boolean(), zero: fc.boolean() });
  const body = (b: Buffer) => ({ kind: b.readUInt16BE(6), body: b.subarray(20) });
  fc.assert(
    fc.property(fc.array(extent, { minLength: 1, maxLength: 50 }), (extents) => {
      const { kind, body: bytes } = body(encodeBlockStatusChunk(1n, extents));
      t.same(decodeChunk(kind, bytes), { kind: 'blockStatus', extents });
    }),
    { numRuns: 100 },
  );
  fc.assert(
    fc.property(fc.string(), fc.option(fc.nat(2 ** 31 - 1), { nil: undefined }), (message, offset) => {
      const { kind, body: bytes } = body(encodeErrorChunk(1n, 5, message, offset));
      t.same(decodeChunk(kind, bytes), { kind: 'error', error: 5, message, offset });
    }),
    { numRuns: 100 },
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.array(fc.nat(0xffff)), fc.array(fc.string()), (name, wanted, queries) => {
      t.same(parseGo(encodeGo(name, wanted)), { name, wanted });
      t.same(parseMetaContext(encodeMetaContextQuery(name, queries)), { name, queries });
    }),
    { numRuns: 100 },
  );
});

t.test('hostile chunks and options: no exception, nothing beyond the data', async (t) => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b));
  const kind = fc.oneof(fc.nat(0xffff), fc.constantFrom(...Object.values(CHUNK)));
  fc.assert(
    fc.property(kind, bytes, (k, b) => void decodeChunk(k, b)),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(bytes, (b) => {
      const asked = parseMetaContext(b);
      if (asked && encodeMetaContextQuery(asked.name, asked.queries).length < 8) throw new Error('less than its own counts');
    }),
    { numRuns: 3000 },
  );
  t.equal(parseMetaContext(Buffer.from('00000000ffffffff', 'hex')), undefined, 'a count without queries');
  t.equal(parseMetaContext(Buffer.from('ffffffff00000000', 'hex')), undefined);
  t.equal(parseMetaContext(Buffer.from('000000000000000000', 'hex')), undefined, 'a byte too many');
  t.equal(parseMetaContext(encodeMetaContextQuery('x'.repeat(4097), [])), undefined);
  t.equal(parseGo(encodeGo('x'.repeat(4097))), undefined);
});

t.test('a read is cut at its runs of zeroes', async (t) => {
  const step = HOLE_STEP_BYTES;
  const data = Buffer.alloc(5 * step + 100);
  t.same(piecesOfRead(data), [{ start: 0, end: data.length, hole: true }]);
  t.same(piecesOfRead(data.subarray(0, 512)), [{ start: 0, end: 512, hole: true }], 'a small read of nothing but zeroes');
  data[2 * step] = 1;
  t.same(piecesOfRead(data), [
    { start: 0, end: 2 * step, hole: true },
    { start: 2 * step, end: 3 * step, hole: false },
    { start: 3 * step, end: data.length, hole: true },
  ]);
  data[5 * step - 1] = 1;
  t.same(piecesOfRead(data).at(-1), { start: 4 * step, end: data.length, hole: false }, 'a short end is no hole of its own');
  const piece = fc.tuple(fc.integer({ min: 1, max: 3 * step }), fc.boolean());
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), (runs) => {
      const bytes = Buffer.concat(runs.map(([length, zero]) => Buffer.alloc(length, zero ? 0 : 9)));
      let at = 0;
      for (const p of piecesOfRead(bytes)) {
        if (p.start !== at || p.end <= at) throw new Error('a gap');
        if (p.hole && bytes.subarray(p.start, p.end).some((b) => b !== 0)) throw new Error('data in a hole');
        at = p.end;
      }
      if (at !== bytes.length) throw new Error('not all');
    }),
    { numRuns: 60 },
  );
});

t.test('extents as one answer carries them', async (t) => {
  const data = (lengthBytes: number) => ({ lengthBytes, hole: false, zero: false });
  const hole = (lengthBytes: number) => ({ lengthBytes, hole: true, zero: true });
  t.same(extentsToSend([data(5), data(6), hole(7)], 15, false), [data(11), hole(4)], 'joined, not beyond the request');
  t.same(extentsToSend([data(5), data(6), hole(7)], 15, true), [data(11)]);
  t.same(extentsToSend([hole(2 ** 32 - 512)], 2 ** 32 - 512, false), [hole(2 ** 31), hole(2 ** 31 - 512)]);
  t.same(extentsToSend([hole(2 ** 32 - 512)], 2 ** 32 - 512, true), [hole(2 ** 31)]);
  const many = Array.from({ length: 20_000 }, (_, i) => (i % 2 ? hole(512) : data(512)));
  t.equal(extentsToSend(many, 20_000 * 512, false).length, EXTENTS_MAX);
  t.same(extentsToSend([], 512, false), []);
});
