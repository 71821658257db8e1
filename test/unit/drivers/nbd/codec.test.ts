import fc from 'fast-check';
import t from 'tap';
import { encodeRequest } from '../../../../drivers/nbd/client.ts';
import {
  type ClientItem,
  ClientParser,
  encodeErrorChunk,
  encodeGreeting,
  OPTION_MAX_BYTES,
  parseGo,
} from '../../../../drivers/nbd/codec.ts';
import { BLOCK_SIZE, COMMAND, MAGIC_OPTION, OPTION } from '../../../../drivers/nbd/protocol.ts';

const option = (kind: number, data: Buffer, length = data.length): Buffer => {
  const b = Buffer.alloc(16);
  b.writeBigUInt64BE(MAGIC_OPTION, 0);
  b.writeUInt32BE(kind, 8);
  b.writeUInt32BE(length, 12);
  return Buffer.concat([b, data]);
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
