// Medians and ratios over the rounds. Pure.
import type { Sample } from './campaign.ts';
import { type Column, MEASURE_COLUMNS, type MeasureName } from './measure.ts';
import { CPU_PARTS, type Usage } from './reading.ts';
import type { VariantName } from './variants/variant.ts';

export interface Cell {
  /** Null: no round gave a value. */
  median: number | null;
  least: number | null;
  most: number | null;
  rounds: number;
  /** What broke, one sentence per round that had trouble. Its value, where there is one, is still in the median. */
  problems: string[];
}

export interface UsageSummary {
  variant: VariantName;
  measure: MeasureName;
  checkpointsPerS: number | null;
  bytesPerCheckpoint: number | null;
  streamBytesPerCheckpoint: number | null;
  pauseP50Ms: number | null;
  pauseP99Ms: number | null;
  /** Per second, most frequent first; null: this variant does not tell. */
  causesPerS: [string, number][] | null;
  framesPerS: number | null;
  cpuUsPerFrame: { gate: number | null; product: number | null; engine: number | null; all: number | null };
  /** Of all processes of the variant, in cores. */
  cores: number | null;
  linkBytesPerS: number | null;
  modes: string[];
}

export function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted[sorted.length >> 1];
  if (middle === undefined) return null;
  return sorted.length % 2 === 1 ? middle : (middle + (sorted[(sorted.length >> 1) - 1] ?? middle)) / 2;
}

export function columnsOf(measures: readonly MeasureName[]): { measure: MeasureName; column: Column }[] {
  return measures.flatMap((measure) => MEASURE_COLUMNS[measure].map((column) => ({ measure, column })));
}

export function cell(samples: readonly Sample[], variant: VariantName, measure: MeasureName, key: string): Cell {
  const mine = samples.filter((s) => s.variant === variant && s.measure === measure);
  const values = mine.flatMap((s) => s.values[key] ?? []);
  return {
    median: median(values),
    least: values.length === 0 ? null : Math.min(...values),
    most: values.length === 0 ? null : Math.max(...values),
    rounds: mine.length,
    problems: mine.flatMap((s) => (s.problem === null ? [] : [`round ${s.round}: ${s.problem}`])),
  };
}

/** Above 1 is more of it (also for latencies). Null: one of the two has no value. */
export function ratio(
  samples: readonly Sample[],
  variant: VariantName,
  against: VariantName,
  measure: MeasureName,
  key: string,
): number | null {
  const [a, b] = [cell(samples, variant, measure, key).median, cell(samples, against, measure, key).median];
  return a === null || b === null || b === 0 ? null : a / b;
}

export function summarizeUsage(samples: readonly Sample[], variant: VariantName, measure: MeasureName): UsageSummary | null {
  const mine = samples.filter((s) => s.variant === variant && s.measure === measure);
  const usages = mine.flatMap((s) => s.usage ?? []);
  if (usages.length === 0) return null;
  const of = (read: (usage: Usage) => number | null) => median(usages.flatMap((usage) => read(usage) ?? []));
  return {
    variant,
    measure,
    checkpointsPerS: of((u) => u.checkpointsPerS),
    bytesPerCheckpoint: of((u) => u.bytesPerCheckpoint),
    streamBytesPerCheckpoint: of((u) => u.streamBytesPerCheckpoint),
    pauseP50Ms: of((u) => u.pauseP50Ms),
    pauseP99Ms: of((u) => u.pauseP99Ms),
    causesPerS: causesPerS(usages),
    framesPerS: of((u) => u.frames / u.seconds),
    cpuUsPerFrame: {
      gate: of((u) => u.cpuUsPerFrame?.gate ?? null),
      product: of((u) => u.cpuUsPerFrame?.product ?? null),
      engine: of((u) => u.cpuUsPerFrame?.engine ?? null),
      all: of((u) => u.cpuUsPerFrame?.all ?? null),
    },
    cores: of((u) => CPU_PARTS.reduce((sum, part) => sum + u.cpuMsPerS.primary[part] + u.cpuMsPerS.secondary[part], 0) / 1000),
    linkBytesPerS: of((u) => u.linkBytesPerS),
    modes: [...new Set(mine.flatMap((s) => s.mode ?? []))],
  };
}

function causesPerS(usages: readonly Usage[]): [string, number][] | null {
  const told = usages.filter((u) => u.causes !== null);
  if (told.length === 0) return null;
  const seconds = told.reduce((sum, u) => sum + u.seconds, 0);
  const totals = new Map<string, number>();
  for (const usage of told)
    for (const [cause, count] of Object.entries(usage.causes ?? {})) totals.set(cause, (totals.get(cause) ?? 0) + count);
  return [...totals].map(([cause, count]): [string, number] => [cause, count / seconds]).sort((a, b) => b[1] - a[1]);
}
