// A comparison that has ended is told: how much, how long, what was found and what became of it.
import t from 'tap';
import type { ScrubView } from '../../../../../appliance/core/snapshot.ts';
import { isClean, scrubNews } from '../../../../../appliance/runtime/sources/scrub-news.ts';

const view = (change: Partial<ScrubView>): ScrubView => ({
  state: 'done',
  startedAt: 1_000,
  endedAt: 726_000,
  checkedBytes: 21_474_836_480,
  totalBytes: 21_474_836_480,
  differed: 0,
  repaired: 0,
  reason: '',
  ...change,
});

t.test('in one line', (t) => {
  const whole = 'Both copies of the disk were compared: 21.5 GB in 12 min 05 s.';
  t.same(scrubNews(view({})), { severity: 'info', row: null, text: `${whole} No block differed.` });
  t.same(scrubNews(view({ differed: 3, repaired: 3 })), {
    severity: 'warning',
    row: '15',
    text: `${whole} 3 blocks differed or could not be read: 3 repaired, none left as found.`,
  });
  t.match(scrubNews(view({ differed: 3, repaired: 1 })), { severity: 'critical', text: /1 repaired, 2 left as found/ });
  t.match(scrubNews(view({ state: 'cutShort', checkedBytes: 5e9, reason: 'the operator stopped it' })), {
    severity: 'warning',
    text: 'The comparison of both copies was cut short after 5 GB of 21.5 GB and 12 min 05 s: the operator stopped it. No block differed.',
  });
  t.same([isClean(view({})), isClean(view({ differed: 1, repaired: 1 })), isClean(view({ state: 'cutShort' }))], [true, false, false]);
  t.end();
});
