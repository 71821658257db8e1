import t from 'tap';
import { killsPlan, runKills, summaryTable } from '../../../../hwqual/campaigns/kills-campaign.ts';
import { CHECKPOINT_PHASES } from '../../../../hwqual/campaigns/lab-control.ts';
import { FakeClients, FakeClock, FakeLab } from './fake-pair.ts';

t.test('a plan covers every phase for both roles', async (t) => {
  const plan = killsPlan(40, true);
  for (const phase of CHECKPOINT_PHASES) {
    const actions = new Set(plan.filter((p) => p.phase === phase).map((p) => p.action));
    t.strictSame([...actions].sort(), ['powerOffPrimary', 'powerOffSecondary'], phase);
  }
  t.equal(plan.filter((p) => p.phase === null).length, 20);
  t.ok(killsPlan(40, false).every((p) => p.phase === null));
  t.throws(() => killsPlan(0, true), /whole number/);
});

t.test('kills at phases where the lab can', async (t) => {
  const clock = new FakeClock();
  const lab = new FakeLab(clock);
  lab.offerPhases();
  const rounds: number[] = [];
  const clients = new FakeClients(clock);
  const report = await runKills({ count: 8, lab, clients, clock, onRound: async ({ round }) => void rounds.push(round) });
  t.strictSame(report.problems, []);
  t.strictSame(rounds, [1, 2, 3, 4, 5, 6, 7, 8]);
  t.equal(report.rounds[2]?.moment, 'request');
  t.equal(report.rounds[0]?.moment, 'random moment');
  t.ok(lab.actions.some((action) => action.endsWith('at reply')));
  const table = summaryTable(report);
  t.match(table, /all as it must be/);
  t.match(table, /hung 0, broken 0, wrong 0, lost 0 of 3 acknowledged, copies identical/);
  t.match(table, /stall download +8 +600 +600 +600/);
});

t.test('a failed kill stands in the table', async (t) => {
  const clock = new FakeClock();
  const report = await runKills({ count: 1, lab: new FakeLab(clock), clients: new FakeClients(clock, { hang: true }), clock });
  t.match(summaryTable(report), /FAILED[\s\S]*PROBLEM round 1: 3 connections hung/);
});
