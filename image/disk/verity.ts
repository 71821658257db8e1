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
  const saltBytes = Buffer.from(salt, 'hex');
  const digestsOf = (blocks: Buffer): Buffer => {
    const count = blocks.length / BLOCK_BYTES;
    const out = Buffer.alloc(Math.ceil((count * DIGEST_BYTES) / BLOCK_BYTES) * BLOCK_BYTES);
    for (let i = 0; i < count; i++) digest(saltBytes, blocks.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)).copy(out, i * DIGEST_BYTES);
    return out;
  };
  const levels: Buffer[] = [];
  let level = data;
  do {
    level = digestsOf(level);
    levels.unshift(level);
  } while (level.length > BLOCK_BYTES);
  return { rootHash: digest(saltBytes, level).toString('hex'), tree: Buffer.concat(levels), dataBlocks: data.length / BLOCK_BYTES };
}

function digest(salt: Buffer, block: Buffer): Buffer {
  return createHash('sha256').update(salt).update(block).digest();
}
