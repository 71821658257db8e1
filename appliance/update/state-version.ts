// Which version wrote the state last: a file beside it, for the installer, which may put an older version beside a state that only a newer one
// understands. A version that begins writes what it writes, so the newest that ever began counts; one that was found healthy understands what
// is there, so it counts from then on, also after going back to it.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { compareVersions, isVersion } from './version.ts';

/** On the state partition. */
export const STATE_VERSION_FILE = 'state/version';

/** `recordFile`: beside it. */
export const stateVersionFile = (recordFile: string): string => join(dirname(recordFile), 'version');

/** null: not known. */
export function readStateVersion(path: string): string | null {
  try {
    const text = readFileSync(path, 'utf8').trim();
    return isVersion(text) ? text : null;
  } catch {
    return null;
  }
}

/** `isHealthy`: found so; else it begins. A state partition that cannot be written stops nothing: then the installer knows less. */
export function noteStateVersion(path: string, version: string, isHealthy: boolean): void {
  const before = readStateVersion(path);
  if (!isVersion(version) || before === version) return;
  if (!isHealthy && before !== null && compareVersions(before, version) > 0) return;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(`${path}.new`, `${version}\n`, { flush: true });
    renameSync(`${path}.new`, path);
  } catch {
    // As said.
  }
}
