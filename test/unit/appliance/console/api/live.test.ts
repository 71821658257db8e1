import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { encodeEvent, eventDecoder } from '../../../../../appliance/console/api/event-stream.ts';
import type { Snapshot } from '../../../../../appliance/core/snapshot.ts';
import { duplex, NOW } from '../fixtures.ts';
import { call, harness, post, signIn } from './harness.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(120_000);

/** A raw client whose reading the test controls. Only generations and event names are kept of what it reads. */
async function liveClient(port: number, cookie: string) {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
  socket.setEncoding('latin1');
  socket.write(`GET /api/live HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nCookie: ${cookie}\r\n\r\n`);
  let tail = '';
  let signedOut = false;
  const generations: number[] = [];
  let waiting: { test: () => boolean; resolve: () => void }[] = [];
  socket.on('data', (chunk: string) => {
    tail += chunk;
    for (const match of tail.matchAll(/"redundancySentence".{0,200}?"generation":(\d{6})/gs)) generations.push(Number(match[1]));
    signedOut ||= tail.includes('event: signed-out');
    // Long enough for a fact that is cut in two, too short to hold one that was counted.
    const last = tail.lastIndexOf('"redundancySentence"');
    tail = last >= 0 && !/"generation":\d{6}/.test(tail.slice(last)) ? tail.slice(last) : tail.slice(-19);
    waiting = waiting.filter((w) => {
      if (!w.test()) return true;
      w.resolve();
      return false;
    });
  });
  return {
    socket,
    generations: () => generations,
    signedOut: () => signedOut,
    until: (test: () => boolean) => new Promise<void>((resolve) => (test() ? resolve() : waiting.push({ test, resolve }))),
  };
}

const FIRST = 100_000;
const numbered = (n: number, filler = ''): Snapshot => ({
  ...duplex(),
  generation: FIRST + n,
  timeline: filler === '' ? [] : [{ at: NOW, atMs: 0, coServer: 'A', severity: 'info', row: null, text: filler }],
});

t.test('the codec: events in pieces, foreign lines, no endless one', async (t) => {
  const decode = eventDecoder();
  const text = `: hello\n\n${encodeEvent('snapshot', '{"a":1}')}data: x\n\n`;
  const seen = [...text].flatMap((c) => decode(c));
  t.strictSame(seen, [
    { event: 'snapshot', data: '{"a":1}' },
    { event: 'message', data: 'x' },
  ]);
  t.throws(() => decode(`data: ${'x'.repeat(9 * 1024 * 1024)}`), /more than/);
});

t.test('a storm of changes: at most five pictures a second, the last change arrives, silence is broken each second', async (t) => {
  const h = await harness({ first: numbered(0) });
  t.teardown(() => h.close());
  const client = await liveClient(h.port, await signIn(h.port));
  await client.until(() => client.generations().length > 0);
  const startedAt = performance.now();
  let n = 0;
  const storm = setInterval(() => h.set(numbered(++n)), 2);
  await client.until(() => client.generations().length >= 6);
  clearInterval(storm);
  t.ok(performance.now() - startedAt > 900, `five more pictures took ${Math.round(performance.now() - startedAt)} ms`);
  await client.until(() => client.generations().at(-1) === FIRST + n);
  const count = client.generations().length;
  await client.until(() => client.generations().length > count);
  t.equal(client.generations().at(-1), FIRST + n, 'the same picture again as a sign of life');
  client.socket.destroy();
});

t.test('a slow client costs one picture and gets the newest', async (t) => {
  const filler = 'x'.repeat(3 * 1024 * 1024);
  const h = await harness({ first: numbered(0, filler) });
  t.teardown(() => h.close());
  const cookie = await signIn(h.port);
  const slow = await liveClient(h.port, cookie);
  const quick = await liveClient(h.port, cookie);
  const dead = await liveClient(h.port, cookie);
  t.teardown(() => dead.socket.destroy());
  await slow.until(() => slow.generations().length > 0);
  await dead.until(() => dead.generations().length > 0);
  slow.socket.pause();
  dead.socket.pause();
  const rounds = 12;
  for (let n = 1; n <= rounds; n++) {
    h.set(numbered(n, filler));
    await quick.until(() => quick.generations().at(-1) === FIRST + n);
  }
  const before = process.memoryUsage().rss;
  slow.socket.resume();
  await slow.until(() => slow.generations().at(-1) === FIRST + rounds);
  const got = slow.generations();
  // What the sockets' buffers held on the way, the one that was being written, and the newest: not all thirteen.
  t.ok(
    got.length <= 8,
    `${got.length} of ${rounds + 1} pictures: ${got.map((g) => g - FIRST).join(' ')}, rss ${Math.round(before / 1e6)} MB`,
  );
  t.strictSame(
    got,
    [...got].sort((a, b) => a - b),
    'never an older one after a newer',
  );
  slow.socket.destroy();
  quick.socket.destroy();
  t.equal(h.listeners.size, 1, 'the one that takes nothing is still there');
  const ended = h.idle();
  h.sleep(31_000);
  h.set(numbered(rounds + 1));
  await ended;
  t.equal(h.listeners.size, 0, 'and is dropped after half a minute');
});

t.test('nobody looks: nothing is listened to; too many look: refused; a session ends: the stream ends', async (t) => {
  const h = await harness({ first: numbered(0) });
  t.teardown(() => h.close());
  t.equal(h.listeners.size, 0);
  const cookie = await signIn(h.port);
  const clients = await Promise.all(Array.from({ length: 32 }, () => liveClient(h.port, cookie)));
  await Promise.all(clients.map((c) => c.until(() => c.generations().length > 0)));
  t.equal(h.listeners.size, 1);
  const refused = await call(h.port, { path: '/api/live', headers: { cookie } });
  t.equal(refused.status, 503);
  await call(h.port, post('/api/logout', {}, { cookie }));
  h.set(numbered(1));
  await Promise.all(clients.map((c) => c.until(() => c.signedOut())));
  t.notOk(
    clients.some((c) => c.generations().includes(FIRST + 1)),
    'no picture after the sign-out',
  );
  t.equal(h.listeners.size, 0);
  for (const c of clients) c.socket.destroy();
});
