// What a CoServer can read of its own hardware (Reading), and what is made of it (Finding, Fault): the seam between drivers, diagnosis
// and core. Drivers' codecs give these shapes; one pure diagnosis per source turns them into findings; the ledger into faults.
import type { FaultCode } from './catalogue.ts';

/** One reading of one source. Counters are totals since the machine started, unless it is said otherwise; null: not known. */
export type Reading =
  | { source: 'sensors'; sensors: readonly SensorReading[] }
  /** Entries that are new since the last reading; at the start: all of them. */
  | { source: 'sel'; entries: readonly SelReading[] }
  /** All disks. failed: they were asked, and gave no answer that can be read. */
  | { source: 'smart'; disks: readonly SmartReading[]; failed: readonly { disk: string; reason: string }[] }
  /** Rows of memory, by the kernel's memory controller drivers (EDAC). */
  | { source: 'memory'; rows: readonly MemoryReading[] }
  /** Machine checks that the kernel reported since the last reading. */
  | { source: 'machineChecks'; checks: readonly MachineCheckReading[] }
  /** PCIe advanced error reporting, by device. */
  | { source: 'pcie'; devices: readonly PcieReading[] }
  | { source: 'nics'; nics: readonly NicReading[] }
  /** lateMs: how late the reader's own timers were in all since the last reading: a disk's time is not known by a watch that stood still. */
  | { source: 'disks'; disks: readonly DiskLatencyReading[]; lateMs: number }
  /** What the kernel logged since the last reading: requests of disks that failed, and file systems that met errors. */
  | { source: 'diskErrors'; errors: readonly DiskErrorReading[]; fileSystems: readonly FileSystemReading[] }
  | { source: 'cpu'; cpu: CpuReading }
  | { source: 'room'; room: RoomReading }
  /** The source itself could not be read: BMC absent or hung, smartctl missing or printing garbage. */
  | { source: 'unreadable'; of: ReadingSource; reason: string };

export type ReadingSource =
  | 'sensors'
  | 'sel'
  | 'smart'
  | 'memory'
  | 'machineChecks'
  | 'pcie'
  | 'nics'
  | 'disks'
  | 'diskErrors'
  | 'cpu'
  | 'room';

export type SensorKind = 'temperature' | 'voltage' | 'current' | 'fan' | 'powerSupply' | 'processor' | 'memory' | 'drive' | 'other';

export interface SensorReading {
  /** As the BMC names it: "CPU1 Temp". Unique in a reading. */
  name: string;
  kind: SensorKind;
  /** In `unit`; null: none, or the sensor is off. */
  value: number | null;
  unit: string;
  /** By the BMC's own thresholds. absent: nothing is plugged in there. */
  level: 'ok' | 'nonCritical' | 'critical' | 'nonRecoverable' | 'absent' | 'unavailable';
  /** Which threshold was crossed. */
  side: 'low' | 'high' | null;
  /** Of discrete sensors, in words: "Presence detected", "Failure detected". */
  states: readonly string[];
}

export interface SelReading {
  id: number;
  /** Unix seconds by the BMC's clock; null: it did not know. */
  timeS: number | null;
  what:
    | 'memoryCorrected'
    | 'memoryUncorrected'
    | 'memoryLogFull'
    | 'processorError'
    | 'processorThermalTrip'
    | 'powerSupplyFailed'
    | 'powerSupplyInputLost'
    | 'powerSupplyPredictive'
    | 'fan'
    | 'temperature'
    | 'voltage'
    | 'driveFault'
    | 'drivePredictive'
    | 'pcieFatal'
    | 'pcieCorrected'
    | 'watchdog'
    | 'logCleared'
    | 'other';
  /** False: the condition ended. */
  asserted: boolean;
  /** "DIMM A1", "PSU 2": as precise as the entry is. */
  where: string;
  /** The entry in words, for the evidence. */
  text: string;
}

export interface SmartReading {
  /** "/dev/sda". */
  disk: string;
  model: string;
  serial: string;
  kind: 'ata' | 'scsi' | 'nvme';
  /** The disk's own judgement; null: it has none. */
  passed: boolean | null;
  temperatureC: number | null;
  reallocatedSectors: number | null;
  pendingSectors: number | null;
  /** Sectors or commands that could not be corrected. */
  uncorrectedErrors: number | null;
  /** Transfers that failed on the cable (ATA attribute 199). */
  interfaceErrors: number | null;
  /** 100: used up, by the maker's own reckoning. It may be more. */
  percentUsed: number | null;
  availableSparePercent: number | null;
  spareThresholdPercent: number | null;
  /** NVMe: of its critical warning byte, in words. */
  criticalWarnings: readonly string[];
  /** ATA: attributes at or below their threshold now. */
  failingAttributes: readonly string[];
  /** The last self-test ended with an error. */
  selfTestFailed: boolean | null;
  powerOnHours: number | null;
}

export interface MemoryReading {
  /** The DIMM's label where the board has one, else "mc0/csrow2/ch1". */
  where: string;
  corrected: number;
  uncorrected: number;
}

export interface MachineCheckReading {
  corrected: boolean;
  /** Null: the kernel kept the detail to itself. */
  cpu: number | null;
  bank: number | null;
  /** What the status says in words, with its 64 bits in hex. */
  text: string;
}

export interface PcieReading {
  /** "0000:01:00.0", and what sits there. */
  where: string;
  corrected: number;
  nonFatal: number;
  fatal: number;
}

export interface NicReading {
  nic: string;
  /** What the pair uses it for. */
  role: 'link' | 'business' | 'management';
  carrier: boolean;
  /** null: not known, or no carrier. */
  speedMbps: number | null;
  fullDuplex: boolean | null;
  frames: number;
  /** Of frames: damaged, or lost in the NIC. */
  receiveErrors: number;
  transmitErrors: number;
  /** Times that the carrier was lost or came. */
  carrierChanges: number;
}

export interface DiskLatencyReading {
  disk: string;
  /** Requests that ended, and the ms that they took together, each its own time. */
  reads: number;
  readMs: number;
  writes: number;
  writeMs: number;
  flushes: number;
  flushMs: number;
  /** Ended: progress, but not timed. */
  discards: number;
  /** In which there was at least one request. */
  busyMs: number;
  inFlight: number;
}

export interface DiskErrorReading {
  /** "/dev/sda": the whole disk. */
  disk: string;
  /** A flush that failed is a write that may be lost. */
  operation: 'read' | 'write';
  /** Another layer's line for what the disk's own line says already. */
  isEcho: boolean;
  text: string;
}

export interface FileSystemReading {
  /** "/dev/sda1", "/dev/dm-0". */
  device: string;
  text: string;
}

export interface CpuReading {
  /** Times that a core or package was slowed down because of its heat; null: the CPU does not say. */
  throttled: number | null;
  /** "tsc": what the kernel takes the time from. '' where not known. */
  clocksource: string;
}

/** Of the file system with this CoServer's state. */
export interface RoomReading {
  folder: string;
  freeMiB: number;
  totalMiB: number;
}

/** What a diagnosis holds to be true now. The same code at the same place is the same fault. */
export interface Finding {
  code: FaultCode;
  /** "CPU1 Temp", "/dev/sda (ST4000NM, serial Z1Z2)", "DIMM A1", "link1". '' where the code says it all. */
  where: string;
  /** What was read, in words with figures: "85 C, critical from 80 C". */
  detail: string;
}

/** `memory`: what this diagnosis wants to see again with the next reading: earlier counts, since when. By names that
 *  come from the hardware only in Maps: a sensor may be called __proto__. */
export interface Diagnosis<M> {
  memory: M;
  findings: Finding[];
}

/** What a fault does to the pair. preFail: row 16; uncorrectable: row 17; detachDisk: row 12. */
export type FaultEffect = 'none' | 'preFail' | 'uncorrectable' | 'detachDisk';

export interface Fault extends Finding {
  /** Monotonic ms. */
  raisedAt: number;
  /** Null: it is still there. */
  clearedAt: number | null;
  /** Newest last; what was read when it was raised is kept as the first. At most EVIDENCE_LIMIT. */
  evidence: readonly string[];
  /** Of a disk: it holds the workload's copy here, or it does not. Left out: where the copy is is not known. */
  holdsCopy?: boolean;
}
