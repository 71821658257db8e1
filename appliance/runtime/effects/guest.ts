// The guest's own life on one CoServer: started, taken up again after a restart of our process, shut down.
import * as qemu from '../../../drivers/qemu/index.ts';
import { openDisk, type Parts } from './parts.ts';
import type { Survival } from './survival.ts';

const SHUTDOWN_WITHIN_S = 60;
/** Of a pair's first start: from then on the disk is known. */
const FIRST_GENERATION = 1;

export class Guest {
  readonly #p: Parts;
  readonly #survival: Survival;

  constructor(parts: Parts, survival: Survival) {
    this.#p = parts;
    this.#survival = survival;
  }

  /** @param generation Of this start. */
  async start(generation: number, signal: AbortSignal): Promise<string> {
    const { workers, engine, config } = this.#p;
    await this.#survival.stopAll(Promise.resolve());
    signal.throwIfAborted();
    await openDisk(this.#p, { serves: generation > FIRST_GENERATION });
    await workers.mirror.call('serveSolo', {});
    await workers.gate.call('setMode', { mode: 'solo' });
    await engine.start(false);
    if (config.workload.readyMarker) await engine.waitReady(config.workload.readyMarker, config.workload.bootTimeoutS, signal);
    return `engine ${engine.version}`;
  }

  async adopt(): Promise<string> {
    const { workers, engine } = this.#p;
    await openDisk(this.#p, { serves: true });
    await workers.mirror.call('serveSolo', {});
    await workers.gate.call('setMode', { mode: 'solo' });
    if (!(await engine.adopt())) throw new Error('the engine has ended meanwhile');
    const client = engine.control;
    // It may have been in a checkpoint stream with the partner when our process died.
    await this.#survival.leaveStream(client);
    return `engine ${engine.version} adopted`;
  }

  async shutDown(): Promise<string> {
    const { workers, engine, trigger } = this.#p;
    trigger.disable();
    const client = engine.control;
    if ((await qemu.queryMigration(client)) === 'colo') {
      await this.#survival.leaveStream(client);
      await workers.memory.call('stop', {});
      await workers.gate.call('releaseAll', {});
    }
    await qemu.powerDownGuest(client);
    await engine.waitEnd(SHUTDOWN_WITHIN_S);
    return '';
  }
}
