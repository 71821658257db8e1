// One core, kept busy with known answers until told to stop.
import { setImmediate as turn } from 'node:timers/promises';
import { setThreadCpu } from '../../drivers/ethernet/index.ts';
import { KERNELS, type Kernel } from './processor-kernels.ts';

export interface ProcessorSetup {
  cpu: number;
}

export interface WrongAnswer {
  cpu: number;
  kernel: string;
  round: number;
  expected: string;
  found: string;
}

export interface ProcessorFigures {
  cpu: number;
  /** False: the kernel refused it; the thread ran wherever it was put. */
  pinned: boolean;
  rounds: number;
  wrong: number;
  /** The first ones. */
  examples: WrongAnswer[];
  busyMs: number;
}

const EXAMPLES_MAX = 8;
const TELL_MS = 500;

/** @param kernels Other ones in tests: a core that computes wrong cannot be had otherwise. */
export async function processorWork(
  { cpu }: ProcessorSetup,
  stop: AbortSignal,
  tell: (figures: ProcessorFigures) => void,
  kernels: readonly Kernel[] = KERNELS,
): Promise<ProcessorFigures> {
  const figures: ProcessorFigures = { cpu, pinned: true, rounds: 0, wrong: 0, examples: [], busyMs: 0 };
  try {
    setThreadCpu(cpu);
  } catch {
    figures.pinned = false;
  }
  let toldMs = performance.now();
  // One round at least: a verdict over nothing would be none.
  do {
    for (const { name, answer, compute } of kernels) {
      const startedMs = performance.now();
      const found = compute();
      figures.busyMs += performance.now() - startedMs;
      if (found === answer) continue;
      figures.wrong++;
      if (figures.examples.length < EXAMPLES_MAX)
        figures.examples.push({ cpu, kernel: name, round: figures.rounds, expected: answer, found });
    }
    figures.rounds++;
    if (performance.now() - toldMs >= TELL_MS) {
      toldMs = performance.now();
      tell(figures);
    }
    await turn();
  } while (!stop.aborted);
  return figures;
}
