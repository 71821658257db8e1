// Two gates joined by the real channel, over two links on the loopback: from recording to takeover.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import type { GateStatus } from '../../appliance/gate/api.ts';
import { type GateThread, startGateThread } from '../unit/appliance/gate/gate-threads.ts';
import { arpFrame, framed, GUEST_MAC, ipv4Frame, labelOf, OTHER_MAC, unframed } from '../unit/appliance/gate/guest-frames.ts';

async function until(g: GateThread, what: string, wanted: (s: GateStatus) => boolean): Promise<GateStatus> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const status = await g.gate.call('status', {});
    if (wanted(status)) return status;
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}; ${JSON.stringify(status)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

t.test('the partner records the inputs, and feeds those that no checkpoint covers', async (t) => {
  const pairKey = randomBytes(32);
  // Addresses of this process alone: tests run beside each other.
  const address = (link: number, side: number) => `127.${100 + link}.${process.pid & 0xff}.${((process.pid >> 8) & 0x7f) * 2 + side}`;
  const links = (own: number) => [0, 1].map((l) => ({ localAddress: address(l, own), remoteAddress: address(l, 1 - own) }));
  const a = startGateThread(t, { stream: 'network', side: 'A', links: links(0), pairKey });
  const b = startGateThread(t, { stream: 'network', side: 'B', links: links(1), pairKey });
  await Promise.all([a.gate.call('open', {}), b.gate.call('open', {})]);
  await b.gate.call('setMode', { mode: 'standby' });
  await a.gate.call('setMode', { mode: 'holding' });
  const engines = [connect(a.setup.socketPath), connect(b.setup.socketPath)] as const;
  await Promise.all(engines.map((e) => once(e, 'connect')));
  engines[0].resume();

  engines[0].write(framed(arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1')));
  const send = (n: number) => a.lan.postMessage(framed(ipv4Frame(GUEST_MAC, OTHER_MAC, '10.77.0.1', '10.77.0.10', n)));
  a.interval.current = 1;
  // Until the channel is up inputs are not recorded: the first that is shows that it is.
  let n = 0;
  while ((await b.gate.call('status', {})).recordedFrames === 0) {
    send(++n);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await until(b, 'the addresses are told', (s) => s.addresses.ipv4.length === 1);
  await until(a, 'all is recorded or skipped', (s) => s.framesIn === n);
  const skipped = (await a.gate.call('status', {})).drops.unrecorded;
  await until(b, 'what was recorded has arrived', (s) => s.recordedFrames === n - skipped);
  await b.memory.call('commit', { interval: 2 });
  t.equal((await b.gate.call('status', {})).recordedFrames, 0);
  t.comment(`${skipped} inputs before the channel was up`);
  a.interval.current = 2;
  for (let i = 100; i < 150; i++) send(i);
  a.interval.current = 3;
  for (let i = 150; i < 200; i++) send(i);
  await until(b, 'a hundred inputs are recorded', (s) => s.recordedFrames === 100);

  // The primary's server loses its power.
  await a.end();
  const fed: number[] = [];
  const all = new Promise<void>((resolve) => {
    engines[1].on('data', (d: Buffer) => {
      fed.push(...unframed(d).map(labelOf));
      if (fed.length === 100) resolve();
    });
  });
  const announced = once(b.lan, 'message');
  t.match(await b.gate.call('takeOver', {}), { fedFrames: 100, addresses: { mac: GUEST_MAC, ipv4: ['10.77.0.10'] } });
  await all;
  t.same(
    fed,
    Array.from({ length: 100 }, (_, i) => 100 + i),
  );
  const [first] = (await announced) as [Uint8Array];
  t.same(
    unframed(Buffer.from(first)).map((f) => f.toString('hex', 12, 14)),
    ['8035', '0806', '0806'],
  );
  for (const e of engines) e.destroy();
});
