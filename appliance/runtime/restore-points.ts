// Restore points between the mirror and the people: what is shown of them, what is asked of them, and the schedule.

import type { RequestAnswer } from '../console/api/index.ts';
import { type PointVerb, pointActions, ROLL_BACK_WORD, whyNotPoint } from '../core/restore-points.ts';
import { planPoints, type RestoreSchedule, stampOf } from '../core/restore-schedule.ts';
import type { ActionView, CoServerName, ProgressView, RestorePointView } from '../core/snapshot.ts';
import type { State } from '../core/state.ts';
import type { PointsStatus } from '../mirror/api.ts';
import type { History } from './history.ts';
import type { Workers } from './workers.ts';

/** A schedule is of minutes. */
const LOOK_EVERY_MS = 5_000;
/** After one that failed: its reason is told once, not every few seconds. */
const RETRY_MS = 10 * 60_000;
/** The end of an interval is waited for. */
const TAKE_WITHIN_MS = 90_000;

export interface RestorePointsParts {
  me: CoServerName;
  mirror: Workers['mirror'];
  history: Pick<History, 'add'>;
  schedule: RestoreSchedule;
  state(): State;
  /** The mirror's disk and its points. */
  openDisk(): Promise<void>;
  changed(): void;
}

export class RestorePoints {
  readonly #parts: RestorePointsParts;
  #status: PointsStatus | null = null;
  #progress: ProgressView | null = null;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #retryAt = Number.NEGATIVE_INFINITY;
  #working = false;
  /** For this time of being off. */
  #opened = false;

  constructor(parts: RestorePointsParts) {
    this.#parts = parts;
    const { mirror, history, changed } = parts;
    mirror.on('points', (status) => {
      this.#status = status;
      changed();
    });
    mirror.on('pointNews', ({ text }) => history.add({ severity: 'warning', row: null, text }));
    mirror.on('rollBackProgress', (p) => {
      const { doneBytes, totalBytes, rateBytesPerS } = p;
      const etaS = rateBytesPerS > 0 ? (totalBytes - doneBytes) / rateBytesPerS : null;
      this.#progress = { what: `Rolling the disk back to ${p.name}`, doneBytes, totalBytes, rateBytesPerS, etaS };
      changed();
    });
  }

  get views(): RestorePointView[] {
    const { me } = this.#parts;
    const other: CoServerName = me === 'A' ? 'B' : 'A';
    return (this.#status?.points ?? []).map((p) => {
      const on: CoServerName[] = [];
      if (p.here) on.push(me);
      if (p.there) on.push(other);
      const { name, takenAt, kind, keptBytes, trouble, unavailable, inUse } = p;
      return { name, takenAt, kind, on: on.sort(), keptBytes, trouble, ...(unavailable === '' ? {} : { unavailable }), inUse };
    });
  }

  /** Null: the disk is not being rolled back. */
  get progress(): ProgressView | null {
    return this.#status?.rollingBack ? this.#progress : null;
  }

  actions(state: State): ActionView[] {
    return pointActions(state, this.#known);
  }

  /** Null: no action of a restore point. Its verdict has been looked at. */
  action(action: string, by: string): Promise<RequestAnswer> | null {
    if (action === 'take-point') return this.request('take', `point-${stampOf(Date.now())}`, by);
    for (const [prefix, verb] of [
      ['remove-point-', 'remove'],
      ['roll-back-to-', 'roll-back'],
    ] as const)
      if (action.startsWith(prefix)) {
        const done = this.request(verb, action.slice(prefix.length), by, ROLL_BACK_WORD);
        // It takes as long as it takes, and its progress is shown.
        return verb === 'roll-back' ? Promise.resolve({ accepted: true }) : done;
      }
    return null;
  }

  /** Answers when it is done. */
  async request(verb: PointVerb, name: string, by: string, typed = ''): Promise<RequestAnswer> {
    const { state, mirror, openDisk } = this.#parts;
    const no = whyNotPoint(state(), this.#known, verb, name);
    if (no !== null) return { accepted: false, reason: no };
    if (verb === 'roll-back' && typed !== ROLL_BACK_WORD)
      return { accepted: false, reason: `Going back to '${name}' needs the word '${ROLL_BACK_WORD}' with the request.` };
    try {
      const { kind } = state().phase;
      if (kind === 'off' || kind === 'failed') await openDisk();
      switch (verb) {
        case 'take':
          return { accepted: true, detail: { text: await this.#take(name, 'operator', by) } };
        case 'remove':
          await mirror.call('removePoint', { name });
          this.#tell(`The restore point '${name}' was removed, asked at ${by}.`);
          return { accepted: true };
        case 'export':
          return { accepted: true, detail: await mirror.call('exportPoint', { name }) };
        case 'end-export':
          await mirror.call('endPointExport', { name });
          return { accepted: true };
        case 'roll-back':
          return { accepted: true, detail: { text: await this.#rollBack(name, by) } };
        default:
          return verb satisfies never;
      }
    } catch (e) {
      return { accepted: false, reason: sentence(e as Error) };
    }
  }

  tick(now: number): void {
    if (now - this.#lookedAt < LOOK_EVERY_MS || this.#working) return;
    this.#lookedAt = now;
    this.#working = true;
    void this.#look(now)
      .catch((e: Error) => {
        this.#retryAt = now + RETRY_MS;
        this.#parts.history.add({ severity: 'warning', row: null, text: `Restore points: ${sentence(e)}` });
      })
      .finally(() => {
        this.#working = false;
      });
  }

  async #look(now: number): Promise<void> {
    const { state, mirror, schedule, openDisk, changed } = this.#parts;
    const { kind } = state().phase;
    if (kind !== 'off') this.#opened = false;
    else if (!this.#opened) {
      // Once: so that the points are seen, read and gone back to while the workload is off.
      this.#opened = true;
      await openDisk();
    }
    const status = await mirror.call('listPoints', {});
    if (JSON.stringify(status) !== JSON.stringify(this.#status)) {
      this.#status = status;
      changed();
    }
    if ((kind !== 'duplex' && kind !== 'running') || !status || status.refusal !== '' || now < this.#retryAt) return;
    const plan = planPoints(schedule, this.views, Date.now());
    if (plan.take !== null) await this.#take(plan.take, 'scheduled', 'the schedule');
    for (const name of plan.remove) await mirror.call('removePoint', { name });
  }

  async #take(name: string, kind: 'scheduled' | 'operator', by: string): Promise<string> {
    const { mirror } = this.#parts;
    const { at, alone, heldMs } = await mirror.call('takePoint', { name, kind, takenAt: Date.now() }, TAKE_WITHIN_MS);
    const where = alone === '' ? 'on both CoServers' : `on this CoServer only: ${alone}`;
    const when = at > 0 ? `at the end of interval ${at}` : 'between two writes';
    const text = `The restore point '${name}' was taken ${when}, ${where}; writes were held for ${Math.round(heldMs)} ms.`;
    this.#tell(`${text} Asked by ${by}.`);
    return text;
  }

  async #rollBack(name: string, by: string): Promise<string> {
    const { mirror, history, changed } = this.#parts;
    history.add({ severity: 'warning', row: null, text: `The disk is rolled back to the restore point '${name}', asked at ${by}.` });
    try {
      const { before, writtenBytes } = await mirror.call('rollBack', { name, takenAt: Date.now() }, Number.POSITIVE_INFINITY);
      const kept = before === '' ? '' : ` How it was before is kept as '${before}'.`;
      const text = `The disk is as it was at the restore point '${name}': ${(writtenBytes / 1048576).toFixed(1)} MiB differed.${kept}`;
      this.#tell(text);
      return text;
    } catch (e) {
      history.add({ severity: 'warning', row: null, text: sentence(e as Error) });
      throw e;
    } finally {
      this.#status = await mirror.call('listPoints', {});
      changed();
    }
  }

  get #known(): { points: RestorePointView[]; refusal: string; rollingBack: string | null } {
    return { points: this.views, refusal: this.#status?.refusal ?? '', rollingBack: this.#status?.rollingBack ?? null };
  }

  #tell(text: string): void {
    this.#parts.history.add({ severity: 'info', row: null, text });
  }
}

/** As an operator reads it: without the name of the thread. */
function sentence(e: Error): string {
  const text = e.message.replace(/^mirror: /, '');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}
