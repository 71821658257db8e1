// A server from its box beside a CoServer that runs: what that one hands over, what is asked all the same, and that nothing is written too early.
import t from 'tap';
import type { CoServerConfig } from '../../../../appliance/config.ts';
import { parseConfig } from '../../../../appliance/runtime/load-config.ts';
import { PROPOSED } from '../../../../appliance/setup/answers.ts';
import type { Stage } from '../../../../appliance/setup/beacon.ts';
import { handOverOf, parseHandOver } from '../../../../appliance/setup/hand-over.ts';
import { ownDocument, partnerFacts } from '../../../../appliance/setup/partner-document.ts';
import { planConfig } from '../../../../appliance/setup/plan.ts';
import { answersOf, cablingOf } from '../../../../appliance/setup/state.ts';
import { CABLES, Dialogue, HASH, PAIR_ID } from './two-dialogues.ts';

const NICS =
  'link1 52:54:00:00:aa:01 10.9.0.1/24\nlink2 52:54:00:00:aa:02 10.9.1.1/29\nlan0 52:54:00:00:aa:03 -\nmgmt0 52:54:00:00:aa:04 192.0.2.21/25 192.0.2.1\n';

/** Of CoServer A, and not what a first start proposes. */
function runs(): CoServerConfig {
  const a = new Dialogue('a');
  const roles = Object.fromEntries(
    a.facts.nics.map((n, i) => [n.mac, (['link1', 'link2', 'lan0', 'mgmt0'] as const)[i] ?? ('none' as const)]),
  );
  const planned = planConfig({
    answers: {
      ...PROPOSED,
      coServer: 'A',
      'management.address': '192.0.2.21/25',
      'witness.address': '192.0.2.100',
      'guest.name': 'erp',
      'guest.level': '2',
      'guest.memoryMiB': '4096',
      'guest.diskMiB': '9000',
      password: HASH,
    },
    nics: a.facts.nics,
    roles,
    pairId: PAIR_ID,
    machine: a.facts.machine,
    partner: { managementAddress: '192.0.2.22', handOver: null },
    stateFolder: '/var/lib/twinstep',
    runFolder: '/run/twinstep',
  });
  return {
    ...planned,
    links: [
      { nic: 'link1', address: '10.9.0.1', peer: '10.9.0.2' },
      { nic: 'link2', address: '10.9.1.1', peer: '10.9.1.2' },
    ],
    rejoin: { ...planned.rejoin, losses: 5 },
    checkpoint: { ...planned.checkpoint, mode: 'passive' },
    restorePoints: { ...planned.restorePoints, everyMinutes: 30, directory: '/mnt/points' },
    workload: { ...planned.workload, mac: '52:54:00:12:34:56', readyMarker: 'ready' },
  };
}

function document(config: CoServerConfig, isReady = false): object {
  const { workload, witness } = config;
  const answers = {
    'witness.address': witness.address,
    'witness.port': `${witness.port}`,
    'guest.name': workload.name,
    'guest.level': `${workload.level}`,
    'guest.memoryMiB': `${workload.memoryMiB}`,
    'guest.cpus': `${workload.cpus}`,
    'guest.diskMiB': `${workload.disk.sizeMiB}`,
    'guest.append': workload.append,
    'guest.readyMarker': workload.readyMarker,
    password: HASH,
  };
  const told = {
    coServer: 'A',
    managementAddress: '192.0.2.21',
    answers,
    isReady,
    hardware: { cpu: 1 },
    handOver: handOverOf(config, NICS),
  };
  return JSON.parse(JSON.stringify(told)) as object;
}

const LIKE = runs();
const told = (value: unknown) => partnerFacts(value, 'A', (given) => parseHandOver(given, LIKE));

/** What CoServer A says on its two links. */
function hearsCoServer(b: Dialogue, stage: Stage): void {
  const a = new Dialogue('a');
  a.state = {
    ...a.state,
    isServerChosen: true,
    values: { coServer: 'A' },
    roles: { '52:54:00:00:aa:01': 'link1', '52:54:00:00:aa:02': 'link2' },
  };
  b.hears(a, CABLES.slice(0, 2));
  b.facts = { ...b.facts, heard: b.facts.heard.map((h) => ({ ...h, beacon: { ...h.beacon, stage, pairId: PAIR_ID } })) };
  b.feed({ kind: 'looked' });
}

function toSummary(b: Dialogue): void {
  hearsCoServer(b, 'alone');
  t.match(
    b.text(),
    /CoServer A of a pair is heard on port \d: it runs, without its partner\. This server can take that one's place as CoServer B/,
  );
  b.type('\r');
  t.equal(b.state.values.coServer, 'B', 'the letter that is missing');
  b.type('\r\r\r\r');
  t.match(Object.values(cablingOf(b.state, b.facts).roles), ['link1', 'link2'], 'the uses are those of the one that runs');
  b.type('\r');
  t.equal(b.state.page, 'pairing', b.state.message);
  b.feed({ kind: 'looked' });
  t.match(b.text(), /its administrator says so there: on its console, "Accept a replacement"/);
  hearsCoServer(b, 'accepting');
  b.pairing({ phase: 'paired', sentence: 'Paired.', fingerprint: '1a2b-3c4d-5e6f' });
  b.facts = { ...b.facts, partner: told(document(runs())) };
  b.type('\r\r');
  t.equal(b.state.page, 'management', b.state.message);
  t.match(b.text(), /192\.0\.2\.22\/25.*192\.0\.2\.1 /, 'the place of the old one');
  b.type('\r\r');
  t.match(b.text(), /192\.0\.2\.100.*This server's own BMC/);
  b.type('\r\r\r');
  b.type('192.0.2.13\rroot\rnew-bmc\r\r');
  t.equal(b.state.page, 'password', b.state.message);
  b.type('\r\r');
  t.match(b.text(), /erp.*level 2.*4096.*9000/);
  b.type('\r'.repeat(6));
  t.equal(b.state.page, 'summary', b.state.message);
}

t.test('a replacement takes over what the pair has', async (t) => {
  const b = new Dialogue('b');
  toSummary(b);
  b.type('\r');
  t.match(b.text(), /goes over to the new key, and this server starts with an empty copy/);
  b.type('\r\r\r');
  t.equal(b.written, null, 'it cannot be told to go on without the one that runs');
  t.strictSame(partnerFacts(JSON.parse(JSON.stringify(ownDocument(b.state, answersOf(b.state, b.facts), null, true))), 'B')?.bmc, {
    address: '192.0.2.13',
    username: 'root',
    password: 'new-bmc',
    cipherSuite: 17,
  });
  t.equal(
    partnerFacts(JSON.parse(JSON.stringify(ownDocument(b.state, answersOf(b.state, b.facts), null))), 'B')?.bmc,
    null,
    'not told at a first start',
  );
  t.notOk(b.screen().join().includes('new-bmc'));
  b.facts = { ...b.facts, partner: told(document(runs(), true)) };
  b.feed({ kind: 'looked' });
  const file = (path: string): string => b.written?.find((f) => f.path === path)?.text ?? '';
  const config = parseConfig(file('config.yaml'), 'config.yaml');
  const a = runs();
  for (const section of ['rejoin', 'qualification', 'heartbeat', 'resync', 'checkpoint', 'disk', 'scrub', 'witness'] as const)
    t.strictSame(config[section], a[section], section);
  t.strictSame(config.links, [
    { nic: 'link1', address: '10.9.0.2', peer: '10.9.0.1' },
    { nic: 'link2', address: '10.9.1.2', peer: '10.9.1.1' },
  ]);
  t.match(config, {
    coServer: 'B',
    pair: { id: PAIR_ID },
    management: { address: '192.0.2.22', peer: '192.0.2.21' },
    workload: { mac: '52:54:00:12:34:56', level: 2, readyMarker: 'ready', disk: { sizeMiB: 9000, path: '/var/lib/twinstep/disks/guest' } },
    // A folder of the other server's.
    restorePoints: { everyMinutes: 30, directory: '' },
    fence: { address: '' },
  });
  t.equal(
    file('nics'),
    'link1 52:54:00:00:bb:01 10.9.0.2/24\nlink2 52:54:00:00:bb:02 10.9.1.2/29\nlan0 52:54:00:00:bb:03 -\nmgmt0 52:54:00:00:bb:04 192.0.2.22/25 192.0.2.1\n',
  );
});

t.test('the guest is what it is: another answer is refused', async (t) => {
  const b = new Dialogue('b');
  toSummary(b);
  b.state = { ...b.state, values: { ...b.state.values, 'guest.memoryMiB': '1024' } };
  b.type('\r');
  t.match(b.state.message, /guest\.memoryMiB is '1024' here and '4096' on the other server/);
});

t.test('by an answer file: only the code is compared by somebody', async (t) => {
  const b = new Dialogue('b');
  hearsCoServer(b, 'accepting');
  const answers = { coServer: 'B', 'management.address': '192.0.2.22/25', 'witness.address': '192.0.2.100', password: HASH };
  b.feed({
    kind: 'file',
    file: { answers, ports: {}, secret: '', password: '', useDiskAsItIs: false, copies: {}, stateEncryption: 'none' },
  });
  t.equal(b.state.page, 'pairing', b.state.message);
  b.pairing({ phase: 'code', code: '123456', sentence: 'Compare.' });
  b.feed({ kind: 'looked' });
  b.type('y\r');
  t.ok(b.duties.some((d) => d.kind === 'confirm' && d.code === '123456'));
  b.pairing({ phase: 'paired', sentence: 'Paired.', fingerprint: '1a2b-3c4d-5e6f' });
  b.facts = { ...b.facts, partner: told(document(runs())), qualification: { verdict: 'passed', sentence: 'Alike.', items: [] } };
  b.feed({ kind: 'looked' });
  t.strictSame([b.state.page, b.state.isAgreed, b.written], ['summary', true, null], b.state.message);
  b.facts = { ...b.facts, partner: told(document(runs(), true)) };
  b.feed({ kind: 'looked' });
  t.match(b.written?.find((f) => f.path === 'config.yaml')?.text, /erp/);
});

t.test('what another version hands over is not taken by halves', async (t) => {
  const whole = handOverOf(runs(), NICS);
  t.strictSame(parseHandOver(JSON.parse(JSON.stringify(whole)), LIKE), whole);
  const { workload: _, ...without } = whole;
  for (const wrong of [
    null,
    3,
    {},
    without,
    { ...whole, links: [] },
    { ...whole, links: [{ address: 'x' }] },
    { ...whole, watchdogTimeoutS: '3' },
  ])
    t.equal(parseHandOver(wrong, LIKE), null);
  t.equal(told({ ...document(runs()), handOver: without }), null);
  t.strictSame(handOverOf(runs(), '').management, { address: '', gateway: '' }, 'nothing is guessed');
  t.equal(handOverOf(runs(), '').links[0]?.bits, 30);
});
