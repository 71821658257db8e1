// What is flushed survives a loss of power: shown by cutting it.
//
//   --phase write    numbered records, a flush after each; each number is told (console, and the management network) only when its flush ended
//   (the power is cut while it writes)
//   --phase verify   every number that was told is on the disk; what came after it may be or not, but never half
//
// Records go round in a ring: a slot must hold a number of its own that is not older than the last one told for it.
import { createHash } from 'node:crypto';
import type { BlockStore } from '../../drivers/block/index.ts';
import { MARK, PIECE_BYTES } from './disk-scratch.ts';

export const CUT_FILE_NAME = '.twinstep-power-cut.scratch';
const HASH_BYTES = 16;
const NUMBER_AT = MARK.length;
const HASH_AT = PIECE_BYTES - HASH_BYTES;
/** Between two lines on the console; over the network each number is told. */
const TELL_EVERY_MS = 100;

/** One record: the mark, its number, bytes that follow from it, and a hash over all of that. */
export function encodeRecord(number: number): Buffer {
  const record = Buffer.alloc(PIECE_BYTES);
  MARK.copy(record, 0);
  record.writeUIntBE(number, NUMBER_AT, 6);
  for (let i = NUMBER_AT + 8; i < HASH_AT; i++) record[i] = (Math.imul(i ^ number, 0x9e3779b1) >>> 24) & 0xff;
  hash(record).copy(record, HASH_AT);
  return record;
}

/** Null: never written. 'torn': begun and not ended, or damaged. */
export function decodeRecord(piece: Buffer): number | null | 'torn' {
  if (piece.every((byte) => byte === 0)) return null;
  if (!piece.subarray(0, MARK.length).equals(MARK) || !hash(piece).equals(piece.subarray(HASH_AT))) return 'torn';
  return piece.readUIntBE(NUMBER_AT, 6);
}

function hash(record: Buffer): Buffer {
  return createHash('sha256').update(record.subarray(0, HASH_AT)).digest().subarray(0, HASH_BYTES);
}

export interface WritePhase {
  /** Of every number, at once, when its flush has ended. */
  acknowledge(number: number): void;
  /** Now and then, for the console. */
  say(number: number): void;
}

/** Until stopped, or the power is gone. Answers the last number whose flush ended. Rejects with StoreError. */
export async function writePhase(store: BlockStore, { acknowledge, say }: WritePhase, stop: AbortSignal): Promise<number> {
  const slots = Math.floor(store.sizeBytes / PIECE_BYTES);
  await store.zero(0, slots * PIECE_BYTES);
  await store.flush();
  let saidMs = Number.NEGATIVE_INFINITY;
  let number = 0;
  while (!stop.aborted) {
    await store.write(((number + 1) % slots) * PIECE_BYTES, encodeRecord(number + 1));
    await store.flush();
    number++;
    acknowledge(number);
    if (performance.now() - saidMs < TELL_EVERY_MS) continue;
    saidMs = performance.now();
    say(number);
  }
  say(number);
  return number;
}

export interface VerifyResult {
  verdict: 'pass' | 'fail';
  /** Of the acknowledged ones that the ring still has to have. */
  checked: number;
  missing: number;
  torn: number;
  /** The newest one found; it may be younger than the last one told. */
  newest: number;
  sentence: string;
}

/** @param acknowledged The last number that was told. */
export async function verifyPhase(store: BlockStore, acknowledged: number): Promise<VerifyResult> {
  const slots = Math.floor(store.sizeBytes / PIECE_BYTES);
  const first = Math.max(1, acknowledged - slots + 1);
  const found: (number | null | 'torn')[] = [];
  for (let slot = 0; slot < slots; slot++) found.push(decodeRecord(await store.read(slot * PIECE_BYTES, PIECE_BYTES)));
  const newest = found.reduce<number>((most, n) => (typeof n === 'number' ? Math.max(most, n) : most), 0);
  let [missing, torn, example] = [0, 0, ''];
  for (const [slot, n] of found.entries()) {
    // The last number told of this slot; below `first`: none.
    const told = acknowledged - ((((acknowledged - slot) % slots) + slots) % slots);
    if (told < first) continue;
    if (typeof n === 'number' && n >= told && n % slots === slot) continue;
    // The next one may have been under way into the slot of the oldest: what is there is not whole then.
    if (n === 'torn' && newest >= acknowledged && slot === (newest + 1) % slots) continue;
    if (n === 'torn') torn++;
    missing++;
    example ||= `record ${told} is ${n === 'torn' ? 'damaged' : n === null ? 'not there' : `record ${n}`}`;
  }
  const checked = acknowledged === 0 ? 0 : acknowledged - first + 1;
  const wrong = missing > 0;
  return {
    verdict: wrong || checked === 0 ? 'fail' : 'pass',
    checked,
    missing,
    torn,
    newest,
    sentence:
      checked === 0
        ? 'no record was acknowledged: there is nothing to verify'
        : wrong
          ? `${missing} of ${checked} acknowledged records are lost (${example}): this disk says "flushed" before it is. Switch its cache off, or replace it`
          : `all ${checked} acknowledged records are there, the newest is ${newest} (${acknowledged} was told last)`,
  };
}
