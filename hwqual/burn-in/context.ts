// What every test of the burn-in is given, and what it gives back.
import type { IpmiOptions } from '../../drivers/ipmi/index.ts';
import type { TestId, TestResult, TestVerdict } from './result.ts';

export interface BurnInOptions {
  coServer: 'A' | 'B';
  pairId: string;
  /** Null: not paired yet; the flood is then not authenticated, and says so. */
  pairKey: Uint8Array | null;
  durationS: number;
  /** The dedicated links, in the configuration's order. */
  links: readonly { nic: string }[];
  /** Only help the partner's burn-in: hear its flood and tell what came; nothing else is tested. */
  answerOnly: boolean;
  /** Of the memory that is free. */
  memoryShare: number;
  scratch: ScratchOptions;
  heartbeat: { intervalMs: number; timeoutMs: number };
  /** The partner's BMC; null: none is configured. */
  fence: IpmiOptions | null;
  /** This server's own, "/dev/ipmi0"; empty: it has none. */
  ownBmc: string;
  watchdog: { device: string; timeoutS: number };
  stateDir: string;
  /** The program whose worker threads are started with { role: 'burnIn' }. */
  program: URL;
  /** Default: all. */
  tests?: readonly TestId[];
}

export interface ScratchOptions {
  /** The guest's disk: the scratch file lies beside it. A device has no beside: then `area` is needed. */
  guestDisk: string;
  sizeMiB: number;
  /** A piece of a device or file, empty or of an earlier burn-in: anything else is refused. */
  area: { path: string; offsetMiB: number; lengthMiB: number } | null;
}

export interface TestContext {
  options: BurnInOptions;
  /** Aborted when the time is over, or when the operator ends it. */
  stop: AbortSignal;
  interrupted(): boolean;
  /** Shown while it runs: current figures. */
  show(text: string): void;
  /** What one test found that another one needs: the links hear the partner's clock. Resolves when they have ended. */
  partnerClock: Promise<ClockDrift | null>;
  tellPartnerClock(drift: ClockDrift | null): void;
}

/** Parts per million that another clock is faster than this server's oscillator. */
export interface ClockDrift {
  ppm: number;
  uncertaintyPpm: number;
}

export interface BurnInTest {
  id: TestId;
  title: string;
  /** Rejects for nothing that a machine may do: that is a verdict. */
  run(context: TestContext): Promise<TestResult>;
}

export function outcome(
  test: Pick<BurnInTest, 'id' | 'title'>,
  verdict: TestVerdict,
  reason: string,
  figures: TestResult['figures'] = {},
): TestResult {
  return { id: test.id, title: test.title, verdict, figures, reason };
}

/** At the time's end, or the operator's word; at once when it is over already. */
export function stopped(stop: AbortSignal): Promise<void> {
  if (stop.aborted) return Promise.resolve();
  return new Promise((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }));
}

/** To at most three digits after the point. */
export function rounded(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}
