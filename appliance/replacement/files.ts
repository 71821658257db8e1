// What of a replacement is on disk, so that a power failure at any moment leaves the pair before it or after it, and nothing in between.
//
//   FILE.replacement ...     as they will be: the key, the configuration, the password of the new server's BMC
//   replacement.json         from here on the replacement counts: at the next start what is not in its place yet is put there
//   FILE ...                 in their places; replacement.json then says so
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { moveInto, putWholeSync } from '../../drivers/files/index.ts';

const FILE = 'replacement.json';
const FILE_MAX_CHARS = 64 * 1024;
/** Servers that were replaced and may come back; each is told. */
export const FORMER_MAX = 4;

/** A server that was replaced. */
export interface Former {
  coServer: 'A' | 'B';
  /** ms since 1970. */
  at: number;
  /** Hex: for the notice only (notice.ts). */
  noticeKey: string;
}

export interface ReplacementRecord {
  /** Newest first. */
  former: readonly Former[];
  /** Still to be put in their places. */
  files: readonly string[];
  /** The new server has been heard under the new key: it needs nothing more to be told. */
  isHeard: boolean;
}

const NOTHING: ReplacementRecord = { former: [], files: [], isHeard: true };

export const stagedOf = (path: string): string => `${path}.replacement`;

/** What was left of an attempt that came to nothing. */
export function clearStaged(paths: readonly string[]): void {
  for (const path of paths) for (const end of ['', '.pending', '.pending.new', '.new']) rmSync(`${stagedOf(path)}${end}`, { force: true });
}

/** Whole and durable beside its place. Throws the file system's error. */
export function stage(path: string, text: string): void {
  putWholeSync(stagedOf(path), text);
}

/** Throws with a sentence when the file cannot be read: a key that was given up must not come back by that. */
export function readRecord(stateDir: string): ReplacementRecord {
  const path = join(stateDir, FILE);
  if (!existsSync(path)) return NOTHING;
  try {
    const text = readFileSync(path, 'utf8');
    if (text.length > FILE_MAX_CHARS) throw new Error('it is too long');
    const { former, files, isHeard } = JSON.parse(text) as Record<string, unknown>;
    if (!Array.isArray(former) || !former.every(isFormer) || !Array.isArray(files) || !files.every((f) => typeof f === 'string'))
      throw new Error('a part is missing');
    return { former, files, isHeard: isHeard === true };
  } catch (error) {
    throw new Error(`${path}, of a server that was replaced, cannot be used: ${(error as Error).message}`);
  }
}

function isFormer(value: unknown): value is Former {
  if (typeof value !== 'object' || value === null) return false;
  const { coServer, at, noticeKey } = value as Record<string, unknown>;
  return (
    (coServer === 'A' || coServer === 'B') && typeof at === 'number' && typeof noticeKey === 'string' && /^[0-9a-f]{64}$/.test(noticeKey)
  );
}

/** From its return on the replacement counts, whatever happens. Throws the file system's error: then nothing has changed. */
export function commitReplacement(stateDir: string, former: Former, files: readonly string[]): void {
  const before = readRecord(stateDir);
  writeRecord(stateDir, { former: [former, ...before.former].slice(0, FORMER_MAX), files, isHeard: false });
  finishReplacement(stateDir);
}

/** At every start, before the configuration is believed. True: files were put in their places, so it is to be read anew. */
export function finishReplacement(stateDir: string): boolean {
  const record = readRecord(stateDir);
  if (record.files.length === 0) return false;
  for (const path of record.files) {
    if (!existsSync(stagedOf(path))) continue;
    moveInto(stagedOf(path), path);
  }
  writeRecord(stateDir, { ...record, files: [] });
  return true;
}

export function noteHeard(stateDir: string): void {
  writeRecord(stateDir, { ...readRecord(stateDir), isHeard: true });
}

const MARK = 'replaced';

/** Of this server: it was replaced itself. Durable when it returns; nothing takes it back but a new installation. */
export function markReplaced(stateDir: string, text: string): void {
  putWholeSync(join(stateDir, MARK), `${text}\n`);
}

/** Null: it was not. */
export function replacedMark(stateDir: string): string | null {
  const path = join(stateDir, MARK);
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : null;
}

function writeRecord(stateDir: string, record: ReplacementRecord): void {
  putWholeSync(join(stateDir, FILE), `${JSON.stringify({ schema: 1, ...record }, null, 1)}\n`);
}
