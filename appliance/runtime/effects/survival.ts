// What a CoServer does when it has lost its partner and may go on: take over as the secondary, run on as the primary, or stop.
// The orders are told, with their times, in appliance/memory/README.md; each takeover is recorded step by step.

import * as qemu from '../../../drivers/qemu/index.ts';
import { sizeText } from '../../console/format.ts';
import type { TakeoverView } from '../../core/snapshot.ts';
import type { MemoryStatus } from '../../memory/api.ts';
import { slownessOf } from '../slowness.ts';
import { keepDump } from './guest-dump.ts';
import type { Parts } from './parts.ts';

/** Of an engine on an ordinary server, as RUNNING_WITHIN_MS; see slownessOf. */
const COLO_EXIT_WITHIN_MS = 2_000;
const RUNNING_WITHIN_MS = 5_000;
/** Links and streams end within the heartbeat's time-out of each other, on a slow machine some seconds later. */
const ONE_LOSS_MS = 5_000;
const YANK_WITHIN_MS = 1_000;
/** What was cut short looks at its signal after each step; only a copy to the partner may take longer, and `close` ends that. */
const SETTLE_WITHIN_MS = 3_000;

export class Survival {
  readonly #p: Parts;
  readonly #slowness: number;
  /** The first sign of the loss: takeovers are told from there. 0: none. */
  #lossAt = 0;
  #signAt = 0;

  constructor(parts: Parts) {
    this.#p = parts;
    this.#slowness = slownessOf(parts.config);
  }

  /** Both run: whatever broke before is mended. */
  forgetLoss(): void {
    this.#lossAt = 0;
  }

  /** A link went down, or a stream broke. Signs that follow each other are of one loss; one that led to nothing is forgotten. */
  noteLoss(): void {
    const now = performance.now();
    if (this.#lossAt === 0 || now - this.#signAt > ONE_LOSS_MS) this.#lossAt = now;
    this.#signAt = now;
  }

  /** Level 2: the guest is started here, in place of the partner's. */
  restartHere(row: string, reason: string): { step: (s: string) => void; end: () => void } {
    return this.#timeline('takeover', row, reason, null);
  }

  /** @param mayOpen Throws when output must stay withheld. */
  async takeOver(row: string, reason: string, mayOpen: () => void): Promise<string> {
    const { workers, engine } = this.#p;
    const told = this.#timeline('takeover', row, reason, lossDuring(await workers.memory.call('status', {})));
    const forward = await workers.memory.call('rollForward', {});
    told.step(`rolled forward to interval ${forward.committed}`);
    const exit = qemu.waitColoExit(engine.control, COLO_EXIT_WITHIN_MS * this.#slowness);
    exit.catch(() => undefined);
    // The engine leaves the stream meanwhile: it goes on only when told to.
    const leaving = workers.memory.call('detach', {}).then(() => exit.catch(() => undefined));
    leaving.catch(() => undefined);
    const merged = await workers.mirror.call('takeOver', {});
    if (merged.committed !== forward.committed)
      throw new Error(`the memory stands at interval ${forward.committed}, the disk at ${merged.committed}: they do not fit`);
    told.step(`disk: ${sizeText(merged.discardedBytes)} of the open interval discarded, ${sizeText(merged.mergedBytes)} merged`);
    // The disk is whole, and what the guest says is true from here on: the LAN need not wait for the engine's change of roles.
    mayOpen();
    const network = workers.gate.call('takeOver', {}).then(({ fedFrames }) => {
      told.step(`network: addresses announced, ${fedFrames} recorded frames fed`);
    });
    network.catch(() => undefined);
    await leaving;
    told.step('engine left the stream');
    const { hadShutDown } = await engine.promote();
    await qemu.failOver(engine.control, RUNNING_WITHIN_MS * this.#slowness);
    told.step('guest runs');
    await network;
    told.end();
    await workers.memory.call('stop', {});
    if (hadShutDown) await engine.endShutDown();
    return reason;
  }

  /** The primary goes on without its partner: `told` for a loss while duplex, null when nothing was shared yet. */
  async continueAlone(told: { row: string; reason: string } | null, mayOpen: () => void): Promise<string> {
    const { workers, engine, trigger } = this.#p;
    trigger.disable();
    const during = this.#p.config.workload.level === 3 ? lossDuring(await workers.memory.call('status', {})) : null;
    const line = told ? this.#timeline('continue', told.row, told.reason, during) : null;
    // The disk first: an engine that stops its guest for a checkpoint waits for its writes, and answers nothing meanwhile.
    const { mode } = await workers.mirror.call('status', {});
    mayOpen();
    const { released } = mode === 'source' ? await workers.mirror.call('goSolo', {}) : { released: 0 };
    line?.step(`disk: ${released} waiting writes completed`);
    await this.leaveStream(engine.control);
    line?.step('engine left the stream, guest runs');
    mayOpen();
    const { frames } = await workers.gate.call('releaseAll', {});
    line?.step(`network: ${frames} held frames released`);
    line?.end();
    return told?.reason ?? '';
  }

  /** Whatever state of a migration the engine is in: afterwards the guest runs, alone. */
  async leaveStream(client: qemu.QmpClient): Promise<void> {
    const { engine, workers } = this.#p;
    // Out of band and before any question: an engine that waits for a silent partner answers nothing else.
    await qemu.yankMigration(engine.emergency, YANK_WITHIN_MS).catch(() => undefined);
    const wasShared = await qemu.failOver(client, RUNNING_WITHIN_MS * this.#slowness).then(
      () => true,
      (e: Error) => {
        // Not in the checkpoint stream yet: refused, which is as good.
        if (e instanceof qemu.QapiError) return false;
        throw e;
      },
    );
    await workers.memory.call('stop', {});
    if (wasShared) return;
    const status = await qemu.queryMigration(client);
    if (status === 'setup' || status === 'active' || status === 'device') await client.execute('migrate_cancel');
    await this.#ensureRunning(client);
  }

  /** @param before What the phase that was cut short still does: it ends at its next step, and must not start what is stopped here. */
  async stopAll(before: Promise<unknown>): Promise<string> {
    const { workers, engine, trigger } = this.#p;
    trigger.disable();
    await keepDump(this.#p);
    await engine.kill();
    await within(before, SETTLE_WITHIN_MS);
    await engine.kill();
    await workers.gate.call('dropAll', {});
    await workers.gate.call('setMode', { mode: 'closed' });
    await workers.memory.call('stop', {});
    await workers.mirror.call('close', {}, 60_000);
    this.#p.disk.isOpen = false;
    return '';
  }

  async #ensureRunning(client: qemu.QmpClient): Promise<void> {
    const deadline = performance.now() + RUNNING_WITHIN_MS * this.#slowness;
    for (;;) {
      const status = await qemu.queryStatus(client);
      if (status === 'running') return;
      const migration = await qemu.queryMigration(client);
      const isOver = migration === 'none' || migration === 'failed' || migration === 'cancelled' || migration === 'completed';
      if (isOver && (status === 'paused' || status === 'postmigrate' || status === 'prelaunch' || status === 'finish-migrate'))
        await qemu.continueGuest(client).catch(() => undefined);
      if (performance.now() > deadline) throw new Error(`the guest stays '${status}' (migration '${migration}')`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #timeline(
    kind: 'takeover' | 'continue',
    row: string,
    reason: string,
    during: LossDuring | null,
  ): { step: (s: string) => void; end: () => void } {
    const { history, config } = this.#p;
    const zero = this.#lossAt || performance.now();
    this.#lossAt = 0;
    const view: TakeoverView = {
      at: Date.now(),
      coServer: config.coServer,
      kind,
      reason,
      row,
      ...(during === null ? {} : { during }),
      steps: [{ step: 'partner lost', atMs: 0 }],
    };
    const step = (s: string) => view.steps.push({ step: s, atMs: Math.round((performance.now() - zero) * 10) / 10 });
    step('granted, record durable');
    return {
      step,
      end: () => history.addTakeover(view),
    };
  }
}

/** Waits for the end of `work`, but no longer. */
async function within(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]).catch(() => undefined);
  clearTimeout(timer);
}

type LossDuring = NonNullable<TakeoverView['during']>;

function lossDuring(s: MemoryStatus): LossDuring {
  if (s.committed > s.loaded) return 'a committed checkpoint being loaded';
  if (s.phase === 'checkpoint') return 'a checkpoint being collected';
  return s.phase === 'running' || s.phase === 'ended' ? 'between checkpoints' : 'the first synchronisation';
}
