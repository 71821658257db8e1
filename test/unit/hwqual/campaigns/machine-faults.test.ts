// The campaign of hardware faults: what is planned, how what was seen is judged, and a whole run against servers that are made up.
import t from 'tap';
import { CATALOGUE } from '../../../../appliance/core/faults/catalogue.ts';
import { effectOf } from '../../../../appliance/core/faults/told.ts';
import type { CoServerName, Snapshot, TimelineEntry } from '../../../../appliance/core/snapshot.ts';
import { runMachineFaults } from '../../../../hwqual/campaigns/machine-faults-campaign.ts';
import {
  falseAlarms,
  findTold,
  judgeFault,
  type Observation,
  partnerShows,
  partnersPicture,
  type SeenEntry,
  toldBy,
} from '../../../../hwqual/campaigns/machine-faults-judge.ts';
import {
  EXPECTED,
  type FaultExpectation,
  machineFaultsPlan,
  NOT_JUDGED,
  notMade,
} from '../../../../hwqual/campaigns/machine-faults-plan.ts';
import {
  emptyFaultsReport,
  faultsPage,
  faultsTable,
  type MachineFaultsReport,
} from '../../../../hwqual/campaigns/machine-faults-report.ts';
import { MachineWatch } from '../../../../hwqual/campaigns/machine-watch.ts';
import { type Injection, LAB_FAULT_NAMES, type Lab, type LabFault } from '../../../../hwqual/lab/lab-interface.ts';

const entry = (text: string, over: Partial<SeenEntry> = {}): SeenEntry => ({
  at: 0,
  atMs: 0,
  coServer: 'A',
  severity: 'critical',
  row: null,
  text,
  seenMs: 10,
  ...over,
});

t.test('every fault of the lab is expected to do something, or it is said why it is not judged', async (t) => {
  for (const fault of LAB_FAULT_NAMES) t.ok((EXPECTED[fault] === undefined) !== (NOT_JUDGED[fault] === undefined), fault);
});

t.test('the action that is expected is what the catalogue says of the fault', async (t) => {
  const effects = { none: 'none', moveRole: 'preFail', endServer: 'uncorrectable', detachDisk: 'detachDisk', restart: '' };
  for (const [fault, e] of Object.entries(EXPECTED)) {
    if (e.code === null) continue;
    // The machines have the workload's copy on their SATA disk, and the system on the NVMe one.
    t.equal(effects[e.action], effectOf({ code: e.code, holdsCopy: e.where === '/dev/sda' }), fault);
  }
});

t.test('a plan has every fault on both servers, a link once, and what ends a server last', async (t) => {
  const all = machineFaultsPlan(LAB_FAULT_NAMES, [], true);
  const planned = all.flatMap(({ lanes }) => lanes.flat());
  for (const fault of LAB_FAULT_NAMES) {
    const times = fault === 'link1Down' || fault === 'link2Down' ? 1 : NOT_JUDGED[fault] === undefined ? 2 : 0;
    t.equal(planned.filter((p) => p.fault === fault).length, times, fault);
  }
  const last = all.at(-1);
  t.strictSame(last?.lanes.length, 1);
  t.ok(last?.lanes[0]?.every(({ fault }) => ['memoryUncorrectedSel', 'machineCheckUncorrected', 'machineCheckFatal'].includes(fault)));
  for (const { lanes } of all) {
    const cables = lanes.filter((lane) => lane.some(({ fault }) => fault.startsWith('link')));
    t.ok(cables.length <= 1, 'two links are never out at once');
  }
});

t.test('a person does one thing after the other, and only what was asked for', async (t) => {
  const stages = machineFaultsPlan(['fanFailed', 'fanSlow', 'pcieUncorrected'], ['fan'], false);
  t.strictSame(
    stages.map(({ lanes }) => lanes.map((lane) => lane.map(({ fault, server }) => `${fault} ${server}`))),
    [[['fanSlow A', 'fanFailed A', 'fanSlow B', 'fanFailed B']]],
  );
  t.strictSame(machineFaultsPlan(LAB_FAULT_NAMES, ['nvmeReadOnly:B'], true)[0]?.lanes, [[{ fault: 'nvmeReadOnly', server: 'B' }]]);
});

t.test('what is not made is listed with its reason', async (t) => {
  const left = notMade(['fanFailed', 'sataReadError'], 'real');
  t.match(left.find(({ fault }) => fault === 'sataReadError')?.reason, /mirror/);
  t.match(left.find(({ fault }) => fault === 'fanSlow')?.reason, /real\.yaml/);
  t.notOk(left.some(({ fault }) => fault === 'fanFailed'));
});

t.test("a CoServer's words are a fault of the catalogue, told or over, or about something else", async (t) => {
  const raised = toldBy(entry('A fan has failed (FAN1: 0 RPM, too low, critical). Replace the fan.', { row: '16' }));
  t.match(raised, { code: 'fanFailed', isOver: false, row: '16', coServer: 'A' });
  t.match(toldBy(entry('It is over: A fan has failed (FAN1: 0 RPM).')), { code: 'fanFailed', isOver: true });
  t.match(toldBy(entry('The BMC does not answer. Reset the BMC; sensors and fencing depend on it.')), { code: 'bmcSilent' });
  t.equal(toldBy(entry('Link 1 is up.')), null);
  t.equal(toldBy(entry('A fan has failedness')), null);
});

const picture = (coServer: CoServerName, over: Partial<Snapshot> = {}): Snapshot =>
  ({
    coServer,
    uptimeMs: 1_000_000,
    coServers: [
      { name: 'A', present: true, role: 'none' },
      { name: 'B', present: true, role: 'none' },
    ],
    attention: [],
    timeline: [],
    arbiter: { fencePath: { proven: true } },
    hardware: { watched: true, sources: [{ source: 'sensors', state: 'read' }] },
    ...over,
  }) as unknown as Snapshot;

t.test('what one server told is not what the other one did, nor what was told before', async (t) => {
  const told = [toldBy(entry('A fan has failed (FAN1: 0 RPM). Replace.', { seenMs: 50 }))].filter((x) => x !== null);
  const wanted = { code: 'fanFailed', where: 'FAN1', server: 'A', isOver: false, sinceMs: 10 } as const;
  t.equal(findTold(told, wanted)?.seenMs, 50);
  t.equal(findTold(told, { ...wanted, server: 'B' }), null);
  t.equal(findTold(told, { ...wanted, where: 'FAN2' }), null);
  t.equal(findTold(told, { ...wanted, isOver: true }), null);
  t.equal(findTold(told, { ...wanted, sinceMs: 51 }), null);
});

t.test("the partner's picture tells of a server that cannot be asked", async (t) => {
  const attention = [
    { kind: 'hardware', title: 'CoServer A: a network port has no carrier', sentence: 'mgmt0 (management). Its own console says more.' },
  ] as unknown as Snapshot['attention'];
  t.ok(partnerShows(picture('B', { attention }), 'nicDown', 'mgmt0', 'A'));
  t.notOk(partnerShows(picture('B', { attention }), 'nicDown', 'lan0', 'A'));
  t.notOk(partnerShows(picture('B', { attention }), 'nicDown', 'mgmt0', 'B'));
  t.notOk(partnerShows(null, 'nicDown', 'mgmt0', 'A'));
  t.equal(partnersPicture(picture('B'), 'fencePath', 'A'), false);
  t.equal(partnersPicture(picture('B', { arbiter: { fencePath: { proven: false } } as never }), 'fencePath', 'A'), true);
  t.equal(partnersPicture(null, 'hearing', 'A'), null);
});

const FAN = EXPECTED.fanFailed as FaultExpectation;
const seen = (over: Partial<Observation> = {}): Observation => ({
  fault: 'fanFailed',
  server: 'B',
  how: 'ipmi_sim',
  injections: 1,
  injectedMs: 1_000,
  detected: { atMs: 12_340, row: '16', text: 'A fan has failed (FAN1)', by: 'itself' },
  detectedByBothMs: null,
  startedAgain: null,
  clearedFromMs: 20_000,
  overMs: 85_500,
  role: 'secondary',
  trouble: '',
  ...over,
});

t.test('a fault is right when it is told with its row and ends', async (t) => {
  t.match(judgeFault(FAN, seen()), { detectedS: 11.3, overS: 65.5, row: '16', problems: [] });
  t.match(judgeFault(FAN, seen({ detected: null })).problems, ['not detected: fanFailed']);
  t.match(judgeFault(FAN, seen({ overMs: null })).problems, [/does not end/]);
  t.match(judgeFault(FAN, seen({ detected: { atMs: 1, row: null, text: '', by: 'itself' } })).problems, [/row none instead of 16/]);
  t.match(judgeFault(FAN, seen({ trouble: 'QEMU said no' })).problems, ['QEMU said no']);
});

t.test('a cable has two ends, and a server that ends itself comes back and knows why', async (t) => {
  const link = EXPECTED.link1Down as FaultExpectation;
  const told = { atMs: 2_000, row: null, text: 'no carrier', by: 'itself' } as const;
  t.match(judgeFault(link, seen({ detected: told })).problems, [/other end/]);
  t.same(judgeFault(link, seen({ detected: told, detectedByBothMs: 3_000 })).problems, []);
  const ends = EXPECTED.memoryUncorrectedSel as FaultExpectation;
  const lost = { ...told, row: '17' };
  t.match(judgeFault(ends, seen({ detected: lost, overMs: null })).problems, [/did not end/]);
  const forgot = { detected: lost, overMs: null, startedAgain: { atMs: 9_000, knowsWhy: false } };
  t.match(judgeFault(ends, seen(forgot)).problems, [/does not say why/]);
  t.same(judgeFault(ends, seen({ ...forgot, startedAgain: { atMs: 9_000, knowsWhy: true } })).problems, []);
});

t.test('a server whose file system takes nothing any more is well after its BMC has started it anew', async (t) => {
  const broken = EXPECTED.sataWriteError as FaultExpectation;
  const told = { atMs: 2_000, row: '12', text: 'A disk does not take', by: 'itself' } as const;
  t.match(judgeFault(broken, seen({ detected: told })), { overNote: 'started anew by its BMC', problems: [] });
  t.match(judgeFault(broken, seen({ detected: told, overMs: null })).problems, [/not in good order/]);
});

t.test('what nobody made is a false alarm', async (t) => {
  const told = [
    toldBy(entry('A fan has failed (FAN1).', { seenMs: 50 })),
    toldBy(entry('A fan has failed (FAN1).', { seenMs: 50, coServer: 'B' })),
    toldBy(entry('A fan has failed (FAN1).', { seenMs: 500 })),
    toldBy(entry('A fan has failed (FAN1).', { seenMs: 5 })),
    toldBy(entry('It is over: A power supply has failed (PSU1).')),
  ].filter((x) => x !== null);
  const made = { server: 'A', codes: ['fanFailed'], fromMs: 10, toMs: 100, both: false } as const;
  t.strictSame(
    falseAlarms(told, [made]).map(({ coServer, seenMs }) => `${coServer} ${seenMs}`),
    ['B 50', 'A 500', 'A 5'],
  );
});

/** Two servers that tell at once what is done to them. */
class MadeUpPair implements Lab {
  readonly world: 'virtual' | 'real';
  readonly faults: readonly LabFault[] = ['fanFailed', 'memoryCorrectedSel'];
  readonly timelines: Record<CoServerName, TimelineEntry[]> = { A: [], B: [] };
  injections = 0;

  constructor(world: 'virtual' | 'real' = 'virtual') {
    this.world = world;
  }

  tell(server: CoServerName, text: string, row: string | null): void {
    this.timelines[server].push({ at: this.timelines[server].length, atMs: 0, coServer: server, severity: 'critical', row, text });
  }

  async inject(fault: LabFault, server: CoServerName): Promise<Injection> {
    this.injections++;
    if (fault === 'fanFailed') this.tell(server, 'A fan has failed (FAN1: 0 RPM). Replace.', '16');
    else {
      const told = () => this.tell(server, `${CATALOGUE.memoryCorrectedRate.sentence} (DIMM A1).`, '16');
      if (this.world === 'virtual' && this.injections >= 10) told();
      // What a person does takes its time until it shows: whoever is impatient asks again meanwhile.
      if (this.world === 'real' && this.injections === 1) setTimeout(told, 50);
    }
    return { fault, server, how: 'said so', atMs: performance.now(), isEvent: fault !== 'fanFailed' };
  }

  async clear({ server }: Pick<Injection, 'server'>): Promise<string> {
    this.tell(server, 'It is over: A fan has failed (FAN1: 0 RPM).', null);
    return 'said so';
  }

  power(): never {
    throw new Error('not asked for');
  }
  console(): never {
    throw new Error('not asked for');
  }
  async close(): Promise<void> {}
}

async function play(pair: MadeUpPair, only: string[], look: (soFar: MachineFaultsReport) => void = () => undefined) {
  const watch = new MachineWatch({ snapshot: async (server) => picture(server, { timeline: [...pair.timelines[server]] }) }, undefined, 1);
  watch.start();
  const kept: string[] = [];
  const report = await runMachineFaults({
    lab: pair,
    watch,
    stages: machineFaultsPlan(pair.faults, only, true),
    tryDisk: async () => undefined,
    onOutcome: async ({ fault, server }, soFar) => {
      kept.push(`${fault} ${server}`);
      look(soFar);
    },
    say: () => undefined,
    wasInterrupted: () => false,
    sleep: () => new Promise((resolve) => setImmediate(resolve)),
  });
  await watch.stop();
  return { report, kept };
}

t.test('a server is watched when it has run for a while, read all that it has, and hears the other', async (t) => {
  const well = async (over: Partial<Snapshot>) => {
    const watch = new MachineWatch({ snapshot: async (server) => picture(server, over) }, undefined, 1);
    watch.start();
    await watch.until(() => watch.pictures.B, 10_000);
    await watch.stop();
    return watch.isWatchedAndWell('B');
  };
  const reads = (state: string) => ({ hardware: { watched: true, sources: [{ source: 'sel', state }] } }) as unknown as Partial<Snapshot>;
  t.ok(await well({}));
  t.ok(await well(reads('absent')));
  t.notOk(await well(reads('waiting')));
  t.notOk(await well(reads('failed')));
  t.notOk(await well({ hardware: { watched: false, sources: [] } as unknown as NonNullable<Snapshot['hardware']> }));
  t.notOk(await well({ uptimeMs: 30_000 }));
  t.notOk(await well({ coServers: [{ name: 'A', present: false }] as unknown as Snapshot['coServers'] }));
  t.notOk(await well({ attention: [{ kind: 'hardware', title: 'CoServer B: a fan has failed' }] as unknown as Snapshot['attention'] }));
  t.ok(await well({ attention: [{ kind: 'hardware', title: 'CoServer A: a fan has failed' }] as unknown as Snapshot['attention'] }));
});

t.test('a run: made, told, taken back, over, on both servers', async (t) => {
  const pair = new MadeUpPair();
  pair.tell('A', 'A power supply has failed (PSU1). Long ago.', '16');
  const { report, kept } = await play(pair, ['fanFailed']);
  t.strictSame(kept.sort(), ['fanFailed A', 'fanFailed B']);
  t.ok(report.ok, faultsTable(report));
  t.strictSame(report.falseAlarms, [], 'what was told before is history');
  t.match(faultsTable(report), /fanFailed +B +1 .*row 16/);
  t.match(faultsPage(report), /All as it must be/);
});

t.test('a run: what is told and was made by nobody stands in the report from then on', async (t) => {
  const pair = new MadeUpPair();
  const inject = pair.inject.bind(pair);
  pair.inject = async (fault, server) => {
    pair.tell(server, 'The BMC does not answer (no answer for 6 s). Reset the BMC.', null);
    return inject(fault, server);
  };
  const kept: number[] = [];
  const { report } = await play(pair, ['fanFailed:A'], (soFar) => kept.push(soFar.falseAlarms.length));
  t.match(report.falseAlarms, [{ server: 'A', text: /^The BMC does not answer/ }]);
  t.strictSame(kept, [1]);
  t.notOk(report.ok);
  t.match(faultsTable(report), /FALSE ALARM on A/);
});

t.test('a run: what counts by the hour is made until it is told', async (t) => {
  const { report } = await play(new MadeUpPair(), ['memoryCorrectedSel:A']);
  t.match(report.outcomes, [{ fault: 'memoryCorrectedSel', overS: null, overNote: 'told for an hour', problems: [] }]);
  // It is read after it was told: some more may be made meanwhile.
  t.ok((report.outcomes[0]?.injections ?? 0) >= 10);
});

t.test('a run: a person is asked once', async (t) => {
  const { report } = await play(new MadeUpPair('real'), ['memoryCorrectedSel:A']);
  t.match(report.outcomes, [{ fault: 'memoryCorrectedSel', injections: 1, problems: [] }]);
});

t.test('a report with a problem says so, and nothing in it becomes markup', async (t) => {
  const report = emptyFaultsReport('virtual', 0);
  report.problems.push('<b>bad</b>');
  t.match(faultsTable(report), /FAILED/);
  t.match(faultsPage(report), /&lt;b&gt;bad/);
  t.notMatch(faultsPage(report), /<b>bad/);
});
