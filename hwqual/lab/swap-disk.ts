// Another disk where a CoServer's was, as a person with a screwdriver does it: while it has no power. The formats are the product's
// (appliance/mirror/README.md); what the CoServer makes of it is what is to be found out.
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { DiskSwap } from '../campaigns/lab-control.ts';

const DISK = 'disk0';
/** The product's record of the disk, beside its journal. */
const RECORD = 'intervals.journal.regions';
const SLOT_BYTES = 4096;
const SLOTS = 2;
const PAIR_AT = 64;
const PAIR_BYTES = 8;
const CRC_AT = 4092;
/** What stands on another disk: something at its head, and here and there where this pair's has nothing. */
const STAIN_BYTES = 1 << 20;
const STAIN_EVERY_BYTES = 16 << 20;

export interface DiskPlaces {
  disks: string;
  state: string;
}

/** @param places Of a CoServer that has no power. Answers what was done. */
export async function swapDisk(places: DiskPlaces, how: DiskSwap): Promise<string> {
  const path = join(places.disks, DISK);
  const { size } = await stat(path);
  switch (how) {
    case 'otherDisk':
      await strangeDisk(path, size);
      return 'another disk, with something on it';
    case 'otherPair':
      await strangeDisk(path, size);
      await renamePair(join(places.state, RECORD));
      return "another pair's disk, with its record";
    case 'shrunk':
      await truncate(path, size / 2);
      return `its disk has ${size / 2} bytes now`;
    case 'grown':
      await truncate(path, size * 2);
      return `its disk has ${size * 2} bytes now, the second half empty`;
    default:
      return how satisfies never;
  }
}

/** A file of its own: it is told from the one before by its inode and its birth. */
async function strangeDisk(path: string, size: number): Promise<void> {
  const file = await open(`${path}.strange`, 'wx', 0o600);
  try {
    await file.truncate(size);
    const stain = randomBytes(STAIN_BYTES);
    for (let at = 0; at < size; at += STAIN_EVERY_BYTES) await file.write(stain, 0, Math.min(STAIN_BYTES, size - at), at);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.strange`, path);
}

/** In both slots of the record: the pair that it names is another one, and the slots are whole. */
export async function renamePair(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    for (let slot = 0; slot < SLOTS; slot++) {
      const bytes = Buffer.alloc(SLOT_BYTES);
      await file.read(bytes, 0, SLOT_BYTES, slot * SLOT_BYTES);
      for (let at = PAIR_AT; at < PAIR_AT + PAIR_BYTES; at++) bytes.writeUInt8(bytes.readUInt8(at) ^ 0xff, at);
      bytes.writeUInt32BE(crc32(bytes.subarray(0, CRC_AT)), CRC_AT);
      await file.write(bytes, 0, SLOT_BYTES, slot * SLOT_BYTES);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What a disk holds, in a few letters: the same as before means that nothing was written to it. */
export async function diskDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: STAIN_BYTES })) hash.update(piece as Buffer);
  return hash.digest('hex').slice(0, 16);
}
