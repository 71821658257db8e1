// The engine's socket, with a real unix socket and a client that behaves as the engine does.
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { EngineSocket, INPUT_LIMIT_BYTES } from '../../../../appliance/gate/engine-socket.ts';
import { framed, unframed } from './guest-frames.ts';

// Not t.testdir(): a unix socket's path has room for 107 bytes.
function folder(t: { teardown(f: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'gate-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

async function listen(path: string) {
  const frames: number[] = [];
  const broken: string[] = [];
  let wake: () => void = () => {};
  const engine = await EngineSocket.listen(path, {
    sink: {
      frame: () => {},
      batch: (batch) => {
        frames.push(...unframed(batch).map((f) => f[0] ?? -1));
        wake();
      },
      runt: () => {},
    },
    broken: (reason) => {
      broken.push(reason);
      wake();
    },
  });
  /** Ends when the condition holds; looked at whenever something arrived. */
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { engine, frames, broken, until };
}

async function client(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  return socket;
}

const frame = (n: number, bytes = 60) => Buffer.alloc(bytes, n);
const turns = async (n: number) => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

t.test('frames in both directions; nobody else may connect to the guest', async (t) => {
  const path = join(folder(t), 'engine.sock');
  const s = await listen(path);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.notOk(s.engine.connected);
  t.notOk(s.engine.write(framed(frame(1))), 'no engine: dropped');
  const c = await client(path);
  c.write(framed(frame(1), frame(2)).subarray(0, 70));
  c.write(framed(frame(1), frame(2)).subarray(70));
  await s.until(() => s.frames.length === 2);
  t.same(s.frames, [1, 2]);
  t.equal(s.engine.bytesRead, 128);
  t.ok(s.engine.write(framed(frame(3))) && s.engine.write(framed(frame(4))));
  let got = Buffer.alloc(0);
  while (got.length < 128) got = Buffer.concat([got, (await once(c, 'data'))[0] as Buffer]);
  t.same(got, framed(frame(3), frame(4)));
  c.destroy();
  await s.engine.close();
});

t.test('the newest connection is the engine; half a frame of the old one is forgotten', async (t) => {
  const path = join(folder(t), 'engine.sock');
  const s = await listen(path);
  const old = await client(path);
  old.write(framed(frame(1), frame(2)).subarray(0, 100));
  await s.until(() => s.frames.length === 1);
  const closed = once(old, 'close');
  const young = await client(path);
  await closed;
  young.write(framed(frame(3)));
  await s.until(() => s.frames.length === 2);
  t.same(s.frames, [1, 3]);
  t.ok(s.engine.connected);
  young.destroy();
  await once(young, 'close');
  while (s.engine.connected) await turns(1);
  t.pass('its end is noticed');
  await s.engine.close();
});

t.test('a stream out of step is ended and named; the engine connects again', async (t) => {
  const path = join(folder(t), 'engine.sock');
  const s = await listen(path);
  const bad = await client(path);
  const closed = once(bad, 'close');
  bad.write(Buffer.from('ffffffff00000000', 'hex'));
  await closed;
  await s.until(() => s.broken.length === 1);
  t.match(s.broken[0], /4294967295 bytes was announced/);
  const good = await client(path);
  good.write(framed(frame(5)));
  await s.until(() => s.frames.length === 1);
  good.destroy();
  await s.engine.close();
});

t.test('an engine that does not read: inputs wait up to the limit, then are dropped; it is still read', async (t) => {
  const path = join(folder(t), 'engine.sock');
  const s = await listen(path);
  const c = await client(path);
  c.pause();
  c.write(framed(frame(1)));
  await s.until(() => s.frames.length === 1);
  const batch = framed(frame(9, 60_000));
  let taken = 0;
  for (; taken < 1000 && s.engine.write(batch); taken++) await turns(1);
  const bytes = taken * batch.length;
  t.ok(bytes > INPUT_LIMIT_BYTES - batch.length && bytes < INPUT_LIMIT_BYTES + 4 * 1024 * 1024, `${bytes} bytes taken`);
  c.write(framed(frame(2)));
  await s.until(() => s.frames.length === 2);
  let read = 0;
  c.on('data', (d: Buffer) => (read += d.length)).resume();
  while (read < bytes) await once(c, 'data');
  t.equal(read, bytes, 'what was taken arrives whole');
  c.destroy();
  await s.engine.close();
});

t.test('a socket left by a dead process is replaced; a living one is refused with its remedy', async (t) => {
  const path = join(folder(t), 'engine.sock');
  const other = createServer();
  other.listen(path);
  await once(other, 'listening');
  await t.rejects(EngineSocket.listen(path, { sink: { frame: () => {}, batch: () => {}, runt: () => {} }, broken: () => {} }), {
    code: 'EADDRINUSE',
    message: /another process serves '.*': stop it/,
  });
  other.close();
  await once(other, 'close');
  writeFileSync(path, '');
  const s = await listen(path);
  const c = await client(path);
  c.destroy();
  await s.engine.close();
  await t.rejects(listen(join(folder(t), 'missing', 'engine.sock')), /cannot listen on .*missing/);
  await t.rejects(listen(`/tmp/${'x'.repeat(110)}`), /115 bytes long, at most 107/);
});
