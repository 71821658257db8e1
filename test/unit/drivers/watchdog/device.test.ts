import { execFileSync, spawnSync } from 'node:child_process';
import t from 'tap';
import { FakeWatchdogKernel } from '../../../../drivers/watchdog/fake.ts';
import * as watchdog from '../../../../drivers/watchdog/index.ts';

type Board = Partial<Pick<FakeWatchdogKernel, 'device' | 'nowayout' | 'options' | 'mostS' | 'timeoutS'>>;
const kernelWith = (change: Board): FakeWatchdogKernel => Object.assign(new FakeWatchdogKernel(), change);

function open(kernel: FakeWatchdogKernel, timeoutMs = 5_000) {
  const lost: string[] = [];
  const dog = watchdog.openKernelWatchdog({ device: '/dev/watchdog', timeoutMs, onLost: (e) => lost.push(e.message) }, kernel);
  return { dog, lost };
}

t.test('who renews in time lives, who does not is reset', async (t) => {
  const kernel = new FakeWatchdogKernel();
  const { dog } = open(kernel, 4_200);
  t.equal(dog.timeoutMs, 5_000, 'whole seconds, never less than asked');
  for (let i = 0; i < 5; i++) {
    kernel.elapse(4_999);
    dog.renew();
  }
  t.equal(kernel.hasFired, false);
  kernel.elapse(5_000);
  t.equal(kernel.hasFired, true);
});

t.test('disarmed, the clock stands still; let go without a word, it runs on', async (t) => {
  const kernel = new FakeWatchdogKernel();
  const first = open(kernel).dog;
  t.ok(first.canStop);
  await first.disarm();
  kernel.elapse(60_000);
  t.equal(kernel.hasFired, false);
  const second = open(kernel).dog;
  kernel.elapse(4_000);
  second.close();
  second.renew();
  kernel.elapse(1_000);
  t.equal(kernel.hasFired, true, 'nobody has it any more');
});

t.test('a clock that cannot be stopped says so and is not let go', async (t) => {
  for (const change of [{ nowayout: '1' }, { options: watchdog.WDIOF_SETTIMEOUT }] satisfies Board[]) {
    const kernel = kernelWith(change);
    const { dog } = open(kernel);
    t.equal(dog.canStop, false);
    await t.rejects(dog.disarm(), /cannot be stopped \(nowayout\)/);
    kernel.elapse(4_000);
    dog.renew();
    kernel.elapse(4_000);
    t.equal(kernel.hasFired, false, 'it can still be renewed');
  }
  t.equal(open(kernelWith({ nowayout: null })).dog.canStop, true, 'a kernel that does not tell');
});

t.test('a board that makes something else of the time-out', async (t) => {
  t.equal(open(kernelWith({ mostS: 3 })).dog.timeoutMs, 3_000);
  t.equal(open(kernelWith({ options: watchdog.WDIOF_MAGICCLOSE })).dog.timeoutMs, 60_000);
});

t.test('what cannot be used is named, and its clock is stopped again', async (t) => {
  const none = kernelWith({ device: '/dev/other' });
  t.throws(() => open(none), /\/dev\/watchdog cannot be opened: there is no such device: load the driver/);
  const taken = new FakeWatchdogKernel();
  open(taken);
  t.throws(() => open(taken), /another program holds it/);
  const strange = kernelWith({ options: watchdog.WDIOF_MAGICCLOSE, timeoutS: 0 });
  t.throws(() => open(strange), /its time-out is 0 ms/);
  t.equal(strange.isRunning, false);
});

t.test('a device that stops taking renewals is told', async (t) => {
  const kernel = new FakeWatchdogKernel();
  const { dog, lost } = open(kernel);
  kernel.broken = 'EIO';
  dog.renew();
  t.match(lost, [/does not take a renewal: EIO/]);
});

const gcc = spawnSync('gcc', ['--version']).status === 0;
t.test('the numbers are those of the C header', { skip: gcc ? false : 'needs gcc' }, async (t) => {
  const { WDIOC_GETSUPPORT, WDIOC_SETTIMEOUT, WDIOC_GETTIMEOUT, WDIOC_KEEPALIVE, WDIOF_SETTIMEOUT, WDIOF_MAGICCLOSE } = watchdog;
  const ours = { WDIOC_GETSUPPORT, WDIOC_SETTIMEOUT, WDIOC_GETTIMEOUT, WDIOC_KEEPALIVE, WDIOF_SETTIMEOUT, WDIOF_MAGICCLOSE };
  const source = `#include <linux/watchdog.h>\nlong long numbers[] = { ${Object.keys(ours)
    .map((n) => `(unsigned)${n}`)
    .join(', ')}, sizeof(struct watchdog_info) };`;
  const assembly = execFileSync('gcc', ['-xc', '-', '-S', '-o', '-'], { input: source, encoding: 'utf8' });
  const numbers = [...assembly.matchAll(/\.quad\s+(\d+)/g)].map((m) => Number(m[1]));
  t.same(numbers, [...Object.values(ours), watchdog.INFO_BYTES]);
});

t.test('information about the device', async (t) => {
  const info = Buffer.alloc(watchdog.INFO_BYTES);
  info.writeUInt32LE(0x8180);
  info.write('iTCO_wdt', 8);
  t.same(watchdog.decodeInfo(info), { canSetTimeout: true, hasMagicClose: true, identity: 'iTCO_wdt' });
});
