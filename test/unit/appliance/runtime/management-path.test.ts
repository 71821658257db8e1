// Two real management paths on two addresses of the loopback, and between them whatever the test makes of their datagrams.
import { createSocket, type Socket } from 'node:dgram';
import t, { type Test } from 'tap';
import type { PartnerStatus } from '../../../../appliance/core/machine.ts';
import { ManagementPath, type ManagementPathSetup } from '../../../../appliance/runtime/sources/management-path.ts';
import { encodeManagement, managementKey } from '../../../../appliance/wire/management.ts';
import { OUTDATED_STATUS } from '../outdated-status.ts';

t.setTimeout(60_000);

const PORT = 9162;
const pairKey = Buffer.alloc(32, 7);

function statusOf(coServer: 'A' | 'B', revision: number): PartnerStatus {
  return { ...OUTDATED_STATUS, coServer, revision };
}

interface Side {
  path: ManagementPath;
  heard: number[];
  changes: boolean[];
  problems: string[];
}

function start(t: Test, coServer: 'A' | 'B', change: Partial<ManagementPathSetup> = {}): Side {
  const heard: number[] = [];
  const changes: boolean[] = [];
  const problems: string[] = [];
  const path = new ManagementPath({
    coServer,
    pairKey,
    address: coServer === 'A' ? '127.0.9.1' : '127.0.9.2',
    peer: coServer === 'A' ? '127.0.9.2' : '127.0.9.1',
    port: PORT,
    onStatus: (s) => heard.push(s.revision),
    onPath: (up) => changes.push(up),
    onProblem: (text) => problems.push(text),
    ...change,
  });
  t.teardown(() => path.close());
  return { path, heard, changes, problems };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within 15 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Between the two: sees every datagram, and decides which pass. */
async function relay(t: Test, pass: (from: 'A' | 'B', bytes: Buffer) => boolean) {
  const seen: { from: 'A' | 'B'; bytes: Buffer }[] = [];
  const sockets: Record<'A' | 'B', Socket> = { A: createSocket('udp4'), B: createSocket('udp4') };
  for (const to of ['A', 'B'] as const) {
    // A's datagrams for B come to 127.0.9.12, B's for A to 127.0.9.11.
    const from = to === 'A' ? 'B' : 'A';
    sockets[to].on('message', (bytes) => {
      seen.push({ from, bytes });
      if (pass(from, bytes)) deliver(to, bytes);
    });
    await new Promise<void>((resolve) => sockets[to].bind({ address: to === 'A' ? '127.0.9.11' : '127.0.9.12', port: PORT }, resolve));
    t.teardown(() => sockets[to].close());
  }
  const deliver = (to: 'A' | 'B', bytes: Buffer) => sockets[to].send(bytes, PORT, to === 'A' ? '127.0.9.1' : '127.0.9.2');
  return { seen, deliver };
}

const VIA = { A: { peer: '127.0.9.12' }, B: { peer: '127.0.9.11' } };

t.test('two CoServers hear each other, changes at once', async (t) => {
  const a = start(t, 'A');
  const b = start(t, 'B');
  a.path.say(statusOf('A', 1));
  b.path.say(statusOf('B', 1));
  await until('both hear', () => a.heard.includes(1) && b.heard.includes(1));
  t.same([a.changes, b.changes], [[true], [true]]);
  const sent = performance.now();
  a.path.say(statusOf('A', 2));
  await until('the change', () => b.heard.includes(2));
  t.comment(`a change is heard after ${(performance.now() - sent).toFixed(1)} ms`);
  const before = a.path.counters.sent;
  a.path.setAlone(true);
  await until('it talks more often', () => a.path.counters.sent >= before + 4);
  t.match(a.path.counters, { malformed: 0, otherVersion: 0, forged: 0, replayed: 0 });
});

t.test('silence of one ends the path at the other, a restart begins it anew', async (t) => {
  const a = start(t, 'A');
  const b = start(t, 'B');
  a.path.say(statusOf('A', 1));
  b.path.say(statusOf('B', 1));
  await until('both hear', () => a.path.isUp && b.path.isUp);
  b.path.close();
  await until('A notices', () => !a.path.isUp);
  t.same(a.changes, [true, false]);
  const second = start(t, 'B');
  second.path.say(statusOf('B', 5));
  await until('up again', () => a.path.isUp && second.path.isUp);
  t.equal(a.heard.at(-1), 5);
});

t.test('a restarted partner is heard, also while its earlier life still counts', async (t) => {
  const a = start(t, 'A');
  const b = start(t, 'B');
  a.path.say(statusOf('A', 1));
  b.path.say(statusOf('B', 9));
  await until('both hear', () => a.path.isUp && b.path.isUp);
  b.path.close();
  const second = start(t, 'B');
  second.path.say(statusOf('B', 1));
  await until('the new life', () => a.heard.at(-1) === 1 && second.path.isUp);
  t.same(a.changes, [true], 'without an interruption');
});

t.test('old datagrams count for nothing: of this life, of an earlier one, to an earlier one of ours', async (t) => {
  const { seen, deliver } = await relay(t, () => true);
  const a = start(t, 'A', VIA.A);
  const b = start(t, 'B', VIA.B);
  a.path.say(statusOf('A', 1));
  b.path.say(statusOf('B', 1));
  await until('both hear', () => a.path.isUp && b.path.isUp);
  const ofFirstLife = seen.filter((s) => s.from === 'B').map((s) => s.bytes);
  for (const bytes of ofFirstLife) deliver('A', bytes);
  await until('counted', () => a.path.counters.replayed >= ofFirstLife.length);
  b.path.close();
  const second = start(t, 'B', VIA.B);
  second.path.say(statusOf('B', 2));
  await until('the new life', () => a.heard.includes(2));
  const { replayed } = a.path.counters;
  for (const bytes of ofFirstLife) deliver('A', bytes);
  await until('counted', () => a.path.counters.replayed >= replayed + ofFirstLife.length);
  t.equal(a.heard.at(-1), 2, 'the life that is over does not come back');

  a.path.close();
  const other = start(t, 'A', VIA.A);
  const { accepted } = other.path.counters;
  for (const { from, bytes } of [...seen]) if (from === 'B') deliver('A', bytes);
  await until('counted', () => other.path.counters.unproven + other.path.counters.replayed >= ofFirstLife.length);
  t.equal(other.path.counters.accepted, accepted, 'they name nothing that this process has sent');
  t.equal(other.path.isUp, false);
});

t.test('repeated old datagrams do not silence the living', async (t) => {
  const { seen, deliver } = await relay(t, () => true);
  const early = start(t, 'B', VIA.B);
  early.path.say(statusOf('B', 1));
  await until('something to repeat', () => seen.length > 0);
  early.path.close();
  const old = seen[0]?.bytes ?? Buffer.alloc(0);
  const a = start(t, 'A', VIA.A);
  const b = start(t, 'B', VIA.B);
  a.path.say(statusOf('A', 1));
  b.path.say(statusOf('B', 2));
  await until('both hear', () => a.path.isUp && b.path.isUp);
  const hostile = setInterval(() => deliver('A', old), 20);
  t.teardown(() => clearInterval(hostile));
  const { accepted } = b.path.counters;
  await until('b goes on hearing', () => b.path.counters.accepted >= accepted + 5);
  t.same([a.changes, b.changes], [[true], [true]]);
  t.ok(a.path.counters.unproven > 20);
  t.ok(a.path.counters.sent < 10 + a.path.counters.unproven / 4, 'and it does not make A talk as often');
});

t.test('one way only is no path, and both ways again is one', async (t) => {
  let oneWay = false;
  await relay(t, (from) => !oneWay || from === 'B');
  const a = start(t, 'A', VIA.A);
  const b = start(t, 'B', VIA.B);
  a.path.say(statusOf('A', 1));
  b.path.say(statusOf('B', 1));
  await until('both hear', () => a.path.isUp && b.path.isUp);
  oneWay = true;
  await until('both notice', () => !a.path.isUp && !b.path.isUp);
  t.ok(a.path.counters.unproven > 0, 'A hears B, and that B does not hear it');
  oneWay = false;
  await until('up again', () => a.path.isUp && b.path.isUp);
});

t.test('strangers and noise are counted by kind', async (t) => {
  const a = start(t, 'A');
  a.path.say(statusOf('A', 1));
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  await new Promise<void>((resolve) => socket.bind({ address: '127.0.9.3', port: PORT }, resolve));
  const send = (bytes: Buffer) => socket.send(bytes, PORT, '127.0.9.1');
  const datagram = { sender: 'B' as const, incarnation: '0102030405060708', sequence: 1, echo: null, status: statusOf('B', 1) };
  const genuine = encodeManagement(datagram, managementKey(pairKey));
  await until('open', () => a.path.counters.sent > 0);
  send(Buffer.from('hello'));
  send(genuine.subarray(0, 100));
  send(encodeManagement(datagram, managementKey(Buffer.alloc(32, 8))));
  const newer = Buffer.from(genuine);
  newer.writeUInt8(2, 4);
  send(newer);
  send(encodeManagement({ ...datagram, sender: 'A' }, managementKey(pairKey)));
  send(genuine);
  await until('all counted', () => {
    const { malformed, otherVersion, forged, unproven } = a.path.counters;
    return malformed + otherVersion + forged + unproven === 6;
  });
  t.match(a.path.counters, { accepted: 0, malformed: 2, otherVersion: 1, forged: 2, unproven: 1, replayed: 0 });
  t.match(a.problems, [
    /not made with this pair's key, or was changed: 1 datagrams so far/,
    /speaks version 2 of the management path/,
    /configured as the same CoServer/,
  ]);
  t.same(a.heard, []);
});

t.test('nobody without the key can fill the log, whatever versions he names in turn', async (t) => {
  const a = start(t, 'A');
  a.path.say(statusOf('A', 1));
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  const datagram = { sender: 'A' as const, incarnation: '0102030405060708', sequence: 1, echo: null, status: statusOf('A', 1) };
  const recorded = encodeManagement(datagram, managementKey(pairKey));
  await until('open', () => a.path.counters.sent > 0);
  for (let i = 0; i < 20; i++) {
    const newer = Buffer.from(recorded);
    newer.writeUInt8(2 + i, 4);
    socket.send(newer, PORT, '127.0.9.1');
    socket.send(recorded, PORT, '127.0.9.1');
  }
  await until('all counted', () => a.path.counters.otherVersion + a.path.counters.malformed === 40);
  t.match(a.problems, [/speaks version 2 /, /configured as the same CoServer/]);
  t.equal(a.problems.length, 2, 'each kind once');
});

t.test('an address that is not there is told once and tried again; without a peer there is no path', async (t) => {
  const a = start(t, 'A', { address: '192.0.2.77' });
  a.path.say(statusOf('A', 1));
  await until('told', () => a.problems.length > 0);
  t.match(a.problems, [/the management path on 192\.0\.2\.77 is not open: .*EADDRNOTAVAIL/]);
  const none = start(t, 'B', { peer: '' });
  none.path.say(statusOf('B', 1));
  t.equal(none.path.counters.sent, 0);
});
