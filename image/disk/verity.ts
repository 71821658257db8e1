// dm-verity's hash tree over a slot (Linux: Documentation/admin-guide/device-mapper/verity.rst, hash type 1, SHA-256, blocks of 4096).
// Level 0 holds the digest of every data block, each further level those of the blocks below, until one block is left; that block's digest
// is the root hash. A digest is SHA-256 over salt and block. On disk the top level comes first. Pure: bytes in, bytes out.
import { createHash } from 'node:crypto';

export const BLOCK_BYTES = 4096;
const DIGEST_BYTES = 32;

export interface HashTree {
  /** 64 hex digits. */
  rootHash: string;
  /** All levels, the top one first: what is written behind the data. */
  tree: Buffer;
  dataBlocks: number;
}

/** `data` is whole blocks, at least two of them; `salt` in hex. */
export function hashTree(data: Buffer, salt: string): HashTree {
  if (data.length % BLOCK_BYTES !== 0 || data.length < 2 * BLOCK_BYTES)
    throw new Error(`dm-verity needs whole blocks of ${BLOCK_BYTES} bytes, two at least; this is ${data.length} bytes`);
  return { ...treeAbove(blockDigests(data, salt), salt), dataBlocks: data.length / BLOCK_BYTES };
}

/** One digest behind the other, not padded: for data that comes in pieces of whole blocks. */
export function blockDigests(blocks: Buffer, salt: string): Buffer {
  const saltBytes = Buffer.from(salt, 'hex');
  const count = blocks.length / BLOCK_BYTES;
  const out = Buffer.alloc(count * DIGEST_BYTES);
  for (let i = 0; i < count; i++) digest(saltBytes, blocks.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)).copy(out, i * DIGEST_BYTES);
  return out;
}

/** `digests`: of all data blocks. */
export function treeAbove(digests: Buffer, salt: string): Omit<HashTree, 'dataBlocks'> {
  const levels = [padded(digests)];
  for (let level = levels[0]; level && level.length > BLOCK_BYTES; level = levels[0]) levels.unshift(padded(blockDigests(level, salt)));
  const [top = Buffer.alloc(BLOCK_BYTES)] = levels;
  return { rootHash: digest(Buffer.from(salt, 'hex'), top).toString('hex'), tree: Buffer.concat(levels) };
}

function padded(digests: Buffer): Buffer {
  return Buffer.concat([digests, Buffer.alloc(-digests.length & (BLOCK_BYTES - 1))]);
}

function digest(salt: Buffer, block: Buffer): Buffer {
  return createHash('sha256').update(salt).update(block).digest();
}
