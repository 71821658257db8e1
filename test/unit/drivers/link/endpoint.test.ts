// How long A waits for a handshake: a host that is slow, and lives, gets the time that it needs.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test as T } from 'tap';
import { createEndpoint } from '../../../../drivers/link/endpoint.ts';

t.setTimeout(120_000);
const KEY = Buffer.alloc(32, 9);
const B = '127.0.0.2';
/** A's first patience in these tests; what B says on its way to A arrives ten times later. */
const PATIENCE_MS = 30;
const LATE_MS = 300;

/** In front of B: what A says arrives at once, what B says is late. */
async function slowWay(t: T, port: number): Promise<{ address: string; port: number }> {
  const way = createServer((near) => {
    const far = connect(port, B);
    near.on('data', (piece) => far.write(piece));
    far.on('data', (piece) => setTimeout(() => near.writable && near.write(piece), LATE_MS));
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => undefined).on('close', () => other.destroy());
  });
  way.listen(0, '127.0.0.3');
  await once(way, 'listening');
  t.teardown(() => way.close());
  const address = way.address() as AddressInfo;
  return { address: address.address, port: address.port };
}

t.test('a partner whose handshake takes longer than A waits at first is given longer, and that is kept', async (t) => {
  const free = createServer().listen(0, B);
  await once(free, 'listening');
  const { port } = free.address() as AddressInfo;
  free.close();
  await once(free, 'close');
  const b = createEndpoint(
    'B',
    { localAddress: B, remoteAddress: '127.0.0.1', port, key: KEY },
    {
      onSocket: (socket) => socket.on('error', () => undefined),
      onStranger: (_, message) => t.fail(message),
      onProblem: (message) => t.fail(message),
    },
  );
  b.open(0);
  t.teardown(() => b.shut());
  const way = await slowWay(t, port);
  const problems: string[] = [];
  let connected = Promise.withResolvers<Socket>();
  const a = createEndpoint(
    'A',
    { localAddress: '127.0.0.1', remoteAddress: way.address, port: way.port, key: KEY, patienceMs: PATIENCE_MS },
    {
      onSocket: (socket) => connected.resolve(socket),
      onStranger: (_, message) => t.fail(message),
      onProblem: (message) => problems.push(message),
    },
  );
  t.teardown(() => a.shut());
  a.open(0);
  (await connected.promise).destroy();
  const finished = problems.filter((text) => text.includes('did not finish the handshake within'));
  t.ok(finished.length >= 2, `it was tried again: ${problems.join('; ')}`);
  t.match(finished[0], /within 0\.03 s/);
  t.match(finished[1], /within 0\.06 s/, 'twice as long each time');

  const known = problems.length;
  connected = Promise.withResolvers<Socket>();
  a.open(0);
  (await connected.promise).destroy();
  t.notOk(
    problems.slice(known).some((text) => /within 0\.0/.test(text)),
    'it does not begin anew with the first patience',
  );
});

t.test('one that connects and says nothing is no stranger: B only closes it', async (t) => {
  const free = createServer().listen(0, B);
  await once(free, 'listening');
  const { port } = free.address() as AddressInfo;
  free.close();
  await once(free, 'close');
  const strangers: string[] = [];
  const b = createEndpoint(
    'B',
    { localAddress: B, remoteAddress: '127.0.0.1', port, key: KEY, patienceMs: PATIENCE_MS },
    {
      onSocket: () => t.fail('no handshake'),
      onStranger: (_, message) => strangers.push(message),
      onProblem: (message) => t.fail(message),
    },
  );
  b.open(0);
  t.teardown(() => b.shut());
  let silent = connect(port, B);
  // It listens a moment later.
  while (
    !(await once(silent, 'connect').then(
      () => true,
      () => false,
    ))
  )
    silent = connect(port, B);
  await once(silent, 'close');
  t.same(strangers, []);
});
