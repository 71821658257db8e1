// What the kernel says of requests that disks did not serve, and of file systems that met errors. The intuition: one bad sector is
// repaired from the other copy and forgotten; a disk that fails again and again within minutes is dying.
//
// One bad sector makes up to a few lines (read ahead, then page by page), so reads count to five. A disk remaps a bad sector by itself when
// it is written: one that still refuses a write has nothing left to remap with, or is going from its cable, so two are enough.
// Once told, it stays until the window has been without any error: a disk that fails now and then stays one fault.
import { countEvents, FRESH_RATE, inWindow, type RateMemory } from './rates.ts';
import type { Diagnosis, DiskErrorReading, FileSystemReading, Finding } from './types.ts';

type Operation = DiskErrorReading['operation'];

interface Errors {
  rate: RateMemory;
  isTold: boolean;
  last: string;
}
export interface DiskErrorsMemory {
  /** By operation and disk. */
  errors: ReadonlyMap<string, Errors & { disk: string; operation: Operation }>;
  /** By device. */
  fileSystems: ReadonlyMap<string, { at: number; text: string }>;
}
export const FRESH_DISK_ERRORS: DiskErrorsMemory = { errors: new Map(), fileSystems: new Map() };

export const DISK_ERRORS_WINDOW_MS = 300_000;
export const ERRORS_AT_LEAST: Record<Operation, number> = { read: 5, write: 2 };
/** An error in a file system is there until it is repaired, which the kernel does not tell: as long as other events are told. */
const FILE_SYSTEM_MS = 3_600_000;
/** More than a server has disks: names come from the log, and must not fill the memory. */
const PLACES_LIMIT = 64;

export function diagnoseDiskErrors(
  memory: DiskErrorsMemory,
  { errors, fileSystems }: { errors: readonly DiskErrorReading[]; fileSystems: readonly FileSystemReading[] },
  at: number,
): Diagnosis<DiskErrorsMemory> {
  const known = new Map(memory.errors);
  for (const { disk, operation } of errors) {
    const key = `${operation} ${disk}`;
    if (!known.has(key) && known.size < PLACES_LIMIT) known.set(key, { disk, operation, rate: FRESH_RATE, isTold: false, last: '' });
  }
  const next: [string, Errors & { disk: string; operation: Operation }][] = [];
  const findings: Finding[] = [];
  for (const [key, before] of known) {
    const mine = errors.filter((e) => e.disk === before.disk && e.operation === before.operation);
    const own = mine.filter((e) => !e.isEcho);
    // The layers above tell the same once more: theirs count where the disk's own line was left out (the kernel prints a few in a row only).
    const rate = countEvents(before.rate, Math.max(own.length, mine.length - own.length), at, DISK_ERRORS_WINDOW_MS);
    const count = inWindow(rate);
    if (count === 0) continue;
    const isTold = before.isTold || count >= ERRORS_AT_LEAST[before.operation];
    const last = (own.at(-1) ?? mine.at(-1))?.text ?? before.last;
    next.push([key, { ...before, rate, isTold, last }]);
    if (isTold)
      findings.push({
        code: before.operation === 'read' ? 'diskReadErrors' : 'diskWriteErrors',
        where: before.disk,
        detail: `${count} in the last five minutes: ${last}`,
      });
  }
  const systems = new Map([...memory.fileSystems].filter(([, seen]) => at - seen.at < FILE_SYSTEM_MS));
  for (const { device, text } of fileSystems) if (systems.has(device) || systems.size < PLACES_LIMIT) systems.set(device, { at, text });
  for (const [device, { text }] of systems) findings.push({ code: 'fileSystemErrors', where: device, detail: text });
  return { memory: { errors: new Map(next), fileSystems: systems }, findings };
}
