// The names of the programs of the boot, and which of them the boot loader takes. Pure.
//
// A name carries how much a version is trusted (systemd: "Automatic Boot Assessment"): the loader renames a counted one before it starts it.
//
//   twinstep_1.2.0.efi            good
//   twinstep_1.2.0+3.efi          to be tried, three times at most -> +2-1 -> +1-2 -> +0-3: tried three times, never found healthy
//   twinstep_1.2.0+0.efi          not wanted: its slot is damaged, or the operator went back
//   twinstep_1.2.0.efi.new        whole, and its slot too, but the loader does not see it yet
import { compareVersions, isVersion } from './version.ts';

/** Starts of a new version before the loader goes back to the old one: one may be spoilt by a power failure, and one by its repair. */
export const TRIES = 3;

export interface BootFile {
  version: string;
  /** null: not counted, good. */
  count: { left: number; done: number } | null;
  /** Not for the loader yet. */
  staged: boolean;
}

export function bootName({ version, count, staged }: BootFile): string {
  const counted = count === null ? '' : `+${count.left}${count.done > 0 ? `-${count.done}` : ''}`;
  return `twinstep_${version}${counted}.efi${staged ? '.new' : ''}`;
}

/** null: another file. FAT knows no upper and lower case. */
export function parseBootName(name: string): BootFile | null {
  const [, version = '', left, done = '0', staged] =
    /^twinstep_(\d+\.\d+\.\d+)(?:\+(\d{1,9})(?:-(\d{1,9}))?)?\.efi(\.new)?$/i.exec(name) ?? [];
  if (!isVersion(version)) return null;
  return { version, count: left === undefined ? null : { left: Number(left), done: Number(done) }, staged: staged !== undefined };
}

/** The loader's order (`boot_entry_compare` of systemd-boot 257): what has no try left comes last; then the newest first. */
export function bootOrder(files: readonly BootFile[]): BootFile[] {
  const isLast = (f: BootFile) => (f.count?.left === 0 ? 1 : 0);
  return files
    .filter((f) => !f.staged)
    .sort((a, b) => isLast(a) - isLast(b) || compareVersions(b.version, a.version) || byTries(a) - byTries(b));
}

/** Of one version twice, which only an interrupted renaming leaves: more tries left first. */
function byTries(f: BootFile): number {
  return f.count === null ? 0 : -f.count.left;
}

/** What the next start makes of the name of the file it takes. */
export function afterStart(file: BootFile): BootFile {
  if (file.count === null) return file;
  return { ...file, count: { left: Math.max(0, file.count.left - 1), done: file.count.done + 1 } };
}
