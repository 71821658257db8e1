// Charts of the latest checkpoints and of held output. The newest at the right; a chart only draws figures that stand beside it as text.
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';

export interface ChartProps {
  title: string;
  /** Wall clock ms. */
  at: readonly number[];
  values: readonly number[];
  unit: string;
  bars?: boolean;
}

const HEIGHT_PX = 150;

export function Chart({ title, at, values, unit, bars = false }: ChartProps): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data: uPlot.AlignedData = [at.map((ms) => ms / 1000), [...values]];
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const make = (): void => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element, unit, bars), plot.current?.data ?? data, element);
    };
    make();
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
    observer.observe(element);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', make);
    return () => {
      observer.disconnect();
      dark.removeEventListener('change', make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);
  useEffect(() => plot.current?.setData(data));
  return (
    <figure class="chart">
      <figcaption>
        {title} <span class="quiet">({unit})</span>
      </figcaption>
      <div
        ref={host}
        role="img"
        aria-label={`${title}: ${values.length === 0 ? 'no values yet' : `latest ${(values.at(-1) ?? 0).toFixed(1)} ${unit}`}`}
      />
    </figure>
  );
}

function options(element: HTMLElement, unit: string, bars: boolean): uPlot.Options {
  const style = getComputedStyle(element);
  const ink = style.getPropertyValue('--quiet').trim();
  const grid = { stroke: style.getPropertyValue('--line').trim(), width: 1 };
  const accent = style.getPropertyValue('--accent').trim();
  const axis = { stroke: ink, grid, ticks: { ...grid, size: 4 }, font: '11px system-ui, sans-serif' };
  const paths = bars ? uPlot.paths.bars?.({ size: [0.8, 6], align: 0 }) : undefined;
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { show: false },
    // Right: half of a time that stands below the last tick.
    padding: [8, 26, 0, 0],
    // UTC, as every time on the page.
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    scales: { y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, size: 28, space: 70, values: (_u, ticks) => ticks.map((s) => new Date(s * 1000).toISOString().slice(11, 19)) },
      { ...axis, size: 46, space: 28 },
    ],
    series: [
      {},
      {
        label: unit,
        stroke: accent,
        width: bars ? 0 : 1.5,
        fill: bars ? accent : `${accent}33`,
        points: { show: false },
        ...(paths ? { paths } : {}),
      },
    ],
  };
}
