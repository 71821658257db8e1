// The burn-in: all tests at once, so that each runs under the load of the others, until the time is over or the operator ends it.
import { bmc } from './bmc.ts';
import { clock } from './clock.ts';
import { type BurnInOptions, type BurnInTest, type ClockDrift, outcome, type TestContext } from './context.ts';
import { disk, flush } from './disk.ts';
import { jitter } from './jitter.ts';
import { links } from './links.ts';
import { memory } from './memory.ts';
import { processors } from './processors.ts';
import { type BurnInResult, summarize, type TestId, type TestResult } from './result.ts';
import { watchdog } from './watchdog.ts';

export const TESTS: readonly BurnInTest[] = [processors, memory, disk, flush, links, clock, jitter, watchdog, bmc];

/** What may run besides the links while the partner's burn-in is answered. */
const ANSWERING: readonly TestId[] = ['links', 'clock'];
const PROGRESS_MS = 500;

export interface BurnInProgress {
  elapsedS: number;
  /** Until the tests end; then they tell what they found. */
  etaS: number;
  percent: number;
  tests: { id: TestId; title: string; state: 'running' | 'pass' | 'fail' | 'notTested'; text: string }[];
}

/**
 * Runs for options.durationS; the result comes some seconds later (what was written is read again, the partner has the last word).
 * @param signal Ends it in order: the result is marked incomplete.
 */
export async function runBurnIn(
  options: BurnInOptions,
  onProgress: (progress: BurnInProgress) => void,
  signal: AbortSignal,
): Promise<BurnInResult> {
  const startedAt = new Date().toISOString();
  const startedMs = performance.now();
  const stop = new AbortController();
  let interrupted = false;
  const interrupt = (): void => {
    if (stop.signal.aborted) return;
    interrupted = true;
    stop.abort();
  };
  signal.addEventListener('abort', interrupt, { once: true });
  if (signal.aborted) interrupt();
  const end = setTimeout(() => stop.abort(), options.durationS * 1000);
  const chosen = TESTS.filter((t) => (options.tests?.includes(t.id) ?? true) && (!options.answerOnly || ANSWERING.includes(t.id)));
  const shown = new Map<TestId, BurnInProgress['tests'][number]>(
    chosen.map(({ id, title }) => [id, { id, title, state: 'running', text: '' }]),
  );
  const tellProgress = (): void => {
    const elapsedS = (performance.now() - startedMs) / 1000;
    const etaS = stop.signal.aborted ? 0 : Math.max(0, options.durationS - elapsedS);
    const percent = Math.min(100, Math.round((100 * elapsedS) / options.durationS));
    onProgress({ elapsedS, etaS, percent, tests: [...shown.values()].map((t) => ({ ...t })) });
  };
  const partnerClock = Promise.withResolvers<ClockDrift | null>();
  const shared = {
    options,
    stop: stop.signal,
    interrupted: () => interrupted,
    partnerClock: partnerClock.promise,
    tellPartnerClock: partnerClock.resolve,
  };
  // The disk and what its flushes are worth are one run: they share a context, whose text is the disk's.
  const contexts = new Map<TestId, TestContext>();
  const contextOf = (test: BurnInTest): TestContext => {
    const owner = test.id === 'flush' ? 'disk' : test.id;
    const known = contexts.get(owner);
    if (known) return known;
    const context: TestContext = {
      ...shared,
      show: (text) => {
        const line = shown.get(test.id);
        if (line?.state === 'running') line.text = text;
      },
    };
    contexts.set(owner, context);
    return context;
  };
  if (!chosen.includes(links)) partnerClock.resolve(null);
  const progress = setInterval(tellProgress, PROGRESS_MS);
  try {
    const tests = await Promise.all(
      chosen.map(async (test) => {
        const result = await runOne(test, contextOf(test));
        if (test.id === 'links') partnerClock.resolve(null);
        shown.set(test.id, { id: test.id, title: test.title, state: result.verdict, text: result.reason });
        tellProgress();
        return result;
      }),
    );
    const smallest = tests.find((t) => t.id === 'jitter')?.figures['smallestTimeoutMs'];
    return summarize(
      {
        coServer: options.coServer,
        startedAt,
        askedS: options.durationS,
        durationS: Math.round((performance.now() - startedMs) / 100) / 10,
        tests,
        smallestHeartbeatTimeoutMs: typeof smallest === 'number' ? smallest : null,
      },
      interrupted,
    );
  } finally {
    clearInterval(progress);
    clearTimeout(end);
    signal.removeEventListener('abort', interrupt);
  }
}

/** What nobody foresaw is told where it happened, and the other tests go on. */
async function runOne(test: BurnInTest, context: TestContext): Promise<TestResult> {
  try {
    return await test.run(context);
  } catch (error) {
    return outcome(test, 'notTested', `the test itself failed: ${(error as Error).message}`);
  }
}
