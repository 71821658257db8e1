// Small charts as SVG text, for a page that needs nothing else: lines over time with markers, dots and bars per round. Pure.

export interface Series {
  name: string;
  color: string;
  points: { x: number; y: number }[];
}

export interface ChartOptions {
  title: string;
  unit: string;
  series: readonly Series[];
  /** Vertical lines with a text, at x. */
  markers?: readonly { x: number; text: string }[];
  /** Logarithmic y axis from 1: for values over several magnitudes. */
  log?: boolean;
  style: 'line' | 'dots' | 'bars';
  /** How x is written on the axis. */
  xLabel: (x: number) => string;
  xTitle: string;
  /** x ticks at these values; otherwise about eight. */
  xTicks?: readonly number[];
}

const WIDTH = 960;
const PLOT_HEIGHT = 220;
const LEFT = 64;
const RIGHT = 16;
const BOTTOM = 40;
/** Room for one row of marker texts; rows are added while texts would overlap. */
const MARKER_ROW = 14;
const MARKER_CHARACTER = 6.2;
const MAX_MARKER_ROWS = 5;

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** 1, 2, 5, 10, ...: about `count` steps up to `max`. */
export function niceTicks(max: number, count: number): number[] {
  if (max <= 0) return [0, 1];
  const raw = max / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw) ?? 10 * power;
  const ticks: number[] = [];
  for (let i = 0; ticks.length === 0 || (ticks.at(-1) ?? 0) < max; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

function logTicks(max: number): number[] {
  const ticks: number[] = [];
  for (let tick = 1; ; tick *= 10) {
    ticks.push(tick);
    if (tick >= max) return ticks;
  }
}

export function shortNumber(value: number): string {
  if (value >= 1_000_000) return `${Number((value / 1_000_000).toPrecision(3))}M`;
  if (value >= 10_000) return `${Number((value / 1000).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

/** Puts marker texts into rows so that none covers another; a text that finds no room is left out (its line stays). */
function markerRows(
  markers: readonly { x: number; text: string }[],
  at: (x: number) => number,
): { x: number; text: string; row: number | null }[] {
  const ends: number[] = [];
  return markers.map(({ x, text }) => {
    if (text === '') return { x, text, row: null };
    const width = text.length * MARKER_CHARACTER + 8;
    // The last ones grow to the left, so that they stay inside.
    const start = Math.min(at(x), WIDTH - width);
    const free = Array.from({ length: MAX_MARKER_ROWS }, (_, row) => row).find((row) => (ends[row] ?? 0) <= start);
    if (free !== undefined) ends[free] = start + width;
    return { x, text, row: free ?? null };
  });
}

export function chart(options: ChartOptions): string {
  const { series, log = false, markers = [] } = options;
  const xs = [...series.flatMap((s) => s.points.map((p) => p.x)), ...(options.style === 'line' ? markers.map((m) => m.x) : [])];
  if (xs.length === 0) return `<figure><figcaption>${escapeHtml(options.title)}</figcaption><p class="quiet">No data.</p></figure>`;
  const pad = options.style === 'line' ? 0 : 0.5;
  const xMin = Math.min(...xs) - pad;
  const xMax = Math.max(Math.max(...xs) + pad, xMin + 1e-9);
  const yLargest = Math.max(...series.flatMap((s) => s.points.map((p) => p.y)), 1e-9);
  const yTicks = log ? logTicks(Math.max(10, yLargest)) : niceTicks(yLargest, 4);
  const yMax = yTicks.at(-1) ?? 1;
  const at = (x: number): number => LEFT + ((x - xMin) / (xMax - xMin)) * (WIDTH - LEFT - RIGHT);
  const rows = markerRows(markers, at);
  const top = 8 + MARKER_ROW * Math.max(0, ...rows.map(({ row }) => (row === null ? 0 : row + 1)));
  const base = top + PLOT_HEIGHT;
  const height = (y: number): number => {
    const part = log ? Math.log10(Math.max(1, y)) / Math.log10(yMax) : y / yMax;
    return base - part * PLOT_HEIGHT;
  };
  const parts: string[] = [];
  for (const tick of yTicks) {
    const y = height(tick).toFixed(1);
    parts.push(`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}"/>`);
    parts.push(`<text class="tick" x="${LEFT - 6}" y="${y}" dy="0.35em" text-anchor="end">${shortNumber(tick)}</text>`);
  }
  const xTicks = options.xTicks ?? niceTicks(xMax, 8).filter((tick) => tick >= xMin);
  for (const tick of xTicks.filter((x) => x <= xMax + 1e-9)) {
    parts.push(
      `<text class="tick" x="${at(tick).toFixed(1)}" y="${base + 16}" text-anchor="middle">${escapeHtml(options.xLabel(tick))}</text>`,
    );
  }
  parts.push(
    `<text class="tick" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${base + 34}" text-anchor="middle">${escapeHtml(options.xTitle)}</text>`,
  );
  parts.push(
    `<text class="tick" transform="translate(14 ${(top + base) / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(options.unit)}</text>`,
  );
  for (const { x, text, row } of rows) {
    const position = at(x);
    const anchor = position + text.length * MARKER_CHARACTER > WIDTH - 4 ? 'end' : 'start';
    const y = row === null ? top : 4 + MARKER_ROW * (row + 1);
    parts.push(
      `<line class="marker" x1="${position.toFixed(1)}" x2="${position.toFixed(1)}" y1="${y - (row === null ? 0 : 9)}" y2="${base}"/>`,
    );
    if (row !== null)
      parts.push(
        `<text class="marker" x="${(position + (anchor === 'end' ? -3 : 3)).toFixed(1)}" y="${y}" text-anchor="${anchor}">${escapeHtml(text)}</text>`,
      );
  }
  series.forEach((s, index) => {
    parts.push(drawSeries(options.style, s, index, series.length, at, height, base));
  });
  const legend = series.map((s) => `<span><i style="background:${s.color}"></i>${escapeHtml(s.name)}</span>`).join('');
  const title = escapeHtml(options.title);
  return `<figure><figcaption>${title}</figcaption><div class="legend">${series.length > 1 ? legend : ''}</div><svg viewBox="0 0 ${WIDTH} ${base + BOTTOM}" role="img" aria-label="${title}">${parts.join('')}</svg></figure>`;
}

function drawSeries(
  style: ChartOptions['style'],
  s: Series,
  index: number,
  count: number,
  at: (x: number) => number,
  height: (y: number) => number,
  base: number,
): string {
  switch (style) {
    case 'line': {
      const path = s.points.map((p, i) => `${i === 0 ? 'M' : 'L'}${at(p.x).toFixed(1)} ${height(p.y).toFixed(1)}`).join('');
      return `<path d="${path}" fill="none" stroke="${s.color}" stroke-width="1.4" stroke-linejoin="round"/>`;
    }
    case 'dots': {
      const spread = Math.min(0.6 * (at(1) - at(0)), 60);
      const shift = count > 1 ? (index / (count - 1) - 0.5) * spread : 0;
      return s.points
        .map(
          (p) =>
            `<circle cx="${(at(p.x) + shift).toFixed(1)}" cy="${height(p.y).toFixed(1)}" r="4" fill="${s.color}"><title>${escapeHtml(`${s.name}: ${shortNumber(p.y)}`)}</title></circle>`,
        )
        .join('');
    }
    case 'bars': {
      const slot = Math.min((at(1) - at(0)) * 0.7, 70) / count;
      return s.points
        .map((p) => {
          const x = at(p.x) - (slot * count) / 2 + slot * index;
          const y = height(p.y);
          return `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${slot.toFixed(1)}" height="${Math.max(0, base - y).toFixed(1)}" fill="${s.color}"><title>${escapeHtml(`${s.name}: ${shortNumber(p.y)}`)}</title></rect>`;
        })
        .join('');
    }
    default: {
      const unknown: never = style;
      throw new Error(`unknown chart style ${unknown}`);
    }
  }
}
