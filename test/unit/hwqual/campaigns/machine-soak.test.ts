// The soak of healthy servers: CPU by thread from /proc, and when the soak says that all is as it must be.
import t from 'tap';
import type { Told } from '../../../../hwqual/campaigns/machine-faults-judge.ts';
import {
  concludeSoak,
  costBetween,
  parseThreads,
  type SoakReport,
  soakPage,
  soakTable,
} from '../../../../hwqual/campaigns/machine-soak-report.ts';

const OUTPUT = `pid 265
thread 4459 2126 MainThread
thread 268 307 V8Worker
thread 303 290 V8Worker
thread 40 60 hardware
uptime 202.20`;

t.test('threads of the process, those of Node together', async (t) => {
  t.strictSame(parseThreads(OUTPUT), { pid: 265, uptimeS: 202.2, threads: { MainThread: 6585, other: 1168, hardware: 100 } });
  t.throws(() => parseThreads('uptime 3'), /not the threads of one process/);
  t.throws(() => parseThreads(`pid 1\n${OUTPUT}`), /not the threads/);
});

t.test('what a thread took between two readings, in percent of a core', async (t) => {
  const from = parseThreads(OUTPUT);
  const to = { ...from, uptimeS: 302.2, threads: { MainThread: 7585, other: 1168, hardware: 150 } };
  t.strictSame(
    costBetween(from, to)?.map(({ thread, percent }) => `${thread} ${percent.toFixed(2)}`),
    ['MainThread 10.00', 'hardware 0.50', 'other 0.00'],
  );
  t.equal(costBetween(from, { ...to, pid: 9 }), null, 'another process');
});

const report = (): SoakReport => ({
  name: 'Healthy servers under load',
  startedAt: 0,
  minutes: 60,
  wantedMinutes: 60,
  load: 'all',
  falseAlarms: [],
  looks: { A: { answered: 90, silent: 10 }, B: { answered: 90, silent: 10 } },
  costs: { A: null, B: [{ thread: 'hardware', percent: 0.4 }] },
  ok: false,
  problems: [],
});
const told = (seenMs: number, isOver = false): Told => ({
  code: 'fanFailed',
  coServer: 'B',
  isOver,
  row: '16',
  text: 'A fan has failed (FAN1).',
  seenMs,
});

t.test('nothing told in the time that was wanted is well; what was told before does not count', async (t) => {
  const r = report();
  concludeSoak(r, [told(500), told(2_000, true)], 1_000);
  t.ok(r.ok, soakTable(r));
  t.match(soakTable(r), /hardware 0\.40 %/);
});

t.test('an alarm, too short a time, a console that did not answer: not well', async (t) => {
  const alarmed = report();
  concludeSoak(alarmed, [told(121_000)], 1_000);
  t.notOk(alarmed.ok);
  t.match(alarmed.falseAlarms, [{ server: 'B', atMinute: 2 }]);
  t.match(soakPage(alarmed), /A fan has failed/);
  const short = { ...report(), minutes: 12 };
  concludeSoak(short, [], 0);
  t.match(short.problems, [/12 of 60 minutes/]);
  const deaf = report();
  deaf.looks.A = { answered: 1, silent: 99 };
  concludeSoak(deaf, [], 0);
  t.match(deaf.problems, [/CoServer A answered 1 of 100/]);
});
