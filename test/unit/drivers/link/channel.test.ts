import { once } from 'node:events';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { createServer, getCACertificates, setDefaultCACertificates } from 'node:tls';
import t from 'tap';
import { consoleCertificate } from '../../../../appliance/console/api/certificate.ts';
import {
  encodeHeader,
  encodeHello,
  FRAME_ACK,
  FRAME_DATA,
  FRAME_HELLO,
  HEADER_BYTES,
  MAX_MESSAGE_BYTES,
} from '../../../../drivers/link/codec.ts';
import { createEndpoint } from '../../../../drivers/link/endpoint.ts';
import { type ChannelStats, PairChannel } from '../../../../drivers/link/index.ts';

t.setTimeout(180_000);
const KEY = Buffer.alloc(32, 7);
const LINKS = [
  { a: '127.0.0.1', b: '127.0.0.2' },
  { a: '127.0.0.3', b: '127.0.0.4' },
];
let nextPort = 17_000 + (process.pid % 1000) * 20;

function side(name: 'A' | 'B', port: number, options: { key?: Uint8Array; windowBytes?: number; links?: number } = {}): PairChannel {
  return new PairChannel({
    side: name,
    port,
    key: options.key ?? KEY,
    links: LINKS.slice(0, options.links ?? 2).map(({ a, b }) =>
      name === 'A' ? { localAddress: a, remoteAddress: b } : { localAddress: b, remoteAddress: a },
    ),
    ...(options.windowBytes ? { windowBytes: options.windowBytes } : {}),
  });
}

async function bothUp(a: PairChannel, b: PairChannel): Promise<void> {
  await Promise.all([a.isUp ? null : once(a, 'up'), b.isUp ? null : once(b, 'up')]);
}

/** Waits until `done` on any event of the channel, or polls by turns of the event loop. */
async function until(done: () => boolean, what: string, limitMs = 60_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!done()) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const connected = (s: ChannelStats) => s.links.filter((l) => l.connected).length;

function numbered(n: number, bytes = 8): Buffer {
  const b = Buffer.alloc(Math.max(bytes, 4), n);
  b.writeUInt32BE(n, 0);
  return b;
}

t.test('while each message is answered no acknowledgement goes alone, and the last one does', async (t) => {
  const port = nextPort++;
  const b = side('B', port, { links: 1 });
  const a = side('A', port, { links: 1 });
  t.teardown(() => Promise.all([a.close(), b.close()]));
  await bothUp(a, b);
  const [messages, bytes, headerBytes] = [300, 8, HEADER_BYTES];
  b.on('message', (m) => void setTimeout(() => b.send(Buffer.from(m)), 1));
  const ping = async (): Promise<void> => {
    a.send(numbered(1, bytes));
    await once(a, 'message');
  };
  for (let i = 0; i < 5; i++) await ping();
  const sent = (): number => b.stats().links[0]?.sentBytes ?? 0;
  const before = sent();
  for (let i = 0; i < messages; i++) await ping();
  const alone = (sent() - before - messages * (headerBytes + bytes)) / headerBytes;
  t.ok(alone < messages / 20, `${alone} of ${messages} went alone`);
  await until(() => a.stats().unacknowledgedBytes === 0 && b.stats().unacknowledgedBytes === 0, 'everything is acknowledged');
});

t.test('both directions in order, parts joined, empty and small messages', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const b = side('B', port);
  const a = side('A', port);
  t.teardown(() => Promise.all([a.close(), b.close()]));
  const atA: string[] = [];
  const atB: string[] = [];
  a.on('message', (m) => atA.push(m.toString()));
  b.on('message', (m) => atB.push(m.toString()));
  a.send(Buffer.from('before '), Buffer.from('up'));
  a.send();
  for (let i = 0; i < 1000; i++) a.send(Buffer.from(`a${i}`));
  for (let i = 0; i < 1000; i++) b.send(Buffer.from(`b${i}`));
  await until(() => atA.length === 1000 && atB.length === 1002, 'all messages');
  t.same(atB, ['before up', '', ...Array.from({ length: 1000 }, (_, i) => `a${i}`)]);
  t.same(
    atA,
    Array.from({ length: 1000 }, (_, i) => `b${i}`),
  );
  await until(() => a.stats().unacknowledgedBytes === 0, 'everything acknowledged without further traffic');
});

t.test('exactly once and in order while links are killed at random', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const b = side('B', port, { windowBytes: 512 * 1024 });
  const a = side('A', port, { windowBytes: 512 * 1024 });
  t.teardown(() => Promise.all([a.close(), b.close()]));
  const total = 30_000;
  const ends = [
    { from: a, to: b, received: 0, wrong: 0 },
    { from: b, to: a, received: 0, wrong: 0 },
  ];
  for (const end of ends) {
    end.to.on('message', (m) => {
      if (m.readUInt32BE(0) !== end.received) end.wrong++;
      end.received++;
    });
    end.to.on('reset', () => end.wrong++);
    let n = 0;
    const more = () => {
      while (n < total) if (!end.from.send(numbered(n++, 4 + ((n * 7919) % 3000)))) return;
    };
    end.from.on('drain', more);
    more();
  }
  let kills = 0;
  let downs = 0;
  a.on('down', () => downs++);
  const killer = setInterval(() => {
    // Often one link, sometimes both; seen by one side first, as in life.
    const victim = kills % 3 === 0 ? a : b;
    for (const link of kills % 4 === 3 ? [0, 1] : [kills % 2]) {
      victim.linkVerdict(link, false);
      setTimeout(() => victim.linkVerdict(link, true), 15);
    }
    kills++;
  }, 40);
  try {
    await until(() => ends.every((e) => e.received >= total), 'all messages', 120_000);
  } finally {
    clearInterval(killer);
  }
  t.same(
    ends.map((e) => [e.received, e.wrong]),
    [
      [total, 0],
      [total, 0],
    ],
  );
  t.ok(kills > 3, `${kills} kills`);
  const resent = [a, b].flatMap((c) => c.stats().links.map((l) => l.resentMessages)).reduce((x, y) => x + y);
  t.ok(resent > 0, `${resent} messages sent again, ${downs} times no link at all`);
});

t.test('back-pressure: false at the window, drain when there is room', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const a = side('A', port, { windowBytes: 100_000 });
  t.teardown(() => a.close());
  let accepted = 0;
  while (a.send(Buffer.alloc(10_000))) accepted++;
  t.equal(accepted, 9);
  t.equal(a.send(Buffer.alloc(1)), false);
  const drained = once(a, 'drain');
  const b = side('B', port);
  t.teardown(() => b.close());
  let received = 0;
  b.on('message', () => received++);
  await drained;
  await until(() => received === 11, 'the message for which send answered false, too');
  t.equal(a.send(Buffer.alloc(1)), true);
  t.throws(() => {
    a.linkVerdict(0, false);
    a.linkVerdict(1, false);
    while (true) a.send(Buffer.alloc(1_000_000));
  }, /without waiting for 'drain'/);
});

t.test('all links lost: down, kept, and the session goes on', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const b = side('B', port);
  const a = side('A', port);
  t.teardown(() => Promise.all([a.close(), b.close()]));
  await bothUp(a, b);
  const seen: string[] = [];
  b.on('message', (m) => seen.push(m.toString()));
  b.on('reset', () => seen.push('reset'));
  a.on('reset', () => seen.push('reset'));
  a.send(Buffer.from('1'));
  await until(() => seen.length === 1, 'the first');
  const downs = [once(a, 'down'), once(b, 'down')];
  a.linkVerdict(0, false);
  a.linkVerdict(1, false);
  t.same(await downs[0], ['the heartbeat says that the link is down']);
  await downs[1];
  t.equal(a.isUp, false);
  t.equal(b.isUp, false);
  a.send(Buffer.from('2'));
  b.send(Buffer.from('x'));
  a.linkVerdict(1, true);
  await bothUp(a, b);
  await until(() => seen.length === 2, 'the second');
  t.same(seen, ['1', '2']);
  t.same(
    a.stats().links.map((l) => l.connected),
    [false, true],
  );
});

t.test('reset ends the session on both sides, and what was sent before it is gone', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const b = side('B', port);
  const a = side('A', port);
  t.teardown(() => Promise.all([a.close(), b.close()]));
  await bothUp(a, b);
  const seen: string[] = [];
  b.on('message', (m) => seen.push(m.toString()));
  b.on('reset', (r) => {
    seen.push(r);
    b.reset(); // an answer to a reset ends nothing: no endless exchange
  });
  a.on('reset', (r) => seen.push(`a: ${r}`));
  a.send(Buffer.from('lost'));
  a.reset();
  a.send(Buffer.from('new'));
  await until(() => seen.includes('new'), 'the new session');
  t.same(seen, ['a: this side ended the session', 'the partner ended the session', 'new']);
  // Once something was received in it, it is a session to end.
  const reset = once(a, 'reset');
  b.removeAllListeners('reset').reset();
  t.same(await reset, ['the partner ended the session']);
});

t.test('resets on both sides at the same moment: both end in one common session', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const b = side('B', port);
  const a = side('A', port);
  t.teardown(() => Promise.all([a.close(), b.close()]));
  await bothUp(a, b);
  for (let round = 0; round < 20; round++) {
    const mark = `round ${round}`;
    let atA = false;
    let atB = false;
    const onA = (m: Buffer) => {
      atA ||= m.toString() === mark;
    };
    const onB = (m: Buffer) => {
      atB ||= m.toString() === mark;
    };
    a.on('message', onA);
    b.on('message', onB);
    a.send(Buffer.from('of the old session'));
    a.reset();
    b.reset();
    // A reset that crosses ours empties what was sent in between: it is announced, so send again.
    const again = () =>
      setImmediate(() => {
        a.send(Buffer.from(mark));
        b.send(Buffer.from(mark));
      });
    a.on('reset', again);
    b.on('reset', again);
    again();
    await until(() => atA && atB, mark);
    a.removeAllListeners('reset').removeListener('message', onA);
    b.removeAllListeners('reset').removeListener('message', onB);
  }
  t.pass('20 rounds');
});

t.test('a partner that restarted is a new session', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const b1 = side('B', port);
  const a = side('A', port);
  t.teardown(() => a.close());
  await bothUp(a, b1);
  a.send(Buffer.from('for the first life'));
  await until(() => a.stats().unacknowledgedBytes === 0, 'acknowledged');
  await b1.close();
  a.send(Buffer.from('never delivered'));
  const reset = once(a, 'reset');
  const b2 = side('B', port);
  t.teardown(() => b2.close());
  const seen: string[] = [];
  b2.on('message', (m) => seen.push(m.toString()));
  t.same(await reset, ['the partner restarted']);
  a.send(Buffer.from('for the second life'));
  await until(() => seen.length > 0, 'a message');
  t.same(seen, ['for the second life']);
});

t.test('another key: a stranger on both sides, nobody up, nothing thrown', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const b = side('B', port);
  const strangers = [once(b, 'stranger')];
  const a = side('A', port, { key: Buffer.alloc(32, 8) });
  strangers.push(once(a, 'stranger'));
  t.teardown(() => Promise.all([a.close(), b.close()]));
  const [atB, atA] = await Promise.all(strangers);
  t.match(atB, [/^127\.0\.0\.[13]$/, /tried to connect to 127\.0\.0\.[24]:\d+ without this pair's key/]);
  t.match(atA, [/^127\.0\.0\.[24]$/, /does not have this pair's key .* must be paired again/]);
  t.equal(a.isUp || b.isUp, false);
  let more = 0;
  a.on('stranger', () => more++);
  await new Promise((resolve) => setTimeout(resolve, 1_300));
  t.equal(more, 0, 'at most once per 5 s');
});

t.test('a certificate that this machine trusts does not stand in for the key', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const { key, cert } = await consoleCertificate({ stateDir: t.testdir(), coServer: 'A', names: ['stranger'] });
  const trusted = getCACertificates('default');
  setDefaultCACertificates([...trusted, cert]);
  t.teardown(() => setDefaultCACertificates(trusted));
  const server = createServer({ key, cert, minVersion: 'TLSv1.3' }, (socket) => socket.on('error', () => socket.destroy()));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.2', resolve));
  t.teardown(() => server.close());
  const a = side('A', port, { links: 1 });
  t.teardown(() => a.close());
  t.match(await once(a, 'stranger'), ['127.0.0.2', /does not have this pair's key \(certificate instead of a key\)/]);
  t.equal(a.isUp, false);
});

t.test('a key of the wrong size and an unknown link are refused at once', { timeout: 150_000 }, async (t) => {
  t.throws(() => side('A', 1, { key: Buffer.alloc(31) }), /the channel's key has 31 bytes instead of 32/);
  const a = side('A', nextPort++);
  t.teardown(() => a.close());
  t.throws(() => a.linkVerdict(2, true), /no link 2: there are 2/);
});

t.test('a port in use is named', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const first = side('B', port, { links: 1 });
  await until(() => first.stats().links[0]?.problem === 'not connected yet', 'listening');
  await new Promise((resolve) => setTimeout(resolve, 50));
  const second = side('B', port, { links: 1 });
  t.teardown(() => Promise.all([first.close(), second.close()]));
  t.match(await once(second, 'down'), [/port \d+ on 127\.0\.0\.2 is in use by another process/]);
  t.match(second.stats().links[0]?.problem, /is in use/);
});

t.test('the largest message passes, a larger one is refused', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const b = side('B', port);
  const a = side('A', port);
  t.teardown(() => Promise.all([a.close(), b.close()]));
  const arrived = once(b, 'message');
  const half = Buffer.alloc(MAX_MESSAGE_BYTES / 2, 0xa5);
  t.equal(a.send(half, half), false);
  const [message] = (await arrived) as [Buffer];
  t.equal(message.length, MAX_MESSAGE_BYTES);
  t.ok(message.equals(Buffer.concat([half, half])));
  t.throws(() => a.send(half, half, Buffer.alloc(1)), /a message of 16777217 bytes, allowed are 16777216/);
});

/** A partner that has the key and then misbehaves. */
async function hostile(port: number, speak: (socket: Socket) => void): Promise<{ problem: string; close(): Promise<void> }> {
  const b = side('B', port, { links: 1 });
  const endpoint = createEndpoint(
    'A',
    { localAddress: '127.0.0.1', remoteAddress: '127.0.0.2', port, key: KEY },
    {
      onSocket: (socket) => {
        socket.on('error', () => undefined);
        speak(socket);
      },
      onStranger: () => undefined,
      onProblem: () => undefined,
    },
  );
  endpoint.open(0);
  const problem = () => b.stats().links[0]?.problem ?? '';
  await until(() => !['', 'not connected yet', 'the partner closed the connection'].includes(problem()), 'a problem');
  endpoint.shut();
  return { problem: problem(), close: () => b.close() };
}

t.test('a partner with the key that breaks the protocol is cut off with the reason', { timeout: 150_000 }, async (t) => {
  const hello = (link: number, maxMessageBytes = MAX_MESSAGE_BYTES) =>
    Buffer.concat([
      encodeHeader({ type: FRAME_HELLO, length: 48, sequence: 0, acknowledged: 0 }),
      encodeHello({
        link,
        own: { incarnation: 5n, resets: 0 },
        partner: { incarnation: 0n, resets: 0 },
        receiveWindowBytes: 1000,
        maxMessageBytes,
      }),
    ]);
  /** Names B's session as B told it, then goes on. */
  const introduced = (then: Buffer) => (socket: Socket) => {
    socket.write(hello(0));
    let heard = Buffer.alloc(0);
    socket.on('data', (piece) => {
      if (heard.length >= HEADER_BYTES + 48) return;
      heard = Buffer.concat([heard, piece]);
      if (heard.length < HEADER_BYTES + 48) return;
      socket.write(
        Buffer.concat([
          encodeHeader({ type: FRAME_HELLO, length: 48, sequence: 0, acknowledged: 0 }),
          encodeHello({
            link: 0,
            own: { incarnation: 5n, resets: 0 },
            partner: { incarnation: heard.readBigUInt64BE(HEADER_BYTES + 8), resets: 0 },
            receiveWindowBytes: 1000,
            maxMessageBytes: MAX_MESSAGE_BYTES,
          }),
          then,
        ]),
      );
    });
  };
  const flood = Buffer.concat(
    [2, 3, 4].map((sequence) =>
      Buffer.concat([encodeHeader({ type: FRAME_DATA, length: 12_000_000, sequence, acknowledged: 0 }), Buffer.alloc(12_000_000)]),
    ),
  );
  const cases: [string, (socket: Socket) => void, RegExp][] = [
    ['noise', (s) => s.write(Buffer.alloc(100, 0xee)), /broke the protocol: unknown frame type 238/],
    ['data first', (s) => s.write(encodeHeader({ type: FRAME_DATA, length: 0, sequence: 1, acknowledged: 0 })), /a frame before the hello/],
    ['crossed cables', (s) => s.write(hello(1)), /link 1 here is link 2 at the partner: the cables are crossed/],
    ['small messages only', (s) => s.write(hello(0, 1000)), /takes messages of 1000 bytes only/],
    ['silence', () => undefined, /did not say hello/],
    [
      'an acknowledgement of nothing',
      introduced(encodeHeader({ type: FRAME_ACK, length: 0, sequence: 0, acknowledged: 9 })),
      /message 9 is acknowledged, the last one sent is 0/,
    ],
    ['beyond the window', introduced(flood), /wait for message 1: more than the window of 33554432/],
  ];
  for (const [name, speak, expected] of cases) {
    const { problem, close } = await hostile(nextPort++, speak);
    await close();
    t.match(problem, expected, name);
  }
});

t.test('latency and throughput on loopback (printed, not judged)', { timeout: 150_000 }, async (t) => {
  const port = nextPort++;
  const b = side('B', port);
  const a = side('A', port);
  t.teardown(() => Promise.all([a.close(), b.close()]));
  await bothUp(a, b);
  b.on('message', (m) => {
    if (m.length === 100) b.send(m);
  });
  const times: number[] = [];
  for (let i = 0; i < 500; i++) {
    const start = performance.now();
    const answered = once(a, 'message');
    a.send(Buffer.alloc(100));
    await answered;
    times.push(performance.now() - start);
  }
  times.sort((x, y) => x - y);
  const at = (p: number) => (times[Math.floor(times.length * p)] ?? 0).toFixed(3);
  t.comment(`round trip of 100 bytes: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(0.999)} ms`);
  for (const [bytes, count] of [
    [65_536, 4_000],
    [1_500, 60_000],
  ] as const) {
    let received = 0;
    const onMessage = () => received++;
    b.on('message', onMessage);
    const message = Buffer.alloc(bytes);
    const start = performance.now();
    let n = 0;
    await new Promise<void>((resolve) => {
      const more = () => {
        while (n < count) {
          n++;
          if (!a.send(message)) return;
        }
        resolve();
      };
      a.on('drain', more);
      more();
    });
    await until(() => received === count, 'the bulk', 60_000);
    const seconds = (performance.now() - start) / 1000;
    t.comment(
      `${count} x ${bytes} bytes: ${((count * bytes) / 1e6 / seconds).toFixed(0)} MB/s, ${(count / seconds / 1000).toFixed(0)} k messages/s`,
    );
    b.off('message', onMessage);
    a.removeAllListeners('drain');
  }
  t.equal(connected(a.stats()), 2);
});
