// What the witness must not forget: the newest memory of each pair, in a log of fixed slots. All that waits is written and
// flushed together, so one flush serves many pairs. A full log is written anew, with one slot a pair, beside the old one.
//
// | offset | bytes | slot of a memory                    | first slot of the file            |
// |      0 |     4 | "TWwm"                              | "TWwl"                            |
// |      4 |     1 | owner: 0 none, 1 A, 2 B             | format: 1                         |
// |      5 |     3 | zero                                | zero                              |
// |      8 |    16 | pair id                             | zero                              |
// |     24 |     8 | generation, be64                    | slots in this file, be64          |
// |     32 |     8 | counter, be64                       | zero                              |
// |     40 |     4 | crc32 of bytes 0..39                | the same                          |
// |     44 |    20 | zero                                | zero                              |
// A slot of zeros is free. The later of two whole slots of one pair holds. A slot that is neither free nor whole was torn by a loss
// of power, or is damaged: what it held is unknown, which the witness is after every start until the pair has told it.
import { constants, existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { WitnessMemory } from '../core/witness.ts';
import { WitnessSetupError } from './enrolment.ts';

const SLOT_BYTES = 64;
const FORMAT = 1;
const FILE = 'memory.log';
/** Of a new log: 256 KiB. Thousands of grants pass before it is written anew. */
const LEAST_SLOTS = 4096;
/** A log has room for that many more changes of each of its pairs. */
const SLOTS_PER_PAIR = 4;
const OWNERS = [null, 'A', 'B'] as const;

export function encodeMemory(pairId: string, memory: WitnessMemory): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.write('TWwm', 0, 'latin1');
  slot[4] = OWNERS.indexOf(memory.owner);
  slot.write(pairId, 8, 'hex');
  slot.writeBigUInt64BE(BigInt(memory.generation), 24);
  slot.writeBigUInt64BE(BigInt(memory.counter), 32);
  return seal(slot);
}

/** Null: not a whole slot. */
export function decodeMemory(slot: Buffer): { pairId: string; memory: WitnessMemory } | null {
  if (!isWhole(slot, 'TWwm')) return null;
  const owner = OWNERS[slot[4] ?? 0];
  const generation = Number(slot.readBigUInt64BE(24));
  const counter = Number(slot.readBigUInt64BE(32));
  if (owner === undefined || !Number.isSafeInteger(generation) || !Number.isSafeInteger(counter)) return null;
  return { pairId: slot.toString('hex', 8, 24), memory: { generation, owner, counter } };
}

interface Waiting {
  pairId: string;
  memory: WitnessMemory;
  resolve: () => void;
  reject: (error: Error) => void;
}

export class MemoryStore {
  readonly #directory: string;
  readonly #memories: Map<string, WitnessMemory>;
  /** Why memories may be missing or old; empty: the log was whole. */
  readonly damage: string;
  #file: FileHandle;
  #slots: number;
  #next: number;
  /** A write failed: what the file holds beyond its whole slots is unknown, so it is written anew first. */
  #suspect = false;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | null = null;

  private constructor(directory: string, memories: Map<string, WitnessMemory>, damage: string, log: { file: FileHandle; slots: number }) {
    this.#directory = directory;
    this.#memories = memories;
    this.damage = damage;
    this.#file = log.file;
    this.#slots = log.slots;
    this.#next = memories.size + 1;
  }

  /** Opens or makes the log. What is damaged is kept beside it. Throws when it cannot be read or written, or is of a newer format. */
  static async open(directory: string): Promise<MemoryStore> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, FILE);
    let found: { memories: Map<string, WitnessMemory>; damage: string } = { memories: new Map(), damage: '' };
    if (existsSync(path)) {
      const file = await open(path, 'r');
      try {
        found = readLog(await file.readFile(), path);
      } finally {
        await file.close();
      }
      if (found.damage) await rename(path, join(directory, 'memory.damaged'));
    }
    return new MemoryStore(directory, found.memories, found.damage, await writeLog(directory, found.memories));
  }

  get(pairId: string): WitnessMemory | null {
    return this.#memories.get(pairId) ?? null;
  }

  /** Durable when it resolves; rejects when that is not certain: then it was not said, and get() still gives the old one. */
  put(pairId: string, memory: WitnessMemory): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ pairId, memory, resolve, reject });
      this.#flushing ??= this.#flushAll().finally(() => {
        this.#flushing = null;
      });
    });
  }

  async close(): Promise<void> {
    await this.#flushing;
    await this.#file.close();
  }

  async #flushAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#flush(batch);
      } catch (e) {
        this.#suspect = true;
        for (const w of batch) w.reject(e as Error);
        continue;
      }
      for (const w of batch) w.resolve();
    }
  }

  async #flush(batch: readonly Waiting[]): Promise<void> {
    const after = new Map(this.#memories);
    for (const w of batch) after.set(w.pairId, w.memory);
    if (this.#suspect || this.#next + batch.length > this.#slots) {
      const { file, slots } = await writeLog(this.#directory, after);
      const old = this.#file;
      this.#file = file;
      this.#slots = slots;
      this.#next = after.size + 1;
      this.#suspect = false;
      await old.close().catch(() => undefined);
    } else {
      const bytes = Buffer.concat(batch.map((w) => encodeMemory(w.pairId, w.memory)));
      const { bytesWritten } = await this.#file.write(bytes, 0, bytes.length, this.#next * SLOT_BYTES);
      if (bytesWritten !== bytes.length) throw new Error('the log was not written whole');
      await this.#file.datasync();
      this.#next += batch.length;
    }
    for (const w of batch) this.#memories.set(w.pairId, w.memory);
  }
}

/** The log of these memories under its final name, durable, with free slots that need no more space. */
async function writeLog(directory: string, memories: ReadonlyMap<string, WitnessMemory>): Promise<{ file: FileHandle; slots: number }> {
  const slots = Math.max(LEAST_SLOTS, (1 + memories.size) * SLOTS_PER_PAIR);
  const head = Buffer.alloc(SLOT_BYTES);
  head.write('TWwl', 0, 'latin1');
  head[4] = FORMAT;
  head.writeBigUInt64BE(BigInt(slots), 24);
  const bytes = Buffer.alloc(slots * SLOT_BYTES);
  seal(head).copy(bytes);
  let at = SLOT_BYTES;
  for (const [pairId, memory] of memories) at += encodeMemory(pairId, memory).copy(bytes, at);
  const path = join(directory, FILE);
  const file = await open(`${path}.new`, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
    await rename(`${path}.new`, path);
    const folder = await open(directory, 'r');
    await folder.sync().finally(() => folder.close());
  } catch (e) {
    await file.close();
    throw e;
  }
  return { file, slots };
}

function readLog(bytes: Buffer, path: string): { memories: Map<string, WitnessMemory>; damage: string } {
  const memories = new Map<string, WitnessMemory>();
  const damages: string[] = [];
  if (!isWhole(bytes.subarray(0, SLOT_BYTES), 'TWwl')) damages.push('its first slot is not whole');
  else if ((bytes[4] ?? 0) !== FORMAT)
    throw new WitnessSetupError(`${path} has format ${bytes[4]}, this version writes ${FORMAT}: start the version that wrote it`);
  else if (bytes.length < Number(bytes.readBigUInt64BE(24)) * SLOT_BYTES) damages.push('it is too short');
  let broken = 0;
  for (let at = SLOT_BYTES; at < bytes.length; at += SLOT_BYTES) {
    const slot = bytes.subarray(at, at + SLOT_BYTES);
    const found = decodeMemory(slot);
    if (found) memories.set(found.pairId, found.memory);
    else if (slot.some((byte) => byte !== 0)) broken++;
  }
  if (broken > 0) damages.push(`${broken} of its slots are torn or damaged`);
  return { memories, damage: damages.length > 0 ? `${path}: ${damages.join(', ')}` : '' };
}

function seal(slot: Buffer): Buffer {
  slot.writeUInt32BE(crc32(slot.subarray(0, 40)), 40);
  return slot;
}

function isWhole(slot: Buffer, magic: string): boolean {
  return slot.length === SLOT_BYTES && slot.toString('latin1', 0, 4) === magic && slot.readUInt32BE(40) === crc32(slot.subarray(0, 40));
}
