// The thread that reads this server's hardware: started here, its faults told to the core. It may die or hang without harm to the guest:
// then nobody watches the hardware, which is a fault of its own, and it is started again.
import { Worker } from 'node:worker_threads';
import type { Fault } from '../../core/faults/types.ts';
import type { HardwareCommands, HardwareEvents, HardwareSetup, HardwareStatus } from '../../hardware/api.ts';
import { Caller } from '../../wire/rpc.ts';
import { log } from '../log.ts';
import type { WorkerRole } from '../workers.ts';

const START_AGAIN_MS = 30_000;
const STATUS_EVERY_MS = 5_000;
/** It may be busy with a long list of sensors; it is a thread that nobody waits for. */
const STATUS_WITHIN_MS = 4_000;

export interface HardwareWatchSetup {
  script: URL;
  /** Null: this server's hardware is not watched (configuration). */
  setup: HardwareSetup | null;
  onFaults: (faults: readonly Fault[]) => void;
  now: () => number;
}

export class HardwareWatch {
  readonly #setup: HardwareWatchSetup;
  #thread: { worker: Worker; caller: Caller<HardwareCommands, HardwareEvents> } | null = null;
  #timers: NodeJS.Timeout[] = [];
  #stopped = false;
  /** The latest, for the consoles; null: none yet, or not watched. */
  latest: HardwareStatus | null = null;

  constructor(setup: HardwareWatchSetup) {
    this.#setup = setup;
  }

  start(): void {
    const { setup } = this.#setup;
    if (!setup) return;
    this.#run(setup);
    this.#timers.push(setInterval(() => void this.#ask(), STATUS_EVERY_MS));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#thread?.worker.terminate();
  }

  #run(setup: HardwareSetup): void {
    const worker = new Worker(this.#setup.script, { workerData: { role: 'hardware', setup } satisfies WorkerRole, name: 'hardware' });
    const caller = new Caller<HardwareCommands, HardwareEvents>('hardware', worker);
    const thread = { worker, caller };
    this.#thread = thread;
    caller.on('faults', ({ faults }) => this.#setup.onFaults(faults));
    // An error of a thread is followed by its end.
    worker.on('error', (e) => log('warning', `the hardware's thread: ${(e as Error).stack ?? (e as Error).message}`));
    worker.on('exit', (code) => {
      if (this.#stopped || this.#thread !== thread) return;
      this.#thread = null;
      this.latest = null;
      this.#setup.onFaults([this.#unwatched(`its thread ended with code ${code}; it is started again`)]);
      this.#timers.push(setTimeout(() => this.#run(setup), START_AGAIN_MS));
    });
  }

  async #ask(): Promise<void> {
    try {
      this.latest = (await this.#thread?.caller.call('status', {}, STATUS_WITHIN_MS)) ?? this.latest;
    } catch (e) {
      log('warning', (e as Error).message);
    }
  }

  #unwatched(detail: string): Fault {
    return { code: 'sourceUnreadable', where: 'the hardware', detail, raisedAt: this.#setup.now(), clearedAt: null, evidence: [detail] };
  }
}
