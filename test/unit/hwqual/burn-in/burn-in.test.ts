// The whole of it, with real threads: what is told meanwhile, what is left when it is ended early, what the command refuses.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { CoServerConfig } from '../../../../appliance/config.ts';
import { readBurnInFloor } from '../../../../appliance/heartbeat/burn-in-floor.ts';
import { seconds } from '../../../../hwqual/burn-in/arguments.ts';
import { type BurnInProgress, runBurnIn } from '../../../../hwqual/burn-in/burn-in.ts';
import { runBurnInCommand } from '../../../../hwqual/burn-in/command.ts';
import type { BurnInOptions } from '../../../../hwqual/burn-in/context.ts';
import { type BurnInResult, summarize, type TestResult } from '../../../../hwqual/burn-in/result.ts';
import { BurnInScreen } from '../../../../hwqual/burn-in/screen.ts';

// Threads start slowly on a busy machine.
t.setTimeout(120_000);

const folder = mkdtempSync(join(tmpdir(), 'burn-in-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const never = new AbortController().signal;

const options: BurnInOptions = {
  coServer: 'A',
  pairId: '00',
  pairKey: null,
  durationS: 3600,
  links: [{ nic: 'burnin-none0' }],
  answerOnly: false,
  memoryShare: 0.01,
  scratch: { guestDisk: join(folder, 'disk0'), sizeMiB: 16, area: null },
  heartbeat: { intervalMs: 10, timeoutMs: 60_000 },
  fence: null,
  ownBmc: '',
  watchdog: { device: '', timeoutS: 10 },
  stateDir: folder,
  program: new URL('./worker-thread.ts', import.meta.url),
};

t.test('ended early: what was found until then, marked incomplete', async (t) => {
  const stop = new AbortController();
  const seen: BurnInProgress[] = [];
  const wanted = ['processors', 'disk', 'jitter'];
  const result = await runBurnIn(
    { ...options, tests: ['processors', 'disk', 'flush', 'jitter', 'watchdog', 'bmc'] },
    (progress) => {
      seen.push(progress);
      // Each has told figures of its own.
      if (wanted.every((id) => progress.tests.some((test) => test.id === id && test.text !== ''))) stop.abort();
    },
    stop.signal,
  );
  t.match(result, { schema: 1, coServer: 'A', askedS: 3600, verdict: 'incomplete', sentence: /ended after \d+ s of 3600/ });
  t.strictSame(JSON.parse(JSON.stringify(result)), result, 'plain JSON');
  t.strictSame(
    result.tests.map((r) => r.id),
    ['processors', 'disk', 'flush', 'jitter', 'watchdog', 'bmc'],
  );
  const verdict = (id: string) => result.tests.find((r) => r.id === id)?.verdict;
  t.equal(verdict('processors'), 'pass');
  t.equal(verdict('disk'), 'pass');
  t.equal(verdict('watchdog'), 'notTested');
  t.notOk(existsSync(join(folder, '.twinstep-burn-in.scratch')), 'the scratch file is gone');
  t.match(seen[0], { percent: 0, tests: [{ id: 'processors', state: 'running' }] });
});

t.test('a fault in one core: the burn-in fails and says so', async (t) => {
  const result = await runBurnIn(
    { ...options, durationS: 1, tests: ['processors'], program: new URL('./wrong-thread.ts', import.meta.url) },
    () => {},
    never,
  );
  t.match(result, { verdict: 'failed', sentence: /^processors: core .* computed wrong: integer/ });
});

t.test('a link whose NIC is not there', async (t) => {
  const result = await runBurnIn({ ...options, durationS: 1, tests: ['links', 'clock'] }, () => {}, never);
  t.match(result.tests, [
    { id: 'links', verdict: 'fail', reason: /there is no NIC burnin-none0 here/ },
    { id: 'clock', verdict: 'pass' },
  ]);
});

t.test('a thread that dies is no pass, and nobody waits for it', async (t) => {
  const result = await runBurnIn(
    { ...options, durationS: 1, tests: ['processors'], program: new URL('./dying-thread.ts', import.meta.url) },
    () => {},
    never,
  );
  t.match(result.tests, [{ id: 'processors', verdict: 'notTested', reason: /the test itself failed: .*no such core/ }]);
  t.equal(result.verdict, 'incomplete');
});

t.test('the verdict over all', async (t) => {
  const test = (verdict: TestResult['verdict'], title: string): TestResult => ({ id: 'memory', title, verdict, figures: {}, reason: 'r' });
  const all = (tests: TestResult[], interrupted = false) =>
    summarize({ coServer: 'A', startedAt: '', askedS: 60, durationS: 30, tests, smallestHeartbeatTimeoutMs: null }, interrupted);
  t.match(all([test('pass', 'a'), test('notTested', 'b')]), { verdict: 'passed', sentence: 'passed: a; not tested: b' });
  t.equal(all([test('pass', 'a')], true).verdict, 'incomplete');
  t.equal(all([test('pass', 'a'), test('fail', 'b')], true).verdict, 'failed');
  t.equal(all([test('notTested', 'a')]).verdict, 'incomplete', 'nothing tested, nothing passed');
});

t.test('the screen: written over on a terminal, plain lines elsewhere', async (t) => {
  const test = (state: BurnInProgress['tests'][number]['state'], text: string) => ({ id: 'memory', title: 'memory', state, text }) as const;
  const at = (elapsedS: number, tests: BurnInProgress['tests']): BurnInProgress => ({
    elapsedS,
    etaS: 60 - elapsedS,
    percent: elapsedS,
    tests,
  });
  const written: string[] = [];
  const write = (text: string) => written.push(text);
  const terminal = new BurnInScreen({ write, isTTY: true, columns: 30 });
  terminal.show(at(1, [test('running', 'x'.repeat(100))]));
  terminal.show(at(2, [test('pass', 'fine')]));
  t.strictSame(written.splice(0), [
    `\x1b[2Kburn-in 1 %, 0:59 to go\n\x1b[2Kmemory         ...   ${'x'.repeat(8)}\n`,
    '\x1b[2A\x1b[2Kburn-in 2 %, 0:58 to go\n\x1b[2Kmemory         ok    fine\n',
  ]);
  const plain = new BurnInScreen({ write });
  for (const [s, state] of [
    [0, 'running'],
    [1, 'running'],
    [2, 'fail'],
    [3, 'fail'],
    [10, 'fail'],
  ] as const)
    plain.show(at(s, [test(state, 'w')]));
  t.strictSame(written, ['burn-in 0 %, 1:00 to go | memory: w\n', 'memory         FAIL  w\n', 'burn-in 10 %, 0:50 to go\n']);
});

t.test('the command', async (t) => {
  const config = {
    coServer: 'A',
    pair: { id: '00', keyFile: join(folder, 'pair.key') },
    links: [{ nic: 'burnin-none0' }],
    management: { address: '127.0.0.1' },
    heartbeat: options.heartbeat,
    fence: { address: '' },
    hardware: { bmc: '' },
    watchdog: options.watchdog,
    console: { socket: join(folder, 'console.sock') },
    workload: { disk: { path: join(folder, 'disk0') } },
    stateDir: folder,
  } as unknown as CoServerConfig;
  const doors = { loadConfig: () => config, loadPairKey: () => Buffer.alloc(32), loadFencePassword: () => '', program: options.program };
  const run = async (...argv: string[]): Promise<{ code: number; out: string; err: string }> => {
    let [out, err] = ['', ''];
    const io = { stdout: { write: (text: string) => (out += text) }, stderr: { write: (text: string) => (err += text) }, signal: never };
    const code = await runBurnInCommand(['--config', 'x', ...argv], io, doors);
    return { code, out, err };
  };
  const report = join(folder, 'report.json');
  const { code, out } = await run('--for', '3s', '--only', 'jitter,watchdog', '--json', report);
  t.equal(code === 0 || /only \d+ ticks/.test(out), true, out);
  const result: BurnInResult = JSON.parse(readFileSync(report, 'utf8'));
  t.match(result, { schema: 1, tests: [{ id: 'jitter' }, { id: 'watchdog' }] });
  const smallest = result.smallestHeartbeatTimeoutMs;
  t.match(readBurnInFloor(folder), smallest === null ? null : { smallestTimeoutMs: Math.min(smallest, 10_000) }, 'kept for the next start');
  for (const [argv, complaint] of [
    [['--for', 'soon'], /90s, 10m or 24h/],
    [['--only', 'luck'], /there is no test luck/],
    [['--memory-share', '2'], /0.01 to 0.95/],
    [['--disk-area', 'sdb:1:2'], /offset and a length/],
    [['--phase', 'verify'], /needs --acknowledged/],
    [['--phase', 'listen'], /needs --port/],
    [['--phase', 'write', '--tell', 'there'], /10.0.0.2:7000/],
  ] as const) {
    const refused = await run(...argv);
    t.equal(refused.code, 2);
    t.match(refused.err, complaint);
  }
  const running = createServer().listen(config.console.socket);
  t.teardown(() => running.close());
  t.match(await run('--for', '1s'), { code: 2, err: /CoServer A is running here.*stop it first/ });
  t.strictSame(['90', '90s', '10m', '24h'].map(seconds), [90, 90, 600, 86_400]);
  chmodSync(folder, 0o700);
  writeFileSync(join(folder, 'pair.key'), '');
});
