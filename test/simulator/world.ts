// A whole pair in one thread: the real core on both sides; links, witness, management controllers, disks and guests as models that
// fail. One generator decides everything: the same seed gives the same story.

import { DEFAULT_TIMING, step, type Timing } from '../../appliance/core/machine.ts';
import type { MirrorOrder } from '../../appliance/core/mirror-orders.ts';
import { Checkers } from './checkers.ts';
import { Guests } from './guests.ts';
import { Ledger } from './mirror/ledger.ts';
import { Network } from './network.ts';
import { EventQueue } from './queue.ts';
import { Random } from './random.ts';
import { CoServer } from './side.ts';
import { WITNESS_RULES, Witness, type WitnessRules } from './witness.ts';

/** What a deliberate mutant changes. Each must be caught. */
export interface Mutant {
  name: string;
  /** What the checker that is meant to find it says. Without: any. */
  because?: RegExp;
  step?: typeof step;
  witness?: Partial<WitnessRules>;
  timing?: Partial<Timing>;
  flaws?: Flaws;
}

/** Faults of what surrounds the core. */
export interface Flaws {
  /** The gate lets output out before the partner has it. */
  gateDoesNotHold?: boolean;
  /** What is withheld while it is undecided who may run leaves all the same. */
  notHeldWhileDeciding?: boolean;
  freezeDoesNothing?: boolean;
  persistIsNoBarrier?: boolean;
  carrierNotChecked?: boolean;
  watchdogNotArmed?: boolean;
  mirror?: MirrorFlaw;
  /** Another order in place of the real one. */
  orders?: (order: MirrorOrder<unknown>) => MirrorOrder<unknown>;
}

/** What the mirror does wrong. */
export type MirrorFlaw =
  | 'no region log'
  | 'acknowledged before both have it'
  | 'what the partner has not flushed is forgotten'
  | 'new writes are not held'
  | 'no extent lock in a resync'
  | 'a primary that was refused forgets its log'
  | 'replay to the last commit';

export interface Speeds {
  network: number;
  witness: number;
  bmc: number;
  guest: number;
  copy: number;
  /** Between two pieces of work of the guest. */
  workMs: number;
  /** Share of operations that fail by themselves. */
  failure: number;
}

/** What the lease has beyond the watchdog: renewals and heartbeats are exact here, but for the moment at which each side notices a loss. */
const WATCHDOG_MARGIN_MS = 150;

export class World {
  readonly random: Random;
  readonly story: string[] = [];
  readonly counts = new Map<string, number>();
  readonly speeds: Speeds;
  readonly timing: Timing;
  readonly tickMs: number;
  readonly level: 2 | 3;
  /** The secondary's guest does what the primary's does; else it is set right at each checkpoint. */
  readonly isLockstep: boolean;
  readonly canCompare: boolean;
  readonly arbiters: { witness: boolean; fence: boolean };
  readonly versions = { A: '1', B: '1' };
  readonly watchdogMs: number;
  readonly flaws: Flaws;
  readonly step: typeof step;
  /** A life in which the arbiters come and go faster than a disk writes. */
  readonly isChurn: boolean;
  readonly checkers: Checkers;
  readonly network: Network;
  readonly witness: Witness;
  readonly guests: Guests;
  readonly ledger = new Ledger();
  readonly sides: Record<'A' | 'B', CoServer>;
  readonly both: readonly CoServer[];
  now = 0;
  steps = 0;
  serial = 0;
  /** The faults are over. */
  isQuiet = false;
  /** The guest asks nothing more of its disk. */
  isIdle = false;
  /** The operator had to force a start, and had done no harm before. */
  needed = false;
  /** As the operator last saw them. */
  readonly lastLife = { A: -1, B: -1 };
  readonly #queue = new EventQueue();
  readonly #keepStory: boolean;

  constructor(seed: number, mutant: Mutant = { name: 'none' }, keepStory = false) {
    const random = new Random(seed);
    this.random = random;
    this.#keepStory = keepStory;
    this.flaws = mutant.flaws ?? {};
    this.step = mutant.step ?? step;
    const scale = random.pick([1, 0.3, 0.3]);
    this.speeds = {
      network: random.pick([0.5, 1, 1, 8]),
      witness: random.pick([0.3, 1, 1, 10]),
      bmc: scale * random.pick([0.5, 1]),
      guest: random.pick([0.1, 0.5, 1]),
      copy: random.pick([0.1, 0.5, 1]),
      workMs: random.pick([40, 150, 400]),
      failure: random.pick([0, 0.01, 0.05]),
    };
    this.level = random.chance(0.25) ? 2 : 3;
    this.canCompare = random.chance(0.9);
    this.isLockstep = random.chance(0.7);
    this.tickMs = random.chance(0.04) ? 50 : 500;
    this.arbiters = random.pick([
      { witness: true, fence: true },
      { witness: true, fence: true },
      { witness: true, fence: false },
      { witness: false, fence: true },
      { witness: false, fence: false },
    ]);
    this.timing = { ...DEFAULT_TIMING };
    if (scale !== 1)
      for (const key of [
        'restartGraceMs',
        'fenceBiasMs',
        'fenceRetryMs',
        'arbiterLostMs',
        'arbiterBackMs',
        'leaseMs',
        'batteryGraceMs',
      ] as const)
        this.timing[key] = DEFAULT_TIMING[key] * scale;
    this.isChurn = this.arbiters.witness && random.chance(0.2);
    if (this.isChurn) {
      this.timing.arbiterLostMs = 150;
      this.timing.arbiterBackMs = random.pick([50, 250]);
    }
    this.watchdogMs = this.timing.leaseMs - WATCHDOG_MARGIN_MS;
    Object.assign(this.timing, mutant.timing);
    this.network = new Network(this);
    this.checkers = new Checkers(this);
    this.witness = new Witness(this, { ...WITNESS_RULES, ...mutant.witness }, this.arbiters.witness);
    this.sides = { A: new CoServer(this, 'A'), B: new CoServer(this, 'B') };
    this.both = [this.sides.A, this.sides.B];
    this.guests = new Guests(this);
    this.network.delayMs = random.chance(0.1) ? 40 : 0;
    for (const s of this.both) s.boot();
  }

  get isDuplex(): boolean {
    const { A, B } = this.sides;
    const kinds = [A.state.phase.kind, B.state.phase.kind];
    return A.isAwake && B.isAwake && kinds.includes('duplex') && kinds.includes('secondary');
  }

  /** Between two extents of a resync, which leaves room for the guest. */
  pauseMs(): number {
    return this.random.between(1, 200) * this.speeds.copy;
  }

  later(ms: number, run: () => void): void {
    this.#queue.push(this.now + ms, run);
  }

  runUntil(end: number, stop?: () => boolean): void {
    for (;;) {
      if (stop?.()) return;
      const next = this.#queue.pop(end);
      if (!next) break;
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  tell(text: () => string): void {
    if (this.#keepStory) this.story.push(`${this.now.toFixed(0).padStart(8)} ms  ${text()}`);
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}
