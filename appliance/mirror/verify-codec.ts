// What a `verify` message carries: the source asks about the partner's copy, beside the guest's own requests (table in README.md). Pure.
//
//   compare     the digest of a range; answered with `equal`, or with the condition and the digest of each of its blocks
//   fetch       answered with the bytes of the range as they are, whatever their checksum says
//   quarantine  the list of the blocks whose right content nobody knows: it replaces the partner's
import { createHash } from 'node:crypto';
import type { BlockCondition } from '../core/scrub.ts';
import { CONDITIONS, SUM_BLOCK_BYTES } from './block-sums.ts';
import { DIGEST_BYTES } from './messages.ts';

/** Of blocks in one quarantine: more are no rot of single blocks. */
export const MAX_QUARANTINED = 4096;

export type VerifyRequest = { kind: 'compare'; digest: Buffer } | { kind: 'fetch' } | { kind: 'quarantine'; offsets: number[] };

const COMPARE = 0;
const FETCH = 1;
const QUARANTINE = 2;

/** pending: what is there now is on its way to the disk: ask again. */
export interface VerifiedBlock {
  condition: BlockCondition;
  isPending: boolean;
  digest: Buffer;
}
/** Null: equal, and every checksum that is known fits. */
export type VerifyAnswer = VerifiedBlock[] | null;

const PENDING = 0x80;
const ANSWERED_BLOCK_BYTES = 1 + DIGEST_BYTES;

export function digestOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

export function encodeVerify(r: VerifyRequest): Buffer {
  switch (r.kind) {
    case 'compare':
      return Buffer.concat([Buffer.of(COMPARE), r.digest]);
    case 'fetch':
      return Buffer.of(FETCH);
    case 'quarantine': {
      const b = Buffer.alloc(1 + 8 * r.offsets.length, QUARANTINE);
      r.offsets.forEach((offset, i) => void b.writeBigUInt64BE(BigInt(offset), 1 + 8 * i));
      return b;
    }
    default:
      throw new Error(`unknown ${JSON.stringify(r satisfies never)}`);
  }
}

/** Throws on anything that this version does not say. */
export function decodeVerify(data: Uint8Array): VerifyRequest {
  const b = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (b[0] === COMPARE && b.length === 1 + DIGEST_BYTES) return { kind: 'compare', digest: b.subarray(1) };
  if (b[0] === FETCH && b.length === 1) return { kind: 'fetch' };
  if (b[0] === QUARANTINE && b.length % 8 === 1 && b.length <= 1 + 8 * MAX_QUARANTINED) {
    const offsets = Array.from({ length: (b.length - 1) / 8 }, (_, i) => Number(b.readBigUInt64BE(1 + 8 * i)));
    // They go into a file that is read at every start.
    const wrong = offsets.find((o) => !Number.isSafeInteger(o) || o % SUM_BLOCK_BYTES !== 0);
    if (wrong !== undefined) throw new Error(`a verify message names a block at ${wrong}`);
    return { kind: 'quarantine', offsets };
  }
  throw new Error(`a verify message of ${b.length} bytes, kind ${b[0]}: do both CoServers run the same version?`);
}

export function encodeVerified(answer: VerifyAnswer): Buffer {
  if (!answer) return Buffer.of(1);
  const b = Buffer.alloc(1 + answer.length * ANSWERED_BLOCK_BYTES);
  for (const [i, { condition, isPending, digest }] of answer.entries()) {
    const at = 1 + i * ANSWERED_BLOCK_BYTES;
    b.writeUInt8(CONDITIONS.indexOf(condition) | (isPending ? PENDING : 0), at);
    digest.copy(b, at + 1);
  }
  return b;
}

/** @param blocks How many were asked about. */
export function decodeVerified(data: Uint8Array, blocks: number): VerifyAnswer {
  const b = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (b.length === 1 && b[0] === 1) return null;
  if (b[0] !== 0 || b.length !== 1 + blocks * ANSWERED_BLOCK_BYTES) throw new Error(`${b.length} bytes about ${blocks} blocks`);
  return Array.from({ length: blocks }, (_, i) => {
    const at = 1 + i * ANSWERED_BLOCK_BYTES;
    const condition = CONDITIONS[b.readUInt8(at) & ~PENDING];
    if (!condition) throw new Error(`a block in condition ${b.readUInt8(at)}`);
    return { condition, isPending: (b.readUInt8(at) & PENDING) !== 0, digest: b.subarray(at + 1, at + ANSWERED_BLOCK_BYTES) };
  });
}
