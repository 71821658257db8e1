// What was wished last, kept over the restart, so that the news can say what became of it.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { BootFile } from './boot-names.ts';
import { isVersion } from './version.ts';

export interface UpdateRecord {
  /** The version that the next start was to take. */
  wanted: string;
  /** The one that ran then. */
  from: string;
  isTold: boolean;
}

export interface News {
  severity: 'info' | 'warning';
  text: string;
}

/** Of what is on the EFI system partition and runs. null: nothing is decided yet. Pure. */
export function newsOf({ wanted, from }: UpdateRecord, files: readonly BootFile[], running: string): News | null {
  if (wanted === from) return null;
  const file = files.find((f) => f.version === wanted && !f.staged);
  if (running === wanted) {
    if (file?.count) return null;
    return { severity: 'info', text: `Version ${wanted} runs and was found healthy; before it ran ${from}.` };
  }
  // Still to come.
  if (file?.count?.left !== 0) return null;
  const { done } = file.count;
  const why =
    done === 0
      ? 'its slot could not be read as it was written'
      : `it was tried ${done === 1 ? 'once' : `${done} times`} and did not become healthy`;
  return { severity: 'warning', text: `Version ${wanted} was given up: ${why}. This CoServer is back on ${running}.` };
}

/** null: none, or none that can be read: then there is no news. */
export function readRecord(path: string): UpdateRecord | null {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<UpdateRecord> | null;
    const { wanted, from, isTold } = value ?? {};
    if (typeof wanted !== 'string' || typeof from !== 'string' || !isVersion(wanted) || !isVersion(from)) return null;
    return { wanted, from, isTold: isTold === true };
  } catch {
    return null;
  }
}

/** A state partition that is full must not stop an update, which may be what helps: then there is no news. */
export function writeRecord(path: string, record: UpdateRecord): boolean {
  return writeKept(path, JSON.stringify(record));
}

/** As before or as after, whenever power goes. False: it could not be written. */
export function writeKept(path: string, data: string | Uint8Array): boolean {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(`${path}.new`, data, { flush: true });
    renameSync(`${path}.new`, path);
    const folder = openSync(dirname(path), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
    return true;
  } catch {
    return false;
  }
}
