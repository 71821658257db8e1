// A BlockStore on a file or a block device, by the thread pool's pread, pwrite, pwritev and fdatasync.
//
// Never a synchronous call: a disk that hangs would freeze the thread. A flush that failed is never tried again: the
// kernel has dropped the pages it could not write, and a second fdatasync would claim that all is well.
// Space is given back, allocated and asked about through the addon (`medium.ts`); zeroes are written only where the medium has no
// better way, and then not where the range reads as zero already.
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { DirectIo, LARGEST_UNIT_BYTES } from './direct.ts';
import { deviceNumbers, logicalBlockBytes, Medium } from './medium.ts';
import { SmallDiskError, type SpaceStore, StoreError, type StoreExtent, type StoreOperation, type ZeroOptions } from './types.ts';
import { WriteQueue } from './write-queue.ts';

const open = promisify(fs.open);
const close = promisify(fs.close);
const fstat = promisify(fs.fstat);
const ftruncate = promisify(fs.ftruncate);
const fsync = promisify(fs.fsync);

/** Requests other than writes given to the thread pool at a time: more only queue there, in front of everybody else's. */
const PARALLEL_REQUESTS = 16;
/** Zeroes are looked for and written in steps of this size. */
const ZERO_STEP_BYTES = 1024 * 1024;
/** Below this, zeroes are cheaper written than turned into extents of their own. */
const SMALL_ZERO_BYTES = 64 * 1024;
/** No descriptor. */
const CLOSED = -1;
const ZEROES = Buffer.alloc(ZERO_STEP_BYTES);

export type StoreCache = 'buffered' | 'direct';

export interface FileStoreOptions {
  path: string;
  /** A missing file is created, sparse, of this size. An existing file or device must have at least this size. */
  sizeBytes: number;
  /**
   * buffered  through the page cache (default)
   * direct    past it; where the file system refuses that, through it, and `notes` says so
   */
  cache?: StoreCache;
  /** A device is used alone by whoever opened it; true: beside somebody who does. */
  shared?: boolean;
}

export class FileStore implements SpaceStore {
  readonly sizeBytes: number;
  readonly #fd: number;
  readonly #path: string;
  readonly #medium: Medium;
  readonly #writes: WriteQueue;
  #direct: DirectIo | undefined;
  readonly notes: string[] = [];
  #running = 0;
  /** Writes given to the queue. */
  #writing = 0;
  readonly #waiting: (() => void)[] = [];
  #flushing: Promise<void> | undefined;
  #nextFlush: Promise<void> | undefined;
  #flushError: StoreError | undefined;
  #closed = false;
  /** Set by `close`: called whenever a request has ended. */
  #idle: (() => void) | undefined;

  private constructor(fd: number, filePath: string, sizeBytes: number) {
    this.#fd = fd;
    this.#path = filePath;
    this.#medium = new Medium(fd);
    this.#writes = new WriteQueue(fd);
    this.sizeBytes = sizeBytes;
  }

  static async open(options: FileStoreOptions): Promise<FileStore> {
    const fail = (message: string, code = 'EIO'): StoreError => new StoreError('setup', 'open', 0, message, code);
    const { path: filePath, sizeBytes } = options;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) throw fail(`${filePath}: a size of ${sizeBytes} bytes makes no disk`, 'EINVAL');
    const { created, direct, ...opened } = await openFile(filePath, options, fail);
    let { fd } = opened;
    try {
      // An empty file is one whose creation was cut short by a loss of power.
      if (created || (await isEmptyFile(fd))) {
        await ftruncate(fd, sizeBytes);
        await fsync(fd);
        await syncDirectory(path.dirname(filePath));
      }
      const found = await sizeOf(fd);
      if (found < sizeBytes) throw new SmallDiskError(filePath, found, sizeBytes);
      if (options.cache !== 'direct') return new FileStore(fd, filePath, sizeBytes);
      const unitBytes = direct ? await directUnit(fd, sizeBytes) : null;
      if (direct && unitBytes === null) {
        await close(fd);
        fd = CLOSED;
        ({ fd } = await openFile(filePath, { ...options, cache: 'buffered' }, fail));
      }
      const store = new FileStore(fd, filePath, sizeBytes);
      if (unitBytes === null) store.notes.push(`${filePath}: cannot be used past the page cache here (O_DIRECT): it goes through it`);
      else store.#direct = store.#directIo(unitBytes);
      return store;
    } catch (e) {
      if (fd !== CLOSED) await close(fd);
      throw e instanceof StoreError
        ? e
        : fail(`cannot use the disk ${filePath}: ${(e as Error).message}`, (e as NodeJS.ErrnoException).code);
    }
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#check('read', offset, length);
    const buffer = Buffer.allocUnsafeSlow(length);
    const wait = this.#enter();
    if (wait) await wait;
    try {
      if (this.#direct) {
        await this.#direct.read(buffer, offset);
        return buffer;
      }
      let done = 0;
      while (done < length) {
        const n = await this.#pread(buffer, done, length - done, offset + done);
        if (n === 0) throw this.#ended('read', offset + done);
        done += n;
      }
      return buffer;
    } finally {
      this.#leave();
    }
  }

  write(offset: number, ...parts: Uint8Array[]): Promise<void> {
    let length = 0;
    for (const p of parts) length += p.length;
    return new Promise((resolve, reject) => {
      this.#check('write', offset, length);
      if (length === 0) {
        resolve();
        return;
      }
      this.#writing++;
      const ended = (e: NodeJS.ErrnoException | StoreError | undefined): void => {
        this.#writing--;
        if (!e) resolve();
        else reject(e instanceof StoreError ? e : this.#classify('write', offset, e));
        this.#idle?.();
      };
      if (!this.#direct) this.#writes.write(offset, length, parts, ended);
      else this.#throughDirect(this.#direct, offset, length, parts).then(() => ended(undefined), ended);
    });
  }

  async zero(offset: number, length: number, options: ZeroOptions = {}): Promise<void> {
    const { space = 'keep', fast = false } = options;
    this.#check('write', offset, length);
    if (length === 0) return;
    if (!fast && space === 'keep' && length < SMALL_ZERO_BYTES) await this.#writeZeroes(offset, length, true);
    else if (!(await this.#zeroByMedium(offset, length, options))) {
      if (fast) throw new StoreError('unsupported', 'write', offset, `${this.#path}: has no fast way to zero`, 'ENOTSUP');
      await this.#writeZeroes(offset, length, space !== 'allocate');
    }
  }

  async extents(offset: number, length: number): Promise<StoreExtent[]> {
    this.#check('read', offset, length);
    return await this.#onMedium('read', offset, () => this.#medium.extents(offset, length));
  }

  async canRelease(): Promise<boolean> {
    this.#check('read', 0, 0);
    return await this.#onMedium('read', 0, () => this.#medium.canRelease());
  }

  /** False: the medium has no way, and nothing was done. A part of a device's block at either end is written. */
  async #zeroByMedium(offset: number, length: number, options: ZeroOptions): Promise<boolean> {
    const unit = this.#direct?.unitBytes ?? (await this.#medium.blockBytes());
    const start = Math.ceil(offset / unit) * unit;
    const end = Math.floor((offset + length) / unit) * unit;
    if (start >= end) return false;
    if (!(await this.#onMedium('write', start, () => this.#medium.zero(start, end - start, options)))) return false;
    await this.#writeZeroes(offset, start - offset, true);
    await this.#writeZeroes(end, offset + length - end, true);
    return true;
  }

  async #writeZeroes(offset: number, length: number, skipZero: boolean): Promise<void> {
    for (let at = offset; at < offset + length; at += ZERO_STEP_BYTES) {
      const step = Math.min(ZERO_STEP_BYTES, offset + length - at);
      const zeroes = ZEROES.subarray(0, step);
      if (skipZero && zeroes.equals(await this.read(at, step))) continue;
      await this.write(at, zeroes);
    }
  }

  /** One of the requests at a time, like a read or a write. */
  async #onMedium<T>(operation: StoreOperation, offset: number, work: () => Promise<T>): Promise<T> {
    // It may have been closed since the request was checked; the descriptor's number is another file's then.
    this.#check(operation, offset, 0);
    const wait = this.#enter();
    if (wait) await wait;
    try {
      return await work();
    } catch (e) {
      throw this.#classify(operation, offset, e as NodeJS.ErrnoException);
    } finally {
      this.#leave();
    }
  }

  /** Flushes that are asked for while one runs share the next one. */
  flush(): Promise<void> {
    if (this.#flushError) return Promise.reject(this.#flushError);
    if (this.#nextFlush) return this.#nextFlush;
    if (!this.#flushing) {
      this.#flushing = this.#fdatasync();
      return this.#flushing;
    }
    const start = async (): Promise<void> => {
      this.#nextFlush = undefined;
      if (this.#flushError) throw this.#flushError;
      this.#flushing = this.#fdatasync();
      return this.#flushing;
    };
    this.#nextFlush = this.#flushing.then(start, start);
    return this.#nextFlush;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#running > 0 || this.#writing > 0 || this.#flushing) {
      await new Promise<void>((resolve) => {
        this.#idle = () => {
          if (this.#running === 0 && this.#writing === 0 && !this.#flushing) resolve();
        };
      });
    }
    await close(this.#fd);
  }

  #check(operation: StoreOperation, offset: number, length: number): void {
    if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length)) || offset < 0 || length < 0 || offset + length > this.sizeBytes) {
      throw new StoreError(
        'range',
        operation,
        offset,
        `${this.#path}: ${length} bytes at ${offset} are outside of the disk (${this.sizeBytes})`,
        'EINVAL',
      );
    }
    if (this.#closed) throw new StoreError('range', operation, offset, `${this.#path}: is closed`, 'EBADF');
    if (operation === 'write' && this.#flushError) throw this.#flushError;
  }

  #enter(): Promise<void> | undefined {
    if (this.#running < PARALLEL_REQUESTS) {
      this.#running++;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else {
      this.#running--;
      this.#idle?.();
    }
  }

  #directIo(unitBytes: number): DirectIo {
    return new DirectIo(unitBytes, PARALLEL_REQUESTS, {
      pread: (buffer, at, length, position) => this.#pread(buffer, at, length, position),
      pwrite: (buffer, at, length, position) => this.#pwrite(buffer, at, length, position),
      ended: (operation, position) => this.#ended(operation, position),
    });
  }

  #ended(operation: 'read' | 'write', at: number): StoreError {
    const what = operation === 'read' ? `ends at ${at}, before its size` : `takes no more bytes at ${at}`;
    return new StoreError('io', operation, at, `${this.#path}: ${what}`);
  }

  #pread(buffer: Buffer, at: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.read(this.#fd, buffer, at, length, position, (e, n) => (e ? reject(this.#classify('read', position, e)) : resolve(n)));
    });
  }

  #pwrite(buffer: Buffer, at: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.write(this.#fd, buffer, at, length, position, (e, n) => (e ? reject(this.#classify('write', position, e)) : resolve(n)));
    });
  }

  async #throughDirect(direct: DirectIo, offset: number, length: number, parts: Uint8Array[]): Promise<void> {
    const wait = this.#enter();
    if (wait) await wait;
    try {
      await direct.write(offset, length, parts);
    } finally {
      this.#leave();
    }
  }

  #fdatasync(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      fs.fdatasync(this.#fd, (e) => {
        this.#flushing = undefined;
        if (e) {
          this.#flushError = this.#classify('flush', 0, e);
          reject(this.#flushError);
        } else resolve();
        if (!this.#nextFlush) this.#idle?.();
      });
    });
  }

  #classify(operation: StoreOperation, offset: number, e: NodeJS.ErrnoException): StoreError {
    const code = e.code ?? 'EIO';
    const kind = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG' ? 'noSpace' : 'io';
    return new StoreError(
      kind,
      operation,
      offset,
      `${this.#path}: ${operation} at ${offset}: ${e.message}`,
      kind === 'noSpace' ? 'ENOSPC' : 'EIO',
    );
  }
}

/** direct: so it was opened; false where the file system refuses it. */
async function openFile(
  filePath: string,
  { cache, shared }: FileStoreOptions,
  fail: (message: string, code?: string) => StoreError,
): Promise<{ fd: number; created: boolean; direct: boolean }> {
  const { O_RDWR, O_CREAT, O_EXCL, O_DIRECT } = fs.constants;
  let flags = O_RDWR;
  let created = false;
  try {
    // On a device O_EXCL asks the kernel for exclusive use: it refuses one that is mounted or in use elsewhere.
    if ((await isBlockDevice(filePath)) && shared !== true) flags |= O_EXCL;
  } catch (e) {
    const error = e as NodeJS.ErrnoException;
    if (error.code !== 'ENOENT') throw fail(`cannot open the disk ${filePath}: ${error.message}`, error.code);
    try {
      await close(await open(filePath, O_RDWR | O_CREAT | O_EXCL, 0o600));
      created = true;
    } catch (e2) {
      throw fail(`cannot create the disk ${filePath}: ${(e2 as Error).message}`, (e2 as NodeJS.ErrnoException).code);
    }
  }
  const failed = (e: NodeJS.ErrnoException): never => {
    throw fail(`cannot open the disk ${filePath}: ${e.message}`, e.code);
  };
  if (cache === 'direct') {
    const fd = await open(filePath, flags | O_DIRECT).catch((e: NodeJS.ErrnoException) => (e.code === 'EINVAL' ? null : failed(e)));
    if (fd !== null) return { fd, created, direct: true };
  }
  return { fd: await open(filePath, flags).catch(failed), created, direct: false };
}

/** At whose multiples the medium takes requests past the page cache; null: it does not. */
async function directUnit(fd: number, sizeBytes: number): Promise<number | null> {
  const unitBytes = await logicalBlockBytes(fd);
  // The last block of a file must not reach beyond it: writing it would make the file larger.
  if (unitBytes > LARGEST_UNIT_BYTES || sizeBytes % unitBytes !== 0) return null;
  const page = Buffer.from(new WebAssembly.Memory({ initial: 1, maximum: 1 }).buffer, 0, unitBytes);
  return await new Promise((resolve, reject) => {
    fs.read(fd, page, 0, unitBytes, 0, (e) => (e && e.code !== 'EINVAL' ? reject(e) : resolve(e ? null : unitBytes)));
  });
}

async function isEmptyFile(fd: number): Promise<boolean> {
  const s = await fstat(fd);
  return s.isFile() && s.size === 0;
}

async function isBlockDevice(filePath: string): Promise<boolean> {
  return (await promisify(fs.stat)(filePath)).isBlockDevice();
}

/** A device's own stat says 0: the kernel tells its size, in sectors of 512 bytes, in /sys. */
async function sizeOf(fd: number): Promise<number> {
  const s = await fstat(fd);
  if (s.isFile()) return s.size;
  if (!s.isBlockDevice()) throw new Error('is neither a file nor a block device');
  const { major, minor } = deviceNumbers(s.rdev);
  return Number(await promisify(fs.readFile)(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * 512;
}

async function syncDirectory(directory: string): Promise<void> {
  const fd = await open(directory, fs.constants.O_RDONLY);
  try {
    await fsync(fd);
  } finally {
    await close(fd);
  }
}
