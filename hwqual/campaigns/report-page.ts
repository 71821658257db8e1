// The report of a campaign as one HTML page that needs nothing else: for a reader who knows nothing of the pair. Pure.
import { CLIENT_KINDS, type ClientKind, type Sample } from '../lab/clients/protocol.ts';
import { connectionLines, phaseLines } from './kill-table.ts';
import type { Action, Distribution, Report, Round } from './report.ts';
import { isTcp, worstTcpStall } from './statistics.ts';
import { chart, escapeHtml, type Series, shortNumber } from './svg-chart.ts';

/** Okabe and Ito's colours: told apart also by those who see fewer. */
const COLORS: Record<ClientKind, string> = {
  download: '#0072b2',
  upload: '#d55e00',
  echoTcp: '#009e73',
  echoUdp: '#999999',
  short: '#cc79a7',
  record: '#e69f00',
  guestDownload: '#56b4e9',
  guestUpload: '#f0a070',
  guestEcho: '#66c2a5',
  guestShort: '#e0a8c8',
  guestRecord: '#f0c860',
};

const KIND_NAMES: Record<ClientKind, string> = {
  download: 'download (HTTP)',
  upload: 'upload (HTTP)',
  echoTcp: 'echo (TCP)',
  echoUdp: 'echo (UDP)',
  short: 'short connections',
  record: 'record appends',
  guestDownload: 'download (opened by the guest)',
  guestUpload: 'upload (opened by the guest)',
  guestEcho: 'echo (opened by the guest)',
  guestShort: 'short connections (opened by the guest)',
  guestRecord: 'record appends (opened by the guest)',
};

const ACTION_NAMES: Record<Action, string> = {
  powerOffPrimary: 'power off the primary',
  powerOffSecondary: 'power off the secondary',
  cutLink1: 'cut link 1',
  cutLink2: 'cut link 2',
  cutBothLinks: 'cut both links',
  freezePrimary: 'freeze the primary',
  freezeSecondary: 'freeze the secondary',
  breakGarbage: "break the secondary's guest: garbage",
  breakByte: "break the secondary's guest: one bit",
  breakStuck: "break the secondary's guest: its CPU stands still",
};

/** Points of a line: more cannot be seen. */
const MAX_POINTS = 900;
const MAX_NAMED_MARKERS = 40;

/** Of all campaigns' pages. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--ink:#1c2330;--quiet:#667085;--paper:#fff;--edge:#d8dde6;--panel:#f6f7f9;--good:#0a7d43;--bad:#c0271a}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--quiet:#98a2b3;--paper:#14171d;--edge:#333a46;--panel:#1d222b;--good:#4cc38a;--bad:#ff7b6b}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1080px;padding:24px 20px 60px;font:15px/1.5 system-ui,"DejaVu Sans",sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 8px}p{margin:6px 0}.quiet{color:var(--quiet)}
.verdict{border-left:6px solid var(--good);background:var(--panel);padding:12px 16px;margin:16px 0;font-size:17px}.verdict.bad{border-color:var(--bad)}
.verdict ul{margin:6px 0 0;padding-left:20px;font-size:15px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:10px;margin:16px 0}
.tile{background:var(--panel);border:1px solid var(--edge);border-radius:8px;padding:10px 12px}.tile b{display:block;font-size:23px;font-variant-numeric:tabular-nums}
.tile span{color:var(--quiet);font-size:13px}.tile.bad b{color:var(--bad)}.tile.good b{color:var(--good)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:6px 8px;border-bottom:1px solid var(--edge);text-align:right;vertical-align:top}td{white-space:nowrap}td.text{white-space:normal}th{color:var(--quiet);font-weight:600}
td.text,th.text{text-align:left}td.bad{color:var(--bad);font-weight:700}td.action{min-width:150px}td.reason{min-width:240px}
figure{margin:18px 0;padding:0}figcaption{font-weight:600}.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;color:var(--quiet);margin:2px 0 4px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:5px}svg{width:100%;height:auto;display:block}
svg .grid{stroke:var(--edge);stroke-width:1}svg .tick{fill:var(--quiet);font-size:11.5px}svg line.marker{stroke:var(--bad);stroke-width:1;stroke-dasharray:3 3;opacity:.65}
svg text.marker{fill:var(--quiet);font-size:11px}details{border-bottom:1px solid var(--edge);padding:6px 0}summary{cursor:pointer}
dt{font-weight:600;margin-top:8px}dd{margin:0;color:var(--quiet)}code{font-size:13px}`;

function ms(value: number | null): string {
  if (value === null) return 'never';
  if (value < 10_000) return `${Math.round(value)} ms`;
  return `${(value / 1000).toFixed(1)} s`;
}

function clock(at: number): string {
  return new Date(at).toISOString().slice(11, 19);
}

function bad(count: number): string {
  return `<td${count > 0 ? ' class="bad"' : ''}>${count}</td>`;
}

/** At most MAX_POINTS, keeping of those that fall together the one that matters: a short stall or gap must not vanish. */
function thin(points: { x: number; y: number }[], keep: 'largest' | 'smallest'): { x: number; y: number }[] {
  const group = Math.ceil(points.length / MAX_POINTS);
  if (group <= 1) return points;
  return points.flatMap((_, i) => {
    if (i % group !== 0) return [];
    return points.slice(i, i + group).reduce((best, point) => (point.y > best.y === (keep === 'largest') ? point : best));
  });
}

/** Where many faults would cover each other's texts their lines alone are drawn. */
function markersOf(report: Report, start: number, x: (at: number) => number): { x: number; text: string }[] {
  const markers = report.markers.filter((m) => m.at >= start);
  if (markers.length <= MAX_NAMED_MARKERS) return markers.map(({ at, text }) => ({ x: x(at), text }));
  return report.rounds.filter((round) => round.at >= start).map((round) => ({ x: x(round.at), text: '' }));
}

/** Longer runs are told in minutes. */
const MINUTES_FROM_S = 900;

function timeCharts(report: Report): string {
  const { samples } = report;
  const start = samples[0]?.at ?? report.startedAt;
  const inMinutes = ((samples.at(-1)?.at ?? start) - start) / 1000 > MINUTES_FROM_S;
  const unit = inMinutes ? 60 : 1;
  const x = (at: number): number => (at - start) / 1000 / unit;
  const markers = markersOf(report, start, x);
  const line = (name: string, color: string, keep: 'largest' | 'smallest', read: (sample: Sample) => number | null): Series => ({
    name,
    color,
    points: thin(
      samples.flatMap((sample) => {
        const y = read(sample);
        return y === null ? [] : [{ x: x(sample.at), y }];
      }),
      keep,
    ),
  });
  const common = {
    style: 'line' as const,
    markers,
    xLabel: shortNumber,
    xTitle: `${inMinutes ? 'minutes' : 'seconds'} since the clients started; dashed: what was done to the pair`,
  };
  const worst = (sample: Sample): number | null => {
    const stalls = CLIENT_KINDS.filter(isTcp).flatMap((kind) => sample.kinds[kind]?.stallMs ?? []);
    return stalls.length === 0 ? null : Math.max(...stalls);
  };
  const seconds = sampleLengthS(samples);
  const rate = (kind: ClientKind) => (sample: Sample) => {
    const bytes = sample.kinds[kind]?.bytes;
    return bytes === undefined ? null : bytes / seconds / 1e6;
  };
  const stalls = [
    line('worst of all TCP clients', COLORS.download, 'largest', worst),
    line(KIND_NAMES.echoTcp, COLORS.echoTcp, 'largest', (sample) => sample.kinds.echoTcp?.stallMs ?? null),
  ];
  const rates = (['download', 'upload'] as const).map((kind) => line(KIND_NAMES[kind], COLORS[kind], 'smallest', rate(kind)));
  return [
    chart({
      ...common,
      title: 'How long the clients waited: longest time without progress, each half second',
      unit: 'ms (logarithmic)',
      log: true,
      series: stalls,
    }),
    chart({ ...common, title: 'Data moved', unit: 'MB/s', series: rates }),
  ].join('\n');
}

function sampleLengthS(samples: readonly Sample[]): number {
  const gaps = samples.slice(1).map((sample, i) => sample.at - (samples[i]?.at ?? sample.at));
  return gaps.length === 0 ? 0.5 : Math.max(0.1, gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length / 1000);
}

function roundCharts(rounds: readonly Round[]): string {
  const step = Math.ceil(rounds.length / 25);
  const xTicks = rounds.map(({ round }) => round).filter((round) => (round - 1) % step === 0);
  const common = { xLabel: (x: number) => String(x), xTitle: 'round', xTicks };
  const stalls = CLIENT_KINDS.map((kind) => ({
    name: KIND_NAMES[kind],
    color: COLORS[kind],
    points: rounds.flatMap((round) => (round.stallMs[kind] === undefined ? [] : [{ x: round.round, y: round.stallMs[kind] }])),
  }));
  const bars = (name: string, color: string, read: (round: Round) => number | null): Series => ({
    name,
    color,
    points: rounds.flatMap((round) => {
      const y = read(round);
      return y === null ? [] : [{ x: round.round, y: y / 1000 }];
    }),
  });
  return [
    chart({
      ...common,
      style: 'dots',
      log: true,
      title: 'Longest stall of each kind of client in each round',
      unit: 'ms (logarithmic)',
      series: stalls,
    }),
    chart({
      ...common,
      style: 'bars',
      title: 'From the repair to duplex',
      unit: 's',
      series: [bars('time to duplex', '#0072b2', (round) => round.timeToDuplexMs)],
    }),
    chart({
      ...common,
      style: 'bars',
      title: 'Longest stall while the repaired server came back',
      unit: 's',
      series: [bars('pause at rejoin', '#e69f00', (round) => round.rejoinPauseMs)],
    }),
  ].join('\n');
}

function roundTable(rounds: readonly Round[]): string {
  const rows = rounds.map((round) => {
    const moment = round.moment === 'random moment' ? '' : `<br><span class="quiet">at ${escapeHtml(round.moment)}</span>`;
    const target = round.target === null ? '' : ` (${round.target})`;
    return `<tr><td>${round.round}</td><td class="text action">${ACTION_NAMES[round.action]}${target}${moment}</td>${bad(round.hungConnections)}${bad(round.brokenConnections)}${bad(round.wrongChecksums)}${bad(round.lostAcknowledged)}<td>${ms(worstTcpStall(round.stallMs))}</td><td>${round.detectionMs === null ? '' : ms(round.detectionMs)}</td><td>${round.aloneAfterMs === null ? '' : ms(round.aloneAfterMs)}</td><td${round.timeToDuplexMs === null ? ' class="bad"' : ''}>${round.timeToDuplexMs === 0 ? 'never left' : ms(round.timeToDuplexMs)}</td><td>${ms(round.faultStallMs)}</td><td>${ms(round.rejoinPauseMs)}</td><td class="text reason">${escapeHtml(round.reason ?? '')}</td></tr>`;
  });
  const heads = [
    'round',
    'what was done',
    'hung',
    'broken',
    'wrong',
    'lost',
    'worst stall',
    'noticed after',
    'alone after',
    'to duplex',
    'stall at the fault',
    'rejoin pause',
    'why the survivor was allowed to run',
  ];
  const textual = new Set(['what was done', 'why the survivor was allowed to run']);
  const head = heads.map((name) => `<th${textual.has(name) ? ' class="text"' : ''}>${name}</th>`).join('');
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

function distributionTable(report: Report): string {
  const row = (name: string, d: Distribution): string =>
    `<tr><td class="text">${name}</td><td>${d.count}</td><td>${ms(d.p50)}</td><td>${ms(d.p99)}</td><td>${ms(d.max)}</td></tr>`;
  const { summary } = report;
  const kinds = CLIENT_KINDS.flatMap((kind) =>
    summary.stallMs[kind] === undefined ? [] : [row(`stall, ${KIND_NAMES[kind]}`, summary.stallMs[kind])],
  );
  const others = [
    row('worst stall of all TCP clients', summary.worstStallMs),
    row('loss noticed after', summary.detectionMs),
    row('time to duplex', summary.timeToDuplexMs),
    row('stall at the fault', summary.faultStallMs),
    row('pause at rejoin', summary.rejoinPauseMs),
  ];
  return `<div class="scroll"><table><thead><tr><th class="text">longest of each round</th><th>rounds</th><th>p50</th><th>p99</th><th>max</th></tr></thead><tbody>${[...kinds, ...others].join('')}</tbody></table></div>`;
}

function roundDetails(rounds: readonly Round[]): string {
  return rounds
    .map((round) => {
      const steps = round.steps
        .map((step) => `<tr><td>${step.atMs.toFixed(1)} ms</td><td class="text">${escapeHtml(step.step)}</td></tr>`)
        .join('');
      const lines = round.timeline
        .map(
          (entry) =>
            `<tr><td>${clock(entry.at)}</td><td class="text">${entry.coServer}</td><td class="text">${escapeHtml(entry.text)}</td></tr>`,
        )
        .join('');
      const notes = [
        ...round.problems.map((text) => `<p class="verdict bad">${escapeHtml(text)}</p>`),
        ...round.remarks.map((text) => `<p class="quiet">${escapeHtml(text)}</p>`),
      ].join('');
      return `<details${round.problems.length > 0 ? ' open' : ''}><summary>Round ${round.round}, ${clock(round.at)} UTC: ${ACTION_NAMES[round.action]}${round.problems.length > 0 ? ' <b>(failed)</b>' : ''}</summary>${notes}${steps === '' ? '' : `<p>Take-over, from the moment the loss was noticed:</p><table>${steps}</table>`}${lines === '' ? '' : `<p>What the servers wrote:</p><table>${lines}</table>`}</details>`;
    })
    .join('\n');
}

function tile(value: string | number, text: string, state: 'good' | 'bad' | ''): string {
  return `<div class="tile ${state}"><b>${escapeHtml(String(value))}</b><span>${escapeHtml(text)}</span></div>`;
}

function verdict(report: Report): string {
  if (report.ok) {
    const copies = 'Both disk copies are identical at the end.';
    return `<div class="verdict">Nothing was lost and no connection hung in ${report.summary.rounds} rounds. ${copies}</div>`;
  }
  const items = report.problems.map((problem) => `<li>${escapeHtml(problem)}</li>`).join('');
  return `<div class="verdict bad"><b>Failed.</b><ul>${items}</ul></div>`;
}

const GLOSSARY = `<h2>What the words mean</h2><dl>
<dt>The pair</dt><dd>Two servers, A and B, run the same virtual server. The primary's outputs leave only when the secondary has all that led to them. When one server fails the other goes on.</dd>
<dt>Duplex</dt><dd>Both servers run and have the same state and disks: either may fail now.</dd>
<dt>Stall</dt><dd>The longest time in which a client waited and nothing came. It includes the time until the loss was noticed and the client's own retransmission timers.</dd>
<dt>Hung</dt><dd>A connection without progress for 20 s. Broken: a connection reset, refused or closed too early, or an error as answer.</dd>
<dt>Wrong</dt><dd>A byte, a checksum or an answer that is not what it must be. Every byte of every download, upload and echo is verified.</dd>
<dt>Lost</dt><dd>A record that the virtual server acknowledged as being on its disk and that is not in the list that it reads from its disk afterwards.</dd>
<dt>Pause at rejoin</dt><dd>The longest stall between the repair and duplex: while the virtual server's memory is copied to the server that came back it may have to be stopped.</dd>
</dl>`;

export function reportPage(report: Report): string {
  const { summary, machine } = report;
  const count = (value: number, text: string): string => tile(value, text, value > 0 ? 'bad' : 'good');
  const copies = report.copiesIdentical === null ? 'not compared' : report.copiesIdentical ? 'identical' : 'DIFFERENT';
  const tiles = [
    tile(summary.rounds, 'rounds', ''),
    count(summary.hungConnections, 'hung connections'),
    count(summary.brokenConnections, 'broken connections'),
    count(summary.wrongChecksums, 'wrong checksums'),
    count(summary.metBrokenSecondary, `takeovers of ${summary.takeovers} that met a broken secondary`),
    tile(summary.lostAcknowledged, `lost of ${summary.acknowledged} acknowledged records`, summary.lostAcknowledged > 0 ? 'bad' : 'good'),
    tile(copies, 'disk copies at the end', report.copiesIdentical ? 'good' : 'bad'),
    tile(ms(summary.worstStallMs.max), `worst stall (median of rounds ${ms(summary.worstStallMs.p50)})`, ''),
    tile(ms(summary.timeToDuplexMs.p50), 'from repair to duplex, median', ''),
  ].join('');
  const incidents = report.incidents
    .map(
      (i) =>
        `<tr><td>${clock(i.at)}</td><td class="text">${KIND_NAMES[i.kind]}, IPv${i.family}</td><td class="text">${i.what}</td><td class="text">${escapeHtml(i.text)}</td></tr>`,
    )
    .join('');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(report.name)}: Twinstep</title><style>${PAGE_STYLE}</style></head><body>
<h1>${escapeHtml(report.name)}</h1>
<p class="quiet">Twinstep pair, ${new Date(report.startedAt).toISOString().slice(0, 19).replace('T', ' ')} to ${clock(report.endedAt)} UTC, on ${machine.cpus} CPUs, ${machine.memoryGiB} GiB, ${escapeHtml(machine.system)}, acceleration ${escapeHtml(machine.acceleration)}, mode ${escapeHtml(report.mode ?? 'unknown')}</p>
${verdict(report)}
<div class="tiles">${tiles}</div>
<h2>The whole run</h2>
${timeCharts(report)}
<h2>Round by round</h2>
${roundTable(report.rounds)}
${roundCharts(report.rounds)}
<h2>Figures</h2>
${distributionTable(report)}
<h2>Where the faults fell, and what connections outlived</h2>
<pre>${escapeHtml([...phaseLines(report.rounds), ...connectionLines(report)].join('\n'))}</pre>
${incidents === '' ? '' : `<h2>Incidents</h2><div class="scroll"><table>${incidents}</table></div>`}
<h2>What happened in each round</h2>
${roundDetails(report.rounds)}
${GLOSSARY}
</body></html>
`;
}
