// The commands of the core, obeyed: each is a short sequence over the engine, the streams' workers, the durable record
// and the witness. The orders at takeover and at the return to simplex are told in appliance/memory/README.md.
import * as qemu from '../../../drivers/qemu/index.ts';
import type { CoServerConfig } from '../../config.ts';
import type { Command, PartnerStatus, State } from '../../core/machine.ts';
import type { TakeoverView } from '../../core/snapshot.ts';
import type { MemoryStatus } from '../../memory/api.ts';
import type { WitnessClient } from '../../witness/client.ts';
import type { History } from '../history.ts';
import { log } from '../log.ts';
import type { Effects, NewEvent } from '../pump.ts';
import type { RecordStore } from '../record-store.ts';
import type { Workers } from '../workers.ts';
import type { CheckpointTrigger } from './checkpoint-trigger.ts';
import type { Engine } from './engine.ts';

export interface Parts {
  config: CoServerConfig;
  workers: Workers;
  engine: Engine;
  records: RecordStore;
  witness: WitnessClient;
  history: History;
  trigger: CheckpointTrigger;
  /** Sockets between the engine and the memory stream. */
  sockets: { source: string; incoming: string };
  say: (status: PartnerStatus) => void;
  feed: (event: NewEvent) => void;
  state: () => State;
}

const COLO_EXIT_WITHIN_MS = 2_000;
const RUNNING_WITHIN_MS = 5_000;
const YANK_WITHIN_MS = 1_000;
const READY_WITHIN_MS = 180_000;
const SHUTDOWN_WITHIN_S = 60;
/** What was cut short looks at its signal after each step; only a copy to the partner may take longer, and `close` ends that. */
const SETTLE_WITHIN_MS = 3_000;

export class Obey implements Effects {
  readonly #p: Parts;
  /** Ends what a phase that is over still does. */
  #phase = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #diskOpen = false;
  /** Set by the run loop when the first sign of loss arrives: takeovers are told from there. */
  lossAt = 0;
  pauseOfProtectionMs = 0;

  constructor(parts: Parts) {
    this.#p = parts;
  }

  obey(command: Command): Promise<string> {
    const p = this.#p;
    switch (command.kind) {
      case 'persist':
        return p.records.write(command.record).then(() => '');
      case 'freeze':
        return this.#freeze();
      case 'say':
        p.say(command.status);
        return Promise.resolve('');
      case 'record':
        p.history.add({ severity: command.severity, row: command.row, text: command.text });
        return Promise.resolve('');
      case 'claim':
        return this.#claim(command.generation);
      case 'startGuest':
        return this.#phaseWork((signal) => this.#startGuest(signal));
      case 'adoptGuest':
        return this.#phaseWork(() => this.#adoptGuest());
      case 'resync':
        return this.#phaseWork(() => this.#resync());
      case 'protect':
        return this.#phaseWork((signal) => this.#protect(signal));
      case 'releaseReady':
        return this.#phaseWork((signal) => this.#releaseReady(signal));
      case 'openTarget':
        return this.#phaseWork((signal) => this.#openTarget(signal));
      case 'openIncoming':
        return this.#phaseWork((signal) => this.#openIncoming(signal));
      case 'leaveLockstep':
        return this.#phaseWork(() => this.#leaveLockstep());
      case 'shutDownGuest':
        return this.#phaseWork(() => this.#shutDownGuest());
      case 'takeOver':
        return this.#exclusive(() => this.#takeOver(command.row, command.reason));
      case 'continueAlone':
        return this.#exclusive(() => this.#continueAlone({ row: command.row, reason: command.reason }));
      case 'abandonPartner':
        return this.#exclusive(() => this.#continueAlone(null));
      case 'stopAll':
        return this.#exclusive((before) => this.#stopAll(before));
      default:
        return Promise.reject(new Error(`unknown command ${JSON.stringify(command satisfies never)}`));
    }
  }

  /** Work that belongs to a phase: aborted when the phase is cut short. */
  #phaseWork(work: (signal: AbortSignal) => Promise<string>): Promise<string> {
    const signal = this.#phase.signal;
    const before = this.#running;
    const run = before
      .catch(() => undefined)
      .then(() => {
        signal.throwIfAborted();
        return work(signal);
      });
    this.#running = run.catch(() => undefined);
    return run;
  }

  /** Survival: does not wait for what the aborted phase still does beyond its next await. */
  #exclusive(work: (before: Promise<unknown>) => Promise<string>): Promise<string> {
    this.#phase.abort(new Error('overtaken by events'));
    this.#phase = new AbortController();
    const run = work(this.#running);
    this.#running = run.catch(() => undefined);
    return run;
  }

  async #freeze(): Promise<string> {
    this.#p.trigger.disable();
    const { mode } = await this.#p.workers.gate.call('status', {});
    if (mode === 'holding' || mode === 'solo') await this.#p.workers.gate.call('setMode', { mode: 'frozen' });
    return '';
  }

  async #claim(generation: number): Promise<string> {
    const { witness, feed } = this.#p;
    try {
      const answer = await witness.claim(generation);
      feed({
        kind: 'arbiterAnswered',
        generation,
        answer: answer.granted ? 'granted' : 'refused',
        reason: answer.granted ? '' : answer.reason,
      });
    } catch (e) {
      feed({ kind: 'arbiterAnswered', generation, answer: 'unreachable', reason: (e as Error).message });
    }
    return '';
  }

  async #openDisk(): Promise<void> {
    if (this.#diskOpen) return;
    const { committed, replayed, discarded } = await this.#p.workers.mirror.call('open', {}, 120_000);
    this.#diskOpen = true;
    if (replayed + discarded > 0)
      this.#p.history.add({
        severity: 'info',
        row: null,
        text: `The disk's journal was replayed up to interval ${committed}: ${replayed} bytes applied, ${discarded} bytes of uncommitted intervals discarded.`,
      });
  }

  async #startGuest(signal: AbortSignal): Promise<string> {
    const { workers, engine, config } = this.#p;
    await this.#stopAll(Promise.resolve());
    signal.throwIfAborted();
    await this.#openDisk();
    await workers.mirror.call('serveSolo', {});
    await workers.gate.call('setMode', { mode: 'solo' });
    await engine.start(false);
    if (config.workload.readyMarker) await engine.waitReady(config.workload.readyMarker, config.workload.bootTimeoutS, signal);
    return `engine ${engine.version}`;
  }

  async #adoptGuest(): Promise<string> {
    const { workers, engine } = this.#p;
    await this.#openDisk();
    await workers.mirror.call('serveSolo', {});
    await workers.gate.call('setMode', { mode: 'solo' });
    if (!(await engine.adopt())) throw new Error('the engine has ended meanwhile');
    const client = engine.control;
    // It may have been in a checkpoint stream with the partner when our process died.
    await this.#leaveStream(client);
    return `engine ${engine.version} adopted`;
  }

  async #openTarget(signal: AbortSignal): Promise<string> {
    const { workers, engine } = this.#p;
    await engine.kill();
    await this.#openDisk();
    signal.throwIfAborted();
    await workers.gate.call('setMode', { mode: 'standby' });
    await workers.mirror.call('startTarget', {});
    return '';
  }

  async #resync(): Promise<string> {
    const { mirror } = this.#p.workers;
    await mirror.call('startSource', {});
    const done = await mirror.call('resync', {}, Infinity);
    return `${mebibytes(done.comparedBytes)} compared, ${mebibytes(done.copiedBytes)} copied`;
  }

  async #openIncoming(signal: AbortSignal): Promise<string> {
    const { workers, engine, sockets } = this.#p;
    await workers.mirror.call('startReplica', {});
    signal.throwIfAborted();
    await engine.start(true);
    signal.throwIfAborted();
    await qemu.setColoCapabilities(engine.control);
    // A replica that ran ahead into a shutdown is set right by the next checkpoint: its engine must live on.
    await qemu.setShutdownAction(engine.control, 'pause');
    await qemu.migrateIncoming(engine.control, sockets.incoming);
    signal.throwIfAborted();
    await workers.memory.call('startTarget', {});
    return '';
  }

  /** Ends when the secondary holds everything (readyHeld); the guest is stopped meanwhile under emulation. */
  async #protect(signal: AbortSignal): Promise<string> {
    const { workers, engine, sockets, config } = this.#p;
    const client = engine.control;
    await workers.memory.call('startSource', {});
    await qemu.setColoCapabilities(client);
    await qemu.setMigrationParameters(client, config.checkpoint.idleMs);
    let unlisten = () => {};
    const held = new Promise<void>((resolve) => {
      unlisten = workers.memory.on('readyHeld', () => resolve());
    });
    signal.throwIfAborted();
    const stoppedAt = performance.now();
    // Under emulation a live copy of a busy guest's memory is not reliable: it is stopped first, and the pause is shown.
    if (config.engine.acceleration === 'tcg') await qemu.stopGuest(client);
    log('info', `guest stopped for its memory's copy after ${Math.round(performance.now() - stoppedAt)} ms`);
    signal.throwIfAborted();
    await qemu.migrate(client, sockets.source);
    try {
      await Promise.race([held, this.#migrationFailed(client, signal)]);
    } finally {
      unlisten();
    }
    this.pauseOfProtectionMs = performance.now() - stoppedAt;
    return '';
  }

  async #migrationFailed(client: qemu.QmpClient, signal: AbortSignal): Promise<never> {
    const deadline = performance.now() + READY_WITHIN_MS;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      signal.throwIfAborted();
      if (this.#p.state().phase.kind !== 'protecting') throw new Error('over');
      const status = await qemu.queryMigration(client);
      if (status === 'failed' || status === 'cancelled') throw new Error(`the engine's migration ended as '${status}'`);
      if (performance.now() > deadline) throw new Error(`the partner did not hold the guest's memory within ${READY_WITHIN_MS / 1000} s`);
    }
  }

  async #releaseReady(signal: AbortSignal): Promise<string> {
    const { workers, engine, trigger, history } = this.#p;
    const began = performance.now();
    await workers.gate.call('setMode', { mode: 'holding' });
    await workers.memory.call('releaseReady', {});
    await qemu.waitStatus(engine.control, 'running', RUNNING_WITHIN_MS);
    signal.throwIfAborted();
    trigger.enable();
    const pauseMs = Math.round(this.pauseOfProtectionMs + performance.now() - began);
    history.add({
      severity: 'info',
      row: null,
      text: `The guest was paused for ${pauseMs} ms while its memory was copied to the partner.`,
    });
    return '';
  }

  async #takeOver(row: string, reason: string): Promise<string> {
    const { workers, engine } = this.#p;
    const told = this.#timeline('takeover', row, reason, lossDuring(await workers.memory.call('status', {})));
    const forward = await workers.memory.call('rollForward', {});
    told.step(`rolled forward to interval ${forward.committed}`);
    const exit = qemu.waitColoExit(engine.control, COLO_EXIT_WITHIN_MS);
    exit.catch(() => undefined);
    const merged = await workers.mirror.call('takeOver', {});
    if (merged.committed !== forward.committed)
      throw new Error(`the memory stands at interval ${forward.committed}, the disk at ${merged.committed}: they do not fit`);
    told.step(`disk: ${mebibytes(merged.discardedBytes)} of the open interval discarded, ${mebibytes(merged.mergedBytes)} merged`);
    await workers.memory.call('detach', {});
    await exit.catch(() => undefined);
    told.step('engine left the stream');
    await qemu.failOver(engine.control, RUNNING_WITHIN_MS);
    told.step('guest runs');
    const out = await workers.gate.call('takeOver', {});
    told.step(`network: ${out.fedFrames} recorded frames fed, addresses announced`);
    told.end();
    await workers.memory.call('stop', {});
    await qemu.setShutdownAction(engine.control, 'poweroff');
    return reason;
  }

  /** The primary goes on without its partner: `told` for a loss while duplex, null when nothing was shared yet. */
  async #continueAlone(told: { row: string; reason: string } | null): Promise<string> {
    const { workers, engine, trigger } = this.#p;
    trigger.disable();
    const line = told ? this.#timeline('continue', told.row, told.reason, lossDuring(await workers.memory.call('status', {}))) : null;
    // The disk first: an engine that stops its guest for a checkpoint waits for its writes, and answers nothing meanwhile.
    const { mode } = await workers.mirror.call('status', {});
    const { released } = mode === 'source' ? await workers.mirror.call('goSolo', {}) : { released: 0 };
    line?.step(`disk: ${released} waiting writes completed`);
    await this.#leaveStream(engine.control);
    line?.step('engine left the stream, guest runs');
    const { frames } = await workers.gate.call('releaseAll', {});
    line?.step(`network: ${frames} held frames released`);
    line?.end();
    return told?.reason ?? '';
  }

  /** Whatever state of a migration the engine is in: afterwards the guest runs, alone. */
  async #leaveStream(client: qemu.QmpClient): Promise<void> {
    const { engine, workers } = this.#p;
    // Out of band and before any question: an engine that waits for a silent partner answers nothing else.
    await qemu.yankMigration(engine.emergency, YANK_WITHIN_MS).catch(() => undefined);
    const wasShared = await qemu.failOver(client, RUNNING_WITHIN_MS).then(
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

  async #ensureRunning(client: qemu.QmpClient): Promise<void> {
    const deadline = performance.now() + RUNNING_WITHIN_MS;
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

  /** @param before What the phase that was cut short still does: it ends at its next step, and must not start what is stopped here. */
  async #stopAll(before: Promise<unknown>): Promise<string> {
    const { workers, engine, trigger } = this.#p;
    trigger.disable();
    await engine.kill();
    await within(before, SETTLE_WITHIN_MS);
    await engine.kill();
    await workers.gate.call('dropAll', {});
    await workers.gate.call('setMode', { mode: 'closed' });
    await workers.memory.call('stop', {});
    await workers.mirror.call('close', {}, 60_000);
    this.#diskOpen = false;
    return '';
  }

  /** Secondary, planned: the replica ends, this copy takes every write the primary made and goes on following it. */
  async #leaveLockstep(): Promise<string> {
    const { workers, engine } = this.#p;
    await engine.kill();
    await workers.memory.call('stop', {});
    await workers.mirror.call('collapse', {});
    return '';
  }

  async #shutDownGuest(): Promise<string> {
    const { workers, engine, trigger } = this.#p;
    trigger.disable();
    const client = engine.control;
    if ((await qemu.queryMigration(client)) === 'colo') {
      await this.#leaveStream(client);
      await workers.memory.call('stop', {});
      await workers.gate.call('releaseAll', {});
    }
    await qemu.powerDownGuest(client);
    await engine.waitEnd(SHUTDOWN_WITHIN_S);
    return '';
  }

  #timeline(
    kind: 'takeover' | 'continue',
    row: string,
    reason: string,
    during: LossDuring,
  ): { step: (s: string) => void; end: () => void } {
    const { history, config } = this.#p;
    const zero = this.lossAt || performance.now();
    this.lossAt = 0;
    const view: TakeoverView = {
      at: Date.now(),
      coServer: config.coServer,
      kind,
      reason,
      row,
      during,
      steps: [{ step: 'partner lost', atMs: 0 }],
    };
    const step = (s: string) => view.steps.push({ step: s, atMs: Math.round((performance.now() - zero) * 10) / 10 });
    step('witness granted, record durable');
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

function mebibytes(bytes: number): string {
  return `${(bytes / 1048576).toFixed(1)} MiB`;
}
