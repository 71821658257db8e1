import t from 'tap';
import { DEFAULTS, parseOptions } from '../../bench/options.ts';
import { Clock, clockText, visits } from '../../bench/plan.ts';

t.test('flags', async (t) => {
  const all = parseOptions({});
  t.equal(all.rounds, DEFAULTS.rounds);
  t.equal(all.variants.length, 5);
  t.strictSame(parseOptions({ variants: 'stock, plain' }).variants, ['plain', 'stock'], 'in the known order');
  for (const wrong of [
    { rounds: '0' },
    { rounds: '1.5' },
    { rounds: '' },
    { seconds: 'x' },
    { seconds: '1000' },
    { variants: 'colo' },
    { measures: '' },
  ])
    t.throws(() => parseOptions(wrong), { message: /^--(rounds|seconds|variants|measures)\b.*(give a|there are)/ });
});

t.test('the default run fits into 25 minutes', async (t) => {
  t.ok(new Clock(parseOptions({})).leftS < 25 * 60);
});

t.test('every round visits every variant, in turn', async (t) => {
  const plan = visits(parseOptions({ rounds: '2', variants: 'gate,lockstep' }));
  t.strictSame(
    plan.map((v) => `${v.round} ${v.variant}`),
    ['1 gate', '1 lockstep', '2 gate', '2 lockstep'],
  );
});

t.test('the time left follows what was seen', async (t) => {
  const clock = new Clock(parseOptions({ rounds: '2', variants: 'gate', measures: 'echo,cpu' }));
  clock.measured(10);
  clock.measured(10);
  clock.started(100);
  t.equal(clock.leftS, 120);
  t.equal(clockText(120), '2:00');
  t.equal(clockText(3723), '1:02:03');
});
