// What a mirror says of itself each second.
import type { MirrorMode, MirrorStatus } from './api.ts';
import type { OpenCopy } from './open-copy.ts';
import { stuckRequests } from './stuck-requests.ts';

/** A request of the disk, or of a file beside it, that takes longer is shown. */
const LATE_MS = 1_000;

/** o: undefined while closed. */
export function mirrorStatus(mode: MirrorMode, committed: number, o: OpenCopy | undefined): MirrorStatus {
  const lateMs = Math.round(Math.max(o?.watched.oldestMs ?? 0, o?.files.oldestMs ?? 0));
  return {
    mode: mode,
    pendingWrites: o?.guest.partner?.pending ?? 0,
    oldestPendingMs: Math.round(o?.guest.partner?.oldestPendingMs(performance.now()) ?? 0),
    journalBytes: o?.journal.bytes ?? 0,
    overlayBytes: o?.replica?.overlayBytes ?? 0,
    reads: o?.guest.reads ?? 0,
    writes: o?.guest.writes ?? 0,
    flushes: o?.guest.flushes ?? 0,
    writtenBytes: o?.guest.writtenBytes ?? 0,
    committed,
    lateMs: lateMs >= LATE_MS ? lateMs : 0,
    doubt: o?.doubtful.why ?? null,
    stuckRequests: stuckRequests(),
    sizeBytes: o?.disk.sizeBytes ?? 0,
    scrub: o?.scrub.view ?? null,
  };
}
