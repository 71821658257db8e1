// The first start of two servers, as processes: cables right and wrong, pairing by the code on both screens, files on both; and without people. Needs root.
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { oneSnapshot } from '../../appliance/console/cli/local-socket.ts';
import { loadConfig, loadPairKey } from '../../appliance/runtime/load-config.ts';
import { enterNamespace, OtherEnd } from '../unit/drivers/ethernet/namespace.ts';
import { cable, type Name, nameNics, nicOf, run, Server } from './setup-pair.ts';

// Slow machines: a busy one needs many times what an idle one does.
t.setTimeout(1_800_000);
enterNamespace(import.meta.url);

const root = mkdtempSync(join(tmpdir(), 'twinstep-setup-'));
const b = await OtherEnd.open();
const servers: Server[] = [];
t.afterEach(() => end(...servers));
t.teardown(async () => {
  b.close();
  rmSync(root, { recursive: true, force: true });
});

const PASSWORD = 'lamp-river-cheese';
const STRAIGHT = [
  ['A1', 'B1'],
  ['A2', 'B2'],
  ['A3', 'B3'],
  ['A4', 'B4'],
] as const;

async function start(name: Name, ...more: string[]): Promise<Server> {
  const server = await Server.start(name, join(root, `${name}-${servers.length}`), b, { more });
  servers.push(server);
  return server;
}

async function end(...some: Server[]): Promise<void> {
  for (const server of some) await server.kill();
}

/** From the first page to that of the cables, with the uses as in the pictures: link 1, link 2, guest network, management. */
async function toCables(server: Server): Promise<void> {
  await server.at(/which server is this\?/, `${server.name.toLowerCase()}\r`);
  await server.until(/network ports/);
  for (const letter of ['link 1', 'link 2', 'g', 'm']) {
    // 'l' goes from link to link: 'none' first, so that the next is link 1.
    server.type(letter.startsWith('link') ? (letter === 'link 1' ? 'nl' : 'nll') : letter);
    server.type('\r');
  }
  await server.until(/First start: cables/);
}

t.test('cables: right, crossed, swapped, looped', async (t) => {
  cable(b, STRAIGHT);
  const [onA, onB] = await Promise.all([start('A'), start('B')]);
  await Promise.all([toCables(onA), toCables(onB)]);
  for (const server of [onA, onB]) {
    await server.until(/\[ok\] Link 1: port 1 here is connected to port 1 there\./);
    await server.until(/\[ok\] Link 2: port 2 here is connected to port 2 there\./);
  }
  cable(b, [
    ['A1', 'B2'],
    ['A2', 'B1'],
    ['A3', 'B3'],
    ['A4', 'B4'],
  ]);
  await onA.until(/Crossed: port 1 here is connected to port 2 there \(link 1 here, link 2 there\)/);
  await onB.until(/Crossed: port 2 here is connected to port 1 there/);
  cable(b, [
    ['A1', 'B1'],
    ['A2', 'B3'],
    ['A3', 'B2'],
    ['A4', 'B4'],
  ]);
  await onA.until(/Swapped: port 2 here is connected to port 3 there \(link 2 here, guest network there\)/);
  await onB.until(/Swapped: port 2 here is connected to port 3 there/);
  cable(b, [
    ['A1', 'B1'],
    ['A2', 'A3'],
    ['A4', 'B4'],
  ]);
  await onA.until(/Port 2 and port 3 of this server are connected to each other/);
  await onB.until(/Port 2 \(link 2\) has no carrier/);
  onA.type('\r');
  await onA.until(/Not yet: put right what is marked/);
  cable(b, STRAIGHT);
  await onA.until(
    /\[ok\] Link 1: port 1 here is connected to port 1 there\. \[ok\] Link 2: port 2 here is connected to port 2 there\.(?!.*(Not yet|\[!!\]))/,
  );
  t.pass('nothing of what was wrong is said any more');
  await end(onA, onB);
});

t.test('two servers with one identity, and two with one letter', async (t) => {
  cable(b, STRAIGHT);
  const same = ['--identity', 'ab'.repeat(16)];
  const twins = await Promise.all([start('A', ...same), start('B', ...same)]);
  await Promise.all(twins.map(toCables));
  for (const server of twins) await server.until(/Another server on port \d has the identity of this one \(abababab\)/);
  await end(...twins);
  const [onA, onB] = await Promise.all([start('A'), start('B')]);
  await onB.at(/which server is this\?/, 'a\r');
  await onB.until(/network ports/);
  await toCables(onA);
  await onA.until(/The other server says that it is CoServer A too: choose B on one of the two\./);
  t.pass('named');
  await end(onA, onB);
});

t.test('from the first page to the files of both; nothing secret is said', async (t) => {
  cable(b, STRAIGHT);
  const [onA, onB] = await Promise.all([start('A'), start('B')]);
  await Promise.all([toCables(onA), toCables(onB)]);
  for (const server of [onA, onB]) await server.at(/\[ok\] Link 1.*\[ok\] Link 2/, '\r');
  const code = (await onA.until(/shows the code (\d{6})/))[1] ?? '';
  t.equal((await onB.until(/shows the code (\d{6})/))[1], code, 'one code');
  onA.type('y\r');
  await onA.until(/Confirmed here/);
  t.notOk(existsSync(join(onA.folder, 'state/state/pair.key')), 'one confirmation is not enough');
  onB.type('y\r');
  for (const server of [onA, onB]) {
    await server.at(/Fingerprint of the key/, '\r');
    await server.at(/are the two alike/, '\r');
    await server.at(/network of the operators/, `192.0.2.2${server.name === 'A' ? 1 : 2}/24\r192.0.2.1\r`);
    await server.until(/witness and power switch/);
    if (server.name === 'A') {
      server.type('192.0.2.100\r\r\r');
      await server.at(/First start: password/, `${PASSWORD}\r${PASSWORD}\r`);
    } else {
      await server.at(/192\.0\.2\.100/, '\r\r\r');
      await server.at(/As on the other server < yes >/, '\r');
    }
    await server.at(/First start: clock/, '\r');
    await server.at(/the guest and its disk.*room for/, '\r\r\r\r\x7f\x7f\x7f\x7f16\r\r');
    await server.at(/First start: summary.*CoServer [AB], address/, '\r');
  }
  t.strictSame(await Promise.all([onA.ended, onB.ended]), [0, 0], `${onA.log}\n${onB.log}`);
  const configs = [onA, onB].map((s) => loadConfig(join(s.folder, 'state/config.yaml')));
  const keys = [onA, onB].map((s) => loadPairKey(join(s.folder, 'state/state/pair.key'), configs[0]?.pair.id).toString('hex'));
  t.equal(keys[0], keys[1], 'one key');
  t.equal(configs[0]?.pair.id, configs[1]?.pair.id);
  t.strictSame(
    configs.map((c) => c.management),
    [
      { nic: 'mgmt0', address: '192.0.2.21', peer: '192.0.2.22' },
      { nic: 'mgmt0', address: '192.0.2.22', peer: '192.0.2.21' },
    ],
  );
  t.equal(configs[0]?.console.passwordHash, configs[1]?.console.passwordHash);
  t.strictSame(configs[0]?.workload.disk.sizeMiB, 16);
  t.match(
    onA.file('nics'),
    /^link1 \S+ 169\.254\.76\.1\/30\nlink2 \S+ 169\.254\.77\.1\/30\nlan0 \S+ -\nmgmt0 \S+ 192\.0\.2\.21\/24 192\.0\.2\.1\n$/,
  );
  for (const server of [onA, onB]) {
    for (const file of ['config.yaml', 'nics', 'state/pair.key'])
      t.equal(statSync(join(server.folder, 'state', file)).mode & 0o077, 0, file);
    t.notOk(
      server.log.includes(PASSWORD) || server.seen.join().includes(PASSWORD) || server.log.includes('argon2id'),
      'no secret in log or screen',
    );
    t.notOk(server.log.includes(keys[0] ?? '?'));
    nameNics(b, server.name, server.file('nics'));
  }
  // The product, with what was written: heartbeats are authentic, so both have the one key.
  const runs = [run(b, onA), run(b, onB)];
  try {
    await upOnBothLinks(join(onA.folder, 'run/console.sock'), () => runs.map((r) => r.said()).join('\n'));
    t.pass('each hears the other on both links');
  } finally {
    for (const { child } of runs) child.kill('SIGKILL');
    for (const { child } of runs) if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
});

async function upOnBothLinks(socket: string, said: () => string): Promise<void> {
  for (const end = Date.now() + 300_000; ; ) {
    const links = await oneSnapshot(socket).then(
      (s) => s.links,
      () => [],
    );
    if (links.length === 2 && links.every((l) => l.up)) return;
    if (Date.now() > end) throw new Error(`links: ${JSON.stringify(links)}\n${said()}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

t.test('without people: two answer files with one secret', async (t) => {
  cable(b, [
    ['A1', 'B1'],
    ['A2', 'B2'],
    ['A3', 'B4'],
    ['A4', 'B3'],
  ]);
  const answers = (name: Name, secret: string): string => {
    const path = join(root, `${name}-answers.yaml`);
    const ports = name === 'A' ? [1, 2, 3, 4] : [1, 2, 4, 3];
    const [link1, link2, guest, management] = ports.map((n) => nicOf(`${name}${n}`));
    writeFileSync(
      path,
      `coServer: ${name}\npairing:\n  secret: ${secret}\nports: { link1: ${link1}, link2: ${link2}, guest: ${guest}, management: ${management} }\n` +
        `management:\n  address: 192.0.2.2${name === 'A' ? 1 : 2}/24\nwitness:\n  address: 192.0.2.100\npassword: ${PASSWORD}\nguest:\n  memoryMiB: 64\n  diskMiB: 16\n`,
    );
    return path;
  };
  const other = await start('A', '--answers', answers('A', '12'.repeat(16)));
  const wrong = await start('B', '--answers', answers('B', '34'.repeat(16)));
  // Whoever finds it first says so, and the other one hears it.
  for (const server of [other, wrong]) await server.until(/another pairing\.secret|says that the codes differ/);
  await Promise.any([other, wrong].map((server) => server.untilLog(/knows another secret/)));
  t.notOk(existsSync(join(other.folder, 'state/config.yaml')), 'nothing is written');
  await end(other, wrong);
  const [onA, onB] = await Promise.all([
    start('A', '--answers', answers('A', 'cd'.repeat(16))),
    start('B', '--answers', answers('B', 'cd'.repeat(16))),
  ]);
  t.strictSame(await Promise.all([onA.ended, onB.ended]), [0, 0], `${onA.log}\n${onB.log}\n${onA.screen().join('\n')}`);
  const configs = [onA, onB].map((s) => loadConfig(join(s.folder, 'state/config.yaml')));
  t.equal(configs[0]?.pair.id, configs[1]?.pair.id);
  for (const server of [onA, onB]) t.notOk(server.log.includes(PASSWORD) || server.log.includes('cdcd'), 'no secret in the log');
});

t.test('an answer file that is wrong, and is put right', async (t) => {
  cable(b, STRAIGHT);
  const path = join(root, 'wrong.yaml');
  writeFileSync(path, 'coServer: A\nmanagment:\n  address: 192.0.2.21/24\n');
  const onA = await start('A', '--answers', path);
  await onA.until(/wrong\.yaml: line 2: there is no key 'managment'/);
  mkdirSync(join(onA.folder, 'state/state'), { recursive: true });
  writeFileSync(path, `coServer: A\nmanagement:\n  address: 192.0.2.21/24\nwitness: { address: 192.0.2.100 }\npassword: ${PASSWORD}\n`);
  await onA.until(/Waiting to hear the other server on two ports/);
  writeFileSync(join(onA.folder, 'state/config.yaml'), 'coServer: A\n');
  t.equal(await onA.ended, 0, 'a configuration that somebody puts there ends it');
});
