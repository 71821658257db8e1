// Every core computes what is known beforehand; one difference is a fail.
import { allowedCpus } from '../../drivers/ethernet/index.ts';
import { type BurnInTest, outcome, rounded, type TestContext } from './context.ts';
import type { ProcessorFigures } from './processor-work.ts';
import type { TestResult } from './result.ts';
import { startWork } from './worker.ts';

export const processors: BurnInTest = { id: 'processors', title: 'processors', run };

async function run({ options, stop, show }: TestContext): Promise<TestResult> {
  const now = new Map<number, ProcessorFigures>();
  const cores = await Promise.all(
    allowedCpus().map((cpu) =>
      startWork<ProcessorFigures>({
        program: options.program,
        setup: { work: 'processor', cpu },
        stop,
        onFigures: (figures) => {
          now.set(cpu, figures);
          const all = [...now.values()];
          show(`${all.length} cores, ${sum(all, 'rounds')} rounds of known answers, ${sum(all, 'wrong')} wrong`);
        },
      }),
    ),
  );
  return judgeProcessors(cores);
}

export function judgeProcessors(cores: readonly ProcessorFigures[]): TestResult {
  const wrong = sum(cores, 'wrong');
  const unpinned = cores.filter((c) => !c.pinned).length;
  const figures = {
    cores: cores.length,
    rounds: sum(cores, 'rounds'),
    fewestRoundsOfACore: Math.min(...cores.map((c) => c.rounds)),
    wrongAnswers: wrong,
    busyS: rounded(sum(cores, 'busyMs') / 1000),
    coresNotPinned: unpinned,
  };
  const example = cores.flatMap((c) => c.examples)[0];
  if (example) {
    const bad = cores.filter((c) => c.wrong > 0).map((c) => c.cpu);
    return outcome(
      processors,
      'fail',
      `core ${bad.join(', ')} computed wrong: ${example.kernel} gave ${example.found.slice(0, 16)}... instead of ${example.expected.slice(0, 16)}... (${wrong} times): replace the processor`,
      figures,
    );
  }
  return outcome(processors, 'pass', `${figures.rounds} rounds on ${cores.length} cores, each answer right`, figures);
}

function sum(cores: readonly ProcessorFigures[], key: 'rounds' | 'wrong' | 'busyMs'): number {
  return cores.reduce((total, c) => total + c[key], 0);
}
