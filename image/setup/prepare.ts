// The part of the set-up that runs on the pinned Node: the engine root, the workload, the bundle.
// Each is made only when its inputs have changed, and says in one line what was made and how long it took; nothing when there was
// nothing to do. Started by setup.sh, which holds the machine's set-up lock.
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildBundle } from '../bundle/build.ts';
import { buildEngineRoot } from '../engine/build.ts';
import { cacheDirectory } from '../engine/engine-root.ts';

const ROOT = join(import.meta.dirname, '../..');

type Say = (line: string) => void;

/** Runs `make` and says what it did, unless it answers false: nothing to do. */
async function timed(say: Say, what: string, make: () => Promise<boolean>): Promise<void> {
  const started = performance.now();
  if (await make()) say(`${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
}

async function prepareBundle(): Promise<boolean> {
  if (!existsSync(join(ROOT, 'appliance/main.ts'))) return false;
  return (await buildBundle()).made;
}

async function prepareGuest(engineRoot: string): Promise<boolean> {
  const builder = join(ROOT, 'hwqual/lab/guest/build.ts');
  if (!existsSync(builder)) return false;
  const { buildGuest } = await import('../../hwqual/lab/guest/build.ts');
  const startedAt = Date.now();
  const { kernel } = await buildGuest({ root: engineRoot, out: cacheDirectory() });
  // It keeps its results by hash, and the folder's time tells whether this one is new.
  return statSync(dirname(kernel)).ctimeMs >= startedAt;
}

export async function prepare(signal: AbortSignal, say: Say): Promise<void> {
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
    if (abort.signal.aborted) process.exit(130); // setup.sh says the rest
    console.error(`\nSet-up stopped: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}
