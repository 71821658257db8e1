// What npm run fuzz counts and says: pure.
import type { PropertyRun } from './seed.ts';
import type { Ended } from './test-program.ts';

export interface FileTally {
  /** Relative to the root. */
  file: string;
  rounds: number;
  /** Calls of fc.assert in one round. */
  properties: number;
  /** Cases that were made up and tried, in all rounds. */
  cases: number;
  /** Rounds that failed. */
  failures: number;
  seconds: number;
  /** It runs now. */
  busy: boolean;
}

/** Of what a failed file said: from each "not ok" on, or its end; enough to see what was compared. */
const LINES_OF_ONE = 20;
const LINES_SHOWN = 60;

/** The file that is next: the one with the fewest rounds that does not run; undefined: none is left. */
export function nextFile(tallies: readonly FileTally[], again: boolean): FileTally | undefined {
  const free = tallies.filter((tally) => !tally.busy && (again || tally.rounds === 0));
  return free.reduce<FileTally | undefined>((least, tally) => (least && least.rounds <= tally.rounds ? least : tally), undefined);
}

/** File, seed, path, counterexample; a failure that is no property's (tap's own comparison, a crash) shows what the file said. */
export function failureText(
  file: string,
  seed: number,
  runs: readonly PropertyRun[],
  { said, code }: Pick<Ended, 'said' | 'code'>,
): string {
  const failed = runs.flatMap((run, at) => (run.failure ? [{ ...run, failure: run.failure, at: at + 1 }] : []));
  const properties = failed.map(
    ({ at, failure, cases, seed: used }) =>
      `  property ${at} of the file, after ${cases} cases: seed ${used}, path ${JSON.stringify(failure.path)}\n  counterexample: ${failure.counterexample}`,
  );
  const wrong = said.flatMap((line, at) => (/^\s*not ok/.test(line) ? said.slice(at, at + LINES_OF_ONE) : []));
  const ended = code === null ? ['  ended by a signal: out of time (something hangs, or the machine is very busy)'] : [];
  const lines = (wrong.length > 0 ? wrong.slice(0, LINES_SHOWN) : said.slice(-LINES_SHOWN)).map((line) => `    ${line.trimEnd()}`);
  return [`not ok - ${file}`, `  again: TWINSTEP_SEED=${seed} npm test -- ${file}`, ...ended, ...properties, ...lines].join('\n');
}

/** Of a test file, the code that it tries: `drivers/ipmi`, `appliance/gate/lockstep`. */
export function codecOf(file: string): string {
  return file.replace(/^test\/(unit\/)?/, '').replace(/\/[^/]*$/, '');
}

/** A row for each file, then the sum for each codec. */
export function tallyTable(tallies: readonly FileTally[], minutes: number): string {
  const tried = tallies.filter((tally) => tally.rounds > 0);
  const rows = tried.map((tally) => row(tally.file, tally.rounds, tally.properties, tally.cases, tally.failures));
  const codecs = [...new Set(tried.map((tally) => codecOf(tally.file)))].map((codec) => {
    const cases = tried.filter((tally) => codecOf(tally.file) === codec).reduce((all, tally) => all + tally.cases, 0);
    return `${codec.padEnd(60)} ${figure(cases)}`;
  });
  const sum = (key: 'cases' | 'failures' | 'rounds') => tried.reduce((all, tally) => all + tally[key], 0);
  return [
    '',
    `${'file'.padEnd(60)} ${'rounds'.padStart(8)} ${'properties'.padStart(11)} ${'cases'.padStart(12)} ${'failed'.padStart(8)}`,
    ...rows,
    '',
    `${'codec'.padEnd(60)} ${'cases'.padStart(12)}`,
    ...codecs,
    '',
    `${minutes.toFixed(1)} minutes, ${sum('rounds')} files run, ${sum('cases')} cases, ${sum('failures')} failed`,
  ].join('\n');
}

function row(file: string, rounds: number, properties: number, cases: number, failures: number): string {
  return `${file.padEnd(60)} ${String(rounds).padStart(8)} ${String(properties).padStart(11)} ${figure(cases)} ${String(failures).padStart(8)}`;
}

function figure(count: number): string {
  return String(count).padStart(12);
}
