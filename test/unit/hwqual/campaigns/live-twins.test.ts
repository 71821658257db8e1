// The campaign of live twins against two servers that are made up: what it asks for, in which order, and what it makes of what it sees.
import t from 'tap';
import type { CoServerName, Snapshot, TimelineEntry } from '../../../../appliance/core/snapshot.ts';
import { LIVE_STAGES, LiveTwins } from '../../../../hwqual/campaigns/live-twins-campaign.ts';
import { MachineWatch } from '../../../../hwqual/campaigns/machine-watch.ts';
import { partnerOf } from '../../../../hwqual/campaigns/pair-picture.ts';

const QUALIFIED = { verdict: 'passed', sentence: 'identical in 24 items' };
const ITEM = { item: 'Version of the BIOS', verdict: 'refused', a: '2.19.1', b: '2.21.0', rule: 'Identical servers have the same.' };
const REFUSED = { verdict: 'refused', sentence: 'version of the BIOS (bios.version): 2.19.1 on A, 2.21.0 on B', items: [ITEM] };

/** Does at once what the pair does after minutes. */
class World {
  primary: CoServerName = 'A';
  level: 2 | 3;
  duplex = true;
  qualification: object = QUALIFIED;
  readonly faults = new Set<CoServerName>();
  readonly gone = new Set<CoServerName>();
  readonly done: string[] = [];
  readonly timeline: TimelineEntry[] = [];
  guest = { starts: 1, records: 0, last: 0, upMs: 5_000 };
  /** What is not as it should be. */
  wrong: 'none' | 'guest starts anew' | 'records lost' | 'stays duplex' = 'none';

  constructor(level: 2 | 3) {
    this.level = level;
  }

  snapshot(coServer: CoServerName): Snapshot | null {
    if (this.gone.has(coServer)) return null;
    return {
      coServer,
      redundancy: this.duplex ? 'duplex' : 'simplex',
      redundancySentence: this.duplex ? 'Either may fail.' : 'Not redundant.',
      workload: { state: 'running', level: this.level === 3 ? 'faultTolerant' : 'highlyAvailable' },
      coServers: (['A', 'B'] as const).map((name) => ({ name, role: name === this.primary ? 'primary' : 'secondary' })),
      audit: { state: 'proven' },
      attention: this.qualification === REFUSED ? [{ kind: 'qualification', sentence: REFUSED.sentence }] : [],
      hardware: {
        qualification: this.qualification,
        faults: [...this.faults].map((name) => ({
          coServer: name,
          sentence: 'A fan turns slower',
          where: 'FAN1',
          effect: 'The role may move',
        })),
      },
      timeline: this.timeline,
    } as unknown as Snapshot;
  }

  #move(row: string, to: CoServerName): void {
    this.primary = to;
    if (this.level === 2 || this.wrong === 'guest starts anew') this.guest = { ...this.guest, starts: this.guest.starts + 1 };
    if (this.wrong === 'records lost') this.guest = { ...this.guest, records: 0, last: 0 };
    this.timeline.push({ at: Date.now() + this.timeline.length, atMs: 0, coServer: to, severity: 'critical', row, text: `moves to ${to}` });
  }

  campaign(): LiveTwins {
    const watch = new MachineWatch({ snapshot: async (server) => this.snapshot(server) }, () => undefined, 1);
    watch.start();
    t.teardown(() => watch.stop());
    return new LiveTwins({
      watch,
      guest: {
        status: async () => this.guest,
        append: async (n) => {
          this.guest = { ...this.guest, records: this.guest.records + 1, last: n };
        },
      },
      inject: async (fault, server) => {
        this.done.push(`${fault} ${server}`);
        if (fault === 'fanSlow') {
          this.faults.add(server);
          this.#move('16', partnerOf(server));
        } else this.#move('5', partnerOf(server));
      },
      clear: async (fault, server) => {
        this.done.push(`clear ${fault} ${server}`);
        this.faults.delete(server);
      },
      replaceByMismatch: async (server, what) => {
        this.done.push(`${what} ${server}`);
        this.duplex = this.wrong === 'stays duplex' || this.level === 2;
        this.qualification = REFUSED;
      },
      setLevel: async (server, level) => {
        this.done.push(`level ${level} ${server}`);
        if (server !== this.primary) return;
        this.level = level;
        this.duplex = true;
      },
      say: () => undefined,
      limitMs: this.wrong === 'none' ? 60_000 : 3_000,
    });
  }
}

t.test('at level 3: all stages, the guest never starts anew, the standby changes its level first', async (t) => {
  const world = new World(3);
  const campaign = world.campaign();
  await campaign.run(LIVE_STAGES, 3);
  t.ok(campaign.isWhole, JSON.stringify(campaign.steps));
  t.strictSame(world.done, ['fanSlow A', 'clear fanSlow A', 'machineCheckUncorrected B', 'biosVersion B', 'level 2 B', 'level 2 A']);
  const seen = campaign.steps.map(({ seen }) => seen);
  t.ok(seen.includes('Version of the BIOS: 2.19.1 on A, 2.21.0 on B'), 'the item, with both values');
  t.ok(seen.includes('moves to B'), 'the row is told');
  t.equal(world.guest.starts, 1);
});

t.test('at level 2 each move is a start of the guest', async (t) => {
  const world = new World(2);
  const campaign = world.campaign();
  await campaign.run(LIVE_STAGES, 2);
  t.ok(campaign.isWhole, JSON.stringify(campaign.steps));
  t.equal(world.guest.starts, 3);
  t.notOk(world.done.some((what) => what.startsWith('level')));
});

for (const [wrong, step] of [
  ['guest starts anew', 'the guest goes on'],
  ['records lost', 'the guest goes on'],
  ['stays duplex', 'there is no lockstep, and it says why'],
] as const)
  t.test(`it ends where something is wrong: ${wrong}`, async (t) => {
    const world = new World(3);
    world.wrong = wrong;
    const campaign = world.campaign();
    await campaign.run(LIVE_STAGES, 3);
    t.notOk(campaign.isWhole);
    t.match(campaign.steps.at(-1), { step, seconds: null });
  });
