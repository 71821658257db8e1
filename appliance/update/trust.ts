// How far versions are trusted, and what changes that. Pure: the files on the EFI system partition and what runs in, renamings out; each is one
// step that the loader understands before and after.

import { type BootFile, bootName, TRIES } from './boot-names.ts';
import { UpdateRefusal } from './bundle.ts';
import { compareVersions } from './version.ts';

export interface Renaming {
  from: BootFile;
  to: BootFile;
}

/** The loader has counted a start of it. */
export function isOnTrial(file: BootFile | undefined): boolean {
  return file?.count != null && file.count.done > 0;
}

export function runningFile(files: readonly BootFile[], running: string): BootFile | undefined {
  const own = files.filter((f) => !f.staged && f.version === running);
  return own.find((f) => f.count === null) ?? own[0];
}

/** The version in the other slot. */
export function otherFile(files: readonly BootFile[], running: string): BootFile | undefined {
  return files.find((f) => !f.staged && f.version !== running);
}

/** The received version is tried from the next start on. Throws UpdateRefusal when none was received. */
export function activation(files: readonly BootFile[], running: string): Renaming[] {
  const next = waitingFile(files, running);
  if (!next) throw new UpdateRefusal('nothing', 'No update waits to be started: install one first (twinstep update install FILE).');
  return prefer(files, running, next);
}

/** A version that waits to be tried at the next start waits for `activation` again: while a pair is updated, nothing but its order starts it. */
export function holding(files: readonly BootFile[], running: string): Renaming[] {
  const next = files.find((f) => !f.staged && f.version !== running && isUntried(f));
  if (!next) return [];
  const now = runningFile(files, running);
  // Of an older version that was wished, the running one had been put behind it.
  const back = now?.count?.left === 0 && now.count.done === 0 ? [{ from: now, to: { ...now, count: null } }] : [];
  return [...back, { from: next, to: { ...next, count: null, staged: true } }];
}

/** Whole on the disk and not tried yet. */
export function waitingFile(files: readonly BootFile[], running: string): BootFile | undefined {
  return files.find((f) => f.staged) ?? files.find((f) => f.version !== running && isUntried(f));
}

/** Tried here and left again, damaged, or gone back from. */
export function givenUpFile(files: readonly BootFile[], running: string): BootFile | undefined {
  return files.find((f) => !f.staged && f.version !== running && f.count?.left === 0);
}

/** The version in the other slot is tried from the next start on. Throws UpdateRefusal when it is not there, or was found bad. */
export function rollback(files: readonly BootFile[], running: string, force: boolean): Renaming[] {
  const other = otherFile(files, running);
  if (!other) throw new UpdateRefusal('nothing', `There is no other version than ${running} on this server to go back to.`);
  // Without a start behind it the mark is only somebody's earlier wish, or the initrd's, which looks again.
  if (other.count?.left === 0 && other.count.done > 0 && !force)
    throw new UpdateRefusal(
      'nothing',
      `Version ${other.version} is not taken: ${badText(other)}. To try it all the same, force it (--force).`,
      { canForce: true },
    );
  return prefer(files, running, other);
}

/** Makes `wanted` the one that the loader takes, and the running one that which it falls back to. */
function prefer(files: readonly BootFile[], running: string, wanted: BootFile): Renaming[] {
  const now = runningFile(files, running);
  if (!now)
    throw new UpdateRefusal(
      'disk',
      `The running version ${running} has no file on the EFI system partition: it could not be gone back to. Write the image anew.`,
    );
  const to = wanted.count === null && !wanted.staged ? wanted : { ...wanted, count: { left: TRIES, done: 0 }, staged: false };
  const isNewer = compareVersions(wanted.version, running) > 0;
  // Of two good ones the loader takes the newer; so an older one that is wanted needs the newer one out of its way. That is last in the
  // loader's order, and first again when the older one has no try left.
  const steps = [{ from: wanted, to }, ...(isNewer ? [] : [{ from: now, to: { ...now, count: { left: 0, done: 0 } } }])];
  return steps.filter((step) => bootName(step.from) !== bootName(step.to));
}

function isUntried(file: BootFile): boolean {
  return file.count !== null && file.count.left > 0 && file.count.done === 0;
}

/** The running version has shown that it works: it is no longer counted. */
export function goodMark(files: readonly BootFile[], running: string): Renaming[] {
  const now = runningFile(files, running);
  // Without a start behind it a count is somebody's wish for the next one, which stays.
  return now && isOnTrial(now) ? [{ from: now, to: { ...now, count: null } }] : [];
}

/** Before the other slot is overwritten: nothing may lead there, and the running version stays whatever was wished. */
export function clearing(files: readonly BootFile[], running: string): { rename: Renaming[]; remove: BootFile[] } {
  const now = runningFile(files, running);
  if (!now)
    throw new UpdateRefusal(
      'disk',
      `The running version ${running} has no file on the EFI system partition: write the image to this disk anew.`,
    );
  return {
    rename: now.count === null ? [] : [{ from: now, to: { ...now, count: null } }],
    remove: files.filter((f) => f !== now),
  };
}

export function badText(file: BootFile): string {
  const done = file.count?.done ?? 0;
  if (done === 0) return 'its slot is damaged, or it was gone back from';
  return `it was started ${done === 1 ? 'once' : `${done} times`} and was not found healthy`;
}
