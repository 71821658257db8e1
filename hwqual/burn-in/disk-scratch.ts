// Where the disk test writes: never over data.
//
//   a file    beside the guest's disk, created by us and removed afterwards; one that is there already must bear our mark, or it is left alone
//   an area   of a device, which must read as zeroes or bear our mark; a guest's disk on a device has no "beside"
import { open, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type BlockStore, FileStore } from '../../drivers/block/index.ts';
import type { ScratchOptions } from './context.ts';

export const SCRATCH_NAME = '.twinstep-burn-in.scratch';
/** At the beginning of each 4 KiB that a burn-in writes. */
export const MARK = Buffer.from('twinstep burn-in');
export const PIECE_BYTES = 4096;

const MIB = 2 ** 20;
export const SMALLEST_MIB = 16;
/** Of the free space, so that nothing else on the file system runs out of it. */
const SHARE_OF_FREE = 0.5;
/** Compared for data before an area is used, at a time. */
const LOOK_BYTES = MIB;

export interface Scratch {
  store: BlockStore;
  sizeBytes: number;
  /** "/srv/guest/.twinstep-burn-in.scratch (beside the guest's disk)". */
  where: string;
  /** Closes it; removes the file. */
  end(): Promise<void>;
}

/** A place where the test may not write, or has no room: the sentence says why, and what to do. */
export class ScratchError extends Error {
  override readonly name = 'ScratchError';
}

export interface OpenScratchOptions extends ScratchOptions {
  /** A file of another name: one that must survive a power cut. */
  fileName?: string;
  /** It is used again as it is. */
  keep?: boolean;
}

/** Rejects with ScratchError, or StoreError where the medium fails. */
export async function openScratch(options: OpenScratchOptions): Promise<Scratch> {
  return options.area === null ? openFile(options) : openArea(options.area);
}

async function openFile({ guestDisk, sizeMiB, fileName = SCRATCH_NAME, keep = false }: OpenScratchOptions): Promise<Scratch> {
  const folder = dirname(guestDisk);
  const found = await stat(guestDisk).catch(() => null);
  if (found?.isBlockDevice() || folder.startsWith('/dev'))
    throw new ScratchError(
      `the guest's disk ${guestDisk} is a device: name an empty area of a device of the same kind (--disk-area DEVICE:OFFSET_MIB:LENGTH_MIB)`,
    );
  const path = join(folder, fileName);
  const old = await stat(path).catch(() => null);
  if (old !== null && !(old.isFile() && (old.size === 0 || (await isOurs(path)))))
    throw new ScratchError(`${path} is there already and is not a burn-in's: look at it and move it away`);
  if (old !== null && !keep) await rm(path);
  const space = await statfs(folder).catch((cause: Error) => {
    throw new ScratchError(`${folder} cannot be looked at: ${cause.message}`, { cause });
  });
  const freeMiB = Math.floor((space.bavail * space.bsize) / MIB);
  const usableMiB = old !== null && keep ? sizeMiB : Math.min(sizeMiB, Math.floor(freeMiB * SHARE_OF_FREE));
  if (usableMiB < SMALLEST_MIB)
    throw new ScratchError(`${folder} has ${freeMiB} MiB free, ${SMALLEST_MIB / SHARE_OF_FREE} are needed at least: make room there`);
  const store = await FileStore.open({ path, sizeBytes: usableMiB * MIB, cache: 'direct' });
  return {
    store,
    sizeBytes: usableMiB * MIB,
    where: `${path} (beside the guest's disk)${notesOf(store)}`,
    end: async () => {
      await store.close();
      if (!keep) await rm(path, { force: true });
    },
  };
}

async function isOurs(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(MARK.length), 0, MARK.length, 0);
    return buffer.equals(MARK) || buffer.every((byte) => byte === 0);
  } finally {
    await file.close();
  }
}

async function openArea({ path, offsetMiB, lengthMiB }: NonNullable<ScratchOptions['area']>): Promise<Scratch> {
  if (lengthMiB < SMALLEST_MIB) throw new ScratchError(`an area of ${lengthMiB} MiB: ${SMALLEST_MIB} are needed at least`);
  if ((await stat(path).catch(() => null)) === null)
    throw new ScratchError(`${path} is not there: the area must be of a device or file that is`);
  const whole = await FileStore.open({ path, sizeBytes: (offsetMiB + lengthMiB) * MIB, cache: 'direct' });
  const store = new AreaStore(whole, offsetMiB * MIB, lengthMiB * MIB);
  const data = await firstData(store);
  if (data !== null) {
    await store.close();
    throw new ScratchError(`${path} has data at ${offsetMiB * MIB + data}: the area must read as zeroes, or be of an earlier burn-in`);
  }
  return {
    store,
    sizeBytes: store.sizeBytes,
    where: `${path} from ${offsetMiB} MiB on, ${lengthMiB} MiB${notesOf(whole)}`,
    end: () => store.close(),
  };
}

function notesOf(store: BlockStore): string {
  return store.notes === undefined || store.notes.length === 0 ? '' : `; ${store.notes.join('; ')}`;
}

/** Offset of the first piece that is neither zeroes nor ours; null: there is none. */
export async function firstData(store: BlockStore): Promise<number | null> {
  for (let at = 0; at < store.sizeBytes; at += LOOK_BYTES) {
    const bytes = await store.read(at, Math.min(LOOK_BYTES, store.sizeBytes - at));
    for (let piece = 0; piece < bytes.length; piece += PIECE_BYTES) {
      const here = bytes.subarray(piece, piece + PIECE_BYTES);
      if (!here.subarray(0, MARK.length).equals(MARK) && !here.every((byte) => byte === 0)) return at + piece;
    }
  }
  return null;
}

/** A piece of a disk as a disk. */
class AreaStore implements BlockStore {
  readonly #whole: BlockStore;
  readonly #from: number;
  readonly sizeBytes: number;

  constructor(whole: BlockStore, from: number, sizeBytes: number) {
    this.#whole = whole;
    this.#from = from;
    this.sizeBytes = sizeBytes;
  }

  #inside(offset: number, length: number): number {
    if (offset < 0 || offset + length > this.sizeBytes) throw new RangeError(`${length} bytes at ${offset} are outside of the area`);
    return this.#from + offset;
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#whole.read(this.#inside(offset, length), length);
  }

  write(offset: number, ...parts: Uint8Array[]): Promise<void> {
    const length = parts.reduce((sum, p) => sum + p.length, 0);
    return this.#whole.write(this.#inside(offset, length), ...parts);
  }

  zero(offset: number, length: number): Promise<void> {
    return this.#whole.zero(this.#inside(offset, length), length);
  }

  flush(): Promise<void> {
    return this.#whole.flush();
  }

  close(): Promise<void> {
    return this.#whole.close();
  }
}
