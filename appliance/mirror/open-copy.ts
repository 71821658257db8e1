// One copy of the guest's disk while it is open: what it consists of, how its parts hang together, and how it is closed.
//
//   engine -- guest -+- quarantine      partner's messages -- follower
//                    +- repair            scrub    points
//                    +-------- all through the checked disk and the lock of the guest's disk
//
// The parts know each other only by what they are given here. mirror.ts says what is done with the whole, and when.
import { dirname, join } from 'node:path';
import type { BlockStore } from '../../drivers/block/index.ts';
import { becomeEqual, follow } from '../core/mirror-orders.ts';
import type { MirrorSetup } from './api.ts';
import { SUM_BLOCK_BYTES } from './block-sums.ts';
import type { CheckedStore } from './checked-store.ts';
import { openFiles, removeScratch } from './copy-files.ts';
import type { DoubtfulDisk } from './doubtful-disk.ts';
import { Follower } from './follower.ts';
import { GuestDisk } from './guest-disk.ts';
import { HalfLost } from './half-lost.ts';
import type { Journal } from './journal.ts';
import type { Metadata, MetadataTrouble } from './metadata.ts';
import { decodeCopy, encodeCopy } from './metadata-codec.ts';
import type { Orders } from './orders.ts';
import type { Partner } from './partner.ts';
import { Quarantine } from './quarantine.ts';
import { Repair } from './repair.ts';
import type { Replica } from './replica.ts';
import type { PointsStatus } from './restore-points/api.ts';
import { PointService } from './restore-points/point-service.ts';
import { Scrub } from './scrub.ts';
import type { SharedQuarantine } from './shared-quarantine.ts';
import { endsWithin } from './stuck-requests.ts';
import type { MirrorSurroundings } from './surroundings.ts';
import type { WatchedFiles } from './watched-files.ts';
import type { WatchedStore } from './watched-store.ts';

/** A disk of 1 TiB is compared in 15 hours, once a week. */
const SCRUB = { rateBytesPerS: 20 * 1024 * 1024, everyHours: 168 };
const SCRUB_LOOK_MS = 60_000;

/** What is open from `open` to `close`. */
export interface OpenCopy {
  disk: BlockStore;
  watched: WatchedStore;
  /** What lies beside the disk. */
  files: WatchedFiles;
  checked: CheckedStore;
  repair: Repair;
  doubtful: DoubtfulDisk;
  quarantine: Quarantine;
  scrub: Scrub;
  scrubbing: NodeJS.Timeout;
  /** The partner whose copy was made equal to this one. */
  equal?: Partner;
  /** Which blocks are in quarantine, as the source said last. */
  listed?: readonly number[];
  journal: Journal;
  metadata: Metadata;
  /** Why nothing was known of the disk when it was opened; null: it was. */
  unknown: string | null;
  /** What made it so: it may say that this copy must not be copied from. */
  trouble: MetadataTrouble | null;
  guest: GuestDisk;
  follower: Follower;
  points: PointService;
  replica: Replica | undefined;
}

/** The mirror whose copy it is. */
export interface CopyOwner {
  orders: Orders;
  quarantine: SharedQuarantine;
  /** The copy, from the end of its opening to the beginning of its closing. */
  opened(): OpenCopy | undefined;
  /** Whose copy equals this one, or why there is none. */
  equalPartner(): Partner | string;
  pointsKnown(s: PointsStatus): void;
  report(e: Error): void;
}

/** What the journal held, in bytes, and notes for the operator: as in api.ts. */
export interface Opening {
  committed: number;
  replayed: number;
  discarded: number;
  notes: string[];
}

/** Rejects with nothing left open. serves: as in `open` of api.ts. */
export async function openCopy(
  setup: MirrorSetup,
  around: MirrorSurroundings,
  serves: boolean,
  owner: CopyOwner,
): Promise<{ opened: OpenCopy; opening: Opening }> {
  const files = await openFiles(setup, around, serves, owner.report);
  const { disk, watched, checked, points, doubtful, metadata, unknown, trouble, journal, recovered, notes } = files;
  const { orders, quarantine: shared } = owner;
  try {
    const onError = (e: Error): void => owner.report(e);
    const quarantine = await Quarantine.open(`${setup.journalPath}.quarantine`, () => shared.announce(), around.holds?.quarantineMs);
    const guest = new GuestDisk({
      quarantine,
      healed: (offset, length) => void shared.lift(offset, length),
      disk,
      metadata,
      interval: around.interval,
      onError,
      isWriteThrough: setup.isWriteThrough ?? false,
      written: () => void orders.settle(owner.opened()),
      prepare: (offset, length) => checked.prepare(offset, length),
      aloneErrorHoldMs: around.holds?.aloneErrorMs,
      // No error of a store: as a whole.
      onReplicaOver: (e) => onError(new Error(e.message)),
      rescue: (e, offset, length, replica) => {
        return replica ? follower.reads.rescue(replica, offset, length) : repair.rescue(e, offset, length);
      },
    });
    const repair = new Repair({
      checked,
      lock: guest.lock,
      metadata,
      partner: () => guest.partner,
      interval: around.interval,
      onError,
      isQuarantined: (offset) => quarantine.has(offset),
      emit: around.emit,
      repaired: (r) => around.emit('repaired', { ...r, foundBy: scrub.settled(r.offset, r.lengthBytes, true) ? 'comparison' : 'read' }),
    });
    const halfLost = new HalfLost((offset) => (guest.partner ? repair.heal(offset) : follower.reads.heal(offset)));
    checked.onHalfLost = (offset) => halfLost.found(offset);
    points.recall = (offset, length) => repair.recall(offset, length);
    const follower = new Follower({
      disk,
      checked,
      suspect: (offset, length) => metadata.suspectRanges([{ start: offset, end: offset + length }]),
      onLost: (offset) => around.emit('blockUnreadable', { offset, lengthBytes: SUM_BLOCK_BYTES, side: 'own' }),
      send: (...parts) => void around.channel.send(...parts),
      onError,
      isDoubtful: () => doubtful.why !== null,
      quarantine: (offsets) => shared.follow(offsets),
      overwritten: (offset, length) => shared.overwritten(offset, length),
      attached: async () => {
        await orders.obey(opened, follow());
        return encodeCopy(metadata.record, metadata.log.suspects, metadata.extents);
      },
      madeEqual: async (bytes, isStill) => {
        const source = decodeCopy(bytes, 0);
        if (!source) throw new Error('the partner sent no record of its copy: do both CoServers run the same version?');
        await orders.obey(opened, becomeEqual({ log: metadata.log, isStill }, source.record));
        // Not attached any more: it is not equal.
        if (metadata.record.inconsistent) return;
        Object.assign(opened, { unknown: null, trouble: null });
        await doubtful.trust();
      },
      cut: (m) => service.asked(m),
    });
    const scrub = await Scrub.open({
      sizeBytes: disk.sizeBytes,
      reader: checked,
      lock: guest.lock,
      partner: () => owner.equalPartner(),
      isQuarantined: (offset) => quarantine.hasWhole(offset, SUM_BLOCK_BYTES),
      ...(setup.scrub ?? SCRUB),
      path: `${setup.journalPath}.scrub`,
      onDiffer: (offset, fits) => around.emit('copiesDiffer', { offset, fits }),
      onUnreadable: (offset, side) => around.emit('blockUnreadable', { offset, lengthBytes: SUM_BLOCK_BYTES, side }),
      // The bytes stay as they are: nothing for a restore point to keep. Else as a write of the guest.
      renew: (offset, data) =>
        repair.renew(offset, data).catch(async () => {
          while (!(await guest.rewrite(offset, data))) {
            // A checkpoint came in between: the bytes are the same in every interval.
          }
        }),
      onChanged: () => shared.announce(),
      onEnded: (view) => around.emit('scrubEnded', view),
    });
    const scrubbing = setInterval(() => scrub.look(), SCRUB_LOOK_MS);
    scrubbing.unref();
    const service = new PointService({
      points,
      guest,
      metadata,
      directory: join(dirname(setup.socketPath), 'points'),
      interval: around.interval,
      isEqual: () => follower.isEqual,
      replica: () => owner.opened()?.replica,
      onStatus: (s) => {
        owner.pointsKnown(s);
        around.emit('points', s);
      },
      onProgress: (p) => around.emit('rollBackProgress', p),
    });
    const opened: OpenCopy = {
      disk,
      watched,
      files: files.files,
      checked,
      repair,
      doubtful,
      quarantine,
      scrub,
      scrubbing,
      journal,
      metadata,
      unknown,
      trouble,
      guest,
      follower,
      points: service,
      replica: undefined,
    };
    const { committed, replayed, discarded } = recovered;
    return { opened, opening: { committed, replayed, discarded, notes } };
  } catch (e) {
    await Promise.allSettled(files.stores.map((s) => s.close()));
    await doubtful.settled();
    throw e;
  }
}

/** Nobody is served any more, and nobody asks. What is not done is done at the next `open`. */
export async function closeCopy(setup: MirrorSetup, o: OpenCopy, report: (e: Error) => void): Promise<void> {
  try {
    // It keeps also what no checkpoint covers: with it the content of what the guest overwrote.
    const { replica } = o;
    const filled = replica ? o.quarantine.offsets.filter((at) => replica.isFilled(at, SUM_BLOCK_BYTES, Infinity)) : [];
    await replica?.stop();
    for (const at of filled) await o.quarantine.lift(at, SUM_BLOCK_BYTES);
    await o.disk.flush();
  } catch (e) {
    report(e as Error);
  }
  await Promise.allSettled([
    o.quarantine.close(),
    o.journal.close(),
    o.metadata.close(),
    o.disk.close(),
    endsWithin(`${setup.journalPath}.scratch`, removeScratch(setup)),
  ]);
  await o.doubtful.settled();
}
