// The groups of all pairs: the core decides, the store makes durable what must be, and only then the answer is said. One
// request of a pair at a time; different pairs share the store's flushes.
import type { CoServerName } from '../core/snapshot.ts';
import {
  decideClaim,
  decideReport,
  dropReport,
  type WitnessAnswer,
  type WitnessClaim,
  type WitnessGroup,
  type WitnessMark,
  type WitnessReport,
  witnessStart,
} from '../core/witness.ts';
import type { MemoryStore } from './memory-store.ts';

interface Pair {
  group: WitnessGroup;
  /** Ends when the last request has been decided and is durable; never rejects. */
  tail: Promise<unknown>;
}

export class Groups {
  readonly #store: MemoryStore;
  readonly #memoryId: string;
  readonly #pairs = new Map<string, Pair>();

  /** `memoryId`: random per start of the witness, 16 hex digits. */
  constructor(store: MemoryStore, memoryId: string) {
    this.#store = store;
    this.#memoryId = memoryId;
  }

  /** Rejects when the memory could not be made durable: then the group is as it was. */
  report(pairId: string, report: WitnessReport): Promise<WitnessGroup> {
    return this.#decide(pairId, (before) => {
      const { group, changed } = decideReport(before, report);
      return { group, changed, result: group };
    });
  }

  /** Rejects when the grant could not be made durable: then nothing was granted. */
  claim(pairId: string, claim: WitnessClaim): Promise<{ answer: WitnessAnswer; mark: WitnessMark }> {
    return this.#decide(pairId, (before) => {
      const { group, answer, changed } = decideClaim(before, claim);
      return { group, changed, result: { answer, mark: group.mark } };
    });
  }

  /** What this CoServer said is no evidence any more. */
  drop(pairId: string, coServer: CoServerName): void {
    const pair = this.#pair(pairId);
    pair.tail = pair.tail.then(() => {
      pair.group = dropReport(pair.group, coServer);
    });
  }

  #pair(pairId: string): Pair {
    const known = this.#pairs.get(pairId);
    if (known) return known;
    const { damage } = this.#store;
    const doubt = damage ? "the witness's memory was damaged" : undefined;
    const pair = { group: witnessStart(this.#store.get(pairId), this.#memoryId, doubt), tail: Promise.resolve() };
    this.#pairs.set(pairId, pair);
    return pair;
  }

  #decide<T>(pairId: string, decide: (group: WitnessGroup) => { group: WitnessGroup; changed: boolean; result: T }): Promise<T> {
    const pair = this.#pair(pairId);
    const done = pair.tail.then(async () => {
      const { group, changed, result } = decide(pair.group);
      if (changed && group.memory) await this.#store.put(pairId, group.memory);
      pair.group = group;
      return result;
    });
    pair.tail = done.catch(() => undefined);
    return done;
  }
}
