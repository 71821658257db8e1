// The durable record: who may run, in two checksummed slots of one file. A write goes to the slot that is older, is flushed, and
// counts from then on; then the same goes into the other slot. So a write cut short leaves the older record whole, which is right,
// because nothing was done on the newer one yet; and a slot that goes bad later leaves the same record in the other.
//
// | offset | bytes | field                                    |
// |      0 |     8 | "TWINREC1"                               |
// |      8 |     8 | write counter, be64                      |
// |     16 |     4 | length of the JSON text, be32            |
// |     20 |     4 | crc32 of bytes 0..19 and the text, be32  |
// |     24 |     n | the record, JSON                         |
// Slots begin at 0 and 4096. The file appears under its name only with both written: one of zeros, or empty, is a damaged one, and
// not that of a new CoServer.
import { constants, existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { ARBITERS, type DurableRecord, FRESH_RECORD, type Standing } from '../core/machine.ts';

const MAGIC = 'TWINREC1';
const SLOT_BYTES = 4096;
const HEADER_BYTES = 24;
const STANDINGS: readonly Standing[] = ['fresh', 'simplex', 'duplexPrimary', 'duplexSecondary', 'outdated', 'inconsistent'];

export function encodeSlot(counter: bigint, record: DurableRecord): Buffer {
  const text = Buffer.from(JSON.stringify(record));
  if (HEADER_BYTES + text.length > SLOT_BYTES) throw new Error('the record does not fit its slot');
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.write(MAGIC, 0, 'latin1');
  slot.writeBigUInt64BE(counter, 8);
  slot.writeUInt32BE(text.length, 16);
  text.copy(slot, HEADER_BYTES);
  slot.writeUInt32BE(crc32(text, crc32(slot.subarray(0, 20))), 20);
  return slot;
}

/** The slot's record, or null when it is empty, torn or of another format. */
export function decodeSlot(slot: Buffer): { counter: bigint; record: DurableRecord } | null {
  if (slot.length < HEADER_BYTES || slot.toString('latin1', 0, 8) !== MAGIC) return null;
  const length = slot.readUInt32BE(16);
  if (HEADER_BYTES + length > slot.length) return null;
  const text = slot.subarray(HEADER_BYTES, HEADER_BYTES + length);
  if (slot.readUInt32BE(20) !== crc32(text, crc32(slot.subarray(0, 20)))) return null;
  const r = JSON.parse(text.toString()) as DurableRecord;
  if (!Number.isSafeInteger(r.generation) || !STANDINGS.includes(r.standing)) return null;
  return {
    counter: slot.readBigUInt64BE(8),
    record: {
      generation: r.generation,
      standing: r.standing,
      workloadOff: r.workloadOff === true,
      wasPrimary: r.wasPrimary === true,
      pinnedMode: r.pinnedMode === 'lockstep' || r.pinnedMode === 'passive' ? r.pinnedMode : null,
      // A record of an earlier release names none: the witness was the only one.
      arbiter: ARBITERS.includes(r.arbiter) ? r.arbiter : 'witness',
      forced: r.forced === true,
      maintenance: r.maintenance === true,
      keep: Number.isSafeInteger(r.keep) ? r.keep : null,
    },
  };
}

/** Nobody but the operator can mend it: starting again does not help. */
export class RecordError extends Error {
  override name = 'RecordError';
}

export class RecordStore {
  readonly #file: FileHandle;
  #counter: bigint;
  #record: DurableRecord;
  #copying: Promise<unknown> = Promise.resolve();
  /** What was wrong with the file when it was opened, in words; null: nothing. */
  readonly problem: string | null;

  private constructor(file: FileHandle, counter: bigint, record: DurableRecord, problem: string | null) {
    this.#file = file;
    this.problem = problem;
    this.#counter = counter;
    this.#record = record;
  }

  /** Opens or creates the file. Throws a RecordError when it exists and neither slot is whole: who may run is then unknown. */
  static async open(path: string): Promise<RecordStore> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    if (!existsSync(path)) await create(path);
    const file = await open(path, constants.O_RDWR);
    const slots: Buffer[] = [];
    for (const at of [0, SLOT_BYTES]) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(SLOT_BYTES), 0, SLOT_BYTES, at);
      slots.push(buffer.subarray(0, bytesRead));
    }
    const whole = slots.map(decodeSlot).filter((s) => s !== null);
    const newest = whole.sort((a, b) => (a.counter < b.counter ? 1 : -1))[0];
    if (!newest) {
      await file.close();
      throw new RecordError(
        `${path}: both copies of the record are damaged, so it is unknown who may run. Let the partner run, and start this CoServer anew as its copy: move the file away, and start Twinstep again`,
      );
    }
    const bad = slots.findIndex((s) => decodeSlot(s) === null);
    const isOneBad = bad >= 0;
    const problem = isOneBad
      ? `One of the two copies of the record in ${path} was damaged, or its writing was cut short: the other one counts (generation ${newest.record.generation}, ${newest.record.standing}).`
      : null;
    const store = new RecordStore(file, newest.counter, newest.record, problem);
    // Made whole before the next write, which may go to the good one first: cut short, it would leave none.
    if (isOneBad) store.#copy(encodeSlot(newest.counter, newest.record), bad * SLOT_BYTES);
    return store;
  }

  get record(): DurableRecord {
    return this.#record;
  }

  /** Durable when it resolves. Generations never shrink. */
  async write(record: DurableRecord): Promise<void> {
    if (record.generation < this.#record.generation)
      throw new Error(`generation ${record.generation} is older than the recorded ${this.#record.generation}`);
    await this.#copying.catch(() => undefined);
    const counter = this.#counter + 1n;
    const slot = encodeSlot(counter, record);
    const first = Number(counter % 2n) * SLOT_BYTES;
    await this.#file.write(slot, 0, SLOT_BYTES, first);
    await this.#file.datasync();
    this.#counter = counter;
    this.#record = record;
    this.#copy(slot, SLOT_BYTES - first);
  }

  /** Its failure is not this record's: the next write meets the same disk, and says so. */
  #copy(slot: Buffer, at: number): void {
    this.#copying = this.#file.write(slot, 0, SLOT_BYTES, at).then(() => this.#file.datasync());
    this.#copying.catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.#copying.catch(() => undefined);
    await this.#file.close();
  }
}

/** A new CoServer's record, durable in both slots before it has its name. */
async function create(path: string): Promise<void> {
  const slot = encodeSlot(0n, FRESH_RECORD);
  const file = await open(`${path}.new`, 'w', 0o600);
  await file.write(Buffer.concat([slot, slot]));
  await file.datasync();
  await file.close();
  await rename(`${path}.new`, path);
  const directory = await open(dirname(path), 'r');
  await directory.sync();
  await directory.close();
}
