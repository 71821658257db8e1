// What the thread that reads the hardware is asked, and what it reports. Nothing of the guest passes through it, and nobody waits for it.
import type { Fault, NicReading, ReadingSource, SensorReading, SmartReading } from '../core/faults/types.ts';
import type { ServerView } from '../core/snapshot.ts';

export interface HardwareSetup {
  /** The BMC's device: "/dev/ipmi0". '': this server has none. */
  bmc: string;
  /** The workload's copy: a file, or a block device. It may not be there yet. */
  copy: string;
  nics: readonly { nic: string; role: NicReading['role'] }[];
  /** Folder of this CoServer's state; '': nobody keeps any. */
  stateDir: string;
}

export type HardwareCommands = {
  status(a: Record<string, never>): HardwareStatus;
};

export type HardwareEvents = {
  /** All that there are now, the worst first: at the start, and whenever one is raised or cleared. */
  faults: { faults: readonly Fault[] };
};

export interface HardwareStatus {
  faults: readonly Fault[];
  sources: readonly SourceStatus[];
  /** The latest readings, for the consoles. */
  sensors: readonly SensorReading[];
  disks: readonly SmartReading[];
  nics: readonly NicReading[];
  /** Read once, at the start. Not there: not yet, or it could not be read. */
  summary?: ServerView;
}

export interface SourceStatus {
  source: ReadingSource;
  /** waiting: not read yet; absent: this server has no such thing. */
  state: 'waiting' | 'read' | 'absent' | 'failed';
  /** Why it is absent or failed. */
  reason: string;
  /** Wall clock of the last reading that worked, ms; null: none did. */
  readAt: number | null;
  /** How long the last one took. */
  tookMs: number;
}
