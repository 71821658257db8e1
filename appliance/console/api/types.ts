// What the console's server needs from the process that it shows, and what it answers to a request.
import type { PointVerb } from '../../core/restore-points.ts';
import type { Snapshot } from '../../core/snapshot.ts';

/**
 * Accepted, or the sentence that the operator reads. canForce: asked for with force it would be done. detail.show: lines for whoever asked
 * only, such as a key; no log has them.
 */
export type RequestAnswer =
  | { accepted: true; detail?: Record<string, string | number> }
  | { accepted: false; reason: string; canForce?: true };

export type ActionArgs = Record<string, string | number | boolean>;

/**
 * Asks the core, which alone decides. What a console refuses by itself is an action that can lose data, asked for without its word
 * (whyNotTyped). `by`: at which console, in words; it is recorded.
 */
export type ActionRequest = (action: string, args: ActionArgs, by: string) => Promise<RequestAnswer>;

/**
 * About restore points: `take`, `remove`, `roll-back` (with its word), and on the local socket `export` and `end-export`. Answers when
 * it is done.
 */
export type PointRequest = (verb: PointVerb, name: string, by: string, typed: string) => Promise<RequestAnswer>;

/** What the lab is asked, as one JSON line: power of a CoServer (A, B), a link (1, 2), a frozen process. */
export interface LabAction {
  action: string;
  target: string;
}

export interface SnapshotSource {
  snapshot: () => Snapshot;
  /** Calls the listener after every change; answers the function that ends that. */
  onChange: (listener: () => void) => () => void;
}
