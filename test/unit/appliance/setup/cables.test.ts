// Cables, each way they can be wrong: what the person reads.
import t from 'tap';
import { type Beacon, NO_IDENTITY, NO_PROOF } from '../../../../appliance/setup/beacon.ts';
import { diagnoseCables, type Heard, type Here } from '../../../../appliance/setup/cables.ts';
import { type NicFact, proposeRoles, type Role, roleProblem, roleWarning } from '../../../../appliance/setup/roles.ts';

const [HERE, THERE, THIRD] = ['0a'.repeat(16), '0b'.repeat(16), '0c'.repeat(16)];
const macOf = (server: string, port: number) => `52:54:00:00:${server}:0${port}`;
const nic = (number: number, more: Partial<NicFact> = {}): NicFact => ({
  number,
  name: `enp${number}s0`,
  mac: macOf('aa', number),
  driver: 'igb',
  bus: `0000:0${number}:00.0`,
  speedMbps: 1000,
  carrier: true,
  ...more,
});
const NICS = [nic(1), nic(2), nic(3), nic(4)];
const ROLES: Role[] = ['link1', 'link2', 'lan0', 'mgmt0'];
const here = (more: Partial<Here> = {}): Here => ({
  identity: HERE,
  coServer: 'A',
  nics: NICS,
  roles: Object.fromEntries(NICS.map((n, i) => [n.mac, ROLES[i] ?? 'none'])),
  areRolesChosen: true,
  ...more,
});
const NOW = 100_000;
/** Port `port` here hears `from` there. */
const heard = (port: number, from: number, more: Partial<Beacon> = {}, mac = macOf('bb', from)): Heard => ({
  port,
  mac,
  atMs: NOW - 100,
  sinceMs: NOW - 10_000,
  saysSinceMs: NOW - 10_000,
  beacon: {
    identity: THERE,
    coServer: 'B',
    stage: 'asking',
    pairId: NO_IDENTITY,
    sequence: 1,
    port: from,
    ports: 4,
    role: ROLES[from - 1] ?? 'none',
    name: `enp${from}s0`,
    heardIdentity: HERE,
    heardPort: port,
    proof: NO_PROOF,
    ...more,
  },
});
const told = (list: readonly Heard[], h: Here = here()) => diagnoseCables(h, list, NOW).findings.map((f) => `${f.kind}: ${f.text}`);
const RIGHT = [heard(1, 1), heard(2, 2)];

t.test('right', async (t) => {
  t.strictSame(told(RIGHT), [
    'good: Link 1: port 1 here is connected to port 1 there.',
    'good: Link 2: port 2 here is connected to port 2 there.',
  ]);
  t.equal(diagnoseCables(here(), RIGHT, NOW).partner?.identity, THERE);
});

t.test('crossed', async (t) => {
  t.strictSame(told([heard(1, 2), heard(2, 1)]), [
    'wrong: Crossed: port 1 here is connected to port 2 there (link 1 here, link 2 there). Swap the two cables at one server, or the two uses on one.',
    'wrong: Crossed: port 2 here is connected to port 1 there (link 2 here, link 1 there). Swap the two cables at one server, or the two uses on one.',
  ]);
});

t.test('swapped with another network', async (t) => {
  t.match(told([heard(1, 1), heard(2, 3), heard(3, 2)]), [
    /^good: Link 1/,
    'wrong: Swapped: port 2 here is connected to port 3 there (link 2 here, guest network there). Move the cable, or change the use of one of the two ports.',
    /^wrong: Swapped: port 3 here is connected to port 2 there/,
  ]);
});

t.test('looped', async (t) => {
  const own = (port: number, from: number) => heard(port, from, { identity: HERE, coServer: 'A' }, macOf('aa', from));
  t.match(told([heard(1, 1), own(2, 3), own(3, 2)]), [
    /^good/,
    'wrong: Port 2 and port 3 of this server are connected to each other: plug one end into the other server.',
  ]);
  t.match(told([heard(1, 1), own(2, 2)]), [/^good/, 'wrong: Port 2 (link 2) hears itself: its cable leads back into it.']);
});

t.test('a switch in between', async (t) => {
  t.match(told([heard(1, 1), heard(1, 2), heard(2, 2), heard(2, 1)]), [
    'wrong: Port 1 (link 1) hears 2 ports: there is a switch in between. A link is a cable from server to server.',
    /^wrong: Port 2 .* switch/,
  ]);
  t.match(told([...RIGHT, heard(4, 4), heard(4, 3)]).at(-1), 'note: Port 4 (management) hears 2 ports: it is connected to a switch.');
});

t.test('a cable that was moved', async (t) => {
  const before = { ...heard(2, 1), atMs: NOW - 1_600 };
  const now = { ...heard(2, 2), sinceMs: NOW - 1_300 };
  t.match(told([heard(1, 1), before, now])[1], /^good: Link 2/, 'who was there before is forgotten');
  t.match(told([heard(1, 1), before, { ...now, sinceMs: NOW - 10_000 }])[1], /switch/, 'both spoke at once');
});

t.test('nothing', async (t) => {
  t.match(told([heard(1, 1), { ...heard(2, 2), atMs: NOW - 3_001 }]), [
    /^good/,
    'wrong: Port 2 (link 2): nothing is heard. Does its cable run to the other server, and is that one switched on?',
  ]);
  const dark = here({ nics: NICS.map((n) => (n.number === 2 ? { ...n, carrier: false } : n)) });
  t.match(told([heard(1, 1)], dark)[1], 'wrong: Port 2 (link 2) has no carrier: plug its cable in at both ends.');
});

t.test('one direction', async (t) => {
  const deaf = heard(2, 2, { heardIdentity: NO_IDENTITY, heardPort: 0 });
  t.match(told([heard(1, 1), deaf])[1], /^wrong: Port 2 here hears port 2 there, but is not heard/);
  t.match(told([heard(1, 1), { ...deaf, sinceMs: NOW - 500, saysSinceMs: NOW - 500 }])[1], /^good/, 'it has only just begun');
  t.match(told([heard(1, 1), { ...deaf, saysSinceMs: NOW - 500 }])[1], /^good/, 'its end was plugged out for a moment');
});

t.test('servers that are one too many, or two in one', async (t) => {
  const twin = heard(1, 1, { identity: HERE });
  t.match(told([twin])[0], /^wrong: Another server on port 1 has the identity of this one \(0a0a0a0a\)/);
  t.match(told([heard(1, 1, {}, macOf('aa', 1))])[0], /^wrong: Port 1 there has the MAC address 52:54:00:00:aa:01/);
  t.match(told(RIGHT, here({ coServer: 'B' }))[0], 'wrong: The other server says that it is CoServer B too: choose A on one of the two.');
  t.match(told([...RIGHT, heard(4, 4, { identity: THIRD })])[0], /^wrong: 2 other servers are being set up .*\(ports 1, 2, 4\)/);
  t.equal(
    diagnoseCables(here(), [heard(4, 4, { identity: THIRD }), heard(4, 3), ...RIGHT], NOW).partner?.identity,
    THERE,
    'the direct one',
  );
});

t.test('a proposal: direct cables are links, the other end decides which', async (t) => {
  const list = [heard(3, 2, { coServer: 'A' }), heard(4, 1, { coServer: 'A' })];
  const b = here({ coServer: 'B', areRolesChosen: false });
  const cables = diagnoseCables(b, list, NOW);
  t.ok(cables.partnerLeads);
  t.strictSame(Object.values(proposeRoles(NICS, cables)), ['lan0', 'mgmt0', 'link2', 'link1'], 'B does as A has chosen');
  const first = list.map((h) => ({ ...h, beacon: { ...h.beacon, coServer: 'B' as const, role: 'none' as const } }));
  const a = diagnoseCables(here({ areRolesChosen: false }), first, NOW);
  t.notOk(a.partnerLeads, 'one of the two begins');
  t.strictSame(Object.values(proposeRoles(NICS, a)), ['lan0', 'mgmt0', 'link1', 'link2']);
  t.strictSame(Object.values(proposeRoles([nic(1, { carrier: false }), nic(2), nic(3), nic(4)], null)), [
    'link2',
    'lan0',
    'mgmt0',
    'link1',
  ]);
});

t.test('uses that cannot be', async (t) => {
  const roles = (...list: Role[]) => Object.fromEntries(NICS.map((n, i) => [n.mac, list[i] ?? 'none']));
  t.equal(roleProblem(NICS, roles(...ROLES)), null);
  t.match(roleProblem(NICS, roles('link1', 'link1', 'lan0', 'mgmt0')), /Ports 1 and 2 are both for 'link 1'/);
  t.match(roleProblem(NICS, roles('none', 'link2', 'lan0', 'mgmt0')), /No port is for 'link 1'/);
  t.match(roleProblem(NICS, roles('link1', 'link2', 'lan0')), /No port is for 'management'/);
  t.match(roleProblem(NICS, roles('link1', 'link2', 'none', 'mgmt0')), /No port is for 'guest network'/);
  t.equal(roleWarning(NICS, roles(...ROLES)), null);
  t.match(roleWarning(NICS, roles('link1', 'none', 'lan0', 'mgmt0')), /only one link/);
});
