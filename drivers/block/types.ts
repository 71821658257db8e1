// What the mirror needs of a disk: so that tests can put a disk with a losable cache in its place.

/**
 * Random access to a disk of a fixed size. Offsets and lengths in bytes, any alignment. Requests run in parallel and in
 * no order: whoever needs an order of overlapping writes must await. A write that ended is in the cache of the
 * operating system; it survives a loss of power only after a `flush` that began later has ended.
 * Every failure is a `StoreError`.
 */
export interface BlockStore {
  readonly sizeBytes: number;
  read(offset: number, length: number): Promise<Buffer>;
  /** The parts, one after the other, from `offset` on. The parts must not change until it ends. */
  write(offset: number, ...parts: Uint8Array[]): Promise<void>;
  /** The range reads as zero bytes afterwards. */
  zero(offset: number, length: number): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
}

export type StoreOperation = 'open' | 'read' | 'write' | 'flush';

/**
 *  noSpace   the file system below is full: nothing was damaged
 *  io        the medium failed: this copy cannot be trusted with new data any more
 *  range     a programming error of the caller: outside of the disk
 *  setup     the path or its size is not usable; the message says why and what to do
 */
export type StoreErrorKind = 'noSpace' | 'io' | 'range' | 'setup';

export class StoreError extends Error {
  readonly kind: StoreErrorKind;
  readonly operation: StoreOperation;
  readonly offset: number;
  /** The system's name of the error (`EIO`, `ENOSPC`), as NBD wants it. */
  readonly code: string;

  constructor(kind: StoreErrorKind, operation: StoreOperation, offset: number, message: string, code = 'EIO') {
    super(message);
    this.name = 'StoreError';
    this.kind = kind;
    this.operation = operation;
    this.offset = offset;
    this.code = code;
  }
}
