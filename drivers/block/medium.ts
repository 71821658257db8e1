// What a file system or a block device can do with space: give it back, allocate it, zero it without a write, say where it has none.
//
// Block devices take the same fallocate(2) as files (the kernel's blkdev_fallocate: PUNCH_HOLE and ZERO_RANGE become its zeroing with
// and without unmapping, and the page cache follows). Not BLKDISCARD: what it leaves behind is undefined, and two copies would differ.
import * as fs from 'node:fs';
import { getSystemErrorName, promisify } from 'node:util';
import { FALLOCATE, native } from './native.ts';
import type { StoreExtent, ZeroOptions } from './types.ts';

const fstat = promisify(fs.fstat);
const readFile = promisify(fs.readFile);
/** EOPNOTSUPP, EINVAL: "not here", from file systems that know no holes. */
const EOPNOTSUPP = 95;
const EINVAL = 22;
/** In one call: the kernel holds the file's lock for as long as it takes. */
const STEP_BYTES = 1024 * 1024 * 1024;

interface Kind {
  device: boolean;
  /** Requests of the medium start and end at multiples of it. Files: 1, the kernel zeroes parts of blocks itself. */
  blockBytes: number;
  /** Device: it zeroes by itself, the kernel does not write the zeroes. */
  zeroesItself: boolean;
  fileBytes: number;
}

export class Medium {
  readonly #fd: number;
  #kind: Promise<Kind> | undefined;
  /** Modes of fallocate that were refused: the answer does not change. */
  readonly #refused = new Set<number>();

  /** @param fd Must stay open while a call runs. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  async blockBytes(): Promise<number> {
    return (await this.#whatKind()).blockBytes;
  }

  /** On `blockBytes` borders. False: no way, nothing was done. */
  async zero(offset: number, length: number, { space = 'keep', fast = false }: ZeroOptions): Promise<boolean> {
    const kind = await this.#whatKind();
    if (space === 'release' && (await this.#fallocate(FALLOCATE.punchHole, offset, length))) return true;
    if (kind.device) {
      if (fast && !kind.zeroesItself) return false;
      return await this.#fallocate(FALLOCATE.zeroRange, offset, length);
    }
    if (space === 'allocate') return await this.#fallocate(FALLOCATE.zeroRange, offset, length);
    // Holes must stay holes: only what has data is zeroed, and stays allocated.
    for (let at = offset; at < offset + length; ) {
      const extents = await this.extents(at, offset + length - at);
      for (const extent of extents) {
        if (!extent.zero && !(await this.#fallocate(FALLOCATE.zeroRange, at, extent.lengthBytes))) return false;
        at += extent.lengthBytes;
      }
    }
    return true;
  }

  async extents(offset: number, length: number): Promise<StoreExtent[]> {
    const unknown = [{ lengthBytes: length, hole: false, zero: false }];
    // A device's lseek knows no holes.
    if (length === 0 || (await this.#whatKind()).device) return unknown;
    const ranges = await native().dataRanges(this.#fd, offset, offset + length);
    if (typeof ranges === 'number') {
      if (ranges === EINVAL || ranges === EOPNOTSUPP) return unknown;
      throw systemError(ranges, 'lseek');
    }
    return toExtents(offset, ranges);
  }

  async canRelease(): Promise<boolean> {
    const kind = await this.#whatKind();
    if (kind.device) return kind.zeroesItself;
    // Behind the end of the file there is nothing to lose.
    return await this.#fallocate(FALLOCATE.punchHole, Math.ceil(kind.fileBytes / 4096) * 4096, 4096);
  }

  /** False: not here. */
  async #fallocate(mode: number, offset: number, length: number): Promise<boolean> {
    for (let at = offset; at < offset + length; at += STEP_BYTES) {
      if (this.#refused.has(mode)) return false;
      const errno = await native().fallocate(this.#fd, mode | FALLOCATE.keepSize, at, Math.min(STEP_BYTES, offset + length - at));
      if (errno === EOPNOTSUPP) this.#refused.add(mode);
      else if (errno !== 0) throw systemError(errno, 'fallocate');
    }
    return !this.#refused.has(mode);
  }

  #whatKind(): Promise<Kind> {
    this.#kind ??= kindOf(this.#fd);
    return this.#kind;
  }
}

/** `[knownUntil, start, end, start, end...]` -> holes and data from `offset` on. */
export function toExtents(offset: number, ranges: number[]): StoreExtent[] {
  const [knownUntil = offset, ...pairs] = ranges;
  const extents: StoreExtent[] = [];
  let at = offset;
  const reach = (end: number, hole: boolean): void => {
    if (end > at) extents.push({ lengthBytes: end - at, hole, zero: hole });
    at = Math.max(at, end);
  };
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    reach(pairs[i] ?? at, true);
    reach(pairs[i + 1] ?? at, false);
  }
  reach(knownUntil, true);
  return extents;
}

async function kindOf(fd: number): Promise<Kind> {
  const s = await fstat(fd);
  if (!s.isBlockDevice()) return { device: false, blockBytes: 1, zeroesItself: false, fileBytes: s.size };
  const queue = await queueDirectory(s.rdev);
  const number = async (name: string): Promise<number> => Number(await readFile(`${queue}/${name}`, 'utf8'));
  return {
    device: true,
    blockBytes: await number('logical_block_size'),
    zeroesItself: (await number('write_zeroes_max_bytes')) > 0,
    fileBytes: 0,
  };
}

/** Of the device, or of the device below a file; 4096, which fits all, where that is not known (several devices, a network). */
export async function logicalBlockBytes(fd: number): Promise<number> {
  const s = await fstat(fd);
  try {
    return Number(await readFile(`${await queueDirectory(s.isBlockDevice() ? s.rdev : s.dev)}/logical_block_size`, 'utf8'));
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return 4096;
    throw e;
  }
}

/** In /sys; a partition has its disk's. */
async function queueDirectory(rdev: number): Promise<string> {
  const { major, minor } = deviceNumbers(rdev);
  const own = await promisify(fs.realpath)(`/sys/dev/block/${major}:${minor}`);
  const isDisk = await promisify(fs.access)(`${own}/queue`).then(
    () => true,
    () => false,
  );
  return isDisk ? `${own}/queue` : `${own}/../queue`;
}

export function deviceNumbers(rdev: number): { major: number; minor: number } {
  return { major: (rdev >> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00) };
}

function systemError(errno: number, call: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${code}: ${call} failed`), { code, errno: -errno, syscall: call });
}
