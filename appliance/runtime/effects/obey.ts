// The commands of the core, obeyed: each is a short sequence over the engine, the streams' workers, the durable record and the
// witness (guest.ts, joining.ts, survival.ts). Here: which may run beside which, and what cuts what short.
import type { Command } from '../../core/machine.ts';
import type { Effects } from '../pump.ts';
import { endServer } from './end-server.ts';
import { Guest } from './guest.ts';
import { Joining } from './joining.ts';
import { keepHistory } from './keeping.ts';
import type { Parts } from './parts.ts';
import { Survival } from './survival.ts';

/** One block on both disks, behind whatever the guest has under way there. */
const BLOCK_WITHIN_MS = 60_000;

export class Obey implements Effects {
  readonly #p: Parts;
  /** Ends what a phase that is over still does. */
  #phase = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  /** Counts what withholds output: letting it out was decided before, and must not happen after it. */
  #withheld = 0;
  readonly survival: Survival;
  readonly #guest: Guest;
  readonly #joining: Joining;

  constructor(parts: Parts) {
    this.#p = parts;
    this.survival = new Survival(parts);
    this.#guest = new Guest(parts, this.survival);
    this.#joining = new Joining(parts);
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
        p.history.add(
          {
            severity: command.severity,
            row: command.row,
            text: command.text,
            ...(command.evidence ? { evidence: command.evidence } : {}),
          },
          command.series,
        );
        return Promise.resolve('');
      case 'incident':
        return p.incidents.raise(command.incident, command.sentence).then(() => '');
      case 'setMode':
        return p.workers.gate.call('setMode', { mode: command.mode === 'lockstep' ? 'lockstep' : 'holding' }).then(() => '');
      case 'claim':
        return this.#claim(command.generation);
      case 'fence':
        return p.fence.fence();
      case 'powerOnPartner':
        return p.fence.powerOn();
      case 'armWatchdog':
        return p.watchdog.arm(command.armed);
      case 'endProcess':
        p.endProcess();
        return Promise.resolve('');
      case 'endServer':
        return endServer(p, command.reason);
      case 'keepHistory':
        return this.#phaseWork((signal) => keepHistory(p, command.generation, signal));
      case 'adoptDisk':
        return this.#phaseWork(() => p.workers.mirror.call('adopt', {}).then(() => ''));
      case 'startGuest':
        return this.#phaseWork((signal) => this.#guest.start(command.generation, signal, command));
      case 'adoptGuest':
        return this.#phaseWork(() => this.#guest.adopt());
      case 'resync':
        return this.#phaseWork(() => this.#joining.resync());
      case 'protect':
        return this.#phaseWork((signal) => this.#joining.protect(signal));
      case 'releaseReady':
        return this.#phaseWork((signal) => this.#joining.releaseReady(signal));
      case 'openTarget':
        return this.#phaseWork((signal) => this.#joining.openTarget(signal));
      case 'openIncoming':
        return this.#phaseWork((signal) => this.#joining.openIncoming(signal));
      case 'confirmCopy':
        return this.#phaseWork(() => this.#joining.confirmCopy());
      case 'leaveLockstep':
        return this.#phaseWork(() => this.#joining.leaveLockstep());
      case 'shutDownGuest':
        return this.#phaseWork(() => this.#guest.shutDown());
      case 'takeOver':
        return this.#exclusive(() => this.survival.takeOver(command.row, command.reason, this.#mayOpen()));
      case 'continueAlone':
        return this.#exclusive(() => this.survival.continueAlone({ row: command.row, reason: command.reason }, this.#mayOpen()));
      case 'abandonPartner':
        return this.#exclusive(() => this.survival.continueAlone(null, this.#mayOpen()));
      case 'stopAll':
        this.#withheld++;
        return this.#exclusive((before) => this.survival.stopAll(before));
      case 'redirectNetwork':
        return p.workers.gate.call('redirect', { through: command.through }).then(() => '');
      case 'lendNetwork':
        return p.workers.gate.call('lend', { lends: command.lend }).then(() => '');
      case 'repairBlock':
        return p.workers.mirror.call('repairBlock', { offset: command.offset, from: command.from }, BLOCK_WITHIN_MS).then(() => '');
      case 'quarantineBlock':
        return p.workers.mirror.call('quarantineBlock', { offset: command.offset }, BLOCK_WITHIN_MS).then(() => '');
      case 'chooseBlock':
        return p.workers.mirror.call('chooseBlock', { offset: command.offset, keep: command.keep }, BLOCK_WITHIN_MS).then(() => '');
      case 'scrub':
        return p.workers.mirror.call(command.run ? 'startScrub' : 'stopScrub', {}).then(() => '');
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

  /** Throws if output was withheld again since. */
  #mayOpen(): () => void {
    const then = this.#withheld;
    return () => {
      if (this.#withheld !== then) throw new Error('output was withheld again meanwhile');
    };
  }

  async #freeze(): Promise<string> {
    this.#withheld++;
    this.#p.trigger.disable();
    const { mode } = await this.#p.workers.gate.call('status', {});
    if (mode === 'holding' || mode === 'lockstep' || mode === 'solo') await this.#p.workers.gate.call('setMode', { mode: 'frozen' });
    return '';
  }

  async #claim(generation: number): Promise<string> {
    const { witness, feed } = this.#p;
    try {
      const answer = await witness.claim(generation);
      feed({
        kind: 'arbiterAnswered',
        generation,
        answer: answer.kind,
        reason: answer.kind === 'granted' ? '' : answer.reason,
      });
    } catch (e) {
      feed({ kind: 'arbiterAnswered', generation, answer: 'unreachable', reason: (e as Error).message });
    }
    return '';
  }
}
