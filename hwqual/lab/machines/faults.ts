// How each fault is made in a whole machine of the lab, and taken back: by QEMU's monitor (QMP), by the BMC simulator's commands, or by a
// cable. One entry per fault, nothing else decides. What cannot be made here is in the README with its reason.
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import type { QmpClient } from '../../../drivers/qemu/index.ts';
import type { Bmc } from '../bmc.ts';
import type { LabFault } from '../lab-interface.ts';
import { SENSORS, STATE_SENSORS } from './sensors.ts';
import type { NicRole } from './spec.ts';

/** What a fault gets its hands on. */
export interface FaultWorld {
  name: CoServerName;
  /** Throws a LabError while the machine has no power. */
  monitor: QmpClient;
  bmc: Bmc;
  /** Carrier of a cable: of the links both ends, elsewhere this machine's. */
  setCable(role: NicRole, whole: boolean): Promise<void>;
  setBmcCable(plugged: boolean): Promise<void>;
}

export interface FaultRecipe {
  /** Answers what was done, in the words of the tool. */
  inject(world: FaultWorld): Promise<string>;
  /** Missing: an event, over at once. */
  clear?(world: FaultWorld): Promise<string>;
}

/** Injected errors: EIO. */
const EIO = 5;
/** Of a disk that is nearly dead: far slower also than one of an emulated machine that hardly gets a CPU. Two units a second, four in a page. */
const SLOW = { 'iops-total': 2, 'iops-size': 1024 };
const EVENT = 1;

const bmcCommand = (line: string) => async (world: FaultWorld) => {
  await world.bmc.command(line);
  return `ipmi_sim: ${line}`;
};

/** A value beyond a threshold: the simulator makes the SEL entry itself, and another when it comes back. */
function sensorValue(sensor: { number: number; value: number }, raw: number): FaultRecipe {
  return {
    inject: bmcCommand(`sensor_set_value 0x20 0 ${sensor.number} ${raw} ${EVENT}`),
    clear: bmcCommand(`sensor_set_value 0x20 0 ${sensor.number} ${sensor.value} ${EVENT}`),
  };
}

function sensorState(sensor: { number: number }, bit: number): FaultRecipe {
  return {
    inject: bmcCommand(`sensor_set_bit 0x20 0 ${sensor.number} ${bit} 1 ${EVENT}`),
    clear: bmcCommand(`sensor_set_bit 0x20 0 ${sensor.number} ${bit} 0 ${EVENT}`),
  };
}

/** A SEL entry of the memory sensor: generator 0x20, format 4, type 0x0c, specific (0x6f), offset in event data 1. */
function memoryEntry(offset: number): FaultRecipe {
  const { number } = STATE_SENSORS.memory;
  return { inject: bmcCommand(`sel_add 0x20 2 0 0 0 0 0x20 0 4 0x0c ${number} 0x6f ${0xa0 | offset} 0xff 0xff`) };
}

const human = (line: string) => async (world: FaultWorld) => {
  const said = String(await world.monitor.execute('human-monitor-command', { 'command-line': line }));
  // A success says nothing, or "OK id: ..." for PCIe.
  if (/error|invalid|unknown|cannot|not found/i.test(said)) throw new Error(`QEMU's monitor refused "${line}": ${said.trim()}`);
  return `HMP: ${line}`;
};

/** NVMe 1.4, figure 194: bit 2 reliability degraded, bit 3 read only. */
function nvmeWarning(bits: number): FaultRecipe {
  const set = (value: number) => async (world: FaultWorld) => {
    await world.monitor.execute('qom-set', { path: '/machine/peripheral/nvme0', property: 'smart_critical_warning', value });
    return `QMP: qom-set nvme0 smart_critical_warning ${value}`;
  };
  return { inject: set(bits), clear: set(0) };
}

/** The disk's raw node gets a failing one below it, and its own file again afterwards. */
function diskError(disk: 'nvme0' | 'sata0', iotype: 'read' | 'write'): FaultRecipe {
  const [node, broken, whole] = [`${disk}-disk`, `${disk}-broken`, `${disk}-slow`];
  const reopen = (world: FaultWorld, file: string) =>
    world.monitor.execute('blockdev-reopen', { options: [{ driver: 'raw', 'node-name': node, file }] });
  return {
    inject: async (world) => {
      const rule = { event: 'none', iotype, errno: EIO };
      await world.monitor.execute('blockdev-add', { driver: 'blkdebug', 'node-name': broken, image: whole, 'inject-error': [rule] });
      await reopen(world, broken);
      return `QMP: blockdev-reopen ${node} on blkdebug inject-error iotype=${iotype} errno=${EIO}`;
    },
    clear: async (world) => {
      await reopen(world, whole);
      await world.monitor.execute('blockdev-del', { 'node-name': broken });
      return `QMP: blockdev-reopen ${node} on ${whole}`;
    },
  };
}

function diskSlow(disk: 'nvme0' | 'sata0'): FaultRecipe {
  const limit = (value: Record<string, number>) => async (world: FaultWorld) => {
    await world.monitor.execute('qom-set', { path: `/objects/${disk}-speed`, property: 'limits', value });
    return `QMP: qom-set ${disk}-speed limits ${JSON.stringify(value)}`;
  };
  return { inject: limit(SLOW), clear: limit({ 'iops-total': 0, 'iops-size': 0 }) };
}

function cable(role: NicRole): FaultRecipe {
  const both = role === 'link1' || role === 'link2' ? ' on both machines' : '';
  const set = (whole: boolean) => async (world: FaultWorld) => {
    await world.setCable(role, whole);
    return `QMP: set_link ${role} ${whole ? 'on' : 'off'}${both}`;
  };
  return { inject: set(false), clear: set(true) };
}

export const RECIPES: Record<LabFault, FaultRecipe> = {
  temperatureHigh: sensorValue(SENSORS.cpuTemperature, 74),
  temperatureCritical: sensorValue(SENSORS.cpuTemperature, 85),
  fanSlow: sensorValue(SENSORS.fan, 7),
  fanFailed: sensorValue(SENSORS.fan, 0),
  powerSupplyFailed: sensorState(STATE_SENSORS.psu1, 1),
  powerSupplyInputLost: sensorState(STATE_SENSORS.psu2, 3),
  voltageOutOfRange: sensorValue(SENSORS.voltage, 102),
  memoryCorrectedSel: memoryEntry(0),
  memoryUncorrectedSel: memoryEntry(1),
  nvmePreFail: nvmeWarning(0x04),
  nvmeReadOnly: nvmeWarning(0x08),
  nvmeReadError: diskError('nvme0', 'read'),
  nvmeWriteError: diskError('nvme0', 'write'),
  sataReadError: diskError('sata0', 'read'),
  sataWriteError: diskError('sata0', 'write'),
  sataSlow: diskSlow('sata0'),
  // Intel SDM 3, 16.3.2.2: valid, enabled, with an address: corrected; uncorrected, action optional; uncorrected, context corrupt, no restart.
  machineCheckCorrected: { inject: human('mce 0 1 0x9c00000000000150 0 0x12345000 0x8c') },
  machineCheckUncorrected: { inject: human('mce -b 0 1 0xbd00000000000134 0x5 0x12345000 0x8c') },
  machineCheckFatal: { inject: human('mce -b 0 1 0xbe00000000000134 0x4 0x12345000 0x8c') },
  pcieCorrected: { inject: human('pcie_aer_inject_error rp-link1 RCVR') },
  pcieUncorrected: { inject: human('pcie_aer_inject_error rp-link1 POISON_TLP') },
  link1Down: cable('link1'),
  link2Down: cable('link2'),
  businessDown: cable('lan0'),
  managementDown: cable('mgmt0'),
  bmcHang: {
    inject: async ({ bmc }) => {
      process.kill(bmc.pid, 'SIGSTOP');
      return `SIGSTOP to ipmi_sim (pid ${bmc.pid})`;
    },
    clear: async ({ bmc }) => {
      process.kill(bmc.pid, 'SIGCONT');
      return `SIGCONT to ipmi_sim (pid ${bmc.pid})`;
    },
  },
  bmcUnplugged: {
    inject: async (world) => {
      await world.setBmcCable(false);
      return "ip: the BMC's address removed";
    },
    clear: async (world) => {
      await world.setBmcCable(true);
      return "ip: the BMC's address back";
    },
  },
};
