// What a hardware campaign knows of the world it runs in: two servers, power by their BMCs, consoles by serial lines, faults by what
// the world offers. One world is virtual (machines/: QEMU and ipmi_sim), the other real (real-lab.ts: two servers, and a person asked
// to pull). Both speak to BMCs by RMCP+ and to consoles by serialport, so the virtual one proves the code of the real one.
import type { Duplex } from 'node:stream';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { PowerOffEvidence } from '../../drivers/ipmi/index.ts';

/** Everything that a campaign may ask to be broken. Each world says which of it it can do. */
export const LAB_FAULTS = {
  temperatureHigh: 'the processor is warm: over its first threshold',
  temperatureCritical: 'the processor is hot: over its critical threshold',
  fanSlow: 'a fan turns slower than it should',
  fanFailed: 'a fan stands still',
  powerSupplyFailed: 'a power supply unit reports its failure',
  powerSupplyInputLost: 'a power supply unit has no mains',
  voltageOutOfRange: 'the 12 V supply is too low',
  memoryCorrectedSel: "corrected memory errors in the BMC's event log",
  memoryUncorrectedSel: "an uncorrectable memory error in the BMC's event log",
  nvmePreFail: 'the NVMe disk says that its reliability is degraded',
  nvmeReadOnly: 'the NVMe disk says that it takes no more writes',
  nvmeReadError: 'the NVMe disk cannot read',
  nvmeWriteError: 'the NVMe disk cannot write',
  sataReadError: 'the SATA disk cannot read',
  sataWriteError: 'the SATA disk cannot write',
  sataSlow: 'the SATA disk answers very slowly',
  machineCheckCorrected: 'a processor corrects an error',
  machineCheckUncorrected: 'a processor meets an error that it cannot correct; the kernel goes on',
  machineCheckFatal: 'a processor meets an error that its kernel cannot outlive: the server starts anew',
  pcieCorrected: 'a PCIe slot repeats a transfer',
  pcieUncorrected: 'a PCIe slot loses a transfer',
  link1Down: 'the cable of link 1 is out',
  link2Down: 'the cable of link 2 is out',
  businessDown: 'the cable of the business network is out',
  managementDown: 'the cable of the management network is out',
  bmcHang: 'the BMC stands still',
  bmcUnplugged: "the BMC's network cable is out",
} as const;

export type LabFault = keyof typeof LAB_FAULTS;
export const LAB_FAULT_NAMES = Object.keys(LAB_FAULTS) as LabFault[];

export interface Injection {
  fault: LabFault;
  server: CoServerName;
  /** Commands given, or what the person was asked. */
  how: string;
  /** Monotonic ms: when it was there. In the real world: when the person said so. */
  atMs: number;
  /** An event that is over at once: nothing has to be taken back. */
  isEvent: boolean;
}

export interface LabPower {
  /** Resolves when the BMC says that it is on. */
  on(): Promise<void>;
  /** Resolves when it is verified off (drivers/ipmi/power.ts). Throws a PowerOffError. */
  off(): Promise<PowerOffEvidence>;
  status(): Promise<'on' | 'off'>;
}

export interface Lab {
  readonly world: 'virtual' | 'real';
  power(server: CoServerName): LabPower;
  /** The server's serial console as a byte stream; end it with `destroy()`. Throws a LabError when there is none. */
  console(server: CoServerName): Promise<Duplex>;
  /** What can be broken here, in the order of LAB_FAULTS. */
  readonly faults: readonly LabFault[];
  /** Resolves when it is broken. Throws a LabError when it cannot be done, or (real) when the person says so. */
  inject(fault: LabFault, server: CoServerName): Promise<Injection>;
  /** Takes it back; answers how. An event has nothing to take back. */
  clear(injection: Injection): Promise<string>;
  /** The lab's own ends only: sessions, lines. The servers stay as they are. */
  close(): Promise<void>;
}
