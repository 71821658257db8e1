// What an NBD server exports.
import { NBD_ERROR, type NbdErrorName } from './protocol.ts';

/**
 * A disk as the server's clients see it. Requests come in parallel, inside the disk's bounds, never empty. A rejected
 * promise is answered with its error's `code` (`ENOSPC`, `EINVAL`...; EIO if NBD has no such code); a promise that
 * stays pending holds the request. `write` may keep `data`.
 */
export interface NbdExport {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  /** True only if a flush on one connection covers what ended on another, and reads see it. */
  readonly multiConnection: boolean;
  read(offset: number, length: number): Promise<Uint8Array>;
  write(offset: number, data: Buffer, fua: boolean): Promise<void>;
  writeZeroes(offset: number, length: number, fua: boolean): Promise<void>;
  /** Not offered to the clients when missing. */
  trim?(offset: number, length: number, fua: boolean): Promise<void>;
  flush(): Promise<void>;
}

export class NbdError extends Error {
  readonly code: NbdErrorName;
  constructor(code: NbdErrorName, message: string) {
    super(message);
    this.name = 'NbdError';
    this.code = code;
  }
}

export function nbdErrorNumber(e: unknown): number {
  const code = (e as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && Object.hasOwn(NBD_ERROR, code) ? NBD_ERROR[code as NbdErrorName] : NBD_ERROR.EIO;
}
