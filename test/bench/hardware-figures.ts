// What watching the hardware costs, of slices that were taken in turn, without and with it. Pure.
//
// A host that does other things makes every clock late, watched or not. So what is *caused* is the difference of the two distributions, and
// beside it stands what the same difference is between the two halves of the slices without watching: what the host alone makes. A difference
// that is not above that is not seen. The main thread's own processor time in a turn of its clock knows nothing of the host: it is what
// the main loop itself has to do for the watching.

export interface Slice {
  watched: boolean;
  /** Of one core, by the whole process and what it started. */
  cpuPercent: number;
  /** Of each turn of the main thread's clock. */
  latenessMs: readonly number[];
  /** Processor time of the main thread in each turn. */
  turnCpuMs: readonly number[];
  /** Of watched ones: what was read, and how long the last reading took. */
  readings: readonly { source: string; state: string; tookMs: number }[];
}

/** In the words: below 1 % and 2 ms. */
export const GOAL = { cpuPercent: 1, eventLoopMs: 2 };

export interface Row {
  what: string;
  without: number;
  watched: number;
  /** watched - without. */
  caused: number;
  /** Between the halves of the slices without watching: the larger minus the smaller. */
  noise: number;
  /** Null: no goal. */
  goal: number | null;
}

/** Rows need two slices of each kind at least. */
export function hardwareRows(slices: readonly Slice[]): Row[] {
  const watched = slices.filter((s) => s.watched);
  const without = slices.filter((s) => !s.watched);
  // Every other one: both halves have slices from the whole of the run.
  const halves = [0, 1].map((odd) => without.filter((_, at) => at % 2 === odd));
  const row = (what: string, goal: number | null, of: (some: readonly Slice[]) => number): Row => {
    const [a, b] = [of(watched), of(without)];
    const [one = 0, other = 0] = halves.map(of);
    return { what, without: b, watched: a, caused: a - b, noise: Math.abs(one - other), goal };
  };
  const late = (some: readonly Slice[]): number[] => some.flatMap((s) => s.latenessMs);
  const turns = (some: readonly Slice[]): number[] => some.flatMap((s) => s.turnCpuMs);
  return [
    row('processor, % of one core, median of slices', GOAL.cpuPercent, (some) => median(some.map((s) => s.cpuPercent))),
    row("lateness of the main thread's clock, p50, ms", null, (some) => quantile(late(some), 0.5)),
    row("lateness of the main thread's clock, p99.9, ms", GOAL.eventLoopMs, (some) => quantile(late(some), 0.999)),
    row("lateness of the main thread's clock, most, median of slices, ms", GOAL.eventLoopMs, (some) =>
      median(some.map((s) => largest(s.latenessMs))),
    ),
    row("lateness of the main thread's clock, most of all, ms", null, (some) => largest(late(some))),
    row("the main thread's own processor time in a turn, p99.9, ms", GOAL.eventLoopMs, (some) => quantile(turns(some), 0.999)),
    row("the main thread's own processor time in a turn, most, median of slices, ms", GOAL.eventLoopMs, (some) =>
      median(some.map((s) => largest(s.turnCpuMs))),
    ),
  ];
}

/** Reached, missed; or the host's noise is as large as the goal, and larger than what was seen: nothing can be said. */
export function verdictOf({ caused, noise, goal }: Row): 'reached' | 'missed' | 'not to be told here' | '' {
  if (goal === null) return '';
  if (caused >= goal) return noise >= caused ? 'not to be told here' : 'missed';
  return noise >= goal ? 'not to be told here' : 'reached';
}

export function hardwareTable(slices: readonly Slice[]): string {
  const cells = (r: Row): string =>
    [
      r.what,
      ...[r.without, r.watched, r.caused, r.noise].map((value) => value.toFixed(2)),
      r.goal === null ? '' : `< ${r.goal}`,
      verdictOf(r),
    ].join(' | ');
  return [
    '| | not watched | watched | caused | noise of the host | wanted | |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...hardwareRows(slices).map((r) => `| ${cells(r)} |`),
  ].join('\n');
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const above = Math.floor(sorted.length / 2);
  return ((sorted[above] ?? Number.NaN) + (sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN)) / 2;
}

/** The smallest value that so large a share of all does not exceed; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}
