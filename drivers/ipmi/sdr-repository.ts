// All records of a BMC's sensor data repository (IPMI 2.0, 33). A reservation holds while they are read in parts; whoever changes them
// takes it away, and reading begins anew. A record that is nonsense is kept with what is wrong with it: the others count.
import { COMPLETION, needs } from './messages.ts';
import { isRejection, type Questions } from './questions.ts';
import { decodeSdr, SDR_HEAD_BYTES, type SdrRecord, sdrLength } from './sdr.ts';
import { IpmiCodecError } from './types.ts';

/** Servers have 50 to 500. Ids have 16 bits; a BMC that links its records in a circle, or without an end, ends here. */
const MAX_RECORDS = 4096;
const LAST_RECORD = 0xffff;
/** Bytes of an SDR at once: what every BMC can do, and what one is asked for that says it cannot. */
const CHUNK_BYTES = 16;
const SMALL_CHUNK_BYTES = 8;
/** A reservation is lost whenever somebody else changes the records. */
const ATTEMPTS = 5;

/** Answer of Get SDR Repository Info, as text: another one means other records. */
export async function sdrRepositoryState(questions: Questions): Promise<string> {
  const info = await questions.ask('getSdrInfo');
  questions.read(() => needs(info, 3, 'an SDR repository info'));
  return info.toString('hex');
}

/** Throws an IpmiError. */
export async function readSdrRepository(questions: Questions): Promise<SdrRecord[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readOnce(questions);
    } catch (error) {
      if (!isRejection(error, COMPLETION.reservationLost) || attempt >= ATTEMPTS) throw error;
    }
  }
}

async function readOnce(questions: Questions): Promise<SdrRecord[]> {
  const info = await questions.ask('getSdrInfo');
  if (questions.read(() => recordCount(info)) === 0) return [];
  const reserved = await questions.ask('reserveSdr');
  questions.read(() => needs(reserved, 2, 'a reservation'));
  const reservation = reserved.subarray(0, 2);
  const records: SdrRecord[] = [];
  const visited = new Set<number>();
  let id = 0;
  while (id !== LAST_RECORD && !visited.has(id) && records.length < MAX_RECORDS) {
    visited.add(id);
    const head = await readPart(questions, reservation, id, 0, SDR_HEAD_BYTES);
    records.push(await readRecord(questions, reservation, id, head.data));
    id = head.nextId;
  }
  return records;
}

function recordCount(info: Buffer): number {
  needs(info, 3, 'an SDR repository info');
  return info.readUInt16LE(1);
}

async function readRecord(questions: Questions, reservation: Buffer, id: number, head: Buffer): Promise<SdrRecord> {
  const parts = [head];
  let problem: string;
  try {
    const length = sdrLength(head);
    let chunkBytes = CHUNK_BYTES;
    for (let at = SDR_HEAD_BYTES; at < length; ) {
      const bytes = Math.min(chunkBytes, length - at);
      try {
        parts.push((await readPart(questions, reservation, id, at, bytes)).data);
        at += bytes;
      } catch (error) {
        if (!isRejection(error, COMPLETION.cannotReturnThatMany, COMPLETION.truncated) || chunkBytes === SMALL_CHUNK_BYTES) throw error;
        chunkBytes = SMALL_CHUNK_BYTES;
      }
    }
    return decodeSdr(Buffer.concat(parts));
  } catch (error) {
    // Only of this record; a lost reservation is one of all.
    if (isRejection(error) && error.completionCode !== COMPLETION.reservationLost) problem = error.message;
    else if (error instanceof IpmiCodecError) problem = error.message;
    else throw error;
  }
  return { id, type: head.readUInt8(3), sensor: undefined, fru: undefined, problem, bytes: Buffer.concat(parts) };
}

async function readPart(questions: Questions, reservation: Buffer, id: number, at: number, length: number) {
  const answer = await questions.ask('getSdr', [...reservation, id & 0xff, id >> 8, at, length]);
  // Less than what was asked for is a record that is shorter than it says; its head is needed to go on.
  if (at === 0) questions.read(() => needs(answer, 2 + length, 'a part of an SDR'));
  else if (answer.length < 2 + length) throw new IpmiCodecError(`an SDR that ends after ${at + Math.max(answer.length - 2, 0)} bytes`);
  return { nextId: answer.readUInt16LE(0), data: answer.subarray(2, 2 + length) };
}
