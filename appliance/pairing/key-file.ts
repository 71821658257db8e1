// The pair's key on disk: first as `FILE.pending`, then, by renaming, as FILE. Each step is durable before it is answered: file and folder.
//
//   64 hex digits             the key
//   pair 32 hex digits        the pair it was made for (absent in files that were made by hand)
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export const pendingFileOf = (keyFile: string): string => `${keyFile}.pending`;

const FORM = /^([0-9a-f]{64})\n?(?:pair ([0-9a-f]{32})\n?)?$/;

/** Null: it is no key file. pairId null: the file does not say. */
export function parseKeyFile(text: string): { pairKey: string; pairId: string | null } | null {
  const found = FORM.exec(text);
  return found?.[1] ? { pairKey: found[1], pairId: found[2] ?? null } : null;
}

/** @param pairKey Hex. Throws the file system's error; what was there is then unchanged. */
export function keepPending(keyFile: string, pairKey: string, pairId: string): void {
  mkdirSync(dirname(keyFile), { recursive: true, mode: 0o700 });
  const unfinished = `${pendingFileOf(keyFile)}.new`;
  rmSync(unfinished, { force: true });
  const fd = openSync(unfinished, 'wx', 0o600);
  try {
    writeSync(fd, `${pairKey}\npair ${pairId}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(unfinished, pendingFileOf(keyFile));
  syncFolder(dirname(keyFile));
}

/** Whether a key could be kept, asked before anybody compares codes: a sentence with the remedy, or ''. Changes nothing. */
export function keepingProblem(keyFile: string): string {
  const folder = dirname(keyFile);
  const trial = `${pendingFileOf(keyFile)}.trial`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    closeSync(openSync(trial, 'w', 0o600));
    rmSync(trial);
    return '';
  } catch (error) {
    return `the key cannot be kept in ${folder} (${(error as Error).message}): let pair.keyFile name a file in a folder that can be written`;
  }
}

/** The pending key becomes the key. A process that was stopped in between does it again: nothing is wrong with that. */
export function establishPending(keyFile: string, pairKey: string): void {
  const pending = pendingFileOf(keyFile);
  if (existsSync(pending)) {
    if (parseKeyFile(readFileSync(pending, 'utf8'))?.pairKey !== pairKey)
      throw new Error(`${pending} does not hold the key that was agreed`);
    renameSync(pending, keyFile);
  } else if (!existsSync(keyFile) || parseKeyFile(readFileSync(keyFile, 'utf8'))?.pairKey !== pairKey)
    throw new Error(`${pending} is gone: somebody removed it`);
  syncFolder(dirname(keyFile));
}

/** The key that waits for the partner's proof; null: none, or none for this pair. */
export function loadPending(keyFile: string, pairId: string): string | null {
  const pending = pendingFileOf(keyFile);
  if (!existsSync(pending) || (statSync(pending).mode & 0o077) !== 0) return null;
  const found = parseKeyFile(readFileSync(pending, 'utf8'));
  return found && found.pairId === pairId ? found.pairKey : null;
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
