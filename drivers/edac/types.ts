// Structurally the appliance's readings of the same names.

export interface MemoryReading {
  /** The DIMM's label where the board has one, else "mc0/csrow2/ch1". */
  where: string;
  /** Totals since the machine started. */
  corrected: number;
  uncorrected: number;
}

export interface PcieReading {
  /** "0000:01:00.0", and what sits there. */
  where: string;
  corrected: number;
  nonFatal: number;
  fatal: number;
}

export interface MachineCheckReading {
  corrected: boolean;
  /** Null: the kernel kept the detail to itself. */
  cpu: number | null;
  bank: number | null;
  /** What the status says in words, with its 64 bits in hex. */
  text: string;
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

/** absent: the kernel has no such interface on this machine. malformed: it says what this code does not understand. */
export type EdacErrorKind = 'absent' | 'malformed' | 'unreadable';

export class EdacError extends Error {
  override readonly name = 'EdacError';
  readonly kind: EdacErrorKind;

  constructor(kind: EdacErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
