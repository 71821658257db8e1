// Lines that come by the hundred leave room for others in the timeline.
import t from 'tap';
import { CountedNews } from '../../../../appliance/runtime/counted-news.ts';

t.test('the first at once, what follows is counted, and each series by itself', async (t) => {
  const { promise: counted, resolve } = Promise.withResolvers<void>();
  const told: string[] = [];
  const news = new CountedNews<{ text: string }>(({ text }) => {
    told.push(text);
    if (told.length === 3) resolve();
  }, 20);
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  for (let i = 0; i < 300; i++) news.add('rot', { text: `block ${i}.` });
  news.add('other', { text: 'another.' });
  t.same(told, ['block 0.', 'another.']);
  await counted;
  t.same(told.slice(2), ['299 times more within 20 ms, at last: block 299.']);
});

t.test('something that sums it up comes after what was counted', (t) => {
  const told: string[] = [];
  const news = new CountedNews<{ text: string }>(({ text }) => told.push(text));
  for (const text of ['a.', 'b.']) news.add('rot', { text });
  news.flush();
  news.flush();
  news.add('rot', { text: 'c.' });
  t.same(told, ['a.', 'Once more within 30 s, at last: b.', 'c.']);
  news.flush();
  t.equal(told.length, 3);
  t.end();
});

t.test('while it goes on it is told more and more seldom', async (t) => {
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  const pauses: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const news = new CountedNews<{ text: string }>(({ text }) => {
    const pause = /within (\d+) ms/.exec(text)?.[1];
    if (pause) pauses.push(pause);
    if (pauses.length === 3) resolve();
    // In the pause that follows.
    else setImmediate(() => news.add('rot', { text: 'again.' }));
  }, 4);
  news.add('rot', { text: 'first.' });
  await promise;
  t.same(pauses, ['4', '8', '16']);
});
