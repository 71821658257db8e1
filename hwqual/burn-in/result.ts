// What a burn-in found, as plain JSON: kept in the qualification's report and shown to people. Pure.

export const TEST_IDS = ['processors', 'memory', 'disk', 'flush', 'links', 'clock', 'jitter', 'watchdog', 'bmc'] as const;
export type TestId = (typeof TEST_IDS)[number];

/** notTested never counts as a pass: the reason says what is missing. */
export type TestVerdict = 'pass' | 'fail' | 'notTested';

export type Figure = string | number | boolean | null;

export interface TestResult {
  id: TestId;
  title: string;
  verdict: TestVerdict;
  /** Units are in the names. */
  figures: Record<string, Figure>;
  /** One sentence: what was found, or why there was no test, and what to do. */
  reason: string;
}

export interface BurnInResult {
  schema: 1;
  coServer: 'A' | 'B';
  /** ISO 8601, of this server's clock. */
  startedAt: string;
  askedS: number;
  durationS: number;
  tests: TestResult[];
  /** The smallest heartbeat.timeoutMs that this server can keep under load; null: not measured. */
  smallestHeartbeatTimeoutMs: number | null;
  /** incomplete: it was ended before its time, and nothing had failed until then. */
  verdict: 'passed' | 'failed' | 'incomplete';
  /** One line for the operator. */
  sentence: string;
}

export function summarize(parts: Omit<BurnInResult, 'schema' | 'verdict' | 'sentence'>, interrupted: boolean): BurnInResult {
  const { tests } = parts;
  const named = (verdict: TestVerdict): string[] => tests.filter((t) => t.verdict === verdict).map((t) => t.title);
  const [passed, failed, untested] = [named('pass'), named('fail'), named('notTested')];
  const verdict = failed.length > 0 ? 'failed' : interrupted ? 'incomplete' : passed.length === 0 ? 'incomplete' : 'passed';
  const said = [
    ...tests.filter((t) => t.verdict === 'fail').map((t) => `${t.title}: ${t.reason}`),
    ...(interrupted ? [`ended after ${Math.round(parts.durationS)} s of ${parts.askedS}`] : []),
    ...(passed.length > 0 ? [`passed: ${passed.join(', ')}`] : []),
    ...(untested.length > 0 ? [`not tested: ${untested.join(', ')}`] : []),
  ];
  return { schema: 1, ...parts, verdict, sentence: said.join('; ') };
}
