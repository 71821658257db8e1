// The campaign that ends our process: what it orders in which order, and what makes its report fail.
import t from 'tap';
import { type RestartsReport, restartsTable, runRestarts, WAYS } from '../../../../hwqual/campaigns/restarts-campaign.ts';
import { FakeClients, FakeClock, FakeLab, type Faults } from './fake-pair.ts';

async function run(count: number, faults: Faults = {}, staysAway = false): Promise<{ report: RestartsReport; ordered: string[] }> {
  const clock = new FakeClock();
  const lab = new FakeLab(clock, faults);
  const ordered: string[] = [];
  const restarts = Object.assign(lab, {
    restartProcess: async (server: string, how: string) => {
      ordered.push(`${server} ${how}`);
    },
  });
  const status = lab.status.bind(lab);
  // Its process is young as soon as it was ended: time is what passes in this test.
  restarts.status = async () => {
    const pictures = await status();
    if (staysAway) for (const name of ['A', 'B'] as const) if (pictures[name]) pictures[name].uptimeMs = 1e9;
    clock.time += 10;
    return pictures;
  };
  const report = await runRestarts({ count, ways: WAYS, lab: restarts, clients: new FakeClients(clock, faults), clock });
  return { report, ordered };
}

t.test('each way in turn, on who runs the guest and on the other', async (t) => {
  const { report, ordered } = await run(5);
  t.same(ordered, ['A asked', 'A killed', 'B asked', 'B killed', 'A asked']);
  t.equal(report.ok, true);
  t.same(
    report.trials.map((trial) => [trial.way, trial.before, trial.after, trial.recordGapMs, trial.problems.length]),
    WAYS.concat('primary asked').map((way) => [way, 'A', 'A', 75, 0]),
  );
  t.match(restartsTable(report), /primary killed: writes stand still +1 +75/);
  t.match(restartsTable(report), /lost 0;/);
});

t.test('a lost record, or copies that differ, fail it', async (t) => {
  t.equal((await run(1, { lose: true })).report.ok, false);
  t.equal((await run(1, { copiesDiffer: true })).report.ok, false);
});

t.test('a process that does not come back ends it by name', async (t) => {
  await t.rejects(run(1, {}, true), /our process on A is not back after 60 s/);
});
