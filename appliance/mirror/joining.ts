// source: how the partner's copy joins this one. It is attached: from then on it gets every write. Then it is made equal, with what
// either may have written since they were equal, or as a whole (core/mirror.ts plans that).
//
//   solo --attach--> source --resync--> equal
import { randomInt } from 'node:crypto';
import { joining } from '../core/activity-log.ts';
import { type CopyState, isNew, planResync } from '../core/mirror.ts';
import { endResync } from '../core/mirror-orders.ts';
import { SUM_BLOCK_BYTES } from './block-sums.ts';
import type { MirrorMessage } from './messages.ts';
import type { MetadataTrouble } from './metadata.ts';
import { decodeCopy } from './metadata-codec.ts';
import type { OpenCopy } from './open-copy.ts';
import type { Orders } from './orders.ts';
import { Partner } from './partner.ts';
import { resync } from './resync.ts';
import type { MirrorSurroundings } from './surroundings.ts';
import { encodeVerify } from './verify-codec.ts';

/** Of blocks that a resync found lost: so many are told one by one, and named at its end. */
const LOST_NAMED = 5;
/** The partner answers `attach` when its earlier work has ended; a link may have to come up first. */
const ATTACH_TIMEOUT_MS = 10_000;
/**
 * The guest waits for the partner at most so long: well below what clients bear, well above what a disk takes that is only busy. A copy
 * that was dropped for it is made equal again, at the cost of what was written meanwhile.
 */
const ACKNOWLEDGE_MS = 4_000;
/** A disk that came to this pair with it. */
const NEW_HERE: readonly MetadataTrouble[] = ['blank', 'damaged', 'otherPair', 'otherDisk'];

export interface JoiningParts {
  around: MirrorSurroundings;
  orders: Orders;
  /** Of MirrorSetup. */
  acknowledgeMs: number | undefined;
}

export class Joining {
  readonly #parts: JoiningParts;
  readonly #acknowledgeMs: number;
  #attaching: Partner | undefined;
  /** What the attached partner's copy said of itself. */
  #theirs: CopyState | null = null;

  constructor(parts: JoiningParts) {
    this.#parts = parts;
    this.#acknowledgeMs = parts.acknowledgeMs ?? ACKNOWLEDGE_MS;
  }

  /** @param attached It agreed: the guest's writes go there too from now on. Throws if this copy is not alone any more. */
  async attach(o: OpenCopy, attached: (partner: Partner) => void): Promise<void> {
    const { around } = this.#parts;
    const { channel } = around;
    const interval = around.interval();
    if (interval !== 0) throw new Error(`startSource: the interval is ${interval}; it must be 0 until the partner's copy is equal`);
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      const why = (): string => (channel.isUp ? 'the partner does not answer' : 'no link to the partner is up');
      timer = setTimeout(() => reject(new Error(`startSource: ${why()}`)), ATTACH_TIMEOUT_MS);
    });
    try {
      // A partner that was started again is met with the old session first: that ends, and takes the request with it.
      for (;;) {
        const { promise: ended, resolve } = Promise.withResolvers<'ended'>();
        const partner = new Partner(
          channel,
          randomInt(1, 2 ** 32),
          (reason) => (o.guest.partner === partner ? around.emit('lost', { reason }) : resolve('ended')),
          this.#acknowledgeMs,
        );
        // Its answers are looked for from now on; the guest's writes go there only once the partner agreed.
        this.#attaching = partner;
        const answered = partner.attach(o.disk.sizeBytes);
        answered.catch(() => {});
        if ((await Promise.race([ended, answered, tooLate])) === 'ended') continue;
        const theirs = decodeCopy(Buffer.from(await answered), o.metadata.extents);
        attached(partner);
        joining(o.metadata.log);
        this.#theirs = theirs;
        return;
      }
    } finally {
      clearTimeout(timer);
      this.#attaching = undefined;
    }
  }

  /** The session in which it was asked has ended. */
  lose(reason: string): void {
    this.#attaching?.lose(reason);
  }

  /** Not shared yet: an `attach` that is under way fails. */
  giveUp(): void {
    this.#attaching?.release();
  }

  answered(m: MirrorMessage): void {
    if (this.#attaching?.attachment === m.attachment) this.#attaching.answered(m);
  }

  /** Answers when both are equal and flushed on both: as `resync` of api.ts. */
  async resync(o: OpenCopy, maximumBytesPerS: number | undefined): Promise<{ comparedBytes: number; copiedBytes: number; why: string }> {
    const { around, orders } = this.#parts;
    const { partner, lock } = o.guest;
    if (!partner) throw new Error('resync: there is no partner');
    const { metadata } = o;
    const theirs = this.#theirs;
    const plan = planResync(o.unknown === null ? metadata.state : null, theirs);
    this.#theirs = null;
    if (plan.kind === 'unrelated') throw new Error(`${plan.reason}: neither is copied over the other`);
    // A device that nothing names is new at every start.
    if (theirs && !isNew(theirs.record) && o.trouble !== null && NEW_HERE.includes(o.trouble))
      throw new Error(
        `nothing is recorded of the disk here (${o.unknown}), and the partner's copy is known: it is not copied over. Adopt the disk here if it is the right one`,
      );
    const isPart = plan.kind === 'source' || plan.kind === 'regions';
    const why = isPart
      ? `what either copy wrote since they were equal, ${plan.extents.size} of ${metadata.extents} extents`
      : `the whole disk, because ${o.unknown ?? ('reason' in plan ? plan.reason : 'the partner has the newer record')}`;
    const { record } = metadata;
    const isStill = (): boolean => o.guest.partner === partner && metadata.record.current === record.current;
    const lost: number[] = [];
    const done = await resync({
      disk: o.disk,
      rescue: (offset, length) => o.repair.readAround(offset, length),
      giveUp: async (blocks) => {
        const found = blocks.filter((at) => !o.quarantine.has(at));
        await o.quarantine.add(...found);
        for (const offset of found)
          if (lost.push(offset) <= LOST_NAMED) around.emit('blockUnreadable', { offset, lengthBytes: SUM_BLOCK_BYTES, side: 'own' });
      },
      partner,
      lock,
      maximumBytesPerS,
      watchWrites: (latencies) => {
        o.guest.latencies = latencies;
      },
      suspects: isPart ? { extents: plan.extents, extentBytes: metadata.extentBytes } : null,
      learn: (offset, data) => o.checked.learn(offset, data),
      end: async () => {
        // Before it counts as equal: whoever goes on alone must know what neither has.
        await tellQuarantine(o, partner);
        await orders.obey(o, endResync({ log: metadata.log, isStill }, record), partner);
      },
      onProgress: (p) => around.emit('resyncProgress', p),
    });
    if (isStill()) {
      o.unknown = null;
      o.trouble = null;
      // From here on what the guest heals is told to it (shared-quarantine.ts); before, it was not.
      o.equal = partner;
      await tellQuarantine(o, partner);
      void o.points.cuts.compareLists().catch(() => undefined);
    }
    return { ...done, why: `${why}${lostText(lost)}` };
  }
}

async function tellQuarantine(o: OpenCopy, partner: Partner): Promise<void> {
  await partner.ask({ kind: 'verify', data: encodeVerify({ kind: 'quarantine', offsets: o.quarantine.offsets }) });
}

function lostText(lost: readonly number[]): string {
  if (lost.length === 0) return '';
  const named = lost.slice(0, LOST_NAMED).sort((a, b) => a - b);
  const more = lost.length > named.length ? ` and ${lost.length - named.length} more` : '';
  return `; no copy has the blocks at bytes ${named.join(', ')}${more}: the guest gets an I/O error for them until it overwrites them`;
}
