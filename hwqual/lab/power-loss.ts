// What a power failure does to files whose disk has a volatile write cache: what was flushed stays, of the rest a random part is lost.
//
// Data is lost by sector of 4 KiB: each sector independently goes back to one of the states it had since the last flush
// (so a write of several sectors may be torn, a sector never). Sizes are kept by a journal, in order: of the size changes
// since the last flush some first ones survive. A lost truncation takes with it everything written after it.
import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { decodeUndoLog, UNDO_HEADER_BYTES, type UndoRecord } from './undo-log.ts';

const SECTOR_BYTES = 4096;

export interface LossPlan {
  /** What to write back, in this order, and then the size. */
  writes: { offset: number; bytes: Uint8Array }[];
  size: number | null;
  unflushedSectors: number;
  lostSectors: number;
}

/** A uniform whole number in [0, below). */
export type Dice = (below: number) => number;

/** mulberry32: the same seed gives the same losses. */
export function seededDice(seed: number): Dice {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}

function changesSize(r: UndoRecord): boolean {
  return r.kind === 'truncate' || (r.kind === 'write' && r.offset + r.length > r.sizeBefore);
}

function undoWhole(r: UndoRecord): LossPlan['writes'] {
  return r.kind === 'synced' || r.old.length === 0 ? [] : [{ offset: r.offset, bytes: r.old }];
}

/** Decides what of one file's unflushed changes is lost. Pure. */
export function planLoss(records: readonly UndoRecord[], dice: Dice): LossPlan {
  // Sizes: all up to the last O_DSYNC write are durable; of the later changes the first `kept` are.
  const lastSynced = records.findLastIndex((r) => r.kind === 'synced');
  const sizeChanges = records.flatMap((r, i) => (i > lastSynced && changesSize(r) ? [i] : []));
  const firstLostSize = sizeChanges[dice(sizeChanges.length + 1)] ?? records.length;
  const lost = records[firstLostSize];
  const size = lost === undefined || lost.kind === 'synced' ? null : lost.sizeBefore;
  const firstLostTruncation = records.findIndex((r, i) => i >= firstLostSize && r.kind === 'truncate');
  const whole = firstLostTruncation < 0 ? records.length : firstLostTruncation;

  const writes: LossPlan['writes'] = [];
  for (let i = records.length - 1; i >= whole; i--) {
    const r = records[i];
    if (r !== undefined) writes.push(...undoWhole(r));
  }

  // Sectors: for each the pieces that may be undone, oldest first.
  const sectors = new Map<number, { offset: number; bytes: Uint8Array }[]>();
  for (const r of records.slice(0, whole)) {
    if (r.kind === 'synced') {
      const last = Math.floor((r.offset + r.length - 1) / SECTOR_BYTES);
      for (let s = Math.floor(r.offset / SECTOR_BYTES); s <= last; s++) sectors.delete(s);
    } else if (r.kind === 'truncate') {
      // A truncation that survived: what lay beyond it is no longer anybody's.
      for (const [s, pieces] of sectors) {
        const kept = pieces.flatMap((p) =>
          p.offset < r.offset ? [{ offset: p.offset, bytes: p.bytes.subarray(0, r.offset - p.offset) }] : [],
        );
        if (kept.length > 0) sectors.set(s, kept);
        else sectors.delete(s);
      }
    } else {
      // Beyond the old end the old bytes are zeros.
      for (let at = r.offset; at < r.offset + r.length; ) {
        const s = Math.floor(at / SECTOR_BYTES);
        const end = Math.min((s + 1) * SECTOR_BYTES, r.offset + r.length);
        const bytes = new Uint8Array(end - at);
        bytes.set(r.old.subarray(at - r.offset, end - r.offset));
        const pieces = sectors.get(s) ?? [];
        pieces.push({ offset: at, bytes });
        sectors.set(s, pieces);
        at = end;
      }
    }
  }
  let lostSectors = 0;
  for (const pieces of sectors.values()) {
    const kept = dice(pieces.length + 1);
    if (kept < pieces.length) lostSectors++;
    for (let i = pieces.length - 1; i >= kept; i--) {
      const piece = pieces[i];
      if (piece !== undefined) writes.push(piece);
    }
  }
  return { writes, size, unflushedSectors: sectors.size, lostSectors };
}

export interface FileLoss {
  path: string;
  unflushedSectors: number;
  lostSectors: number;
  sizeBefore: number;
  sizeAfter: number;
}

function pathsByInode(directories: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const directory of directories)
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      found.set(String(statSync(path, { bigint: true }).ino), path);
    }
  return found;
}

function applyPlan(path: string, plan: LossPlan): { sizeBefore: number; sizeAfter: number } {
  const sizeBefore = statSync(path).size;
  const sizeAfter = plan.size ?? sizeBefore;
  const fd = openSync(path, 'r+');
  try {
    // First to the final size, so that nothing is written back beyond it by mistake and a lost truncation has its room.
    if (sizeAfter !== sizeBefore) ftruncateSync(fd, sizeAfter);
    for (const { offset, bytes } of plan.writes) {
      const length = Math.min(bytes.length, sizeAfter - offset);
      if (length > 0) writeSync(fd, bytes, 0, length, offset);
    }
  } finally {
    closeSync(fd);
  }
  return { sizeBefore, sizeAfter };
}

/**
 * Applies a power failure: undoes a random part of what the logs in `undoLogDir` hold, then deletes them. The files are found by inode
 * below `directories` (as the host sees them); a log whose file is gone is dropped. No process may have the files open.
 * The same seed and logs give the same losses.
 */
export function applyPowerLoss(undoLogDir: string, directories: readonly string[], seed: number): FileLoss[] {
  const dice = seededDice(seed);
  const paths = pathsByInode(directories);
  const losses: FileLoss[] = [];
  const logs = readdirSync(undoLogDir)
    .filter((name) => name.endsWith('.undo'))
    .sort();
  for (const name of logs) {
    const logPath = join(undoLogDir, name);
    const bytes = readFileSync(logPath);
    // Killed while it made the header: nothing was written through it yet.
    const isEmpty = bytes.length < UNDO_HEADER_BYTES || bytes.readBigUInt64LE(0) === 0n;
    const log = isEmpty ? null : decodeUndoLog(bytes);
    const path = log === null ? undefined : paths.get(String(log.inode));
    if (log !== null && path !== undefined && log.records.length > 0) {
      const plan = planLoss(log.records, dice);
      losses.push({ path, unflushedSectors: plan.unflushedSectors, lostSectors: plan.lostSectors, ...applyPlan(path, plan) });
    }
    unlinkSync(logPath);
  }
  return losses;
}
