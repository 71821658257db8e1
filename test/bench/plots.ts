// The plots beside a report: whole SVG files made of the campaigns' charts.
import { chart, type Series } from '../../hwqual/campaigns/svg-chart.ts';
import type { Report } from './report.ts';
import { cell, columnsOf, ratio, summarizeUsage } from './summary.ts';
import type { VariantName } from './variants/variant.ts';

const COLORS: Record<VariantName, string> = {
  plain: '#7a7a7a',
  gate: '#5b8def',
  lockstep: '#1a9850',
  passive: '#e6a700',
  stock: '#c0392b',
};
const STYLE =
  '<style>text{font:11px sans-serif;fill:#333}.grid{stroke:#ddd}.title{font-size:14px;font-weight:bold}.legend{font-size:12px}</style>';
const HEAD = 46;

export interface Plot {
  /** Part of a file's name. */
  name: string;
  title: string;
  svg: string;
}

export function plots(report: Report): Plot[] {
  const { options, samples } = report;
  const rates = columnsOf(options.measures).filter(({ column }) => column.better === 'more');
  const latencies = columnsOf(options.measures).filter(({ column }) => column.better === 'less');
  // The plain guest, unless it was not measured.
  const base = (['plain', 'gate'] as const).find((v) => samples.some((s) => s.variant === v && Object.keys(s.values).length > 0));
  const guarded = options.variants.filter((v) => v === 'lockstep' || v === 'passive' || v === 'stock');
  const series = (variants: readonly VariantName[], values: (variant: VariantName) => (number | null)[]): Series[] =>
    variants.map((variant) => ({
      name: variant,
      color: COLORS[variant],
      points: values(variant).flatMap((y, x) => (y === null ? [] : [{ x, y }])),
    }));
  const found: Plot[] = [];
  const add = (name: string, title: string, unit: string, labels: readonly string[], all: Series[], log = false) => {
    if (all.every((s) => s.points.length === 0)) return;
    const figure = chart({
      title,
      unit,
      series: all,
      style: 'bars',
      log,
      xLabel: (x) => labels[x] ?? '',
      xTitle: '',
      xTicks: labels.map((_, i) => i),
    });
    found.push({ name, title, svg: standAlone(figure, title, all) });
  };
  if (base !== undefined)
    add(
      'rates',
      `Rates against ${base} (1: the same)`,
      'ratio',
      rates.map(({ column }) => column.title),
      series(options.variants, (v) => rates.map(({ measure, column }) => ratio(samples, v, base, measure, column.key))),
    );
  add(
    'latencies',
    'Latencies, medians of the rounds',
    'us, logarithmic',
    latencies.map(({ column }) => column.title),
    series(options.variants, (v) => latencies.map(({ measure, column }) => microseconds(cell(samples, v, measure, column.key).median))),
    true,
  );
  const usage = (read: (u: NonNullable<ReturnType<typeof summarizeUsage>>) => number | null) =>
    series(guarded, (v) =>
      options.measures.map((measure) => {
        const summary = summarizeUsage(samples, v, measure);
        return summary === null ? null : read(summary);
      }),
    );
  add(
    'checkpoints',
    'Checkpoints per second',
    'per second',
    options.measures,
    usage((u) => u.checkpointsPerS),
  );
  add(
    'bytes',
    'Bytes of a checkpoint on the wire',
    'KB, logarithmic',
    options.measures,
    usage((u) => (u.bytesPerCheckpoint === null ? null : u.bytesPerCheckpoint / 1000)),
    true,
  );
  return found;
}

/** The logarithmic axis begins at 1, and an answer may take less than a millisecond. */
function microseconds(ms: number | null): number | null {
  return ms === null ? null : ms * 1000;
}

/** The drawing of a page's figure as a file of its own: with its name space, styles, title and legend. */
export function standAlone(figure: string, title: string, series: readonly Series[]): string {
  const [, width = '960', height = '268', body = ''] = /<svg viewBox="0 0 (\S+) (\S+)"[^>]*>([\s\S]*)<\/svg>/.exec(figure) ?? [];
  const legend = series.map(
    ({ name, color }, i) =>
      `<rect x="${64 + i * 110}" y="28" width="10" height="10" fill="${color}"/><text class="legend" x="${78 + i * 110}" y="37">${name}</text>`,
  );
  const total = Number(height) + HEAD;
  const head = `<rect width="100%" height="100%" fill="#fff"/><text class="title" x="64" y="18">${title}</text>${legend.join('')}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${total}" width="${width}" height="${total}">${STYLE}${head}<g transform="translate(0 ${HEAD})">${body}</g></svg>\n`;
}
