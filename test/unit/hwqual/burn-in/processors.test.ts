// A core that computes wrong cannot be had: a kernel that answers wrong takes its place.
import t from 'tap';
import { KERNELS, type Kernel } from '../../../../hwqual/burn-in/processor-kernels.ts';
import { processorWork } from '../../../../hwqual/burn-in/processor-work.ts';
import { judgeProcessors } from '../../../../hwqual/burn-in/processors.ts';

const CPU = 0;
/** One round: the work looks at `stop` after each. */
const once = AbortSignal.abort();

t.test('each kernel gives the known answer, which another program computed', async (t) => {
  for (const { name, answer, compute } of KERNELS) t.equal(compute(), answer, name);
});

t.test('a core that is right passes', async (t) => {
  const figures = await processorWork({ cpu: CPU }, once, () => {});
  t.match(figures, { cpu: CPU, rounds: 1, wrong: 0, examples: [] });
  t.match(judgeProcessors([figures]), { verdict: 'pass', figures: { cores: 1, rounds: 1, wrongAnswers: 0 } });
});

t.test('one wrong bit in one kernel of one core fails, and names core and kernel', async (t) => {
  const wrong: Kernel = { name: 'float', answer: '3fe04137edee8814', compute: () => '3fe04137edee8815' };
  const good = await processorWork({ cpu: CPU }, once, () => {}, KERNELS.slice(0, 1));
  const bad = await processorWork({ cpu: 1 }, once, () => {}, [...KERNELS.slice(0, 1), wrong]);
  t.strictSame(bad.examples, [{ cpu: 1, kernel: 'float', round: 0, expected: wrong.answer, found: '3fe04137edee8815' }]);
  const { verdict, reason, figures } = judgeProcessors([good, bad]);
  t.equal(verdict, 'fail');
  t.match(reason, /core 1 computed wrong: float/);
  t.equal(figures.wrongAnswers, 1);
});
