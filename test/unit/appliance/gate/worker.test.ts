// The gate as the main thread and the memory stream see it: a worker thread, commands, events, a real unix socket.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import t from 'tap';
import { startGateThread } from './gate-threads.ts';
import { framed, GUEST_MAC, ipv4Frame, labelOf, OTHER_MAC, unframed } from './guest-frames.ts';

const guestFrame = (n: number) => framed(ipv4Frame(OTHER_MAC, GUEST_MAC, '10.77.0.10', '10.77.0.1', n));

t.test('from closed to protected, over the ports', async (t) => {
  const s = startGateThread(t);
  await t.rejects(s.gate.call('setMode', { mode: 'solo' }), { code: 'NOT_OPEN' });
  const carrier = s.event('carrier');
  const status = s.event('status');
  await Promise.all([s.gate.call('open', {}), s.gate.call('open', {})]);
  t.same(await carrier, { up: true });
  t.match(await status, { mode: 'closed', engineConnected: false, dropped: 0 });
  await s.gate.call('setMode', { mode: 'holding' });
  s.interval.current = 1;
  const engine = connect(s.setup.socketPath);
  await once(engine, 'connect');
  const held = s.event('outputHeld');
  engine.write(guestFrame(1));
  t.same(await held, { interval: 1 });
  engine.write(Buffer.concat([guestFrame(2), guestFrame(3)]));
  t.same(await s.memory.call('cut', { interval: 1 }), { heldFrames: 3 });
  s.interval.current = 2;
  engine.write(guestFrame(4));
  t.same(await s.memory.call('cut', { interval: 2 }), { heldFrames: 4 });
  const released: Buffer[] = [];
  const three = new Promise<void>((resolve) =>
    s.lan.on('message', (m: Uint8Array) => {
      released.push(...unframed(Buffer.from(m)));
      if (released.length === 3) resolve();
    }),
  );
  await s.memory.call('commit', { interval: 1 });
  await three;
  t.same(released.map(labelOf), [1, 2, 3]);
  t.match(await s.gate.call('status', {}), { heldFrames: 1, framesOut: 3, addresses: { mac: GUEST_MAC, ipv4: ['10.77.0.10'] } });
  t.same(await s.gate.call('dropAll', {}), { frames: 1 });
  const fed = once(engine, 'data');
  s.lan.postMessage(framed(ipv4Frame(GUEST_MAC, OTHER_MAC, '10.77.0.1', '10.77.0.10', 9)));
  t.same(unframed((await fed)[0] as Buffer).map(labelOf), [9]);
  const lost = s.event('carrier');
  s.lan.postMessage(false);
  t.same(await lost, { up: false });
  engine.destroy();
});

t.test('a socket that cannot be opened: the command says why, and works when tried again', async (t) => {
  const s = startGateThread(t);
  const other = createServer();
  other.listen(s.setup.socketPath);
  await once(other, 'listening');
  await t.rejects(s.gate.call('open', {}), { code: 'EADDRINUSE', message: /another process serves/ });
  other.close();
  await once(other, 'close');
  await s.gate.call('open', {});
  t.match(await s.gate.call('status', {}), { mode: 'closed' });
});
