// The campaign against the mirror on a model of a pair: what it counts, and that it fails for everything that is not as it must be.
import t from 'tap';
import type { CoServerName, ScrubView, TakeoverView } from '../../../../appliance/core/snapshot.ts';
import { disksPlan } from '../../../../hwqual/campaigns/disk-faults-plan.ts';
import { longestStandstill } from '../../../../hwqual/campaigns/disk-progress.ts';
import { type DisksOptions, runDisks } from '../../../../hwqual/campaigns/disks-campaign.ts';
import { disksPage } from '../../../../hwqual/campaigns/disks-page.ts';
import { disksTable, resyncOf, roundText } from '../../../../hwqual/campaigns/disks-report.ts';
import { type GuestLoad, type LoadStatus, parseLoadStatus } from '../../../../hwqual/campaigns/guest-load.ts';
import type { CopiesComparison, PairStatus } from '../../../../hwqual/campaigns/lab-control.ts';
import { FakeClients, FakeClock, FakeLab, type Faults } from './fake-pair.ts';

interface Trouble extends Faults {
  /** The copies differ from this comparison on, for so many comparisons. */
  differ?: { from: number; times: number };
  wrongInFio?: boolean;
  kernelComplains?: boolean;
  loadDies?: boolean;
  neverVerifies?: boolean;
  thawFails?: boolean;
  scrubCutShort?: boolean;
  quarantined?: number[];
}

class FakeLoad implements GuestLoad {
  state: 'busy' | 'frozen' | 'resting' = 'busy';
  passes = 0;
  readonly #trouble: Trouble;

  constructor(trouble: Trouble) {
    this.#trouble = trouble;
  }
  async freeze(): Promise<void> {
    if (this.#trouble.loadDies) throw new Error("the connection to the guest's load has ended");
    this.state = 'frozen';
  }
  async rest(): Promise<void> {
    this.state = 'resting';
  }
  async thaw(): Promise<void> {
    if (this.#trouble.thawFails) throw new Error('thaw: I/O error');
    this.state = 'busy';
  }
  async status(): Promise<LoadStatus> {
    const { wrongInFio, kernelComplains, neverVerifies } = this.#trouble;
    if (!neverVerifies) this.passes++;
    const failure = wrongInFio ? 'pass 3, status 256: crc32c: verify failed at file /load/xfs/direct' : '';
    return {
      jobs: [{ name: 'xfs-direct', passes: this.passes, writtenKiB: 4096, checkedKiB: 4096, failure }],
      complaintCount: kernelComplains ? 1 : 0,
      complaints: kernelComplains ? ['I/O error, dev vda, sector 8'] : [],
    };
  }
  async close(): Promise<void> {}
}

class FakeDisksLab extends FakeLab {
  readonly load: FakeLoad;
  readonly #trouble: Trouble;
  comparisons = 0;
  hanging: CoServerName | null = null;
  failed: CoServerName | null = null;
  scrub: ScrubView | null = null;
  checks = 0;

  constructor(clock: FakeClock, trouble: Trouble) {
    super(clock, trouble);
    this.#trouble = trouble;
    this.load = new FakeLoad(trouble);
  }
  async kill(server: CoServerName, what: 'product' | 'engine'): Promise<void> {
    this.actions.push(`kill ${what} ${server}`);
  }
  async disk(server: CoServerName, ...words: string[]): Promise<string> {
    this.actions.push(`disk ${server} ${words.join(' ')}`);
    // A disk that hangs is given up, and its CoServer with it.
    if (words[0] === 'write-error') this.failed = server;
    if (words[0] === 'hang') await this.freeze(server);
    else if (words[0] === 'ok' && this.hanging === server) await this.thaw(server);
    this.hanging = words[0] === 'hang' ? server : null;
    return 'done';
  }
  override async status(): Promise<PairStatus> {
    const status = await super.status();
    for (const server of ['A', 'B'] as const) {
      const snapshot = status[server];
      const disk = { sizeBytes: 1, repairedBlocks: 0, quarantined: this.#trouble.quarantined ?? [], scrub: this.scrub, lateMs: 0 };
      if (snapshot !== null)
        status[server] = { ...snapshot, disk, actions: [{ name: 'try-disk', label: '', allowed: this.failed === server, reason: '' }] };
    }
    return status;
  }
  async act(server: CoServerName, action: string): Promise<void> {
    this.actions.push(`${action} ${server}`);
    if (action === 'try-disk') this.failed = null;
    if (action === 'start-scrub' && !this.#trouble.scrubCutShort)
      this.scrub = {
        state: 'done',
        startedAt: this.clock.now(),
        endedAt: 1,
        checkedBytes: 1,
        totalBytes: 1,
        differed: 1,
        repaired: 1,
        reason: '',
      };
  }
  async checkDisk(): Promise<{ clean: boolean; detail: string }> {
    if (this.load.state !== 'resting' && !this.guestOff) throw new Error('the file systems are in use');
    this.checks++;
    return { clean: !this.#trouble.coldDamaged, detail: 'fsck output' };
  }
  override async compareCopies(): Promise<CopiesComparison> {
    if (this.load.state === 'busy' && !this.guestOff) throw new Error('the guest writes');
    const { differ } = this.#trouble;
    const at = this.comparisons++;
    const same = differ === undefined || at < differ.from || at >= differ.from + differ.times;
    return same ? { identical: true, detail: 'equal' } : { identical: false, detail: 'block 17' };
  }
}

async function campaign(trouble: Trouble = {}, { count = 12, ...options }: Partial<DisksOptions> & { count?: number } = {}) {
  const clock = new FakeClock();
  const lab = new FakeDisksLab(clock, trouble);
  const clients = new FakeClients(clock, trouble);
  const report = await runDisks({
    plan: disksPlan(count, 4),
    seed: 4,
    lab,
    clients,
    connect: () => lab.load,
    clock,
    duplexTimeoutS: 60,
    ...options,
  });
  return { report, lab };
}

t.test('all is well: every round is compared, the file systems are checked, everything is mended', async (t) => {
  const { report, lab } = await campaign({}, { count: 60 });
  t.strictSame(report.problems, []);
  t.ok(report.ok);
  t.match(report, {
    rounds: { length: 60 },
    compared: 61,
    identical: 61,
    fileSystemChecks: 7,
    fileSystemChecksClean: 7,
    lostAcknowledged: 0,
  });
  t.equal(lab.load.state, 'busy');
  const count = (pattern: RegExp) => lab.actions.filter((action) => pattern.test(action)).length;
  t.equal(count(/^off /), count(/^on /));
  t.equal(count(/^freeze /), count(/^thaw /));
  t.equal(count(/^link \d down/), count(/^link \d up/));
  t.equal(count(/^disk . (?!ok|rot)/), count(/^disk . ok/));
  t.equal(count(/^try-disk /), count(/^disk . write-error/), 'who gave its disk up is told that it is well');
  t.ok(count(/^kill product/) > 0 && count(/^kill engine/) > 0);
  t.match(disksTable(report), /all as it must be\n {2}rounds 60,[\s\S]*copies identical 61 of 61/);
  t.match(disksPage(report), /All as it must be\./);
  const [first] = report.rounds;
  t.match(first && roundText(first, 60), /^round 1 of 60: .*copies identical$/);
});

t.test('copies that become equal late are equal, copies that stay different end the campaign', async (t) => {
  const late = await campaign({ differ: { from: 2, times: 3 } });
  t.ok(late.report.ok, 'the secondary was writing its journal back');
  const never = await campaign({ differ: { from: 2, times: 1e9 } });
  t.notOk(never.report.ok);
  t.equal(never.report.rounds.length, 3);
  t.match(never.report.problems.join('\n'), /ended after round 3 of 12[\s\S]*round 3: the copies differ: block 17/);
  t.match(disksPage(never.report), /DIFFERENT/);
});

for (const [name, trouble, message] of [
  ['a block that fio finds wrong', { wrongInFio: true }, /fio xfs-direct: pass 3, status 256: crc32c: verify failed/],
  ['an error that the guest sees', { kernelComplains: true }, /kernel complains 1 times: I\/O error, dev vda/],
  ['a guest that was started again', { loadDies: true }, /connection to the guest's load has ended/],
  ['a load that verifies nothing', { neverVerifies: true }, /has ended no pass: nothing was verified/],
  ['a scrub that does not end', { scrubCutShort: true }, /the copies were not scrubbed: nothing/],
  ['a block that nobody knows', { quarantined: [8192] }, /nobody knows which copy is right of 1 blocks, the first at 8192/],
  ['a guest that stays frozen', { thawFails: true }, /thaw: I\/O error/],
  ['a lost append', { lose: true }, /acknowledged records lost/],
  ['an append missing on a cold copy', { coldLost: true }, /not on the cold copy of A/],
  ['a damaged file system', { coldDamaged: true }, /file systems on the copy of A are damaged: fsck output/],
  ['a connection that hangs', { hang: true }, /connections hung/],
  ['a connection that breaks', { broken: true }, /connections broken/],
  ['a split', { split: true }, /both servers say that they run the workload/],
  ['no duplex', { neverDuplex: true }, /no duplex within 60 s/],
  ['a guest that does not shut down', { shutdownFails: true }, /not shut down cleanly/],
] as const satisfies readonly (readonly [string, Trouble, RegExp])[]) {
  t.test(`${name} makes the report not ok`, async (t) => {
    const { report } = await campaign(trouble, { count: 40 });
    t.notOk(report.ok);
    t.match(report.problems.join('\n'), message);
  });
}

t.test('a campaign may be ended by its time', async (t) => {
  const { report } = await campaign({}, { count: 1000, limitMs: 60_000 });
  t.ok(report.ok);
  t.ok(report.rounds.length < 1000 && report.rounds.length > 0);
});

t.test('what a CoServer tells of a resync', async (t) => {
  t.strictSame(
    resyncOf('The disks are equal: 44 MB compared, 12.5 MB copied: what either copy wrote since they were equal, 11 of 36 extents.'),
    {
      comparedBytes: 44_000_000,
      copiedBytes: 12_500_000,
    },
  );
  t.equal(resyncOf('Both replicas run, as generation 2.'), null);
});

t.test('what the load answers', async (t) => {
  const line = '{"jobs":[],"complaintCount":0,"complaints":[]}';
  t.strictSame(parseLoadStatus(line), { jobs: [], complaintCount: 0, complaints: [] });
  t.throws(() => parseLoadStatus('{"jobs":[]}'), /the guest's load answered {"jobs":\[\]}/);
});

t.test('how long the disk stood still', async (t) => {
  const points = (server: 'A' | 'B', ...times: number[]) => times.map((at) => ({ at, server }));
  const none = { from: 1000, to: 2000, first: 'A', takeovers: [] } as const;
  t.equal(longestStandstill(points('A', 900, 1100, 1500, 1900), none), 400);
  t.equal(longestStandstill(points('A', 1100), none), 900, 'until the end');
  t.equal(longestStandstill(points('B', 1100, 1300, 1500, 1700, 1900), none), 1000, 'the other replica is not the workload');
  const takeover = {
    at: 1420,
    coServer: 'B',
    kind: 'takeover',
    reason: '',
    row: '5',
    steps: [
      { step: 'lost', atMs: 0 },
      { step: 'granted', atMs: 20 },
      { step: 'guest runs', atMs: 100 },
    ],
  } as const satisfies TakeoverView;
  // Lost at 1400, runs from 1500 on: what the old one says later and the new one earlier does not count.
  const both = [...points('A', 1050, 1450), ...points('B', 1200, 1450, 1520, 1700, 1900)];
  t.equal(longestStandstill(both, { ...none, takeovers: [takeover] }), 1520 - 1050);
});
