// What each server is made of is read, told, compared and kept: in the order in which it comes, over restarts of either side.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock } from 'node:test';
import t, { type Test } from 'tap';
import type { Qualification } from '../../../../../appliance/core/machine.ts';
import { QualificationWatch, type Qualifier } from '../../../../../appliance/runtime/sources/qualification.ts';
import { parseFactsMessage } from '../../../../../appliance/wire/partner-facts.ts';

interface Server {
  coServer: 'A' | 'B';
  bios: string;
}

const server = (coServer: 'A' | 'B', bios: string): Server => ({ coServer, bios });

function qualifierOf(read: () => Promise<Server>): Qualifier<Server> {
  return {
    read,
    parse: (value) => {
      const { coServer, bios } = value as Partial<Server>;
      if ((coServer !== 'A' && coServer !== 'B') || typeof bios !== 'string') throw new Error('bios is missing');
      return { coServer, bios };
    },
    compare: (a, b) =>
      a.bios === 'not known'
        ? { verdict: 'unknown', sentence: 'BIOS not known', items: [] }
        : a.bios === b.bios
          ? { verdict: 'passed', sentence: 'alike', items: [] }
          : {
              verdict: 'refused',
              sentence: `BIOS ${a.bios} on A, ${b.bios} on B`,
              items: [{ item: 'BIOS', verdict: 'refused', a: a.bios, b: b.bios, rule: 'the same' }],
            },
    changes: (before, now) => (before.bios === now.bios ? [] : [`BIOS ${before.bios} -> ${now.bios}`]),
    settle: (before, now) => (now.bios === 'no carrier' ? before : now),
  };
}

function setUp(t: Test, options: { bios?: () => string; stateDir?: string; off?: boolean } = {}) {
  const stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), 'qualification-'));
  const told: string[] = [];
  const judged: (Qualification | null)[] = [];
  const history: string[] = [];
  let reads = 0;
  const qualifier = qualifierOf(async () => {
    reads++;
    return server('A', options.bios?.() ?? '1.2');
  });
  const watch = new QualificationWatch({
    qualifier: options.off ? null : qualifier,
    coServer: 'A',
    incarnation: 'mine',
    stateDir,
    tell: (text) => told.push(text),
    judged: (q) => judged.push(q),
    history: { add: ({ text }) => void history.push(text) },
  });
  t.teardown(() => {
    watch.stop();
    rmSync(stateDir, { recursive: true, force: true });
  });
  return { watch, told, judged, history, stateDir, reads: () => reads };
}

t.test('compared when both are known: whichever is known first', async (t) => {
  for (const order of ['own first', 'partner first'] as const) {
    const { watch, told, judged } = setUp(t);
    const partner = () => {
      watch.partnerIs('life 1');
      watch.partnerTold({ incarnation: 'life 1', server: server('B', '1.3') });
    };
    if (order === 'partner first') partner();
    t.same(judged, []);
    watch.start();
    await watch.settled();
    if (order === 'own first') partner();
    t.same(judged, [{ verdict: 'refused', sentence: 'BIOS 1.2 on A, 1.3 on B' }], order);
    t.same(parseFactsMessage(JSON.parse(told[0] ?? '')), { incarnation: 'mine', server: server('A', '1.2') });
    t.match(watch.latest, { own: { bios: '1.2' }, partner: { bios: '1.3' }, qualification: { verdict: 'refused' } });
    t.match(watch.items, [{ item: 'BIOS', a: '1.2', b: '1.3' }]);
  }
});

t.test('a partner that was restarted has to tell again, whichever of its messages comes first', async (t) => {
  const { watch, judged } = setUp(t);
  watch.start();
  await watch.settled();
  watch.partnerTold({ incarnation: 'life 1', server: server('B', '1.2') });
  t.same(judged, [], 'not before its status says that this is its life');
  watch.partnerIs('life 1');
  watch.partnerIs('life 1');
  t.same(
    judged.map((q) => q?.verdict),
    ['passed'],
  );
  watch.partnerIs('life 2');
  t.equal(judged.at(-1), null, 'what it was made of before does not count');
  t.equal(watch.latest?.partner, null);
  watch.partnerTold({ incarnation: 'life 1', server: server('B', '1.2') });
  t.equal(judged.at(-1), null);
  watch.partnerTold({ incarnation: 'life 2', server: server('B', '1.3') });
  t.equal(judged.at(-1)?.verdict, 'refused');
});

t.test('facts that are wrong, or of a CoServer of the own name, are refused', async (t) => {
  const { watch, judged } = setUp(t);
  watch.start();
  await watch.settled();
  watch.partnerIs('life 1');
  t.throws(() => watch.partnerTold({ incarnation: 'life 1', server: {} }), /bios is missing/);
  t.throws(() => watch.partnerTold({ incarnation: 'life 1', server: server('A', '1.2') }), /which is this one/);
  t.same(judged, []);
});

t.test('what has changed since the last start is told, with its date', async (t) => {
  const first = setUp(t, { bios: () => '1.2' });
  first.watch.start();
  await first.watch.settled();
  t.same(first.history, [], 'nothing is known of before');
  const file = join(first.stateDir, 'qualification.json');
  t.equal(statSync(file).mode & 0o777, 0o600);
  const kept = JSON.parse(readFileSync(file, 'utf8')) as { readAt: string };
  writeFileSync(file, JSON.stringify({ ...kept, readAt: '2026-11-20T10:00:00.000Z' }));
  const second = setUp(t, { bios: () => '1.3', stateDir: first.stateDir });
  second.watch.start();
  await second.watch.settled();
  t.match(second.history, [/not as it was: BIOS 1\.2 -> 1\.3, since 2026-11-20\./]);
  const third = setUp(t, { bios: () => '1.3', stateDir: first.stateDir });
  third.watch.start();
  await third.watch.settled();
  t.same(third.history, [], 'told once');
  for (const damage of ['', '{', '{"own":{},"readAt":"2026-11-20"}', '{"own":{"coServer":"A","bios":"1"},"readAt":"x"}', 'null']) {
    writeFileSync(file, damage);
    const after = setUp(t, { stateDir: first.stateDir });
    after.watch.start();
    await after.watch.settled();
    t.equal(after.told.length, 1, `a damaged file (${damage}) hinders nothing`);
  }
});

t.test('a link that comes up: read again, told when it is another', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  let bios = '1.2';
  const { watch, told, reads } = setUp(t, { bios: () => bios });
  watch.start();
  await watch.settled();
  for (let i = 0; i < 5; i++) watch.linkUp();
  mock.timers.tick(2_000);
  await watch.settled();
  t.equal(reads(), 2, 'five links that come up are one reading');
  t.equal(told.length, 1, 'the same is not told again');
  bios = 'no carrier';
  watch.linkUp();
  mock.timers.tick(2_000);
  await watch.settled();
  t.equal(told.length, 1, 'what cannot be read now is as it was');
  bios = '1.3';
  watch.linkUp();
  mock.timers.tick(2_000);
  await watch.settled();
  t.equal(told.length, 2);
});

t.test('what could not be read is asked for again each minute, until it is known', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  let bios = 'not known';
  const { watch, judged, reads } = setUp(t, { bios: () => bios });
  watch.start();
  await watch.settled();
  watch.partnerIs('life 1');
  watch.partnerTold({ incarnation: 'life 1', server: server('B', '1.2') });
  t.equal(judged.at(-1)?.verdict, 'unknown');
  for (const n of [2, 3]) {
    mock.timers.tick(60_000);
    await watch.settled();
    t.equal(reads(), n);
  }
  bios = '1.2';
  mock.timers.tick(60_000);
  await watch.settled();
  t.equal(judged.at(-1)?.verdict, 'passed');
  mock.timers.tick(600_000);
  await watch.settled();
  t.equal(reads(), 4, 'and no more');
});

t.test('a partner that never tells is said to be silent', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const { watch, judged } = setUp(t);
  watch.start();
  await watch.settled();
  watch.partnerIs('life 1');
  mock.timers.tick(59_000);
  t.same(judged, []);
  mock.timers.tick(1_000);
  t.match(judged, [{ verdict: 'unknown', sentence: /CoServer B has not told .*policy may be none/ }]);
  watch.partnerTold({ incarnation: 'life 1', server: server('B', '1.2') });
  t.equal(judged.at(-1)?.verdict, 'passed', 'late is early enough');
  mock.timers.tick(100_000);
  t.equal(judged.length, 2);
});

t.test('policy none: nothing is read, told or kept', async (t) => {
  const { watch, told, judged, reads } = setUp(t, { off: true });
  watch.start();
  watch.linkUp();
  watch.partnerIs('life 1');
  watch.partnerTold({ incarnation: 'life 1', server: {} });
  await watch.settled();
  t.same([told.length, judged.length, reads(), watch.latest], [0, 0, 0, null]);
});
