// In which order a copy of the disk changes its role: what must be durable, here or there, before the next step may begin.
//
// Each order is a generator: it yields one step, whoever runs it does that step to its end, and asks for the next. So the worker
// thread (appliance/mirror) and the simulator obey the same orders, and a step that is cut short ends the order where it was.
//
//   serveAlone    generation -> serve                          goAlone   generation -> release
//   follow        inconsistent (-> the partner is answered)    merge     suspects, generation (-> the overlay is merged)
//   endResync     flush here -> partner: synced -> together -> clear
//   becomeEqual   flush here -> the source's generation, whole -> clear
//   rewriteAlone  generation (-> the copy is written to)
//   coolDown      flush here -> partner: flush -> clear
import { type ActivityLog, apart, moment, settle, settleAll } from './activity-log.ts';
import { becomingEqual, broughtTogether, type CopyRecord, type DataGeneration, goneAlone, madeEqual } from './mirror.ts';

export type MirrorStep =
  /** Durable when it ends. `change` gets what the record is by then. */
  | { kind: 'record'; change: (record: CopyRecord) => CopyRecord }
  /** Suspect when it ends, durably. */
  | { kind: 'suspect'; extents: readonly number[] }
  /** All of them, in any order. */
  | { kind: 'all'; steps: readonly MirrorStep[] }
  /** Not suspect any more. Lost with the power it only costs a comparison. */
  | { kind: 'clear'; extents: readonly number[] }
  /** This copy's disk: everything that had ended before is on stable media when it ends. */
  | { kind: 'flush' }
  /** Ends when the partner has recorded, durably, that its copy is equal. It takes this record. */
  | { kind: 'askSynced'; record: CopyRecord }
  /** The partner flushes its copy. Answers the interval up to which it has everything on its disk. */
  | { kind: 'askSettle' }
  /** What the guest waits for ends; its writes go to this copy alone from here on. Answers how many requests that were. */
  | { kind: 'release' }
  /** The guest's requests are taken. */
  | { kind: 'serve' };

/** Takes the answer of the step that has ended, where it has one. */
export type MirrorOrder<T = void> = Generator<MirrorStep, T, number | undefined>;

/** What an order may have to look at again after each step. */
export interface Standing {
  log: ActivityLog;
  /** Nothing of what the order is about was ended or replaced meanwhile. */
  isStill(): boolean;
}

/** closed -> solo, with the right to run. */
export function* serveAlone(log: ActivityLog, next: DataGeneration): MirrorOrder {
  apart(log);
  yield { kind: 'record', change: (r) => goneAlone(r, next) };
  yield { kind: 'serve' };
}

/** Of a copy that nobody uses, before it is written to: as it will be, the partner does not have it. */
export function* rewriteAlone(log: ActivityLog, next: DataGeneration): MirrorOrder {
  apart(log);
  yield { kind: 'record', change: (r) => goneAlone(r, next) };
}

/** source -> solo, with the arbiter's grant. Until it has ended everything is held, also what comes new. */
export function* goAlone({ log, isStill }: Standing, next: DataGeneration): MirrorOrder<number> {
  yield { kind: 'record', change: (r) => goneAlone(r, next) };
  if (!isStill()) return 0;
  apart(log);
  return (yield { kind: 'release' }) ?? 0;
}

/** replica -> solo, with the arbiter's grant: before what its own guest wrote since the last commit is made part of the copy. */
export function* merge(log: ActivityLog, next: DataGeneration, extents: readonly number[]): MirrorOrder {
  const record: MirrorStep = { kind: 'record', change: (r) => goneAlone(r, next) };
  yield { kind: 'all', steps: [{ kind: 'suspect', extents }, record] };
  apart(log);
}

/** target: a source attaches. Its first write may come when this has ended. */
export function* follow(): MirrorOrder {
  yield { kind: 'record', change: becomingEqual };
}

/** source: everything that may differ was compared and sent. `record`: as it was when the resync began. */
export function* endResync({ log, isStill }: Standing, record: CopyRecord): MirrorOrder {
  const since = moment(log);
  // Ours first: what this copy lost of its cache after the partner has forgotten that they differed would stay different.
  yield { kind: 'flush' };
  yield { kind: 'askSynced', record };
  // If it went on alone meanwhile, that is what the record says.
  let isTogether = false;
  yield {
    kind: 'record',
    change: (r) => {
      isTogether = r.current === record.current;
      return isTogether ? broughtTogether(r) : r;
    },
  };
  if (isTogether && isStill()) yield { kind: 'clear', extents: settleAll(log, since) };
}

/** target: the source has said that everything was compared. What it wrote and was answered is in the cache of this disk at least. */
export function* becomeEqual({ log, isStill }: Standing, source: Pick<CopyRecord, 'current' | 'history'>): MirrorOrder {
  yield { kind: 'flush' };
  if (!isStill()) return;
  yield { kind: 'record', change: (r) => madeEqual(r, source) };
  yield { kind: 'clear', extents: settleAll(log, moment(log)) };
}

/** source, too many extents are hot: those that are on stable media of both cool down. */
export function* coolDown({ log, isStill }: Standing): MirrorOrder {
  const since = moment(log);
  yield { kind: 'flush' };
  const interval = (yield { kind: 'askSettle' }) ?? 0;
  if (isStill()) yield { kind: 'clear', extents: settle(log, since, interval) };
}
