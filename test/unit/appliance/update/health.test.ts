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

/** Plays a version whose marks fail with `errors`, one after the other; `at` counts ms. */
async function play(judgements: boolean[], errors: (Error | null)[]) {
  const [told, marks, healthyAt]: [News[], number[], number[]] = [[], [], []];
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
    onHealthy: () => healthyAt.push(at),
    signal: new AbortController().signal,
    judge: async () => judgements.shift() ?? false,
    wait: async (ms) => {
      at += ms;
    },
    now: () => at,
  });
  return { told, marks, healthyAt };
}

t.test('it looks until then, marks once, tells the news; another update going on is waited for in silence', async (t) => {
  const { told, marks, healthyAt } = await play([false, false, true], [new UpdateRefusal('busy', 'busy')]);
  t.strictSame(marks, [4000, 6000], 'what was found healthy once is');
  t.strictSame(healthyAt, [4000], 'init is told before it is marked, and once');
  t.strictSame(told, [{ severity: 'info', text: 'it runs' }]);
});

t.test('a disk that takes no mark: told with the remedy, tried each minute, told again after hours, and that it is over', async (t) => {
  const broken = () => new Error('EIO: i/o error, write');
  const { told, marks, healthyAt } = await play([true], [broken(), broken(), broken(), new Error('EROFS')]);
  t.strictSame(marks, [0, 60_000, 120_000, 180_000, 240_000]);
  t.strictSame(healthyAt, [0], 'the clock of the trial leaves it alone');
  t.match(
    told.map((n) => n.text),
    [/works, but.*EIO.*each minute.*after three of them.*replace it/, /EROFS/, /now been noted/, 'it runs'],
    'the same thing once',
  );
  t.equal(told.length, 4);
  const long = await play([true], Array.from({ length: 500 }, broken));
  t.equal(long.told.filter((n) => n.severity === 'warning').length, 2, 'eight hours of it');
});

t.test('a server is started again only where its guest goes on', async (t) => {
  t.equal(whyNotRestart(null), null, 'no product runs');
  t.equal(whyNotRestart(picture({ role: 'secondary' })), null);
  t.equal(whyNotRestart(picture({ role: 'primary', state: 'off' })), null);
  t.match(whyNotRestart(picture({})), /move it to the other one first/);
  t.match(whyNotRestart(picture({ redundancy: 'simplex' })), /could not take it over \(Simplex: B is off\.\)/);
});
