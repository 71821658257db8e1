// The plots beside a report of the mirror: those that keep two copies, every figure against quorum's in the same run.
import { chart, type Series } from '../../../hwqual/campaigns/svg-chart.ts';
import { type Plot, standAlone } from '../plots.ts';
import { COLUMNS, type Links, type MirrorReport, value } from './report.ts';
import { MIRRORED, type MirrorVariant } from './variants.ts';

const COLORS: Record<MirrorVariant, string> = {
  raw: '#7a7a7a',
  'qemu-nbd': '#8e6bbf',
  nbdkit: '#b08d57',
  solo: '#5b8def',
  quorum: '#c0392b',
  'quorum-tls': '#e08214',
  'one-link': '#66bd63',
  'two-links': '#1a9850',
  'one-plain': '#e6c34a',
  'two-plain': '#e6a700',
  lockstep: '#2c7fb8',
};

export function mirrorPlots(report: MirrorReport): Plot[] {
  const plots: Plot[] = [];
  for (const links of ['free', '1 Gbit/s'] as const) {
    for (const better of ['more', 'less'] as const) {
      const plot = plotOf(report, links, better);
      if (plot) plots.push(plot);
    }
  }
  return plots;
}

function plotOf(report: MirrorReport, links: Links, better: 'more' | 'less'): Plot | null {
  const columns = report.loads.flatMap((load) =>
    COLUMNS[load].filter((c) => c.better === better && c.key !== 'cpuSPerGB').map((column) => ({ load, ...column })),
  );
  const series: Series[] = MIRRORED.filter((variant) => report.variants.includes(variant)).map((variant) => ({
    name: variant,
    color: COLORS[variant],
    points: columns.flatMap(({ load, key }, x) => {
      const [own, quorum] = [value(report, links, variant, load, key), value(report, links, 'quorum', load, key)];
      return own === null || !quorum ? [] : [{ x, y: own / quorum }];
    }),
  }));
  const shown = series.filter((s) => s.points.length > 0);
  const measured = columns.map((_, x) => x).filter((x) => shown.some((s) => s.points.some((p) => p.x === x)));
  if (measured.length === 0) return null;
  const title = `Links ${links}, quorum = 1: ${better} is better`;
  const figure = chart({
    title,
    unit: 'against quorum',
    series: shown,
    style: 'bars',
    xLabel: (x) => columns[x]?.title.replace(/,.*/, '') ?? '',
    xTitle: '',
    xTicks: measured,
  });
  return { name: `${links === 'free' ? 'free' : 'shaped'}-${better}`, title, svg: standAlone(figure, title, shown) };
}
