// What the mirror needs of a disk: so that tests can put a disk with a losable cache in its place.

/**
 * Random access to a disk of a fixed size. Offsets and lengths in bytes, any alignment. Requests run in parallel and in
 * no order: whoever needs an order of overlapping writes must await. A write that ended is in the cache of the
 * operating system; it survives a loss of power only after a `flush` that began later has ended.
 * Every failure is a `StoreError`.
 */
export interface BlockStore {
  readonly sizeBytes: number;
  /** What its owner should know of it, in words. */
  readonly notes?: readonly string[];
  read(offset: number, length: number): Promise<Buffer>;
  /** The parts, one after the other, from `offset` on. The parts must not change until it ends. */
  write(offset: number, ...parts: Uint8Array[]): Promise<void>;
  /**
   * As `write`, for a layer that keeps checksums or hands them down. sums: the crc32 of what the write has of each 4 KiB block that it
   * touches, in order, whose computation is spared.
   */
  writeChecked?(offset: number, sums: Uint32Array, ...parts: Uint8Array[]): Promise<void>;
  /** The range reads as zero bytes afterwards, whatever the options; a store that knows nothing of space ignores them. */
  zero(offset: number, length: number, options?: ZeroOptions): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/**
 * What zeroing does to the space below.
 *
 *  keep      what was allocated stays so, holes stay holes
 *  release   given back where the medium can: a later write may find no space
 *  allocate  all of it: a later write finds its space
 */
export type ZeroSpace = 'keep' | 'release' | 'allocate';

export interface ZeroOptions {
  /** Default: keep. */
  space?: ZeroSpace;
  /** Reject as `unsupported`, with nothing done, when the zeroes would have to be written. */
  fast?: boolean;
}

export interface StoreExtent {
  lengthBytes: number;
  /** No space is allocated, as far as the medium tells. */
  hole: boolean;
  /** Reads as zeroes. False: not known. */
  zero: boolean;
}

/** A disk that can give space back and say where it has none. */
export interface SpaceStore extends BlockStore {
  /** From `offset` on, gapless, at least one; may end before `length` (a map of very many pieces): ask again from there. */
  extents(offset: number, length: number): Promise<StoreExtent[]>;
  /** Whether `release` gives space back here. A pair offers TRIM to its guest only if both copies can. */
  canRelease(): Promise<boolean>;
}

export type StoreOperation = 'open' | 'read' | 'write' | 'flush';

/**
 *  noSpace   the file system below is full: nothing was damaged
 *  io        the medium failed: this copy cannot be trusted with new data any more
 *  range     a programming error of the caller: outside of the disk
 *  setup     the path or its size is not usable; the message says why and what to do
 *  unsupported  the medium has no fast way to zero, and one was asked for: nothing was done, nothing is wrong
 */
export type StoreErrorKind = 'noSpace' | 'io' | 'range' | 'setup' | 'unsupported';

export class StoreError extends Error {
  readonly kind: StoreErrorKind;
  readonly operation: StoreOperation;
  readonly offset: number;
  /** The system's name of the error (`EIO`, `ENOSPC`, `ENOTSUP`), as NBD wants it. */
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

/** A file or device that is shorter than what is asked of it. */
export class SmallDiskError extends StoreError {
  readonly path: string;
  readonly foundBytes: number;

  constructor(path: string, foundBytes: number, neededBytes: number) {
    super('setup', 'open', 0, `${path} has ${foundBytes} bytes, ${neededBytes} are needed: enlarge it or set a smaller disk`, 'EINVAL');
    this.path = path;
    this.foundBytes = foundBytes;
  }
}
