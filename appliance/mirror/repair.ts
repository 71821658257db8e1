// A block that one copy has lost, seen from where the guest runs: its bytes come from the other copy, and the one that lost them is
// rewritten, flushed, read again and verified. The guest sees nothing of it, unless both copies have lost the block.
//
//   read fails here --> range locked --> partner asked (`read`) --> rewritten here --> served
//   partner asks (`read`) --> range locked --> answered --> sent to it once more (write, `repair`)
//
// Under the lock nothing is under way to the range and the partner has every write, so what both should have is the same.
// Which bytes are right: those that fit the sum this copy has; else, if the copies are equal but for writes under way, those that
// fit the partner's own sum, or that it can read where neither has one, or that both have though the sum of neither fits.
import { StoreError } from '../../drivers/block/index.ts';
import type { BlockCondition } from '../core/scrub.ts';
import type { MirrorEvents } from './api.ts';
import { isBad, SUM_BLOCK_BYTES } from './block-sums.ts';
import { type CheckedRange, type CheckedStore, wholeBlocks } from './checked-store.ts';
import { type MirrorMessage, READ_MAX_BYTES } from './messages.ts';
import type { Metadata } from './metadata.ts';
import type { Partner } from './partner.ts';
import type { RangeLock } from './range-lock.ts';
import { decodeReadAnswer, encodeReadAnswer, type ReadAnswer } from './read-codec.ts';
import { SilentDiskError } from './watched-store.ts';

export interface RepairParts {
  checked: CheckedStore;
  lock: RangeLock;
  metadata: Metadata;
  /** Undefined: alone. */
  partner(): Partner | undefined;
  interval(): number;
  /** Nobody knows what the block should have: what the partner has there is not believed without a sum here. */
  isQuarantined(offset: number): boolean;
  /** The disk refuses what it is to keep. */
  onError(e: StoreError): void;
  emit<K extends 'blockUnreadable' | 'copiesDiffer'>(name: K, data: MirrorEvents[K]): void;
  repaired(r: Omit<MirrorEvents['repaired'], 'foundBy'>): void;
}

/** The partner refuses to rewrite a block while newer data for it is on the way to its disk: that takes a checkpoint or two. */
const REWRITE_ATTEMPTS = 5;
const REWRITE_PAUSE_MS = 500;

interface Run {
  offset: number;
  length: number;
}

/** What a copy has of a range, once the other one has been asked for what it had lost. */
interface Mended {
  /** From `start`. */
  data: Buffer;
  /** Blocks that are neither here nor there, in this order; their data is zero. */
  lost: number[];
  /** Of them, those that the partner said it cannot have either. Of the others it has said nothing, or what it has is not believed. */
  lostThere: number[];
}

export class Repair {
  readonly #parts: RepairParts;

  constructor(parts: RepairParts) {
    this.#parts = parts;
  }

  /** A read of the guest failed: the range, with what the partner has where this copy has lost it. Rejects where neither has it. */
  async rescue(error: StoreError, offset: number, length: number): Promise<Buffer> {
    const partner = this.#parts.partner();
    const { start, end } = this.#whole(offset, length);
    // The guest waits for what is asked here.
    const over = partner?.keepsWaiting(start, end);
    const read = async (): Promise<Buffer> => {
      if (error instanceof SilentDiskError) return await this.#readThere(offset, length);
      try {
        return await this.readLocked(offset, length);
      } catch (e) {
        if (!(e instanceof SilentDiskError)) throw e;
        return await this.#readThere(offset, length);
      }
    };
    try {
      return await this.#parts.lock.with(start, end, read, (from, to) => partner?.keepsWaiting(from, to));
    } catch (e) {
      // The partner does not answer any more. The guest waits until it is decided who goes on: it may be the partner.
      if (partner?.isLost) await partner.released;
      throw e;
    } finally {
      over?.();
    }
  }

  /** For who holds the lock of the whole blocks. */
  async readLocked(offset: number, length: number): Promise<Buffer> {
    const { start, end } = this.#whole(offset, length);
    const { data, lost, lostThere } = await this.#mend(start, end);
    const [first] = lost;
    if (first === undefined) return data.subarray(offset - start, offset - start + length);
    const isEqual = this.#parts.metadata.log.phase === 'together';
    for (const at of lost) {
      if (this.#parts.isQuarantined(at)) continue;
      // As a comparison of both copies would find it: it comes into quarantine.
      if (isEqual && lostThere.includes(at)) this.#parts.emit('copiesDiffer', { offset: at, fits: 'neither' });
      else this.#parts.emit('blockUnreadable', { offset: at, lengthBytes: SUM_BLOCK_BYTES, side: 'own' });
    }
    const where = this.#parts.partner() ? 'no copy has it' : 'this is the only copy';
    throw new StoreError('io', 'read', first, `the block at ${first} is lost: ${where}`);
  }

  /**
   * Of a resync, for who holds the lock of these whole blocks: what can be had, and the first bytes of the blocks that no copy has. Rejects
   * if the partner does not say what it has.
   */
  async readAround(offset: number, length: number): Promise<{ data: Buffer; lost: number[] }> {
    const { start, end } = this.#whole(offset, length);
    const { data, lost } = await this.#mend(start, end, true);
    return { data: data.subarray(offset - start, offset - start + length), lost };
  }

  /** mustAnswer: rejects if the partner is asked and says nothing. */
  async #mend(start: number, end: number, mustAnswer = false): Promise<Mended> {
    const range = await this.#parts.checked.check(start, end - start);
    const partner = this.#parts.partner();
    const lost: number[] = [];
    const lostThere: number[] = [];
    for (const run of runsOf(start, end - start, range.blocks, isBad)) {
      const theirs = partner && (await this.#ask(partner, run));
      if (!theirs && mustAnswer)
        throw new StoreError('io', 'read', run.offset, `the block at ${run.offset} is lost here, and the partner does not say what it has`);
      const good = theirs && (await this.#choose(run, theirs, { ...range, start }));
      const found = this.#take(start, range, run, good ? theirs : undefined, good ?? []);
      for (const at of found.lost) {
        lost.push(at);
        const there = theirs?.blocks[(at - run.offset) / SUM_BLOCK_BYTES];
        if (there && isBad(there)) lostThere.push(at);
        range.data.fill(0, at - start, Math.min(end, at + SUM_BLOCK_BYTES) - start);
      }
      for (const r of found.runs) await this.#rewriteHere(r, range, start);
    }
    return { data: range.data, lost, lostThere };
  }

  /**
   * For who holds no lock, and must not wait for one: what this copy was given last, also where it has lost it. Of the partner only what fits
   * the sum here counts, as newer writes may have come there already. Nothing is repaired.
   */
  async recall(offset: number, length: number): Promise<Buffer> {
    const { checked } = this.#parts;
    const { start, end } = this.#whole(offset, length);
    const { data, blocks } = await checked.check(start, end - start);
    const partner = this.#parts.partner();
    for (const run of runsOf(start, end - start, blocks, isBad)) {
      const theirs = partner && (await this.#ask(partner, run));
      const ours = await checked.sums(run.offset, run.length);
      for (const [i, crc] of ours.entries())
        if (!theirs || crc === undefined || crc !== theirs.crcs[i] || theirs.blocks[i] === 'unreadable') {
          const at = run.offset + i * SUM_BLOCK_BYTES;
          throw new StoreError('io', 'read', at, `the block at ${at} is lost here, and the partner does not have it as it was`);
        }
      theirs?.data.copy(data, run.offset - start);
    }
    return data.subarray(offset - start, offset - start + length);
  }

  /**
   * Both copies have these bytes, and the checksum of one does not fit: made anew on both. For who holds the lock. Rejects if the partner cannot
   * now: newer data for the block is on its way.
   */
  async renew(offset: number, data: Buffer): Promise<void> {
    const { checked, metadata, interval } = this.#parts;
    const partner = this.#parts.partner();
    if (!partner) throw new Error('there is no partner');
    const cold = metadata.begin(offset, data.length, interval());
    try {
      if (cold) await cold;
      await partner.ask({ kind: 'write', repair: true, interval: interval(), offset, length: data.length, data });
      await checked.rewrite(offset, data);
    } finally {
      metadata.end(offset, data.length);
    }
  }

  /** The disk here is silent: what the partner has, with nothing repaired. */
  async #readThere(offset: number, length: number): Promise<Buffer> {
    const { start, end } = this.#whole(offset, length);
    const partner = this.#parts.partner();
    const data = Buffer.allocUnsafeSlow(end - start);
    for (let at = start; at < end; at += READ_MAX_BYTES) {
      const run = { offset: at, length: Math.min(READ_MAX_BYTES, end - at) };
      const theirs = partner && (await this.#ask(partner, run));
      if (!theirs || this.#parts.metadata.log.phase !== 'together' || theirs.blocks.some(isBad))
        throw new StoreError('io', 'read', at, 'the disk here does not answer, and the partner does not have the block');
      theirs.data.copy(data, at - start);
    }
    return data.subarray(offset - start, offset - start + length);
  }

  /** Makes one block equal on both copies. from: the copy whose bytes are right. */
  async block(offset: number, from: 'own' | 'partner'): Promise<void> {
    const { start, end } = this.#whole(offset, 1);
    const run = { offset: start, length: end - start };
    const partner = this.#parts.partner();
    if (!partner) throw new Error(`the block at ${start} cannot be repaired: there is no partner`);
    await this.#parts.lock.with(start, end, async () => {
      const here = await this.#parts.checked.check(start, run.length);
      if (from === 'own') {
        const [condition] = here.blocks;
        if (!condition || isBad(condition))
          throw new Error(`the block at ${start} cannot be repaired from here: it is ${condition} here too`);
        await this.#rewriteThere(partner, run, here.data, 'it differed');
        return;
      }
      const theirs = decodeReadAnswer(Buffer.from(await partner.ask({ kind: 'read', ...run })), start, run.length);
      const [condition] = theirs.blocks;
      if (!condition || isBad(condition))
        throw new Error(`the block at ${start} cannot be repaired from the partner: it is ${condition} there too`);
      if (!(await this.#choose(run, theirs, { ...here, start }))[0])
        throw new Error(`the block at ${start} cannot be repaired from the partner: its copy is not equal to this one`);
      const was = here.blocks[0] ?? 'unknown';
      theirs.data.copy(here.data);
      if (!(await this.#rewriteHere(run, { ...here, blocks: [was] }, start)))
        throw new Error(`the block at ${start} was rewritten and still cannot be read`);
    });
  }

  /** A write filled a part of a block whose rest is lost: from the partner. One that is not equal has nothing to give. */
  async heal(offset: number): Promise<void> {
    const { start, end } = this.#whole(offset, 1);
    if (!this.#parts.partner() || this.#parts.metadata.log.phase !== 'together') return;
    await this.#parts.lock.with(start, end, () => this.readLocked(start, end - start));
  }

  /** The partner has lost a block: it is answered, and sent to it again. */
  async serve(m: MirrorMessage, answer: (data: Uint8Array) => void): Promise<void> {
    const partner = this.#parts.partner();
    const end = m.offset + m.length;
    if (!partner || end > this.#parts.checked.sizeBytes) return;
    await this.#parts.lock.with(m.offset, end, async () => {
      const range = await this.#parts.checked.check(m.offset, m.length);
      answer(encodeReadAnswer(m.offset, range));
      for (const run of runsOf(m.offset, m.length, range.blocks, (c) => !isBad(c))) {
        const data = range.data.subarray(run.offset - m.offset, run.offset - m.offset + run.length);
        await this.#rewriteThere(partner, run, data, LOST_THERE).catch(() => this.#rewriteLater(partner, run));
      }
    });
  }

  async #ask(partner: Partner, run: Run): Promise<ReadAnswer | undefined> {
    try {
      return decodeReadAnswer(Buffer.from(await partner.ask({ kind: 'read', ...run })), run.offset, run.length);
    } catch {
      // Lost, or damaged on its way: it has nothing for us now.
      return undefined;
    }
  }

  /** Which of the partner's blocks are right. here: what this copy has around them. */
  async #choose(run: Run, theirs: ReadAnswer, here: CheckedRange & { start: number }): Promise<boolean[]> {
    const ours = await this.#parts.checked.sums(run.offset, run.length);
    const isEqual = this.#parts.metadata.log.phase === 'together';
    return theirs.blocks.map((condition, i) => {
      if (condition === 'unreadable') return false;
      if (ours[i] !== undefined && ours[i] === theirs.crcs[i]) return true;
      const at = run.offset + i * SUM_BLOCK_BYTES;
      if (this.#parts.isQuarantined(at)) return false;
      // Two disks do not rot alike: it is the sums that are not right, as a comparison of the copies says, too.
      if (isEqual && condition === 'wrong' && here.blocks[(at - here.start) / SUM_BLOCK_BYTES] === 'wrong') {
        const length = Math.min(SUM_BLOCK_BYTES, run.length - i * SUM_BLOCK_BYTES);
        const ownBytes = here.data.subarray(at - here.start, at - here.start + length);
        return ownBytes.equals(theirs.data.subarray(at - run.offset, at - run.offset + length));
      }
      return isEqual && (condition === 'fits' || (condition === 'unknown' && ours[i] === undefined));
    });
  }

  /** Puts what is good in its place; answers where that was, and the blocks that are lost. */
  #take(start: number, range: CheckedRange, run: Run, theirs: ReadAnswer | undefined, good: boolean[]): { runs: Run[]; lost: number[] } {
    const runs: Run[] = [];
    const lost: number[] = [];
    for (let at = 0, i = 0; at < run.length; at += SUM_BLOCK_BYTES, i++) {
      const length = Math.min(SUM_BLOCK_BYTES, run.length - at);
      if (!theirs || good[i] !== true) {
        lost.push(run.offset + at);
        continue;
      }
      theirs.data.copy(range.data, run.offset + at - start, at, at + length);
      const last = runs.at(-1);
      if (last && last.offset + last.length === run.offset + at) last.length += length;
      else runs.push({ offset: run.offset + at, length });
    }
    return { runs, lost };
  }

  /** False: it did not help. The bytes are right all the same. */
  async #rewriteHere(run: Run, range: CheckedRange, start: number): Promise<boolean> {
    const { checked, metadata, emit, repaired } = this.#parts;
    const data = range.data.subarray(run.offset - start, run.offset - start + run.length);
    const was = range.blocks[(run.offset - start) / SUM_BLOCK_BYTES];
    let after: BlockCondition[];
    try {
      // Cut short, the copies may differ there.
      const cold = metadata.begin(run.offset, run.length, this.#parts.interval());
      try {
        if (cold) await cold;
        after = await checked.rewrite(run.offset, data);
      } finally {
        metadata.end(run.offset, run.length);
      }
    } catch (e) {
      if (e instanceof StoreError) this.#parts.onError(e);
      return false;
    }
    const isGood = after.every((c) => !isBad(c));
    const at = { offset: run.offset, lengthBytes: run.length, side: 'own' as const };
    if (isGood) repaired({ ...at, why: WHY[was ?? 'unknown'] });
    else emit('blockUnreadable', at);
    return isGood;
  }

  /** What the guest writes there meanwhile is what is sent then. */
  async #rewriteLater(partner: Partner, run: Run, attempt = 2): Promise<void> {
    const { checked, lock, emit } = this.#parts;
    setTimeout(() => {
      void lock.with(run.offset, run.offset + run.length, async () => {
        if (this.#parts.partner() !== partner || partner.isLost) return;
        try {
          const { data, blocks } = await checked.check(run.offset, run.length);
          if (blocks.some(isBad)) throw new Error('it is lost here too');
          await this.#rewriteThere(partner, run, data, LOST_THERE);
        } catch {
          if (attempt < REWRITE_ATTEMPTS) await this.#rewriteLater(partner, run, attempt + 1);
          else emit('blockUnreadable', { offset: run.offset, lengthBytes: run.length, side: 'partner' });
        }
      });
    }, REWRITE_PAUSE_MS).unref();
  }

  /** Rejects if the partner cannot, or not now. */
  async #rewriteThere(partner: Partner, run: Run, data: Uint8Array, why: string): Promise<void> {
    await partner.ask({ kind: 'write', repair: true, interval: this.#parts.interval(), ...run, data });
    this.#parts.repaired({ offset: run.offset, lengthBytes: run.length, side: 'partner', why });
  }

  #whole(offset: number, length: number): { start: number; end: number } {
    return wholeBlocks(offset, length, this.#parts.checked.sizeBytes);
  }
}

const LOST_THERE = 'the partner could not read it';
const WHY: Record<BlockCondition, string> = {
  wrong: 'it was not what was written there',
  unreadable: 'it could not be read',
  fits: 'it differed',
  unknown: 'it differed',
};

/** Neighbouring blocks of one kind, in runs that one request takes. */
export function runsOf(offset: number, length: number, blocks: readonly BlockCondition[], wanted: (c: BlockCondition) => boolean): Run[] {
  const runs: Run[] = [];
  for (const [i, condition] of blocks.entries()) {
    if (!wanted(condition)) continue;
    const at = offset + i * SUM_BLOCK_BYTES;
    const bytes = Math.min(SUM_BLOCK_BYTES, offset + length - at);
    const last = runs.at(-1);
    if (last && last.offset + last.length === at && last.length + bytes <= READ_MAX_BYTES) last.length += bytes;
    else runs.push({ offset: at, length: bytes });
  }
  return runs;
}
