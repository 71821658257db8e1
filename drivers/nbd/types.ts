// What an NBD server exports.
import { NBD_ERROR, type NbdErrorName } from './protocol.ts';

export interface ZeroesOrder {
  /** The client wants the space allocated afterwards; else it may be given back. */
  noHole: boolean;
  /** Only if `fastZero` is offered: reject with ENOTSUP, nothing done, when the zeroes would have to be written. */
  fast: boolean;
}

export interface NbdExtent {
  lengthBytes: number;
  /** No space is allocated. */
  hole: boolean;
  /** Reads as zeroes. False: not known. */
  zero: boolean;
}

/**
 * A disk as the server's clients see it. Requests come in parallel, inside the disk's bounds, never empty. A rejected
 * promise is answered with its error's `code` (`ENOSPC`, `EINVAL`...; EIO if NBD has no such code) and, of a read, with its `offset`; a promise that
 * stays pending holds the request. `write` may keep `data`.
 */
export interface NbdExport {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  /** True only if a flush on one connection covers what ended on another, and reads see it. */
  readonly multiConnection: boolean;
  /** Nothing that changes the disk gets this far: EPERM. */
  readonly readOnly?: boolean;
  /** `writeZeroes` obeys `fast`. */
  readonly fastZero?: boolean;
  read(offset: number, length: number): Promise<Uint8Array>;
  write(offset: number, data: Buffer, fua: boolean): Promise<void>;
  writeZeroes(offset: number, length: number, fua: boolean, order: ZeroesOrder): Promise<void>;
  /** Not offered to the clients when missing. What the range reads as afterwards is the export's affair. */
  trim?(offset: number, length: number, fua: boolean): Promise<void>;
  /** Block status, not offered when missing: from `offset` on, gapless, at least one; may end before `length`. */
  extents?(offset: number, length: number): Promise<NbdExtent[]>;
  flush(): Promise<void>;
}

export class NbdError extends Error {
  readonly code: NbdErrorName;
  /** Where on the disk, if it is known. */
  readonly offset: number | undefined;
  constructor(code: NbdErrorName, message: string, offset?: number) {
    super(message);
    this.name = 'NbdError';
    this.code = code;
    this.offset = offset;
  }
}

export function nbdErrorNumber(e: unknown): number {
  let code = (e as { code?: unknown } | undefined)?.code;
  if (code === 'EOPNOTSUPP') code = 'ENOTSUP'; // two names of one number on Linux
  return typeof code === 'string' && Object.hasOwn(NBD_ERROR, code) ? NBD_ERROR[code as NbdErrorName] : NBD_ERROR.EIO;
}
