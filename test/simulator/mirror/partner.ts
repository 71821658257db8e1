// The source's view of the partner's copy (appliance/mirror/partner.ts): what the guest waits for is held while the partner is silent,
// and ends with its answer or by `release`; what a resync asks fails when the partner is lost.
import type { CopyRecord } from '../../../appliance/core/mirror.ts';
import type { CoServer } from '../side.ts';
import type { World } from '../world.ts';
import type { Content } from './medium.ts';

export type Request =
  | { kind: 'attach' }
  | { kind: 'write'; block: number; content: Content; interval: number }
  | { kind: 'flush' }
  | { kind: 'compare'; contents: readonly { block: number; content: Content; bad: Content | undefined }[] }
  | { kind: 'synced'; record: CopyRecord }
  | { kind: 'settle' }
  | { kind: 'commit'; interval: number };

/** What is only busy answers sooner. */
const ACKNOWLEDGE_MS = 4_000;

interface Pending {
  isGuest: boolean;
  since: number;
  done: (value?: unknown) => void;
  failed: () => void;
}

export class Partner {
  isLost = false;
  #isReleased = false;
  #isWatched = false;
  readonly #world: World;
  readonly #s: CoServer;
  readonly #attachment: number;
  readonly #onLost: () => void;
  readonly #pending = new Set<Pending>();
  #whenReleased: (() => void)[] = [];

  constructor(world: World, s: CoServer, attachment: number, onLost: () => void) {
    this.#world = world;
    this.#s = s;
    this.#attachment = attachment;
    this.#onLost = onLost;
  }

  /** A request of the guest. */
  hold(r: Request, done: () => void): void {
    if (this.#isReleased) done();
    else this.#send(r, { isGuest: true, since: this.#world.now, done, failed: () => undefined });
  }

  ask(r: Request, done: (value?: unknown) => void, failed: () => void): void {
    if (this.#isReleased || this.isLost) failed();
    else this.#send(r, { isGuest: false, since: this.#world.now, done, failed });
  }

  /** The source went on alone. */
  whenReleased(run: () => void): void {
    if (this.#isReleased) run();
    else this.#whenReleased.push(run);
  }

  #send(r: Request, pending: Pending): void {
    this.#pending.add(pending);
    if (this.isLost) return;
    if (pending.isGuest && !this.#isWatched) this.#watch(ACKNOWLEDGE_MS);
    const { network } = this.#world;
    const s = this.#s;
    const p = s.partner;
    network.send(s, () => {
      p.copy.receive(this.#attachment, r, (ok, value) => {
        network.send(p, () => this.#answered(pending, ok, value));
      });
    });
  }

  /** The guest waits for the partner for so long, and no longer. */
  #watch(ms: number): void {
    this.#isWatched = true;
    this.#s.at(ms, () => {
      this.#isWatched = false;
      let oldest: Pending | undefined;
      for (const p of this.#pending) if (p.isGuest && (!oldest || p.since < oldest.since)) oldest = p;
      if (!oldest || this.isLost || this.#isReleased) return;
      const left = oldest.since + ACKNOWLEDGE_MS - this.#world.now;
      if (left > 0) this.#watch(left);
      else this.lose();
    });
  }

  #answered(pending: Pending, ok: boolean, value: unknown): void {
    if (!this.#pending.has(pending)) return;
    if (ok) {
      this.#pending.delete(pending);
      pending.done(value);
      return;
    }
    if (!pending.isGuest) {
      this.#pending.delete(pending);
      pending.failed();
    }
    this.lose();
  }

  /** The partner's copy does not follow any more. */
  lose(): void {
    if (this.isLost || this.#isReleased) return;
    this.isLost = true;
    for (const p of [...this.#pending]) {
      if (p.isGuest) continue;
      this.#pending.delete(p);
      p.failed();
    }
    this.#onLost();
  }

  release(): void {
    this.#isReleased = true;
    const pending = [...this.#pending];
    this.#pending.clear();
    for (const p of pending) {
      if (p.isGuest) p.done();
      else p.failed();
    }
    for (const run of this.#whenReleased.splice(0)) run();
  }
}
