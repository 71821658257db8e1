// When a checkpoint is asked for: with a clock and timers of the test's own.
import { mock } from 'node:test';
import t from 'tap';
import { CheckpointTrigger, COMPARISON_MINIMUM_MS } from '../../../../../appliance/runtime/effects/checkpoint-trigger.ts';

class Engine {
  now = 10_000;
  readonly asked: number[] = [];
  readonly trigger: CheckpointTrigger;
  constructor(minimumMs: number) {
    const config = { mode: 'lockstep', hold: { dataMs: 25, ackMs: 100 }, outputDelayMs: 5, idleMs: 1000, minimumMs } as const;
    this.trigger = new CheckpointTrigger(
      config,
      () => this.asked.push(this.now),
      () => this.now,
    );
  }
  pass(ms: number): void {
    for (let i = 0; i < ms; i++) {
      this.now++;
      mock.timers.tick(1);
    }
  }
  /** The engine makes one, in no time. */
  checkpoint(): void {
    this.trigger.begun();
    this.trigger.checkpointed();
  }
}

t.beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
t.afterEach(() => mock.timers.reset());

t.test('the comparison asks at once when the last checkpoint is long ago', async (t) => {
  const e = new Engine(0);
  e.trigger.enable();
  e.trigger.now();
  t.same(e.asked, [10_000]);
});

for (const [minimumMs, pauseMs] of [
  [0, COMPARISON_MINIMUM_MS],
  [200, 200],
] as const) {
  t.test(`a flood that makes the replicas differ all the time: one checkpoint in ${pauseMs} ms, and no want is lost`, async (t) => {
    const e = new Engine(minimumMs);
    e.trigger.enable();
    for (let ms = 0; ms < 2000; ms++) {
      const before = e.asked.length;
      e.trigger.now();
      e.pass(1);
      if (e.asked.length > before) e.checkpoint();
    }
    t.ok(e.asked.length <= 2000 / pauseMs + 2, `${e.asked.length} in 2 s`);
    t.ok(e.asked.length >= 2000 / pauseMs / 2, 'and they are made');
    e.pass(1000);
    e.checkpoint();
    const n = e.asked.length;
    e.trigger.begun();
    e.trigger.now();
    e.pass(500);
    t.equal(e.asked.length, n, 'not while the engine makes one: it would forget it');
    e.trigger.checkpointed();
    t.equal(e.asked.length, n, 'not at once');
    e.pass(pauseMs);
    t.equal(e.asked.length, n + 1, 'but as soon as it may');
  });
}

t.test('wanted before the guest runs: made as soon as it may be, and forgotten when the protection ends', async (t) => {
  const e = new Engine(20);
  e.trigger.now();
  t.same(e.asked, []);
  e.trigger.enable();
  t.same(e.asked, [10_000]);
  e.trigger.disable();
  e.trigger.now();
  e.trigger.disable();
  e.trigger.enable();
  e.pass(500);
  t.same(e.asked, [10_000]);
});

t.test('asked again when the engine forgets it, and not once it has begun', async (t) => {
  const e = new Engine(20);
  e.trigger.enable();
  e.trigger.now();
  e.pass(100);
  t.same(e.asked, [10_000, 10_100]);
  e.checkpoint();
  e.pass(500);
  t.equal(e.asked.length, 2);
});
