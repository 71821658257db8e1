import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { encodeGo, encodeMetaContextQuery, encodeOption, encodeRequest } from '../../../../drivers/nbd/client-codec.ts';
import { NbdClient, NbdError, type NbdExport, type NbdExtent, NbdServer, type ZeroesOrder } from '../../../../drivers/nbd/index.ts';
import {
  BASE_ALLOCATION,
  BLOCK_SIZE,
  COMMAND,
  COMMAND_FLAG,
  OPTION,
  OPTION_REPLY,
  TRANSMISSION,
} from '../../../../drivers/nbd/protocol.ts';

const dir = mkdtempSync(join(tmpdir(), 'nbd-'));
t.teardown(() => rmSync(dir, { recursive: true }));

class MemoryExport implements NbdExport {
  readonly name = 'disk0';
  readonly description = 'memory';
  readonly multiConnection = true;
  readonly bytes = Buffer.alloc(64 * 1024 * 1024);
  readonly sizeBytes = this.bytes.length;
  flushes = 0;
  held: (() => void)[] = [];
  hold = false;
  failWith: Error | undefined;

  async read(offset: number, length: number): Promise<Buffer> {
    if (this.failWith) throw this.failWith;
    return Buffer.from(this.bytes.subarray(offset, offset + length));
  }
  async write(offset: number, data: Buffer): Promise<void> {
    if (this.hold) await new Promise<void>((resolve) => this.held.push(resolve));
    if (this.failWith) throw this.failWith;
    data.copy(this.bytes, offset);
  }
  async writeZeroes(offset: number, length: number): Promise<void> {
    this.bytes.fill(0, offset, offset + length);
  }
  async flush(): Promise<void> {
    this.flushes++;
  }
}

/** With everything that an export may have. Its first half is written, its second half a hole. */
class WholeExport extends MemoryExport {
  readonly fastZero = true;
  readonly trimmed: [number, number, boolean][] = [];
  readonly zeroed: ZeroesOrder[] = [];
  refuseFast = false;
  override async writeZeroes(offset: number, length: number, _fua?: boolean, order?: ZeroesOrder): Promise<void> {
    if (order?.fast && this.refuseFast) throw Object.assign(new Error('slow'), { code: 'EOPNOTSUPP' });
    if (order) this.zeroed.push(order);
    await super.writeZeroes(offset, length);
  }
  async trim(offset: number, length: number, fua: boolean): Promise<void> {
    this.trimmed.push([offset, length, fua]);
  }
  async extents(offset: number, length: number): Promise<NbdExtent[]> {
    const half = this.sizeBytes / 2;
    const data = Math.max(0, Math.min(length, half - offset));
    const list = [
      { lengthBytes: data, hole: false, zero: false },
      { lengthBytes: length - data, hole: true, zero: true },
    ];
    return list.filter((e) => e.lengthBytes > 0);
  }
}

/** A client that sends bytes; answers everything that came back until `done` says so, or until the server closes. */
function speak(path: string, bytes: Buffer, done: (received: Buffer) => boolean = () => false): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = net.connect(path);
    let received: Buffer = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (c) => {
      received = Buffer.concat([received, c]);
      if (done(received)) socket.destroy();
    });
    socket.on('close', () => resolve(received));
    socket.write(bytes);
  });
}

const HELLO = Buffer.from([0, 0, 0, 3]);
const GREETING_BYTES = 18;

/** The replies to options: of each its number and its kind. */
function optionReplies(received: Buffer): [number, number][] {
  const replies: [number, number][] = [];
  for (let at = GREETING_BYTES; at + 20 <= received.length; at += 20 + received.readUInt32BE(at + 16)) {
    replies.push([received.readUInt32BE(at + 8), received.readUInt32BE(at + 12)]);
  }
  return replies;
}

let n = 0;
async function start(t: { teardown(f: () => unknown): unknown }, exported = new MemoryExport(), handshakeMs?: number) {
  const path = join(dir, `s${n++}`);
  const troubles: string[] = [];
  const server = new NbdServer(exported, { trouble: (m) => troubles.push(m) }, handshakeMs);
  await server.listen(path);
  t.teardown(() => server.close());
  return { path, exported, server, troubles };
}
t.test('read, write, zeroes, flush, many at a time', async (t) => {
  const { path, exported } = await start(t);
  const c = await NbdClient.connect(path, 'disk0');
  t.equal(c.sizeBytes, exported.sizeBytes);
  t.ok(c.flags & TRANSMISSION.canMultiConn);
  t.notOk(c.flags & TRANSMISSION.sendTrim, 'what the export cannot do is not offered');
  await Promise.all(Array.from({ length: 300 }, (_, i) => c.write(i * 4096, Buffer.alloc(4096, i))));
  const back = await Promise.all(Array.from({ length: 300 }, (_, i) => c.read(i * 4096 + 4095, 1)));
  t.ok(back.every((b, i) => b[0] === i % 256));
  const big = Buffer.alloc(BLOCK_SIZE.maximum, 0x5a);
  await c.write(512, big);
  t.ok((await c.read(512, big.length)).equals(big));
  await c.writeZeroes(512, 100_000);
  t.ok((await c.read(512, 100_000)).equals(Buffer.alloc(100_000)));
  await c.flush();
  t.equal(exported.flushes, 1);
  await c.close();
});

t.test('errors are answers, the connection goes on', async (t) => {
  const { path, exported, troubles } = await start(t);
  const c = await NbdClient.connect(path, '');
  await t.rejects(c.read(exported.sizeBytes - 1, 2), { code: 'EINVAL' });
  await t.rejects(c.write(exported.sizeBytes - 1, Buffer.alloc(2)), { code: 'ENOSPC' });
  await t.rejects(c.writeZeroes(2 ** 52, 1), { code: 'ENOSPC' });
  await t.rejects(c.read(0, 0), { code: 'EINVAL' });
  await t.rejects(c.read(0, BLOCK_SIZE.maximum + 1), { code: 'EOVERFLOW' });
  await t.rejects(c.write(0, Buffer.alloc(BLOCK_SIZE.maximum + 1)), { code: 'EINVAL' });
  await t.rejects(c.trim(0, 4096), { code: 'EINVAL' });
  exported.failWith = new NbdError('ENOSPC', 'full');
  await t.rejects(c.write(0, Buffer.alloc(1)), { code: 'ENOSPC' });
  exported.failWith = Object.assign(new Error('odd'), { code: 'EWHATEVER' });
  await t.rejects(c.read(0, 1), { code: 'EIO' });
  exported.failWith = undefined;
  t.equal((await c.read(0, 1)).length, 1);
  t.same(troubles, []);
  await c.close();
});

t.test('an unknown export is refused, a listening server replaces a stale socket file', async (t) => {
  const path = join(dir, 'stale');
  writeFileSync(path, '');
  const server = new NbdServer(new MemoryExport(), { trouble: () => {} });
  await server.listen(path);
  t.teardown(() => server.close());
  await t.rejects(NbdClient.connect(path, 'other'), /no export 'other' here/);
  await (await NbdClient.connect(path, 'disk0')).close();
  const other = new NbdServer(new MemoryExport(), { trouble: () => {} });
  await t.rejects(other.listen(join(dir, 'none', 'x')), /cannot export 'disk0' on/);
});

t.test('a held request is answered later, or never when the server closes', async (t) => {
  const { path, exported, server } = await start(t);
  const c = await NbdClient.connect(path, 'disk0');
  exported.hold = true;
  let ended = 0;
  const first = c.write(0, Buffer.alloc(1, 1)).then(() => ended++);
  const second = c.write(1, Buffer.alloc(1, 1));
  second.catch(() => {});
  t.equal((await c.read(0, 1))[0], 0, 'a read passes the held writes');
  t.equal(ended, 0);
  exported.held.shift()?.();
  await first;
  await server.close();
  await t.rejects(second, /closed the connection/);
});

t.test('whoever has too much open is not read from, and goes on afterwards', async (t) => {
  const { path, exported } = await start(t);
  const c = await NbdClient.connect(path, 'disk0');
  exported.hold = true;
  const writes = Array.from({ length: 600 }, (_, i) => c.write(i * 65536, Buffer.alloc(65536, 1)));
  while (exported.held.length < 256) await new Promise((resolve) => setImmediate(resolve));
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  t.ok(exported.held.length < 600, `${exported.held.length} of 600 taken`);
  exported.hold = false;
  for (const release of exported.held) release();
  await Promise.all(writes);
  await c.close();
});

t.test('broken clients lose their connection only', async (t) => {
  const { path, troubles } = await start(t);
  const good = await NbdClient.connect(path, 'disk0');
  for (const bytes of [
    'ffffffff',
    '00000003deadbeefdeadbeef0000000100000000',
    '0000000349484156454f505400000001ffffffff',
    '0000000349484156454f50540000000100000003626164',
  ]) {
    const socket = net.connect(path);
    socket.on('error', () => {});
    socket.resume();
    const gone = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    socket.write(Buffer.from(bytes, 'hex'));
    if (bytes.endsWith('ffffffff') && bytes.length > 8) socket.end(Buffer.alloc(70_000));
    await gone;
  }
  t.equal(troubles.length, 3, troubles.join('; '));
  t.equal((await good.read(0, 4)).length, 4);
  await good.close();
});

t.test('DISC: answers that are due leave first', async (t) => {
  const { path } = await start(t);
  const c = await NbdClient.connect(path, 'disk0');
  const reads = Array.from({ length: 20 }, (_, i) => c.read(i, 1000));
  await c.close();
  t.equal((await Promise.all(reads)).length, 20);
});

t.test('a request header is 28 bytes', async (t) => {
  t.equal(encodeRequest(COMMAND.write, 1, 2n, 3, 4).toString('hex'), '25609513000100010000000000000002000000000000000300000004');
});

t.test('structured: holes are counted, not sent; DF: one chunk; block status; fast zeroes; trim', async (t) => {
  const { path, exported } = await start(t, new WholeExport());
  const whole = exported as WholeExport;
  const c = await NbdClient.connect(path, 'disk0', { structured: true });
  t.ok(c.allocation);
  for (const flag of ['sendDontFragment', 'sendFastZero', 'sendTrim', 'sendWriteZeroes', 'sendFlush', 'sendFua', 'canMultiConn'] as const) {
    t.ok(c.flags & TRANSMISSION[flag], flag);
  }
  const mib = 1024 * 1024;
  await c.write(2 * mib, Buffer.alloc(mib, 5));
  const seen = await c.readInChunks(mib, 4 * mib);
  t.same([seen.dataChunks, seen.holeChunks], [1, 2]);
  t.ok(seen.data.equals(exported.bytes.subarray(mib, 5 * mib)));
  const one = await c.readInChunks(mib, 4 * mib, true);
  t.same([one.dataChunks, one.holeChunks], [1, 0]);
  t.ok(one.data.equals(seen.data));
  t.same(await c.readInChunks(mib, 512, true), { data: Buffer.alloc(512), extents: [], dataChunks: 0, holeChunks: 1 });

  const half = exported.sizeBytes / 2;
  t.same(await c.blockStatus(half - 512, 1024), [
    { lengthBytes: 512, hole: false, zero: false },
    { lengthBytes: 512, hole: true, zero: true },
  ]);
  t.equal((await c.blockStatus(half - 512, 1024, true)).length, 1);
  await t.rejects(c.blockStatus(half, half + 1), { code: 'EINVAL', message: /outside of the disk/ });

  await c.writeZeroes(0, 4096, true, { noHole: true, fast: true });
  await c.writeZeroes(0, 4096);
  t.same(whole.zeroed, [
    { noHole: true, fast: true },
    { noHole: false, fast: false },
  ]);
  whole.refuseFast = true;
  await t.rejects(c.writeZeroes(0, 4096, false, { fast: true }), { code: 'ENOTSUP' });
  await c.trim(4096, 8192, true);
  await c.trim(0, exported.sizeBytes);
  t.same(whole.trimmed, [
    [4096, 8192, true],
    [0, exported.sizeBytes, false],
  ]);
  whole.failWith = new NbdError('EIO', 'the medium', 4608);
  await t.rejects(c.read(4096, 4096), { code: 'EIO', message: 'the medium', offset: 4608 });
  await t.rejects(c.read(8192, 4096), { code: 'EIO', message: 'the medium', offset: undefined }, 'a place outside of the read is not told');
  await c.close();
});

t.test('a command that was not negotiated, a flag that does not belong: EINVAL', async (t) => {
  const { path } = await start(t, new WholeExport());
  const plain = await NbdClient.connect(path, 'disk0');
  t.notOk(plain.flags & TRANSMISSION.sendDontFragment);
  await t.rejects(plain.blockStatus(0, 4096), { code: 'EINVAL' });
  await t.rejects(plain.readInChunks(0, 4096, true), { code: 'EINVAL' });
  t.equal((await plain.read(0, 4096)).length, 4096);
  await plain.close();
  const { path: less } = await start(t);
  const c = await NbdClient.connect(less, 'disk0', { structured: true });
  t.notOk(c.allocation, 'an export without a map has no block status');
  await t.rejects(c.blockStatus(0, 4096), { code: 'EINVAL' });
  await t.rejects(c.writeZeroes(0, 4096, false, { fast: true }), { code: 'EINVAL' });
  await c.writeZeroes(0, 4096, false, { noHole: true });
  await c.close();
});

t.test('read-only: EPERM for all that changes', async (t) => {
  const exported = Object.assign(new WholeExport(), { readOnly: true });
  const { path } = await start(t, exported);
  const c = await NbdClient.connect(path, 'disk0', { structured: true });
  t.ok(c.flags & TRANSMISSION.readOnly);
  t.notOk(c.flags & (TRANSMISSION.sendTrim | TRANSMISSION.sendWriteZeroes));
  for (const change of [c.write(0, Buffer.alloc(512, 1)), c.writeZeroes(0, 512), c.trim(0, 512)])
    await t.rejects(change, { code: 'EPERM' });
  t.same(await c.read(0, 512), Buffer.alloc(512));
  t.same(exported.trimmed, []);
  await c.flush();
  await c.close();
});

t.test('a flush on one connection covers what ended on another', async (t) => {
  const { path, exported } = await start(t);
  const [a, b] = await Promise.all([NbdClient.connect(path, ''), NbdClient.connect(path, '')]);
  await a.write(0, Buffer.from('written by one'));
  t.equal((await b.read(0, 14)).toString(), 'written by one');
  await b.flush();
  t.equal(exported.flushes, 1, 'both connections have the same export behind them');
  a.destroy();
  t.equal((await b.read(0, 14)).toString(), 'written by one', 'the other goes on');
  await b.close();
});

t.test('options: each is answered, in any order, malformed and unknown ones too', async (t) => {
  const { path, troubles } = await start(t, new WholeExport());
  const set = (queries: string[], name = 'disk0') => encodeOption(OPTION.setMetaContext, encodeMetaContextQuery(name, queries));
  const list = (queries: string[]) => encodeOption(OPTION.listMetaContext, encodeMetaContextQuery('disk0', queries));
  const received = await speak(
    path,
    Buffer.concat([
      HELLO,
      encodeOption(5), // STARTTLS
      encodeOption(11), // extended headers
      encodeOption(0xffffffff, Buffer.alloc(100)),
      set([BASE_ALLOCATION]),
      encodeOption(OPTION.structuredReply, Buffer.alloc(1)),
      encodeOption(OPTION.structuredReply),
      list([]),
      list(['base:']),
      list(['qemu:dirty-bitmap:x']),
      set(['base:', 'x']),
      set([BASE_ALLOCATION], 'other'),
      encodeOption(OPTION.setMetaContext, Buffer.from('ffff', 'hex')),
      set([BASE_ALLOCATION]),
      encodeOption(OPTION.list),
      encodeOption(OPTION.list, Buffer.alloc(4)),
      encodeOption(OPTION.info, encodeGo('disk0', [0, 1, 2, 3, 99])),
      encodeOption(OPTION.info, encodeGo('other')),
      encodeOption(OPTION.go, Buffer.alloc(3)),
      encodeOption(OPTION.abort),
    ]),
  );
  const { ack, invalid, unsupported, unknownExport, metaContext, server, info } = OPTION_REPLY;
  t.same(optionReplies(received), [
    [5, unsupported],
    [11, unsupported],
    [0xffffffff, unsupported],
    [OPTION.setMetaContext, invalid],
    [OPTION.structuredReply, invalid],
    [OPTION.structuredReply, ack],
    [OPTION.listMetaContext, metaContext],
    [OPTION.listMetaContext, ack],
    [OPTION.listMetaContext, metaContext],
    [OPTION.listMetaContext, ack],
    [OPTION.listMetaContext, ack],
    [OPTION.setMetaContext, ack],
    [OPTION.setMetaContext, unknownExport],
    [OPTION.setMetaContext, invalid],
    [OPTION.setMetaContext, metaContext],
    [OPTION.setMetaContext, ack],
    [OPTION.list, server],
    [OPTION.list, ack],
    [OPTION.list, invalid],
    [OPTION.info, info],
    [OPTION.info, info],
    [OPTION.info, info],
    [OPTION.info, info],
    [OPTION.info, ack],
    [OPTION.info, unknownExport],
    [OPTION.go, invalid],
    [OPTION.abort, ack],
  ]);
  t.same(troubles, []);
});

t.test('a choice of contexts that failed leaves none', async (t) => {
  const { path } = await start(t, new WholeExport());
  const set = (data: Buffer) => encodeOption(OPTION.setMetaContext, data);
  const received = await speak(
    path,
    Buffer.concat([
      HELLO,
      encodeOption(OPTION.structuredReply),
      set(encodeMetaContextQuery('', [BASE_ALLOCATION])),
      set(Buffer.alloc(1)),
      encodeOption(OPTION.go, encodeGo('', [])),
      encodeRequest(COMMAND.blockStatus, 0, 7n, 0, 512),
      encodeRequest(COMMAND.disconnect, 0, 8n, 0, 0),
    ]),
  );
  const answer = received.subarray(received.lastIndexOf(Buffer.from('668e33ef', 'hex')));
  t.equal(answer.readUInt16BE(6), 0x8001);
  t.equal(answer.readUInt32BE(20), 22);
});

t.test('a flood of options ends the connection', async (t) => {
  const { path, troubles } = await start(t);
  const received = await speak(path, Buffer.concat([HELLO, ...Array.from({ length: 2000 }, () => encodeOption(OPTION.list))]));
  t.ok(optionReplies(received).length <= 128);
  t.match(troubles, [/more than 64 options/]);
});

t.test('thousands of reads in one portion: no more are begun than may be open', async (t) => {
  const exported = new (class extends MemoryExport {
    running = 0;
    most = 0;
    override async read(offset: number, length: number): Promise<Buffer> {
      this.most = Math.max(this.most, ++this.running);
      await new Promise((resolve) => setImmediate(resolve));
      this.running--;
      return await super.read(offset, length);
    }
  })();
  const { path } = await start(t, exported);
  const reads = Array.from({ length: 2000 }, (_, i) => encodeRequest(COMMAND.read, 0, BigInt(i), 0, i < 1000 ? 512 : 1024 * 1024));
  const hello = Buffer.concat([HELLO, encodeOption(OPTION.go, encodeGo('', []))]);
  let bytes = 0;
  await new Promise<void>((resolve) => {
    const socket = net.connect(path);
    socket.on('data', (c) => {
      bytes += c.length;
    });
    socket.on('close', () => resolve());
    socket.write(Buffer.concat([hello, ...reads, encodeRequest(COMMAND.disconnect, 0, 0n, 0, 0)]));
  });
  t.ok(exported.most <= 256, `${exported.most} at a time`);
  t.ok(bytes > 1000 * (512 + 16) + 1000 * (1024 * 1024 + 16), 'and all were answered before the end');
});

t.test('a client that goes away within a request, or with requests open: the server goes on', async (t) => {
  const { path, exported, troubles, server } = await start(t);
  const good = await NbdClient.connect(path, 'disk0');
  const go = Buffer.concat([HELLO, encodeOption(OPTION.go, encodeGo('', []))]);
  const write = encodeRequest(COMMAND.write, 0, 1n, 0, 65536);
  for (const rest of [write.subarray(0, 11), write, Buffer.concat([write, Buffer.alloc(1000, 9)])]) {
    await speak(path, Buffer.concat([go, rest]), (received) => received.length > GREETING_BYTES);
  }
  exported.hold = true;
  await speak(path, Buffer.concat([go, write, Buffer.alloc(65536, 9)]), () => exported.held.length > 0);
  exported.hold = false;
  while (server.connections > 1) await new Promise((resolve) => setImmediate(resolve));
  t.same(await good.read(0, 65536), Buffer.alloc(65536), 'half a write is none');
  for (const release of exported.held) release();
  await good.flush();
  t.same(troubles, []);
  await good.close();
});

t.test('clients that say nothing, or a byte at a time, give their places up; one that has chosen keeps its own', async (t) => {
  const { path, troubles, server } = await start(t, new MemoryExport(), 300);
  const good = await NbdClient.connect(path, 'disk0');
  const places = 31;
  const go = Buffer.concat([HELLO, encodeOption(OPTION.go, encodeGo('', []))]);
  let drops = 0;
  const ended = Array.from({ length: places }, async (_, i) => {
    const socket = net.connect(path);
    socket.on('error', () => undefined);
    let sent = 0;
    // Each answers the greeting with the start of a handshake that never ends.
    const dribble = setInterval(() => socket.write(go.subarray(sent, ++sent)), 20);
    if (i % 2 === 0 || i > 20) clearInterval(dribble);
    socket.on('data', () => undefined);
    await new Promise((resolve) => socket.on('close', resolve));
    clearInterval(dribble);
    drops++;
  });
  // On a slow machine the first have gone when the last one comes.
  while (server.connections + drops < places + 1) await new Promise((resolve) => setImmediate(resolve));
  await Promise.all(ended);
  t.equal(drops, places);
  t.same(new Set(troubles), new Set(['an NBD client sent no choice of an export within 300 ms: disconnected']));
  await good.flush();
  const engine = await NbdClient.connect(path, 'disk0');
  await engine.flush();
  await Promise.all([good.close(), engine.close()]);
});

t.test('impossible lengths and offsets: an answer each, the connection goes on', async (t) => {
  const { path } = await start(t, new WholeExport());
  const c = await NbdClient.connect(path, 'disk0', { structured: true });
  const most = 2 ** 32 - 1;
  for (const offset of [0, 2 ** 52, 64 * 1024 * 1024]) {
    await t.rejects(c.read(offset, most), NbdError);
    await t.rejects(c.trim(offset, most), { code: 'EINVAL' });
    await t.rejects(c.writeZeroes(offset, most), { code: 'ENOSPC' });
    await t.rejects(c.blockStatus(offset, most), { code: 'EINVAL' });
  }
  t.equal((await c.read(0, 1)).length, 1);
  await c.close();
  // The largest numbers that fit, and every command and flag.
  const requests = Array.from({ length: 4096 }, (_, i) => {
    const r = encodeRequest(i % 16 === COMMAND.write ? 99 : i % 16, (i >> 4) & 0xff, BigInt(i), 0, i & 1 ? most : 0);
    r.writeBigUInt64BE(i & 2 ? 2n ** 64n - 1n : 2n ** 63n, 16);
    return r;
  }).filter((r) => r.readUInt16BE(6) !== COMMAND.disconnect);
  const go = Buffer.concat([HELLO, encodeOption(OPTION.go, encodeGo('', []))]);
  const received = await speak(path, Buffer.concat([go, ...requests, encodeRequest(COMMAND.disconnect, 0, 0n, 0, 0)]));
  const first = received.indexOf(Buffer.from('67446698', 'hex'));
  t.equal((received.length - first) / 16, requests.length, 'every one was answered');
});

t.test('bytes of chance after the handshake: an answer or the end, never an exception', async (t) => {
  const { path } = await start(t, new WholeExport());
  const good = await NbdClient.connect(path, 'disk0', { structured: true });
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 64 }).map((b) => Buffer.from(b)),
    fc
      .tuple(fc.nat(0x1f), fc.nat(9), fc.nat(2 ** 27), fc.nat(2 ** 20))
      .map(([flags, command, offset, length]) => encodeRequest(command, flags & ~COMMAND_FLAG.fua, 1n, offset, length)),
  );
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(part, { maxLength: 6 }), async (structured, parts) => {
      const bytes = [
        HELLO,
        ...(structured ? [encodeOption(OPTION.structuredReply)] : []),
        encodeOption(OPTION.go, encodeGo('', [])),
        ...parts,
      ];
      await new Promise<void>((resolve) => {
        const socket = net.connect(path);
        socket.on('error', () => {});
        socket.on('close', () => resolve());
        socket.resume();
        socket.end(Buffer.concat(bytes));
      });
      if ((await good.read(0, 16)).length !== 16) throw new Error('the other client');
    }),
    { numRuns: 150 },
  );
  t.pass('the other client was served all the while');
  await good.close();
});
