// When compressing is left and taken up again: by what was measured.
import t from 'tap';
import { PackingChoice } from '../../../../appliance/memory/packing-choice.ts';

const MB = 1024 * 1024;

/** Stretches of 1 MB at these rates (bytes per ms); answers how each went. */
function run(choice: PackingChoice, stretches: number, rates: { packed: number; plain: number }): string {
  let went = '';
  for (let i = 0; i < stretches; i++) {
    const packing = choice.next;
    went += packing === 'packed' ? 'k' : '-';
    choice.measured(packing, MB, MB / rates[packing]);
  }
  return went;
}

t.test('a slow link: compressed; trials stop at their first stretch and become rare', async (t) => {
  const went = run(new PackingChoice(4), 40, { packed: 1000, plain: 200 });
  t.equal(went, `${'k'.repeat(4)}-${'k'.repeat(8)}-${'k'.repeat(16)}-${'k'.repeat(9)}`);
});

t.test('a fast link: plain, and back when the link becomes slow', async (t) => {
  const choice = new PackingChoice(4);
  const went = run(choice, 12, { packed: 500, plain: 1000 });
  t.equal(went, 'kkkk--------', 'after a trial that was faster');
  const slow = run(choice, 40, { packed: 500, plain: 100 });
  t.equal(slow, `kkkk${'-'.repeat(8)}kkkkkkkk-kkkkkkkk-${'k'.repeat(10)}`);
});

t.test('a small gain is not worth it', async (t) => {
  t.equal(run(new PackingChoice(2), 8, { packed: 1000, plain: 1100 }), 'kk----kk');
});

t.test('short stretches and clocks that stand still say nothing', async (t) => {
  const choice = new PackingChoice(1);
  for (let i = 0; i < 10; i++) choice.measured('packed', 1000, 1);
  for (let i = 0; i < 10; i++) choice.measured('packed', MB, 0);
  t.equal(choice.next, 'packed');
});
