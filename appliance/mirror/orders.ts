// Obeys the orders of core/mirror-orders.ts on the copy that is open: one step after another, each done to its end before the next is
// asked for. One that fails ends the order where it was.
//
// One of them is given here, by itself: `coolDown`, when too many extents are hot.
import { StoreError } from '../../drivers/block/index.ts';
import { isCrowded } from '../core/activity-log.ts';
import { coolDown, type MirrorOrder, type MirrorStep } from '../core/mirror-orders.ts';
import { encodeCopy } from './metadata-codec.ts';
import type { OpenCopy } from './open-copy.ts';
import type { Partner } from './partner.ts';

/** Between two attempts to let extents cool down: while nothing is committed, none can. */
const SETTLE_PAUSE_MS = 1_000;

export interface OrdersParts {
  /** Shorter in tests. */
  settlePauseMs: number | undefined;
  /** The copy is served: the guest's requests are taken. */
  serve(o: OpenCopy): Promise<void>;
  /** The guest has no partner any more: the mode is `solo`. */
  alone(): void;
  report(e: Error): void;
}

export class Orders {
  readonly #parts: OrdersParts;
  readonly #pauseMs: number;
  #settling = false;
  #settledMs = -Infinity;

  constructor(parts: OrdersParts) {
    this.#parts = parts;
    this.#pauseMs = parts.settlePauseMs ?? SETTLE_PAUSE_MS;
  }

  /** The steps of an order, one after another. One that fails ends it. `asked`: the partner that it is about. */
  async obey<T>(o: OpenCopy, order: MirrorOrder<T>, asked?: Partner): Promise<T> {
    for (let answer: number | undefined; ; ) {
      const { done, value } = order.next(answer);
      if (done) return value;
      answer = await this.#step(o, value, asked);
    }
  }

  /** Extents that both copies hold in stable storage become cold, when too many are hot. */
  async settle(o: OpenCopy | undefined): Promise<void> {
    const partner = o?.guest.partner;
    if (!o || !partner || this.#settling || !isCrowded(o.metadata.log) || performance.now() - this.#settledMs < this.#pauseMs) return;
    this.#settling = true;
    try {
      await this.obey(o, coolDown({ log: o.metadata.log, isStill: () => o.guest.partner === partner }), partner);
    } catch (e) {
      if (e instanceof StoreError) this.#parts.report(e);
    } finally {
      this.#settling = false;
      this.#settledMs = performance.now();
    }
  }

  async #step(o: OpenCopy, step: MirrorStep, asked: Partner | undefined): Promise<number | undefined> {
    const { metadata, guest } = o;
    switch (step.kind) {
      case 'record':
        await metadata.change(step.change);
        return undefined;
      case 'suspect':
        await metadata.suspect(step.extents);
        return undefined;
      case 'all':
        await Promise.all(step.steps.map((s) => this.#step(o, s, asked)));
        return undefined;
      case 'clear':
        await metadata.cleared(step.extents);
        return undefined;
      case 'flush':
        await o.disk.flush();
        return undefined;
      case 'askSynced':
        await asked?.ask({ kind: 'synced', data: encodeCopy(step.record, new Set(), 0) });
        return undefined;
      case 'askSettle':
        return asked && Buffer.from(await asked.ask({ kind: 'settle' })).readUInt32BE(0);
      case 'release': {
        const { partner } = guest;
        guest.partner = undefined;
        this.#parts.alone();
        return partner?.release() ?? 0;
      }
      case 'serve':
        await o.points.finishRollBack();
        await this.#parts.serve(o);
        return undefined;
      default:
        throw new Error(`unknown step ${JSON.stringify(step satisfies never)}`);
    }
  }
}
