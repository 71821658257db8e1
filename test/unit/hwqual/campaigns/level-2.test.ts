// The campaign of level 2: how its figures are counted, and what makes its report fail.
import t from 'tap';
import type { TakeoverView } from '../../../../appliance/core/snapshot.ts';
import { type Level2Report, level2Table, RESTART_WITHIN_MS, runLevel2, stepsSince } from '../../../../hwqual/campaigns/level-2-campaign.ts';
import { FakeClock, FakeLab, type Faults } from './fake-pair.ts';

/** The steps of the takeover: what the fake tells, and the engine's start so long after the loss was noticed. */
async function run(startedAtMs: number | null, faults: Faults = {}): Promise<{ report: Level2Report; actions: string[] }> {
  const clock = new FakeClock();
  const lab = new FakeLab(clock, faults);
  const status = lab.status.bind(lab);
  lab.status = async () => {
    const pictures = await status();
    for (const name of ['A', 'B'] as const)
      for (const takeover of pictures[name]?.takeovers ?? [])
        if (startedAtMs !== null && takeover.steps.every(({ step }) => !step.startsWith('engine')))
          takeover.steps.push({ step: 'engine started: the guest boots', atMs: startedAtMs });
    clock.time += 10;
    return pictures;
  };
  return { report: await runLevel2({ count: 2, arbiter: 'witness', lab, clock }), actions: lab.actions };
}

t.test('the primary each time, and its partner starts the guest', async (t) => {
  const { report, actions } = await run(3_700);
  t.same(actions, ['off A', 'on A', 'off B', 'on B']);
  t.match(report, {
    ok: true,
    trials: [
      { lost: 'A', problems: [] },
      { lost: 'B', problems: [] },
    ],
  });
  for (const { restartMs } of report.trials) t.ok(restartMs !== null && restartMs > 3_700 && restartMs < RESTART_WITHIN_MS, `${restartMs}`);
  t.match(level2Table(report), /from the loss until the engine runs +2 /);
});

t.test('too late, not told, or nobody: it fails', async (t) => {
  t.match((await run(RESTART_WITHIN_MS)).report, { ok: false, trials: [{ problems: [/restarted after 5\d\d\d ms/] }, {}] });
  t.match((await run(null)).report, { ok: false, trials: [{ restartMs: null, problems: [/no step "engine started/] }, {}] });
  await t.rejects(run(3_700, { noTakeover: true }), /B does not start the guest within 120 s/);
});

t.test('steps are counted from the loss itself, not from when it was noticed', async (t) => {
  const takeover: TakeoverView = {
    at: 14_000,
    coServer: 'B',
    kind: 'takeover',
    reason: '',
    row: '5',
    steps: [
      { step: 'partner lost', atMs: 0 },
      { step: 'granted, record durable', atMs: 3_500 },
    ],
  };
  t.same(stepsSince(takeover, 10_100), [
    { step: 'partner lost', atMs: 400 },
    { step: 'granted, record durable', atMs: 3_900 },
  ]);
});
