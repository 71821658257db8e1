/** What a disk says of its own health. Null: this disk does not tell. Structurally the appliance's reading of the same name. */
export interface SmartReading {
  /** The path that was asked: "/dev/sda". */
  disk: string;
  model: string;
  serial: string;
  kind: 'ata' | 'scsi' | 'nvme';
  /** The disk's own judgement. */
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
  criticalWarnings: string[];
  /** ATA: attributes at or below their threshold now: "5 Reallocated_Sector_Ct". */
  failingAttributes: string[];
  /** The last self-test that came to a result ended with an error. */
  selfTestFailed: boolean | null;
  powerOnHours: number | null;
}

/**
 * unsupported: the disk has no SMART (a virtual disk, a RAID volume): no fault, do not ask again.
 * missing: no smartctl. refused: it may not open the disk. unreadable: the disk did not answer it. garbage: not what smartctl prints.
 * timeout: it was killed. busy: an earlier one on this disk still hangs in the kernel.
 */
export type SmartErrorKind = 'unsupported' | 'missing' | 'refused' | 'unreadable' | 'garbage' | 'timeout' | 'busy';

/** The sentence names the disk and the remedy. */
export class SmartError extends Error {
  override readonly name = 'SmartError';
  readonly kind: SmartErrorKind;

  constructor(kind: SmartErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
