// The story against a pair without time: a good pair passes, and each way to fail is really told as a failure.
import t from 'tap';
import type { Report } from '../../../../hwqual/campaigns/report.ts';
import { runStory, storyPlan } from '../../../../hwqual/campaigns/story.ts';
import { FakeClients, FakeClock, FakeLab, type Faults } from './fake-pair.ts';

async function play(rounds: number, faults: Faults = {}): Promise<{ report: Report; lab: FakeLab; clients: FakeClients }> {
  const clock = new FakeClock();
  const lab = new FakeLab(clock, faults);
  const clients = new FakeClients(clock, faults);
  const report = await runStory({ rounds, lab, clients, clock, duplexTimeoutS: 60 });
  return { report, lab, clients };
}

t.test('a good pair', async (t) => {
  const { report, lab, clients } = await play(10);
  t.strictSame(report.problems, []);
  t.ok(report.ok);
  t.equal(report.rounds.length, 10);
  t.equal(report.copiesIdentical, true);
  t.strictSame(report.lostOnColdDisk, { A: 0, B: 0 });
  t.ok(new Set(clients.opened.map(({ family }) => family)).size === 2, 'IPv4 and IPv6');
  t.strictSame(
    lab.actions.slice(0, 6),
    ['off A', 'on A', 'off A', 'on A', 'link 1 down', 'link 1 up'],
    'B took over: A is the secondary then',
  );
  t.ok(lab.actions.includes('freeze B') || lab.actions.includes('freeze A'));

  const [first, , link] = report.rounds;
  t.match(first, {
    action: 'powerOffPrimary',
    target: 'A',
    hungConnections: 0,
    wrongChecksums: 0,
    lostAcknowledged: 0,
    row: '5',
    reason: /witness granted/,
  });
  t.strictSame(first?.stallMs, { download: 600, echoUdp: 1600, record: 300 });
  t.equal(first?.rejoinPauseMs, 150, 'the longest TCP stall of the rejoin window only');
  t.equal(first?.faultStallMs, 600, 'and of the window from the fault to the repair');
  t.equal(first?.detectionMs, 400);
  t.equal(first?.aloneAfterMs, 460);
  t.ok((first?.timeToDuplexMs ?? 0) >= 5000 && (first?.timeToDuplexMs ?? 0) <= 5250);
  t.match(link, { action: 'cutLink1', timeToDuplexMs: 0, detectionMs: null, reason: 'duplex went on over the other link', remarks: [] });
  t.equal(report.summary.worstStallMs.max, 600);
  t.equal(report.summary.stallMs.echoUdp?.max, 1600);
  t.ok(report.markers.some(({ text }) => text === 'power off A') && report.markers.some(({ text }) => text === 'cut both links'));
});

const FAILURES: [keyof Faults, RegExp, Partial<Report['summary']>][] = [
  ['hang', /round 1: 3 connections hung/, { hungConnections: 3 }],
  ['broken', /round 1: 3 connections broken/, { brokenConnections: 3 }],
  ['wrong', /round 1: 3 wrong checksums/, { wrongChecksums: 3 }],
  ['lose', /round 2: 1 acknowledged records lost, the first: 7/, { lostAcknowledged: 2 }],
  ['unknownRecord', /round 1: 1 records on the disk that nobody wrote/, {}],
  ['idle', /round 1: download clients made no progress/, {}],
  ['noTakeover', /round 1: power off A: not noticed within 20 s/, {}],
  ['split', /round 1: both servers say that they run the workload/, {}],
  ['neverDuplex', /round 1: no duplex within 60 s/, {}],
  ['copiesDiffer', /the copies differ: first difference at byte 4096/, {}],
  ['shutdownFails', /did not power off/, {}],
  ['coldLost', /1 acknowledged records are not on the cold copy of B/, {}],
  ['coldDamaged', /file system on the cold copy of A is damaged/, {}],
  ['clientsDie', /the clients ended/, {}],
];
for (const [fault, problem, counts] of FAILURES) {
  t.test(`a pair that fails: ${fault}`, async (t) => {
    const { report } = await play(2, { [fault]: true });
    t.notOk(report.ok);
    t.ok(
      report.problems.some((text) => problem.test(text)),
      report.problems.join('; '),
    );
    t.match(report.summary, counts);
  });
}

t.test('a link that stays down', async (t) => {
  const { report } = await play(3, { linkStaysDown: true });
  t.notOk(report.ok);
  t.match(report.rounds[2]?.problems, [/not all links are up/]);
});

t.test('nothing goes on without redundancy', async (t) => {
  const { report, lab } = await play(5, { neverDuplex: true });
  t.equal(report.rounds.length, 1);
  t.equal(report.rounds[0]?.timeToDuplexMs, null);
  t.ok(report.problems.includes('ended after round 1 of 5'));
  t.ok(lab.guestOff, 'the guest is shut down all the same');
});

t.test('a survivor without a recorded reason is remarked', async (t) => {
  const { report } = await play(1, { noReason: true });
  t.equal(report.rounds[0]?.reason, null);
  t.match(report.rounds[0]?.remarks, [/no reason/]);
});

t.test('the copies are not compared while the guest may run', async (t) => {
  const { report } = await play(1, { shutdownFails: true });
  t.equal(report.copiesIdentical, null);
  t.ok(report.problems.includes('the copies were not compared'));
});

t.test('plans', async (t) => {
  const actions = (rounds: number) => storyPlan(rounds).map(({ action }) => action);
  t.strictSame(actions(2), ['powerOffPrimary', 'powerOffSecondary']);
  for (const rounds of [5, 6, 9, 10, 18]) {
    const kinds = new Set(actions(rounds).map((action) => action.replace(/Primary|Secondary|\d/, '')));
    t.strictSame([...kinds].sort(), ['cutBothLinks', 'cutLink', 'freeze', 'powerOff'], `${rounds} rounds have every kind`);
  }
  const power = actions(18).filter((action) => action.startsWith('powerOff'));
  t.ok(
    power.every((action, i) => action === (i % 2 === 0 ? 'powerOffPrimary' : 'powerOffSecondary')),
    'power failures alternate',
  );
  for (const rounds of [0, -1, 1.5, Number.NaN]) t.throws(() => storyPlan(rounds), /--rounds needs a whole number/);
});
