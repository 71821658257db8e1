// Clock, jitter, watchdog, BMC.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { FakeBmc } from '../../../../drivers/ipmi/fake.ts';
import { readPower } from '../../../../drivers/ipmi/index.ts';
import type { Watchdog } from '../../../../drivers/watchdog/index.ts';
import { checkBmcs } from '../../../../hwqual/burn-in/bmc.ts';
import { judgeClock } from '../../../../hwqual/burn-in/clock.ts';
import { ClockOffsets } from '../../../../hwqual/burn-in/clock-offsets.ts';
import type { BurnInOptions } from '../../../../hwqual/burn-in/context.ts';
import { judgeJitter } from '../../../../hwqual/burn-in/jitter.ts';
import { bootIdentity, judgeMarker, readMarker, resetByWatchdog } from '../../../../hwqual/burn-in/watchdog.ts';

const folder = mkdtempSync(join(tmpdir(), 'burn-in-machine-'));
t.teardown(() => rmSync(folder, { recursive: true }));

t.test("the partner's clock, through a link whose queues are long and uneven", async (t) => {
  const clocks = new ClockOffsets();
  const ppm = 40;
  for (let i = 0; i < 600; i++) {
    const echoUs = 1_000_000 + i * 100_000;
    // Now and then the queues are nearly empty.
    const [there, back] = i % 10 === 3 ? [60, 50] : [100 + ((i * 7919) % 9000), 80 + ((i * 104_729) % 20_000)];
    const heldUs = 50_000;
    const theirs = (us: number): number => us * (1 + ppm / 1e6) + 777_000;
    const sentUs = theirs(echoUs + there + heldUs);
    clocks.add({ nowUs: echoUs + there + heldUs + back, echoUs, heldUs, sentUs });
  }
  const drift = clocks.drift();
  t.ok(drift && Math.abs(drift.ppm - ppm) <= drift.uncertaintyPpm, `${drift?.ppm} ppm`);
  t.ok(drift && drift.uncertaintyPpm < 5, `to ${drift?.uncertaintyPpm}`);
  const short = new ClockOffsets();
  for (let i = 1; i < 20; i++) short.add({ nowUs: i * 100_000 + 100, echoUs: i * 100_000, heldUs: 0, sentUs: i });
  t.equal(short.drift(), null, 'two seconds say nothing');
});

t.test('clock verdicts', async (t) => {
  const good = { seconds: 60, realtimePpm: 12, uncertaintyPpm: 0.1, partner: { ppm: -30, uncertaintyPpm: 2 } };
  t.equal(judgeClock(good).verdict, 'pass');
  t.equal(judgeClock({ ...good, realtimePpm: 600 }).verdict, 'fail');
  t.equal(judgeClock({ ...good, partner: { ppm: -700, uncertaintyPpm: 2 } }).verdict, 'fail');
  t.equal(judgeClock({ ...good, partner: { ppm: -700, uncertaintyPpm: 300 } }).verdict, 'pass', 'within what is not known');
  t.match(judgeClock({ ...good, realtimePpm: 5_000_000, partner: null }), { verdict: 'notTested', reason: /was set meanwhile/ });
});

t.test('jitter sets the smallest time-out', async (t) => {
  const seen = { realtime: true, ticks: 3_000, maxMs: 7.2, p50Ms: 0.2, p99Ms: 1 };
  const { verdict, figures } = judgeJitter(seen, 12, { intervalMs: 10, timeoutMs: 100 });
  t.equal(verdict, 'pass');
  t.equal(figures.smallestTimeoutMs, 45); // 3 x 10 + 2 x 7.2
  t.match(judgeJitter(seen, 12, { intervalMs: 10, timeoutMs: 44 }), { verdict: 'fail', reason: /timeoutMs is 44: set it to 45 at least/ });
  t.match(judgeJitter({ ...seen, ticks: 9 }, 12, { intervalMs: 10, timeoutMs: 100 }), {
    verdict: 'notTested',
    figures: { smallestTimeoutMs: null },
  });
});

/** It never fires: the machine survives. */
function deafWatchdog(): { watchdog: Watchdog; disarmed: () => boolean } {
  let disarmed = false;
  const disarm = async (): Promise<void> => {
    disarmed = true;
  };
  return { watchdog: { timeoutMs: 400, canStop: true, renew: () => {}, disarm, close: () => {} }, disarmed: () => disarmed };
}

t.test('a watchdog that does not reset: a fail, and it is stopped again', async (t) => {
  const { watchdog, disarmed } = deafWatchdog();
  const said: string[] = [];
  const options = { device: '/dev/watchdog', timeoutS: 1, stateDir: folder, graceMs: 100, say: (line: string) => said.push(line) };
  await resetByWatchdog({ ...options, open: async () => watchdog });
  t.ok(disarmed());
  t.match(said.at(-1), /did not reset this machine/);
  const marker = readMarker(folder);
  t.match(marker, { survived: true, timeoutMs: 400, boot: bootIdentity() });
  t.match(judgeMarker(marker, '/dev/watchdog', bootIdentity), { verdict: 'fail', reason: /switch it on in the BIOS/ });
});

t.test('after the reset', async (t) => {
  const marker = { schema: 1, device: '/dev/watchdog', timeoutMs: 10_000, boot: 'before', aliveMs: 10_200, survived: false } as const;
  const now = (): string => 'after';
  t.match(judgeMarker(marker, '', now), { verdict: 'pass', figures: { tookS: 10.2 }, reason: /reset this machine 10.2 s after/ });
  t.match(judgeMarker({ ...marker, boot: 'after' }, '', now).verdict, 'fail', 'the same boot: only the program ended');
  t.match(judgeMarker({ ...marker, aliveMs: 2_000 }, '', now), { verdict: 'fail', reason: /something else did that/ });
  t.match(judgeMarker(null, '/dev/watchdog', now), { verdict: 'notTested', reason: /--reset-by-watchdog/ });
  t.match(judgeMarker(null, '', now), { verdict: 'notTested', reason: /watchdog.device/ });
  t.equal(readMarker(join(folder, 'nowhere')), null);
  writeFileSync(join(folder, 'burn-in-watchdog.json'), '{"schema":1');
  t.throws(() => readMarker(folder), /is no marker of a watchdog test: remove it/);
  t.ok(existsSync(folder));
});

t.test("the partner's BMC", async (t) => {
  const credentials = { username: 'twinstep', password: 'secret' };
  const fake = await FakeBmc.start(credentials);
  t.teardown(() => fake.close());
  const options = {
    coServer: 'A',
    ownBmc: '',
    fence: { address: '127.0.0.1', port: fake.port, ...credentials, cipherSuite: 17, timeoutMs: 300, retries: 1 },
  } as unknown as BurnInOptions;
  const stop = new AbortController().signal;
  const doors = {
    partner: (target: Parameters<typeof readPower>[0], signal: AbortSignal) => readPower(target, { signal }),
    own: async (device: string) => {
      if (device === '/dev/ipmi0') return '1.23';
      throw new Error(`there is no ${device}`);
    },
  };
  const check = (change: object, signal = stop) => checkBmcs({ ...options, ...change }, doors, signal, () => {});
  const opened = fake.sessionsOpened;
  t.match(await check({}), { verdict: 'pass', reason: /B's BMC says twice that it is on/ });
  t.equal(fake.sessionsOpened - opened, 2, 'each reading in a session of its own');
  t.notOk(fake.commands.includes('0.2'), 'nothing is switched');
  t.match(await check({ ownBmc: '/dev/ipmi0' }), { verdict: 'pass', figures: { ownFirmware: '1.23' } });
  t.match(await check({ ownBmc: '/dev/ipmi7' }), { verdict: 'fail', reason: /there is no \/dev\/ipmi7/ });
  t.match(await check({ fence: null }), { verdict: 'notTested', reason: /fence.address/ });
  t.match(await check({ fence: { ...options.fence, password: 'wrong' } }), { verdict: 'fail', reason: /B's BMC:.*/ });
  t.match(await check({}, AbortSignal.abort()), { verdict: 'notTested', reason: /had not answered when the time was over/ });
  fake.machine.running = false;
  t.match(await check({}), { verdict: 'fail', reason: /says that it is off/ });
  fake.hangs = true;
  t.equal((await check({})).verdict, 'fail');
});
