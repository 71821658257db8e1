import t from 'tap';
import { RangeLock } from '../../../../appliance/mirror/range-lock.ts';

t.test('overlapping changes follow each other in order, others do not wait', async (t) => {
  const lock = new RangeLock();
  const log: string[] = [];
  const ends = new Map<string, () => void>();
  const change = (name: string, start: number, end: number): Promise<void> =>
    lock.with(start, end, async () => {
      log.push(name);
      await new Promise<void>((resolve) => ends.set(name, resolve));
    });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const all = [change('a', 0, 10), change('b', 5, 15), change('c', 20, 30), change('d', 14, 21), change('e', 10, 14), change('f', 30, 31)];
  await turn();
  t.same(log, ['a', 'c', 'f'], 'e waits for b, which came earlier, though nothing holds its range');
  ends.get('a')?.();
  await turn();
  t.same(log.slice(3), ['b']);
  ends.get('b')?.();
  await turn();
  t.same(log.slice(4), ['e'], 'd waits for c');
  ends.get('c')?.();
  await turn();
  t.same(log.slice(5), ['d']);
  for (const name of ['d', 'e', 'f']) ends.get(name)?.();
  await Promise.all(all);
});

t.test('a change that fails leaves the lock', async (t) => {
  const lock = new RangeLock();
  await t.rejects(
    lock.with(0, 10, async () => {
      throw new Error('no');
    }),
    /no/,
  );
  t.equal(await lock.with(0, 10, async () => 7), 7);
});
