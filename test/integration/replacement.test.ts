// A lost CoServer is replaced, with real processes: the one that stays runs the product (its workload switched off: no engine), the new one its first
// start, on cables between two namespaces. Then the new one runs the product, and at last the old one comes back. Needs root.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { hashPassword } from '../../appliance/console/api/index.ts';
import { type DurableRecord, FRESH_RECORD } from '../../appliance/core/machine.ts';
import type { Snapshot } from '../../appliance/core/snapshot.ts';
import { loadConfig, loadPairKey } from '../../appliance/runtime/load-config.ts';
import { decodeSlot, encodeSlot } from '../../appliance/runtime/record-store.ts';
import { PROPOSED } from '../../appliance/setup/answers.ts';
import { planFiles } from '../../appliance/setup/plan.ts';
import type { Role } from '../../appliance/setup/roles.ts';
import { deriveKey } from '../../appliance/wire/keys.ts';
import { parseEnrolment } from '../../appliance/witness/enrolment.ts';
import { enterNamespace, OtherEnd } from '../unit/drivers/ethernet/namespace.ts';
import { PATIENCE_MS, type Product, Products, until as untilSeen } from './product-process.ts';
import { cable, inside, type Name, nameNics, Server } from './setup-pair.ts';

// Slow machines: a busy one needs many times what an idle one does.
t.setTimeout(1_800_000);
enterNamespace(import.meta.url);

const MAIN = new URL('../../appliance/main.ts', import.meta.url).pathname;
const PAIR_ID = '3c'.repeat(16);
const OLD_KEY = 'a7'.repeat(32);
const root = mkdtempSync(join(tmpdir(), 'twinstep-replacement-'));
const b = await OtherEnd.open();
const products = new Products(b, MAIN);
t.teardown(async () => {
  products.kill();
  b.close();
  rmSync(root, { recursive: true, force: true });
});

const passwordHash = await hashPassword('lamp-river-cheese');

/** A CoServer of a pair, as its first start has left it. */
function configured(name: Name, folder: string): void {
  const state = join(folder, 'state');
  const nics = [1, 2, 3, 4].map((number) => ({
    number,
    name: `port${number}`,
    mac: `52:54:00:00:${name === 'A' ? 'aa' : 'bb'}:0${number}`,
    driver: null,
    bus: null,
    speedMbps: null,
    carrier: true,
  }));
  const uses: readonly Role[] = ['link1', 'link2', 'lan0', 'mgmt0'];
  const roles = Object.fromEntries(nics.map((n, i): [string, Role] => [n.mac, uses[i] ?? 'none']));
  const files = planFiles({
    answers: {
      ...PROPOSED,
      coServer: name,
      'management.address': `192.0.2.2${name === 'A' ? 1 : 2}/24`,
      'witness.address': '192.0.2.100',
      'fence.address': name === 'A' ? '192.0.2.12' : '',
      'fence.username': 'twinstep',
      'fence.password': 'old-bmc',
      password: passwordHash,
      'guest.name': 'erp',
      'guest.memoryMiB': '64',
      'guest.diskMiB': '16',
      'guest.disk': join(state, 'disks/guest'),
    },
    nics,
    roles,
    pairId: PAIR_ID,
    machine: { kvm: false, watchdog: '', bmc: '', serial: '' },
    partner: { managementAddress: `192.0.2.2${name === 'A' ? 2 : 1}`, handOver: null },
    stateFolder: state,
    runFolder: join(folder, 'run'),
  });
  for (const path of ['state', 'log', 'disks']) mkdirSync(join(state, path), { recursive: true });
  for (const { path, text } of files) writeFileSync(join(state, path), text.replace('port: 443', 'port: 0'), { mode: 0o600 });
  writeFileSync(join(state, 'state/pair.key'), `${OLD_KEY}\npair ${PAIR_ID}\n`, { mode: 0o600 });
}

/** It owns generation 5. */
function ownsGeneration(folder: string, more: Partial<DurableRecord>): void {
  const slot = encodeSlot(1n, { ...FRESH_RECORD, generation: 5, standing: 'simplex', ...more });
  writeFileSync(join(folder, 'state/state/record'), Buffer.concat([slot, slot]), { mode: 0o600 });
}

const product = (name: Name, folder: string): Product => products.start(name, 'run', '--config', join(folder, 'state/config.yaml'));

const until = (what: string, folder: string, product: Product, fits: (s: Snapshot) => boolean): Promise<Snapshot> =>
  untilSeen(what, join(folder, 'run/console.sock'), product, fits);

async function says({ said, child }: Product, pattern: RegExp): Promise<RegExpExecArray> {
  for (const end = Date.now() + PATIENCE_MS; ; ) {
    const found = pattern.exec(said());
    if (found) return found;
    if (Date.now() > end || child.exitCode !== null) throw new Error(`${pattern}: ${said()}`);
    await pause(100);
  }
}

const [stays, old] = [join(root, 'stays'), join(root, 'old')];

t.test('a server from its box takes the place of the lost one', async (t) => {
  cable(b, [
    ['A1', 'B1'],
    ['A2', 'B2'],
    ['A3', 'B3'],
    ['A4', 'B4'],
  ]);
  configured('A', stays);
  configured('B', old);
  ownsGeneration(stays, { workloadOff: true });
  nameNics(b, 'A', readFileSync(join(stays, 'state/nics'), 'utf8'));
  let a = product('A', stays);
  const socket = join(stays, 'run/console.sock');
  const accepts = (s: Snapshot): boolean => s.actions.some((x) => x.name === 'accept-replacement' && x.allowed);
  await until('it may be asked', stays, a, accepts);

  const fresh = await Server.start('B', join(root, 'new'), b);
  await fresh.until(/CoServer A of a pair is heard on port \d: it runs, without its partner/);
  fresh.type('\r');
  await fresh.at(/network ports.*link 1.*link 2.*guest network.*management/, '\x1b[6~');
  await fresh.at(/First start: cables.*\[ok\] Link 1.*\[ok\] Link 2/, '\r');
  await fresh.until(/its administrator says so there: on its console, "Accept a replacement"/);

  const untyped = products.start('A', 'pair', 'replace', '--socket', socket);
  t.equal(await untyped.ended, 1);
  t.match(untyped.said(), /needs the word 'off'.*must be off and stay away/);
  const agree = async (replace: Product): Promise<string> => {
    const code = (await says(replace, /The same code on the new server's screen\? (\d{6})/))[1] ?? '';
    await fresh.until(new RegExp(`shows the code ${code}`));
    replace.child.stdin?.write('yes\n');
    fresh.type('y\r');
    return code;
  };
  // Given up after the codes were agreed on, and begun anew.
  const first = products.start('A', 'pair', 'replace', '--typed', 'off', '--socket', socket);
  const code = await agree(first);
  await fresh.until(/Fingerprint of the key/);
  await says(first, /The new key is agreed/);
  first.child.kill('SIGINT');
  t.equal(await first.ended, 1, first.said());
  await until('it may be asked again', stays, a, accepts);
  t.notOk(existsSync(join(stays, 'state/state/pair.key.replacement')), 'nothing is left of it');
  const replace = products.start('A', 'pair', 'replace', '--typed', 'off', '--socket', socket);
  await says(replace, /may take the place of CoServer B/);
  fresh.type('y\r');
  t.not(await agree(replace), code, 'another key, another code');
  await fresh.at(/Fingerprint of the key.*what it knows of the pair is taken over/, '\r');
  await fresh.at(/are the two alike/, '\r');
  await fresh.at(/network of the operators.*192\.0\.2\.22\/24/, '\r\r');
  await fresh.at(/witness and power switch.*192\.0\.2\.100.*This server's own BMC/, '\r\r\r192.0.2.13\rroot\rnew-bmc\r\r');
  await fresh.at(/As on the other server < yes >/, '\r');
  await fresh.at(/First start: clock/, '\r');
  await fresh.at(/the guest and its disk.*erp.*room for/, '\r\r\r\r\r\r');
  t.equal(loadPairKey(join(stays, 'state/state/pair.key'), PAIR_ID).toString('hex'), OLD_KEY, 'until then nothing has changed here');
  await fresh.at(/First start: summary.*starts with an empty copy/, '\r');

  t.equal(await a.ended, 0, `it ends to be started again: ${a.said()}`);
  const newKey = loadPairKey(join(stays, 'state/state/pair.key'), PAIR_ID).toString('hex');
  t.not(newKey, OLD_KEY);
  t.notOk(existsSync(join(fresh.folder, 'state/config.yaml')), 'the new one waits until it hears the one that runs under the new key');
  a = product('A', stays);
  t.equal(await fresh.ended, 0, fresh.log);

  const [here, there] = [loadConfig(join(stays, 'state/config.yaml')), loadConfig(join(fresh.folder, 'state/config.yaml'))];
  t.equal(loadPairKey(there.pair.keyFile, PAIR_ID).toString('hex'), newKey, 'one key');
  t.strictSame(there.workload.mac, here.workload.mac, 'the guest stays who it is');
  t.strictSame(there.management, { nic: 'mgmt0', address: '192.0.2.22', peer: '192.0.2.21' });
  t.strictSame(
    there.links,
    here.links.map((l) => ({ ...l, address: l.peer, peer: l.address })),
  );
  t.match(here.fence, { address: '192.0.2.13', username: 'root' }, "the new server's BMC");
  t.equal(readFileSync(here.fence.passwordFile, 'utf8'), 'new-bmc\n');
  for (const log of [a.said(), fresh.log, replace.said()])
    for (const secret of [OLD_KEY, newKey, 'old-bmc', 'new-bmc', 'argon2id']) t.notOk(log.includes(secret), 'no secret in a log');

  const enrolment = products.start('A', 'witness-key', '--socket', socket);
  t.equal(await enrolment.ended, 0, enrolment.said());
  t.strictSame(parseEnrolment(enrolment.said()).key, deriveKey(Buffer.from(newKey, 'hex'), 'witness'), 'for the witness, of the new key');
  t.notOk(a.said().includes(deriveKey(Buffer.from(newKey, 'hex'), 'witness').toString('hex')), 'in no log');

  nameNics(b, 'B', fresh.file('nics'));
  for (const folder of ['log', 'disks']) mkdirSync(join(fresh.folder, 'state', folder), { recursive: true });
  const config = join(fresh.folder, 'state/config.yaml');
  writeFileSync(config, readFileSync(config, 'utf8').replace(/serial: .*/, 'serial: ""'));
  const joined = product('B', fresh.folder);
  const picture = await until('both links are up under the new key', stays, a, (s) => s.links.every((l) => l.up));
  t.equal(picture.generation, 5);
  await until('nothing is open any more', stays, a, (s) => !s.attention.some((x) => x.kind === 'replacement'));
  t.equal(await replace.ended, 0, replace.said());
  t.match(replace.said(), /has taken the old one's place/);
  const second = await until('it follows', fresh.folder, joined, (s) => s.coServers.some((c) => c.name === 'B' && c.phase === 'standby'));
  t.match(second.coServers.find((c) => c.name === 'B')?.sentence, /./);
  joined.child.kill('SIGKILL');
  await joined.ended;

  // The old one is repaired, and somebody plugs it in again. Its record is the worst there can be: started by force, it owns a generation too, and
  // would go on by itself where it hears nobody.
  ownsGeneration(old, { arbiter: 'namedB', forced: true });
  const back = product('B', old);
  t.equal(await back.ended, 78, back.said());
  const record = decodeSlot(readFileSync(join(old, 'state/state/record')).subarray(0, 4096))?.record;
  t.match(record, { generation: 5, standing: 'simplex' }, 'it has claimed nothing');
  t.match(back.said().trim().split('\n').at(-1), /this server was CoServer B until .* its key opens nothing any more/);
  const again = product('B', old);
  t.equal(await again.ended, 78, 'also where it hears nobody');
  t.match(again.said(), /never runs the guest again/);
  a.child.kill('SIGKILL');
  await a.ended;
});

t.test('it was CoServer A that was lost; nobody is asked before the window is open, and the old one closes it', async (t) => {
  for (const nic of ['link1', 'link2', 'lan0', 'mgmt0']) inside(b, 'A', 'link', 'del', nic);
  cable(b, [
    ['A1', 'B2'],
    ['A2', 'B1'],
  ]);
  const [remains, gone] = [join(root, 'remains'), join(root, 'gone')];
  configured('B', remains);
  configured('A', gone);
  ownsGeneration(remains, { workloadOff: true });
  nameNics(b, 'B', readFileSync(join(remains, 'state/nics'), 'utf8'));
  const onB = product('B', remains);
  const socket = join(remains, 'run/console.sock');
  await until('it may be asked', remains, onB, (s) => s.actions.some((x) => x.name === 'accept-replacement' && x.allowed));
  const fresh = await Server.start('A', join(root, 'another'), b);
  await fresh.at(/CoServer B of a pair is heard on port \d: it runs, without its partner/, '\r');
  // Its links are crossed: the uses follow the cables.
  await fresh.at(/network ports.*1 port1.*link 2.*2 port2.*link 1/, '\x1b[6~');
  await fresh.at(/First start: cables/, '\r');
  await fresh.until(/its administrator says so there/);
  const replace = products.start('B', 'pair', 'replace', '--typed', 'off', '--socket', socket);
  const code = (await says(replace, /The same code on the new server's screen\? (\d{6})/))[1] ?? '';
  await fresh.until(new RegExp(`shows the code ${code}`));
  replace.child.stdin?.write('yes\n');
  fresh.type('y\r');
  await fresh.until(/Fingerprint of the key.*what it knows of the pair is taken over/);
  await fresh.kill();
  // The old one was not gone: it is switched on again.
  const mac = (n: number): string => `52:54:00:00:aa:0${n}`;
  nameNics(b, 'A', `link1 ${mac(2)} 169.254.76.1/30\nlink2 ${mac(1)} 169.254.77.1/30\nlan0 ${mac(3)} -\nmgmt0 ${mac(4)} 192.0.2.21/24\n`);
  const old = product('A', gone);
  await says(replace, /No replacement is accepted any more/);
  t.equal(await replace.ended, 1, `${replace.said()}\n${old.said()}`);
  t.match(replace.said(), /No replacement is accepted any more: CoServer A is heard: only one that is gone is replaced/);
  t.equal(loadPairKey(join(remains, 'state/state/pair.key'), PAIR_ID).toString('hex'), OLD_KEY, 'nothing has changed');
  t.notOk(existsSync(join(remains, 'state/state/pair.key.replacement')));
  for (const { child, ended } of [old, onB]) {
    child.kill('SIGKILL');
    await ended;
  }
});
