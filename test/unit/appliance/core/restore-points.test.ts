import t from 'tap';
import { pointActions, whyNotPoint } from '../../../../appliance/core/restore-points.ts';
import { planPoints, stampOf } from '../../../../appliance/core/restore-schedule.ts';
import type { RestorePointView } from '../../../../appliance/core/snapshot.ts';
import { duplexState } from './duplex-state.ts';

const MINUTE = 60_000;
const NOW = Date.UTC(2025, 10, 21, 9, 30, 5);

const point = (name: string, takenAt: number, more: Partial<RestorePointView> = {}): RestorePointView => ({
  name,
  takenAt,
  kind: 'scheduled',
  on: ['A', 'B'],
  keptBytes: 0,
  trouble: '',
  inUse: false,
  ...more,
});

t.test('the stamp is the date of the calendar', async (t) => {
  for (const at of [0, NOW, Date.UTC(2024, 1, 29, 23, 59, 59), Date.UTC(2000, 1, 29), Date.UTC(2100, 2, 1), Date.UTC(1999, 11, 31, 12)])
    t.equal(stampOf(at), new Date(at).toISOString().slice(0, 19).replaceAll('-', '').replaceAll(':', '').replace('T', '-'));
});

t.test('off: nothing is taken and nothing removed', async (t) => {
  t.same(planPoints({ everyMinutes: 0, keep: 1 }, [point('a', 1), point('b', 2)], NOW), { take: null, remove: [] });
});

t.test('one when it is due, also when there is none or the clock was set back', async (t) => {
  const schedule = { everyMinutes: 60, keep: 3 };
  t.equal(planPoints(schedule, [], NOW).take, 's-20251121-093005');
  t.equal(planPoints(schedule, [point('a', NOW - 59 * MINUTE)], NOW).take, null);
  t.equal(planPoints(schedule, [point('a', NOW - 60 * MINUTE)], NOW).take, 's-20251121-093005');
  t.equal(
    planPoints(schedule, [point('a', NOW - MINUTE, { kind: 'operator' })], NOW).take,
    's-20251121-093005',
    "an operator's does not count",
  );
  t.equal(planPoints(schedule, [point('a', NOW + MINUTE)], NOW).take, 's-20251121-093005');
});

t.test('the oldest scheduled ones beyond what is kept are removed, oldest first, never what was asked for or is read', async (t) => {
  const points = [
    point('a', 1),
    point('b', 2, { inUse: true }),
    point('c', 3),
    point('d', 4, { kind: 'operator' }),
    point('e', 5),
    point('f', NOW),
  ];
  t.same(planPoints({ everyMinutes: 60, keep: 2 }, points, NOW), { take: null, remove: ['a', 'c'] });
});

t.test('who may do what, and the reason why not', async (t) => {
  const s = duplexState();
  const known = {
    points: [point('p', 1), point('q', 2, { on: ['B'] }), point('r', 3, { trouble: 'damaged' })],
    refusal: '',
    rollingBack: null,
  };
  const at = (kind: typeof s.phase.kind) => ({
    ...s,
    phase: { ...s.phase, kind },
    record: { ...s.record, standing: kind === 'off' ? ('simplex' as const) : s.record.standing },
  });
  t.equal(whyNotPoint(s, known, 'take', 'x'), null);
  t.match(whyNotPoint(at('secondary'), known, 'take', 'x'), /ask there/);
  t.match(whyNotPoint(at('starting'), known, 'take', 'x'), /under way/);
  t.match(whyNotPoint(s, known, 'roll-back', 'p'), /shut the guest down first/);
  t.equal(whyNotPoint(at('off'), known, 'roll-back', 'p'), null);
  t.match(whyNotPoint(at('off'), known, 'roll-back', 'q'), /not on this CoServer/);
  t.match(whyNotPoint(at('off'), known, 'roll-back', 'r'), /cannot be used: damaged/);
  t.match(whyNotPoint({ ...at('off'), record: s.record }, known, 'roll-back', 'p'), /on the CoServer that switched the workload off/);
  t.match(whyNotPoint(at('off'), { ...known, rollingBack: 'p' }, 'take', 'x'), /being rolled back to 'p'/);
  t.equal(whyNotPoint(at('off'), { ...known, rollingBack: 'p' }, 'roll-back', 'p'), null, 'one that failed may be done again');
  t.equal(whyNotPoint(at('secondary'), known, 'export', 'p'), null);
  t.match(whyNotPoint(s, known, 'export', 'q'), /on the other CoServer/);
  t.match(whyNotPoint(s, known, 'remove', 'none'), /no restore point 'none'/);
  t.match(whyNotPoint(s, { ...known, refusal: 'no folder' }, 'take', 'x'), /no folder/);
  const actions = pointActions(s, known);
  t.equal(actions.length, 7);
  t.same(actions.find((a) => a.name === 'roll-back-to-p')?.typed?.word, 'roll back');
  t.ok(actions.every((a) => a.allowed === (a.reason === '')));
});
