import t from 'tap';
import type { Snapshot } from '../../../../appliance/core/snapshot.ts';
import { UpdateRefusal } from '../../../../appliance/update/bundle.ts';
import { ALONE_MS, followHealth, isHealthy } from '../../../../appliance/update/health.ts';
import type { News } from '../../../../appliance/update/record.ts';
import { whyNotRestart } from '../../../../appliance/update/restart.ts';

function picture(change: { partner?: boolean; role?: string; redundancy?: string; state?: string }): Snapshot {
  const { partner = true, role = 'primary', redundancy = 'duplex', state = 'running' } = change;
  return {
    coServer: 'A',
    redundancy,
    redundancySentence: 'Simplex: B is off.',
    workload: { state },
    coServers: [
      { name: 'A', present: true, role },
      { name: 'B', present: partner, role: 'secondary' },
    ],
  } as unknown as Snapshot;
}

t.test('healthy: the console answers, and the partner is heard or has been missing for a while', async (t) => {
  t.equal(isHealthy(picture({}), 0), true);
  t.equal(isHealthy(picture({ partner: false }), ALONE_MS - 1), false, 'its own presence does not count');
  t.equal(isHealthy(picture({ partner: false }), ALONE_MS), true);
  t.equal(isHealthy(null, ALONE_MS * 10), false);
});

t.test('it looks until then, marks once, tells the news; another update going on is waited for in silence', async (t) => {
  const answers = [null, picture({ partner: false }), picture({}), picture({}), picture({}), picture({})];
  const errors = [new UpdateRefusal('busy', 'busy'), new Error('EIO'), new Error('EIO')];
  const told: News[] = [];
  const marks: number[] = [];
  let at = 0;
  await followHealth({
    store: {
      markHealthy: async () => {
        marks.push(at);
        const error = errors.shift();
        if (error) throw error;
        return true;
      },
      news: async () => ({ severity: 'info', text: 'it runs' }),
    },
    socketPath: '',
    tell: (news) => told.push(news),
    signal: new AbortController().signal,
    ask: async () => answers.shift() ?? null,
    wait: async () => {
      at += 1;
    },
    now: () => at,
  });
  t.strictSame(marks, [2, 3, 4, 5]);
  t.strictSame(
    told.map((n) => n.text),
    ['This version works, and could not be marked so: EIO', 'it runs'],
  );
});

t.test('a server is started again only where its guest goes on', async (t) => {
  t.equal(whyNotRestart(null), null, 'no product runs');
  t.equal(whyNotRestart(picture({ role: 'secondary' })), null);
  t.equal(whyNotRestart(picture({ role: 'primary', state: 'off' })), null);
  t.match(whyNotRestart(picture({})), /move it to the other one first/);
  t.match(whyNotRestart(picture({ redundancy: 'simplex' })), /could not take it over \(Simplex: B is off\.\)/);
});
