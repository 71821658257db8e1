// The restore points in words: where they are, what is wrong with one, and why none can be gone back to now.
import t from 'tap';
import { consoleModel } from '../../../../appliance/console/model.ts';
import { pointsModel } from '../../../../appliance/console/point-views.ts';
import { pointLines } from '../../../../appliance/console/serial/point-pages.ts';
import type { ActionView, RestorePointView } from '../../../../appliance/core/snapshot.ts';
import { duplex } from './fixtures.ts';

const point = (name: string, more: Partial<RestorePointView> = {}): RestorePointView => ({
  name,
  takenAt: Date.UTC(2026, 10, 21, 10, 0),
  kind: 'operator',
  on: ['A', 'B'],
  keptBytes: 4096,
  trouble: '',
  inUse: false,
  ...more,
});
const back = (name: string, reason: string): ActionView => ({
  name: `roll-back-to-${name}`,
  label: `Go back to ${name}`,
  allowed: reason === '',
  reason,
});

t.test('why none can be gone back to is said once, on both consoles', async (t) => {
  const restorePoints = [point('two'), point('one', { on: ['A'], trouble: 'its place is full' })];
  const off = 'Shut the guest down first.';
  const picture = { ...duplex(), restorePoints, actions: [back('two', off), back('one', off)] };
  const model = consoleModel(picture);
  t.match(model.points, {
    tone: 'warning',
    whyNotBack: off,
    points: [{ on: 'A and B' }, { on: 'A only', trouble: 'cannot be used: its place is full' }],
  });
  const lines = pointLines(model, 80).map((line) => JSON.stringify(line));
  t.equal(lines.filter((line) => line.includes(`To go back to one: ${off}`)).length, 1);
});

t.test('one whose file cannot be read now is no loss, and says so on both consoles', async (t) => {
  const restorePoints = [point('two', { unavailable: 'EIO' }), point('one')];
  const model = consoleModel({ ...duplex(), restorePoints });
  t.match(model.points, { brief: /1 not available now$/, tone: 'warning', points: [{ trouble: 'not available: EIO', tone: 'warning' }] });
  const lines = pointLines(model, 80).map((line) => JSON.stringify(line));
  t.equal(lines.filter((line) => line.includes('not available: EIO')).length, 1);
});

t.test('one that can be gone back to needs no reason', async (t) => {
  const picture = { ...duplex(), restorePoints: [point('one')], actions: [back('one', '')] };
  t.equal(pointsModel(picture, []).whyNotBack, '');
  t.equal(pointsModel({ ...picture, restorePoints: [], actions: [] }, []).whyNotBack, '');
});
