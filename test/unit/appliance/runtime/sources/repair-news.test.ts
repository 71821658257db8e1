// Repairs are told: the first at once, a flood of them together.
import t from 'tap';
import { type Repaired, RepairNews } from '../../../../../appliance/runtime/sources/repair-news.ts';

const at = (offset: number, side: Repaired['side'] = 'own'): Repaired => ({
  offset,
  lengthBytes: 4096,
  side,
  why: 'it could not be read',
  foundBy: 'read',
});

t.test('the first at once, what follows together', async (t) => {
  const { promise: second, resolve } = Promise.withResolvers<void>();
  const told: string[] = [];
  const news = new RepairNews((text) => {
    told.push(text);
    if (told.length === 2) resolve();
  }, 20);
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  news.repaired(at(4096));
  t.match(told, [/^A block of the copy here at byte 4096 was written again .*\(it could not be read\)/]);
  for (let i = 0; i < 1000; i++) news.repaired(at(8192 + i * 4096, 'partner'));
  t.equal(told.length, 1);
  await second;
  t.match(told[1], /^4096000 more bytes .* A block of the partner's copy at byte 4100096 last/);
  news.repaired(at(0));
  t.equal(told.length, 3, 'then the next one at once again');
  news.repaired(at(4096));
  news.flush();
  t.match(told[3], /^4096 more bytes/, 'before something that sums it up');
  news.flush();
  t.equal(told.length, 4);
});
