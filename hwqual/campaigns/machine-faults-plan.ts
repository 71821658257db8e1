// What must follow of every fault that a lab can make in a whole server: which entry of the catalogue is raised, where, what the pair
// does about it, and when it ends. And the order in which they are made: what lasts comes late, what ends the server last. Pure.
import type { FaultCode } from '../../appliance/core/faults/catalogue.ts';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { LAB_FAULT_NAMES, type LabFault } from '../lab/lab-interface.ts';

/** none: told only. moveRole: row 16. endServer: row 17. detachDisk: row 12. restart: the server starts anew by itself. */
export type FaultAction = 'none' | 'moveRole' | 'endServer' | 'detachDisk' | 'restart';

export interface FaultExpectation {
  /** Null: it is not told as a fault of this server's hardware; `told` says who tells it. */
  code: FaultCode | null;
  /** Part of the place that the fault names. */
  where: string;
  action: FaultAction;
  /** Injections until it must be raised: corrected errors count by the hour. A person is not asked so often. */
  times: number;
  /**
   * takenBack: it ends by itself soon after it was taken back. hour: an event, told for an hour. restart: with the process that told it.
   * powerCycle: what it did to a file system lasts until the server is started anew, by its BMC.
   */
  ends: 'takenBack' | 'hour' | 'restart' | 'powerCycle';
  /** `code` null: what the partner's picture shows instead. fencePath: its way to this BMC is not proven; hearing: it hears nothing. */
  shows?: 'fencePath' | 'hearing';
  /** Codes that may be told beside it. */
  beside?: readonly FaultCode[];
  /** Of a link: the partner's port has no carrier either. */
  both?: true;
}

const sensor = (code: FaultCode, where: string, action: FaultAction): FaultExpectation => ({
  code,
  where,
  action,
  times: 1,
  ends: 'takenBack',
});
const port = (nic: string, both?: true): FaultExpectation => ({
  code: 'nicDown',
  where: nic,
  action: 'none',
  times: 1,
  ends: 'takenBack',
  // Cables are pulled and plugged many times here.
  beside: ['nicFlapping'],
  ...(both ? { both } : {}),
});
const event = (code: FaultCode, where: string, action: FaultAction, times: number): FaultExpectation => ({
  code,
  where,
  action,
  times,
  ends: action === 'endServer' ? 'restart' : 'hour',
});

export const EXPECTED: Partial<Record<LabFault, FaultExpectation>> = {
  temperatureHigh: sensor('temperatureHigh', 'CPU1 Temp', 'none'),
  temperatureCritical: { ...sensor('temperatureCritical', 'CPU1 Temp', 'moveRole'), beside: ['temperatureHigh'] },
  fanSlow: sensor('fanSlow', 'FAN1', 'moveRole'),
  fanFailed: { ...sensor('fanFailed', 'FAN1', 'moveRole'), beside: ['fanSlow'] },
  powerSupplyFailed: sensor('powerSupplyFailed', 'PSU1', 'moveRole'),
  powerSupplyInputLost: sensor('powerSupplyInputLost', 'PSU2', 'none'),
  voltageOutOfRange: sensor('voltageOutOfRange', 'P12V', 'moveRole'),
  bmcHang: sensor('bmcSilent', '', 'none'),
  // It still answers its own server: only who would have to switch it off by it misses it.
  bmcUnplugged: {
    code: null,
    where: '',
    action: 'none',
    times: 1,
    ends: 'takenBack',
    shows: 'fencePath',
  },
  link1Down: port('link1', true),
  link2Down: port('link2', true),
  businessDown: port('lan0'),
  managementDown: port('mgmt0'),
  nvmePreFail: sensor('diskPreFail', '/dev/nvme0n1', 'moveRole'),
  sataSlow: { ...sensor('diskSlow', '/dev/sda', 'moveRole') },
  memoryCorrectedSel: event('memoryCorrectedRate', '', 'moveRole', 10),
  machineCheckCorrected: event('processorCorrectedRate', 'processor', 'moveRole', 10),
  pcieCorrected: event('pcieCorrectedRate', '', 'none', 100),
  pcieUncorrected: event('pcieUncorrected', '', 'moveRole', 1),
  // The system's disk, not the one of the workload's copy: no copy is given up for it.
  nvmeReadOnly: { ...sensor('diskFailing', '/dev/nvme0n1', 'moveRole'), beside: ['diskPreFail'] },
  nvmeReadError: { ...sensor('diskReadErrors', '/dev/nvme0n1', 'moveRole'), beside: ['fileSystemErrors'] },
  nvmeWriteError: { ...sensor('diskWriteErrors', '/dev/nvme0n1', 'moveRole'), beside: ['fileSystemErrors'], ends: 'powerCycle' },
  sataWriteError: { ...sensor('diskWriteErrors', '/dev/sda', 'detachDisk'), beside: ['fileSystemErrors'], ends: 'powerCycle' },
  memoryUncorrectedSel: event('memoryUncorrected', '', 'endServer', 1),
  machineCheckUncorrected: event('processorUncorrected', 'processor', 'endServer', 1),
  machineCheckFatal: {
    code: null,
    where: '',
    action: 'restart',
    times: 1,
    ends: 'restart',
    shows: 'hearing',
  },
};

/** What a lab can break and nothing in the hardware's catalogue is about. */
export const NOT_JUDGED: Partial<Record<LabFault, string>> = {
  sataReadError: 'only the mirror reads this disk, and seldom, for the tiny guest; npm run lab:disks has it',
};

export interface PlannedFault {
  fault: LabFault;
  server: CoServerName;
}

/** Lanes of a stage run beside each other: what is in one touches nothing that is in another. */
export interface Stage {
  name: string;
  lanes: PlannedFault[][];
}

const SENSORS: readonly LabFault[] = [
  'temperatureHigh',
  'temperatureCritical',
  'fanSlow',
  'fanFailed',
  'powerSupplyFailed',
  'powerSupplyInputLost',
  'voltageOutOfRange',
  'bmcHang',
];
const LINKS: readonly LabFault[] = ['link1Down', 'link2Down'];
const PORTS: readonly LabFault[] = ['businessDown', 'managementDown'];
const SYSTEM_DISK: readonly LabFault[] = ['nvmePreFail', 'nvmeReadOnly', 'nvmeReadError'];
const COPY_DISK: readonly LabFault[] = ['sataSlow'];
/** Their file systems take nothing any more until the server is started anew. */
const WRITES: readonly LabFault[] = ['sataWriteError', 'nvmeWriteError'];
/** Told for an hour: after everything that is taken back. */
const LASTING: readonly LabFault[] = ['pcieCorrected', 'pcieUncorrected', 'memoryCorrectedSel', 'machineCheckCorrected'];
const ENDING: readonly LabFault[] = ['memoryUncorrectedSel', 'machineCheckUncorrected', 'machineCheckFatal'];

/**
 * @param possible What this lab can make.
 * @param only Those whose names contain one of these ("fan", "nvmeReadOnly:A"); empty: all.
 * @param beside False: one after the other, as a person works.
 */
export function machineFaultsPlan(possible: readonly LabFault[], only: readonly string[], beside: boolean): Stage[] {
  const isWanted = ({ fault, server }: PlannedFault) =>
    possible.includes(fault) &&
    EXPECTED[fault] !== undefined &&
    (only.length === 0 || only.some((text) => `${fault}:${server}`.includes(text)));
  const of = (server: CoServerName, faults: readonly LabFault[]): PlannedFault[] =>
    faults.map((fault) => ({ fault, server })).filter(isWanted);
  const both = (faults: readonly LabFault[]) => [...of('A', faults), ...of('B', faults)];
  const stages: Stage[] = [
    {
      name: 'what is taken back',
      // A BMC that is unplugged is missed by the other's fence path, which needs the management network: the same lane.
      lanes: [
        of('A', SENSORS),
        of('B', SENSORS),
        [...of('A', LINKS.slice(0, 1)), ...of('B', LINKS.slice(1)), ...both(PORTS)],
        of('A', SYSTEM_DISK),
        of('B', SYSTEM_DISK),
        of('A', COPY_DISK),
        of('B', COPY_DISK),
      ],
    },
    { name: 'the ways to the BMCs', lanes: [both(['bmcUnplugged'])] },
    { name: 'events that are told for an hour', lanes: [of('A', LASTING), of('B', LASTING)] },
    // One server after the other: each is missed by its partner while it starts anew.
    { name: 'disks that take no writes', lanes: [[...of('A', WRITES), ...of('B', WRITES)]] },
    { name: 'what ends a server', lanes: [[...of('A', ENDING), ...of('B', ENDING)]] },
  ];
  return stages
    .map(({ name, lanes }) => ({ name, lanes: beside ? lanes.filter((lane) => lane.length > 0) : [lanes.flat()] }))
    .filter(({ lanes }) => lanes.some((lane) => lane.length > 0));
}

export interface NotMade {
  fault: LabFault;
  reason: string;
}

/** All that is in no plan, and why. */
export function notMade(possible: readonly LabFault[], world: 'virtual' | 'real'): NotMade[] {
  return LAB_FAULT_NAMES.flatMap((fault) => {
    const reason = NOT_JUDGED[fault];
    if (reason !== undefined) return [{ fault, reason }];
    if (!possible.includes(fault))
      return [{ fault, reason: world === 'real' ? 'nobody is told how: faults in real.yaml' : 'not made here' }];
    return [];
  });
}
