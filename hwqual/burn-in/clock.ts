// How fast this server's clock goes: its oscillator against the wall clock (which time servers correct), and against the partner's oscillator.
import { readClocks } from '../../drivers/ethernet/index.ts';
import { type BurnInTest, type ClockDrift, outcome, rounded, stopped, type TestContext } from './context.ts';
import type { TestResult } from './result.ts';

export const clock: BurnInTest = { id: 'clock', title: 'clock', run };

/** What the kernel can correct (adjtimex: 500 ppm); a good oscillator has less than 50. */
const ALLOWED_PPM = 500;
/** The wall clock was set meanwhile: that is no drift. */
const STEP_PPM = 10_000;

async function run(context: TestContext): Promise<TestResult> {
  const before = readClocks();
  await stopped(context.stop);
  const after = readClocks();
  return judgeClock({
    seconds: (after.rawNs - before.rawNs) / 1e9,
    realtimePpm: ((after.realtimeNs - before.realtimeNs) / (after.rawNs - before.rawNs) - 1) * 1e6,
    // 64 ns are lost in a double of this size, twice.
    uncertaintyPpm: ((before.withinNs + after.withinNs + 128) / (after.rawNs - before.rawNs)) * 1e6,
    partner: await context.partnerClock,
  });
}

export interface ClockReading {
  seconds: number;
  /** The wall clock, faster than the oscillator. */
  realtimePpm: number;
  uncertaintyPpm: number;
  /** Null: not heard for long enough. */
  partner: ClockDrift | null;
}

export function judgeClock({ seconds, realtimePpm, uncertaintyPpm, partner: other }: ClockReading): TestResult {
  const figures = {
    seconds: rounded(seconds),
    realtimePpm: rounded(realtimePpm, 2),
    realtimeUncertaintyPpm: rounded(uncertaintyPpm, 3),
    partnerPpm: other === null ? null : rounded(other.ppm, 2),
    partnerUncertaintyPpm: other === null ? null : rounded(other.uncertaintyPpm, 2),
  };
  const against = (what: string, ppm: number, within: number): string =>
    `${rounded(ppm, 1)} ppm against ${what} (to ${rounded(within, 1)})`;
  const said = [
    Math.abs(realtimePpm) > STEP_PPM ? 'the wall clock was set meanwhile' : against('the wall clock', realtimePpm, uncertaintyPpm),
    other === null ? "the partner's clock was not heard for long enough" : against("the partner's", other.ppm, other.uncertaintyPpm),
  ].join(', ');
  // Beyond what the measurement itself may be wrong by.
  const tooFast = (ppm: number, within: number): boolean => Math.abs(ppm) - within > ALLOWED_PPM;
  const isStep = Math.abs(realtimePpm) > STEP_PPM;
  if ((!isStep && tooFast(realtimePpm, uncertaintyPpm)) || (other !== null && tooFast(other.ppm, other.uncertaintyPpm)))
    return outcome(clock, 'fail', `${said}: more than ${ALLOWED_PPM} cannot be corrected: replace the board`, figures);
  if (isStep && other === null) return outcome(clock, 'notTested', said, figures);
  return outcome(clock, 'pass', said, figures);
}
