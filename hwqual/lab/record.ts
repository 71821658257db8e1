// The one file that says that a lab exists, and whose it is: made first, removed last.
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { LabError } from './lab-error.ts';
import { identify, isAlive, type ProcessIdentity } from './processes.ts';
import { type LabSettings, labPaths } from './settings.ts';

export interface LabRecord {
  /** The process that holds the lab. */
  supervisor: ProcessIdentity;
  /** What it has started and must not outlive it. */
  processes: ProcessIdentity[];
}

export function readRecord(settings: LabSettings): LabRecord | null {
  try {
    const value = JSON.parse(readFileSync(labPaths(settings).record, 'utf8')) as Partial<LabRecord>;
    return value.supervisor === undefined ? null : { supervisor: value.supervisor, processes: value.processes ?? [] };
  } catch {
    return null;
  }
}

/** The living process that holds this lab; undefined: none does. */
export function runningSupervisor(settings: LabSettings): number | undefined {
  const record = readRecord(settings);
  return record !== null && isAlive(record.supervisor) ? record.supervisor.pid : undefined;
}

/** Takes the lab for this process. Throws when another one has it. Call `sweep` before: it removes the record of a dead one. */
export function claimLab(settings: LabSettings): void {
  mkdirSync(settings.directory, { recursive: true, mode: 0o700 });
  const record: LabRecord = { supervisor: identify(process.pid), processes: [] };
  try {
    const fd = openSync(labPaths(settings).record, 'wx', 0o600);
    writeFileSync(fd, JSON.stringify(record));
    closeSync(fd);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw alreadyRuns(settings, runningSupervisor(settings));
  }
}

export function alreadyRuns(settings: LabSettings, pid: number | undefined): LabError {
  const flag = settings.instance === '0' ? '' : ` --instance ${settings.instance}`;
  return new LabError(`a pair already runs here (pid ${pid ?? 'unknown'})`, `npm run lab -- down${flag}`);
}

export function recordProcesses(settings: LabSettings, pids: readonly number[]): void {
  const record: LabRecord = { supervisor: identify(process.pid), processes: pids.map(identify) };
  const { record: path } = labPaths(settings);
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

export function removeRecord(settings: LabSettings): void {
  rmSync(labPaths(settings).record, { force: true });
}
