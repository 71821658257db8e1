import t from 'tap';
import type { Reading } from '../../../../appliance/core/faults/types.ts';
import { Punctuality } from '../../../../appliance/hardware/punctuality.ts';
import { ReaderLoop } from '../../../../appliance/hardware/reader.ts';

t.test('how late a thread was, since when', async (t) => {
  const clock = { now: 1_000, turn: () => {} };
  const watch = {
    now: () => clock.now,
    every: (_: number, turn: () => void) => {
      clock.turn = turn;
      return () => {};
    },
  };
  const punctuality = new Punctuality(watch);
  const after = (ms: number) => {
    clock.now += ms;
    clock.turn();
  };
  for (let i = 0; i < 20; i++) after(260);
  t.equal(punctuality.worstSince(0), 0, 'a little late is not late');
  after(5_250);
  const then = clock.now;
  t.equal(punctuality.worstSince(1_000), 5_000);
  after(250);
  t.equal(punctuality.worstSince(then), 5_000);
  after(550);
  t.equal(punctuality.worstSince(then), 5_000);
  t.equal(punctuality.totalSince(then), 5_300);
  t.equal(punctuality.totalSince(then + 1), 300, 'of what came later');
  t.equal(punctuality.worstSince(clock.now + 1), 0, 'that was before');
  clock.now += 3_250;
  t.equal(punctuality.worstSince(clock.now), 3_000, 'nobody had a turn yet that would say so');
});

const answers = async (lateMs: number, read: () => Promise<Reading>, rounds: number): Promise<Reading[]> => {
  const told: Reading[] = [];
  let done = (): void => {};
  const end = new Promise<void>((resolve) => {
    done = resolve;
  });
  let left = rounds;
  const loop = new ReaderLoop(
    {
      source: 'smart',
      everyMs: 1,
      read: async () => {
        if (left-- === 0) done();
        return read();
      },
    },
    (reading) => told.push(reading),
    () => lateMs,
  );
  loop.start();
  await end;
  await loop.stop();
  return told;
};

t.test('what failed while the thread stood still is no failure of the part, three times in a row at most', async (t) => {
  const fails = () => Promise.reject(new Error('no answer within 20 s'));
  t.equal((await answers(0, fails, 3)).length, 3);
  t.equal((await answers(20_000, fails, 3)).length, 0);
  t.match(await answers(20_000, fails, 4), [{ source: 'unreadable' }]);
  const partly = async (): Promise<Reading> => ({ source: 'smart', disks: [], failed: [{ disk: '/dev/sda', reason: 'timeout' }] });
  t.equal((await answers(20_000, partly, 3)).length, 0);
  t.equal((await answers(0, partly, 3)).length, 3);
  const whole = async (): Promise<Reading> => ({ source: 'smart', disks: [], failed: [] });
  t.equal((await answers(20_000, whole, 3)).length, 3, 'an answer is an answer');
});
