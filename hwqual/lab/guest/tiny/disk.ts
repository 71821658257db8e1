// The tiny guest's disk from outside: made empty, and read without the guest (records.c has the layout).
import { open, truncate } from 'node:fs/promises';

const SECTOR_BYTES = 512;
const FIRST_RECORD = 8;
const MIB = 1024 * 1024;
const RECORDS_AT_ONCE = 2048;

export interface TinyDisk {
  /** How often it started; null: never. */
  starts: number | null;
  /** The writes it made by itself. */
  beats: number;
  records: number[];
}

/** Sparse; the guest makes of it what it needs. Refuses to overwrite. */
export async function createTinyDisk(path: string, sizeMiB: number): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  await file.close();
  await truncate(path, sizeMiB * MIB);
}

/** Throws when a sector holds something else than this guest writes, naming it. */
export async function readTinyDisk(path: string): Promise<TinyDisk> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(FIRST_RECORD * SECTOR_BYTES);
    await file.read(head, 0, head.length, 0);
    const starts = sectorNumber(head, 0, 'TINY', path);
    const beats = sectorNumber(head, SECTOR_BYTES, 'BEAT', path) ?? 0;
    const records: number[] = [];
    const bytes = Buffer.alloc(RECORDS_AT_ONCE * SECTOR_BYTES);
    for (let at = head.length; ; at += bytes.length) {
      const { bytesRead } = await file.read(bytes, 0, bytes.length, at);
      for (let i = 0; i < bytesRead; i += SECTOR_BYTES) {
        const record = sectorNumber(bytes, i, 'R', `${path} at ${at + i}`);
        if (record === null) return { starts, beats, records };
        records.push(record);
      }
      if (bytesRead < bytes.length) return { starts, beats, records };
    }
  } finally {
    await file.close();
  }
}

/** Of "WORD 12\n" and zeros behind it; null: an empty sector. */
function sectorNumber(bytes: Buffer, at: number, word: string, where: string): number | null {
  const sector = bytes.subarray(at, at + SECTOR_BYTES);
  if (sector.every((b) => b === 0)) return null;
  const text = sector.toString('latin1').replace(/\0+$/, '');
  const number = /^([A-Z]+) (\d{1,10})\n$/.exec(text);
  if (number?.[1] !== word) throw new Error(`${where}: "${word} <number>" is expected, it holds ${JSON.stringify(text.slice(0, 40))}`);
  return Number(number[2]);
}
