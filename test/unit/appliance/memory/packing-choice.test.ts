// When compressing is left and taken up again: by what was measured.
import t from 'tap';
import { PackingChoice } from '../../../../appliance/memory/packing-choice.ts';

const MIB = 1024 * 1024;

/** Stretches of 1 MiB that cost so many ms; answers how each went. */
function run(
  choice: PackingChoice,
  stretches: number,
  costs: { packed: number; plain: number },
  noise: (i: number) => number = () => 0,
): string {
  let went = '';
  for (let i = 0; i < stretches; i++) {
    const packing = choice.next;
    went += packing === 'packed' ? 'k' : '-';
    choice.measured(packing, MIB, costs[packing] + noise(i));
  }
  return went;
}

t.test('a slow link: compressed; trials stop at their first stretch and become rare', async (t) => {
  const went = run(new PackingChoice(4), 40, { packed: 1, plain: 8 });
  t.equal(went, `${'k'.repeat(4)}-${'k'.repeat(8)}-${'k'.repeat(16)}-${'k'.repeat(9)}`);
});

t.test('a fast link: plain, and back when the link becomes slow', async (t) => {
  const choice = new PackingChoice(4);
  t.equal(run(choice, 15, { packed: 4, plain: 2 }), `kkkk${'-'.repeat(11)}`, 'after a trial that was better');
  t.match(
    run(choice, 40, { packed: 4, plain: 30 }),
    /^k{7}-{8}k{11}-k{8}-/,
    'the next trial but one changes it back: the first still compared with the fast link',
  );
});

t.test('a small gain is not worth it, nor is a gain of no time to speak of', async (t) => {
  t.match(run(new PackingChoice(2), 12, { packed: 10, plain: 9 }), /^kk-{7}kkk$/);
  t.match(run(new PackingChoice(2), 12, { packed: 0.6, plain: 0.2 }), /^kk-{7}kkk$/);
});

t.test('single stretches that a busy CPU delayed change nothing', async (t) => {
  const went = run(new PackingChoice(8), 300, { packed: 5, plain: 5 }, (i) => (i % 5 === 0 ? 12 : 0));
  t.notMatch(went, /-{8}/, 'no more than a trial');
});

t.test('short stretches and clocks that stand still say nothing', async (t) => {
  const choice = new PackingChoice(1);
  for (let i = 0; i < 10; i++) choice.measured('packed', 1000, 1);
  for (let i = 0; i < 10; i++) choice.measured('packed', MIB, 0);
  t.equal(choice.next, 'packed');
});
