// Only what is offered now is asked for, of the first that knows it; the core gets the rest.
import t from 'tap';
import { operatorRequests } from '../../../../appliance/runtime/operator-requests.ts';

t.test('offered, allowed, and by whom', async (t) => {
  const asked: string[] = [];
  const request = operatorRequests(
    () => [
      { name: 'mine', label: 'Mine', allowed: true, reason: '' },
      { name: 'cores', label: "The core's", allowed: true, reason: '' },
      { name: 'later', label: 'Later', allowed: false, reason: 'Not now.' },
    ],
    [() => null, (action, by) => (action === 'mine' ? { accepted: true, detail: { show: by } } : null)],
    (action, by) => asked.push(`${action} ${by}`),
  );
  t.strictSame(await request('mine', {}, 'the serial console'), { accepted: true, detail: { show: 'the serial console' } });
  t.strictSame(await request('cores', {}, 'web'), { accepted: true });
  t.strictSame(await request('later', {}, 'web'), { accepted: false, reason: 'Not now.' });
  t.strictSame(await request('none', {}, 'web'), { accepted: false, reason: "There is no action 'none'." });
  t.strictSame(asked, ['cores web']);
});
