// Many seeds, in this thread or spread over some: each takes the next hundred when it is done with its own.
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { MUTANTS } from './mutants.ts';
import { runSeed } from './scenario.ts';

const BATCH = 200;
const PROGRESS_EVERY = 10_000;

export interface CampaignOptions {
  first: number;
  count: number;
  jobs: number;
  /** Name of the mutant that is run. */
  mutant?: string;
  /** No new seeds after so many failures. */
  stopAfter: number;
  onProgress?: (done: number) => void;
  onFailure?: (failure: { seed: number; violation: string }) => void;
}

export interface CampaignResult {
  done: number;
  failures: { seed: number; violation: string }[];
  /** Of faults, of the operator's help, of what was observed. */
  counts: Record<string, number>;
  faults: number;
  steps: number;
  simulatedMs: number;
}

interface Batch {
  first: number;
  count: number;
}

/** Failures are sorted by seed; with `stopAfter`, later seeds may not have been tried. */
export async function campaign(o: CampaignOptions): Promise<CampaignResult> {
  const total: CampaignResult = { done: 0, failures: [], counts: {}, faults: 0, steps: 0, simulatedMs: 0 };
  let next = o.first;
  const take = (): Batch | null => {
    const count = Math.min(BATCH, o.first + o.count - next);
    if (count <= 0 || total.failures.length >= o.stopAfter) return null;
    next += count;
    return { first: next - count, count };
  };
  const add = (part: CampaignResult): void => {
    const before = total.done;
    total.done += part.done;
    total.failures.push(...part.failures);
    for (const failure of part.failures) o.onFailure?.(failure);
    total.faults += part.faults;
    total.steps += part.steps;
    total.simulatedMs += part.simulatedMs;
    for (const [what, n] of Object.entries(part.counts)) total.counts[what] = (total.counts[what] ?? 0) + n;
    if (Math.floor(before / PROGRESS_EVERY) !== Math.floor(total.done / PROGRESS_EVERY)) o.onProgress?.(total.done);
  };
  const jobs = Math.min(o.jobs, availableParallelism());
  if (jobs <= 1) for (let batch = take(); batch; batch = take()) add(run(batch, o.mutant));
  else await Promise.all(Array.from({ length: jobs }, () => inWorker(o.mutant, take, add)));
  total.failures.sort((a, b) => a.seed - b.seed);
  return total;
}

function run({ first, count }: Batch, name: string | undefined): CampaignResult {
  const mutant = MUTANTS.find((m) => m.name === name);
  const part: CampaignResult = { done: 0, failures: [], counts: {}, faults: 0, steps: 0, simulatedMs: 0 };
  for (let seed = first; seed < first + count; seed++) {
    const outcome = runSeed(seed, mutant);
    part.done++;
    part.faults += outcome.faults;
    part.steps += outcome.steps;
    part.simulatedMs += outcome.simulatedMs;
    for (const [what, n] of outcome.counts) part.counts[what] = (part.counts[what] ?? 0) + n;
    const violation = outcome.violation ?? (outcome.needed ? 'the operator had to use force, and had done no harm before' : null);
    if (violation === null || mutant?.because?.test(violation) === false) continue;
    part.failures.push({ seed, violation });
    // A mutant is caught once; whether the core is wrong is asked of every seed.
    if (mutant) break;
  }
  return part;
}

async function inWorker(mutant: string | undefined, take: () => Batch | null, add: (part: CampaignResult) => void): Promise<void> {
  const worker = new Worker(import.meta.filename, { workerData: { mutant: mutant ?? null } });
  try {
    for (let batch = take(); batch; batch = take()) {
      const answer = new Promise<CampaignResult>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      worker.postMessage(batch);
      add(await answer);
      worker.removeAllListeners('error');
    }
  } finally {
    await worker.terminate();
  }
}

if (!isMainThread && parentPort) {
  const port = parentPort;
  const { mutant } = workerData as { mutant: string | null };
  port.on('message', (batch: Batch) => port.postMessage(run(batch, mutant ?? undefined)));
}
