import t from 'tap';
import { reportPage } from '../../../../hwqual/campaigns/report-page.ts';
import { runStory } from '../../../../hwqual/campaigns/story.ts';
import { chart, niceTicks, shortNumber } from '../../../../hwqual/campaigns/svg-chart.ts';
import { FakeClients, FakeClock, FakeLab, type Faults } from './fake-pair.ts';

async function page(faults: Faults): Promise<string> {
  const clock = new FakeClock();
  return reportPage(await runStory({ rounds: 6, lab: new FakeLab(clock, faults), clients: new FakeClients(clock, faults), clock }));
}

t.test('a page of its own', async (t) => {
  const html = await page({});
  t.match(html, /Nothing was lost and no connection hung in 6 rounds/);
  t.notMatch(html, /https?:\/\//, 'it loads nothing');
  t.notMatch(html, /NaN|undefined|Infinity|null/);
  t.match(html, /&lt;&amp;&gt;/, 'texts are escaped');
  t.notMatch(html, /<&>/);
  t.equal(html.match(/<svg/g)?.length, html.match(/<\/svg>/g)?.length);
});

t.test('a failure is what one sees first', async (t) => {
  const html = await page({ hang: true, neverDuplex: true });
  t.match(html, /<b>Failed\.<\/b>/);
  t.notMatch(html, /Nothing was lost/);
  t.notMatch(html, /NaN|undefined|Infinity/);
});

t.test('charts', async (t) => {
  const common = { title: 'T <1>', unit: 'ms', xLabel: String, xTitle: 'x' };
  t.match(chart({ ...common, style: 'line', series: [] }), /No data/);
  const one = chart({ ...common, style: 'dots', log: true, series: [{ name: 's', color: '#000', points: [{ x: 1, y: 0 }] }] });
  t.notMatch(one, /NaN|Infinity/, 'a single point at zero on a logarithmic axis');
  t.match(one, /T &lt;1&gt;/);
  const bars = chart({
    ...common,
    style: 'bars',
    series: [
      {
        name: 's',
        color: '#000',
        points: [
          { x: 1, y: 5 },
          { x: 2, y: 10 },
        ],
      },
    ],
  });
  const heights = [...bars.matchAll(/<rect[^>]* height="([\d.]+)"/g)].map((match) => Number(match[1]));
  t.equal((heights[1] ?? 0) / (heights[0] ?? 1), 2, 'bars are as high as their values');
  const markers = Array.from({ length: 30 }, (_, x) => ({ x, text: 'power off A' }));
  const crowded = chart({
    ...common,
    style: 'line',
    markers,
    series: [
      {
        name: 's',
        color: '#000',
        points: [
          { x: 0, y: 1 },
          { x: 29, y: 2 },
        ],
      },
    ],
  });
  t.equal(crowded.match(/<line class="marker"/g)?.length, 30, 'every marker keeps its line');
});

t.test('numbers', async (t) => {
  t.strictSame(niceTicks(9, 4), [0, 5, 10]);
  t.strictSame(niceTicks(0.23, 4), [0, 0.1, 0.2, 0.3]);
  t.strictSame(niceTicks(0, 4), [0, 1]);
  t.strictSame([0, 0.5, 999, 12_345, 2_500_000].map(shortNumber), ['0', '0.5', '999', '12.3k', '2.5M']);
});
