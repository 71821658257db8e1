// A restore point of both copies at the same moment.
//
// Interval 0: new writes are held until those under way have ended on both; then both cut. Level 3: both cut at the end of interval n:
// here before the first write of a later one, there when n is on its disk and nothing newer is. Neither waits for a flush: each makes
// the point durable afterwards, and one that was not made durable is none. What the partner cannot do is no reason not to have the
// point here.
import { randomBytes } from 'node:crypto';
import type { ChangeHold, Hold } from '../change-hold.ts';
import type { MirrorMessage } from '../messages.ts';
import type { Partner } from '../partner.ts';
import type { Replica } from '../replica.ts';
import type { PointEntry, PointKind } from './catalogue-codec.ts';
import { POINT_NAME } from './catalogue-codec.ts';
import { type CutStep, decodeCutStep, decodePointList, encodeCutStep, encodePointList } from './cut-codec.ts';
import type { PointStore } from './point-store.ts';
import { within } from './within.ts';

/** The guest's writes are held no longer. */
const HOLD_MS = 1_000;
/** A file is made and flushed there. */
const ANSWER_WITHIN_MS = 10_000;
/** Checkpoints come at least every second, unless the guest's memory is copied meanwhile. */
const INTERVAL_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 5;
/** The partner may be past the interval when it hears of it. */
const ATTEMPTS = 3;

export interface PointCutsParts {
  points: PointStore;
  guest: { readonly changes: ChangeHold; readonly partner: Partner | undefined };
  interval(): number;
  /** As a follower: its copy is equal to the source's. */
  isEqual(): boolean;
  replica(): Replica | undefined;
  changed(): void;
}

export class PointCuts {
  readonly #parts: PointCutsParts;
  readonly #points: PointStore;
  /** Of the partner, as it last said. */
  theirs: PointEntry[] = [];
  /** As a follower: cuts that were asked for. */
  readonly #asked = new Map<string, Promise<void>>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: PointCutsParts) {
    this.#parts = parts;
    this.#points = parts.points;
  }

  /** One at a time. */
  take(a: { name: string; kind: PointKind; takenAt: number }): Promise<{ at: number; alone: string; heldMs: number }> {
    return this.#inTurn(() => this.#take(a));
  }

  async #take({
    name,
    kind,
    takenAt,
  }: {
    name: string;
    kind: PointKind;
    takenAt: number;
  }): Promise<{ at: number; alone: string; heldMs: number }> {
    if (!POINT_NAME.test(name))
      throw new Error(
        `'${name}' is no name for a restore point: 1 to 40 small letters, digits and hyphens, a letter or digit at both ends`,
      );
    const id = randomBytes(8).toString('hex');
    const { partner } = this.#parts.guest;
    if (partner && this.theirs.some((p) => p.name === name && p.state === 'kept'))
      throw new Error(`there is a restore point '${name}' on the other CoServer already: choose another name, or remove it first`);
    const point = { id, name, kind, takenAt };
    await this.#points.begin(point);
    let alone = partner ? '' : 'the other CoServer does not follow now';
    try {
      if (partner)
        await this.#tell(partner, { step: 'begin', point }).catch((e: Error) => {
          alone = e.message;
        });
      const done = await this.#cut(id, alone === '' ? partner : undefined);
      if (alone === '') alone = done.alone;
      await this.#points.keep(id);
      if (partner && alone === '')
        await this.#tell(partner, { step: 'keep', id }, 0, INTERVAL_WITHIN_MS).catch((e: Error) => {
          alone = e.message;
        });
      if (partner && alone !== '') await this.#drop(partner, id);
      await this.compareLists().catch(() => undefined);
      this.#parts.changed();
      return { at: done.at, heldMs: done.heldMs, alone };
    } catch (e) {
      await this.#points.dropCutting(id).catch(() => undefined);
      if (partner) await this.#drop(partner, id);
      throw e;
    }
  }

  async #cut(id: string, partner: Partner | undefined): Promise<{ at: number; alone: string; heldMs: number }> {
    const { guest, interval } = this.#parts;
    let alone = '';
    for (let attempt = 1; ; attempt++) {
      const isShared = partner !== undefined && guest.partner === partner && alone === '';
      const now = interval();
      if (now > 0 && isShared) {
        const at = now + 1;
        const hold = guest.changes.holdAfter(at);
        try {
          const refused = await this.#tell(partner, { step: 'cut', id }, at).then(
            () => null,
            (e: Error) => e.message,
          );
          if (refused !== null && attempt < ATTEMPTS && guest.partner === partner) continue;
          alone = refused ?? '';
          const isOver = await this.#intervalOver(at, hold.wanted, partner);
          if (!isOver) continue;
          return { at, alone, heldMs: await this.#cutHere(id, hold) };
        } finally {
          hold.release();
        }
      }
      const hold = guest.changes.holdAfter(-1);
      const since = performance.now();
      try {
        await within(HOLD_MS, guest.changes.idle(), 'the writes under way did not end', ': try again');
        // Lockstep began meanwhile: its intervals say when.
        if (isShared && interval() > 0) continue;
        if (isShared)
          await this.#tell(partner, { step: 'cut', id }, 0, HOLD_MS).catch((e: Error) => {
            alone = e.message;
          });
        await this.#points.cut(id, HOLD_MS);
        return {
          at: 0,
          alone: isShared || !partner ? alone : alone || 'the other CoServer was lost meanwhile',
          heldMs: performance.now() - since,
        };
      } finally {
        hold.release();
      }
    }
  }

  async #cutHere(id: string, hold: Hold): Promise<number> {
    await within(HOLD_MS, this.#parts.guest.changes.idle(), 'the writes under way did not end', ': try again');
    await this.#points.cut(id, HOLD_MS);
    return hold.since === 0 ? 0 : performance.now() - hold.since;
  }

  /** False: there are no intervals any more. */
  async #intervalOver(at: number, wanted: Promise<void>, partner: Partner): Promise<boolean> {
    const { interval, guest } = this.#parts;
    const deadline = performance.now() + INTERVAL_WITHIN_MS;
    while (interval() <= at) {
      if (interval() === 0 || guest.partner !== partner) return false;
      if (performance.now() > deadline) throw new Error(`no checkpoint was made within ${INTERVAL_WITHIN_MS / 1000} s: try again`);
      let timer: NodeJS.Timeout | undefined;
      const pause = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, LOOK_EVERY_MS);
      });
      await Promise.race([pause, wanted]);
      clearTimeout(timer);
    }
    return true;
  }

  /** On both copies, as far as they can be reached. */
  remove(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const ours = this.#points.points.find((p) => p.name === name);
      const { partner } = this.#parts.guest;
      const theirs = this.theirs.find((p) => p.name === name);
      if (!ours && !theirs) throw new Error(`there is no restore point '${name}'`);
      if (!ours && !partner) throw new Error(`the restore point '${name}' is on the other CoServer only, which does not follow now`);
      if (ours) await this.#points.remove(ours.id);
      if (partner && theirs) await this.#tell(partner, { step: 'drop', id: theirs.id });
      await this.compareLists().catch(() => undefined);
      this.#parts.changed();
    });
  }

  /** Each learns what the other has. */
  async compareLists(): Promise<void> {
    const { partner } = this.#parts.guest;
    if (!partner) return;
    await this.#tell(partner, { step: 'list', points: this.#points.points });
    this.#parts.changed();
  }

  // The other side.

  /** Rejects with the reason of a refusal. */
  async asked(m: MirrorMessage): Promise<Uint8Array> {
    const s = decodeCutStep(m.data);
    switch (s.step) {
      case 'begin':
        if (!this.#parts.isEqual()) throw new Error('the other copy is not equal yet');
        await this.#points.begin(s.point);
        break;
      case 'cut':
        await this.#cutAsked(s.id, m.interval);
        break;
      case 'keep':
        await this.#asked.get(s.id);
        this.#asked.delete(s.id);
        await this.#points.keep(s.id);
        break;
      case 'drop':
        this.#asked.delete(s.id);
        this.#parts.replica()?.dropCut();
        await this.#points.dropCutting(s.id);
        if (this.#points.points.some((p) => p.id === s.id)) await this.#points.remove(s.id);
        break;
      case 'list':
        this.theirs = s.points;
        break;
      default:
        s satisfies never;
    }
    this.#parts.changed();
    return encodePointList(this.#points.points);
  }

  async #cutAsked(id: string, interval: number): Promise<void> {
    const replica = this.#parts.replica();
    if (!this.#parts.isEqual()) throw new Error('the other copy is not equal');
    if (interval === 0) {
      if (replica?.isJournaling) throw new Error('the other copy is in lockstep already');
      await this.#points.cut(id, HOLD_MS);
      return;
    }
    if (!replica) throw new Error('the other copy is not in lockstep');
    const done = replica.cutAfter(interval, () => this.#points.cut(id, HOLD_MS));
    done.catch(() => undefined);
    this.#asked.set(id, done);
  }

  /** The source is gone: what it had not finished is none. */
  async partnerGone(): Promise<void> {
    this.#asked.clear();
    for (const p of this.#points.catalogue.points) if (p.state === 'cutting') await this.#points.dropCutting(p.id).catch(() => undefined);
  }

  async #tell(partner: Partner, s: CutStep, interval = 0, withinMs = ANSWER_WITHIN_MS): Promise<void> {
    const asked = partner.ask({ kind: 'cut', interval, data: encodeCutStep(s) });
    asked.catch(() => undefined);
    this.theirs = decodePointList(await within(withinMs, asked, 'the other CoServer did not answer', ': try again'));
  }

  async #drop(partner: Partner, id: string): Promise<void> {
    await this.#tell(partner, { step: 'drop', id }).catch(() => undefined);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#turn.then(work);
    this.#turn = run.catch(() => undefined);
    return run;
  }
}
