// The part of the set-up that runs on the pinned Node: native parts, the engine root, the workload, the bundle.
// Each is made only when its inputs have changed, and says in one line what was made and how long it took; nothing when there was
// nothing to do. Started by setup.sh, which holds the machine's set-up lock.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildEngineRoot } from '../engine/build.ts';
import { cacheDirectory } from '../engine/engine-root.ts';
import { hashOfFiles, sourceFiles } from './inputs.ts';
import { buildNativePart, nativeParts } from './native-parts.ts';

const ROOT = join(import.meta.dirname, '../..');

type Say = (line: string) => void;

/** Runs `make` and says what it did, unless it answers false: nothing to do. */
async function timed(say: Say, what: string, make: () => Promise<boolean>): Promise<void> {
  const started = performance.now();
  if (await make()) say(`${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
}

async function prepareBundle(): Promise<boolean> {
  if (!existsSync(join(ROOT, 'appliance/main.ts'))) return false;
  const folders = ['appliance', 'drivers', 'image/bundle'].map((folder) => join(ROOT, folder));
  const addons = nativeParts(ROOT).filter((part) => part.kind === 'addon');
  const inputs = [
    ...folders.flatMap((folder) => sourceFiles(folder, /\.(ts|tsx|css|html|svg|png|json)$/)),
    ...addons.map((part) => part.output),
    join(ROOT, 'package-lock.json'),
  ];
  const wanted = hashOfFiles(inputs, ROOT);
  const stamp = join(ROOT, 'dist/.inputs');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return false;
  // Imported only when needed: esbuild is the slowest thing to load here.
  const { buildBundle } = await import('../bundle/build.ts');
  await buildBundle();
  writeFileSync(stamp, wanted);
  return true;
}

async function prepareGuest(engineRoot: string): Promise<boolean> {
  const builder = join(ROOT, 'hwqual/lab/guest/build.ts');
  if (!existsSync(builder)) return false;
  const { buildGuest } = await import('../../hwqual/lab/guest/build.ts');
  const started = performance.now();
  await buildGuest({ root: engineRoot, out: cacheDirectory() });
  // It keeps its own result by hash; finding it takes tens of milliseconds, making it seconds.
  return performance.now() - started > 500;
}

export async function prepare(signal: AbortSignal, say: Say): Promise<void> {
  for (const part of nativeParts(ROOT)) await timed(say, `Compiled ${part.name}`, () => buildNativePart(part, ROOT, signal));
  let engineRoot = '';
  await timed(say, 'Made the engine root', async () => {
    const result = await buildEngineRoot(signal, say);
    engineRoot = result.root;
    return result.made;
  });
  await timed(say, 'Built the workload', () => prepareGuest(engineRoot));
  await timed(say, 'Bundled the appliance', prepareBundle);
}

if (import.meta.main) {
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => abort.abort());
  try {
    await prepare(abort.signal, (line) => console.error(line));
  } catch (error) {
    if (abort.signal.aborted) process.exit(130);
    console.error(`\nSet-up stopped: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}
