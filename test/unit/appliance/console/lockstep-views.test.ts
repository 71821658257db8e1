import t from 'tap';
import { percentText } from '../../../../appliance/console/format.ts';
import { consoleModel } from '../../../../appliance/console/model.ts';
import type { Snapshot } from '../../../../appliance/core/snapshot.ts';
import { duplex, FIXTURES, NOW, resyncing, takeoverJustHappened } from './fixtures.ts';
import { lockstep, notProven, unfit } from './lockstep-fixtures.ts';

t.test('protected is said only of a pair whose secondary is proven', async (t) => {
  const standings = [lockstep, duplex, notProven, unfit, takeoverJustHappened, resyncing].map((make) => {
    const { standing, tone } = consoleModel(make()).headline;
    return [standing.kind, standing.tone, tone];
  });
  t.strictSame(standings, [
    ['protected', 'good', 'good'],
    ['protected', 'good', 'good'],
    ['unproven', 'warning', 'warning'],
    ['unfit', 'critical', 'warning'],
    ['alone', 'warning', 'warning'],
    ['alone', 'warning', 'warning'],
  ]);
  t.match(consoleModel(notProven()), {
    headline: { word: 'SIMPLEX', standing: { text: 'not protected yet: both replicas run, B is not proven' } },
    coServers: { 1: { part: 'replica not proven yet', replica: 'unproven', tone: 'warning' } },
    workload: { facts: [{ value: 'A, replica on B (not proven yet)' }] },
  });
  t.match(consoleModel(unfit()).coServers[1], { part: 'unfit, being replaced', replica: 'unfit', tone: 'critical' });
});

t.test('a picture that says duplex while the audit is open does not look protected anywhere', async (t) => {
  for (const state of ['awaited', 'broken'] as const) {
    const { audit, ...s } = lockstep();
    if (!audit) throw new Error('audit');
    const m = consoleModel({ ...s, audit: { ...audit, state } });
    t.not(m.headline.tone, 'good', state);
    t.not(m.coServers[1]?.tone, 'good', state);
    t.not(m.singlePoints.tone, 'good', state);
    t.notMatch(m.singlePoints.title, /No single failure/, state);
  }
});

t.test('a guest that answers no probe is protected, and the console says what is not proven', async (t) => {
  const { audit, ...s } = lockstep();
  if (!audit) throw new Error('audit');
  const m = consoleModel({ ...s, audit: { ...audit, state: 'unprovable' } });
  t.equal(m.headline.standing.kind, 'protected');
  t.match(m.audit, { tone: 'warning', word: 'only its memory is compared' });
});

t.test('mode: why, since when, how much agreed, what asked for checkpoints', async (t) => {
  const { mode } = consoleModel(lockstep());
  t.match(mode, {
    word: 'lockstep',
    tone: 'good',
    sentence: /Both replicas say the same/,
    brief: 'lockstep for 12 min 04 s, 98.7 % agreed',
  });
  t.strictSame(
    mode.facts.map((f) => f.value),
    ['12 min 04 s', 'the policy', '98.7 %, last minute'],
  );
  t.strictSame(
    mode?.causes.map((c) => [c.perMinute, c.total]),
    [
      ['2.1', '812'],
      ['0.3', '96'],
      ['<0.1', '14'],
      ['0.0', '3'],
    ],
  );
  t.match(consoleModel(unfit()).mode, {
    word: 'passive',
    tone: 'info',
    brief: 'passive for 1 h 23 min, pinned',
    facts: [{ value: '1 h 23 min' }, { value: 'operator: passive' }, { value: 'none to compare' }],
  });
  // A secondary knows of both replicas and of no mode: it is not to say that there is one replica.
  const secondary = { ...lockstep(), lockstep: null, audit: null };
  t.match(consoleModel(secondary), { mode: { word: 'chosen on A', tone: 'info', causes: [] }, audit: null });
  const level2 = { ...secondary, workload: { ...secondary.workload, level: 'highlyAvailable' as const } };
  t.match(consoleModel(level2).mode, { word: 'one replica' });
  t.match(consoleModel(lockstep()).figures[0]?.facts[0], { label: 'Mode', value: 'lockstep' });
});

t.test('shares are rounded to neither end', async (t) => {
  t.strictSame([0, 0.00001, 0.5, 0.99999, 1, Number.NaN].map(percentText), ['0 %', '0.1 %', '50.0 %', '99.9 %', '100 %', 'unknown']);
});

t.test('audit: what was asked and what was compared', async (t) => {
  const values = (s: Snapshot) => consoleModel(s).audit?.facts.map((f) => f.value);
  t.strictSame(values(lockstep()), ['1449 of 1450 probes', '0 answers', '1 s ago', '41200 of 65536', '410 pages/s']);
  t.strictSame(values(notProven()), ['0 of 2 probes', '0 answers', 'none yet', '0 of 65536', '0 pages/s']);
  t.match(consoleModel(unfit()).audit?.facts[1], { value: '4 answers', tone: 'warning' });
  const { audit, ...s } = lockstep();
  if (!audit) throw new Error('audit');
  const pages = (checked: number, total: number) => values({ ...s, audit: { ...audit, pages: { checked, perSecond: 0, total } } })?.[3];
  t.strictSame([pages(65_536, 65_536), pages(200_000, 65_536), pages(7, 0)], ['1.0 x all 65536', '3.1 x all 65536', '7']);
});

t.test('incidents: newest first, bounded, harmless, and their keys stay when others come and go', async (t) => {
  const { incidents } = consoleModel(unfit());
  t.match(incidents, [
    { date: '2025-11-20', clock: '23:45:36', coServer: 'B', found: 'memory differs' },
    { coServer: 'A', found: 'answer missing', evidence: [] },
  ]);
  t.strictSame(consoleModel(duplex()).incidents, []);
  const one = (at: number) => ({ at, coServer: 'B' as const, kind: 'guestPanic' as const, sentence: 'x\u001b[2J', evidence: ['y\u0007'] });
  const many = Array.from({ length: 1000 }, (_, i) => one(NOW + i));
  const keys = (list: typeof many) => consoleModel({ ...duplex(), incidents: list }).incidents.map((i) => i.key);
  t.ok(keys(many).length <= 40);
  t.match(consoleModel({ ...duplex(), incidents: many }).incidents[0], { sentence: 'x?[2J', evidence: ['y?'] });
  t.strictSame(keys(many.slice(1, 4)).slice(1), keys(many.slice(0, 3)).slice(0, 2));
  t.equal(new Set(keys([one(NOW), one(NOW), one(NOW)])).size, 3);
});

t.test('an event keeps its key when the oldest are dropped', async (t) => {
  const { timeline } = takeoverJustHappened();
  const keys = (from: number) => consoleModel({ ...duplex(), timeline: timeline.slice(from) }).events.map((e) => e.key);
  t.strictSame(keys(2), keys(0).slice(0, -2));
});

t.test('a workload that runs alone has one replica and no mode; passive is a mode', async (t) => {
  for (const [name, make] of Object.entries(FIXTURES)) {
    const word = make().redundancy === 'duplex' ? 'passive' : 'one replica';
    t.match(consoleModel(make()), { mode: { word, causes: [] }, audit: null, incidents: [] }, name);
  }
});
