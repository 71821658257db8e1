// The watchdog's keeper: arms it while the workload runs here, and renews it only while this process can still do what it promises.
//
// A renewal is the end of a round: the question goes to the threads that hold output and hear the partner, both answer, and then the
// main loop comes by. So a CoServer whose main loop, gate or heartbeat stands still ends within one time-out and one tick of its last
// answer, whatever the operating system says of its processes.
//
//   tick ---- due ----> ask the heartbeat and the gate ---- both answered ----> tick ----> renew, due in a fifth of the time-out
import type { Watchdog, WatchdogOptions } from '../../../drivers/watchdog/index.ts';

/** Renewals per time-out: a round may be lost to a busy machine, and a second one, before it counts. */
const ROUNDS_PER_TIMEOUT = 5;
/** Without an answer for this part of the time-out it is told, while there is still somebody to tell it. */
const TELL_SHARE = 0.4;
/** A watchdog that is not there is looked for this often. */
const REOPEN_MS = 2_000;

export interface WatchdogSetup {
  /** Empty: there is none. */
  device: string;
  timeoutMs: number;
  open: (options: WatchdogOptions) => Promise<Watchdog>;
  /** Who must answer before each renewal, by name. */
  questions: Readonly<Record<string, () => Promise<unknown>>>;
  tell: (severity: 'info' | 'warning' | 'critical', text: string) => void;
  /** It was lost, or is back after it could not be armed: beside what `arm` answers. */
  onArmed?: (ok: boolean, reason: string) => void;
  /** Monotonic ms. */
  now: () => number;
}

export class WatchdogKeeper {
  readonly #setup: WatchdogSetup;
  #watchdog: Watchdog | null = null;
  #wanted = false;
  /** One thing at a time with the device: an arm right behind a disarm waits for it. */
  #tail: Promise<unknown> = Promise.resolve();
  #reopenAt = Number.POSITIVE_INFINITY;
  #dueAt = 0;
  #renewedAt = 0;
  /** A question under way, and who has not answered it. */
  #round: { silent: Set<string> } | null = null;
  #told = false;
  #toldNone = false;

  constructor(setup: WatchdogSetup) {
    this.#setup = setup;
  }

  /** At boot: what an earlier life of this process left running is stopped; the workload does not run here yet. */
  settle(): Promise<string> {
    return this.arm(false);
  }

  /** Resolves with a sentence when it is so. Rejects when the watchdog cannot be used; while it is wanted it is tried again. */
  arm(armed: boolean): Promise<string> {
    this.#wanted = armed;
    if (this.#setup.device === '') return Promise.resolve('this CoServer has no watchdog');
    const done = this.#tail.then(() => (this.#wanted === armed ? (armed ? this.#start() : this.#stop()) : 'overtaken'));
    this.#tail = done.catch(() => undefined);
    return done;
  }

  /** From the main loop, often: its being called is part of what a renewal says. */
  tick(): void {
    const now = this.#setup.now();
    const watchdog = this.#watchdog;
    if (watchdog === null) {
      if (!this.#wanted || now < this.#reopenAt) return;
      this.#reopenAt = Number.POSITIVE_INFINITY;
      this.arm(true).then(
        (sentence) => this.#setup.onArmed?.(true, sentence),
        () => undefined,
      );
      return;
    }
    if (this.#round !== null && this.#round.silent.size === 0) {
      this.#renew(watchdog, now);
      return;
    }
    if (this.#round === null && now >= this.#dueAt) {
      // One that cannot be stopped is renewed for nobody: there is no workload here that could do harm.
      if (this.#wanted) this.#ask();
      else this.#renew(watchdog, now);
    }
    this.#tellSilence(watchdog, now);
  }

  async #start(): Promise<string> {
    const { open, device, timeoutMs, tell, now } = this.#setup;
    if (this.#watchdog !== null) return `the watchdog is armed: ${this.#watchdog.timeoutMs} ms`;
    let opened: Watchdog | null = null;
    try {
      opened = await open({ device, timeoutMs, onLost: (error) => this.#lost(opened, error) });
    } catch (error) {
      this.#reopenAt = now() + REOPEN_MS;
      // Once, not each time it is tried.
      if (!this.#told) tell('critical', `The watchdog cannot be armed: ${(error as Error).message}.`);
      this.#told = true;
      throw error;
    }
    this.#take(opened);
    if (opened.timeoutMs > timeoutMs)
      tell('warning', `The watchdog makes ${opened.timeoutMs} ms of the time-out of ${timeoutMs} ms that it was given.`);
    return `the watchdog is armed: ${opened.timeoutMs} ms`;
  }

  async #stop(): Promise<string> {
    const { open, device, timeoutMs, tell } = this.#setup;
    let watchdog = this.#watchdog;
    if (watchdog === null) {
      // Only who holds it can stop it. One that is not there needs no stopping.
      try {
        const opened: Watchdog = await open({ device, timeoutMs, onLost: (error) => this.#lost(opened, error) });
        watchdog = opened;
      } catch (error) {
        if (!this.#toldNone) tell('warning', `There is no watchdog: ${(error as Error).message}.`);
        this.#toldNone = true;
        return (error as Error).message;
      }
    }
    if (!watchdog.canStop) {
      if (this.#watchdog === null) {
        this.#take(watchdog);
        tell('warning', `The watchdog ${device} cannot be stopped (nowayout): this CoServer is reset whenever its process ends.`);
      }
      this.#round = null;
      return 'the watchdog cannot be stopped: it is renewed';
    }
    this.#watchdog = null;
    this.#round = null;
    await watchdog.disarm();
    return 'the watchdog is disarmed';
  }

  #take(watchdog: Watchdog): void {
    this.#watchdog = watchdog;
    this.#round = null;
    this.#renewedAt = this.#setup.now();
    this.#dueAt = this.#renewedAt;
    this.#told = this.#toldNone = false;
  }

  #lost(watchdog: Watchdog | null, error: Error): void {
    if (watchdog === null || watchdog !== this.#watchdog) return;
    watchdog.close();
    this.#watchdog = null;
    this.#round = null;
    this.#reopenAt = this.#setup.now() + REOPEN_MS;
    this.#setup.tell('critical', `The watchdog is lost: ${error.message}.`);
    this.#setup.onArmed?.(false, error.message);
  }

  #renew(watchdog: Watchdog, now: number): void {
    this.#round = null;
    this.#renewedAt = now;
    this.#dueAt = now + watchdog.timeoutMs / ROUNDS_PER_TIMEOUT;
    this.#told = false;
    watchdog.renew();
  }

  #ask(): void {
    const round = { silent: new Set(Object.keys(this.#setup.questions)) };
    this.#round = round;
    for (const [name, question] of Object.entries(this.#setup.questions))
      question().then(
        () => round.silent.delete(name),
        () => {
          // It did not answer, or could not: asked again with the next tick, and nothing is renewed meanwhile.
          if (this.#round === round) this.#round = null;
        },
      );
  }

  #tellSilence(watchdog: Watchdog, now: number): void {
    const silent = [...(this.#round?.silent ?? [])];
    if (this.#told || silent.length === 0 || now - this.#renewedAt < watchdog.timeoutMs * TELL_SHARE) return;
    this.#told = true;
    const left = Math.round((watchdog.timeoutMs - (now - this.#renewedAt)) / 100) / 10;
    this.#setup.tell(
      'critical',
      `No answer from: ${silent.join(', ')}. The watchdog is not renewed and resets this CoServer in ${left} s.`,
    );
  }
}
