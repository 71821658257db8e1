// One copy of the guest's disk: its modes, and what may follow what. api.ts says what each command means.
//
//   closed -> solo <-> source          (the guest runs here)
//   closed -> target -> replica -> solo        (the partner is the source; the last step is a takeover; level 2 stays a target)
//                  ^------ collapse                            any -> closed
import { randomInt } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type BlockStore, type FileStoreOptions, StoreError } from '../../drivers/block/index.ts';
import type { Channel } from '../../drivers/link/index.ts';
import { NbdServer } from '../../drivers/nbd/index.ts';
import { isCrowded, joining } from '../core/activity-log.ts';
import { type CopyState, isNew, planResync } from '../core/mirror.ts';
import {
  becomeEqual,
  coolDown,
  endResync,
  follow,
  goAlone,
  type MirrorOrder,
  type MirrorStep,
  merge,
  rewriteAlone,
  serveAlone,
} from '../core/mirror-orders.ts';
import type { BlockSide, CommitCommands, MirrorCommands, MirrorEvents, MirrorMode, MirrorSetup, MirrorStatus } from './api.ts';
import { SUM_BLOCK_BYTES } from './block-sums.ts';
import type { CheckedStore } from './checked-store.ts';
import { identifyDisk, isMissing, pairName } from './disk-identity.ts';
import { openDiskStack } from './disk-stack.ts';
import { DoubtfulDisk } from './doubtful-disk.ts';
import { Follower } from './follower.ts';
import { GuestDisk } from './guest-disk.ts';
import { blankSegments, Journal } from './journal.ts';
import { decodeMessage, encodeMessageHeader, type MirrorMessage } from './messages.ts';
import { type DiskIdentity, METADATA_BYTES, type Metadata, type MetadataScale, type MetadataTrouble, newGeneration } from './metadata.ts';
import { decodeCopy, encodeCopy } from './metadata-codec.ts';
import { adoptDisk, openRecord, refuseMissing } from './own-record.ts';
import { Partner } from './partner.ts';
import { blockStart, Quarantine } from './quarantine.ts';
import { Repair, rescued } from './repair.ts';
import { Replica, writeRuns } from './replica.ts';
import { DEFAULT_POINTS, type PointsStatus } from './restore-points/api.ts';
import { PointService } from './restore-points/point-service.ts';
import { resync } from './resync.ts';
import { Scrub } from './scrub.ts';
import { encodeVerify } from './verify-codec.ts';
import { SilentDiskError, stuckRequests, type WatchedStore } from './watched-store.ts';

/** Of one journal segment, sparse. Reached only when no checkpoint is committed while this much is written: then protection ends. */
const SEGMENT_BYTES = 1024 * 1024 * 1024;
/** Of the overlay's scratch file, sparse: what the secondary may write between two checkpoints. */
const SCRATCH_BYTES = 4 * 1024 * 1024 * 1024;
/** The partner answers `attach` when its earlier work has ended; a link may have to come up first. */
const ATTACH_TIMEOUT_MS = 10_000;
/**
 * The guest waits for the partner at most so long: well below what clients bear, well above what a disk takes that is only busy. A copy
 * that was dropped for it is made equal again, at the cost of what was written meanwhile.
 */
const ACKNOWLEDGE_MS = 4_000;
/** A disk of 1 TiB is compared in 15 hours, once a week. */
const SCRUB = { rateBytesPerS: 20 * 1024 * 1024, everyHours: 168 };
const SCRUB_LOOK_MS = 60_000;
/** Whether the next checkpoint is committed. */
const COMMIT_LOOK_MS = 100;
/** Nobody chooses more blocks than these one by one. */
const TOLD_BLOCKS = 100;
/** A request of the disk that takes longer is shown. */
const LATE_MS = 1_000;
/** Between two attempts to let extents cool down: while nothing is committed, none can. */
const SETTLE_PAUSE_MS = 1_000;
const MENDED = 'one of the two records of the disk here was damaged: it is written again';
/** A disk that came to this pair with it. */
const NEW_HERE: readonly MetadataTrouble[] = ['blank', 'damaged', 'otherPair', 'otherDisk'];

export interface MirrorSurroundings {
  channel: Channel;
  /** The present checkpoint interval. */
  interval(): number;
  openStore(options: FileStoreOptions): Promise<BlockStore>;
  scale?: MetadataScale;
  emit<K extends keyof MirrorEvents>(name: K, data: MirrorEvents[K]): void;
}

type Opening = Awaited<ReturnType<MirrorCommands['open']>>;

/** What is open from `open` to `close`. */
interface Opened {
  disk: BlockStore;
  watched: WatchedStore;
  checked: CheckedStore;
  repair: Repair;
  doubtful: DoubtfulDisk;
  quarantine: Quarantine;
  scrub: Scrub;
  scrubbing: NodeJS.Timeout;
  /** The partner whose copy was made equal to this one. */
  equal?: Partner;
  /** Which blocks wait, as the source said last. */
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
  server: NbdServer | undefined;
  replica: Replica | undefined;
}

export class Mirror {
  readonly #setup: MirrorSetup;
  readonly #around: MirrorSurroundings;
  readonly #channel: Channel;
  #mode: MirrorMode = 'closed';
  #opened: Opened | undefined;
  #committed = 0;
  #attaching: Partner | undefined;
  /** What the attached partner's copy said of itself. */
  #theirs: CopyState | null = null;
  /** Of the restore points, as they were known last. */
  #points: PointsStatus | null = null;
  #settling = false;
  #settledMs = -Infinity;
  /** The export before there is a disk behind it. */
  #awaited: Promise<NbdServer | undefined> = Promise.resolve(undefined);
  /** One command that changes the mode at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(setup: MirrorSetup, around: MirrorSurroundings) {
    this.#setup = setup;
    this.#around = around;
    this.#channel = around.channel;
    if (setup.isAwaited) this.#awaited = this.#listenEarly();
    this.#channel.on('message', (bytes) => this.#received(bytes));
    this.#channel.on('drain', () => this.#opened?.guest.partner?.drained());
    this.#channel.on('up', () => around.emit('channel', { up: true }));
    this.#channel.on('down', () => around.emit('channel', { up: false }));
    this.#channel.on('reset', (reason) => {
      this.#opened?.follower.detach();
      if (this.#mode === 'target' || this.#mode === 'replica') void this.#opened?.points.cuts.partnerGone();
      this.#attaching?.lose(`the disk stream's session ended: ${reason}`);
      this.#opened?.guest.partner?.lose(`the disk stream's session ended: ${reason}`);
    });
  }

  /** What `serve` offers to the main thread. */
  get commands(): MirrorCommands {
    return {
      open: (a) => this.#inTurn(() => this.#open(a.serves ?? false)),
      adopt: () => this.#inTurn(() => this.#adopt()),
      serveSolo: () => this.#inTurn(() => this.#serveSolo()),
      startSource: () => this.#inTurn(() => this.#startSource()),
      resync: (a) => this.#resync(a.maximumBytesPerS),
      startTarget: () => this.#inTurn(() => this.#startTarget()),
      confirmEqual: () => void this.#equalTarget('confirmEqual'),
      startReplica: () => this.#inTurn(() => this.#startReplica()),
      goSolo: async () => this.#goSolo(),
      takeOver: () => this.#inTurn(() => this.#takeOver()),
      collapse: () => this.#inTurn(() => this.#collapse()),
      close: () => {
        // What takes long is finished at the next start.
        this.#opened?.points.stop();
        return this.#inTurn(() => this.#close());
      },
      takePoint: (a) => this.#openPoints('takePoint').take(a),
      removePoint: ({ name }) => this.#openPoints('removePoint').remove(name),
      listPoints: async () => this.#opened?.points.status() ?? this.#points,
      exportPoint: ({ name }) => this.#openPoints('exportPoint').export(name),
      endPointExport: async ({ name }) => this.#opened?.points.endExport(name),
      rollBack: (a) => this.#inTurn(() => this.#rollBack(a)),
      quarantineBlock: ({ offset }) => this.#quarantineBlock(offset),
      chooseBlock: (a) => this.#chooseBlock(a.offset, a.keep),
      startScrub: async () => this.#scrub('startScrub').start(),
      stopScrub: async () => await this.#scrub('stopScrub').stop(),
      repairBlock: ({ offset, from }) => this.#need('repairBlock', 'source').repair.block(offset, from),
      linkVerdict: ({ link, up }) => this.#channel.linkVerdict(link, up),
      status: () => this.status(),
    };
  }

  /** What it offers to the memory stream. */
  get commitCommands(): CommitCommands {
    return {
      decide: ({ interval }) => this.#reporting(this.#replica('decide').decide(interval)),
      apply: async ({ interval }) => {
        await this.#replica('apply').apply(interval);
        this.#committed = interval;
      },
    };
  }

  status(): MirrorStatus {
    const o = this.#opened;
    const lateMs = Math.round(o?.watched.oldestMs ?? 0);
    return {
      mode: this.#mode,
      pendingWrites: o?.guest.partner?.pending ?? 0,
      oldestPendingMs: Math.round(o?.guest.partner?.oldestPendingMs(performance.now()) ?? 0),
      journalBytes: o?.journal.bytes ?? 0,
      overlayBytes: o?.replica?.overlayBytes ?? 0,
      reads: o?.guest.reads ?? 0,
      writes: o?.guest.writes ?? 0,
      flushes: o?.guest.flushes ?? 0,
      writtenBytes: o?.guest.writtenBytes ?? 0,
      committed: this.#committed,
      lateMs: lateMs >= LATE_MS ? lateMs : 0,
      doubt: o?.doubtful.why ?? null,
      stuckRequests: stuckRequests(),
      sizeBytes: o?.disk.sizeBytes ?? 0,
      scrub: o?.scrub.view ?? null,
    };
  }

  async #open(serves: boolean): Promise<Opening> {
    if (this.#opened) return { committed: this.#committed, replayed: 0, discarded: 0, notes: [] };
    const { setup, openStore } = { setup: this.#setup, openStore: this.#around.openStore };
    const stores: BlockStore[] = [];
    const store = async (path: string, sizeBytes: number): Promise<BlockStore> => {
      const s = await openStore({ path, sizeBytes });
      stores.push(s);
      return s;
    };
    try {
      const created = await isMissing(setup.diskPath);
      if (created && serves) throw refuseMissing(setup.diskPath);
      const doubtful = await DoubtfulDisk.open(`${setup.journalPath}.doubtful`);
      const {
        disk,
        watched,
        checked,
        points,
        notes: ofMedium,
      } = await openDiskStack({
        openStore,
        path: setup.diskPath,
        sizeBytes: setup.sizeBytes,
        cache: setup.cache ?? 'buffered',
        ...(setup.timeoutMs === undefined ? {} : { timeoutMs: setup.timeoutMs }),
        onFailed: (e) => {
          this.#report(e);
          doubtful.doubt(e.message).catch((e2: Error) => this.#report(e2));
        },
        sums: {
          path: this.#sumsPath,
          identify: () => this.#identity(),
          onUnknown: (reason) => this.#around.emit('sumsUnknown', { reason }),
        },
        pointsPath: `${setup.journalPath}.points`,
        points: setup.points ?? DEFAULT_POINTS,
        told: (text) => this.#around.emit('pointNews', { text }),
      });
      stores.push(disk);
      const record = await store(this.#recordPath, METADATA_BYTES);
      const segments = [
        await store(`${setup.journalPath}.0`, SEGMENT_BYTES),
        await store(`${setup.journalPath}.1`, SEGMENT_BYTES),
      ] as const;
      const forgetJournal = (): Promise<void> => blankSegments(segments);
      const known = { path: setup.diskPath, disk, record, identity: await this.#identity(), created, serves, forgetJournal };
      const { metadata, unknown, trouble, mended } = await openRecord(known);
      // Whoever changes the disk by hand removes its record: what it held before is not what belongs there.
      if (trouble !== null) await checked.forget();
      const notes = [
        ...ofMedium,
        ...(unknown === null || trouble === 'blank' ? [] : [`nothing is known of the disk here: ${unknown}`]),
        ...(mended ? [MENDED] : []),
      ];
      const { journal, recovered } = await Journal.open(segments, disk.sizeBytes);
      if (!recovered.patches.isEmpty) {
        await writeRuns(disk, recovered.patches.runs());
        await disk.flush();
      }
      await journal.reset();
      this.#committed = recovered.committed;
      const onError = (e: Error): void => this.#report(e);
      const quarantine = await Quarantine.open(`${setup.journalPath}.quarantine`, () => this.#tellCopies());
      const guest = new GuestDisk({
        quarantine,
        healed: (offset, length) => void this.#lift(offset, length),
        disk,
        metadata,
        interval: this.#around.interval,
        onError,
        isWriteThrough: setup.isWriteThrough ?? false,
        written: () => void this.#settle(),
        prepare: (offset, length) => checked.prepare(offset, length),
        rescue: (e, offset, length, replica) => {
          return replica ? follower.rescue(replica, offset, length) : repair.rescue(e, offset, length);
        },
      });
      const repair = new Repair({
        checked,
        lock: guest.lock,
        metadata,
        partner: () => guest.partner,
        interval: this.#around.interval,
        onError,
        emit: (name, data) => {
          if (name === 'repaired') this.#opened?.scrub.repaired();
          this.#around.emit(name, data);
        },
      });
      points.recall = (offset, length) => repair.recall(offset, length);
      const follower = new Follower({
        disk,
        checked,
        suspect: (offset, length) => metadata.suspectRanges([{ start: offset, end: offset + length }]),
        onLost: (offset) => this.#around.emit('blockUnreadable', { offset, lengthBytes: SUM_BLOCK_BYTES, side: 'own' }),
        send: (...parts) => void this.#channel.send(...parts),
        onError,
        isDoubtful: () => doubtful.why !== null,
        quarantine: (offsets) => this.#followQuarantine(offsets),
        attached: async () => {
          await this.#obey(opened, follow());
          return encodeCopy(metadata.record, metadata.log.suspects, metadata.extents);
        },
        madeEqual: async (bytes, isStill) => {
          const source = decodeCopy(bytes, 0);
          if (!source) throw new Error('the partner sent no record of its copy: do both CoServers run the same version?');
          await this.#obey(opened, becomeEqual({ log: metadata.log, isStill }, source.record));
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
        partner: () => this.#equalPartner(),
        isQuarantined: (offset) => quarantine.hasWhole(offset, SUM_BLOCK_BYTES),
        ...(setup.scrub ?? SCRUB),
        path: `${setup.journalPath}.scrub`,
        onDiffer: (offset, fits) => this.#around.emit('copiesDiffer', { offset, fits }),
        onUnreadable: (offset, side) => this.#around.emit('blockUnreadable', { offset, lengthBytes: SUM_BLOCK_BYTES, side }),
        // The bytes stay as they are: nothing for a restore point to keep. Else as a write of the guest.
        renew: (offset, data) => repair.renew(offset, data).catch(() => guest.rewrite(offset, data)),
        onChanged: () => this.#tellCopies(),
      });
      const scrubbing = setInterval(() => scrub.look(), SCRUB_LOOK_MS);
      scrubbing.unref();
      const service = new PointService({
        points,
        guest,
        metadata,
        directory: join(dirname(setup.socketPath), 'points'),
        interval: this.#around.interval,
        isEqual: () => follower.isEqual,
        replica: () => this.#opened?.replica,
        onStatus: (s) => {
          this.#points = s;
          this.#around.emit('points', s);
        },
        onProgress: (p) => this.#around.emit('rollBackProgress', p),
      });
      const opened: Opened = {
        disk,
        watched,
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
        server: undefined,
        replica: undefined,
      };
      this.#opened = opened;
      this.#points = service.status();
      this.#tellCopies();
      return { committed: recovered.committed, replayed: recovered.replayed, discarded: recovered.discarded, notes };
    } catch (e) {
      await Promise.allSettled(stores.map((s) => s.close()));
      throw e;
    }
  }

  async #serveSolo(): Promise<void> {
    const o = await this.#closedNow('serveSolo');
    if (o.metadata.record.inconsistent)
      throw new Error('serveSolo: this copy is not whole: it was being made equal to the partner, and that has not ended');
    await this.#obey(o, serveAlone(o.metadata.log, newGeneration()));
    this.#mode = 'solo';
  }

  async #startSource(): Promise<void> {
    const o = this.#need('startSource', 'solo');
    const interval = this.#around.interval();
    if (interval !== 0) throw new Error(`startSource: the interval is ${interval}; it must be 0 until the partner's copy is equal`);
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      const why = (): string => (this.#channel.isUp ? 'the partner does not answer' : 'no link to the partner is up');
      timer = setTimeout(() => reject(new Error(`startSource: ${why()}`)), ATTACH_TIMEOUT_MS);
    });
    try {
      // A partner that was started again is met with the old session first: that ends, and takes the request with it.
      for (;;) {
        const { promise: ended, resolve } = Promise.withResolvers<'ended'>();
        const partner = new Partner(
          this.#channel,
          randomInt(1, 2 ** 32),
          (reason) => (o.guest.partner === partner ? this.#around.emit('lost', { reason }) : resolve('ended')),
          this.#setup.acknowledgeMs ?? ACKNOWLEDGE_MS,
        );
        // Its answers are looked for from now on; the guest's writes go there only once the partner agreed.
        this.#attaching = partner;
        const attached = partner.attach(o.disk.sizeBytes);
        attached.catch(() => {});
        // Both, if the session ended with the answer: nobody would hear of that loss again.
        if ((await Promise.race([ended, attached, tooLate])) === 'ended' || partner.isLost) continue;
        const theirs = decodeCopy(Buffer.from(await attached), o.metadata.extents);
        this.#need('startSource', 'solo').guest.partner = partner;
        joining(o.metadata.log);
        this.#theirs = theirs;
        this.#mode = 'source';
        return;
      }
    } finally {
      clearTimeout(timer);
      this.#attaching = undefined;
    }
  }

  async #resync(maximumBytesPerS: number | undefined): Promise<{ comparedBytes: number; copiedBytes: number; why: string }> {
    const o = this.#need('resync', 'source');
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
    const done = await resync({
      // Under the lock of the extent.
      disk: rescued(o.disk, (offset, length) => o.repair.readLocked(offset, length)),
      partner,
      lock,
      maximumBytesPerS,
      watchWrites: (latencies) => {
        o.guest.latencies = latencies;
      },
      suspects: isPart ? { extents: plan.extents, extentBytes: metadata.extentBytes } : null,
      learn: (offset, data) => o.checked.learn(offset, data),
      end: () => this.#obey(o, endResync({ log: metadata.log, isStill }, record), partner),
      onProgress: (p) => this.#around.emit('resyncProgress', p),
    });
    if (isStill()) {
      o.unknown = null;
      o.trouble = null;
      await partner.ask({ kind: 'verify', data: encodeVerify({ kind: 'quarantine', offsets: o.quarantine.offsets }) });
      o.equal = partner;
      void o.points.cuts.compareLists().catch(() => undefined);
    }
    return { ...done, why };
  }

  async #startTarget(): Promise<void> {
    await (await this.#takeEarly())?.close();
    const o = await this.#closedNow('startTarget');
    await this.#reporting(o.doubtful.test(o.watched));
    await o.points.forgetRollBack();
    this.#mode = 'target';
  }

  async #startReplica(): Promise<void> {
    const o = this.#equalTarget('startReplica');
    const replica = new Replica({
      disk: o.disk,
      journal: o.journal,
      openScratch: async () => {
        await rm(this.#scratchPath, { force: true });
        return await this.#around.openStore({ path: this.#scratchPath, sizeBytes: SCRATCH_BYTES });
      },
      merging: async (runs) => {
        await this.#obey(o, merge(o.metadata.log, newGeneration(), o.metadata.extentsOf(runs)));
      },
      onError: (e) => this.#report(e),
    });
    this.#committed = 0;
    o.guest.replica = replica;
    o.replica = replica;
    o.follower.follow(replica);
    try {
      await this.#export(o);
    } catch (e) {
      o.guest.replica = undefined;
      o.replica = undefined;
      throw e;
    }
    this.#mode = 'replica';
  }

  async #goSolo(): Promise<{ released: number }> {
    if (this.#mode === 'solo') {
      // Not shared yet: a `startSource` that is under way fails.
      this.#attaching?.release();
      return { released: 0 };
    }
    const o = this.#need('goSolo', 'source');
    const { partner } = o.guest;
    const isStill = (): boolean => this.#opened === o && o.guest.partner === partner;
    const order = goAlone({ log: o.metadata.log, isStill }, newGeneration());
    return { released: await this.#reporting(this.#obey(o, order)) };
  }

  async #takeOver(): Promise<{ committed: number; discardedBytes: number; mergedBytes: number }> {
    const o = this.#need('takeOver', 'replica');
    const replica = this.#replica('takeOver');
    await replica.settle();
    o.follower.detach();
    const { promise, resolve } = Promise.withResolvers<void>();
    o.guest.gate = promise;
    // If it fails, the disk or the journal is broken: the guest's writes stay where they are, this copy must not serve.
    const result = await this.#reporting(replica.takeOver());
    o.guest.replica = undefined;
    o.replica = undefined;
    o.guest.gate = undefined;
    this.#mode = 'solo';
    resolve();
    await o.points.cuts.partnerGone();
    await rm(this.#scratchPath, { force: true });
    return result;
  }

  async #collapse(): Promise<{ appliedBytes: number }> {
    const o = this.#need('collapse', 'replica');
    await o.server?.close();
    o.server = undefined;
    let appliedBytes = 0;
    await o.follower.collapse(async (replica) => {
      appliedBytes = await replica.collapse();
    });
    o.guest.replica = undefined;
    o.replica = undefined;
    this.#mode = 'target';
    await rm(this.#scratchPath, { force: true });
    return { appliedBytes };
  }

  /** Of a disk that nobody uses; the record says from the first write on that the partner does not have it. */
  async #rollBack({ name, takenAt }: { name: string; takenAt: number }): Promise<{ before: string; writtenBytes: number }> {
    const o = await this.#closedNow('rollBack');
    return await this.#reporting(o.points.rollBack(name, takenAt, () => this.#obey(o, rewriteAlone(o.metadata.log, newGeneration()))));
  }

  #openPoints(command: string): PointService {
    if (!this.#opened) throw new Error(`${command}: the disk is not open here`);
    return this.#opened.points;
  }

  async #close(): Promise<void> {
    await (await this.#takeEarly())?.close();
    const o = this.#opened;
    if (!o) return;
    clearInterval(o.scrubbing);
    await o.points.close();
    this.#points = o.points.status();
    await o.server?.close();
    o.follower.detach();
    const { partner } = o.guest;
    o.guest.partner = undefined;
    // Planned, so nobody is told: but whoever still asks it gets an end.
    partner?.lose('this copy is closed');
    await o.scrub.close();
    this.#channel.reset();
    this.#mode = 'closed';
    this.#opened = undefined;
    try {
      await o.replica?.stop();
      await o.disk.flush();
    } catch (e) {
      this.#report(e as Error);
    }
    await Promise.allSettled([
      o.quarantine.close(),
      o.journal.close(),
      o.metadata.close(),
      o.disk.close(),
      rm(this.#scratchPath, { force: true }),
    ]);
    await o.doubtful.settled();
  }

  /** The operator's word: the disk that is there is this pair's from now on, whatever was recorded. */
  async #adopt(): Promise<void> {
    if (this.#opened) throw new Error(`adopt: this copy is in use ('${this.#mode}')`);
    const { diskPath, sizeBytes, journalPath } = this.#setup;
    const { openStore } = this.#around;
    if (await isMissing(diskPath)) throw refuseMissing(diskPath);
    await rm(this.#sumsPath, { force: true });
    // Points of what was there before would read what is there now.
    await rm(`${journalPath}.points`, { force: true });
    const { disk } = await openDiskStack({
      openStore,
      path: diskPath,
      sizeBytes,
      onFailed: (e) => this.#report(e),
      pointsPath: `${journalPath}.points`,
      points: this.#setup.points ?? DEFAULT_POINTS,
      told: () => undefined,
    });
    const stores = [disk];
    try {
      for (const end of ['.0', '.1']) stores.push(await openStore({ path: `${journalPath}${end}`, sizeBytes: SEGMENT_BYTES }));
      const record = await openStore({ path: this.#recordPath, sizeBytes: METADATA_BYTES });
      stores.push(record);
      await adoptDisk({ record, identity: await this.#identity(), forgetJournal: () => blankSegments(stores.slice(1, 3)) });
    } finally {
      await Promise.allSettled(stores.map((s) => s.close()));
    }
  }

  async #identity(): Promise<DiskIdentity> {
    const { diskPath, sizeBytes, channel, pairId } = this.#setup;
    const { scale } = this.#around;
    const found = await identifyDisk(diskPath, sizeBytes, pairName(channel.pairKey, pairId));
    return scale ? { ...found, scale } : found;
  }

  get #recordPath(): string {
    return `${this.#setup.journalPath}.regions`;
  }

  get #sumsPath(): string {
    return `${this.#setup.journalPath}.sums`;
  }

  /** Extents that both copies hold in stable storage become cold, when too many are hot. */
  async #settle(): Promise<void> {
    const o = this.#opened;
    const partner = o?.guest.partner;
    if (
      !o ||
      !partner ||
      this.#settling ||
      !isCrowded(o.metadata.log) ||
      performance.now() - this.#settledMs < (this.#around.scale?.settlePauseMs ?? SETTLE_PAUSE_MS)
    )
      return;
    this.#settling = true;
    try {
      await this.#obey(o, coolDown({ log: o.metadata.log, isStill: () => o.guest.partner === partner }), partner);
    } catch (e) {
      if (e instanceof StoreError) this.#report(e);
    } finally {
      this.#settling = false;
      this.#settledMs = performance.now();
    }
  }

  /** The steps of an order, one after another. One that fails ends it. `asked`: the partner that it is about. */
  async #obey<T>(o: Opened, order: MirrorOrder<T>, asked?: Partner): Promise<T> {
    for (let answer: number | undefined; ; ) {
      const { done, value } = order.next(answer);
      if (done) return value;
      answer = await this.#step(o, value, asked);
    }
  }

  async #step(o: Opened, step: MirrorStep, asked: Partner | undefined): Promise<number | undefined> {
    const { metadata, guest } = o;
    switch (step.kind) {
      case 'record':
        await metadata.change(step.change);
        return undefined;
      case 'suspect':
        await metadata.suspect(step.extents);
        return undefined;
      case 'all':
        await Promise.all(step.steps.map((s) => this.#step(o, s, asked)));
        return undefined;
      case 'clear':
        await metadata.cleared(step.extents);
        return undefined;
      case 'flush':
        await o.disk.flush();
        return undefined;
      case 'askSynced':
        await asked?.ask({ kind: 'synced', data: encodeCopy(step.record, new Set(), 0) });
        return undefined;
      case 'askSettle':
        return asked && Buffer.from(await asked.ask({ kind: 'settle' })).readUInt32BE(0);
      case 'release': {
        const { partner } = guest;
        guest.partner = undefined;
        this.#mode = 'solo';
        return partner?.release() ?? 0;
      }
      case 'serve':
        await o.points.finishRollBack();
        await this.#export(o);
        return undefined;
      default:
        throw new Error(`unknown step ${JSON.stringify(step satisfies never)}`);
    }
  }

  #scrub(command: string): Scrub {
    if (!this.#opened) throw new Error(`${command}: this copy is 'closed'`);
    return this.#opened.scrub;
  }

  /** Whose copy equals this one, or why there is none. */
  #equalPartner(): Partner | string {
    const o = this.#opened;
    if (!o || this.#mode !== 'source' || !o.guest.partner) return 'the partner does not follow';
    return o.equal === o.guest.partner ? o.equal : 'the copies are being made equal';
  }

  /** On both CoServers before it is lifted or added here: whoever goes on alone must know. */
  async #quarantineBlock(offset: number): Promise<void> {
    const o = this.#opened;
    if (!o) throw new Error("quarantineBlock: this copy is 'closed'");
    await o.quarantine.add(offset);
    await this.#tellQuarantine(o);
  }

  async #chooseBlock(offset: number, keep: BlockSide): Promise<void> {
    const o = this.#opened;
    if (!o || (this.#mode !== 'source' && this.#mode !== 'solo'))
      throw new Error(`chooseBlock: this copy is '${this.#mode}', not where the guest runs`);
    const start = blockStart(offset);
    if (!o.quarantine.hasWhole(start, SUM_BLOCK_BYTES)) throw new Error(`chooseBlock: the block at ${start} does not wait`);
    const partner = this.#equalPartner();
    if (keep === 'partner' && typeof partner === 'string') throw new Error(`chooseBlock: ${partner}`);
    const rewrite = async (): Promise<void> => {
      const data =
        keep === 'partner' && typeof partner !== 'string'
          ? Buffer.from(
              await partner.ask({ kind: 'verify', offset: start, length: SUM_BLOCK_BYTES, data: encodeVerify({ kind: 'fetch' }) }),
            )
          : await readWhole(o.checked, start);
      await o.guest.rewrite(start, data);
    };
    // As a change of the guest: a restore point is cut before it or behind it.
    await o.guest.changes.run(this.#around.interval(), () => o.guest.lock.with(start, start + SUM_BLOCK_BYTES, rewrite));
    await this.#lift(start, SUM_BLOCK_BYTES);
  }

  async #lift(offset: number, length: number): Promise<void> {
    const o = this.#opened;
    if (!o) return;
    try {
      await o.quarantine.lift(offset, length);
      await this.#tellQuarantine(o);
    } catch (e) {
      this.#report(e as Error);
    }
  }

  /**
   * The source's list. A block that it serves again may still be wrong on the disk of a replica, whose guest stands at the last commit: it
   * waits for the next one. If that never comes and this side takes over, the block is as unknown as before.
   */
  async #followQuarantine(offsets: readonly number[]): Promise<void> {
    const o = this.#opened;
    if (!o) return;
    o.listed = offsets;
    const early = o.quarantine.offsets.filter((at) => !offsets.includes(at) && o.replica?.isOpen(at, SUM_BLOCK_BYTES));
    await o.quarantine.replace([...offsets, ...early]);
    if (early.length === 0) return;
    setTimeout(() => {
      if (this.#opened !== o || o.listed !== offsets || !o.replica) return;
      this.#followQuarantine(offsets).catch((e: Error) => this.#report(e));
    }, COMMIT_LOOK_MS).unref();
  }

  async #tellQuarantine(o: Opened): Promise<void> {
    const partner = this.#equalPartner();
    if (typeof partner === 'string') return;
    // A partner that is lost gets the list when it joins again.
    await partner.ask({ kind: 'verify', data: encodeVerify({ kind: 'quarantine', offsets: o.quarantine.offsets }) }).catch(() => undefined);
  }

  #tellCopies(): void {
    const o = this.#opened;
    this.#around.emit('copies', { scrubbing: o?.scrub.isRunning ?? false, quarantined: o?.quarantine.offsets.slice(0, TOLD_BLOCKS) ?? [] });
  }

  async #listenEarly(): Promise<NbdServer | undefined> {
    const server = new NbdServer(null, { trouble: () => undefined });
    // If not, the export itself says why.
    return server.listen(this.#setup.socketPath).then(
      () => server,
      () => undefined,
    );
  }

  /** Once: it is then served, or closed. */
  async #takeEarly(): Promise<NbdServer | undefined> {
    const early = await this.#awaited;
    this.#awaited = Promise.resolve(undefined);
    return early;
  }

  async #export(o: Opened): Promise<void> {
    const early = await this.#takeEarly();
    if (early) {
      early.serve(o.guest);
      o.server = early;
      return;
    }
    const server = new NbdServer(o.guest, { trouble: () => undefined });
    await server.listen(this.#setup.socketPath);
    o.server = server;
  }

  #received(bytes: Buffer): void {
    const o = this.#opened;
    let m: MirrorMessage;
    try {
      m = decodeMessage(bytes);
    } catch (e) {
      // Whatever that was, nothing after it can be trusted to mean what we think.
      o?.guest.partner?.lose((e as Error).message);
      this.#channel.reset();
      return;
    }
    if (m.kind === 'answer') {
      for (const partner of [this.#attaching, o?.guest.partner]) if (partner?.attachment === m.attachment) partner.answered(m);
      o?.follower.answered(m);
    } else if (m.kind === 'read' && o?.guest.partner?.attachment === m.attachment) this.#serveRead(o, m);
    else if (o && (this.#mode === 'target' || this.#mode === 'replica')) o.follower.receive(m);
    else if (m.kind === 'attach') {
      const reason = Buffer.from(`the partner's copy is '${this.#mode}', not a target`);
      this.#channel.send(encodeMessageHeader({ ...m, kind: 'answer', status: 'refused', length: reason.length }), reason);
    }
  }

  /** The partner's copy has lost a block. */
  #serveRead(o: Opened, m: MirrorMessage): void {
    const answer = (data: Uint8Array): void => {
      this.#channel.send(encodeMessageHeader({ ...m, kind: 'answer', status: 'ok', length: data.length }), data);
    };
    o.repair.serve(m, answer).catch((e: Error) => this.#report(e));
  }

  get #scratchPath(): string {
    return `${this.#setup.journalPath}.scratch`;
  }

  async #reporting<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (e) {
      if (e instanceof StoreError) this.#report(e);
      throw e;
    }
  }

  #report(e: Error): void {
    // What `close` cut short is no fault of the disk.
    if (e instanceof StoreError && e.code === 'EBADF') return;
    if (e instanceof StoreError && e.operation !== 'open')
      this.#around.emit('diskError', {
        operation: e.operation,
        offset: e.offset,
        message: e.message,
        isOver: e.operation !== 'read' || e instanceof SilentDiskError,
      });
    else this.#around.emit('diskError', { operation: 'write', offset: 0, message: e.message, isOver: true });
  }

  async #closedNow(command: string): Promise<Opened> {
    if (this.#mode !== 'closed') throw new Error(`${command}: this copy is '${this.#mode}', not 'closed'`);
    await this.#open(false);
    if (!this.#opened) throw new Error(`${command}: closed meanwhile`);
    return this.#opened;
  }

  #need(command: string, mode: MirrorMode): Opened {
    if (this.#mode !== mode || !this.#opened) throw new Error(`${command}: this copy is '${this.#mode}', not '${mode}'`);
    return this.#opened;
  }

  #equalTarget(command: string): Opened {
    const o = this.#need(command, 'target');
    if (!o.follower.isEqual) throw new Error(`${command}: this copy is not equal to the partner's: a resync must end first`);
    return o;
  }

  #replica(command: string): Replica {
    const replica = this.#opened?.replica;
    if (!replica) throw new Error(`${command}: this copy is '${this.#mode}', not a replica`);
    return replica;
  }

  #inTurn<T>(command: () => Promise<T>): Promise<T> {
    const run = this.#turn.then(command);
    this.#turn = run.catch(() => undefined);
    return run;
  }
}

async function readWhole(reader: CheckedStore, offset: number): Promise<Buffer> {
  const { data, blocks } = await reader.check(offset, SUM_BLOCK_BYTES);
  if (blocks[0] === 'unreadable') throw new Error(`the block at ${offset} cannot be read here`);
  return data;
}
