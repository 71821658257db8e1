// Inventories (FRU) of the parts that a BMC knows: its own board's is number 0, others have records in the sensor data repository. Reads the
// areas that say what a part is. An inventory that is empty or nonsense is told as such: the others count.
import {
  decodeFruBoard,
  decodeFruChassis,
  decodeFruHeader,
  decodeFruInfo,
  decodeFruProduct,
  FRU_AREA_HEAD_BYTES,
  FRU_HEADER_BYTES,
  type FruBoard,
  type FruChassis,
  type FruInfo,
  type FruProduct,
  fruAreaLength,
} from './fru.ts';
import { BMC_ADDRESS, COMPLETION, needs } from './messages.ts';
import { isRejection, type Questions } from './questions.ts';
import type { SdrRecord } from './sdr.ts';
import { IpmiCodecError } from './types.ts';

/** At once: less than what every BMC can return; one that refuses is asked for half of it, down to 8. */
const CHUNK_BYTES = 16;
const MIN_CHUNK_BYTES = 8;

export interface FruInventory {
  /** What Read FRU Data was asked with. */
  device: number;
  /** Of its record; "Builtin FRU device" for number 0 without one. */
  name: string;
  chassis: FruChassis | undefined;
  board: FruBoard | undefined;
  product: FruProduct | undefined;
  /** Why it, or an area of it, cannot be read. */
  problem: string | undefined;
}

interface Part {
  device: number;
  lun: number;
  name: string;
}

/** Throws an IpmiError only where the BMC does not answer. */
export async function readInventories(questions: Questions, records: readonly SdrRecord[]): Promise<FruInventory[]> {
  const parts: Part[] = [];
  for (const { fru } of records) {
    if (fru?.logical === true && fru.owner === BMC_ADDRESS && !parts.some((p) => p.device === fru.device && p.lun === fru.lun))
      parts.push({ device: fru.device, lun: fru.lun, name: fru.name });
  }
  if (!parts.some((p) => p.device === 0 && p.lun === 0)) parts.unshift({ device: 0, lun: 0, name: 'Builtin FRU device' });
  const found: FruInventory[] = [];
  for (const part of parts) found.push(await readInventory(questions, part));
  return found;
}

async function readInventory(questions: Questions, part: Part): Promise<FruInventory> {
  const { device, name } = part;
  const inventory: FruInventory = { device, name, chassis: undefined, board: undefined, product: undefined, problem: undefined };
  const problems: string[] = [];
  const attempt = async (what: () => Promise<void>): Promise<void> => {
    try {
      await what();
    } catch (error) {
      if (!isRejection(error) && !(error instanceof IpmiCodecError)) throw error;
      problems.push(error.message);
    }
  };
  await attempt(async () => {
    const info = decodeFruInfo(await questions.ask('getFruInfo', [device], { lun: part.lun }));
    const header = decodeFruHeader(await read(questions, part, info, 0, FRU_HEADER_BYTES));
    await attempt(async () => {
      if (header.chassis !== undefined) inventory.chassis = decodeFruChassis(await readArea(questions, part, info, header.chassis));
    });
    await attempt(async () => {
      if (header.board !== undefined) inventory.board = decodeFruBoard(await readArea(questions, part, info, header.board));
    });
    await attempt(async () => {
      if (header.product !== undefined) inventory.product = decodeFruProduct(await readArea(questions, part, info, header.product));
    });
  });
  if (problems.length > 0) inventory.problem = problems.join('; ');
  return inventory;
}

async function readArea(questions: Questions, part: Part, info: FruInfo, at: number): Promise<Buffer> {
  const head = await read(questions, part, info, at, FRU_AREA_HEAD_BYTES);
  return read(questions, part, info, at, fruAreaLength(head));
}

/** `length` bytes from `at` on. Devices in words are asked for even numbers only, and get them. */
async function read(questions: Questions, part: Part, info: FruInfo, at: number, length: number): Promise<Buffer> {
  if (at + length > info.bytes) throw new IpmiCodecError(`a FRU of ${info.bytes} bytes with an area up to ${at + length}`);
  const unit = info.inWords ? 2 : 1;
  const pieces: Buffer[] = [];
  let chunkBytes = CHUNK_BYTES;
  for (let done = 0; done < length; ) {
    const wanted = Math.min(chunkBytes, length - done);
    const offset = (at + done) / unit;
    try {
      const data = await questions.ask('readFru', [part.device, offset & 0xff, offset >> 8, Math.ceil(wanted / unit)], { lun: part.lun });
      needs(data, 1, 'a part of a FRU');
      const piece = data.subarray(1, 1 + Math.min(data.readUInt8(0) * unit, wanted));
      if (piece.length === 0 || (piece.length < wanted && piece.length % unit !== 0))
        throw new IpmiCodecError(`a FRU that ends after ${at + done} bytes`);
      pieces.push(piece);
      done += piece.length;
    } catch (error) {
      const isTooMuch = isRejection(error, COMPLETION.cannotReturnThatMany, COMPLETION.truncated, COMPLETION.tooLong);
      if (!isTooMuch || chunkBytes <= MIN_CHUNK_BYTES) throw error;
      chunkBytes = Math.max(MIN_CHUNK_BYTES, chunkBytes / 2);
    }
  }
  return Buffer.concat(pieces);
}
