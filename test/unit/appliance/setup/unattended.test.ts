// The dialogue led by answer files: how far it goes by itself, where it waits, and where it leaves the rest to people.
import t from 'tap';
import type { FileAnswers } from '../../../../appliance/setup/state.ts';
import { Dialogue, look } from './two-dialogues.ts';

const PASSWORD = 'lamp-river-cheese';
const page = (d: Dialogue): string => d.state.page;

const FILE: FileAnswers = {
  answers: {},
  ports: {},
  secret: 'ab'.repeat(16),
  password: PASSWORD,
  useDiskAsItIs: false,
  stateEncryption: 'none',
  copies: {},
};
const fileOf = (side: string): FileAnswers => ({
  ...FILE,
  answers: { coServer: side, 'management.address': `192.0.2.2${side === 'A' ? 1 : 2}/24`, 'witness.address': '192.0.2.100' },
});

t.test('by answer files alone: the cables give the uses, A begins, both are written', async (t) => {
  const [a, b] = [new Dialogue('b'), new Dialogue('a')];
  // Other ports there, as cables are.
  const cables = [
    [1, 3],
    [2, 4],
    [3, 1],
    [4, 2],
  ] as const;
  b.feed({ kind: 'file', file: fileOf('B') });
  t.match(b.state.message, /Waiting to hear the other server on two ports/);
  a.hears(b, cables);
  b.hears(
    a,
    cables.map(([x, y]) => [y, x] as const),
  );
  b.feed({ kind: 'looked' });
  t.equal(page(b), 'ports');
  t.match(b.state.message, /Waiting for the other server to say what its ports are for/);
  a.feed({ kind: 'file', file: fileOf('A') });
  for (let i = 0; i < 4; i++) look(a, b, cables);
  t.strictSame([page(a), page(b)], ['pairing', 'pairing'], `${a.state.message} ${b.state.message}`);
  for (const d of [a, b]) d.pairing({ phase: 'paired', fingerprint: '1a2b-3c4d-5e6f' });
  for (let i = 0; i < 4; i++) look(a, b, cables);
  t.match(a.state.message, /Waiting for what the other server is made of/);
  for (const d of [a, b]) d.facts = { ...d.facts, qualification: { verdict: 'passed', sentence: 'Alike.', items: [] } };
  for (let i = 0; i < 6; i++) look(a, b, cables);
  t.strictSame([page(a), page(b)], ['done', 'done'], `${a.state.message} ${b.state.message}`);
  const nics = [a, b].map((d) => d.written?.find((f) => f.path === 'nics')?.text ?? '');
  t.match(nics[0], /^link1 \S+:01 .*\nlink2 \S+:02 .*\nlan0 \S+:03 -\nmgmt0 \S+:04 /);
  t.match(nics[1], /lan0 \S+:01 -\nmgmt0 \S+:02 .*\nlink1 \S+:03 .*\nlink2 \S+:04 /, 'the other ends of the same cables');
  t.notOk(JSON.stringify([a.state, b.state]).includes(PASSWORD));
});

t.test('an answer file stops where it does not fit, and a person may go on', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  a.feed({ kind: 'file', file: { ...fileOf('A'), ports: { link1: 'enp1s0', lan0: 'enp9s0', mgmt0: 'enp4s0' } } });
  t.equal(page(a), 'ports');
  t.match(a.state.message, /names the port 'enp9s0' for 'guest network': this server has none/);
  a.feed({ kind: 'file', file: { ...fileOf('A'), secret: '' } });
  look(a, b);
  b.type('b\r');
  look(a, b);
  b.type('\r\r\r\r');
  for (let i = 0; i < 3; i++) look(a, b);
  t.equal(page(a), 'pairing', a.state.message);
  a.pairing({ phase: 'code', code: '123456' });
  a.feed({ kind: 'looked' });
  t.match(a.state.message, /no pairing\.secret: compare the codes and answer here/);
  a.type('y\r');
  t.strictSame(a.duties.at(-1), { kind: 'confirm', code: '123456' });
  a.facts = {
    ...a.facts,
    disks: [
      {
        path: '/var/lib/twinstep/disks/guest',
        text: 'A file',
        mib: 20_000,
        holds: "It holds the guest's disk of another pair (1234abcd).",
      },
    ],
    qualification: { verdict: 'passed', sentence: 'Alike.', items: [] },
  };
  a.pairing({ phase: 'paired' });
  a.feed({ kind: 'looked' });
  t.equal(page(a), 'guest');
  t.match(a.state.message, /another pair/);
});

t.test('a disk is looked at before it is used; a full one does not make it try for ever', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  a.facts = { ...a.facts, disks: [] };
  const file = fileOf('A');
  a.feed({ kind: 'file', file: { ...file, answers: { ...file.answers, 'guest.disk': '/dev/sdz' } } });
  look(a, b);
  b.type('b\r');
  look(a, b);
  b.type('\r\r\r\r');
  look(a, b);
  a.pairing({ phase: 'paired' });
  a.facts = { ...a.facts, qualification: { verdict: 'passed', sentence: 'Alike.', items: [] } };
  a.feed({ kind: 'looked' });
  t.equal(page(a), 'guest');
  t.match(a.state.message, /are being looked at/);
  a.facts = { ...a.facts, disks: b.facts.disks };
  a.feed({ kind: 'looked' });
  t.equal(page(a), 'guest');
  t.match(a.state.message, /^\/dev\/sdz is no place for it on this server: choose one of \/var/);
  a.state = { ...a.state, values: { ...a.state.values, 'guest.disk': b.facts.disks[0]?.path ?? '' } };
  a.learns(b);
  a.feed({ kind: 'looked' });
  t.equal(page(a), 'summary', a.state.message);
  t.ok(a.state.isAgreed);
  a.state = { ...a.state, busy: 'write' };
  a.feed({ kind: 'written', problem: 'There is no room left.' });
  const { length } = a.duties;
  for (let i = 0; i < 3; i++) a.feed({ kind: 'looked' });
  t.equal(a.duties.length, length, 'it waits for somebody');
  t.match(a.text(), /no room left/);
});
