// Makes the program that a CoServer runs: dist/twinstep.mjs (one file, also the code of every worker thread), dist/native/ (addons)
// and dist/web/, dist/setup/ (the browser's parts of the console and of the first start). Built beside its final place and renamed; the same sources give the same bytes,
// so nothing is built when the sources are those of the bundle that is there.
import { copyFileSync, existsSync, globSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashOfFiles, sourceFiles } from '../setup/inputs.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Folders of the browser's parts, and where they come to. */
export const PAGES = { web: join(ROOT, 'appliance/console/web'), setup: join(ROOT, 'appliance/setup/web') };

/** The bundle is an ES module; what it contains is partly CommonJS and asks for `require`, `__filename` and `__dirname`. */
const BANNER = [
  "import { createRequire as __createRequire } from 'node:module';",
  "import { dirname as __pathDirname } from 'node:path';",
  "import { fileURLToPath as __fileURLToPath } from 'node:url';",
  'const require = __createRequire(import.meta.url);',
  'const __filename = __fileURLToPath(import.meta.url);',
  'const __dirname = __pathDirname(__filename);',
].join('\n');

export interface BundleOptions {
  /** Program's entry. Default: appliance/main.ts. */
  entry?: string;
  /** Folder of a browser's part, to come to `web`. Default: those of console and first start; passed over when there is none. */
  web?: string;
  /** Where to put the result; what was there is replaced. Default: dist. */
  outDirectory?: string;
  /** A folder with native addons, at the same places as in the repository: taken instead of this machine's own. */
  addons?: string;
}

export interface Bundle {
  program: string;
  /** False: the bundle there was already made of these sources. */
  made: boolean;
}

function packageVersion(): string {
  return (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
}

/** Throws with esbuild's own message, which names file and line. */
export async function buildBundle(options: BundleOptions = {}): Promise<Bundle> {
  const entry = options.entry ?? join(ROOT, 'appliance/main.ts');
  const pages = options.web === undefined ? PAGES : { web: options.web };
  const out = options.outDirectory ?? join(ROOT, 'dist');
  const inputs = inputsHash(entry, Object.values(pages), options.addons);
  const stamp = join(out, '.inputs');
  const program = join(out, 'twinstep.mjs');
  if (existsSync(program) && existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs) return { program, made: false };

  // Loaded only when needed: this is half of what a set-up with nothing to do would take.
  const { nativeAddons } = await import('./native-addons.ts');
  const { build } = await import('esbuild');
  const work = `${out}.building-${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    await build({
      absWorkingDir: ROOT,
      entryPoints: [entry],
      outfile: join(work, 'twinstep.mjs'),
      bundle: true,
      platform: 'node',
      target: 'node24',
      format: 'esm',
      sourcemap: 'linked',
      legalComments: 'none',
      banner: { js: BANNER },
      define: { TWINSTEP_VERSION: JSON.stringify(packageVersion()) },
      plugins: [nativeAddons(work, options.addons === undefined ? undefined : { of: ROOT, from: options.addons })],
      logLevel: 'silent',
    });
    for (const [name, source] of Object.entries(pages))
      if (existsSync(join(source, 'index.html'))) await buildPage(source, join(work, name));
    writeFileSync(join(work, 'package.json'), '{"type":"module"}\n');
    writeFileSync(join(work, '.inputs'), inputs);
    replaceDirectory(work, out);
    return { program, made: true };
  } catch (error) {
    rmSync(work, { recursive: true, force: true });
    throw error;
  }
}

/** Everything that can change a byte of the result. */
function inputsHash(entry: string, pages: readonly string[], instead?: string): string {
  const code = ['appliance', 'drivers', 'hwqual/burn-in', 'hwqual/checks', 'hwqual/profiles', 'hwqual/qualify', 'image/bundle'].flatMap(
    (folder) => sourceFiles(join(ROOT, folder), /\.(tsx?|css|html|svg|png|ico|json)$/),
  );
  const own = existsSync(join(ROOT, 'drivers'))
    ? readdirSync(join(ROOT, 'drivers')).flatMap((driver) => sourceFiles(join(ROOT, 'drivers', driver, 'native/build'), /\.node$/))
    : [];
  const addons = instead === undefined ? own : globSync('**/*.node', { cwd: instead }).map((file) => join(instead, file));
  const outside = [entry, ...pages.flatMap((page) => sourceFiles(page, /./))].filter((file) => !code.includes(file));
  return hashOfFiles([...code, ...addons, ...outside, join(ROOT, 'package.json'), join(ROOT, 'package-lock.json')], ROOT);
}

/** It works without a network beside the appliance: everything is in these files. */
export async function buildPage(source: string, target: string): Promise<void> {
  const { build } = await import('esbuild');
  const script = ['app.tsx', 'main.tsx', 'index.tsx'].find((name) => existsSync(join(source, name)));
  if (!script) throw new Error(`${source} has an index.html but none of app.tsx, main.tsx, index.tsx`);
  const entryPoints = [{ in: join(source, script), out: 'app' }];
  if (existsSync(join(source, 'style.css'))) entryPoints.push({ in: join(source, 'style.css'), out: 'style' });
  await build({
    absWorkingDir: ROOT,
    entryPoints,
    outdir: target,
    bundle: true,
    platform: 'browser',
    target: 'es2022',
    format: 'esm',
    minify: true,
    sourcemap: 'linked',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    logLevel: 'silent',
  });
  // One icon for all.
  copyFileSync(join(PAGES.web, 'icon.svg'), join(target, 'icon.svg'));
  const plain = readdirSync(source).filter((name) => /\.(html|svg|png|ico|webmanifest)$/.test(name));
  for (const name of plain) copyFileSync(join(source, name), join(target, name));
}

function replaceDirectory(from: string, to: string): void {
  const old = `${to}.old-${process.pid}`;
  rmSync(old, { recursive: true, force: true });
  if (existsSync(to)) renameSync(to, old);
  renameSync(from, to);
  rmSync(old, { recursive: true, force: true });
}

if (import.meta.main) {
  const { program, made } = await buildBundle();
  console.log(`${program} ${made ? 'built' : 'is up to date'}`);
}
