// The gate on a real NIC (veth) with the real engine and the lab's guest behind it, seen from a client on the LAN.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { framed, ipv4Frame, neighborFrame, unframed } from '../unit/appliance/gate/guest-frames.ts';
import { GateLab, GUEST_IPV4, GUEST_IPV6, GUEST_MAC, hasEngine, isRoot } from './gate-lab.ts';

// Emulated guests boot slowly on a busy machine.
t.setTimeout(300_000);

const MEBIBYTE = 1024 * 1024;
const skipEngine = hasEngine ? false : 'needs root and the pinned engine (npm start makes it)';
const skipRoot = isRoot ? false : 'needs root: network namespaces and packet sockets';

async function lab(t: { teardown(f: () => Promise<void>): void }, options: { learn?: boolean } = {}): Promise<GateLab> {
  const l = new GateLab(options);
  t.teardown(() => l.close());
  const carrier = l.event('carrier', ({ up }) => up);
  await l.gate.call('open', {});
  await carrier;
  return l;
}

/** An engine played by the test. */
async function scriptedEngine(l: GateLab): Promise<Socket> {
  const engine = connect(l.socketPath);
  await once(engine, 'connect');
  return engine;
}

t.test('a real guest', { skip: skipEngine, timeout: 300_000 }, async (t) => {
  const l = await lab(t, { learn: true });
  await l.gate.call('setMode', { mode: 'solo' });
  // As on a wire: at most 1514 bytes, checksums complete.
  l.ethtool(l.client, '-K', 'lan0', 'tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off');
  await l.boot();
  // What the client's kernel said to everybody before the engine was there.
  const { dropped } = await l.gate.call('status', {});

  await t.test('solo: reachable by IPv4 and IPv6, contents right both ways', async (t) => {
    for (const host of [GUEST_IPV4, GUEST_IPV6]) {
      t.match(await l.ask('get', host, String(3 * MEBIBYTE)), { status: 200, bytes: 3 * MEBIBYTE, wrongAt: -1 }, `down ${host}`);
      t.match(await l.ask('put', host, String(3 * MEBIBYTE)), { matches: true }, `up ${host}`);
      t.match(await l.ask('udp', host, '1'), { echo: 'datagram 0' });
    }
    const s = await l.gate.call('status', {});
    t.match(s, { mode: 'solo', engineConnected: true, dropped, problem: '', addresses: { mac: GUEST_MAC, ipv4: [GUEST_IPV4] } });
    t.ok(s.addresses.ipv6.includes(GUEST_IPV6), `IPv6 learned: ${s.addresses.ipv6}`);
  });

  await t.test('speed in solo', async (t) => {
    for (const what of ['get', 'put']) {
      const before = await l.cpuMs();
      const answer = await l.ask(what, GUEST_IPV4, String(40 * MEBIBYTE));
      const cpu = (await l.cpuMs()) - before;
      t.equal(what === 'get' ? answer.wrongAt : answer.matches, what === 'get' ? -1 : true);
      t.comment(
        `${what} 40 MiB from an emulated guest: ${answer.mbitPerS} Mbit/s, ${Math.round((cpu / 40) * 100) / 100} ms of the gate's CPU per MiB`,
      );
    }
  });

  await t.test('holding: not a byte leaves before its commit, then everything in order', async (t) => {
    await l.gate.call('setMode', { mode: 'holding' });
    t.match(await l.ask('udp', GUEST_IPV4, '1'), { echo: 'datagram 0' }, 'interval 0: not protected, passes');
    const held = l.event('outputHeld');
    l.setInterval(1);
    const before = l.received();
    const client = l.run(process.execPath, '--no-warnings', `${import.meta.dirname}/gate-client.ts`, 'udp', GUEST_IPV4, '5');
    t.same(await held, { interval: 1 });
    await l.until('five answers are held', (s) => s.heldFrames >= 5);
    t.equal(l.received(), before, 'the client got no frame at all');
    t.same(client.lines, []);
    await l.memory.call('commit', { interval: 0 });
    t.equal(l.received(), before);
    const { heldFrames } = await l.memory.call('cut', { interval: 1 });
    l.setInterval(2);
    t.ok(heldFrames >= 5);
    await l.memory.call('commit', { interval: 1 });
    await client.line(4);
    t.same(
      client.lines.map((line) => JSON.parse(line).echo),
      [0, 1, 2, 3, 4].map((i) => `datagram ${i}`),
    );
    client.child.kill('SIGKILL');
  });

  await t.test('frozen, the session ends, the arbiter grants: what was held leaves', async (t) => {
    const client = l.run(process.execPath, '--no-warnings', `${import.meta.dirname}/gate-client.ts`, 'udp', GUEST_IPV4, '2');
    await l.until('two answers are held', (s) => s.heldFrames >= 2);
    const before = l.received();
    await l.gate.call('setMode', { mode: 'frozen' });
    await l.memory.call('commit', { interval: 2 });
    l.setInterval(0);
    const late = l.run(process.execPath, '--no-warnings', `${import.meta.dirname}/gate-client.ts`, 'udp', GUEST_IPV4, '1');
    await l.until('a third answer is held', (s) => s.heldFrames >= 3);
    t.equal(l.received(), before);
    t.ok((await l.gate.call('releaseAll', {})).frames >= 3);
    await client.line(1);
    await late.line(0);
    t.match(await l.gate.call('status', {}), { mode: 'solo', heldFrames: 0, dropped });
    for (const c of [client, late]) c.child.kill('SIGKILL');
  });

  await t.test('holding with a commit every 20 ms: contents right both ways', async (t) => {
    await l.gate.call('setMode', { mode: 'holding' });
    let n = 1;
    l.setInterval(n);
    let stop = false;
    const checkpoints = (async () => {
      while (!stop) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        await l.memory.call('cut', { interval: n }).catch(() => undefined);
        l.setInterval(n + 1);
        await l.memory.call('commit', { interval: n++ });
      }
    })();
    const down = await l.ask('get', GUEST_IPV4, String(8 * MEBIBYTE));
    t.match(down, { status: 200, wrongAt: -1 });
    const up = await l.ask('put', GUEST_IPV6, String(8 * MEBIBYTE));
    t.match(up, { matches: true });
    stop = true;
    await checkpoints;
    t.comment(`held for 20 ms each: ${down.mbitPerS} Mbit/s down, ${up.mbitPerS} Mbit/s up`);
    await l.gate.call('releaseAll', {});
    t.match(await l.gate.call('status', {}), { dropped, problem: '' });
  });

  await t.test('a client that leaves checksums to its NIC, as programs on one machine do', async (t) => {
    l.ethtool(l.client, '-K', 'lan0', 'tx', 'on', 'tso', 'off', 'gso', 'off');
    for (const host of [GUEST_IPV4, GUEST_IPV6]) {
      t.match(await l.ask('put', host, String(MEBIBYTE)), { matches: true });
      t.match(await l.ask('udp', host, '1'), { echo: 'datagram 0' });
    }
    t.match(await l.gate.call('status', {}), { problem: '' });
    // With segmentation left to the NIC as well, frames above the MTU arrive: no wire brings them, and the gate says so.
    l.ethtool(l.client, '-K', 'lan0', 'tso', 'on', 'gso', 'on');
    t.match(await l.ask('put', GUEST_IPV4, String(8 * MEBIBYTE)), { matches: true });
    t.match((await l.gate.call('status', {})).problem, /^NIC 'lan0' delivered \d+ frames above its MTU/);
  });
});

t.test('1 Gbit of full frames from the engine to the LAN', { skip: skipRoot, timeout: 60_000 }, async (t) => {
  const l = await lab(t);
  await l.gate.call('setMode', { mode: 'solo' });
  const engine = await scriptedEngine(l);
  const frame = ipv4Frame(l.clientMac, GUEST_MAC, GUEST_IPV4, '10.77.0.1', 0, 1500);
  const frames = 200_000;
  const burst = framed(...Array.from({ length: 50 }, () => frame));
  const before = l.received();
  const cpuBefore = await l.cpuMs();
  const began = performance.now();
  for (let sent = 0; sent < frames; sent += 50) if (!engine.write(burst)) await once(engine, 'drain');
  const s = await l.until('everything is through', (x) => x.framesOut + x.dropped >= frames, 30_000);
  const ms = performance.now() - began;
  const cpu = (await l.cpuMs()) - cpuBefore;
  t.match(s.drops, { lanFull: 0, heldFull: 0, runts: 0 });
  t.ok(l.received() - before >= frames, 'every frame arrived');
  t.comment(`${Math.round((frames * 1514 * 8) / ms / 1000)} Mbit/s, ${Math.round((cpu * 1000 * 100) / frames) / 100} us of CPU per frame`);
  engine.destroy();
});

t.test('held, then released in one go', { skip: skipRoot, timeout: 60_000 }, async (t) => {
  const l = await lab(t);
  await l.gate.call('setMode', { mode: 'holding' });
  l.setInterval(1);
  const engine = await scriptedEngine(l);
  const held = l.event('outputHeld');
  const frames = 5000;
  const all = framed(...Array.from({ length: frames }, (_, i) => ipv4Frame(l.clientMac, GUEST_MAC, GUEST_IPV4, '10.77.0.1', i, 1500)));
  engine.write(all);
  await held;
  await l.until('all is held', (s) => s.heldFrames === frames);
  const before = l.received();
  await l.memory.call('commit', { interval: 1 });
  const s = await l.until('all has left', (x) => x.framesOut === frames);
  t.match(s.drops, { lanFull: 0, heldFull: 0, runts: 0 });
  t.ok(l.received() - before >= frames, `${l.received() - before} frames arrived`);
  engine.destroy();
});

t.test('the LAN to the guest: only what is for it, from nobody who pretends to be it', { skip: skipRoot, timeout: 60_000 }, async (t) => {
  const l = await lab(t);
  await l.gate.call('setMode', { mode: 'solo' });
  const engine = await scriptedEngine(l);
  await l.until('the engine is there', (s) => s.engineConnected);
  const seen: Buffer[] = [];
  engine.on('data', (d: Buffer) => seen.push(...unframed(d)));
  // The client asks for the guest's address (broadcast), and speaks to a neighbour that is not there.
  const asked = new Promise<Buffer>((resolve) => {
    const look = (): void => {
      const arp = seen.find((f) => f.readUInt16BE(12) === 0x0806);
      if (arp) resolve(arp);
      else engine.once('data', look);
    };
    look();
  });
  const client = l.run(process.execPath, '--no-warnings', `${import.meta.dirname}/gate-client.ts`, 'udp', GUEST_IPV4, '1');
  t.equal((await asked).toString('hex', 0, 6), 'ffffffffffff');
  t.ok(seen.every((f) => f.toString('hex', 0, 6) === GUEST_MAC.replaceAll(':', '') || ((f[0] ?? 0) & 1) === 1));
  client.child.kill('SIGKILL');
  engine.destroy();
});

t.test(
  'takeover on the wire: the client corrects its neighbours by ARP and neighbour advertisement',
  { skip: skipRoot, timeout: 60_000 },
  async (t) => {
    const l = await lab(t);
    await l.gate.call('setMode', { mode: 'standby' });
    const engine = await scriptedEngine(l);
    const claim = neighborFrame(GUEST_MAC, 136, 'fd770000000000000000000000000010', 'fd770000000000000000000000000010');
    engine.write(framed(ipv4Frame(l.clientMac, GUEST_MAC, GUEST_IPV4, '10.77.0.1', 1), claim));
    await l.until('the replica has spoken', (s) => s.drops.notOwner === 2);
    const wrong = '02:00:00:00:00:77';
    for (const address of [GUEST_IPV4, GUEST_IPV6]) l.setNeighbour(address, wrong);
    t.same([l.neighbour(GUEST_IPV4), l.neighbour(GUEST_IPV6)], [wrong, wrong]);
    const before = l.received();
    const r = await l.gate.call('takeOver', {});
    t.same(r.addresses, { mac: GUEST_MAC, ipv4: [GUEST_IPV4], ipv6: [GUEST_IPV6] });
    // RARP, two forms of ARP, a neighbour advertisement, each at 0, 50, 200 and 600 ms.
    const deadline = performance.now() + 10_000;
    while (l.received() < before + 16 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    t.equal(l.received(), before + 16);
    // The kernel verifies the advertisement's checksum and hop limit before it believes it.
    t.same([l.neighbour(GUEST_IPV4), l.neighbour(GUEST_IPV6)], [GUEST_MAC, GUEST_MAC]);
    engine.destroy();
  },
);
