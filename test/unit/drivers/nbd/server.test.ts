import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { encodeRequest } from '../../../../drivers/nbd/client.ts';
import { NbdClient, NbdError, type NbdExport, NbdServer } from '../../../../drivers/nbd/index.ts';
import { BLOCK_SIZE, COMMAND, TRANSMISSION } from '../../../../drivers/nbd/protocol.ts';

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

let n = 0;
async function start(t: { teardown(f: () => unknown): unknown }, exported = new MemoryExport()) {
  const path = join(dir, `s${n++}`);
  const troubles: string[] = [];
  const server = new NbdServer(exported, { trouble: (m) => troubles.push(m) });
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
