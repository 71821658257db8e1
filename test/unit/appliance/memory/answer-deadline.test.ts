import { mock } from 'node:test';
import t from 'tap';
import { AnswerDeadline, ENGINE_WITHIN_MS } from '../../../../appliance/memory/answer-deadline.ts';

t.beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
t.afterEach(() => mock.timers.reset());

t.test('an answer that does not come is told once, by what was expected', async (t) => {
  const fired: string[] = [];
  const deadline = new AnswerDeadline((reason) => fired.push(reason));
  deadline.expect('stop for the checkpoint of interval 7', ENGINE_WITHIN_MS);
  mock.timers.tick(ENGINE_WITHIN_MS - 1);
  t.same(fired, []);
  mock.timers.tick(1);
  t.same(fired, [`the secondary did not stop for the checkpoint of interval 7 within ${ENGINE_WITHIN_MS} ms`]);
  mock.timers.tick(10 * ENGINE_WITHIN_MS);
  t.equal(fired.length, 1);
});

t.test('met, or with progress: not told', async (t) => {
  const fired: string[] = [];
  const deadline = new AnswerDeadline((reason) => fired.push(reason));
  deadline.expect('stop', ENGINE_WITHIN_MS);
  deadline.met();
  mock.timers.tick(2 * ENGINE_WITHIN_MS);
  deadline.expect('load', ENGINE_WITHIN_MS);
  for (let i = 0; i < 5; i++) {
    mock.timers.tick(ENGINE_WITHIN_MS - 1);
    deadline.progress();
  }
  t.same(fired, []);
  mock.timers.tick(ENGINE_WITHIN_MS);
  t.match(fired, [/did not load/]);
});
