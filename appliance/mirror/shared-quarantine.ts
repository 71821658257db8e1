// The list of blocks in quarantine on both CoServers: where the guest runs it is kept, the other copy follows it, and the operator's choice
// of a copy ends it for a block.
//
//   quarantineBlock (row 15), here or there --> durable here --> told to the partner (`verify`) --> durable there
//   lost on both, found by a resync         --> durable here --> told before the partner's copy counts as equal (joining.ts)
//   chosen, or overwritten by the guest     --> lifted here  --> told to the partner
//
// On both before it is lifted or added: whoever goes on alone must know. A copy that follows lifts what the guest overwrote also by itself, as
// soon as that is part of it: a replica with the commit, so that its guest reads what the primary's guest reads.
import type { BlockSide, MirrorMode } from './api.ts';
import { SUM_BLOCK_BYTES } from './block-sums.ts';
import type { CheckedStore } from './checked-store.ts';
import type { OpenCopy } from './open-copy.ts';
import type { Partner } from './partner.ts';
import { blockStart } from './quarantine.ts';
import type { MirrorSurroundings } from './surroundings.ts';
import { encodeVerify } from './verify-codec.ts';

/** Whether the next checkpoint is committed. */
const COMMIT_LOOK_MS = 100;
/** Nobody chooses more blocks than these one by one. */
const TOLD_BLOCKS = 100;

export interface SharedQuarantineParts {
  around: MirrorSurroundings;
  opened(): OpenCopy | undefined;
  mode(): MirrorMode;
  /** Whose copy equals this one, or why there is none. */
  equalPartner(): Partner | string;
  report(e: Error): void;
}

export class SharedQuarantine {
  readonly #parts: SharedQuarantineParts;

  constructor(parts: SharedQuarantineParts) {
    this.#parts = parts;
  }

  /** On both CoServers before it is lifted or added here: whoever goes on alone must know. */
  async add(offset: number): Promise<void> {
    const o = this.#parts.opened();
    if (!o) throw new Error("quarantineBlock: this copy is 'closed'");
    await o.quarantine.add(offset);
    await this.#tell(o);
  }

  /** A copy that follows: the source's guest has overwritten it, and it is part of this copy. The source lifts and tells by itself. */
  overwritten(offset: number, length: number): Promise<void> | undefined {
    const o = this.#parts.opened();
    if (!o?.quarantine.hasWhole(offset, length)) return undefined;
    return o.quarantine.lift(offset, length).catch((e: Error) => this.#parts.report(e));
  }

  /** To be asked before the replica's writes become part of its disk, or are dropped: the blocks of which `has` says that they get a content. */
  blocksOf(has: (offset: number, length: number) => boolean): number[] {
    return this.#parts.opened()?.quarantine.offsets.filter((at) => has(at, SUM_BLOCK_BYTES)) ?? [];
  }

  async choose(offset: number, keep: BlockSide): Promise<void> {
    const o = this.#parts.opened();
    const mode = this.#parts.mode();
    if (!o || (mode !== 'source' && mode !== 'solo')) throw new Error(`chooseBlock: this copy is '${mode}', not where the guest runs`);
    const start = blockStart(offset);
    if (!o.quarantine.hasWhole(start, SUM_BLOCK_BYTES)) throw new Error(`chooseBlock: the block at ${start} does not wait`);
    const partner = this.#parts.equalPartner();
    if (keep === 'partner' && typeof partner === 'string') throw new Error(`chooseBlock: ${partner}`);
    const right = async (): Promise<Buffer> => {
      if (keep === 'own' || typeof partner === 'string') return await readWhole(o.checked, start);
      const data = encodeVerify({ kind: 'fetch' });
      return Buffer.from(await partner.ask({ kind: 'verify', offset: start, length: SUM_BLOCK_BYTES, data }));
    };
    // As a change of the guest: a restore point is cut before it or behind it, on both copies.
    await o.guest.replace(start, SUM_BLOCK_BYTES, right);
    await this.lift(start, SUM_BLOCK_BYTES);
  }

  /** Both copies have known bytes in the range. */
  async lift(offset: number, length: number): Promise<void> {
    const o = this.#parts.opened();
    if (!o) return;
    try {
      await o.quarantine.lift(offset, length);
      await this.#tell(o);
    } catch (e) {
      this.#parts.report(e as Error);
    }
  }

  /**
   * The source's list. A block that it serves again may still be wrong on the disk of a replica, whose guest stands at the last commit: it
   * is not served before the next one. If that never comes and this side takes over, the block is as unknown as before.
   */
  async follow(offsets: readonly number[]): Promise<void> {
    const o = this.#parts.opened();
    if (!o) return;
    o.listed = offsets;
    const early = o.quarantine.offsets.filter((at) => !offsets.includes(at) && o.replica?.isOpen(at, SUM_BLOCK_BYTES));
    await o.quarantine.replace([...offsets, ...early]);
    if (early.length === 0) return;
    setTimeout(() => {
      if (this.#parts.opened() !== o || o.listed !== offsets || !o.replica) return;
      this.follow(offsets).catch((e: Error) => this.#parts.report(e));
    }, COMMIT_LOOK_MS).unref();
  }

  /** This CoServer's main thread: what is in quarantine, and whether the copies are being compared. */
  announce(): void {
    const o = this.#parts.opened();
    const quarantined = o?.quarantine.offsets.slice(0, TOLD_BLOCKS) ?? [];
    this.#parts.around.emit('copies', { scrubbing: o?.scrub.isRunning ?? false, quarantined });
  }

  async #tell(o: OpenCopy): Promise<void> {
    const partner = this.#parts.equalPartner();
    if (typeof partner === 'string') return;
    // A partner that is lost gets the list when it joins again.
    await partner.ask({ kind: 'verify', data: encodeVerify({ kind: 'quarantine', offsets: o.quarantine.offsets }) }).catch(() => undefined);
  }
}

async function readWhole(reader: CheckedStore, offset: number): Promise<Buffer> {
  const { data, blocks } = await reader.check(offset, SUM_BLOCK_BYTES);
  if (blocks[0] === 'unreadable') throw new Error(`the block at ${offset} cannot be read here`);
  return data;
}
