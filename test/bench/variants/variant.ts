// What a variant is to the benchmark: a running guest with a way to it, and counters that can be read at any moment.
import type { CheckpointsSince } from '../reading.ts';

export const VARIANTS = ['plain', 'gate', 'lockstep', 'passive', 'stock'] as const;
export type VariantName = (typeof VARIANTS)[number];

/** One line for tables and errors. */
export const VARIANT_TEXT: Record<VariantName, string> = {
  plain: 'guest on a plain tap: QEMU and a bridge, no Twinstep',
  gate: 'unprotected through our gate: the pair with one CoServer, mode lockstep',
  lockstep: 'the pair in duplex, lockstep',
  passive: 'the pair in duplex, passive',
  stock: "QEMU's own COLO: its filters, comparator and replication driver, as its documentation says",
};

/** A CoServer of the variant, as its counters are found: the network namespace that its processes are in. */
export interface Place {
  role: 'primary' | 'secondary';
  namespace: string;
}

export interface RunningVariant {
  places: Place[];
  /** TCP port of the connections that carry checkpoints, on the primary; null: there are none. */
  checkpointPort: number | null;
  /** Checkpoints so far and what is known about them. `sinceMs`: wall clock, for the list of pauses. Null: there are none here. */
  checkpoints(sinceMs: number): Promise<CheckpointsSince | null>;
  /** How output is treated now, where that can change by itself: "lockstep", "passive". */
  mode(): Promise<string | null>;
  /** Ends everything; can be called when half of it is gone. */
  stop(): Promise<void>;
}
