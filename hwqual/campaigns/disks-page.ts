// The report of a campaign against the mirror as one HTML page that needs nothing else. Pure.
import type { DisksReport, DisksRound, KindSummary } from './disks-report.ts';
import type { Distribution } from './report.ts';
import { PAGE_STYLE } from './report-page.ts';
import { chart, escapeHtml } from './svg-chart.ts';

const MIB = 2 ** 20;
const COLORS = { append: '#0072b2', io: '#d55e00', rejoin: '#e69f00', ioRejoin: '#009e73' };

function ms(value: number | null): string {
  if (value === null) return 'never';
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

function tile(value: string | number, text: string, verdict: 'good' | 'bad' | '' = ''): string {
  return `<div class="tile ${verdict}"><b>${value}</b><span>${escapeHtml(text)}</span></div>`;
}

function tiles(report: DisksReport): string {
  const zero = (value: number, text: string) => tile(value, text, value === 0 ? 'good' : 'bad');
  const all = (part: number, whole: number, text: string) =>
    tile(`${part} of ${whole}`, text, part === whole && whole > 0 ? 'good' : 'bad');
  return [
    tile(report.rounds.length, `rounds, ${(report.roundMs / 1000).toFixed(1)} s each`),
    tile(report.faults, 'faults'),
    zero(report.ioErrors, 'I/O errors seen by the guest'),
    zero(report.verificationErrors, 'verification errors of fio'),
    zero(report.lostAcknowledged, `acknowledged appends lost, of ${report.acknowledged}`),
    all(report.identical, report.compared, 'times both copies were identical'),
    all(report.fileSystemChecksClean, report.fileSystemChecks, 'checks of the file systems clean'),
    tile(`${Math.round((report.load?.jobs ?? []).reduce((sum, job) => sum + job.checkedKiB, 0) / 1024)} MiB`, 'verified by fio'),
  ].join('');
}

function table(heads: string[], rows: string[][]): string {
  const cells = (row: string[], tag: 'td' | 'th') =>
    row.map((text, i) => `<${tag}${i === 0 ? ' class="text"' : ''}>${text}</${tag}>`).join('');
  return `<div class="scroll"><table><thead><tr>${cells(heads, 'th')}</tr></thead><tbody>${rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('')}</tbody></table></div>`;
}

function kindTable(kinds: readonly KindSummary[]): string {
  const time = (d: Distribution) => (d.count === 0 ? '' : `${ms(d.p50)} / ${ms(d.max)}`);
  const size = (d: Distribution) => (d.count === 0 ? '' : `${(d.p50 / MIB).toFixed(1)} / ${(d.max / MIB).toFixed(1)}`);
  return table(
    [
      'fault',
      'rounds',
      'bad',
      'disk stood still',
      'append waited',
      'disk at the rejoin',
      'append at the rejoin',
      'to duplex',
      'compared, MiB',
      'copied, MiB',
    ],
    kinds.map((k) => [
      escapeHtml(k.fault),
      String(k.rounds),
      String(k.problems),
      time(k.ioStallMs),
      time(k.recordStallMs),
      time(k.ioRejoinStallMs),
      time(k.rejoinStallMs),
      time(k.timeToDuplexMs),
      size(k.comparedBytes),
      size(k.copiedBytes),
    ]),
  );
}

function roundTable(rounds: readonly DisksRound[]): string {
  const copies = (round: DisksRound) =>
    round.copiesIdentical === null ? 'not compared' : round.copiesIdentical ? 'identical' : 'DIFFERENT';
  return table(
    [
      'what was done',
      'round',
      'disk stood still',
      'append waited',
      'disk at the rejoin',
      'append at the rejoin',
      'to duplex',
      'copied, MiB',
      'copies',
      'took',
    ],
    rounds.map((round) => [
      `${escapeHtml(round.fault)}${round.second === null ? '' : `<br><span class="quiet">+ ${escapeHtml(round.second)}</span>`}${round.problems.map((p) => `<br><b>${escapeHtml(p.slice(0, 300))}</b>`).join('')}`,
      String(round.round),
      ms(round.ioStallMs),
      ms(round.recordStallMs),
      ms(round.ioRejoinStallMs),
      ms(round.rejoinStallMs),
      ms(round.timeToDuplexMs),
      (round.copiedBytes / MIB).toFixed(1),
      copies(round),
      ms(round.durationMs),
    ]),
  );
}

function charts(rounds: readonly DisksRound[]): string {
  const step = Math.ceil(rounds.length / 25);
  const dots = (name: string, color: string, read: (round: DisksRound) => number) => ({
    name,
    color,
    points: rounds.map((round) => ({ x: round.round, y: read(round) })),
  });
  return chart({
    style: 'dots',
    log: true,
    title: 'Longest wait in each round',
    unit: 'ms (logarithmic)',
    series: [
      dots('the disk, from the fault to the repair', COLORS.io, (round) => round.ioStallMs),
      dots('the disk, from the repair to duplex', COLORS.ioRejoin, (round) => round.ioRejoinStallMs),
      dots('an append, from the fault to the repair', COLORS.append, (round) => round.recordStallMs),
      dots('an append, from the repair to duplex', COLORS.rejoin, (round) => round.rejoinStallMs),
    ],
    xLabel: (x: number) => String(x),
    xTitle: 'round',
    xTicks: rounds.map(({ round }) => round).filter((round) => (round - 1) % step === 0),
  });
}

export function disksPage(report: DisksReport): string {
  const { machine } = report;
  const problems =
    report.problems.length === 0 ? '' : `<ul>${report.problems.map((problem) => `<li>${escapeHtml(problem)}</li>`).join('')}</ul>`;
  const title = `${report.name}, seed ${report.seed}`;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title><style>${PAGE_STYLE}</style>
<h1>${escapeHtml(title)}</h1>
<p class="quiet">${new Date(report.startedAt).toISOString()}, ${machine.cpus} CPUs, ${machine.memoryGiB} GiB, ${escapeHtml(machine.system)}, ${escapeHtml(machine.acceleration)}</p>
<p>A guest writes and verifies all the time: fio on ext4 and xfs, past and through the page cache, and appends that clients outside count when they are acknowledged. In each round something breaks at a random moment, sometimes a second thing before the pair is whole again. After each heal the guest freezes its disk, and both copies are compared byte for byte.</p>
<div class="verdict ${report.ok ? '' : 'bad'}">${report.ok ? 'All as it must be.' : 'Not as it must be.'}${problems}</div>
<div class="tiles">${tiles(report)}</div>
${report.rounds.length === 0 ? '' : charts(report.rounds)}
<h2>By kind of fault</h2><p class="quiet">p50 / max. Waits of rounds with one fault.</p>${kindTable(report.kinds)}
<h2>Rounds</h2>${roundTable(report.rounds)}
</html>
`;
}
