import t from 'tap';
import { WatchdogKeeper } from '../../../../../appliance/runtime/effects/watchdog.ts';
import { FakeWatchdogKernel } from '../../../../../drivers/watchdog/fake.ts';
import { openKernelWatchdog } from '../../../../../drivers/watchdog/index.ts';

/** A CoServer's main loop of 50 ms over the fake kernel; who answers is decided by the test. */
function setUp(device = '/dev/watchdog') {
  const kernel = new FakeWatchdogKernel();
  const silent = new Set<string>();
  const told: string[] = [];
  let now = 1_000;
  const question = (name: string) => () => (silent.has(name) ? new Promise(() => undefined) : Promise.resolve());
  const keeper = new WatchdogKeeper({
    device,
    timeoutMs: 5_000,
    open: async (options) => openKernelWatchdog(options, kernel),
    questions: { heartbeat: question('heartbeat'), gate: question('gate') },
    tell: (severity, text) => told.push(`${severity}: ${text}`),
    now: () => now,
  });
  const pass = async (ms: number, loop = true) => {
    for (let passed = 0; passed < ms; passed += 50) {
      now += 50;
      kernel.elapse(50);
      if (loop) keeper.tick();
      await Promise.resolve();
      await Promise.resolve();
    }
  };
  return { kernel, silent, told, keeper, pass };
}

t.test('a CoServer that is well lives', async (t) => {
  const { kernel, keeper, pass, told } = setUp();
  t.match(await keeper.arm(true), /armed: 5000 ms/);
  await pass(60_000);
  t.equal(kernel.hasFired, false);
  t.same(told, []);
});

t.test('whoever hangs ends it: the main loop, the gate, the heartbeat', async (t) => {
  for (const hanging of ['main loop', 'gate', 'heartbeat']) {
    const { kernel, keeper, pass, silent, told } = setUp();
    await keeper.arm(true);
    await pass(20_000);
    silent.add(hanging);
    await pass(3_800, hanging !== 'main loop');
    t.equal(kernel.hasFired, false, `${hanging}: not at once`);
    await pass(1_400, hanging !== 'main loop');
    t.equal(kernel.hasFired, true, `${hanging}: within one time-out and a tick`);
    if (hanging !== 'main loop') t.match(told, [new RegExp(`^critical: No answer from: ${hanging}\\. The watchdog .* in \\d\\.?\\d* s`)]);
  }
});

t.test('a question that fails is no answer', async (t) => {
  const { kernel, pass } = setUp();
  const keeper = new WatchdogKeeper({
    device: '/dev/watchdog',
    timeoutMs: 5_000,
    open: async (options) => openKernelWatchdog(options, kernel),
    questions: { gate: () => Promise.reject(new Error('no')) },
    tell: () => undefined,
    now: () => 0,
  });
  await keeper.arm(true);
  for (let i = 0; i < 200; i++) {
    keeper.tick();
    await pass(50, false);
  }
  t.equal(kernel.hasFired, true);
});

t.test('disarmed for what is planned; armed again', async (t) => {
  const { kernel, keeper, pass, silent } = setUp();
  await keeper.arm(true);
  t.match(await keeper.arm(false), /disarmed/);
  silent.add('gate');
  await pass(20_000);
  t.equal(kernel.hasFired, false);
  silent.clear();
  await Promise.all([keeper.arm(true), keeper.arm(false), keeper.arm(true)]);
  t.equal(kernel.isRunning, true, 'the last word counts');
});

t.test('what an earlier life left running is stopped at boot', async (t) => {
  const { kernel, keeper, pass } = setUp();
  kernel.close(kernel.open('/dev/watchdog'));
  t.equal(kernel.isRunning, true);
  await keeper.settle();
  await pass(20_000);
  t.equal(kernel.hasFired, false);
  t.equal(kernel.isRunning, false);
});

t.test('one that cannot be stopped is renewed, armed or not, and that is told', async (t) => {
  const { kernel, keeper, pass, told, silent } = setUp();
  kernel.nowayout = '1';
  await keeper.settle();
  t.match(told, [/warning: .*nowayout/]);
  await pass(20_000);
  t.equal(kernel.hasFired, false);
  await keeper.arm(true);
  await pass(20_000);
  t.equal(kernel.hasFired, false);
  silent.add('gate');
  await pass(6_500);
  t.equal(kernel.hasFired, true);
});

t.test('a watchdog that is not there: told once, looked for, taken when it comes', async (t) => {
  const { kernel, keeper, pass, told } = setUp();
  kernel.device = '/dev/other';
  await keeper.settle();
  await t.rejects(keeper.arm(true), /no such device/);
  await pass(10_000);
  t.match(told.splice(0), [/^warning: There is no watchdog/, /^critical: The watchdog cannot be armed/]);
  kernel.device = '/dev/watchdog';
  await pass(3_000);
  t.equal(kernel.isRunning, true);
  kernel.broken = 'EIO';
  await pass(3_000);
  t.match(told, [/critical: The watchdog is lost: .* EIO/]);
});

t.test('without a watchdog', async (t) => {
  const { keeper, pass } = setUp('');
  t.match(await keeper.arm(true), /has no watchdog/);
  await pass(1_000);
});
