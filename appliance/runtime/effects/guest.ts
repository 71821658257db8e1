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

  /**
   * @param generation Of this start.
   * @param why row and reason: it is the takeover of level 2, and recorded as one.
   */
  async start(generation: number, signal: AbortSignal, why: { row?: string; reason?: string }): Promise<string> {
    const { workers, engine, config } = this.#p;
    const told = why.row === undefined ? null : this.#survival.restartHere(why.row, why.reason ?? '');
    await this.#survival.stopAll(Promise.resolve());
    signal.throwIfAborted();
    await openDisk(this.#p, { serves: generation > FIRST_GENERATION });
    // A roll-back that was cut short is finished first.
    await workers.mirror.call('serveSolo', {}, Number.POSITIVE_INFINITY);
    told?.step('disk: this copy is served');
    await workers.gate.call('setMode', { mode: 'solo' });
    await engine.start(false);
    told?.step('engine started: the guest boots');
    if (config.workload.readyMarker) {
      await engine.waitReady(config.workload.readyMarker, config.workload.bootTimeoutS, signal);
      told?.step('guest is up');
    }
    told?.end();
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
    const status = await qemu.queryStatus(client);
    if (status === 'shutdown') {
      // It switched itself off while nobody listened. Told when this command has ended: until then it would count as a failed start.
      setImmediate(() => void engine.endShutDown());
      return `engine ${engine.version} adopted, its guest had switched itself off`;
    }
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
