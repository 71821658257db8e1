import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { FencePath } from '../../../../appliance/runtime/sources/fence-path.ts';

/** Time passes when the test says so. */
function setUp(t: Test) {
  mock.timers.enable({ apis: ['setTimeout'] });
  const told: [boolean, string][] = [];
  const world = { heard: true, answers: [] as ('on' | 'off' | Error)[], reads: 0 };
  const path = new FencePath({
    power: {
      read: async () => {
        world.reads++;
        const answer = world.answers.shift() ?? 'on';
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
    isPartnerHeard: () => world.heard,
    heardForMs: 800,
    onObserved: (proven, reason) => told.push([proven, reason]),
  });
  t.teardown(() => {
    path.stop();
    mock.timers.reset();
  });
  const pass = async (ms: number) => {
    mock.timers.tick(ms);
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  return { path, told, world, pass };
}

t.test('proven at start, looked at every minute', async (t) => {
  const { path, told, world, pass } = setUp(t);
  path.start();
  await pass(0);
  t.same(told, [[true, '']]);
  await pass(59_999);
  t.equal(world.reads, 1);
  await pass(1);
  t.equal(world.reads, 2);
});

t.test('a BMC that does not answer: unproven with its reason, looked at every five seconds until it does', async (t) => {
  const { path, told, world, pass } = setUp(t);
  world.answers = [new Error('the BMC at 192.0.2.1 does not answer'), new Error('wrong password')];
  path.start();
  await pass(0);
  await pass(5_000);
  await pass(5_000);
  t.same(told, [
    [false, 'the BMC at 192.0.2.1 does not answer'],
    [false, 'wrong password'],
    [true, ''],
  ]);
});

t.test('a BMC that says "off" for a partner that is heard lies', async (t) => {
  const { path, told, world, pass } = setUp(t);
  world.answers = ['off', 'off'];
  path.start();
  await pass(0);
  t.same(told, [], 'doubted once');
  await pass(800);
  t.match(told, [[false, /says that the power is off, and the partner is heard: it lies/]]);
});

t.test('a partner that dies just now does not make its BMC a liar', async (t) => {
  const { path, told, world, pass } = setUp(t);
  path.start();
  await pass(0);
  world.answers = ['off', 'off'];
  await pass(60_000);
  world.heard = false;
  await pass(800);
  t.same(told, [[true, '']], 'what was proven while it lived stays');
});

t.test('while the partner is not heard an answer proves nothing, and silence does', async (t) => {
  const { path, told, world, pass } = setUp(t);
  world.heard = false;
  world.answers = ['on', 'off', new Error('no answer')];
  path.start();
  await pass(0);
  await pass(5_000);
  t.same(told, []);
  await pass(5_000);
  t.same(told, [[false, 'no answer']]);
  world.heard = true;
  await pass(5_000);
  t.same(told.at(-1), [true, '']);
});

t.test('without a BMC, and stopped', async (t) => {
  const told: [boolean, string][] = [];
  const setup = { isPartnerHeard: () => true, heardForMs: 800, onObserved: (...said: [boolean, string]) => told.push(said) };
  new FencePath({ ...setup, power: null }).start();
  t.same(told, [[false, 'no BMC of the partner is configured']]);
  const { path, world, pass } = setUp(t);
  path.start();
  await pass(0);
  path.stop();
  await pass(600_000);
  t.equal(world.reads, 1);
});
