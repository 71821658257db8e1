import t from 'tap';
import type { Sample } from '../../bench/campaign.ts';
import { parseOptions } from '../../bench/options.ts';
import { plots } from '../../bench/plots.ts';
import { figure, headlines, markdown, problems, type Report, terminalText } from '../../bench/report.ts';
import { cell, median, ratio } from '../../bench/summary.ts';

const sample = (round: number, variant: Sample['variant'], values: Record<string, number>, problem: string | null = null): Sample => ({
  round,
  variant,
  measure: 'download',
  values,
  problem,
  usage: null,
  mode: null,
});

const report: Report = {
  at: '2026-01-02T03:04:05.000Z',
  complete: true,
  durationS: 600,
  options: parseOptions({ rounds: '3', measures: 'download', variants: 'plain,gate,lockstep,stock' }),
  machine: {
    cpu: 'a CPU',
    cores: 2,
    memoryGiB: 4,
    kernel: '6.1',
    acceleration: 'KVM',
    qemu: '11.1.3',
    node: 'v24',
    revision: 'abc',
    loadAtStart: 0,
  },
  samples: [
    ...[100, 300, 200].map((v, i) => sample(i + 1, 'gate', { mbitPerS: v })),
    ...[150, 140, 160].map((v, i) => sample(i + 1, 'lockstep', { mbitPerS: v })),
    sample(1, 'stock', { mbitPerS: 10 }),
    sample(2, 'stock', {}, 'hung after 1.5 s: nothing for 8 s'),
    ...[1, 2, 3].map((round) => sample(round, 'plain', {}, 'did not start: no room')),
  ],
};

t.test('medians and ratios', async (t) => {
  t.equal(median([]), null);
  t.equal(median([4, 1]), 2.5);
  t.match(cell(report.samples, 'gate', 'download', 'mbitPerS'), { median: 200, least: 100, most: 300, rounds: 3 });
  t.equal(ratio(report.samples, 'lockstep', 'gate', 'download', 'mbitPerS'), 0.75);
  t.equal(ratio(report.samples, 'lockstep', 'plain', 'download', 'mbitPerS'), null);
  t.equal(figure(0.123456), '0.123');
  t.equal(figure(123456), '123456');
});

t.test('what broke is not left out', async (t) => {
  const text = terminalText(report);
  t.match(text, /TCP download, Mbit\/s +\[failed 3 of 3\] +200 \(100 - 300\) +150 \(140 - 160\) +10 \(10 - 10\) \[hung 1 of 2\]/);
  t.strictSame(problems(report)[0], 'stock, download, round 2: hung after 1.5 s: nothing for 8 s');
  t.equal(problems(report).length, 4);
  t.match(headlines(report), [/lockstep : unprotected through the gate = 0.75/]);
});

t.test('the page and its plots', async (t) => {
  const charts = plots(report);
  t.strictSame(
    charts.map((c) => c.name),
    ['rates'],
    'nothing is drawn of nothing',
  );
  for (const { svg } of charts)
    t.match(svg, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" viewBox="0 0 960 \d+"[\s\S]*<rect[\s\S]*<\/svg>\n$/);
  const page = markdown(report, 'npm run bench', [{ title: 'Rates', file: 'rates.svg' }]);
  t.match(page, '![Rates](rates.svg)');
  t.match(page, '- stock, download, round 2: hung after 1.5 s: nothing for 8 s');
  t.notMatch(page, 'Not complete');
  t.match(markdown({ ...report, complete: false }, 'x', []), 'Not complete');
});
