// One queue, one step at a time: an event goes into the core, the commands that come out are obeyed in order.
//
// `persist`, `freeze`, `say` and `record` are barriers: the next command waits until they have ended. The others are started in
// order and come back as `commandFinished`. A failed barrier ends the process: the partner takes over, and this CoServer
// restarts from its durable record.
import { type Command, type CommandName, dueAt, type Event, type State, statusOf, step } from '../core/machine.ts';
import type { Journal } from './journal.ts';

/** Omit over each member of a union. */
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** An event without its time: the pump stamps it. */
export type NewEvent = DistributiveOmit<Event, 'at'>;

export interface Effects {
  /** Obeys one command. Resolves with a sentence for the record. Rejects with what went wrong. */
  obey(command: Command): Promise<string>;
}

export interface PumpOptions {
  state: State;
  effects: Effects;
  /** Monotonic ms. */
  now: () => number;
  /** Every step, before it is obeyed; and the event at which the core threw. */
  journal: Pick<Journal, 'log' | 'threw'>;
  onState: (state: State) => void;
  onFatal: (error: Error) => void;
}

const BARRIERS: ReadonlySet<CommandName> = new Set<CommandName>(['persist', 'freeze', 'say', 'record']);

export class Pump {
  readonly #options: PumpOptions;
  #state: State;
  #tail: Promise<void> = Promise.resolve();
  #stopped = false;
  #due: NodeJS.Timeout | undefined;
  /** Before `start`: what happened while the process was still booting. */
  #early: NewEvent[] | null = [];

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#state = options.state;
  }

  get state(): State {
    return this.#state;
  }

  /**
   * The effects are ready: what this CoServer is by its durable record is said, then what happened meanwhile is fed, and everything from
   * now on. In this order: what those events change (it may yield to a partner that asks) is a word only when it is recorded.
   */
  start(): void {
    const early = this.#early ?? [];
    this.#early = null;
    const status = statusOf(this.#state);
    this.#tail = this.#tail.then(() => this.#obeyAll([{ kind: 'say', status }]));
    for (const event of early) this.feed(event);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#due);
  }

  feed(event: NewEvent): void {
    if (this.#stopped) return;
    if (this.#early) {
      this.#early.push(event);
      return;
    }
    const stamped = { ...event, at: this.#options.now() } as Event;
    const before = this.#state;
    let commands: Command[];
    try {
      const result = step(before, stamped);
      this.#state = result.state;
      commands = result.commands;
    } catch (e) {
      this.#options.journal.threw(stamped, e as Error);
      this.#options.onFatal(e as Error);
      return;
    }
    this.#options.journal.log({ event: stamped, before, after: this.#state, commands });
    this.#options.onState(this.#state);
    this.#arm(stamped.at);
    if (commands.length > 0) this.#tail = this.#tail.then(() => this.#obeyAll(commands));
  }

  /** Between two ticks, when the core waits for a moment. */
  #arm(now: number): void {
    clearTimeout(this.#due);
    const due = dueAt(this.#state);
    if (due !== null) this.#due = setTimeout(() => this.feed({ kind: 'tick' }), Math.max(1, Math.ceil(due - now)));
  }

  async #obeyAll(commands: Command[]): Promise<void> {
    for (const command of commands) {
      if (this.#stopped) return;
      if (BARRIERS.has(command.kind)) {
        try {
          await this.#options.effects.obey(command);
        } catch (e) {
          this.#options.onFatal(new Error(`${command.kind} failed: ${(e as Error).message}`, { cause: e }));
          return;
        }
        continue;
      }
      this.#options.effects.obey(command).then(
        (reason) => this.feed({ kind: 'commandFinished', command: command.kind, ok: true, reason }),
        (e: Error) => this.feed({ kind: 'commandFinished', command: command.kind, ok: false, reason: e.message }),
      );
    }
  }
}
