// The partner's copy of the disk: the primary's writes by interval, and the private world of the secondary's guest.
//
//                    interval 0            interval n, once n is committed
//   primary's write ----------> disk  <---- written back <---- journal (and memory) <---- primary's write, interval >= 1
//   secondary's read:  disk, patched with what is committed and not yet written back, patched with the overlay
//   secondary's write: overlay only; dropped when the checkpoint is applied, merged when the secondary takes over
//
// The disk (with the journal replayed) is always the last committed interval, whole, and nothing newer. `apply` answers
// at once: the committed records are in the journal durably, so they are written back while the guests run again.
import type { BlockStore } from '../../drivers/block/index.ts';
import { SUM_BLOCK_BYTES, writeWithSums } from './block-sums.ts';
import type { CheckedRange } from './checked-store.ts';
import type { Journal } from './journal.ts';
import { Overlay } from './overlay.ts';
import { bytesOf, PatchMap, type Piece, type PieceSource, type Run } from './patch-map.ts';
import { WriteBack } from './write-back.ts';
import { gather, spaceOf, writeRuns } from './write-runs.ts';

const LIMITS = {
  /** Of journaled data held in memory as well; beyond, it is read back from the journal. One busy interval is a few MiB. */
  journalMemoryBytes: 64 * 1024 * 1024,
  /** Of the overlay held in memory; beyond, it goes to a scratch file. */
  overlayMemoryBytes: 64 * 1024 * 1024,
};

export interface PresentRange extends CheckedRange {
  /** One per block: something newer than the disk's is on its way to it. */
  isPending: boolean[];
}

export interface ReplicaParts {
  disk: BlockStore;
  journal: Journal;
  /** Makes the scratch file for an overlay that is too large for memory. */
  openScratch(): Promise<BlockStore>;
  /** It takes over: this is merged next. Durable when it ends. */
  merging?(runs: readonly Run[]): Promise<void>;
  /** The disk or the journal failed in the background: nothing can be committed here any more. */
  onError(e: Error): void;
  /** Smaller ones in tests. */
  limits?: typeof LIMITS;
}

type Reader = Pick<BlockStore, 'read'>;

export class Replica {
  readonly #limits: typeof LIMITS;
  readonly #parts: ReplicaParts;
  readonly #disk: BlockStore;
  readonly #journal: Journal;
  readonly #writeBack: WriteBack;
  readonly #overlay: Overlay;
  #committed = 0;
  #decided = 0;
  #deciding: Promise<void> = Promise.resolve();
  /** Writes of interval 0 are in the cache of the disk. */
  #diskDirty = false;
  /** Journaled, not committed: by interval, ascending. */
  readonly #open = new Map<number, PatchMap>();
  #highestInterval = 0;
  /** Reads and writes of the guest that are under way. */
  readonly #guest = new Set<Promise<unknown>>();
  #ending = false;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
    this.#limits = parts.limits ?? LIMITS;
    this.#disk = parts.disk;
    this.#journal = parts.journal;
    this.#writeBack = new WriteBack({ disk: parts.disk, journal: parts.journal, onError: (e) => parts.onError(e) });
    this.#overlay = new Overlay({ memoryBytes: this.#limits.overlayMemoryBytes, openScratch: () => parts.openScratch() });
  }

  get committed(): number {
    return this.#committed;
  }

  /** The primary's writes have been of interval 1 or later. */
  get isJournaling(): boolean {
    return this.#highestInterval > 0;
  }

  get overlayBytes(): number {
    return this.#overlay.bytes;
  }

  // The primary's side.

  /** Ends when this side has it: interval 0 on the disk, others in the journal; in stable storage if `fua`. */
  write(interval: number, offset: number, data: Uint8Array, fua: boolean, sums?: Uint32Array): Promise<void> {
    return this.#change(interval, offset, data.length, data, fua, false, sums);
  }

  async zero(interval: number, offset: number, length: number, fua: boolean, release = false): Promise<void> {
    await this.#change(interval, offset, length, undefined, fua, release);
  }

  async #change(
    interval: number,
    offset: number,
    length: number,
    data: Uint8Array | undefined,
    fua: boolean,
    release = false,
    crcs?: Uint32Array,
  ): Promise<void> {
    this.#mustRun();
    if (interval === 0) {
      if (this.#highestInterval > 0)
        throw new Error(`a write of interval 0 after interval ${this.#highestInterval}: the partner's counter went back`);
      this.#diskDirty = true;
      await (data ? writeWithSums(this.#disk, offset, crcs, data) : this.#disk.zero(offset, length, spaceOf(release)));
    } else {
      if (interval <= this.#decided) throw new Error(`a write of interval ${interval}, which was committed already`);
      this.#highestInterval = Math.max(this.#highestInterval, interval);
      const { file, at, done } = this.#journal.append(data ? 'write' : 'zero', interval, offset, length, data ? [data] : [], release);
      let source: PieceSource = { kind: 'zero', release };
      if (data) {
        source = this.#journalMemory() + length <= this.#limits.journalMemoryBytes ? { kind: 'memory', data } : { kind: 'file', file, at };
        if (crcs) source.sums = { start: offset, end: offset + length, crcs };
      }
      let patches = this.#open.get(interval);
      if (!patches) {
        patches = new PatchMap();
        this.#open.set(interval, patches);
      }
      patches.insert(offset, offset + length, source);
      await done;
    }
    if (fua) await this.flush();
  }

  /** Everything that ended is in stable storage. */
  async flush(): Promise<void> {
    await Promise.all([this.#journal.sync(), this.#flushDisk()]);
  }

  async decide(interval: number): Promise<void> {
    this.#mustRun();
    if (interval <= this.#decided) throw new Error(`interval ${interval} cannot be committed: ${this.#decided} was already`);
    if (this.#decided > this.#committed) throw new Error(`interval ${interval} cannot be committed: ${this.#decided} is not applied yet`);
    this.#decided = interval;
    this.#deciding = (async () => {
      // The first commit stands on the writes of interval 0.
      await this.#flushDisk();
      this.#journal.append('commit', interval, 0, 0);
      await this.#journal.sync();
    })();
    this.#deciding.catch(() => {});
    await this.#deciding;
  }

  async apply(interval: number): Promise<void> {
    await this.#deciding;
    if (this.#writeBack.failed) throw this.#writeBack.failed;
    if (interval !== this.#decided) throw new Error(`interval ${interval} cannot be applied: ${this.#decided} is what was decided last`);
    if (interval === this.#committed) return;
    for (const [n, patches] of this.#open) {
      if (n > interval) continue;
      this.#writeBack.take(n, patches);
      this.#open.delete(n);
    }
    this.#committed = interval;
    this.#overlay.drop();
    this.#writeBack.commit(interval, this.#highestInterval);
  }

  /**
   * Runs `cut` when interval n is on the disk, before anything newer is. Rejects when n is committed already, when it never will be,
   * and when `cut` does. One at a time.
   */
  cutAfter(interval: number, cut: () => Promise<void>): Promise<void> {
    this.#mustRun();
    if (interval <= this.#decided) throw new Error(`interval ${interval} is over already`);
    return this.#writeBack.cutAfter(interval, cut);
  }

  /** One that waits for its interval. */
  dropCut(why = 'it was given up'): void {
    this.#writeBack.dropCut(why);
  }

  /** The primary wrote here what is not committed: what it has there now is not what this copy should have. */
  isOpen(offset: number, length: number): boolean {
    for (const patches of this.#open.values()) if (patches.find(offset, offset + length).length > 0) return true;
    return false;
  }

  /** The secondary's guest has written all of it since the last commit. */
  isOwn(offset: number, length: number): boolean {
    return covers(this.#overlay.find(offset, offset + length), offset, offset + length);
  }

  /** The primary has written all of it in one interval that is not committed, up to this one. */
  isFilled(offset: number, length: number, interval: number): boolean {
    for (const [n, patches] of this.#open)
      if (n <= interval && covers(patches.find(offset, offset + length), offset, offset + length)) return true;
    return false;
  }

  /**
   * Whole blocks as the primary has written them, whatever is committed. check: reads the disk. No write to them is under way.
   */
  async present(offset: number, length: number, check: (offset: number, length: number) => Promise<CheckedRange>): Promise<PresentRange> {
    return await this.#tracked(this.#present(offset, length, check));
  }

  async #present(offset: number, length: number, check: (offset: number, length: number) => Promise<CheckedRange>): Promise<PresentRange> {
    const end = offset + length;
    const open = [...this.#open].sort(([a], [b]) => a - b).map(([, patches]) => patches.find(offset, end));
    const layers = [...this.#writeBack.layers(offset, end), ...open];
    const { data, blocks } = await check(offset, length);
    const patched = new PatchMap();
    for (const layer of layers) {
      for (const p of layer) {
        const bytes = await bytesOf(p);
        if (bytes) data.set(bytes, p.start - offset);
        else data.fill(0, p.start - offset, p.end - offset);
        patched.insert(p.start, p.end, { kind: 'zero', release: false });
      }
    }
    const isPending: boolean[] = [];
    for (let at = offset, i = 0; at < end; at += SUM_BLOCK_BYTES, i++) {
      const stop = Math.min(end, at + SUM_BLOCK_BYTES);
      const pieces = patched.find(at, stop);
      isPending.push(pieces.length > 0);
      // What the disk has below them does not matter.
      if (covers(pieces, at, stop)) blocks[i] = 'fits';
    }
    return { data, blocks, isPending };
  }

  /** Writes to the disk what it has lost, by `write`. False: not now, as what belongs there is on its way. */
  async repair(offset: number, length: number, write: () => Promise<void>): Promise<boolean> {
    const mayWrite = (): boolean => {
      this.#mustRun();
      return !this.isOpen(offset, length);
    };
    return await this.#writeBack.repair(offset, length, mayWrite, write);
  }

  // The secondary's side.

  /** under: reads the disk in its place. */
  async read(offset: number, length: number, under: Reader = this.#disk): Promise<Buffer> {
    return await this.#tracked(this.#read(offset, length, under));
  }

  async #read(offset: number, length: number, under: Reader): Promise<Buffer> {
    const end = offset + length;
    // What is found now stays right while the disk is read: a write-back under way writes these same bytes.
    const layers = [...this.#writeBack.layers(offset, end), this.#overlay.find(offset, end)];
    const buffer = layers.some((l) => covers(l, offset, end)) ? Buffer.allocUnsafeSlow(length) : await under.read(offset, length);
    for (const layer of layers) {
      for (const p of layer) {
        const bytes = await bytesOf(p);
        if (bytes) buffer.set(bytes, p.start - offset);
        else buffer.fill(0, p.start - offset, p.end - offset);
      }
    }
    return buffer;
  }

  async guestWrite(offset: number, data: Uint8Array): Promise<void> {
    const spilled = this.#overlay.write(offset, data);
    if (spilled) await this.#tracked(spilled);
  }

  guestZero(offset: number, length: number, release: boolean): void {
    this.#overlay.zero(offset, length, release);
  }

  /** The interval up to which every write that ended is in stable storage on the disk, whatever becomes of the journal. */
  async settled(): Promise<number> {
    this.#mustRun();
    const interval = this.#writeBack.writtenBack;
    await this.#disk.flush();
    return interval;
  }

  // Ends.

  /** Refuses when a checkpoint is decided that the secondary has not loaded. To be asked before `takeOver`. */
  async settle(): Promise<void> {
    this.#mustRun();
    await this.#deciding;
    if (this.#decided > this.#committed)
      throw new Error(`interval ${this.#decided} is decided and not applied: the secondary must load that checkpoint first`);
  }

  /**
   * The primary is dead. What it had not committed goes; the secondary's own writes become part of the copy: journaled
   * first (from then on a crash keeps them), then written, then the journal is emptied. Reads are served meanwhile;
   * the caller must not send writes any more.
   */
  async takeOver(): Promise<{ committed: number; discardedBytes: number; mergedBytes: number }> {
    await this.settle();
    this.#ending = true;
    this.dropCut('its interval was never committed');
    await Promise.allSettled([...this.#guest]);
    let discardedBytes = 0;
    for (const patches of this.#open.values()) discardedBytes += patches.bytes;
    this.#open.clear();
    const mergedBytes = this.#overlay.bytes;
    const runs = this.#overlay.runs();
    await this.#parts.merging?.(runs);
    for (const run of runs) {
      if (run.pieces.length === 0) this.#journal.append('overlayZero', this.#committed, run.start, run.end - run.start, [], run.release);
      else this.#journal.append('overlayWrite', this.#committed, run.start, run.end - run.start, await gather(run));
    }
    this.#journal.append('takeOver', this.#committed, 0, 0);
    await Promise.all([this.#journal.sync(), this.#writeBack.finish()]);
    await writeRuns(this.#disk, runs);
    await this.#disk.flush();
    this.#overlay.clear();
    await this.#retire();
    return { committed: this.#committed, discardedBytes, mergedBytes };
  }

  /**
   * The primary goes on without lockstep, and the secondary's guest has ended: this copy takes every write the primary
   * made, also what no checkpoint covers, as one last commit. Answers how many bytes that were.
   */
  async collapse(): Promise<number> {
    this.#mustRun();
    this.#ending = true;
    await this.#deciding;
    const last = Math.max(this.#decided, this.#highestInterval);
    await this.#flushDisk();
    if (last > this.#decided) this.#journal.append('commit', last, 0, 0);
    await this.#journal.sync();
    this.#decided = last;
    let bytes = 0;
    for (const patches of this.#open.values()) bytes += patches.bytes;
    await this.apply(last);
    this.dropCut('lockstep ended before its interval');
    await this.stop();
    if (this.#writeBack.failed) throw this.#writeBack.failed;
    return bytes;
  }

  /** No takeover: the guest's memory is given up here, so the copy takes everything the primary wrote, as after a crash. */
  async stop(): Promise<void> {
    this.#ending = true;
    await this.#deciding.catch(() => {});
    this.dropCut('this copy follows no longer');
    if (this.#writeBack.failed) return;
    if (this.#decided === this.#committed) {
      for (const patches of this.#open.values()) this.#writeBack.takeUncommitted(patches);
      this.#open.clear();
    }
    await this.#writeBack.finish();
    this.#overlay.clear();
    if (this.#decided > this.#committed) {
      // The commit record may be durable: the next `open` replays it.
      await Promise.allSettled([...this.#guest]);
      await this.#overlay.close();
      return;
    }
    await this.#disk.flush();
    await this.#retire();
  }

  /** Empties the journal when nobody reads from it any more. */
  async #retire(): Promise<void> {
    await Promise.allSettled([...this.#guest]);
    await this.#journal.reset();
    await this.#overlay.close();
  }

  async #flushDisk(): Promise<void> {
    if (!this.#diskDirty) return;
    await this.#disk.flush();
    // Once intervals are journaled the disk gets no more of these writes; before, the next flush finds it clean enough.
    if (this.#highestInterval > 0) this.#diskDirty = false;
  }

  #journalMemory(): number {
    let bytes = this.#writeBack.memoryBytes;
    for (const patches of this.#open.values()) bytes += patches.memoryBytes;
    return bytes;
  }

  #mustRun(): void {
    if (this.#writeBack.failed) throw this.#writeBack.failed;
    if (this.#ending) throw new Error('this copy is no replica any more');
  }

  async #tracked<T>(p: Promise<T>): Promise<T> {
    this.#guest.add(p);
    try {
      return await p;
    } finally {
      this.#guest.delete(p);
    }
  }
}

function covers(pieces: readonly Piece[], start: number, end: number): boolean {
  let at = start;
  for (const p of pieces) {
    if (p.start > at) return false;
    at = p.end;
  }
  return at >= end;
}
