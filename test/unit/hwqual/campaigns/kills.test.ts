import t from 'tap';
import { TRAP_POINTS } from '../../../../appliance/memory/power-trap.ts';
import { killsPlan, progressText, runIncidents, runKills, summaryTable } from '../../../../hwqual/campaigns/kills-campaign.ts';
import { CHECKPOINT_PHASES } from '../../../../hwqual/campaigns/lab-control.ts';
import type { Report } from '../../../../hwqual/campaigns/report.ts';
import { FakeClients, FakeClock, FakeLab, type Faults } from './fake-pair.ts';

t.test('a plan covers every phase for both roles', async (t) => {
  const plan = killsPlan(40, true);
  for (const phase of CHECKPOINT_PHASES) {
    const actions = new Set(plan.filter((p) => p.phase === phase).map((p) => p.action));
    t.strictSame([...actions].sort(), ['powerOffPrimary', 'powerOffSecondary'], phase);
  }
  t.equal(plan.filter((p) => p.phase === null).length, 4);
  t.equal(plan.filter((p) => p.action === 'powerOffPrimary').length, 27);
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
  t.equal(report.rounds[0]?.moment, 'request');
  t.match(report.rounds[3], { moment: 'pages', byte: 1234, action: 'powerOffPrimary' });
  t.ok(lab.actions.some((action) => action.endsWith('at reply')));
  const table = summaryTable(report);
  t.match(table, /passive: all as it must be/);
  t.match(table, /hung 0, broken 0, wrong 0, lost 0 of 3 acknowledged, copies identical/);
  t.match(table, /takeovers 6, of them met a broken secondary 0/);
  t.match(table, /stall download +8 +600 +600 +600/);
  t.match(table, /takeover download +6 +600 +600 +600/);
  t.match(table, /primary, pages +1 +1 +0 +0 +0 +600 +600 {2}1234/);
  t.match(table, /opened first: 1 connections; outlived takeovers: most 6/);
  t.match(table, /opened rejoining: \d+ connections/);
  t.notOk(clients.cohorts.has('rejoining 2'), 'cohorts end');
  t.ok(clients.cohorts.has('rejoining 8'), 'the latest are there');
});

t.test('a failed kill stands in the table', async (t) => {
  const clock = new FakeClock();
  const report = await runKills({ count: 1, lab: new FakeLab(clock), clients: new FakeClients(clock, { hang: true }), clock });
  t.match(summaryTable(report), /FAILED[\s\S]*PROBLEM round 1: 3 connections hung/);
});

t.test('a secondary that cannot take over is counted', async (t) => {
  const clock = new FakeClock();
  const report = await runKills({ count: 1, lab: new FakeLab(clock, { noTakeover: true }), clients: new FakeClients(clock), clock });
  t.match(report.summary, { takeovers: 1, metBrokenSecondary: 1 });
  t.ok(report.problems.some((problem) => /nobody took over/.test(problem)));
  const idle = await runKills({ count: 1, lab: new FakeLab(clock), clients: new FakeClients(clock, { idle: true }), clock });
  t.equal(idle.summary.metBrokenSecondary, 1, 'it runs, and serves nobody');
});

t.test('ended by its limit, and gone on with', async (t) => {
  const clock = new FakeClock();
  const run = (limitMs: number, earlier?: Report) =>
    runKills({ count: 5, lab: new FakeLab(clock), clients: new FakeClients(clock), clock, limitMs, earlier });
  const first = await run(1);
  t.strictSame([first.rounds.length, first.problems], [1, []]);
  const atDuplex = first.markers.find(({ text }) => text === 'duplex')?.at ?? 0;
  t.equal(progressText({ ...first, endedAt: atDuplex + 20_000 }, 5, 0), '1 of 5, 20.0 s each, about 2 min left; 0 rounds with problems');
  const whole = await run(Number.POSITIVE_INFINITY, first);
  t.strictSame(
    whole.rounds.map(({ round }) => round),
    [1, 2, 3, 4, 5],
  );
  t.ok(whole.ok);
  t.equal(whole.startedAt, first.startedAt);
});

t.test('the phases are those that the product knows', async (t) => {
  t.strictSame([...CHECKPOINT_PHASES], [...TRAP_POINTS]);
});

t.test('a broken replica must be found, told and mended', async (t) => {
  const run = (faults: Faults) => {
    const clock = new FakeClock();
    const lab = new FakeLab(clock, faults);
    return runIncidents({ count: 3, lab, clients: new FakeClients(clock), clock }).then((report) => ({ report, lab }));
  };
  const good = await run({});
  t.strictSame(good.report.problems, []);
  t.strictSame(good.lab.actions, ['break B garbage', 'break B stuck', 'break B byte']);
  t.equal(good.report.summary.brokenReplicas, 3);
  t.equal(good.report.summary.metBrokenSecondary, 0);
  const unseen = await run({ breakUnseen: true });
  t.ok(unseen.report.problems.some((problem) => /garbage: not noticed within 20 s/.test(problem)));
  t.ok(unseen.lab.actions.includes('off B') && unseen.lab.actions.includes('on B'), 'mended by force');
  const untold = await run({ breakUntold: true });
  t.ok(untold.report.problems.some((problem) => /no incident with evidence/.test(problem)));
  const mistold = await run({ breakTold: 'probeMissing' });
  t.strictSame(mistold.report.problems, ['round 3: break the guest of B: byte: told as probeMissing, not as pageDiffers']);
});
