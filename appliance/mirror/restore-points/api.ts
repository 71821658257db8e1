// What the mirror's worker is asked about restore points, and what it reports. Times: wall clock ms; sizes in bytes.
import type { PointKind } from './catalogue-codec.ts';

export interface PointsSetup {
  /** Folder of the before-images; empty: beside the disk, which must be a file then. */
  directory: string;
  /** Of all before-images of this CoServer; 0: as much as the disk has. */
  maximumBytes: number;
  /** So much of that folder's file system stays free. */
  reserveBytes: number;
}

/** As much as the disk has, but a GiB stays free: the disk's own file may be there. */
export const DEFAULT_POINTS: PointsSetup = { directory: '', maximumBytes: 0, reserveBytes: 1024 * 1024 * 1024 };

export interface PointStatus {
  name: string;
  kind: PointKind;
  takenAt: number;
  /** This CoServer, and the partner as it last said, hold it. */
  here: boolean;
  there: boolean;
  keptBytes: number;
  /** Why it cannot be used any more; empty: it can. */
  trouble: string;
  /** Why it cannot be read here now: it may come back. Empty: it can. */
  unavailable: string;
  inUse: boolean;
}

export interface PointsStatus {
  /** Newest first. */
  points: PointStatus[];
  usedBytes: number;
  /** Why none can be kept here; empty: they can. */
  refusal: string;
  /** The disk is being made as this point was; until that has ended nothing may start on it. Null: it is not. */
  rollingBack: string | null;
}

export type PointCommands = {
  /**
   * Solo and source, or closed: a restore point on this copy and, if it follows, on the partner's, of the same moment. at: the
   * interval at whose end it is, 0: between two writes. alone: why the partner does not have it; empty: it has. Rejects with the
   * operator's reason.
   */
  takePoint(a: { name: string; kind: PointKind; takenAt: number }): Promise<{ at: number; alone: string; heldMs: number }>;
  /** On both, as far as the partner is attached. */
  removePoint(a: { name: string }): Promise<void>;
  /** Null: the disk is not open, and was not before. */
  listPoints(a: Record<string, never>): Promise<PointsStatus | null>;
  /** A read-only NBD export `point-NAME` on a unix socket of mode 0600; it ends by itself when nobody has used it for a while. */
  exportPoint(a: { name: string }): Promise<{ socketPath: string; exportName: string; sizeBytes: number }>;
  endPointExport(a: { name: string }): Promise<void>;
  /**
   * closed: makes the disk as the point was, after a point of kind `rollback` of how it is. Restartable: from the first write on until
   * it has ended `serveSolo` finishes it first.
   */
  rollBack(a: { name: string; takenAt: number }): Promise<{ before: string; writtenBytes: number }>;
};

export type PointEvents = {
  points: PointsStatus;
  /** What the operator should know. */
  pointNews: { text: string };
  rollBackProgress: { name: string; doneBytes: number; totalBytes: number; rateBytesPerS: number };
};
