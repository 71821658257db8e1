// Loaded before a test file (node --import): the cases that fast-check makes up follow from TWINSTEP_SEED, so that a run can be repeated.
// Without it, as in a plain `node FILE`, they are new each time. TWINSTEP_CASES_FILE: one line of JSON (PropertyRun) for each property.
import { appendFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import type { RunDetails } from 'fast-check';
import { seedGiven } from './test-program.ts';

export interface PropertyRun {
  seed: number;
  /** Cases tried, up to the first that failed. */
  cases: number;
  /** null: none failed. */
  failure: { path: string; counterexample: string } | null;
}

/** Of a counterexample: what a terminal can still show. The seed makes the whole again. */
const SHOWN_CHARACTERS = 4000;

const file = process.env.TWINSTEP_CASES_FILE ?? '';
// The test's threads inherit --import; they make up nothing.
if (isMainThread) {
  const { default: fc } = await import('fast-check');
  const seed = seedGiven();
  if (seed !== undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
  if (file !== '')
    fc.installGlobalPlugin(() => ({
      onAllRunsComplete(run: RunDetails<unknown>) {
        const failure = run.failed
          ? { path: run.counterexamplePath ?? '', counterexample: fc.stringify(run.counterexample).slice(0, SHOWN_CHARACTERS) }
          : null;
        appendFileSync(file, `${JSON.stringify({ seed: run.seed, cases: run.numRuns, failure } satisfies PropertyRun)}\n`);
      },
    }));
}
