// What is refused of what was typed; what a change is in the files; when it may be made.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { State } from '../../../../appliance/core/machine.ts';
import { parseConfig } from '../../../../appliance/runtime/load-config.ts';
import { changeOf, groupsOf, type Known, SETTINGS, type Setting } from '../../../../appliance/settings/changes.ts';
import { fenceFiles, managementFiles, passwordFiles, peerFiles, witnessFiles } from '../../../../appliance/settings/edits.ts';
import { managementOf } from '../../../../appliance/settings/nics.ts';
import { costOfRestart, whyNotWitness } from '../../../../appliance/settings/when.ts';
import { HASH } from '../setup/two-dialogues.ts';
import { configured, stateOf } from './some-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'twinstep-settings-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const { config, file } = configured(folder, HASH);
const nics = readFileSync(join(folder, 'nics'), 'utf8');
const source = `# By hand.\n${readFileSync(file, 'utf8')}`;
const KNOWN: Known = { config, nics, whyNothing: '', whyNotWitness: '', level: 3, runsAtLevel: 3, whyNotLevel: '' };
const SOURCES = { config, configFile: file, source };

const problem = (name: Setting, values: Record<string, string>, known = KNOWN): string => {
  const change = changeOf(name, values, known);
  return 'problem' in change ? change.problem : `no problem: ${change.kind}`;
};

t.test('what there is: the values of now, and no secret', async (t) => {
  const groups = groupsOf(KNOWN);
  t.strictSame(
    groups.map((g) => g.name),
    [...SETTINGS],
  );
  for (const { fields, name } of groups)
    for (const f of fields) t.match(f, { id: /^[a-zA-Z]+$/, ...(f.kind === 'secret' ? { value: '' } : {}) }, `${name} ${f.id}`);
  t.notMatch(JSON.stringify(groups), /argon2id|old-bmc/);
  t.match(groups[1], { now: '192.0.2.21/24, router 192.0.2.1.', fields: [{ value: '192.0.2.21/24' }, { value: '192.0.2.1' }] });
  for (const g of groupsOf({ ...KNOWN, whyNothing: 'Not now.' })) t.equal(g.whyNot, 'Not now.');
  t.match(groupsOf({ ...KNOWN, nics: null })[1]?.whyNot, /whoever installed it sets them/);
  t.match(groupsOf({ ...KNOWN, nics: 'mgmt0 52:54:00:00:aa:02 198.51.100.9/24\n' })[1]?.whyNot, /not Twinstep's own/);
  t.equal(groupsOf({ ...KNOWN, whyNotWitness: 'In use.' })[3]?.whyNot, 'In use.');
  const unset = { ...config, console: { ...config.console, passwordHash: '' } };
  t.strictSame(
    groupsOf({ ...KNOWN, config: unset })[0]?.fields.map((f) => f.id),
    ['new', 'again'],
  );
});

t.test('refused, each with its remedy and without what was typed of a secret', async (t) => {
  const said = 'lamp-river-cheese';
  t.match(problem('password', { old: 'x', new: 'short', again: 'short' }), /12 characters or more/);
  t.match(problem('password', { old: 'x', new: 'twinstep-twinstep', again: '' }), /first that are tried/);
  t.match(problem('password', { old: 'x', new: said, again: 'lamp-river-chess' }), /not the same/);
  t.match(problem('password', { old: said, new: said, again: said }), /there is already/);
  t.match(problem('password', { old: 'x', new: `${said}\n`, again: `${said}\n` }), /control character/);
  t.strictSame(changeOf('password', { old: 'x', new: said, again: said }, KNOWN), { kind: 'password', old: 'x', password: said });
  for (const [address, gateway, why] of [
    ['192.0.2.30', '', /length of its network/],
    ['169.254.76.9/30', '', /belongs to the links/],
    ['192.0.2.30/24', '198.51.100.1', /not in the network/],
    ['192.0.2.22/24', '', /CoServer B has the address/],
    ['192.0.2.21/24', '192.0.2.1', /is so already/],
  ] as const)
    t.match(problem('management', { address, gateway }), why);
  t.strictSame(changeOf('management', { address: ' 192.0.2.21/25 ', gateway: '192.0.2.1' }, KNOWN), {
    kind: 'management',
    address: '192.0.2.21/25',
    gateway: '192.0.2.1',
  });
  const bmc = { address: '192.0.2.12', username: 'twinstep', password: '', cipherSuite: '17' };
  t.match(problem('fence', bmc), /is so already/);
  t.match(problem('fence', { ...bmc, address: 'bmc.example' }), /address of the other server's BMC/);
  t.match(problem('fence', { ...bmc, username: '' }), /user of the other server's BMC/);
  t.match(problem('fence', { ...bmc, password: 'x'.repeat(21) }), /1 to 20 characters/);
  t.match(problem('fence', { ...bmc, cipherSuite: '0' }), /17 is needed/);
  const none = { ...KNOWN, config: { ...config, fence: { ...config.fence, address: '' } } };
  t.match(problem('fence', bmc, none), /password of the other server's BMC is needed/);
  t.match(changeOf('fence', { ...bmc, username: 'root' }, KNOWN), { kind: 'fence', username: 'root', password: null });
  t.match(changeOf('fence', { ...bmc, password: 'new' }, KNOWN), { password: 'new' });
  t.match(changeOf('fence', { ...bmc, address: '' }, KNOWN), { kind: 'fence', address: '' });
  t.match(problem('witness', { address: 'x', port: '7410' }), /address of the witness/);
  t.match(problem('witness', { address: '192.0.2.101', port: '0' }), /whole number/);
  t.match(problem('witness', { address: '192.0.2.100', port: '7410' }), /is so already/);
  t.strictSame(changeOf('witness', { address: '192.0.2.100', port: '7411' }, KNOWN), {
    kind: 'witness',
    address: '192.0.2.100',
    port: 7411,
  });
});

t.test('in the files: what was asked for, nothing else, and comments stay', async (t) => {
  const other = HASH.replace(/.$/, 'x');
  const read = (files: readonly { path: string; text: string }[]) => {
    const text = files.find((f) => f.path === file)?.text ?? '';
    t.match(text, /^# By hand\./);
    return parseConfig(text, file);
  };
  t.strictSame(read(passwordFiles(SOURCES, other)), { ...config, console: { ...config.console, passwordHash: other } });
  t.strictSame(read(witnessFiles(SOURCES, { address: '192.0.2.101', port: 7411 })), {
    ...config,
    witness: { address: '192.0.2.101', port: 7411 },
  });
  t.strictSame(read(peerFiles(SOURCES, '192.0.2.33')), {
    ...config,
    management: { ...config.management, peer: '192.0.2.33' },
    console: { ...config.console, urls: { ...config.console.urls, B: 'https://192.0.2.33/' } },
  });
  const moved = managementFiles(SOURCES, { path: join(folder, 'nics'), text: nics }, { address: '198.51.100.7/25', gateway: '' });
  t.strictSame(read(moved), {
    ...config,
    management: { ...config.management, address: '198.51.100.7' },
    console: { ...config.console, urls: { ...config.console.urls, A: 'https://198.51.100.7/' } },
  });
  t.equal(moved[0]?.text, nics.replace('192.0.2.21/24 192.0.2.1', '198.51.100.7/25'), 'links stay as they are');
  t.strictSame(managementOf(moved[0]?.text ?? '', read(moved)), { address: '198.51.100.7/25', gateway: '' });
  const bmc = { address: '192.0.2.13', username: 'root', password: 'new', cipherSuite: 3 as const };
  const fence = fenceFiles(SOURCES, bmc);
  t.strictSame(read(fence), { ...config, fence: { ...config.fence, address: '192.0.2.13', username: 'root', cipherSuite: 3 } });
  t.strictSame(fence[0], { path: join(folder, 'state/bmc.password'), text: 'new\n' }, 'the password is in a file of its own');
  t.notMatch(fence[1]?.text, 'new');
  t.equal(fenceFiles(SOURCES, { ...bmc, password: null }).length, 1);
  t.equal(read(fenceFiles(SOURCES, { ...bmc, address: '' })).fence.address, '');
});

const inPhase = (kind: State['phase']['kind'], more: Partial<State> = {}): State => {
  const s = stateOf('A', more);
  return { ...s, phase: { ...s.phase, kind } };
};

t.test('what a start of this process costs', async (t) => {
  const proven = { audit: { ...stateOf('A').audit, state: 'proven' as const } };
  t.equal(costOfRestart(inPhase('duplex', proven)), null, 'the guest is handed over');
  t.match(costOfRestart(inPhase('duplex', { audit: { ...proven.audit, state: 'awaited' } })), /not proven yet.*stands still/);
  t.match(costOfRestart(inPhase('duplex', { ...proven, level: 2 })), /level 2 the guest stands still/);
  for (const kind of ['starting', 'running', 'resyncing', 'protecting', 'committing', 'steppingDown'] as const)
    t.match(costOfRestart(inPhase(kind)), /runs here alone/, kind);
  for (const kind of ['secondary', 'ready', 'isolated', 'off'] as const) t.equal(costOfRestart(inPhase(kind)), null, kind);
});

t.test('never two witnesses that could both grant', async (t) => {
  const heard = { partnerHeard: true, partner: {} as NonNullable<State['partner']> };
  t.match(whyNotWitness(stateOf('A')), /CoServer B is not heard/);
  t.equal(whyNotWitness(stateOf('A', heard)), '');
  t.match(whyNotWitness(stateOf('A', { ...heard, witness: { ...stateOf('A').witness, ok: true } })), /present witness is in use/);
});
