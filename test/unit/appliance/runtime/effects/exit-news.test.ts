import t from 'tap';
import { exitNews, panicLine } from '../../../../../appliance/runtime/effects/exit-news.ts';

t.test('a guest that switched itself off did so, whatever stands on its console', async (t) => {
  t.equal(exitNews(true, 'login: Kernel panic - once upon a time\n', 'exit code 0').cause, 'guestShutdown');
});

t.test('a panic is told with its line; without either it is a crash', async (t) => {
  t.strictSame(exitNews(false, 'a\n[1.0] Kernel panic - not syncing: x\nb', 'exit code 0'), {
    cause: 'guestPanic',
    reason: "exit code 0; the guest's console said: [1.0] Kernel panic - not syncing: x",
  });
  t.strictSame(exitNews(false, 'all is well', 'signal SIGKILL'), { cause: 'crash', reason: 'signal SIGKILL' });
});

t.test("what the guest writes cannot fill the incident or steer an operator's terminal", async (t) => {
  const line = panicLine(`\x1b[2JKernel panic ${'x'.repeat(10_000)}`);
  t.equal(line?.length, 200);
  t.match(line, /^\[2JKernel panic x/);
});
