import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { UpsWatch } from '../../../../appliance/runtime/sources/ups.ts';

/** Time passes when the test says so. */
function setUp(t: Test) {
  mock.timers.enable({ apis: ['setTimeout'] });
  const world = { status: 'OL', now: 0, reads: 0 };
  const observed: string[] = [];
  const told: string[] = [];
  const watch = new UpsWatch({
    read: async () => {
      world.reads++;
      if (world.status === '') throw new Error('nobody there');
      const onBattery = world.status.startsWith('OB');
      return { onBattery, low: world.status.endsWith('LB'), chargePercent: null, runtimeS: null, status: world.status };
    },
    onObserved: (onBattery, low) => observed.push(`${onBattery ? 'battery' : 'mains'}${low ? ', low' : ''}`),
    tell: (_severity, text) => told.push(text),
    now: () => world.now,
  });
  t.teardown(() => {
    watch.stop();
    mock.timers.reset();
  });
  const pass = async (ms: number) => {
    for (let passed = 0; passed <= ms; passed += 1_000) {
      for (let i = 0; i < 10; i++) await Promise.resolve();
      world.now += 1_000;
      mock.timers.tick(1_000);
    }
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  watch.start();
  return { watch, world, observed, told, pass };
}

t.test('changes are told, and only those', async (t) => {
  const { world, observed, pass, told, watch } = setUp(t);
  await pass(30_000);
  world.status = 'OB';
  await pass(30_000);
  world.status = 'OB LB';
  await pass(10_000);
  world.status = 'OL';
  await pass(10_000);
  t.same(observed, ['mains', 'battery', 'battery, low', 'mains']);
  t.same(told, []);
  t.equal(watch.latest?.status, 'OL');
});

t.test('a UPS that is lost while on battery counts as low, after a while', async (t) => {
  const { world, observed, pass, told } = setUp(t);
  world.status = 'OB';
  await pass(10_000);
  world.status = '';
  await pass(10_000);
  t.same(observed, ['mains', 'battery']);
  await pass(10_000);
  t.same(observed, ['mains', 'battery', 'battery, low']);
  t.same(told, ['The UPS cannot be read: nobody there.']);
  world.status = 'OL';
  await pass(5_000);
  t.same(observed.at(-1), 'mains');
  t.match(told.at(-1), /read again: OL/);
});

t.test('a UPS that is lost on mains says nothing of the mains', async (t) => {
  const { world, observed, pass, told } = setUp(t);
  await pass(5_000);
  world.status = '';
  await pass(120_000);
  t.same(observed, ['mains']);
  t.equal(told.length, 1);
});

t.test('stopped, and without a UPS', async (t) => {
  const { watch, world, pass } = setUp(t);
  await pass(1_000);
  const { reads } = world;
  watch.stop();
  await pass(60_000);
  t.equal(world.reads, reads);
  new UpsWatch({ read: null, onObserved: () => t.fail(), tell: () => t.fail(), now: () => 0 }).start();
});
