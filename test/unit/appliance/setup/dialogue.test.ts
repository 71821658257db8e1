// The dialogue as a person meets it: from the first page to the files, what is refused on the way, and what is never shown.
import t from 'tap';
import { parseConfig } from '../../../../appliance/runtime/load-config.ts';
import { PASSWORD_MIN_CHARS, passwordProblem } from '../../../../appliance/setup/answers.ts';
import { fieldsOf } from '../../../../appliance/setup/fields.ts';
import { PAGES } from '../../../../appliance/setup/state.ts';
import { CABLES, Dialogue, HASH, look, PAIR_ID } from './two-dialogues.ts';

const PASSWORD = 'lamp-river-cheese';

/** To the pairing page, by Enter. */
function toPairing(a: Dialogue, b: Dialogue): void {
  for (const d of [a, b]) {
    look(a, b);
    d.type('\r');
    look(a, b);
    d.type('\r\r\r\r');
    look(a, b);
    look(a, b);
    d.type('\r');
  }
}

function pair(a: Dialogue, b: Dialogue): void {
  for (const d of [a, b]) {
    d.pairing({ phase: 'code', code: '123456', sentence: 'Compare.' });
    d.feed({ kind: 'looked' });
    d.type('y\r');
  }
  for (const d of [a, b]) d.pairing({ phase: 'paired', sentence: 'Paired.', fingerprint: '1a2b-3c4d-5e6f' });
  look(a, b);
}

const page = (d: Dialogue): string => d.state.page;

function answerA(a: Dialogue): void {
  a.type('\r\r');
  t.equal(page(a), 'management');
  a.type('192.0.2.21/24\r192.0.2.1\r');
  a.type('192.0.2.100\r\r\r');
  t.equal(page(a), 'password', a.state.message);
  a.type(`${PASSWORD}\r${PASSWORD}\r`);
  a.type('\r');
  t.equal(page(a), 'guest', a.state.message);
  a.type('\r'.repeat(6));
  t.equal(page(a), 'summary', a.state.message);
}

t.test('from the first page to the files of both', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  toPairing(a, b);
  t.strictSame([page(a), page(b)], ['pairing', 'pairing'], `${a.state.message} ${b.state.message}`);
  t.strictSame([a.state.values.coServer, b.state.values.coServer], ['A', 'B'], 'each has its letter, unasked');
  pair(a, b);
  t.ok(a.duties.some((d) => d.kind === 'confirm' && d.code === '123456'));
  answerA(a);
  a.type('\r');
  t.match(a.text(), /192\.0\.2\.21.*has not said|not said yet/);
  t.match(a.state.message, /starts as soon as the other server/);
  t.equal(a.written, null, 'nothing is written before the other one is ready');
  look(a, b);
  // The second server: what the first was told is there already.
  b.type('\r\r192.0.2.22/24\r\r');
  t.match(b.text(), /192\.0\.2\.100/);
  b.type('\r\r\r');
  t.equal(page(b), 'password');
  t.match(b.text(), /As on the other server < yes >/);
  b.type('\r');
  b.type('\r');
  b.type('\r'.repeat(6));
  t.equal(page(b), 'summary', b.state.message);
  look(a, b);
  t.match(b.text(), /The other server is ready/);
  b.type('\r');
  look(a, b);
  t.strictSame([page(a), page(b)], ['done', 'done']);
  const configs = [a, b].map((d) => {
    const files = Object.fromEntries((d.written ?? []).map((f) => [f.path, f.text]));
    t.strictSame(Object.keys(files), ['nics', 'config.yaml'], 'the configuration last');
    return { config: parseConfig(files['config.yaml'] ?? '', 'config.yaml'), nics: files['nics'] };
  });
  const [ofA, ofB] = configs;
  t.strictSame([ofA?.config.coServer, ofB?.config.coServer], ['A', 'B']);
  t.strictSame([ofA?.config.pair.id, ofB?.config.pair.id], [PAIR_ID, PAIR_ID]);
  t.strictSame(ofA?.config.links, [
    { nic: 'link1', address: '169.254.76.1', peer: '169.254.76.2' },
    { nic: 'link2', address: '169.254.77.1', peer: '169.254.77.2' },
  ]);
  t.strictSame(
    ofB?.config.links.map((l) => l.address),
    ['169.254.76.2', '169.254.77.2'],
  );
  t.strictSame(ofA?.config.management, { nic: 'mgmt0', address: '192.0.2.21', peer: '192.0.2.22' });
  t.strictSame(ofA?.config.console.urls, { A: 'https://192.0.2.21/', B: 'https://192.0.2.22/' });
  t.strictSame(ofA?.config.console.urls, ofB?.config.console.urls);
  t.strictSame([ofA?.config.console.passwordHash, ofB?.config.console.passwordHash], [HASH, HASH]);
  t.strictSame({ ...ofA?.config.workload }, { ...ofB?.config.workload }, 'one guest');
  t.equal(
    ofA?.nics,
    'link1 52:54:00:00:aa:01 169.254.76.1/30\nlink2 52:54:00:00:aa:02 169.254.77.1/30\nlan0 52:54:00:00:aa:03 -\nmgmt0 52:54:00:00:aa:04 192.0.2.21/24 192.0.2.1\n',
  );
});

t.test('the password: rules, twice, and never on a screen', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  toPairing(a, b);
  pair(a, b);
  a.type('\r\r192.0.2.21/24\r\r192.0.2.100\r\r\r');
  t.equal(page(a), 'password');
  const screens: string[] = [];
  const refused = (typed: string, why: RegExp) => {
    a.type(`${typed}\r`);
    screens.push(a.text());
    a.type(`${typed}\r`);
    t.equal(page(a), 'password');
    t.match(a.state.message, why);
    screens.push(a.text());
  };
  refused('short', /12 characters/);
  refused('twinsteptwinstep', /first that are tried/);
  refused('xyxyxyxyxyxyxy', /first that are tried/);
  a.type(`${PASSWORD}\r${PASSWORD}x\r`);
  t.match(a.state.message, /not the same/);
  a.type('\r\r');
  t.match(a.state.message, /12 characters/, 'there is none by default');
  a.type(`${PASSWORD}\r${PASSWORD}`);
  screens.push(a.text());
  t.match(a.text(), /Password \*{17}/);
  a.type('\r');
  t.equal(page(a), 'clock');
  t.notOk(screens.join(' ').includes(PASSWORD) || screens.join(' ').includes('twinsteptwin'), 'never shown');
  t.notOk(JSON.stringify(a.state).includes(PASSWORD), 'forgotten once it is hashed');
  t.equal(passwordProblem('x'.repeat(PASSWORD_MIN_CHARS - 1)) === null, false);
  t.equal(passwordProblem(PASSWORD), null);
});

t.test('crossed cables stand in the way until they are right, or a person says so', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  const crossed = [
    [1, 2],
    [2, 1],
    [3, 3],
    [4, 4],
  ] as const;
  // Both choose before they hear each other.
  for (const d of [a, b]) d.facts = { ...d.facts, heard: [] };
  a.type('\r');
  // Nothing heard yet: links are chosen by hand.
  for (const d of [a]) d.type('  \r   \r    \r');
  b.type('b\r');
  b.state = {
    ...b.state,
    page: 'cables',
    roles: Object.fromEntries(b.facts.nics.map((n, i) => [n.mac, (['link1', 'link2', 'lan0', 'mgmt0'] as const)[i] ?? 'none'])),
  };
  a.state = {
    ...a.state,
    page: 'cables',
    roles: Object.fromEntries(a.facts.nics.map((n, i) => [n.mac, (['link1', 'link2', 'lan0', 'mgmt0'] as const)[i] ?? 'none'])),
  };
  look(a, b, crossed);
  t.match(a.text(), /Crossed: port 1 here is connected to port 2 there \(link 1 here, link 2 there\)/);
  a.type('\r');
  t.equal(page(a), 'cables');
  t.match(a.state.message, /^Not yet: put right what is marked, or answer 'Go on with them as they are' with yes\.$/);
  look(a, b, CABLES);
  t.equal(a.state.message, '', 'put right: nothing is said of it any more');
  look(a, b, crossed);
  a.type('y\r');
  t.equal(page(a), 'pairing', 'a person may');
  a.type('\x03');
  t.equal(page(a), 'cables');
  look(a, b, CABLES);
  t.notMatch(a.text(), /Crossed/);
  a.type('\r');
  t.equal(page(a), 'pairing');
});

t.test('codes that differ, a code that is not answered, a key of before', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  toPairing(a, b);
  a.pairing({ phase: 'code', code: '123456', sentence: 'Compare.' });
  a.feed({ kind: 'looked' });
  t.match(a.text(), /123 456/);
  a.type('\r');
  t.match(a.state.message, /Look at the other server's screen/);
  t.equal(a.duties.length, 0, 'Enter alone confirms nothing');
  a.type('n\r');
  t.strictSame(a.duties, [{ kind: 'differ' }]);
  a.type('y');
  a.pairing({ phase: 'code', code: '654321', sentence: 'Compare.' });
  a.type('\r');
  t.strictSame(a.duties.at(-1), { kind: 'differ' }, 'a yes to another code counts for nothing');
  a.pairing({ phase: 'paired', fingerprint: '1a2b-3c4d-5e6f' });
  a.type('y\r');
  t.strictSame(a.duties.at(-1), { kind: 'forgetKey' });
  t.equal(page(a), 'pairing');
});

t.test('answers that cannot be are refused where they are given', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  toPairing(a, b);
  pair(a, b);
  a.type('\r\r');
  const refused = (typed: string, why: RegExp) => {
    a.type(typed);
    t.match(a.state.message, why);
    a.type('\x7f'.repeat(40));
  };
  a.type('192.0.2.21\r\r');
  t.match(a.state.message, /like 192\.0\.2\.21\/24/);
  t.equal(a.state.cursor, 0, 'where it was wrong');
  a.type('\x7f'.repeat(20));
  a.type('169.254.76.9/24\r\r');
  t.match(a.state.message, /belongs to the links/);
  a.type('\x7f'.repeat(20));
  a.type('192.0.2.21/24\r');
  refused('198.51.100.1\r', /not in the network/);
  a.type('\r');
  t.equal(page(a), 'helpers');
  a.type('nowhere\r\r\r');
  t.match(a.state.message, /address of the witness is needed/);
});

t.test('a disk that holds something needs a word', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  const holds = "It holds the guest's disk of another pair (1234abcd): used here, that copy is given up.";
  a.facts = { ...a.facts, disks: [...a.facts.disks, { path: '/dev/nvme1n1', text: '/dev/nvme1n1: INTEL', mib: 30_000, holds }] };
  toPairing(a, b);
  pair(a, b);
  answerA(a);
  a.type('\x03');
  t.equal(page(a), 'guest');
  a.type('\r\r\r\r\r ');
  t.match(a.text(), /another pair \(1234abcd\)/);
  a.type('\r\r');
  t.equal(page(a), 'guest');
  t.match(a.state.message, /another pair/);
  a.type('yes\r');
  t.equal(page(a), 'guest');
  a.type('\x7f\x7f\x7fuse\r');
  t.equal(page(a), 'summary');
  a.type('\x03\r\r\r\r');
  a.type('\x7f\x7f\x7f\x7f40000\r\r\ruse\r');
  t.match(a.state.message, /room for 30000 MiB/);
});

t.test('two that were told different things do not start', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  toPairing(a, b);
  pair(a, b);
  answerA(a);
  answerA(b);
  b.state = { ...b.state, values: { ...b.state.values, 'guest.memoryMiB': '4096', 'management.address': '192.0.2.22/24' } };
  look(a, b);
  a.type('\r');
  t.match(a.state.message, /guest\.memoryMiB is '2048' here and '4096' on the other server/);
  b.state = { ...b.state, values: { ...b.state.values, 'guest.memoryMiB': '2048', 'management.address': '192.0.2.21/24' } };
  look(a, b);
  a.type('\r');
  t.match(a.state.message, /Both servers have the address 192\.0\.2\.21/);
});

t.test('a full disk: said, and answered again', async (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  toPairing(a, b);
  pair(a, b);
  answerA(a);
  look(a, b);
  a.state = { ...a.state, isAgreed: true, busy: 'write' };
  a.feed({ kind: 'written', problem: 'There is no room left.' });
  t.equal(page(a), 'summary');
  t.match(a.text(), /no room left/);
});

t.test('every page fits, whatever happens', async (t) => {
  const [a, b] = [new Dialogue('a', 14), new Dialogue('b', 14)];
  const seen = new Set<string>();
  const check = (d: Dialogue) => {
    const screen = d.screen();
    seen.add(page(d));
    t.equal(screen.length, 24);
    for (const row of screen) if (row.length > 80) t.fail(`${row.length}: ${row}`);
    t.notMatch(d.text(), /undefined|NaN/);
    // What is asked is always to be seen.
    for (const f of fieldsOf(d.state, d.facts))
      if (page(d) !== 'ports')
        t.ok(
          d.screen().some((row) => row.includes(f.label)),
          `${page(d)}: ${f.label}`,
        );
  };
  const everywhere = [1, 2, 3, 4].flatMap((x) => [1, 2, 3, 4].map((y) => [x, y] as const));
  look(a, b, everywhere);
  check(a);
  for (const p of PAGES) {
    a.state = { ...a.state, page: p, values: { ...a.state.values, coServer: 'A', password: HASH } };
    a.pairing({ phase: 'code', code: '123456', sentence: 'This CoServer shows the code.', trouble: 'Something is wrong. '.repeat(12) });
    a.facts = {
      ...a.facts,
      qualification: {
        verdict: 'refused',
        sentence: 'They differ.',
        items: Array.from({ length: 9 }, (_, i) => ({
          item: `Thing ${i}`,
          a: 'x'.repeat(30),
          b: 'y'.repeat(30),
          rule: 'Because. '.repeat(20),
        })),
      },
    };
    a.feed({ kind: 'looked' });
    check(a);
  }
  t.equal(seen.size, PAGES.length);
});
