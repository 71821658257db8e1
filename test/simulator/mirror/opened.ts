// What a copy of the disk has open, and in which mode it is.
import type { CopyState } from '../../../appliance/core/mirror.ts';
import type { ExtentLock } from './extent-lock.ts';
import type { Metadata } from './metadata.ts';
import type { Partner } from './partner.ts';
import type { Replica } from './replica.ts';

export type Mode = 'closed' | 'solo' | 'source' | 'target' | 'replica';
/** A command ended, well or not. */
export type Ended = (ok: boolean) => void;

/** What is open from `open` to `close`. */
export interface Opened {
  metadata: Metadata;
  /** Nothing was known of the disk when it was opened. */
  isUnknown: boolean;
  /** A request failed: it is never tried again. */
  isBroken: boolean;
  toldAt: number;
  lock: ExtentLock;
  partner: Partner | null;
  theirs: CopyState | null;
  /** As the partner's follower: which attachment counts, and whether this copy is equal to the source's. */
  attachment: number;
  isEqual: boolean;
  /** Requests of the partner that are being done. */
  running: number;
  replica: Replica | null;
  serves: boolean;
  /** Requests to the disk that are under way. */
  inFlight: number;
  isCooling: boolean;
  /** Writes of no interval that wait for the end of `collapse`. */
  deferred: (() => void)[];
}
