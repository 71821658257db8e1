// A machine with a TCP stack on virtual time: the client, or a replica of the guest. A replica has a clock of its own that
// stands still while it is stopped; `copy` is a checkpoint of all of it.
import type { Random } from '../random.ts';
import { type App, clientApp, PORT, type Task } from './apps.ts';
import { answer, questionOf } from './datagram.ts';
import type { Stack } from './stack.ts';
import type { Timeline } from './timeline.ts';

/** A byte of the sender's MAC. */
export const HOSTILE_AT = 7;
export const HOSTILE = 0x66;

/** A connection that the machine opens by itself at a time of its own clock. */
export interface Errand {
  at: number;
  task: Task;
  v6: boolean;
  peer: number;
  localPort: number;
  /** Instead, when that one is still in use. */
  otherPort: number;
}

export class Machine {
  readonly stack: Stack<App>;
  readonly errands: readonly Errand[];
  readonly rate: number;
  /** Of the errands: how many were begun. */
  begun = 0;
  /** Questions over UDP that it has answered. */
  asked = 0;
  readonly #time: Timeline;
  #running = false;
  /** The machine's clock at world time `#since`. */
  #clock = 0;
  #since = 0;
  #wakeAt = Number.POSITIVE_INFINITY;
  #wake = 0;
  /** Where its frames go; in the order in which they were sent. */
  onFrames: (frames: Buffer[]) => void = () => {};

  constructor(time: Timeline, stack: Stack<App>, errands: readonly Errand[], rate: number) {
    this.#time = time;
    this.stack = stack;
    this.errands = errands;
    this.rate = rate;
  }

  get running(): boolean {
    return this.#running;
  }

  get clock(): number {
    return this.#running ? this.#clock + (this.#time.now - this.#since) * this.rate : this.#clock;
  }

  start(): void {
    if (this.#running) return;
    this.#since = this.#time.now;
    this.#running = true;
    this.#arm();
  }

  stop(): void {
    if (!this.#running) return;
    this.#clock = this.clock;
    this.#running = false;
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.#wake++;
  }

  /** Not running. */
  copy(random: Random, rate: number): Machine {
    const other = new Machine(this.#time, this.stack.copy(random), this.errands, rate);
    other.#clock = this.clock;
    other.begun = this.begun;
    other.asked = this.asked;
    return other;
  }

  receive(frame: Buffer): void {
    // Where the simulation marks frames that no honest machine sent, the NIC drops them: what matters is what the gates make of them.
    if (frame[HOSTILE_AT] === HOSTILE) return;
    const q = questionOf(frame);
    if (q) {
      if (q.to === this.stack.profile.host) this.onFrames([answer(q, q.icmp ? 0 : ++this.asked)]);
      return;
    }
    this.stack.receive(this.clock, frame);
    this.#after();
  }

  #tick(): void {
    const now = this.clock;
    this.stack.now = Math.max(this.stack.now, now);
    for (let e = this.errands[this.begun]; e && e.at <= now; e = this.errands[this.begun]) {
      this.begun++;
      const port = e.localPort > 0 ? e.localPort : 32_768 + Math.floor(this.stack.random.next() * 28_000);
      const to = PORT[e.task.service];
      if (!this.stack.connect(clientApp(e.task), e.peer, to, port, e.v6))
        this.stack.connect(clientApp(e.task), e.peer, to, e.otherPort, e.v6);
    }
    this.stack.tick(now);
    this.#after();
  }

  #after(): void {
    const frames = this.stack.takeSent();
    this.#arm();
    if (frames.length > 0) this.onFrames(frames);
  }

  #arm(): void {
    if (!this.#running) return;
    const due = Math.min(this.stack.nextTimerAt(), this.errands[this.begun]?.at ?? Number.POSITIVE_INFINITY);
    if (due === Number.POSITIVE_INFINITY) return;
    const at = Math.max(this.#time.now, this.#since + (due - this.#clock) / this.rate) + 1e-3;
    if (at >= this.#wakeAt) return;
    this.#wakeAt = at;
    const wake = ++this.#wake;
    this.#time.at(at, () => {
      if (wake !== this.#wake || !this.#running) return;
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.#tick();
    });
  }
}
