// The run as text: medians, ratios, what was to be reached, tables for the terminal and for Markdown, plots. Pure.
import type { Machine } from '../machine.ts';
import { figure, isBusy } from '../report.ts';
import type { Figures, Load } from './loads.ts';
import type { Costs, Repair } from './repair.ts';
import type { Stall } from './stalls.ts';
import { type MirrorVariant, VARIANT_TEXT } from './variants.ts';

/** Links as fast as the machine goes, or each of 1 Gbit/s. */
export type Links = 'free' | '1 Gbit/s';

export interface Sample extends Figures {
  variant: MirrorVariant;
  links: Links;
  load: Load;
  round: number;
}

export interface MirrorReport {
  /** Wall clock, ISO 8601. */
  at: string;
  complete: boolean;
  durationS: number;
  seconds: number;
  rounds: number;
  acknowledgementTimeoutMs: number;
  variants: MirrorVariant[];
  loads: Load[];
  machine: Machine;
  samples: Sample[];
  stalls: Stall[];
  repairs: Repair[];
  costs: Costs | null;
  problems: string[];
}

export interface Table {
  title: string;
  head: string[];
  rows: string[][];
}

/** What 1 Gbit/s carries of a TCP connection's bytes, MB/s. */
const WIRE_MB_PER_S = 118;

type Key = 'iops' | 'megabytesPerS' | 'p50Us' | 'p99Us' | 'cpuSPerGB';

/** What of each load is shown. */
export const COLUMNS: Record<Load, readonly { key: Key; title: string; better: 'more' | 'less' }[]> = {
  '4k-qd1': [
    { key: 'p50Us', title: '4k write QD1 p50, us', better: 'less' },
    { key: 'p99Us', title: '4k write QD1 p99, us', better: 'less' },
  ],
  '4k-qd32': [
    { key: 'iops', title: '4k write QD32, /s', better: 'more' },
    { key: 'cpuSPerGB', title: '4k write QD32, CPU s per GB', better: 'less' },
  ],
  '128k-write': [
    { key: 'megabytesPerS', title: '128k write, MB/s', better: 'more' },
    { key: 'cpuSPerGB', title: '128k write, CPU s per GB', better: 'less' },
  ],
  '128k-read': [
    { key: 'megabytesPerS', title: '128k read, MB/s', better: 'more' },
    { key: 'cpuSPerGB', title: '128k read, CPU s per GB', better: 'less' },
  ],
  fsync: [
    { key: 'iops', title: '4k write and fsync, /s', better: 'more' },
    { key: 'p50Us', title: 'fsync p50, us', better: 'less' },
  ],
};

export function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return null;
  return sorted.length % 2 === 1 ? (sorted[Math.floor(middle)] ?? null) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

export function value(report: MirrorReport, links: Links, variant: MirrorVariant, load: Load, key: Key): number | null {
  const found = report.samples.filter((s) => s.links === links && s.variant === variant && s.load === load);
  return median(found.flatMap((s) => s[key] ?? []));
}

export interface Goal {
  what: string;
  wanted: string;
  found: number | null;
  reached: boolean | null;
}

/** What the mirror has to reach: ratios within one run. */
export function goals(report: MirrorReport): Goal[] {
  const v = (links: Links, variant: MirrorVariant, load: Load, key: Key) => value(report, links, variant, load, key);
  const ratio = (a: number | null, b: number | null): number | null => (a === null || b === null || b === 0 ? null : a / b);
  const least = (what: string, found: number | null, limit: number): Goal => ({
    what,
    wanted: `>= ${limit}`,
    found,
    reached: found === null ? null : found >= limit,
  });
  const most = (what: string, found: number | null, limit: number): Goal => ({
    what,
    wanted: `<= ${limit}`,
    found,
    reached: found === null ? null : found <= limit,
  });
  const shaped = '1 Gbit/s' as const;
  const worst = (what: Stall['what'], key: 'stallMs' | 'releasedMs'): number | null => {
    const found = report.stalls.filter((s) => s.what === what).map((s) => s[key]);
    return found.length > 0 ? Math.max(...found) : null;
  };
  const [commanded] = report.repairs.filter((r) => r.commandedBytesPerS !== null);
  return [
    least('one link of 1 Gbit/s, 128k writes : 118 MB/s', ratio(v(shaped, 'one-link', '128k-write', 'megabytesPerS'), WIRE_MB_PER_S), 0.95),
    least(
      'two links of 1 Gbit/s, 128k writes : 236 MB/s',
      ratio(v(shaped, 'two-links', '128k-write', 'megabytesPerS'), 2 * WIRE_MB_PER_S),
      0.9,
    ),
    least('4k QD32, two links : quorum', ratio(v('free', 'two-links', '4k-qd32', 'iops'), v('free', 'quorum', '4k-qd32', 'iops')), 2),
    most('4k QD1 p50, two links : quorum', ratio(v('free', 'two-links', '4k-qd1', 'p50Us'), v('free', 'quorum', '4k-qd1', 'p50Us')), 1),
    most('4k QD1 p99, two links : quorum', ratio(v('free', 'two-links', '4k-qd1', 'p99Us'), v('free', 'quorum', '4k-qd1', 'p99Us')), 2),
    // Ours encrypts unless told not to, quorum does when told to: both ways.
    most(
      '  both encrypted: 4k QD1 p50, two links : quorum',
      ratio(v('free', 'two-links', '4k-qd1', 'p50Us'), v('free', 'quorum-tls', '4k-qd1', 'p50Us')),
      1,
    ),
    most(
      '  neither encrypted: 4k QD1 p50, two links : quorum',
      ratio(v('free', 'two-plain', '4k-qd1', 'p50Us'), v('free', 'quorum', '4k-qd1', 'p50Us')),
      1,
    ),
    most('partner frozen: longest write, ms', worst('frozen', 'stallMs'), report.acknowledgementTimeoutMs + 100),
    most('partner killed: from the word of the channel to the first write, ms', worst('killed', 'releasedMs'), 50),
    least(
      'resync: rate : commanded rate',
      commanded ? ratio(commanded.copiedBytes / commanded.seconds, commanded.commandedBytesPerS) : null,
      0.9,
    ),
    most('resync: copied : missed', commanded ? ratio(commanded.copiedBytes, commanded.missedBytes) : null, 1),
  ];
}

export function tables(report: MirrorReport): Table[] {
  const list: Table[] = [
    {
      title: 'To be reached',
      head: ['', 'wanted', 'found', ''],
      rows: goals(report).map((g) => [
        g.what,
        g.wanted,
        figure(g.found),
        g.reached === null ? 'not measured' : g.reached ? 'yes' : '**no**',
      ]),
    },
  ];
  for (const links of ['free', '1 Gbit/s'] as const) {
    const variants = report.variants.filter((variant) => report.samples.some((s) => s.links === links && s.variant === variant));
    const loads = report.loads.filter((load) => report.samples.some((s) => s.links === links && s.load === load));
    if (variants.length === 0) continue;
    const rows = loads.flatMap((load) => COLUMNS[load].map((column) => ({ load, ...column })));
    list.push({
      title: `Links ${links}: medians of the rounds`,
      head: ['', ...variants],
      rows: rows.map(({ load, key, title }) => [title, ...variants.map((variant) => figure(value(report, links, variant, load, key)))]),
    });
  }
  list.push({
    title: 'What encryption costs: with it : without',
    head: ['', 'one link', 'two links'],
    rows: encryptionRows(report),
  });
  list.push({
    title: 'Guest stalls, ms',
    head: ['partner', 'longest write', 'noticed after', 'first write after that', 'goSolo'],
    rows: report.stalls.map((s) => [s.what, ...[s.stallMs, s.noticedMs, s.releasedMs, s.goSoloMs].map(figure)]),
  });
  list.push({
    title: 'Resync after an outage',
    head: ['commanded MB/s', 'missed MB', 'compared MB', 'copied MB', 's', 'MB/s', "guest's write p95 before, ms", 'during'],
    rows: report.repairs.map((r) => [
      r.commandedBytesPerS === null ? 'none' : figure(r.commandedBytesPerS / 1e6),
      ...[r.missedBytes / 1e6, r.comparedBytes / 1e6, r.copiedBytes / 1e6, r.seconds, r.copiedBytes / 1e6 / r.seconds].map(figure),
      figure(r.quietP95Ms),
      figure(r.duringP95Ms),
    ]),
  });
  const c = report.costs;
  if (c)
    list.push({
      title: 'What the durable records cost, ms',
      head: [
        'first write to a cold extent, p50',
        'the next one to it, p50',
        `takeover with ${c.takeOverPieces} pieces in the overlay`,
        'goSolo',
      ],
      rows: [[c.coldWriteP50Ms, c.hotWriteP50Ms, c.takeOverMs, median(report.stalls.map((s) => s.goSoloMs))].map(figure)],
    });
  return list.filter((table) => table.rows.length > 0);
}

function encryptionRows(report: MirrorReport): string[][] {
  const rows: string[][] = [];
  for (const links of ['free', '1 Gbit/s'] as const)
    for (const load of report.loads)
      for (const { key, title } of COLUMNS[load]) {
        const cell = (encrypted: MirrorVariant, plain: MirrorVariant): number | null => {
          const [a, b] = [value(report, links, encrypted, load, key), value(report, links, plain, load, key)];
          return a === null || b === null || b === 0 ? null : a / b;
        };
        const cells = [cell('one-link', 'one-plain'), cell('two-links', 'two-plain')];
        if (cells.some((c) => c !== null)) rows.push([`links ${links}: ${title}`, ...cells.map(figure)]);
      }
  return rows;
}

export function terminalText(report: MirrorReport): string {
  const parts = tables(report).map(({ title, head, rows }) => {
    const all = [head, ...rows];
    const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
    return `${title}\n${all.map((row) => `  ${row.map((text, i) => text.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd()).join('\n')}`;
  });
  return [...parts, ...report.problems].join('\n\n');
}

export function markdown(report: MirrorReport, command: string, charts: readonly { title: string; file: string }[]): string {
  const { machine: m } = report;
  const row = (cells: readonly string[]) => `| ${cells.map((c) => c.replaceAll('|', '\\|')).join(' | ')} |`;
  const table = ({ head, rows }: Table) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
  const list = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n');
  return [
    '# The mirror measured',
    `\`${command}\` on ${report.at.slice(0, 16).replace('T', ' ')} UTC: ${report.rounds} rounds, ${report.seconds} s per load, ${Math.round(report.durationS / 60)} minutes in all.${report.complete ? '' : ' **Not complete.**'}`,
    '## Machine',
    list([
      `${m.cores} cores (${m.cpu}), ${m.memoryGiB} GiB; load before the run ${m.loadAtStart}${isBusy(m) ? ' **(others were at work: only the ratios say something, and not much)**' : ''}`,
      `kernel ${m.kernel}, QEMU ${m.qemu}, Node ${m.node}, Twinstep ${m.revision}`,
      'fio, both sides and their disks share these cores and one file system; all servers have the same priority, use the page cache and the same two files',
    ]),
    '## Variants',
    list(report.variants.map((v) => `**${v}**: ${VARIANT_TEXT[v]}`)),
    ...tables(report).flatMap((t) => [`## ${t.title}`, table(t)]),
    ...(report.problems.length > 0 ? ['## What broke', list(report.problems)] : []),
    ...(charts.length > 0 ? ['## Plots', charts.map(({ title, file }) => `![${title}](${file})`).join('\n\n')] : []),
  ]
    .join('\n\n')
    .concat('\n');
}
