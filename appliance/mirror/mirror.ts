// One copy of the guest's disk: its modes, and what may follow what. api.ts says what each command means.
//
//   closed -> solo <-> source          (the guest runs here)
//   closed -> target -> replica -> solo        (the partner is the source; the last step is a takeover; level 2 stays a target)
//                  ^------ collapse                            any -> closed
import { StoreError } from '../../drivers/block/index.ts';
import type { Channel } from '../../drivers/link/index.ts';
import { goAlone, merge, rewriteAlone, serveAlone } from '../core/mirror-orders.ts';
import type { CommitCommands, MirrorCommands, MirrorMode, MirrorSetup, MirrorStatus } from './api.ts';
import { SUM_BLOCK_BYTES } from './block-sums.ts';
import { adoptFiles, openScratch, removeScratch } from './copy-files.ts';
import { GuestExport } from './guest-export.ts';
import { Inbox } from './inbox.ts';
import { Joining } from './joining.ts';
import { newGeneration } from './metadata.ts';
import { mirrorStatus } from './mirror-status.ts';
import { type CopyOwner, closeCopy, type OpenCopy, type Opening, openCopy } from './open-copy.ts';
import { Orders } from './orders.ts';
import type { Partner } from './partner.ts';
import { Replica } from './replica.ts';
import type { PointsStatus } from './restore-points/api.ts';
import type { PointService } from './restore-points/point-service.ts';
import type { Scrub } from './scrub.ts';
import { SharedQuarantine } from './shared-quarantine.ts';
import type { MirrorSurroundings } from './surroundings.ts';
import { SilentDiskError } from './watched-store.ts';

export class Mirror {
  readonly #setup: MirrorSetup;
  readonly #around: MirrorSurroundings;
  readonly #channel: Channel;
  readonly #export: GuestExport;
  readonly #orders: Orders;
  readonly #joining: Joining;
  readonly #quarantine: SharedQuarantine;
  readonly #owner: CopyOwner;
  #mode: MirrorMode = 'closed';
  #opened: OpenCopy | undefined;
  #committed = 0;
  /** Of the restore points, as they were known last. */
  #points: PointsStatus | null = null;
  /** One command that changes the mode at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(setup: MirrorSetup, around: MirrorSurroundings) {
    this.#setup = setup;
    this.#around = around;
    this.#channel = around.channel;
    const opened = (): OpenCopy | undefined => this.#opened;
    const mode = (): MirrorMode => this.#mode;
    const equalPartner = (): Partner | string => this.#equalPartner();
    const report = (e: Error): void => this.#report(e);
    this.#export = new GuestExport(setup.socketPath, setup.isAwaited ?? false);
    this.#orders = new Orders({
      settlePauseMs: around.scale?.settlePauseMs,
      serve: (o) => this.#export.serve(o.guest),
      alone: () => {
        this.#mode = 'solo';
      },
      report,
    });
    this.#joining = new Joining({ around, orders: this.#orders, acknowledgeMs: setup.acknowledgeMs });
    this.#quarantine = new SharedQuarantine({ around, opened, mode, equalPartner, report });
    this.#owner = {
      orders: this.#orders,
      quarantine: this.#quarantine,
      opened,
      equalPartner,
      pointsKnown: (s) => {
        this.#points = s;
      },
      report,
    };
    const inbox = new Inbox({ channel: this.#channel, joining: this.#joining, opened, mode, report });
    this.#channel.on('message', (bytes) => inbox.receive(bytes));
    this.#channel.on('drain', () => this.#opened?.guest.partner?.drained());
    this.#channel.on('up', () => around.emit('channel', { up: true }));
    this.#channel.on('down', () => around.emit('channel', { up: false }));
    this.#channel.on('reset', (reason) => {
      this.#opened?.follower.detach();
      if (this.#mode === 'target' || this.#mode === 'replica') void this.#opened?.points.cuts.partnerGone();
      this.#joining.lose(`the disk stream's session ended: ${reason}`);
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
      resync: async (a) => await this.#joining.resync(this.#need('resync', 'source'), a.maximumBytesPerS),
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
      quarantineBlock: async ({ offset }) => {
        await this.#quarantine.add(offset);
        this.#opened?.scrub.settled(offset, 1, false);
      },
      chooseBlock: (a) => this.#quarantine.choose(a.offset, a.keep),
      startScrub: async () => this.#scrub('startScrub').start(),
      stopScrub: async () => await this.#scrub('stopScrub').stop(),
      repairBlock: async ({ offset, from }) => {
        const { repair, scrub } = this.#need('repairBlock', 'source');
        // Repaired, it was counted by then.
        await repair.block(offset, from).finally(() => scrub.settled(offset, 1, false));
      },
      linkVerdict: ({ link, up }) => this.#channel.linkVerdict(link, up),
      status: () => this.status(),
    };
  }

  /** What it offers to the memory stream. */
  get commitCommands(): CommitCommands {
    return {
      decide: ({ interval }) => this.#reporting(this.#replica('decide').decide(interval)),
      apply: async ({ interval }) => {
        const replica = this.#replica('apply');
        const filled = this.#quarantine.blocksOf((at, length) => replica.isFilled(at, length, interval));
        await replica.apply(interval);
        this.#committed = interval;
        // The guest that goes on here has seen these writes end.
        for (const at of filled) await this.#quarantine.overwritten(at, SUM_BLOCK_BYTES);
      },
    };
  }

  status(): MirrorStatus {
    return mirrorStatus(this.#mode, this.#committed, this.#opened);
  }

  async #open(serves: boolean): Promise<Opening> {
    if (this.#opened) return { committed: this.#committed, replayed: 0, discarded: 0, notes: [] };
    const { opened, opening } = await openCopy(this.#setup, this.#around, serves, this.#owner);
    this.#committed = opening.committed;
    this.#opened = opened;
    this.#points = opened.points.status();
    this.#quarantine.announce();
    return opening;
  }

  async #adopt(): Promise<void> {
    if (this.#opened) throw new Error(`adopt: this copy is in use ('${this.#mode}')`);
    await adoptFiles(this.#setup, this.#around, (e) => this.#report(e));
  }

  async #serveSolo(): Promise<void> {
    const o = await this.#closedNow('serveSolo');
    if (o.metadata.record.inconsistent)
      throw new Error('serveSolo: this copy is not whole: it was being made equal to the partner, and that has not ended');
    await this.#orders.obey(o, serveAlone(o.metadata.log, newGeneration()));
    this.#mode = 'solo';
  }

  async #startSource(): Promise<void> {
    const o = this.#need('startSource', 'solo');
    await this.#joining.attach(o, (partner) => {
      this.#need('startSource', 'solo').guest.partner = partner;
      this.#mode = 'source';
    });
  }

  async #startTarget(): Promise<void> {
    await this.#export.giveUp();
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
      openScratch: () => openScratch(this.#setup, o.files),
      merging: async (runs) => {
        await this.#orders.obey(o, merge(o.metadata.log, newGeneration(), o.metadata.extentsOf(runs)));
      },
      onError: (e) => this.#report(e),
    });
    this.#committed = 0;
    o.guest.replica = replica;
    o.replica = replica;
    o.follower.follow(replica);
    try {
      await this.#export.serve(o.guest);
    } catch (e) {
      o.guest.replica = undefined;
      o.replica = undefined;
      throw e;
    }
    this.#mode = 'replica';
  }

  async #goSolo(): Promise<{ released: number }> {
    if (this.#mode === 'solo') {
      this.#joining.giveUp();
      return { released: 0 };
    }
    const o = this.#need('goSolo', 'source');
    const { partner } = o.guest;
    const isStill = (): boolean => this.#opened === o && o.guest.partner === partner;
    const order = goAlone({ log: o.metadata.log, isStill }, newGeneration());
    return { released: await this.#reporting(this.#orders.obey(o, order)) };
  }

  async #takeOver(): Promise<{ committed: number; discardedBytes: number; mergedBytes: number }> {
    const o = this.#need('takeOver', 'replica');
    const replica = this.#replica('takeOver');
    await replica.settle();
    o.follower.detach();
    const { promise, resolve } = Promise.withResolvers<void>();
    o.guest.gate = promise;
    const own = this.#quarantine.blocksOf((at, length) => replica.isOwn(at, length));
    // If it fails, the disk or the journal is broken: the guest's writes stay where they are, this copy must not serve.
    const result = await this.#reporting(replica.takeOver());
    for (const at of own) await this.#quarantine.overwritten(at, SUM_BLOCK_BYTES);
    o.guest.replica = undefined;
    o.replica = undefined;
    o.guest.gate = undefined;
    this.#mode = 'solo';
    resolve();
    await o.points.cuts.partnerGone();
    await removeScratch(this.#setup);
    return result;
  }

  async #collapse(): Promise<{ appliedBytes: number }> {
    const o = this.#need('collapse', 'replica');
    await this.#export.close();
    let appliedBytes = 0;
    await o.follower.collapse(async (replica) => {
      const filled = this.#quarantine.blocksOf((at, length) => replica.isFilled(at, length, Infinity));
      appliedBytes = await replica.collapse();
      for (const at of filled) await this.#quarantine.overwritten(at, SUM_BLOCK_BYTES);
    });
    o.guest.replica = undefined;
    o.replica = undefined;
    this.#mode = 'target';
    await removeScratch(this.#setup);
    return { appliedBytes };
  }

  /** Of a disk that nobody uses; the record says from the first write on that the partner does not have it. */
  async #rollBack({ name, takenAt }: { name: string; takenAt: number }): Promise<{ before: string; writtenBytes: number }> {
    const o = await this.#closedNow('rollBack');
    return await this.#reporting(
      o.points.rollBack(name, takenAt, () => this.#orders.obey(o, rewriteAlone(o.metadata.log, newGeneration()))),
    );
  }

  #openPoints(command: string): PointService {
    if (!this.#opened) throw new Error(`${command}: the disk is not open here`);
    return this.#opened.points;
  }

  async #close(): Promise<void> {
    await this.#export.giveUp();
    const o = this.#opened;
    if (!o) return;
    clearInterval(o.scrubbing);
    await o.points.close();
    this.#points = o.points.status();
    await this.#export.close();
    o.follower.detach();
    const { partner } = o.guest;
    o.guest.partner = undefined;
    // Planned, so nobody is told: but whoever still asks it gets an end.
    partner?.lose('this copy is closed');
    await o.scrub.close();
    this.#channel.reset();
    this.#mode = 'closed';
    this.#opened = undefined;
    await closeCopy(this.#setup, o, (e) => this.#report(e));
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

  async #closedNow(command: string): Promise<OpenCopy> {
    if (this.#mode !== 'closed') throw new Error(`${command}: this copy is '${this.#mode}', not 'closed'`);
    await this.#open(false);
    if (!this.#opened) throw new Error(`${command}: closed meanwhile`);
    return this.#opened;
  }

  #need(command: string, mode: MirrorMode): OpenCopy {
    if (this.#mode !== mode || !this.#opened) throw new Error(`${command}: this copy is '${this.#mode}', not '${mode}'`);
    return this.#opened;
  }

  #equalTarget(command: string): OpenCopy {
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
