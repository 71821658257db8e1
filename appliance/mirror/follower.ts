// The partner's requests, done on this copy while it is target or replica.
//
// target: every write goes to the disk at once. replica: to the Replica, by interval. A write of interval 0 that comes
// to a replica with journaled intervals means that the source left lockstep before this side did: it is neither
// refused nor acknowledged, it waits until `collapse` has made this copy a plain target.
import { type BlockStore, StoreError } from '../../drivers/block/index.ts';
import { firstMisfit, isBad, SUM_BLOCK_BYTES, writeWithSums } from './block-sums.ts';
import { type CheckedRange, type CheckedStore, wholeBlocks } from './checked-store.ts';
import {
  type AnswerStatus,
  COMPARE_BLOCK_BYTES,
  DIGEST_BYTES,
  encodeMessageHeader,
  MESSAGE_VERSION,
  type MirrorMessage,
} from './messages.ts';
import { encodeReadAnswer } from './read-codec.ts';
import { runsOf } from './repair.ts';
import type { PresentRange, Replica } from './replica.ts';
import { SourceReads } from './source-reads.ts';
import { decodeVerify, digestOf, encodeVerified } from './verify-codec.ts';
import { spaceOf } from './write-runs.ts';

export interface FollowerParts {
  disk: BlockStore;
  checked: CheckedStore;
  /** The range may differ from the source's until it was compared: durable when it ends. */
  suspect(offset: number, length: number): Promise<void>;
  /** A block that the guest here wants is lost on both copies, or not to be had now. */
  onLost(offset: number): void;
  send(...parts: Uint8Array[]): void;
  onError(e: StoreError): void;
  /** What is read from the disk may not be what it holds: nothing counts as equal before it was written again. */
  isDoubtful(): boolean;
  /** The source says which blocks are in quarantine. Durable when it ends. */
  quarantine(offsets: number[]): Promise<void>;
  /** The source's guest has written this to the disk here, whose copy is equal. Undefined: nothing follows from it. */
  overwritten(offset: number, length: number): Promise<void> | undefined;
  /** A source attaches: durable when it ends. Answers what this copy knows of itself. */
  attached(): Promise<Uint8Array>;
  /** Made equal to the source, whose record this is: flushed and durable when it ends. `isStill`: it is attached. */
  madeEqual(source: Buffer, isStill: () => boolean): Promise<void>;
  /** About a restore point. Rejects with the reason of a refusal. */
  cut(m: MirrorMessage): Promise<Uint8Array>;
}

/** Refused, and no harm is done: this copy follows all the same. */
class NotNow extends Error {}

/** To `settle`, of a copy that has no journal. */
const EVERY_INTERVAL = 0xffffffff;

export class Follower {
  readonly #parts: FollowerParts;
  readonly #disk: BlockStore;
  #replica: Replica | undefined;
  #attachment: number | undefined;
  /** The source said that everything was compared, and every write since has come here too. */
  #equal = false;
  readonly #running = new Set<Promise<void>>();
  #collapsing = false;
  /** Requests that wait for the end of `collapse`. At most what the partner's guest has open. */
  #deferred: MirrorMessage[] = [];
  /** What is lost here, asked of the source. */
  readonly reads: SourceReads;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    this.#disk = parts.disk;
    const { checked, send, onLost } = parts;
    this.reads = new SourceReads({ checked, send, onLost, attachment: () => this.#attachment, replica: () => this.#replica });
  }

  get isEqual(): boolean {
    return this.#equal;
  }

  /** Target to replica. */
  follow(replica: Replica): void {
    this.#replica = replica;
  }

  /** Replica to target, by `change`: what comes meanwhile waits for its end. */
  async collapse(change: (replica: Replica) => Promise<void>): Promise<void> {
    const replica = this.#replica;
    if (!replica) throw new Error('there is no replica to collapse');
    this.#collapsing = true;
    // Who waits for a restore point of an interval that will not be committed is waited for next.
    replica.dropCut('lockstep ended before its interval');
    await Promise.allSettled([...this.#running]);
    await change(replica);
    this.#replica = undefined;
    this.#collapsing = false;
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const m of deferred) this.receive(m);
  }

  /** The session ended, or this copy goes its own way: nothing that is under way is answered, nothing more is done. */
  detach(): void {
    this.#attachment = undefined;
    this.#equal = false;
    this.#deferred = [];
    this.reads.drop();
  }

  receive(m: MirrorMessage): void {
    const isLate = (m.kind === 'write' || m.kind === 'zero') && m.interval === 0 && this.#replica?.isJournaling;
    if (m.attachment === this.#attachment && (this.#collapsing || isLate)) {
      this.#deferred.push(m);
      return;
    }
    const work = this.#do(m);
    this.#running.add(work);
    const ended = (): void => void this.#running.delete(work);
    work.then(ended, ended);
  }

  async #do(m: MirrorMessage): Promise<void> {
    try {
      if (m.kind === 'attach') await this.#attach(m);
      else if (m.attachment === this.#attachment) {
        let data: Uint8Array | undefined;
        if (m.kind !== 'write') data = await this.#perform(m);
        else {
          this.#mustBeInside(m);
          await this.#change(m);
        }
        // Before it is answered: the source may be lost in the next moment.
        const lifting = this.#isOnDisk(m) ? this.#parts.overwritten(m.offset, m.length) : undefined;
        if (lifting) await lifting;
        if (m.attachment === this.#attachment) this.#answer(m, 'ok', data);
      }
    } catch (e) {
      const error = e as Error;
      if (m.kind === 'attach' || m.kind === 'cut') this.#answer(m, 'refused', Buffer.from(error.message));
      else if (m.attachment === this.#attachment)
        this.#answer(m, error instanceof NotNow ? 'refused' : 'failed', Buffer.from(error.message));
      if (error instanceof StoreError) this.#parts.onError(error);
    }
  }

  async #attach(m: MirrorMessage): Promise<void> {
    if (this.#replica) throw new Error('the partner is a replica: it follows an earlier source');
    if (m.length !== MESSAGE_VERSION)
      throw new Error(
        `the partner speaks version ${MESSAGE_VERSION} of the disk stream, not ${m.length}: install the same version on both`,
      );
    if (m.offset !== this.#disk.sizeBytes) throw new Error(`the partner's disk has ${this.#disk.sizeBytes} bytes, this one ${m.offset}`);
    this.detach();
    // Writes of an earlier attachment must not end after those of the new one.
    await Promise.allSettled([...this.#running]);
    const copy = await this.#parts.attached();
    this.#attachment = m.attachment;
    this.#answer(m, 'ok', copy);
  }

  /** A change of the source's guest, that is not only in the journal. */
  #isOnDisk(m: MirrorMessage): boolean {
    return (m.kind === 'write' || m.kind === 'zero') && this.#equal && !m.repair && (!this.#replica || m.interval === 0);
  }

  /** A write or a zero of the source. */
  #change(m: MirrorMessage): Promise<void> {
    const data = m.kind === 'write' ? m.data : undefined;
    const damaged = data && m.sums ? firstMisfit(m.offset, data, m.sums) : undefined;
    if (damaged !== undefined)
      throw new Error(
        `the data of a write at ${damaged} was damaged on its way to the partner: its checksum does not fit. It was not stored`,
      );
    if (m.repair && data) return this.#repair(m, data);
    const replica = this.#replica;
    if (replica) {
      if (data) return replica.write(m.interval, m.offset, data, m.fua, m.sums);
      return replica.zero(m.interval, m.offset, m.length, m.fua, m.release);
    }
    const changed = data ? writeWithSums(this.#disk, m.offset, m.sums, data) : this.#disk.zero(m.offset, m.length, spaceOf(m.release));
    return m.fua ? changed.then(() => this.#disk.flush()) : changed;
  }

  async #perform(m: MirrorMessage): Promise<Uint8Array | undefined> {
    if (m.kind === 'cut') return await this.#parts.cut(m);
    this.#mustBeInside(m);
    const replica = this.#replica;
    switch (m.kind) {
      case 'zero':
        await this.#change(m);
        return undefined;
      case 'flush':
        await (replica ?? this.#disk).flush();
        return undefined;
      case 'compare':
        if (replica) throw new Error('the partner is a replica: it cannot be compared');
        if (this.#parts.isDoubtful()) return new Uint8Array(m.data.length / DIGEST_BYTES).fill(1);
        return await this.#compare(m);
      case 'read':
        return encodeReadAnswer(m.offset, await this.#present(m.offset, m.length));
      case 'synced':
        if (replica) throw new Error('the partner is a replica already');
        await this.#parts.madeEqual(m.data as Buffer, () => m.attachment === this.#attachment);
        if (m.attachment === this.#attachment) this.#equal = true;
        return undefined;
      case 'settle': {
        const answer = Buffer.alloc(4);
        if (!replica) await this.#disk.flush();
        answer.writeUInt32BE(replica ? await replica.settled() : EVERY_INTERVAL);
        return answer;
      }
      case 'verify':
        return await this.#verify(m);
      default:
        throw new Error(`the partner sent '${m.kind}' to a copy that follows`);
    }
  }

  #mustBeInside(m: MirrorMessage): void {
    if (m.offset + m.length > this.#disk.sizeBytes) throw new Error(`${m.length} bytes at ${m.offset} are outside of the partner's disk`);
  }

  async #verify(m: MirrorMessage): Promise<Uint8Array | undefined> {
    const request = decodeVerify(m.data);
    switch (request.kind) {
      case 'quarantine':
        await this.#parts.quarantine(request.offsets);
        return undefined;
      case 'fetch': {
        const { data, blocks, isPending } = await this.#present(m.offset, m.length);
        // Its bytes would be zeroes, and are about to be written to both copies. What is pending may cover a part of it only.
        const lost = blocks.indexOf('unreadable');
        if (lost >= 0)
          throw new NotNow(
            `the block at ${m.offset + lost * SUM_BLOCK_BYTES} cannot be read on the partner${isPending[lost] ? ' yet: something is on its way there' : ''}`,
          );
        return data;
      }
      case 'compare': {
        const { data, blocks, isPending } = await this.#present(m.offset, m.length);
        if (!blocks.some(isBad) && digestOf(data).equals(request.digest)) {
          if (!isPending.includes(true)) await this.#parts.checked.learn(m.offset, data);
          return encodeVerified(null);
        }
        const answer = blocks.map((condition, i) => {
          const bytes = data.subarray(i * SUM_BLOCK_BYTES, (i + 1) * SUM_BLOCK_BYTES);
          return { condition, isPending: isPending[i] ?? false, digest: digestOf(bytes) };
        });
        return encodeVerified(answer);
      }
      default:
        throw new Error(`unknown ${JSON.stringify(request satisfies never)}`);
    }
  }

  /** What cannot be read, or is not what was written, differs. */
  async #compare(m: MirrorMessage): Promise<Uint8Array> {
    const { start, end } = wholeBlocks(m.offset, m.length, this.#disk.sizeBytes);
    const { data, blocks } = await this.#parts.checked.check(start, end - start);
    const bytes = data.subarray(m.offset - start, m.offset - start + m.length);
    const differs = compare(bytes, m.data);
    for (const bad of runsOf(start, end - start, blocks, isBad)) {
      const first = Math.floor(Math.max(0, bad.offset - m.offset) / COMPARE_BLOCK_BYTES);
      const last = Math.floor((Math.min(m.offset + m.length, bad.offset + bad.length) - 1 - m.offset) / COMPARE_BLOCK_BYTES);
      differs.fill(1, first, last + 1);
    }
    for (const [i, d] of differs.entries()) {
      const at = i * COMPARE_BLOCK_BYTES;
      if (d === 0) await this.#parts.checked.learn(m.offset + at, bytes.subarray(at, at + COMPARE_BLOCK_BYTES));
    }
    return differs;
  }

  /** What the source has written, of whichever interval: from the disk, or what is on its way there. */
  async #present(offset: number, length: number): Promise<PresentRange> {
    const check = (o: number, l: number): Promise<CheckedRange> => this.#parts.checked.check(o, l);
    if (this.#replica) return await this.#replica.present(offset, length, check);
    const range = await check(offset, length);
    return { ...range, isPending: range.blocks.map(() => false) };
  }

  /** The source sends again what the disk here has lost. */
  async #repair(m: MirrorMessage, data: Uint8Array): Promise<void> {
    const rewrite = async (): Promise<void> => {
      await this.#parts.suspect(m.offset, m.length);
      const after = await this.#parts.checked.rewrite(m.offset, data);
      if (after.some(isBad)) throw new NotNow(`the block at ${m.offset} was rewritten on the partner's disk and still cannot be read`);
    };
    if (!this.#replica) await rewrite();
    else if (!(await this.#replica.repair(m.offset, m.length, rewrite)))
      throw new NotNow(`newer data for the block at ${m.offset} is on its way to the partner's disk`);
  }

  #answer(m: MirrorMessage, status: AnswerStatus, data?: Uint8Array): void {
    const header = encodeMessageHeader({
      kind: 'answer',
      fua: false,
      attachment: m.attachment,
      request: m.request,
      interval: 0,
      offset: 0,
      length: data?.length ?? 0,
      status,
    });
    if (data) this.#parts.send(header, data);
    else this.#parts.send(header);
  }
}

/** SHA-256 of each block. */
export function digests(bytes: Buffer): Buffer {
  const all = Buffer.alloc(Math.ceil(bytes.length / COMPARE_BLOCK_BYTES) * DIGEST_BYTES);
  for (let at = 0, i = 0; at < bytes.length; at += COMPARE_BLOCK_BYTES, i += DIGEST_BYTES) {
    digestOf(bytes.subarray(at, at + COMPARE_BLOCK_BYTES)).copy(all, i);
  }
  return all;
}

function compare(bytes: Buffer, theirs: Uint8Array): Uint8Array {
  const ours = digests(bytes);
  const differs = new Uint8Array(ours.length / DIGEST_BYTES);
  for (let i = 0; i < differs.length; i++) {
    const at = i * DIGEST_BYTES;
    differs[i] = ours.subarray(at, at + DIGEST_BYTES).equals(theirs.subarray(at, at + DIGEST_BYTES)) ? 0 : 1;
  }
  return differs;
}
