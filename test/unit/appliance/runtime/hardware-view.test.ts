// The hardware as the picture has it: faults of both in words, bounded, the times by the wall clock.
import t from 'tap';
import type { Fault, SensorReading, SmartReading } from '../../../../appliance/core/faults/types.ts';
import { initialState, type State } from '../../../../appliance/core/machine.ts';
import { FRESH_RECORD } from '../../../../appliance/core/record.ts';
import type { HardwareStatus } from '../../../../appliance/hardware/api.ts';
import { type HardwareFigures, hardwareView } from '../../../../appliance/runtime/hardware-view.ts';
import { OUTDATED_STATUS } from '../outdated-status.ts';
import { someFault } from '../some-fault.ts';

const WALL = 1_700_000_000_000;

function stateWith(faults: Fault[], partnerFaults: { code: string; where: string }[] = [], more: Partial<State> = {}): State {
  const s = initialState({
    me: 'B',
    incarnation: 'b1',
    pairId: OUTDATED_STATUS.pairId,
    version: '0',
    record: FRESH_RECORD,
    links: 1,
    now: 0,
    adoptable: false,
    canCompare: false,
  });
  return { ...s, faults, partner: { ...OUTDATED_STATUS, faults: partnerFaults }, ...more };
}

const view = (state: State, latest: Partial<HardwareStatus> | null = null, more: Partial<HardwareFigures> = {}) =>
  hardwareView(state, {
    isWatched: true,
    latest: latest ? { faults: [], sources: [], sensors: [], disks: [], nics: [], ...latest } : null,
    now: { wall: WALL, monotonic: 90_000 },
    ...more,
  });

const effects = (state: State) => view(state).faults.map((f) => f.effect);

t.test('own faults say all, since when by the wall clock; of the partner what is told', async (t) => {
  const own = { ...someFault('fanSlow', 'FAN2', '2000 RPM'), raisedAt: 30_000, evidence: ['2500 RPM', '2000 RPM'] };
  const { faults } = view(stateWith([own], [{ code: 'diskFailing', where: `/dev/sda ${'x'.repeat(39)}` }]));
  t.match(faults, [
    {
      coServer: 'A',
      code: 'diskFailing',
      severity: 'critical',
      remedy: 'Replace the disk.',
      where: /x\.\.\.$/,
      detail: '',
      since: null,
      evidence: [],
    },
    {
      coServer: 'B',
      code: 'fanSlow',
      severity: 'warning',
      sentence: 'A fan turns slower and slower',
      where: 'FAN2',
      detail: '2000 RPM',
      remedy: 'Replace the fan.',
      since: WALL - 60_000,
      evidence: ['2500 RPM', '2000 RPM'],
    },
  ]);
  t.match(view(stateWith([], [{ code: 'gremlins', where: 'slot 3' }])).faults, [
    { severity: 'warning', sentence: 'A fault that this release does not know (gremlins)', where: 'slot 3', remedy: '' },
  ]);
});

t.test('what a fault does to the pair, on either side', async (t) => {
  const fan = someFault('fanFailed', 'FAN1');
  const worn = { code: 'diskWorn', where: '' };
  t.match(effects(stateWith([fan])), [/runs on CoServer B and A is equal, it moves to A/]);
  t.match(effects(stateWith([fan], [worn])), [/it moves to A/, /does nothing/]);
  t.match(effects(stateWith([fan], [{ code: 'fanSlow', where: '' }])), [/CoServer A has a fault too/, /CoServer B has a fault too/]);
  t.match(effects(stateWith([], [{ code: 'fanSlow', where: '' }])), [/runs on CoServer A and B is equal, it moves to B/]);
  t.match(effects(stateWith([fan], [], { level: 2 })), [/At level 2/]);
  t.match(effects(stateWith([someFault('memoryUncorrected', '')])), [/CoServer B cannot be trusted any more: it ends itself/]);
  t.match(effects(stateWith([someFault('diskFailing', '')])), [/on CoServer B is not used any more/]);
  t.match(effects(stateWith([someFault('nicDown', 'link1')])), [/goes on over what is left/]);
});

const sensorOf = (i: number, level: SensorReading['level'] = 'ok'): SensorReading => ({
  name: `sensor ${i}`,
  kind: 'fan',
  value: i,
  unit: 'RPM',
  level,
  side: null,
  states: Array.from({ length: 20 }, () => 'y'.repeat(1000)),
});
const diskOf = (i: number, passed: boolean): SmartReading => ({
  disk: `/dev/sd${i}`,
  model: 'M',
  serial: 'S',
  kind: 'ata',
  passed,
  temperatureC: 30,
  reallocatedSectors: 0,
  pendingSectors: 0,
  uncorrectedErrors: 0,
  interfaceErrors: 0,
  percentUsed: null,
  availableSparePercent: null,
  spareThresholdPercent: null,
  criticalWarnings: [],
  failingAttributes: [],
  selfTestFailed: null,
  powerOnHours: 1,
});

t.test('bounded: what looks bad is not left out, and how much is', async (t) => {
  const many = Array.from({ length: 200 }, (_, i) => i);
  const latest = {
    sensors: [sensorOf(-1, 'absent'), ...many.map((i) => sensorOf(i, i === 150 ? 'critical' : i === 160 ? 'nonCritical' : 'ok'))],
    disks: many.map((i) => diskOf(i, i !== 99)),
    nics: many.map((i) => ({
      nic: `nic${i}`,
      role: 'link' as const,
      carrier: i !== 77,
      speedMbps: null,
      fullDuplex: null,
      frames: 0,
      receiveErrors: 2,
      transmitErrors: 3,
      carrierChanges: 0,
    })),
  };
  const faults = many.slice(0, 64).map((i) => ({ ...someFault('fanFailed', `FAN${i} ${'z'.repeat(9_000)}`, 'z'.repeat(9_000)) }));
  const v = view(stateWith(faults), latest);
  t.match(
    v.sensors.slice(0, 3).map((x) => x.name),
    ['sensor 150', 'sensor 160', 'sensor 0'],
  );
  t.equal(v.sensors.length, 64);
  t.notOk(v.sensors.find((x) => x.level === 'absent'));
  t.match(v.disks[0], { disk: '/dev/sd99', passed: false });
  t.match(v.nics[0], { nic: 'nic77', carrier: false, errors: 5 });
  t.strictSame([v.disks.length, v.nics.length, v.faults.length], [16, 16, 16]);
  t.strictSame(v.more, { faults: 48, sensors: 137, disks: 184, nics: 184 });
  t.ok(JSON.stringify(v).length < 64_000, `${JSON.stringify(v).length} bytes at the very most`);
  const usual = view(stateWith([]), { sensors: many.slice(0, 50).map((i) => ({ ...sensorOf(i), states: [] })), disks: [diskOf(1, true)] });
  t.ok(JSON.stringify(usual).length < 6_000, `${JSON.stringify(usual).length} bytes of a healthy server`);
});

t.test('watched or not, and whether the two qualify', async (t) => {
  t.match(view(stateWith([])), { watched: true, reason: 'nothing was read yet', server: null, qualification: { verdict: 'notAsked' } });
  t.match(view(stateWith([]), null, { isWatched: false }), { watched: false, reason: /hardware\.watch is off/ });
  t.match(view(stateWith([]), {}), { reason: '' });
  t.match(view(stateWith([], [], { mustQualify: true })).qualification, { verdict: 'unknown', sentence: /not known yet/ });
  t.match(view(stateWith([], [], { mustQualify: true, level: 2 })).qualification, { verdict: 'notAsked', sentence: /^Level 2/ });
  const qualification = { verdict: 'refused' as const, sentence: 'the BIOS differs' };
  const items = [{ item: 'BIOS', verdict: 'refused' as const, a: '1', b: '2', rule: 'the same' }];
  t.strictSame(view(stateWith([], [], { qualification })).qualification, qualification);
  t.strictSame(view(stateWith([], [], { qualification }), null, { items }).qualification, { ...qualification, items });
});
