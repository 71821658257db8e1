// The partner's requests, done on this copy while it is target or replica.
//
// target: every write goes to the disk at once. replica: to the Replica, by interval. A write of interval 0 that comes
// to a replica with journaled intervals means that the source left lockstep before this side did: it is neither
// refused nor acknowledged, it waits until `collapse` has made this copy a plain target.
import { createHash } from 'node:crypto';
import { type BlockStore, StoreError } from '../../drivers/block/index.ts';
import type { BlockReader, CheckedRange } from './block-reader.ts';
import {
  type AnswerStatus,
  COMPARE_BLOCK_BYTES,
  DIGEST_BYTES,
  encodeMessageHeader,
  MESSAGE_VERSION,
  type MirrorMessage,
} from './messages.ts';
import { bytesOf } from './patch-map.ts';
import { type Replica, spaceOf } from './replica.ts';
import { decodeVerify, digestOf, encodeVerified, VERIFY_BLOCK_BYTES } from './verify-codec.ts';

export interface FollowerParts {
  disk: BlockStore;
  send(...parts: Uint8Array[]): void;
  onError(e: StoreError): void;
  /** What is read from the disk may not be what it holds: nothing counts as equal before it was written again. */
  isDoubtful(): boolean;
  /** Whole blocks of the disk, with what is known of them. */
  reader: BlockReader;
  /** The source says which blocks wait for the operator. Durable when it ends. */
  quarantine(offsets: number[]): Promise<void>;
  /** A source attaches: durable when it ends. Answers what this copy knows of itself. */
  attached(): Promise<Uint8Array>;
  /** Made equal to the source, whose record this is: durable when it ends. */
  madeEqual(source: Buffer): Promise<void>;
  /** About a restore point. Rejects with the reason of a refusal. */
  cut(m: MirrorMessage): Promise<Uint8Array>;
}

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

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    this.#disk = parts.disk;
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
  }

  receive(m: MirrorMessage): void {
    const isLate = (m.kind === 'write' || m.kind === 'zero') && m.interval === 0 && this.#replica?.isJournaling;
    if (m.attachment === this.#attachment && (this.#collapsing || isLate)) {
      this.#deferred.push(m);
      return;
    }
    const work = this.#do(m);
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  async #do(m: MirrorMessage): Promise<void> {
    try {
      if (m.kind === 'attach') await this.#attach(m);
      else if (m.attachment === this.#attachment) {
        const data = await this.#perform(m);
        if (m.attachment === this.#attachment) this.#answer(m, 'ok', data);
      }
    } catch (e) {
      const error = e as Error;
      if (m.kind === 'attach' || m.kind === 'cut') this.#answer(m, 'refused', Buffer.from(error.message));
      else if (m.attachment === this.#attachment) this.#answer(m, 'failed', Buffer.from(error.message));
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

  async #perform(m: MirrorMessage): Promise<Uint8Array | undefined> {
    if (m.kind === 'cut') return await this.#parts.cut(m);
    if (m.offset + m.length > this.#disk.sizeBytes) throw new Error(`${m.length} bytes at ${m.offset} are outside of the partner's disk`);
    const replica = this.#replica;
    switch (m.kind) {
      case 'write':
      case 'zero': {
        const data = m.kind === 'write' ? m.data : undefined;
        if (replica) {
          if (data) await replica.write(m.interval, m.offset, data, m.fua);
          else await replica.zero(m.interval, m.offset, m.length, m.fua, m.release);
        } else {
          await (data ? this.#disk.write(m.offset, data) : this.#disk.zero(m.offset, m.length, spaceOf(m.release)));
          if (m.fua) await this.#disk.flush();
        }
        return undefined;
      }
      case 'flush':
        await (replica ?? this.#disk).flush();
        return undefined;
      case 'compare':
        if (replica) throw new Error('the partner is a replica: it cannot be compared');
        if (this.#parts.isDoubtful()) return new Uint8Array(m.data.length / DIGEST_BYTES).fill(1);
        return compare(await this.#disk.read(m.offset, m.length), m.data);
      case 'synced':
        if (replica) throw new Error('the partner is a replica already');
        await this.#disk.flush();
        if (m.attachment !== this.#attachment) return undefined;
        await this.#parts.madeEqual(m.data as Buffer);
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

  async #verify(m: MirrorMessage): Promise<Uint8Array | undefined> {
    const request = decodeVerify(m.data);
    switch (request.kind) {
      case 'quarantine':
        await this.#parts.quarantine(request.offsets);
        return undefined;
      case 'fetch':
        return (await this.#asWritten(m.offset, m.length)).data;
      case 'compare': {
        const { data, blocks, isPending } = await this.#asWritten(m.offset, m.length);
        const isClean = blocks.every((b) => b === 'fits' || b === 'unknown');
        if (isClean && digestOf(data).equals(request.digest)) {
          if (!isPending.includes(true)) await this.#parts.reader.learn(m.offset, data);
          return encodeVerified(null);
        }
        const answer = blocks.map((condition, i) => {
          const bytes = data.subarray(i * VERIFY_BLOCK_BYTES, (i + 1) * VERIFY_BLOCK_BYTES);
          return { condition, isPending: isPending[i] ?? false, digest: digestOf(bytes) };
        });
        return encodeVerified(answer);
      }
      default:
        throw new Error(`unknown ${JSON.stringify(request satisfies never)}`);
    }
  }

  /** The blocks as the source has written them: from the disk, or what is on its way there. */
  async #asWritten(offset: number, length: number): Promise<CheckedRange & { isPending: boolean[] }> {
    const pieces = this.#replica?.primaryPieces(offset, length) ?? [];
    const { data, blocks } = await this.#parts.reader.check(offset, length);
    const isPending = blocks.map(() => false);
    for (const p of pieces) {
      const bytes = await bytesOf(p);
      if (bytes) data.set(bytes, p.start - offset);
      else data.fill(0, p.start - offset, p.end - offset);
      for (let at = p.start - (p.start % VERIFY_BLOCK_BYTES); at < p.end; at += VERIFY_BLOCK_BYTES)
        isPending[Math.max(0, Math.floor((at - offset) / VERIFY_BLOCK_BYTES))] = true;
    }
    return { data, blocks, isPending };
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
    createHash('sha256')
      .update(bytes.subarray(at, at + COMPARE_BLOCK_BYTES))
      .digest()
      .copy(all, i);
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
