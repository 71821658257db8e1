// What a processor has to compute, and what must come out: the same bits on every core of every server. Pure.
//
// Four kernels, one per part of a core: integer unit, floating point unit, vector and cryptography unit, and long multiplications with
// their carries. Only operations that IEEE 754 defines to the last bit are used (no sin, no exp: libraries differ). The known answers were
// computed by other programs (Python's integers, IEEE doubles and hashlib): a core is not compared with itself.
import { createHash } from 'node:crypto';

export interface Kernel {
  name: 'integer' | 'float' | 'sha256' | 'long';
  /** Lower-case hexadecimal. */
  answer: string;
  compute(): string;
}

const INTEGER_ROUNDS = 2_000_000;
const FLOAT_ROUNDS = 1_000_000;
const HASH_ROUNDS = 4_000;
const HASH_BYTES = 1024;
const LONG_ROUNDS = 1_500;
const LONG_BITS = 2048n;

/** xorshift, multiplication, rotation, addition: each bit of the state reaches all others. */
export function integerKernel(): string {
  let x = 0x2545f491;
  let sum = 0;
  for (let i = 0; i < INTEGER_ROUNDS; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    sum = (Math.imul(sum ^ x, 0x9e3779b1) + i) | 0;
    sum = (sum << 7) | (sum >>> 25);
  }
  return hex32(x) + hex32(sum);
}

/** The logistic map with division and root: chaotic, so that one wrong bit is in every later one. */
export function floatKernel(): string {
  let x = 0.4123456789;
  let y = 0.7;
  for (let i = 0; i < FLOAT_ROUNDS; i++) {
    x = 3.99 * x * (1 - x);
    y = Math.sqrt(y * y + x) / (1 + x * y);
  }
  const bytes = Buffer.alloc(16);
  bytes.writeDoubleBE(x, 0);
  bytes.writeDoubleBE(y, 8);
  return bytes.toString('hex');
}

/** Each hash over the one before, repeated to 1 KiB: the core's own SHA instructions where it has them. */
export function hashKernel(): string {
  const block = Buffer.alloc(HASH_BYTES);
  let hash = createHash('sha256').update('twinstep').digest();
  for (let i = 0; i < HASH_ROUNDS; i++) {
    for (let at = 0; at < HASH_BYTES; at += hash.length) hash.copy(block, at);
    hash = createHash('sha256').update(block).digest();
  }
  return hash.toString('hex');
}

/** Products of 2048 bits, the middle of each squared again. */
export function longKernel(): string {
  const mask = (1n << LONG_BITS) - 1n;
  let x = (1n << LONG_BITS) / 7n;
  for (let i = 0; i < LONG_ROUNDS; i++) x = (((x * x) >> (LONG_BITS / 2n)) ^ BigInt(i)) & mask;
  return createHash('sha256').update(x.toString(16)).digest('hex');
}

function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}

export const KERNELS: readonly Kernel[] = [
  { name: 'integer', answer: '48209948f7208817', compute: integerKernel },
  { name: 'float', answer: '3fe04137edee88143fe7e3cbc8314114', compute: floatKernel },
  { name: 'sha256', answer: 'abf93ec1514cd547454a8d264e482f2bc7f4224999931e1e5adb285748b5345e', compute: hashKernel },
  { name: 'long', answer: '08aee18c27aa15686002cd595f14ac1281e4bff7ddeff69702448c64b3f8f6cc', compute: longKernel },
];
