// Patches over a disk: which bytes are newer than it, and where they are. The newest insertion wins, byte by byte.
//
// Used for the secondary's private overlay, for the intervals that are journaled, and for what is committed and not
// yet written back. Pieces are kept sorted in buckets of 64 KiB, so that a lookup or an insertion touches a few dozen
// pieces at most, however large the map is.
import type { BlockStore } from '../../drivers/block/index.ts';
import type { PlacedSums } from './block-sums.ts';

const BUCKET_BYTES = 64 * 1024;
/** Writing back joins neighbours up to this size: larger requests gain nothing, and block the others longer. */
const RUN_BYTES = 1024 * 1024;
/** Zeroes are one journal record, whose length has 32 bits. */
const ZERO_RUN_BYTES = 1024 * 1024 * 1024;

/** Where a piece's bytes are: in memory, in a file (from `at` on), or nowhere as they are zero. release: so is their space. sums: of the write they are of. */
export type PieceSource =
  | { kind: 'memory'; data: Uint8Array; sums?: PlacedSums }
  | { kind: 'file'; file: BlockStore; at: number; sums?: PlacedSums }
  | { kind: 'zero'; release: boolean };

export interface Piece {
  /** Bytes of the disk, `end` excluded. */
  readonly start: number;
  readonly end: number;
  readonly source: PieceSource;
}

/** Neighbouring pieces, to be written in one go. */
export interface Run {
  start: number;
  end: number;
  /** A zero run has no pieces. */
  pieces: Piece[];
  /** A zero run whose space is given back. */
  release: boolean;
}

export class PatchMap {
  readonly #buckets = new Map<number, Piece[]>();
  #memoryBytes = 0;
  #bytes = 0;

  /** Bytes of the disk that are patched. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of these that are held in memory. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  insert(start: number, end: number, source: PieceSource): void {
    for (let at = start; at < end; ) {
      const bucket = Math.floor(at / BUCKET_BYTES);
      const stop = Math.min(end, (bucket + 1) * BUCKET_BYTES);
      this.#insertInBucket(bucket, { start: at, end: stop, source: own(part(source, at - start, stop - start)) });
      at = stop;
    }
  }

  /** Everything of `newer` goes on top. `newer` must not be used any more. */
  absorb(newer: PatchMap): void {
    for (const [bucket, pieces] of newer.#buckets) for (const p of pieces) this.#insertInBucket(bucket, p);
    newer.clear();
  }

  clear(): void {
    this.#buckets.clear();
    this.#memoryBytes = 0;
    this.#bytes = 0;
  }

  /** The pieces inside of [start, end), cut to it, sorted. */
  find(start: number, end: number): Piece[] {
    const found: Piece[] = [];
    if (this.#bytes === 0) return found;
    const last = Math.floor((end - 1) / BUCKET_BYTES);
    for (let bucket = Math.floor(start / BUCKET_BYTES); bucket <= last; bucket++) {
      for (const p of this.#buckets.get(bucket) ?? []) {
        if (p.end > start && p.start < end) found.push(clip(p, Math.max(p.start, start), Math.min(p.end, end)));
      }
    }
    return found;
  }

  /** All pieces as runs of neighbours, sorted by offset: zeroes apart from data. */
  runs(): Run[] {
    const runs: Run[] = [];
    let run: Run | undefined;
    for (const bucket of [...this.#buckets.keys()].sort((a, b) => a - b)) {
      for (const p of this.#buckets.get(bucket) ?? []) {
        const zero = p.source.kind === 'zero';
        const release = p.source.kind === 'zero' && p.source.release;
        const joins =
          run &&
          run.end === p.start &&
          zero === (run.pieces.length === 0) &&
          release === run.release &&
          p.end - run.start <= (zero ? ZERO_RUN_BYTES : RUN_BYTES);
        if (!run || !joins) {
          run = { start: p.start, end: p.start, pieces: [], release };
          runs.push(run);
        }
        run.end = p.end;
        if (!zero) run.pieces.push(p);
      }
    }
    return runs;
  }

  #insertInBucket(bucket: number, piece: Piece): void {
    const old = this.#buckets.get(bucket);
    this.#count(piece, 1);
    const last = old?.at(-1);
    if (!old || !last) {
      this.#buckets.set(bucket, [piece]);
      return;
    }
    if (last.end <= piece.start) {
      old.push(piece);
      return;
    }
    const fresh: Piece[] = [];
    let placed = false;
    for (const p of old) {
      if (p.end <= piece.start) {
        fresh.push(p);
        continue;
      }
      if (p.start < piece.start) fresh.push(this.#keep(p, p.start, piece.start));
      if (!placed) {
        fresh.push(piece);
        placed = true;
      }
      if (p.start >= piece.end) {
        fresh.push(p);
        continue;
      }
      if (p.end > piece.end) fresh.push(this.#keep(p, piece.end, p.end));
      this.#count(p, -1);
    }
    if (!placed) fresh.push(piece);
    this.#buckets.set(bucket, fresh);
  }

  #keep(p: Piece, start: number, end: number): Piece {
    const rest = clip(p, start, end);
    const kept = { start, end, source: own(rest.source) };
    this.#count(kept, 1);
    return kept;
  }

  #count(p: Piece, sign: 1 | -1): void {
    this.#bytes += sign * (p.end - p.start);
    if (p.source.kind === 'memory') this.#memoryBytes += sign * (p.end - p.start);
  }
}

/** The bytes of a piece, read from its file if need be. Undefined: zeroes. */
export async function bytesOf(p: Piece): Promise<Uint8Array | undefined> {
  switch (p.source.kind) {
    case 'memory':
      return p.source.data;
    case 'file':
      return await p.source.file.read(p.source.at, p.end - p.start);
    case 'zero':
      return undefined;
    default:
      return p.source satisfies never;
  }
}

function clip(p: Piece, start: number, end: number): Piece {
  if (start === p.start && end === p.end) return p;
  return { start, end, source: part(p.source, start - p.start, end - p.start) };
}

function part(source: PieceSource, from: number, to: number): PieceSource {
  switch (source.kind) {
    case 'memory':
      return from === 0 && to === source.data.length ? source : { ...source, data: source.data.subarray(from, to) };
    case 'file':
      return from === 0 ? source : { ...source, at: source.at + from };
    case 'zero':
      return source;
    default:
      return source satisfies never;
  }
}

/** A small view on a large buffer would keep all of it in memory: then the bytes are copied. */
function own(source: PieceSource): PieceSource {
  if (source.kind !== 'memory' || source.data.length * 2 >= source.data.buffer.byteLength) return source;
  const copy = Buffer.allocUnsafeSlow(source.data.length);
  copy.set(source.data);
  return { ...source, data: copy };
}
