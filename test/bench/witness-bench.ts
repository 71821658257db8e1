// `npm run bench -- witness`: a real witness process with its log on this machine's disk, many pairs connected, each grant
// durable before it is said. One pair alone, then all at once: every pair claims again as soon as it has its answer.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { deriveKey } from '../../appliance/wire/keys.ts';
import { WitnessClient } from '../../appliance/witness/client.ts';
import { PairFolder } from '../../appliance/witness/enrolment.ts';
import { saveReport } from './save-report.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Of a CoServer whose claim was not answered. */
const RETRY_MS = 250;
const HOST = '127.0.0.1';
/** A witness says within this time that it listens, or its output says why not. */
const START_WITHIN_MS = 30_000;

export interface WitnessBenchOptions {
  pairs: number;
  seconds: number;
  /** Where the state is kept meanwhile: the disk that is measured. */
  folder: string;
  out: string;
  say: (text: string) => void;
}

interface Figures {
  what: string;
  unanswered: number;
  grants: number;
  perS: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

/** One pair with both its connections; A runs alone and claims generation after generation. */
class BenchPair {
  readonly #a: WitnessClient;
  readonly #b: WitnessClient;
  #generation = 1;
  readonly ready: Promise<unknown>;
  /** Claims without an answer in time: asked again after a while, as a CoServer does. */
  unanswered = 0;

  constructor(pairs: PairFolder, port: number) {
    const pairKey = randomBytes(32);
    const pairId = randomBytes(16).toString('hex');
    pairs.add({ pairId, key: deriveKey(pairKey, 'witness') });
    const ready: Promise<void>[] = [];
    const client = (coServer: 'A' | 'B') => {
      let resolve: () => void = () => undefined;
      ready.push(new Promise<void>((r) => (resolve = r)));
      const onStanding = ({ confirmed }: { confirmed: boolean }) => confirmed && resolve();
      const incarnation = randomBytes(8).toString('hex');
      return new WitnessClient({ address: HOST, port, pairId, pairKey, coServer, incarnation, onReachable: () => undefined, onStanding });
    };
    this.#a = client('A');
    this.#b = client('B');
    this.#a.setReport({ generation: 1, state: 'simplex' });
    this.#b.setReport({ generation: 1, state: 'stopped' });
    this.ready = Promise.all(ready);
  }

  /** The time of each grant, ms. */
  async claimUntil(end: number, times: number[]): Promise<void> {
    while (performance.now() < end) {
      const at = performance.now();
      const answer = await this.#a.claim(this.#generation).catch(() => null);
      if (answer === null) {
        this.unanswered++;
        await setTimeout(RETRY_MS);
        continue;
      }
      if (answer.kind !== 'granted') throw new Error(`the witness answered ${answer.kind}: ${answer.reason}`);
      times.push(performance.now() - at);
      this.#generation = answer.generation;
    }
  }

  close(): void {
    this.#a.close();
    this.#b.close();
  }
}

/** Measures, prints a table, writes it with its circumstances. Answers the files. */
export async function benchWitness({ pairs: count, seconds, folder, out, say }: WitnessBenchOptions): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const state = mkdtempSync(join(folder, 'witness-bench-'));
  const pairs: BenchPair[] = [];
  let witness: ChildProcess | null = null;
  const loadAtStart = loadavg()[0] ?? 0;
  try {
    const port = 20_000 + (process.pid % 20_000);
    witness = await startWitnessProcess(port, state);
    say(`${count} pairs connect, two connections each`);
    const folderOfPairs = new PairFolder(state);
    const connecting = performance.now();
    for (let i = 0; i < count; i++) pairs.push(new BenchPair(folderOfPairs, port));
    await Promise.all(pairs.map((p) => p.ready));
    const connectedMs = performance.now() - connecting;
    say(`all are confirmed after ${Math.round(connectedMs)} ms`);
    const figures = [
      await measure('one pair claims', pairs.slice(0, 1), seconds),
      await measure(`${count} pairs claim at once`, pairs, seconds),
    ];
    const report = {
      at: new Date().toISOString(),
      machine: { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: cpus().length, kernel: release(), node: process.version, loadAtStart },
      pairs: count,
      connections: 2 * count,
      seconds,
      allConfirmedAfterMs: connectedMs,
      figures,
    };
    const table = markdownTable(figures);
    process.stdout.write(`${table}\n`);
    const load = loadAtStart > 1 ? ` Others were at work on this machine (load ${loadAtStart.toFixed(1)}): noise.` : '';
    const text = `# Grants of the witness\n\n${report.at}, ${report.machine.cores} cores of ${report.machine.cpu}, Linux ${release()}, Node ${process.version}. ${count} pairs with ${2 * count} connections, clients on the same machine, each grant flushed to disk.${load}\n\n${table}\nFrom the first connection until all pairs are confirmed: ${Math.round(connectedMs)} ms.\n`;
    return saveReport(out, 'witness', report, [], () => text);
  } finally {
    for (const p of pairs) p.close();
    witness?.kill('SIGKILL');
    rmSync(state, { recursive: true, force: true });
  }
}

async function measure(what: string, pairs: BenchPair[], seconds: number): Promise<Figures> {
  const times: number[] = [];
  for (const p of pairs) p.unanswered = 0;
  const start = performance.now();
  await Promise.all(pairs.map((p) => p.claimUntil(start + seconds * 1000, times)));
  const elapsedS = (performance.now() - start) / 1000;
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  const unanswered = pairs.reduce((sum, p) => sum + p.unanswered, 0);
  return { what, unanswered, grants: times.length, perS: times.length / elapsedS, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

function markdownTable(figures: readonly Figures[]): string {
  const rows = figures.map(
    (f) =>
      `| ${f.what.padEnd(24)} | ${String(f.grants).padStart(7)} | ${f.perS.toFixed(0).padStart(8)} | ${[f.p50Ms, f.p99Ms, f.maxMs].map((ms) => ms.toFixed(2).padStart(7)).join(' | ')} | ${String(f.unanswered).padStart(10)} |\n`,
  );
  return `| what                     |  grants | per s    | p50 ms  | p99 ms  | max ms  | unanswered |\n| ------------------------ | ------- | -------- | ------- | ------- | ------- | ---------- |\n${rows.join('')}`;
}

/** The same program that an operator starts; resolves when it listens. */
export async function startWitnessProcess(port: number, state: string): Promise<ChildProcess> {
  const args = ['--no-warnings', join(ROOT, 'appliance/main.ts'), 'witness', '--listen', `${HOST}:${port}`, '--state', state];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const lines = createInterface({ input: child.stdout });
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const abort = new AbortController();
    setTimeout(START_WITHIN_MS, null, { signal: abort.signal }).then(
      () => reject(new Error(`the witness does not listen: ${said.join('; ')}`)),
      () => undefined,
    );
    lines.on('line', (line) => {
      if (said.length < 20) said.push(line);
      if (!line.includes('listens on')) return;
      abort.abort();
      resolve();
    });
    child.once('exit', () => {
      abort.abort();
      reject(new Error(`the witness ended: ${said.join('; ')}`));
    });
  });
  return child;
}
