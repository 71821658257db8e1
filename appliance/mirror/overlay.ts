// What the secondary's guest has written since the last checkpoint: nobody else sees it, and it is dropped with the next checkpoint or merged
// by a takeover. In memory up to a limit, then in a scratch file.
import { type BlockStore, StoreError } from '../../drivers/block/index.ts';
import { PatchMap, type Piece, type Run } from './patch-map.ts';

export interface OverlayParts {
  /** Held in memory; beyond, it goes to the scratch file. */
  memoryBytes: number;
  /** Made when it is needed first. */
  openScratch(): Promise<BlockStore>;
}

export class Overlay {
  readonly #parts: OverlayParts;
  readonly #patches = new PatchMap();
  #scratch: Promise<BlockStore> | undefined;
  #scratchTail = 0;

  constructor(parts: OverlayParts) {
    this.#parts = parts;
  }

  get bytes(): number {
    return this.#patches.bytes;
  }

  find(start: number, end: number): Piece[] {
    return this.#patches.find(start, end);
  }

  runs(): Run[] {
    return this.#patches.runs();
  }

  /** Undefined: it is done. */
  write(offset: number, data: Uint8Array): Promise<void> | undefined {
    if (this.#patches.memoryBytes + data.length <= this.#parts.memoryBytes) {
      this.#patches.insert(offset, offset + data.length, { kind: 'memory', data });
      return undefined;
    }
    return this.#spill(offset, data);
  }

  zero(offset: number, length: number, release: boolean): void {
    this.#patches.insert(offset, offset + length, { kind: 'zero', release });
  }

  /** The guest begins again at a checkpoint: the scratch file is filled from its beginning. */
  drop(): void {
    this.clear();
    this.#scratchTail = 0;
  }

  clear(): void {
    this.#patches.clear();
  }

  /** Nobody reads from it any more. */
  async close(): Promise<void> {
    await (await this.#scratch)?.close();
  }

  async #spill(offset: number, data: Uint8Array): Promise<void> {
    this.#scratch ??= this.#parts.openScratch();
    const file = await this.#scratch;
    const at = this.#scratchTail;
    if (at + data.length > file.sizeBytes) {
      throw new StoreError(
        'noSpace',
        'write',
        offset,
        `the secondary wrote more than ${file.sizeBytes} bytes since the last checkpoint`,
        'ENOSPC',
      );
    }
    this.#scratchTail += data.length;
    await file.write(at, data);
    this.#patches.insert(offset, offset + data.length, { kind: 'file', file, at });
  }
}
