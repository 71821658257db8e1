// Structurally the appliance's readings of the same names.

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
  /** "/dev/sda". */
  disk: string;
  /** Requests that ended, and the ms that they took together, each its own time. Totals since the disk came. */
  reads: number;
  readMs: number;
  writes: number;
  writeMs: number;
  /** 0 before Linux 5.5. */
  flushes: number;
  flushMs: number;
  /** 0 before Linux 4.18. */
  discards: number;
  /** In which there was at least one request. */
  busyMs: number;
  inFlight: number;
}

export class CountersError extends Error {
  override readonly name = 'CountersError';
}
