// What the copy of a replica has lost, asked of the source: for a read of the guest here, which must see its own world, and for a block of
// which a write filled a part.
import { StoreError } from '../../drivers/block/index.ts';
import { isBad, SUM_BLOCK_BYTES } from './block-sums.ts';
import { type CheckedStore, wholeBlocks } from './checked-store.ts';
import { encodeMessageHeader, type MirrorMessage, READ_MAX_BYTES } from './messages.ts';
import { decodeReadAnswer, type ReadAnswer } from './read-codec.ts';
import { runsOf } from './repair.ts';
import type { Replica } from './replica.ts';

/** A read that met a commit is read again: the next commit is tens of milliseconds away. */
const RESCUE_ATTEMPTS = 3;

/** Whom a block that is lost here could be asked of is gone: who runs the guest from now on is about to be decided. */
export class SourceGoneError extends Error {
  override name = 'SourceGoneError';
}

/** The source was asked, and has nothing for it either, or not now. */
export class LostBlockError extends StoreError {
  override name = 'LostBlockError';

  constructor(offset: number, message: string) {
    super('io', 'read', offset, message);
  }
}

interface Asked {
  offset: number;
  length: number;
  resolve: (a: { answer: ReadAnswer; isOpen: boolean }) => void;
  reject: (e: Error) => void;
}

export interface SourceReadsParts {
  checked: CheckedStore;
  send(...parts: Uint8Array[]): void;
  /** A block that the guest here wants is lost on both copies, or not to be had now. */
  onLost(offset: number): void;
  /** Of the source; undefined: there is none. */
  attachment(): number | undefined;
  replica(): Replica | undefined;
}

export class SourceReads {
  readonly #parts: SourceReadsParts;
  /** What the source was asked: at most a few of each read that the guest here has open. */
  readonly #asked = new Map<number, Asked>();
  #nextRequest = 1;

  constructor(parts: SourceReadsParts) {
    this.#parts = parts;
  }

  /** The source is gone: nobody answers any more. */
  drop(): void {
    for (const a of this.#asked.values()) a.reject(new Error('the source is gone'));
    this.#asked.clear();
  }

  /** A read of the guest here found what the disk has lost: with what the source has there. */
  async rescue(replica: Replica, offset: number, length: number): Promise<Buffer> {
    for (let attempt = 0; attempt < RESCUE_ATTEMPTS; attempt++) {
      const { committed } = replica;
      const data = await replica.read(offset, length, { read: (o, l) => this.#fromSource(replica, o, l) });
      if (replica.committed === committed) return data;
    }
    throw new LostBlockError(offset, `checkpoints overtake the read of lost blocks at ${offset}`);
  }

  async #fromSource(replica: Replica, offset: number, length: number): Promise<Buffer> {
    const { checked } = this.#parts;
    const { start, end } = wholeBlocks(offset, length, checked.sizeBytes);
    const { data, blocks } = await checked.check(start, end - start);
    for (const run of runsOf(start, end - start, blocks, isBad)) {
      const sums = await checked.sums(run.offset, run.length);
      const found = await this.#ask(run.offset, run.length).catch((e: Error) => {
        // Else what it answered was damaged on its way.
        if (this.#parts.attachment() === undefined) throw new SourceGoneError(e.message);
        return undefined;
      });
      for (let at = 0, i = 0; at < run.length; at += SUM_BLOCK_BYTES, i++) {
        const condition = found?.answer.blocks[i];
        const fits = sums[i] === undefined || sums[i] === found?.answer.crcs[i];
        const isGood = condition === 'fits' || (condition !== undefined && condition !== 'unreadable' && fits);
        const offset = run.offset + at;
        if (!found || !isGood || (found.isOpen && replica.isOpen(offset, SUM_BLOCK_BYTES))) {
          this.#parts.onLost(offset);
          throw new LostBlockError(offset, `the block at ${offset} is lost here, and the source has nothing for it now`);
        }
      }
      found?.answer.data.copy(data, run.offset - start);
    }
    return data.subarray(offset - start, offset - start + length);
  }

  /** A write filled a part of a block whose rest is lost here: the source, asked for it, sends all of it again. */
  async heal(offset: number): Promise<void> {
    const { start, end } = wholeBlocks(offset, 1, this.#parts.checked.sizeBytes);
    await this.#ask(start, end - start);
  }

  #ask(offset: number, length: number): Promise<{ answer: ReadAnswer; isOpen: boolean }> {
    const attachment = this.#parts.attachment();
    if (attachment === undefined || length > READ_MAX_BYTES) return Promise.reject(new Error('there is no source to ask'));
    const request = this.#nextRequest++ >>> 0;
    return new Promise((resolve, reject) => {
      this.#asked.set(request, { offset, length, resolve, reject });
      this.#parts.send(encodeMessageHeader({ kind: 'read', fua: false, attachment, request, interval: 0, offset, length, status: 'ok' }));
    });
  }

  /** The source's answer to what was asked here. */
  answered(m: MirrorMessage): void {
    const asked = this.#asked.get(m.request);
    if (!asked || m.attachment !== this.#parts.attachment()) return;
    this.#asked.delete(m.request);
    try {
      // In order with the source's writes: what is not committed now is in the answer, what comes later is not.
      const isOpen = this.#parts.replica()?.isOpen(asked.offset, asked.length) ?? false;
      asked.resolve({ answer: decodeReadAnswer(Buffer.from(m.data), asked.offset, asked.length), isOpen });
    } catch (e) {
      asked.reject(e as Error);
    }
  }
}
