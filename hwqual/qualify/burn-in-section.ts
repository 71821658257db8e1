// The result of a burn-in, as the report keeps and shows it: the JSON file of `twinstep burn-in --json`, taken field by field. Pure.
import { FileError } from './signed-file.ts';

export interface BurnInTest {
  title: string;
  verdict: 'pass' | 'fail' | 'notTested';
  /** Units are in the names. */
  figures: Record<string, string | number | boolean | null>;
  reason: string;
}

export interface BurnInSection {
  coServer: 'A' | 'B';
  /** ISO 8601. */
  startedAt: string;
  durationS: number;
  tests: BurnInTest[];
  smallestHeartbeatTimeoutMs: number | null;
  /** incomplete: it was ended before its time. */
  verdict: 'passed' | 'failed' | 'incomplete';
  sentence: string;
}

const TESTS_MAX = 64;
const FIGURES_MAX = 64;
const TEXT_MAX_CHARS = 4_000;

/** `name` is for the errors. Throws FileError. */
export function parseBurnIn(text: string, name: string): BurnInSection {
  const fail = (at: string): never => {
    throw new FileError(`${name} is no result of twinstep burn-in: ${at}`);
  };
  const object = (v: unknown, at: string): Record<string, unknown> =>
    typeof v === 'object' && v !== null && !Array.isArray(v) ? (v as Record<string, unknown>) : fail(`${at} is no object`);
  const words = (v: unknown, at: string): string => (typeof v === 'string' && v.length <= TEXT_MAX_CHARS ? v : fail(`${at} is no text`));
  const number = (v: unknown, at: string): number =>
    typeof v === 'number' && Number.isFinite(v) && v >= 0 ? v : fail(`${at} is no number`);
  const oneOf = <T extends string>(v: unknown, choices: readonly T[], at: string): T =>
    choices.find((c) => c === v) ?? fail(`${at} is none of ${choices.join(', ')}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (e) {
    fail((e as Error).message);
  }
  const r = object(value, 'the file');
  const { coServer, startedAt, durationS, tests, smallestHeartbeatTimeoutMs: smallest, verdict, sentence } = r;
  if (!Array.isArray(tests) || tests.length > TESTS_MAX) return fail('tests is no list');
  return {
    coServer: oneOf(coServer, ['A', 'B'] as const, 'coServer'),
    startedAt: words(startedAt, 'startedAt'),
    durationS: number(durationS, 'durationS'),
    tests: tests.map((one, i) => {
      const test = object(one, `tests[${i}]`);
      const figures = Object.entries(object(test['figures'], `tests[${i}].figures`)).slice(0, FIGURES_MAX);
      return {
        title: words(test['title'], `tests[${i}].title`),
        verdict: oneOf(test['verdict'], ['pass', 'fail', 'notTested'] as const, `tests[${i}].verdict`),
        figures: Object.fromEntries(figures.map(([key, figure]) => [key, figureOf(figure)])),
        reason: words(test['reason'], `tests[${i}].reason`),
      };
    }),
    smallestHeartbeatTimeoutMs: smallest === null ? null : number(smallest, 'smallestHeartbeatTimeoutMs'),
    verdict: oneOf(verdict, ['passed', 'failed', 'incomplete'] as const, 'verdict'),
    sentence: words(sentence, 'sentence'),
  };
}

function figureOf(v: unknown): string | number | boolean | null {
  if (typeof v === 'string') return v.slice(0, TEXT_MAX_CHARS);
  return typeof v === 'number' || typeof v === 'boolean' ? v : null;
}
