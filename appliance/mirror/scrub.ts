// Reads and compares both copies of the disk, from the first byte to the last, while the guest runs: what nobody reads may have rotted.
//
// One step is 1 MiB, locked against the guest's writes while both copies of it are read: with no write in flight they must be the same, also
// of an interval that is not committed (the replica answers from its disk and its journal). What is found is told, not mended: the core
// decides what becomes of a block (rows 14 and 15).
import { readFile, rename, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { judgeBlock, pauseAfterStep, type ScrubPlan, scrubDue } from '../core/scrub.ts';
import type { ScrubView } from '../core/snapshot.ts';
import type { BlockSide } from './api.ts';
import { isBad, SUM_BLOCK_BYTES } from './block-sums.ts';
import type { CheckedStore } from './checked-store.ts';
import type { Partner } from './partner.ts';
import type { RangeLock } from './range-lock.ts';
import { endsWithin } from './stuck-requests.ts';
import { decodeVerified, digestOf, encodeVerify, type VerifiedBlock } from './verify-codec.ts';

const STEP_BYTES = 1024 * 1024;
/** What is on its way to the partner's disk is there after the next checkpoint. */
const RECHECKS = 10;
const RECHECK_PAUSE_MS = 300;
/** While the copies cannot be compared it looks so often whether they can. */
const LOOK_MS = 1_000;
const SAVE_EVERY_MS = 30_000;
/** What was found is repaired within this, or waits: the core is asked, and the partner's disk has to catch up with a checkpoint or two. */
const SETTLE_MS = 30_000;
/** So many blocks do not rot one by one: a whole copy is in question then, and more news of it helps nobody. */
const MAX_DIFFERING = 64;

export interface ScrubParts {
  sizeBytes: number;
  reader: Pick<CheckedStore, 'check' | 'learn'>;
  lock: RangeLock;
  /** Whose copy equals this one; or why there is none now. */
  partner(): Partner | string;
  /** Blocks in quarantine are not told again. */
  isQuarantined(offset: number): boolean;
  rateBytesPerS: number;
  everyHours: number;
  /** Where its progress is kept. */
  path: string;
  onDiffer(offset: number, fits: BlockSide | 'neither'): void;
  onUnreadable(offset: number, side: BlockSide): void;
  /** Both copies have these bytes, whatever a checksum says: it is made anew. Called with the range locked. */
  renew(offset: number, data: Buffer): Promise<void>;
  /** It began, ended, waits or goes on. */
  onChanged(): void;
  /** It is done or was cut short, and what it found is repaired or left. */
  onEnded(view: ScrubView): void;
  /** The end waits no longer for what was found. */
  settleMs?: number;
  /** Wall clock, ms. */
  now?(): number;
}

interface Kept extends ScrubPlan {
  view: ScrubView | null;
}

export class Scrub {
  readonly #parts: ScrubParts;
  readonly #now: () => number;
  #kept: Kept;
  #stop: AbortController | undefined;
  #ended: Promise<void> = Promise.resolve();
  #savedMs = 0;
  /** Blocks that this comparison found. */
  #found = new Set<number>();
  /** Those of them that are neither repaired nor left as they are. */
  readonly #open = new Set<number>();
  #settled: (() => void) | undefined;

  private constructor(parts: ScrubParts, kept: Kept) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
    this.#kept = kept;
  }

  static async open(parts: ScrubParts): Promise<Scrub> {
    const now = (parts.now ?? Date.now)();
    const scrub = new Scrub(parts, (await readKept(parts.path, parts.sizeBytes)) ?? { since: now, at: null, view: null });
    await scrub.#save();
    return scrub;
  }

  get isRunning(): boolean {
    return this.#stop !== undefined;
  }

  get view(): ScrubView | null {
    return this.#kept.view;
  }

  /**
   * Blocks that had differed are the same on both copies again, or stay as they are. Others than the ones found do not count. Answers whether
   * there was one of them.
   */
  settled(offset: number, lengthBytes: number, isRepaired: boolean): boolean {
    let isFound = false;
    for (const at of [...this.#open]) {
      if (at < offset || at >= offset + lengthBytes) continue;
      this.#open.delete(at);
      isFound = true;
      const { view } = this.#kept;
      if (view && isRepaired) this.#kept.view = { ...view, repaired: view.repaired + 1 };
    }
    if (this.#open.size === 0) this.#settled?.();
    return isFound;
  }

  /** To be called now and then: begins one that is due, or goes on with one that was cut short. */
  look(): void {
    if (this.#stop || typeof this.#parts.partner() === 'string') return;
    if (scrubDue(this.#kept, this.#now(), this.#parts.everyHours)) this.start();
  }

  /** From the beginning, or from where the last one was cut short. */
  start(): void {
    if (this.#stop) throw new Error('the copies are being compared already');
    const partner = this.#parts.partner();
    if (typeof partner === 'string') throw new Error(`the copies cannot be compared: ${partner}`);
    const { sizeBytes } = this.#parts;
    const { at, view } = this.#kept;
    const goesOn = at !== null && view !== null;
    this.#found = new Set();
    this.#open.clear();
    this.#kept = {
      ...this.#kept,
      at: goesOn ? at : 0,
      view: goesOn
        ? { ...view, state: 'running', endedAt: null, reason: '' }
        : {
            state: 'running',
            startedAt: this.#now(),
            endedAt: null,
            checkedBytes: 0,
            totalBytes: sizeBytes,
            differed: 0,
            repaired: 0,
            reason: '',
          },
    };
    const stop = new AbortController();
    this.#stop = stop;
    this.#ended = this.#run(stop.signal).catch((e: Error) => {
      this.#end('cutShort', e.message);
    });
    this.#parts.onChanged();
  }

  /** The operator wants no more of it: the next one begins at the beginning. */
  async stop(): Promise<void> {
    if (!this.#stop) throw new Error('the copies are not being compared now');
    this.#stop.abort();
    await this.#ended;
    this.#end('cutShort', 'the operator stopped it');
    await this.#save();
  }

  /** The copy here is closed: goes on when the copies are joined again. */
  async close(): Promise<void> {
    this.#stop?.abort();
    await endsWithin(this.#parts.path, this.#ended);
    this.#stop = undefined;
    await endsWithin(this.#parts.path, this.#save());
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { sizeBytes, rateBytesPerS } = this.#parts;
    while (!signal.aborted) {
      const at = this.#kept.at ?? 0;
      if (at >= sizeBytes) {
        await this.#settle(signal);
        if (!signal.aborted) this.#end('done', '');
        return;
      }
      const partner = this.#parts.partner();
      if (typeof partner === 'string') {
        this.#show('paused', partner);
        await pause(LOOK_MS, signal);
        continue;
      }
      this.#show('running', '');
      const length = Math.min(STEP_BYTES, sizeBytes - at);
      const beganMs = performance.now();
      try {
        await this.#step(partner, at, length, signal);
      } catch (e) {
        // The partner was lost, or refuses now: the same step again when it is there.
        this.#show('paused', (e as Error).message);
        await pause(LOOK_MS, signal);
        continue;
      }
      const { view } = this.#kept;
      if (signal.aborted || !view) return;
      this.#kept = { ...this.#kept, at: at + length, view: { ...view, checkedBytes: at + length } };
      if (view.differed > MAX_DIFFERING) {
        await this.#settle(signal);
        if (signal.aborted) return;
        this.#end(
          'cutShort',
          `more than ${MAX_DIFFERING} blocks differ: no single blocks have rotted, one of the copies is not what it should be`,
        );
        return;
      }
      if (performance.now() - this.#savedMs > SAVE_EVERY_MS) await this.#save();
      await pause(pauseAfterStep(length, performance.now() - beganMs, rateBytesPerS), signal);
    }
  }

  async #step(partner: Partner, start: number, length: number, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted; attempt++) {
      const isSettled = await this.#parts.lock.with(start, start + length, () => this.#compare(partner, start, length, attempt > RECHECKS));
      if (isSettled) return;
      await pause(RECHECK_PAUSE_MS, signal);
    }
  }

  /** False: something differs that may still be on its way. */
  async #compare(partner: Partner, start: number, length: number, isLast: boolean): Promise<boolean> {
    const { reader } = this.#parts;
    const own = await reader.check(start, length);
    const data = encodeVerify({ kind: 'compare', digest: digestOf(own.data) });
    const answer = await partner.ask({ kind: 'verify', offset: start, length, data });
    const theirs = decodeVerified(answer, own.blocks.length);
    const isClean = !own.blocks.some(isBad);
    if (!theirs && isClean) {
      await reader.learn(start, own.data);
      return true;
    }
    const found: { offset: number; bytes: Buffer; verdict: ReturnType<typeof judgeBlock> }[] = [];
    for (const [i, condition] of own.blocks.entries()) {
      const offset = start + i * SUM_BLOCK_BYTES;
      const bytes = own.data.subarray(i * SUM_BLOCK_BYTES, (i + 1) * SUM_BLOCK_BYTES);
      const there: VerifiedBlock = theirs?.[i] ?? { condition: 'fits', isPending: false, digest: digestOf(bytes) };
      const verdict = judgeBlock(condition, there.condition, condition !== 'unreadable' && there.digest.equals(digestOf(bytes)));
      if (verdict === 'fine') continue;
      if (there.isPending && !isLast) return false;
      found.push({ offset, bytes, verdict });
    }
    for (const { offset, bytes, verdict } of found) await this.#tell(offset, bytes, verdict);
    return true;
  }

  async #tell(offset: number, bytes: Buffer, verdict: ReturnType<typeof judgeBlock>): Promise<void> {
    const { onDiffer, onUnreadable, renew, isQuarantined } = this.#parts;
    if (isQuarantined(offset)) return;
    const { view } = this.#kept;
    // A step that was cut short is done again.
    if (view && !this.#found.has(offset)) this.#kept.view = { ...view, differed: view.differed + 1 };
    this.#found.add(offset);
    this.#open.add(offset);
    switch (verdict) {
      case 'fine':
        return;
      case 'renew':
        await renew(offset, bytes);
        this.settled(offset, SUM_BLOCK_BYTES, true);
        return;
      case 'ownUnreadable':
        onUnreadable(offset, 'own');
        return;
      case 'partnerUnreadable':
        onUnreadable(offset, 'partner');
        return;
      case 'own':
      case 'partner':
      case 'neither':
        onDiffer(offset, verdict);
        return;
      default:
        throw new Error(`unknown ${JSON.stringify(verdict satisfies never)}`);
    }
  }

  /** What was told is on its way: it is not over before that is repaired or given up. */
  async #settle(signal: AbortSignal): Promise<void> {
    if (this.#open.size === 0) return;
    const enough = new AbortController();
    this.#settled = () => enough.abort();
    await pause(this.#parts.settleMs ?? SETTLE_MS, AbortSignal.any([signal, enough.signal]));
    this.#settled = undefined;
  }

  #show(state: ScrubView['state'], reason: string): void {
    const { view } = this.#kept;
    if (!view || (view.state === state && view.reason === reason)) return;
    this.#kept.view = { ...view, state, reason };
    this.#parts.onChanged();
  }

  #end(state: 'done' | 'cutShort', reason: string): void {
    const { view } = this.#kept;
    const now = this.#now();
    this.#stop = undefined;
    this.#kept = { since: now, at: null, view: view ? { ...view, state, reason, endedAt: now } : null };
    void this.#save();
    this.#parts.onChanged();
    if (this.#kept.view) this.#parts.onEnded(this.#kept.view);
  }

  /** Where it goes on after a restart; a loss costs half a minute of it. */
  async #save(): Promise<void> {
    this.#savedMs = performance.now();
    const { path, sizeBytes } = this.#parts;
    try {
      await writeFile(`${path}.part`, JSON.stringify({ sizeBytes, ...this.#kept }), { mode: 0o600 });
      await rename(`${path}.part`, path);
    } catch {
      // The disk of the state is full or broken: the comparison then begins anew at the next start.
    }
  }
}

/** Null: nothing is known, or it is of another disk. */
async function readKept(path: string, sizeBytes: number): Promise<Kept | null> {
  try {
    const kept = JSON.parse(await readFile(path, 'utf8')) as Kept & { sizeBytes: number };
    if (kept.sizeBytes !== sizeBytes || typeof kept.since !== 'number' || (kept.at !== null && typeof kept.at !== 'number')) return null;
    const view =
      kept.at !== null && kept.view ? { ...kept.view, state: 'paused' as const, reason: 'this CoServer was started again' } : kept.view;
    return { since: kept.since, at: kept.at, view };
  } catch {
    return null;
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
