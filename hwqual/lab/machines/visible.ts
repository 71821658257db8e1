// Does a fault of the lab arrive? What the machine's kernel, its disks and its BMC show of each fault, without any code of the product:
// a campaign that misses a fault must know whether it was there at all.
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { IpmiError, type IpmiSession, openIpmi } from '../../../drivers/ipmi/index.ts';
import type { LabFault } from '../lab-interface.ts';
import type { MachinesLab } from './lab.ts';
import { SENSORS, STATE_SENSORS } from './sensors.ts';

/** A command takes a second there, and long behind a slow disk. */
const ASK_TIMEOUT_MS = 120_000;
const BMC_TIMEOUT_MS = 1_000;

type Look =
  /** A shell command in the machine, and what its output has while the fault is there. An event leaves its mark for good. */
  | { kind: 'shell'; command: string; shows: RegExp }
  /** The level or the states of a sensor of its BMC. */
  | { kind: 'level'; sensor: string; level: string }
  | { kind: 'state'; sensor: string; bit: number }
  /** An entry of the memory sensor in the SEL, by its offset. */
  | { kind: 'memoryEntry'; offset: number }
  /** Its BMC does not answer. */
  | { kind: 'bmcSilent' }
  /** The kernel starts anew. */
  | { kind: 'restart' };

const smart = (shows: RegExp): Look => ({ kind: 'shell', command: 'smartctl -H /dev/nvme0', shows });
const carrier = (nic: string): Look => ({ kind: 'shell', command: `cat /sys/class/net/${nic}/carrier`, shows: /^0$/m });
// Past the page cache, where nothing of a file system is.
const read = (disk: string): Look => ({
  kind: 'shell',
  command: `dd if=${disk} of=/dev/null bs=4096 count=1 skip=40000 iflag=direct`,
  // An ATA disk's reads end with EIO, those of NVMe with ENODATA.
  shows: /error|no data available/i,
});
// The last sector holds nothing of the file system; what is written is what was there.
const write = (disk: string): Look => ({
  kind: 'shell',
  command: `n=$(($(cat /sys/block/${disk}/size) / 8 - 1)); dd if=/dev/${disk} of=/run/last bs=4096 count=1 skip=$n; dd if=/run/last of=/dev/${disk} bs=4096 count=1 seek=$n oflag=direct conv=notrunc`,
  shows: /error/i,
});
const kernel = (shows: RegExp): Look => ({ kind: 'shell', command: 'dmesg | tail -n 200', shows });

export const LOOKS: Record<LabFault, Look> = {
  temperatureHigh: { kind: 'level', sensor: SENSORS.cpuTemperature.name, level: 'nonCritical' },
  temperatureCritical: { kind: 'level', sensor: SENSORS.cpuTemperature.name, level: 'critical' },
  fanSlow: { kind: 'level', sensor: SENSORS.fan.name, level: 'nonCritical' },
  fanFailed: { kind: 'level', sensor: SENSORS.fan.name, level: 'nonRecoverable' },
  powerSupplyFailed: { kind: 'state', sensor: STATE_SENSORS.psu1.name, bit: 1 },
  powerSupplyInputLost: { kind: 'state', sensor: STATE_SENSORS.psu2.name, bit: 3 },
  voltageOutOfRange: { kind: 'level', sensor: SENSORS.voltage.name, level: 'critical' },
  memoryCorrectedSel: { kind: 'memoryEntry', offset: 0 },
  memoryUncorrectedSel: { kind: 'memoryEntry', offset: 1 },
  nvmePreFail: smart(/reliability has been degraded/i),
  nvmeReadOnly: smart(/read.only/i),
  nvmeReadError: read('/dev/nvme0n1'),
  sataReadError: read('/dev/sda'),
  nvmeWriteError: write('nvme0n1'),
  sataWriteError: write('sda'),
  sataSlow: {
    kind: 'shell',
    command:
      'cut -d" " -f1 /proc/uptime; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do dd if=/dev/sda of=/dev/null bs=512 count=1 skip=$i iflag=direct 2>/dev/null; done; cut -d" " -f1 /proc/uptime',
    shows: /./,
  },
  machineCheckCorrected: kernel(/mce:.*Hardware Error.*Machine check events logged/i),
  machineCheckUncorrected: kernel(/Machine Check Exception/),
  machineCheckFatal: { kind: 'restart' },
  pcieCorrected: kernel(/AER: Correct/i),
  pcieUncorrected: kernel(/AER: .*(Uncorrect|Non-?fatal)/i),
  link1Down: carrier('link1'),
  link2Down: carrier('link2'),
  businessDown: carrier('lan0'),
  managementDown: carrier('mgmt0'),
  bmcHang: { kind: 'bmcSilent' },
  bmcUnplugged: { kind: 'bmcSilent' },
};

/** Twelve requests through a disk that does two in a second, its first ones free. */
const SLOW_READS_S = 1.5;

/** Is the fault to be seen in the machine now? `detail`: what was seen, in words. */
export async function look(lab: MachinesLab, fault: LabFault, server: CoServerName): Promise<{ seen: boolean; detail: string }> {
  const what = LOOKS[fault];
  switch (what.kind) {
    case 'shell': {
      const { output } = await lab.machine(server).hands.ask(what.command, ASK_TIMEOUT_MS);
      if (fault === 'sataSlow') {
        const [from = 0, to = 0] = output.split('\n').map(Number);
        return { seen: to - from > SLOW_READS_S, detail: `12 reads took ${(to - from).toFixed(1)} s` };
      }
      const line = output.split('\n').findLast((l) => what.shows.test(l));
      return { seen: what.shows.test(output), detail: line ?? output.split('\n').at(-1) ?? '' };
    }
    case 'level':
    case 'state': {
      const found = (await withBmc(lab, server, (session) => session.sensors())).find((s) => s.name === what.sensor);
      if (what.kind === 'level')
        return { seen: found?.level === what.level, detail: `${what.sensor} ${found?.value} ${found?.unit}, ${found?.level}` };
      const states = found?.states ?? 0;
      return { seen: (states & (1 << what.bit)) !== 0, detail: `${what.sensor} states 0x${states.toString(16)}` };
    }
    case 'memoryEntry': {
      const entries = await withBmc(lab, server, async (session) => {
        const all = [];
        for await (const entry of session.selEntries()) all.push(entry.event);
        return all;
      });
      const mine = entries.filter((e) => e?.sensor === STATE_SENSORS.memory.number && (e.data[0] & 15) === what.offset);
      return { seen: mine.length > 0, detail: `${mine.length} of ${entries.length} entries in the SEL` };
    }
    case 'bmcSilent':
      return withBmc(lab, server, (session) => session.chassisStatus()).then(
        () => ({ seen: false, detail: 'the BMC answers' }),
        (error: unknown) => {
          if (!(error instanceof IpmiError)) throw error;
          return { seen: true, detail: error.message };
        },
      );
    case 'restart': {
      const { restarts, stage } = lab.status()[server];
      return { seen: restarts > 0, detail: `started anew ${restarts} times since power on, now: ${stage}` };
    }
    default:
      return what satisfies never;
  }
}

async function withBmc<T>(lab: MachinesLab, server: CoServerName, ask: (session: IpmiSession) => Promise<T>): Promise<T> {
  const session = await openIpmi({ ...lab.bmcTarget(server), timeoutMs: BMC_TIMEOUT_MS });
  try {
    return await ask(session);
  } finally {
    await session.close();
  }
}
