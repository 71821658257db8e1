// The run as text: tables for the terminal and for Markdown, the sentences around them. Pure.
import type { Sample } from './campaign.ts';
import type { Machine } from './machine.ts';
import { type Column, HUNG_AFTER_MS, type MeasureName } from './measure.ts';
import type { BenchOptions } from './options.ts';
import { cell, columnsOf, median, ratio, summarizeUsage } from './summary.ts';
import { VARIANT_TEXT, type VariantName } from './variants/variant.ts';

export interface Report {
  /** Wall clock, ISO 8601. */
  at: string;
  /** False: interrupted, or something is missing. */
  complete: boolean;
  durationS: number;
  options: BenchOptions;
  machine: Machine;
  samples: Sample[];
}

/** What is paid for the gate, for protection, and how that compares. */
const RATIOS: readonly [VariantName, VariantName][] = [
  ['gate', 'plain'],
  ['lockstep', 'gate'],
  ['passive', 'gate'],
  ['lockstep', 'plain'],
  ['passive', 'plain'],
  ['stock', 'plain'],
  ['lockstep', 'stock'],
];

export interface Table {
  title: string;
  head: string[];
  rows: string[][];
}

export function tables(report: Report): Table[] {
  return [figuresTable(report), ratiosTable(report), checkpointsTable(report), cpuTable(report)].filter((t) => t.rows.length > 0);
}

function figuresTable({ options, samples }: Report): Table {
  return {
    title: 'Medians of the rounds (least - most)',
    head: ['', ...options.variants],
    rows: columnsOf(options.measures).map(({ measure, column }) => [
      `${column.title}, ${column.unit}`,
      ...options.variants.map((variant) => {
        const c = cell(samples, variant, measure, column.key);
        const trouble = c.problems.length === 0 ? '' : ` [${shortProblems(c.problems)} of ${c.rounds}]`;
        if (c.median === null) return trouble.trim() || '-';
        const spread = c.rounds > 1 ? ` (${figure(c.least)} - ${figure(c.most)})` : '';
        return `${figure(c.median)}${spread}${trouble}`;
      }),
    ]),
  };
}

/** For the table, "hung 1, failed 2"; the sentences follow below it. */
function shortProblems(problems: readonly string[]): string {
  const kinds = problems.map((p) => (p.includes('hung') ? 'hung' : p.includes('broken') ? 'broken' : 'failed'));
  return [...new Set(kinds)].map((kind) => `${kind} ${kinds.filter((k) => k === kind).length}`).join(', ');
}

function ratiosTable({ options, samples }: Report): Table {
  const asked: [VariantName, VariantName][] = RATIOS.filter(([v, base]) => options.variants.includes(v) && options.variants.includes(base));
  if (asked.length === 0) return { title: '', head: [], rows: [] };
  return {
    title: 'Ratios of the medians',
    head: ['', ...asked.map(([v, base]) => `${v} : ${base}`)],
    rows: columnsOf(options.measures).map(({ measure, column }) => [
      `${column.title} (${betterText(column)})`,
      ...asked.map(([v, base]) => figure(ratio(samples, v, base, measure, column.key))),
    ]),
  };
}

const betterText = (column: Column): string => (column.better === 'more' ? 'more is better' : 'less is better');

function checkpointsTable({ options, samples }: Report): Table {
  const protectedVariants = options.variants.filter((v) => v === 'lockstep' || v === 'passive' || v === 'stock');
  return {
    title: 'Checkpoints while measuring',
    head: ['', 'variant', 'per s', 'pause p50 / p99 ms', 'KB on the wire', "KB of the engine's", 'links MB/s', 'causes per s', 'mode'],
    rows: options.measures.flatMap((measure) =>
      protectedVariants.flatMap((variant) => {
        const u = summarizeUsage(samples, variant, measure);
        if (u === null) return [];
        const causes =
          u.causesPerS === null
            ? 'not told'
            : u.causesPerS.map(([cause, perS]) => `${cause} ${figure(perS)}`).join(', ') || 'none asked for';
        return [
          [
            measure,
            variant,
            figure(u.checkpointsPerS),
            u.pauseP50Ms === null ? '-' : `${figure(u.pauseP50Ms)} / ${figure(u.pauseP99Ms)}`,
            figure(scaled(u.bytesPerCheckpoint, 1000)),
            figure(scaled(u.streamBytesPerCheckpoint, 1000)),
            figure(scaled(u.linkBytesPerS, 1e6)),
            causes,
            u.modes.join(', ') || '-',
          ],
        ];
      }),
    ),
  };
}

function cpuTable({ options, samples }: Report): Table {
  return {
    title: "CPU per frame at the clients' NIC, us",
    head: ['', 'variant', 'frames/s', "primary's gate", 'all of Twinstep', 'all engines', 'all', 'cores in use'],
    rows: options.measures.flatMap((measure) =>
      options.variants.flatMap((variant) => {
        const u = summarizeUsage(samples, variant, measure);
        if (u === null) return [];
        const ours = variant !== 'plain' && variant !== 'stock';
        const { gate, product, engine, all } = u.cpuUsPerFrame;
        const figures = [ours ? gate : null, ours ? product : null, engine, all, u.cores].map(figure);
        return [[measure, variant, figure(u.framesPerS), ...figures]];
      }),
    ),
  };
}

/** More than half a core was in use by others. */
export function isBusy(machine: Machine): boolean {
  return machine.loadAtStart > 0.5;
}

/** The figures with a goal, in sentences. */
export function headlines({ options, samples }: Report): string[] {
  const lines: string[] = [];
  for (const measure of ['download', 'upload'] as const) {
    const found = ratio(samples, 'lockstep', 'gate', measure, 'mbitPerS');
    if (found !== null)
      lines.push(`${measure}: lockstep : unprotected through the gate = ${figure(found)} (goal: 0.7 where cores are free)`);
  }
  const gate = median((['download', 'upload'] as const).flatMap((m) => summarizeUsage(samples, 'lockstep', m)?.cpuUsPerFrame.gate ?? []));
  if (gate !== null) lines.push(`the primary's gate, us of CPU per bulk frame in lockstep: ${figure(gate)} (goal: 5)`);
  const bytes = (variant: VariantName, measure: MeasureName) => summarizeUsage(samples, variant, measure)?.bytesPerCheckpoint ?? null;
  for (const measure of options.measures) {
    const [ours, stock] = [bytes('lockstep', measure), bytes('stock', measure)];
    if (ours !== null && stock !== null && stock > 0)
      lines.push(`${measure}: bytes of a checkpoint on the wire, lockstep : stock = ${figure(ours / stock)} (goal: 0.25)`);
  }
  return lines;
}

/** Every trouble, so that none hides in a table: "stock, upload, round 2: hung after ...". */
export function problems({ samples }: Report): string[] {
  return samples.flatMap((s) =>
    s.problem === null ? [] : [`${s.variant}, ${s.measure}, round ${s.round}: ${s.problem.replaceAll('\n', ' ')}`],
  );
}

export function terminalText(report: Report): string {
  const parts = tables(report).map((table) => `${table.title}\n${aligned([table.head, ...table.rows])}`);
  const lists = [headlines(report), problems(report)].filter((list) => list.length > 0).map((list) => list.join('\n'));
  return [...parts, ...lists].join('\n\n');
}

function aligned(rows: readonly string[][]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  return rows
    .map(
      (row) =>
        `  ${row
          .map((text, i) => text.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}`,
    )
    .join('\n');
}

/** @param charts Files beside the page, with their titles. */
export function markdown(report: Report, command: string, charts: readonly { title: string; file: string }[]): string {
  const { machine, options } = report;
  const list = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n');
  const section = (title: string, body: string) => (body === '' ? [] : [`## ${title}`, body]);
  return [
    '# Lockstep measured',
    `\`${command}\` on ${report.at.slice(0, 16).replace('T', ' ')} UTC: ${options.rounds} rounds, ${options.seconds} s per measure, ${Math.round(report.durationS / 60)} minutes in all.${report.complete ? '' : ' **Not complete: the run was interrupted.**'}`,
    ...section(
      'Machine',
      list([
        `${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB; load before the run ${machine.loadAtStart}${isBusy(machine) ? ' **(others were at work: the figures are noise)**' : ''}`,
        `acceleration: ${machine.acceleration}`,
        `kernel ${machine.kernel}, QEMU ${machine.qemu}, Node ${machine.node}`,
        `Twinstep ${machine.revision}`,
        'clients, both CoServers and both replicas share these cores',
      ]),
    ),
    ...section('Variants', list(options.variants.map((v) => `**${v}**: ${VARIANT_TEXT[v]}`))),
    ...section('In short', list(headlines(report))),
    ...tables(report).flatMap((table) => section(table.title, markdownTable(table))),
    ...section('What broke', list(problems(report))),
    ...section('Plots', charts.map(({ title, file }) => `![${title}](${file})`).join('\n\n')),
    ...section(
      'How to read it',
      list([
        `hung: no progress for ${HUNG_AFTER_MS / 1000} s, more than stock COLO's comparator may hold a packet by its defaults; a value beside it is what passed before, over the whole time`,
        'on the wire: acknowledged bytes of the connections that carry checkpoints, with their framing and encryption (stock has neither)',
        'frames: both directions at the clients\' NIC; with too few of them (fsync, cpu) CPU per frame says nothing, shown as "-"',
        'the engine\'s: bytes of a checkpoint before Twinstep does anything to them; causes: "not told" where the program does not say',
      ]),
    ),
  ]
    .join('\n\n')
    .concat('\n');
}

function markdownTable(table: Table): string {
  const row = (cells: readonly string[]) => `| ${cells.map((c) => c.replaceAll('|', '\\|')).join(' | ')} |`;
  return [row(table.head), row(table.head.map(() => '---')), ...table.rows.map(row)].join('\n');
}

function scaled(value: number | null, by: number): number | null {
  return value === null ? null : value / by;
}

/** Three digits, and never an exponent. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '-';
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}
