// Two gates whose result is known: one that is right without any comparison (all output is held to its commit), and one that
// is wrong (all output leaves at once). The simulation must tell them apart before it may judge the real rules.
import type {
  BaseOffset,
  LockstepPrimaryApi,
  LockstepSecondaryApi,
  PrimaryPorts,
  PrimaryStatistics,
  SecondaryStatistics,
} from '../../../appliance/gate/lockstep/api.ts';
import type { Gates } from './pair.ts';

/** Output asks for a checkpoint when it waits for so long. */
const HOLD_MS = 20;

class HoldingPrimary implements LockstepPrimaryApi {
  readonly #ports: PrimaryPorts;
  readonly #atOnce: boolean;
  #held: { frame: Buffer; interval: number; at: number }[] = [];
  #asked = false;
  #frozen = false;
  #committed = -1;
  #base: BaseOffset[] = [];

  constructor(ports: PrimaryPorts, atOnce: boolean) {
    this.#ports = ports;
    this.#atOnce = atOnce;
  }

  begin(session: number): void {
    this.#asked = false;
    this.#committed = -1;
    this.#ports.toPartner({ kind: 'begin', session, base: [] });
  }
  guestStopped(): void {
    this.#ports.toPartner({ kind: 'mark' });
  }
  end(): void {}
  setComparing(): void {}
  observe(): void {}
  freeze(frozen: boolean): void {
    this.#frozen = frozen;
    if (!frozen && this.#committed >= 0) this.onCommit(this.#committed);
  }
  fromGuest(frame: Buffer, interval: number, nowMs: number): void {
    if ((interval === 0 || this.#atOnce) && !this.#frozen) this.#ports.release(frame, 'passed');
    else this.#held.push({ frame, interval, at: nowMs });
  }
  fromLan(frame: Buffer, interval: number): void {
    this.#ports.toPartner({ kind: 'input', interval, frame });
    this.#ports.feed(frame);
  }
  fromPartner(): void {}
  onReply(): void {}
  onCommit(interval: number): void {
    this.#committed = interval;
    if (this.#frozen) return;
    this.#asked = false;
    this.#release(interval, 'commit');
  }
  tick(nowMs: number): void {
    const first = this.#held[0];
    if (!first || this.#asked || nowMs - first.at < HOLD_MS) return;
    this.#asked = true;
    this.#ports.wantCheckpoint('data');
  }
  oldestMs(nowMs: number): number {
    return this.#held[0] ? nowMs - this.#held[0].at : 0;
  }
  releaseAll(): number {
    const n = this.#held.length;
    this.#release(Number.POSITIVE_INFINITY, 'grant');
    return n;
  }
  dropAll(): number {
    const n = this.#held.length;
    this.#held = [];
    return n;
  }
  exportBase(): BaseOffset[] {
    return this.#base;
  }
  importBase(base: readonly BaseOffset[]): void {
    this.#base = [...base];
  }
  statistics(): PrimaryStatistics {
    throw new Error('a stand-in has no statistics');
  }

  #release(interval: number, by: 'commit' | 'grant'): void {
    const leaving = this.#held.filter((h) => h.interval <= interval);
    this.#held = this.#held.filter((h) => h.interval > interval);
    for (const { frame } of leaving) this.#ports.release(frame, by);
  }
}

class SilentSecondary implements LockstepSecondaryApi {
  fromPartner(): void {}
  fromReplica(): void {}
  onStopped(): void {}
  onLoaded(): void {}
  takeOver(): { base: BaseOffset[]; fedFrames: number; late: Buffer[]; unseen: Buffer[] } {
    return { base: [], fedFrames: 0, late: [], unseen: [] };
  }
  statistics(): SecondaryStatistics {
    throw new Error('a stand-in has no statistics');
  }
}

export const PASSIVE: Gates = {
  primary: (ports) => new HoldingPrimary(ports, false),
  secondary: () => new SilentSecondary(),
};

export const AT_ONCE: Gates = {
  primary: (ports) => new HoldingPrimary(ports, true),
  secondary: () => new SilentSecondary(),
};
