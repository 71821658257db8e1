// What a CoServer knows of itself after a power loss: its copy, its right to run, and which arbiter may grant it more.
import type { CoServerName } from './snapshot.ts';

/** How output is released while both replicas run. Decided in modes.ts. */
export type OutputMode = 'lockstep' | 'passive';

/** What stands in the durable record about this CoServer's copy and its right to run. */
export type Standing = 'fresh' | 'simplex' | 'duplexPrimary' | 'duplexSecondary' | 'outdated' | 'inconsistent';

/**
 * Who may grant the next generation. Exactly one kind is valid per generation; how the two change it together without ever
 * mixing two kinds is in arbiters.ts. `namedA`: A may go simplex by itself, B freezes.
 */
export type Arbiter = 'witness' | 'fence' | 'namedA' | 'namedB';
export const ARBITERS: readonly Arbiter[] = ['witness', 'fence', 'namedA', 'namedB'];

export interface DurableRecord {
  generation: number;
  standing: Standing;
  /** Valid for this generation (duplex), or the one that was when it went simplex. */
  arbiter: Arbiter;
  /** The operator (or the guest itself) switched the workload off: nobody starts it until he asks. */
  workloadOff: boolean;
  /** outdated: it was the primary of this generation. When both sides yielded at once, its copy has everything. */
  wasPrimary: boolean;
  /** The operator's choice of how output is released; null: the policy decides. */
  pinnedMode: OutputMode | null;
  /** This generation began by the operator's force, not by an arbiter's grant. */
  forced: boolean;
  /** The operator took this CoServer out: it neither joins nor starts until he brings it back. */
  maintenance: boolean;
  /** The copy here is a history of its own, of this generation: it is kept aside before anything may overwrite it. Null: nothing to keep. */
  keep: number | null;
}

export const FRESH_RECORD: DurableRecord = {
  generation: 0,
  standing: 'fresh',
  arbiter: 'witness',
  workloadOff: false,
  wasPrimary: false,
  pinnedMode: null,
  forced: false,
  maintenance: false,
  keep: null,
};

export function named(coServer: CoServerName): Arbiter {
  return coServer === 'A' ? 'namedA' : 'namedB';
}
