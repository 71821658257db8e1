// What the two mirrors say to each other, as bytes (table in README.md). Pure. All integers big endian.
//
// The source asks, the other side answers each request once, in any order. An attachment is the time from `attach` to
// the end of the channel's session, the source's `goSolo` or the next `attach`: what belongs to another is ignored.
// One thing only the other side asks as well: `read`, for a block that its copy has lost.
import { blocksIn, decodeSums, SUM_BLOCK_BYTES } from './block-sums.ts';

export const MESSAGE_HEADER_BYTES = 32;
export const MESSAGE_VERSION = 3;
/** Data of one message: longer writes are cut, so that no write waits long behind another on the links. */
export const MESSAGE_MAX_DATA_BYTES = 1024 * 1024;
/** Of one `read`: a request of the guest that finds lost blocks takes a few. */
export const READ_MAX_BYTES = 256 * 1024;
/** A resync compares blocks of this size... */
export const COMPARE_BLOCK_BYTES = 64 * 1024;
/** ... by their SHA-256: the guest chooses the content, so the hash must not be one that can be made to collide. */
export const DIGEST_BYTES = 32;

/**
 *  attach   `offset`: bytes of the disk, `length`: MESSAGE_VERSION. Answered with what that copy knows of itself
 *  write    data; `repair`: what the copy should have there already, of which the medium has lost something
 *  zero     `length` bytes of the disk; `release`: their space is given back, where the disk there can
 *  flush    everything that was answered is durable
 *  compare  `length` bytes of the disk; data: the digest of each block. Answered with one byte per block: 1 if it differs
 *  synced   resync: all that may differ was compared; data: the source's record. Answered when all is durable
 *  settle   answered with the interval up to which every write that was answered is in stable storage on the disk (4 bytes)
 *  read     `length` bytes in whole blocks, READ_MAX_BYTES at most: what the source has written there, of whichever interval
 *  cut      a restore point; data: restore-points/cut-codec.ts. `interval`: at whose end, 0: now. Answered with the list of those there
 *  verify   about `length` bytes of the disk: verify-codec.ts. Answered also by a replica, by what the source has written there
 *  answer   `status`; data: compare's answer, or the reason (UTF-8)
 */
export type MessageKind = 'attach' | 'write' | 'zero' | 'flush' | 'compare' | 'synced' | 'answer' | 'settle' | 'read' | 'cut' | 'verify';
const KINDS: readonly (MessageKind | undefined)[] = [
  undefined,
  'attach',
  'write',
  'zero',
  'flush',
  'compare',
  'synced',
  'answer',
  'settle',
  'read',
  'cut',
  'verify',
];

const NUMBERS = new Map(KINDS.map((kind, number) => [kind, number]));
const FLAG = { fua: 1, release: 2, checked: 4, repair: 8 } as const;

/** refused: not now, in this mode. failed: the copy cannot follow any more. */
export type AnswerStatus = 'ok' | 'refused' | 'failed';
const STATUSES: readonly AnswerStatus[] = ['ok', 'refused', 'failed'];

export interface MirrorMessage {
  kind: MessageKind;
  fua: boolean;
  /** zero: the guest has no more use for the space (TRIM). What the range reads as does not depend on it. */
  release: boolean;
  repair: boolean;
  /** write: the crc32 of what it has of each 4 KiB block, as it was when the guest's request was received. */
  sums: Uint32Array | undefined;
  attachment: number;
  /** Numbers requests within an attachment. */
  request: number;
  interval: number;
  offset: number;
  length: number;
  status: AnswerStatus;
  data: Uint8Array;
}

type Flags = 'release' | 'repair';
type MessageHeader = Omit<MirrorMessage, 'data' | 'sums' | Flags> & Partial<Pick<MirrorMessage, Flags>> & { checked?: boolean };

const EMPTY = Buffer.alloc(0);

/** The header; the data follows it as a part of its own. checked: and sums after it (`encodeSums`). */
export function encodeMessageHeader(m: MessageHeader): Buffer {
  const b = Buffer.alloc(MESSAGE_HEADER_BYTES);
  b[0] = NUMBERS.get(m.kind) ?? 0;
  const flags = (m.fua ? FLAG.fua : 0) | (m.release ? FLAG.release : 0) | (m.checked ? FLAG.checked : 0) | (m.repair ? FLAG.repair : 0);
  b[1] = flags;
  b[2] = 0;
  b[3] = 0;
  b.writeUInt32BE(m.attachment, 4);
  b.writeUInt32BE(m.request, 8);
  b.writeUInt32BE(m.interval, 12);
  b.writeUInt32BE(Math.floor(m.offset / 2 ** 32), 16);
  b.writeUInt32BE(m.offset % 2 ** 32, 20);
  b.writeUInt32BE(m.length, 24);
  b.writeUInt32BE(m.status === 'ok' ? 0 : STATUSES.indexOf(m.status), 28);
  return b;
}

/** Throws on anything that this version does not say: the partner runs other software, or is broken. */
export function decodeMessage(bytes: Buffer): MirrorMessage {
  if (bytes.length < MESSAGE_HEADER_BYTES) throw new Error(`a disk message of ${bytes.length} bytes`);
  const kind = KINDS[bytes.readUInt8(0)];
  const status = STATUSES[bytes.readUInt32BE(28)];
  const offset = bytes.readUInt32BE(16) * 2 ** 32 + bytes.readUInt32BE(20);
  const flags = bytes.readUInt8(1);
  const m = { offset, length: bytes.readUInt32BE(24), interval: bytes.readUInt32BE(12) };
  if (!kind || !status)
    throw new Error(
      `a disk message of unknown kind ${bytes.readUInt8(0)}, status ${bytes.readUInt32BE(28)}: do both CoServers run the same version?`,
    );
  if (!Number.isSafeInteger(offset)) throw new Error(`a disk message for offset ${offset}`);
  const sumsBytes = kind === 'write' && (flags & FLAG.checked) !== 0 ? blocksIn(m.offset, m.length) * 4 : 0;
  const bodyBytes = bytes.length - MESSAGE_HEADER_BYTES;
  if (kind === 'write' && (m.length > MESSAGE_MAX_DATA_BYTES || bodyBytes !== m.length + sumsBytes))
    throw new Error(`a write of ${m.length} bytes with ${bodyBytes} bytes of data and checksums`);
  const data = bodyBytes === 0 ? EMPTY : bytes.subarray(MESSAGE_HEADER_BYTES, bytes.length - sumsBytes);
  if (kind === 'read' && (m.length === 0 || m.length > READ_MAX_BYTES || offset % SUM_BLOCK_BYTES !== 0))
    throw new Error(`a read of ${m.length} bytes at ${offset}`);
  // What is answered is read as a whole.
  if (kind === 'verify' && (m.length > MESSAGE_MAX_DATA_BYTES || offset % SUM_BLOCK_BYTES !== 0))
    throw new Error(`a verify message about ${m.length} bytes at ${offset}`);
  if (kind === 'cut' && data.length > MESSAGE_MAX_DATA_BYTES) throw new Error(`${data.length} bytes about a restore point`);
  if (
    kind === 'compare' &&
    (m.length > MESSAGE_MAX_DATA_BYTES || data.length !== Math.ceil(m.length / COMPARE_BLOCK_BYTES) * DIGEST_BYTES)
  ) {
    throw new Error(`a comparison of ${m.length} bytes with ${data.length} bytes of digests`);
  }
  return {
    kind,
    fua: (flags & FLAG.fua) !== 0,
    release: (flags & FLAG.release) !== 0,
    repair: (flags & FLAG.repair) !== 0,
    sums: sumsBytes > 0 ? decodeSums(bytes, bytes.length - sumsBytes) : undefined,
    attachment: bytes.readUInt32BE(4),
    request: bytes.readUInt32BE(8),
    ...m,
    status,
    data,
  };
}
