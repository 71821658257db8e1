// Time for campaigns, so that their tests need none.

export interface Clock {
  /** Wall clock, ms since 1970: to be compared with the snapshots' times. */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Uniform in [0, 1). */
  random(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
  random: () => Math.random(),
};
