// The small steps by which two CoServers become duplex, on the side of the primary (resync, protect, releaseReady) and of the
// secondary (openTarget, openIncoming), and the planned way back. A step that is cut short ends at its next look at the signal.

import * as qemu from '../../../drivers/qemu/index.ts';
import { sizeText } from '../../console/format.ts';
import { log } from '../log.ts';
import { slownessOf } from '../slowness.ts';
import { openDisk, type Parts } from './parts.ts';

/** Of an engine on an ordinary server; see slownessOf. */
const RUNNING_WITHIN_MS = 5_000;
const READY_WITHIN_MS = 180_000;

export class Joining {
  readonly #p: Parts;
  #pauseMs = 0;

  constructor(parts: Parts) {
    this.#p = parts;
  }

  async openTarget(signal: AbortSignal): Promise<string> {
    const { workers, engine } = this.#p;
    await engine.kill();
    await openDisk(this.#p, { serves: false });
    signal.throwIfAborted();
    await workers.gate.call('setMode', { mode: 'standby' });
    await workers.mirror.call('startTarget', {});
    return '';
  }

  async resync(): Promise<string> {
    const { workers, config } = this.#p;
    const { mirror } = workers;
    await mirror.call('startSource', {});
    const { maximumMiBPerS } = config.resync;
    const limit = maximumMiBPerS > 0 ? { maximumBytesPerS: maximumMiBPerS * 1048576 } : {};
    const done = await mirror.call('resync', limit, Infinity);
    return `${sizeText(done.comparedBytes)} compared, ${sizeText(done.copiedBytes)} copied: ${done.why}`;
  }

  async openIncoming(signal: AbortSignal): Promise<string> {
    const { workers, engine, sockets } = this.#p;
    await workers.mirror.call('startReplica', {});
    signal.throwIfAborted();
    await engine.start(true);
    signal.throwIfAborted();
    await qemu.setColoCapabilities(engine.control);
    await qemu.migrateIncoming(engine.control, sockets.incoming);
    signal.throwIfAborted();
    await workers.memory.call('startTarget', await this.#audited());
    return '';
  }

  /** Level 2: this copy stays a target for good. */
  async confirmCopy(): Promise<string> {
    await this.#p.workers.mirror.call('confirmEqual', {});
    return '';
  }

  /** Ends when the secondary holds everything (readyHeld); the guest is stopped meanwhile under emulation. */
  async protect(signal: AbortSignal): Promise<string> {
    const { workers, engine, sockets, config } = this.#p;
    const client = engine.control;
    await workers.memory.call('startSource', await this.#audited());
    await qemu.setColoCapabilities(client);
    await qemu.setMigrationParameters(client, config.checkpoint.idleMs);
    let unlisten = () => {};
    const held = new Promise<void>((resolve) => {
      unlisten = workers.memory.on('readyHeld', () => resolve());
    });
    if (config.checkpoint.mode === 'lockstep') await workers.gate.call('setMode', { mode: 'lockstep' });
    signal.throwIfAborted();
    const stoppedAt = performance.now();
    // Under emulation a live copy of a busy guest's memory is not reliable: it is stopped first, and the pause is shown.
    if (config.engine.acceleration === 'tcg') await qemu.stopGuest(client);
    // Lockstep: from here on the replica must get every input that the guest gets.
    if (config.checkpoint.mode === 'lockstep') await workers.gate.call('guestStopped', {});
    log('info', `guest stopped for its memory's copy after ${Math.round(performance.now() - stoppedAt)} ms`);
    signal.throwIfAborted();
    await qemu.migrate(client, sockets.source);
    try {
      await Promise.race([held, this.#migrationFailed(client, signal)]);
    } finally {
      unlisten();
    }
    this.#pauseMs = performance.now() - stoppedAt;
    return '';
  }

  async releaseReady(signal: AbortSignal): Promise<string> {
    const { workers, engine, trigger, history, config } = this.#p;
    const began = performance.now();
    if (config.checkpoint.mode === 'passive') await workers.gate.call('setMode', { mode: 'holding' });
    await workers.memory.call('releaseReady', {});
    await qemu.waitStatus(engine.control, 'running', RUNNING_WITHIN_MS * slownessOf(config));
    signal.throwIfAborted();
    trigger.enable();
    // The secondary is asked for its proof on the first loaded checkpoint: not only when the guest next says something.
    trigger.now();
    const pauseMs = Math.round(this.#pauseMs + performance.now() - began);
    history.add({
      severity: 'info',
      row: null,
      text: `The guest was paused for ${pauseMs} ms while its memory was copied to the partner.`,
    });
    return '';
  }

  /** Secondary, planned: the replica ends, this copy takes every write the primary made and goes on following it. */
  async leaveLockstep(): Promise<string> {
    const { workers, engine } = this.#p;
    await engine.kill();
    await workers.memory.call('stop', {});
    // At level 2 it is a target already.
    const { mode } = await workers.mirror.call('status', {});
    if (mode === 'replica') await workers.mirror.call('collapse', {});
    return '';
  }

  /** What the memory stream needs to compare this engine's RAM with what passes. */
  async #audited(): Promise<{ guestMemory?: qemu.GuestMemory }> {
    const guestMemory = await this.#p.engine.guestMemory();
    if (guestMemory) return { guestMemory };
    log('warning', "the guest's memory is not audited: its engine was started by an earlier release");
    return {};
  }

  async #migrationFailed(client: qemu.QmpClient, signal: AbortSignal): Promise<never> {
    const withinMs = READY_WITHIN_MS * slownessOf(this.#p.config);
    const deadline = performance.now() + withinMs;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      signal.throwIfAborted();
      if (this.#p.state().phase.kind !== 'protecting') throw new Error('over');
      const status = await qemu.queryMigration(client);
      if (status === 'failed' || status === 'cancelled') throw new Error(`the engine's migration ended as '${status}'`);
      if (performance.now() > deadline) throw new Error(`the partner did not hold the guest's memory within ${withinMs / 1000} s`);
    }
  }
}
