// Settings changed on CoServers that run, with real processes in two namespaces (the workload switched off: no engine): a password that no longer lets
// in, on both; a management address that is not kept, after a loss of power, and one that is. Needs root.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';

import { hashPassword } from '../../appliance/console/api/index.ts';
import { oneSnapshot } from '../../appliance/console/cli/local-socket.ts';
import { FRESH_RECORD } from '../../appliance/core/machine.ts';
import type { Snapshot } from '../../appliance/core/snapshot.ts';
import { loadConfig } from '../../appliance/runtime/load-config.ts';
import { encodeSlot } from '../../appliance/runtime/record-store.ts';
import { PROPOSED } from '../../appliance/setup/answers.ts';
import { planFiles } from '../../appliance/setup/plan.ts';
import type { Role } from '../../appliance/setup/roles.ts';
import { buildBundle } from '../../image/bundle/build.ts';
import { enterNamespace, ip, OtherEnd } from '../unit/drivers/ethernet/namespace.ts';
import { PATIENCE_MS, type Product, Products, until as untilSeen } from './product-process.ts';
import { cable, type Name, nameNics } from './setup-pair.ts';

type Tap = typeof t;

// Slow machines: a busy one needs many times what an idle one does.
t.setTimeout(1_800_000);
enterNamespace(import.meta.url);

const PAIR_ID = '3c'.repeat(16);
const PORT = 8443;
const OLD = 'lamp-river-cheese';
const NEW = 'bottle-cloud-seven';
const root = mkdtempSync(join(tmpdir(), 'twinstep-settings-'));
const b = await OtherEnd.open();
// As the image has it: with the page, without which no web console opens.
const { program } = await buildBundle({ outDirectory: join(root, 'dist') });
const products = new Products(b, program);
t.teardown(() => {
  products.kill();
  b.close();
  rmSync(root, { recursive: true, force: true });
});
const oldHash = await hashPassword(OLD);

function configured(name: Name): string {
  const state = join(root, name, 'state');
  const uses: readonly Role[] = ['link1', 'link2', 'lan0', 'mgmt0'];
  const nics = uses.map((_, i) => ({
    number: i + 1,
    name: `port${i + 1}`,
    mac: `52:54:00:00:${name === 'A' ? 'aa' : 'bb'}:0${i + 1}`,
    driver: null,
    bus: null,
    speedMbps: null,
    carrier: true,
  }));
  const files = planFiles({
    answers: {
      ...PROPOSED,
      coServer: name,
      'management.address': `192.0.2.2${name === 'A' ? 1 : 2}/24`,
      'witness.address': '192.0.2.100',
      password: oldHash,
      'guest.memoryMiB': '64',
      'guest.diskMiB': '16',
      'guest.disk': join(state, 'disks/guest'),
    },
    nics,
    roles: Object.fromEntries(nics.map((n, i): [string, Role] => [n.mac, uses[i] ?? 'none'])),
    pairId: PAIR_ID,
    machine: { kvm: false, watchdog: '', bmc: '', serial: '' },
    partner: { managementAddress: `192.0.2.2${name === 'A' ? 2 : 1}`, handOver: null },
    stateFolder: state,
    runFolder: join(root, name, 'run'),
  });
  for (const path of ['state', 'log', 'disks']) mkdirSync(join(state, path), { recursive: true });
  for (const { path, text } of files) writeFileSync(join(state, path), text.replace('port: 443', `port: ${PORT}`), { mode: 0o600 });
  writeFileSync(join(state, 'state/pair.key'), `${'a7'.repeat(32)}\npair ${PAIR_ID}\n`, { mode: 0o600 });
  const slot = encodeSlot(1n, { ...FRESH_RECORD, generation: 5, standing: name === 'A' ? 'simplex' : 'outdated', workloadOff: true });
  writeFileSync(join(state, 'state/record'), Buffer.concat([slot, slot]), { mode: 0o600 });
  nameNics(b, name, readFileSync(join(state, 'nics'), 'utf8'));
  return state;
}

const configFile = (name: Name): string => join(root, name, 'state/config.yaml');
const product = (name: Name): Product => products.start(name, 'run', '--config', configFile(name));

const until = (what: string, name: Name, product: Product, fits: (s: Snapshot) => boolean): Promise<Snapshot> =>
  untilSeen(what, join(root, name, 'run/console.sock'), product, fits);

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: { reason?: string; detail?: { text?: string } };
}

function web(host: string, path: string, body?: object, cookie = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'x-twinstep-console': '1', cookie };
    const call = request({ host, port: PORT, path, method: body ? 'POST' : 'GET', headers, rejectUnauthorized: false, agent: false });
    call.on('error', reject);
    call.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(text) as Answer['body'] }),
      );
    });
    call.end(body && JSON.stringify(body));
  });
}

/** A process that has just begun says who it is on its socket before its web console listens. */
async function signIn(host: string, password: string): Promise<Answer> {
  for (const end = Date.now() + PATIENCE_MS; ; await pause(200)) {
    const answer = await web(host, '/api/login', { password }).catch((error: NodeJS.ErrnoException) => error);
    if (!(answer instanceof Error)) return answer;
    if (answer.code !== 'ECONNREFUSED' || Date.now() > end) throw answer;
  }
}
const cookieOf = ({ headers }: Answer): string => headers['set-cookie']?.[0]?.split(';')[0] ?? '';

// A server reaches its own addresses by it.
ip('link', 'set', 'lo', 'up');
b.run('ip', 'link', 'set', 'lo', 'up');
cable(b, [
  ['A1', 'B1'],
  ['A2', 'B2'],
  ['A3', 'B3'],
  ['A4', 'B4'],
]);
const [stateA, stateB] = [configured('A'), configured('B')];
const [A, B, MOVED] = ['192.0.2.21', '192.0.2.22', '192.0.2.31'];
let onA = product('A');
const onB = product('B');
const logs = [() => onA.said(), () => onB.said()];
const socket = join(root, 'A/run/console.sock');

t.test('a new password: the old one lets nobody in any more, on either CoServer', async (t) => {
  await until('both links are up', 'A', onA, (s) => s.links.every((l) => l.up) && s.coServers.every((c) => c.present));
  await until('B hears A', 'B', onB, (s) => s.coServers.every((c) => c.present));
  const [before, there] = await Promise.all([signIn(A, OLD), signIn(B, OLD)]);
  t.strictSame([before.status, there.status], [200, 200]);
  const wrong = products.start('A', 'settings', 'password', '--socket', socket);
  wrong.child.stdin?.end(`no-such-password\n${NEW}\n${NEW}\n`);
  t.equal(await wrong.ended, 1, wrong.said());
  t.match(wrong.said(), /present password is another one/);
  const change = products.start('A', 'settings', 'password', '--socket', socket);
  change.child.stdin?.end(`${OLD}\n${NEW}\n${NEW}\n`);
  t.equal(await change.ended, 0, change.said());
  t.match(change.said(), /The new password counts\. CoServer B has it too\./);
  for (const [host, answer] of [
    [A, before],
    [B, there],
  ] as const) {
    t.equal((await web(host, '/api/snapshot', undefined, cookieOf(answer))).status, 401, `${host}: signed out`);
    t.equal((await signIn(host, OLD)).status, 401);
    t.equal((await signIn(host, NEW)).status, 200);
  }
  t.equal(loadConfig(configFile('A')).console.passwordHash, loadConfig(configFile('B')).console.passwordHash);
  t.not(loadConfig(configFile('A')).console.passwordHash, oldHash);
  const list = products.start('A', 'settings', '--socket', socket);
  t.equal(await list.ended, 0);
  t.match(list.said(), /management: Address in the network[\s\S]*address=192\.0\.2\.21\/24/);
  for (const said of [wrong.said(), change.said(), list.said()]) t.notMatch(said, new RegExp(`${OLD}|${NEW}|argon2`));
  const secret = products.start('A', 'settings', 'password', '--set', `new=${NEW}`, '--socket', socket);
  t.equal(await secret.ended, 2);
  t.match(secret.said(), /an argument could be seen by others/);
});

/** Asks at the web console, and waits until the process has ended to be started again. */
async function move(t: Pick<Tap, 'equal' | 'match'>, host: string, address: string): Promise<void> {
  const cookie = cookieOf(await signIn(host, NEW));
  const answer = await web(host, '/api/settings/management', { values: { address } }, cookie);
  t.equal(answer.status, 200, JSON.stringify(answer.body));
  t.match(answer.body.detail?.text, new RegExp(`https://${address.split('/')[0]}:${PORT}/.*within two minutes`));
  t.equal(await onA.ended, 0, onA.said());
  logs.push(onA.said);
  onA = product('A');
}

const addressesOf = (): string => ip('-o', '-4', 'addr', 'show', 'dev', 'mgmt0');

t.test('a new management address: gone by a loss of power, kept by a word at the new one', async (t) => {
  await move(t, A, `${MOVED}/25`);
  await until('it is on trial', 'A', onA, (s) => s.attention.some((a) => a.kind === 'address'));
  t.equal((await signIn(MOVED, NEW)).status, 200);
  t.match(addressesOf(), /192\.0\.2\.31\/25/);
  t.notMatch(addressesOf(), /192\.0\.2\.21/);
  await t.rejects(signIn(A, NEW), 'nobody is at the old one');
  onA.child.kill('SIGKILL');
  await onA.ended;
  logs.push(onA.said);
  onA = product('A');
  const back = await until('it is back', 'A', onA, (s) => s.timeline.some((e) => /192\.0\.2\.31\/25 was not kept/.test(e.text)));
  t.notOk(back.attention.some((a) => a.kind === 'address'));
  t.equal((await signIn(A, NEW)).status, 200);
  t.match(addressesOf(), /192\.0\.2\.21\/24/);
  t.notMatch(addressesOf(), /192\.0\.2\.31/);
  await until('both links are up', 'A', onA, (s) => s.links.every((l) => l.up) && s.coServers.every((c) => c.present));

  await move(t, A, `${MOVED}/24`);
  await until('it is on trial', 'A', onA, (s) => s.attention.some((a) => a.kind === 'address'));
  const cookie = cookieOf(await signIn(MOVED, NEW));
  const kept = await web(MOVED, '/api/actions/keep-management-address', {}, cookie);
  t.equal(kept.status, 200, JSON.stringify(kept.body));
  const told = await until('B is told', 'A', onA, (s) =>
    s.timeline.some((e) => /CoServer B knows the management address 192\.0\.2\.31/.test(e.text)),
  );
  t.notOk(told.attention.some((a) => a.kind === 'address'));
  t.match(loadConfig(configFile('B')), { management: { peer: MOVED }, console: { urls: { A: `https://${MOVED}/` } } });
  const other = await until('B shows it', 'B', onB, (s) => s.consoles?.some((c) => c.url === `https://${MOVED}/`) === true);
  t.ok(other);
  onA.child.kill('SIGKILL');
  await onA.ended;
  logs.push(onA.said);
  onA = product('A');
  await until('it stays after another start', 'A', onA, (s) => s.coServers.some((c) => c.name === 'A' && c.phase !== ''));
  t.equal((await signIn(MOVED, NEW)).status, 200);
});

t.test('no password, hash or key in a log, a history or a picture', async (t) => {
  const pictures = await Promise.all((['A', 'B'] as const).map((n) => oneSnapshot(join(root, n, 'run/console.sock'))));
  const files = [stateA, stateB].flatMap((s) => ['history.jsonl', 'events.jsonl', 'settings.json'].map((f) => join(s, 'state', f)));
  const texts = [...logs.map((said) => said()), JSON.stringify(pictures), ...files.map((f) => textOf(f))];
  for (const text of texts) t.notMatch(text, new RegExp(`${OLD}|${NEW}|argon2|a7a7a7`));
  t.match(textOf(join(stateA, 'state/history.jsonl')), /password was changed, asked at the local socket/);
  for (const { child, ended } of [onA, onB]) {
    child.kill('SIGKILL');
    await ended;
  }
});

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
