// One CoServer's copy of the guest's disk, with the modes of appliance/mirror/mirror.ts. It obeys the real orders
// (core/mirror-orders.ts), the real log and the real plan; only the disk, the channel and time are models.
import { joining } from '../../../appliance/core/activity-log.ts';
import type { CopyRecord, CopyState } from '../../../appliance/core/mirror.ts';
import { goAlone, merge, serveAlone } from '../../../appliance/core/mirror-orders.ts';
import type { CoServer } from '../side.ts';
import type { World } from '../world.ts';
import { ExtentLock } from './extent-lock.ts';
import { Journal } from './journal.ts';
import { type Content, Medium } from './medium.ts';
import { Metadata, MetadataMedium } from './metadata.ts';
import type { Ended, Mode, Opened } from './opened.ts';
import { runOrder } from './orders.ts';
import { Partner } from './partner.ts';
import { Replica } from './replica.ts';

/** The partner answers `attach` when its earlier work has ended. */
const ATTACH_TIMEOUT_MS = 10_000;
/** A request that takes longer has failed: the disk hangs. */
const HUNG_MS = 4_000;
const CLOSE_TIMEOUT_MS = 60_000;
/** Every request that fails is reported; of a storm of them the core needs to hear but one. */
const TELL_EVERY_MS = 100;
const PAIR = '00000000000000aa';

export class Copy {
  readonly medium = new Medium();
  readonly metadataMedium = new MetadataMedium();
  readonly journal = new Journal();
  mode: Mode = 'closed';
  opened: Opened | null = null;
  /** The checkpoint interval in which the guest writes; 0: no checkpoints. */
  interval = 0;
  /** A resync into this copy has begun and not ended: the truth, whatever the record says. */
  isPartial = false;
  /** Its record was lost since it was last equal. */
  isLost = true;
  /** Requests wait for this moment. */
  hangsUntil = 0;
  readonly world: World;
  readonly s: CoServer;
  #attaching: Partner | null = null;
  #turns: (() => void)[] = [];

  constructor(world: World, s: CoServer) {
    this.world = world;
    this.s = s;
  }

  get their(): Copy {
    return this.s.partner.copy;
  }

  // ---- the server's life

  ended(): void {
    const { random } = this.world;
    this.medium.processEnded(random);
    this.metadataMedium.processEnded(random);
    this.journal.processEnded(random);
    this.mode = 'closed';
    this.opened = null;
    this.#attaching = null;
    this.#turns = [];
    this.interval = 0;
  }

  powerLost(): void {
    const { random } = this.world;
    const lost = this.medium.powerLost(random);
    if (lost > 0) this.world.tell(() => `the disk of ${this.s.name} loses ${lost} writes that were not flushed`);
    if (this.medium.forgotten.size > 0)
      this.world.tell(() => `the disk of ${this.s.name} had lied: blocks ${[...this.medium.forgotten].join(' ')} are old again`);
    this.metadataMedium.powerLost(random);
    this.journal.powerLost(random);
    this.hangsUntil = 0;
    this.medium.misdirects = false;
  }

  /** The disk stream's session ended. */
  disconnected(): void {
    if (this.opened) this.detach(this.opened);
    this.#attaching?.lose();
    this.opened?.partner?.lose();
  }

  // ---- the disk

  /** A request to the disk. `done` in this life of the process; `failed` if the disk cannot. */
  io(o: Opened, work: () => void, failed: () => void, isWrite = true): void {
    const { random, now } = this.world;
    const s = this.s;
    const { disk } = s;
    o.inFlight++;
    const waits = Math.max(0, this.hangsUntil - now);
    const isHung = waits > HUNG_MS;
    const ms = random.between(0.1, 2) + (disk.slowMs > 0 ? random.between(0, disk.slowMs) / 8 : 0) + Math.min(waits, HUNG_MS);
    s.at(ms, () => {
      o.inFlight--;
      if (disk.failed || isHung || (isWrite && disk.full) || o.isBroken) {
        this.#broken(o, isHung ? 'the disk hangs' : disk.failed ? 'I/O error' : 'no space');
        failed();
      } else work();
    });
  }

  #broken(o: Opened, why: string): void {
    const { now } = this.world;
    o.isBroken = true;
    if (this.opened !== o || now - o.toldAt < TELL_EVERY_MS) return;
    o.toldAt = now;
    this.world.tell(() => `the disk of ${this.s.name} fails: ${why} (${this.mode})`);
    this.world.checkers.failed(this.s);
    this.s.at(0, () => this.s.feed({ kind: 'diskFailed', reason: why }));
  }

  write(o: Opened, block: number, content: Content, done: () => void, failed: () => void): void {
    this.medium.beginWrite(block, content);
    this.io(
      o,
      () => {
        this.medium.endWrite(block, content, this.world.random);
        done();
      },
      () => {
        this.medium.failWrite(block, content, this.world.random);
        failed();
      },
    );
  }

  flush(o: Opened, done: () => void, failed: () => void): void {
    const covers = this.medium.beginFlush();
    this.io(
      o,
      () => {
        this.medium.endFlush(covers);
        done();
      },
      failed,
    );
  }

  /** What the copy holds of the block, newest last: on the disk, committed, and of the open interval. */
  latest(block: number): Content {
    return this.opened?.replica?.latest(block) ?? this.medium.read(block);
  }

  /** What a guest that runs on this copy reads. */
  visible(block: number): Content {
    return this.opened?.replica?.visible(block) ?? this.medium.read(block);
  }

  isBad(block: number): boolean {
    return this.medium.expected(block) !== undefined && !this.opened?.replica?.hides(block);
  }

  // ---- commands

  /** One command that changes the mode at a time. */
  #inTurn(command: (ended: Ended) => void, ended: Ended): void {
    this.#turns.push(() => {
      let isOver = false;
      command((ok) => {
        if (isOver) throw new Error('a command of the mirror ended twice');
        isOver = true;
        ended(ok);
        this.#turns.shift();
        this.#turns[0]?.();
      });
    });
    if (this.#turns.length === 1) this.#turns[0]?.();
  }

  #open(ended: Ended): void {
    if (this.opened) {
      ended(true);
      return;
    }
    const { disk } = this.s;
    if (disk.failed) {
      ended(false);
      return;
    }
    const io = (done: () => void, failed: () => void): void => {
      if (this.opened) this.io(this.opened, done, failed);
    };
    const found = Metadata.open(this.metadataMedium, io);
    const o: Opened = {
      metadata: found ?? Metadata.create(this.metadataMedium, io, this.#newRecord()),
      isUnknown: found === null,
      isBroken: false,
      toldAt: Number.NEGATIVE_INFINITY,
      lock: new ExtentLock(),
      partner: null,
      theirs: null,
      attachment: 0,
      isEqual: false,
      running: 0,
      replica: null,
      serves: false,
      inFlight: 0,
      isCooling: false,
      deferred: [],
    };
    if (o.isUnknown) this.isLost = true;
    this.opened = o;
    const replay = this.journal.recover(this.world.flaws.mirror !== 'replay to the last commit');
    if (replay.length === 0) {
      this.journal.reset();
      ended(true);
      return;
    }
    this.writeAll(o, replay, (ok) => {
      if (!ok) {
        this.opened = null;
        ended(false);
        return;
      }
      this.flush(
        o,
        () => {
          this.journal.reset();
          ended(true);
        },
        () => {
          this.opened = null;
          ended(false);
        },
      );
    });
  }

  #newRecord(): CopyRecord {
    return { pair: PAIR, current: this.#newGeneration(), base: null, history: [], inconsistent: false };
  }

  #newGeneration(): string {
    return (++this.world.serial).toString(16).padStart(16, '0');
  }

  /** One after another: a later one of the same block must end later. */
  writeAll(o: Opened, list: readonly { block: number; content: Content }[], ended: Ended): void {
    let i = 0;
    const next = (): void => {
      const w = list[i++];
      if (w)
        this.write(o, w.block, w.content, next, () => {
          ended(false);
        });
      else ended(true);
    };
    next();
  }

  open(ended: Ended): void {
    this.#inTurn((e) => this.#open(e), ended);
  }

  serveSolo(ended: Ended): void {
    this.#inTurn((e) => this.#serveSolo(e), ended);
  }

  startTarget(ended: Ended): void {
    this.#inTurn((e) => this.#startTarget(e), ended);
  }

  startSource(ended: Ended): void {
    this.#inTurn((e) => this.#startSource(e), ended);
  }

  startReplica(ended: Ended): void {
    this.#inTurn((e) => this.#startReplica(e), ended);
  }

  takeOver(ended: Ended): void {
    this.#inTurn((e) => this.#takeOver(e), ended);
  }

  collapse(ended: Ended): void {
    this.#inTurn((e) => this.#collapse(e), ended);
  }

  close(ended: Ended): void {
    this.#inTurn((e) => this.#close(e), ended);
  }

  #serveSolo(ended: Ended): void {
    if (this.mode !== 'closed') {
      ended(false);
      return;
    }
    this.#open((ok) => {
      const o = this.opened;
      // It was being made equal, and that has not ended.
      if (!ok || !o || o.metadata.record.inconsistent) {
        ended(false);
        return;
      }
      runOrder(this, o, serveAlone(o.metadata.log, this.#newGeneration()), (ok) => {
        if (ok) this.mode = 'solo';
        ended(ok);
      });
    });
  }

  #startTarget(ended: Ended): void {
    if (this.mode !== 'closed') {
      ended(false);
      return;
    }
    this.#open((ok) => {
      if (ok) this.mode = 'target';
      ended(ok);
    });
  }

  #startSource(ended: Ended): void {
    const o = this.opened;
    if (this.mode !== 'solo' || !o) {
      ended(false);
      return;
    }
    const partner = new Partner(this.world, this.s, ++this.world.serial, () => {
      if (o.partner === partner) this.s.at(this.world.random.between(0.1, 5), () => this.#lost(partner));
      else over(false);
    });
    this.#attaching = partner;
    let isOver = false;
    const over = (ok: boolean): void => {
      if (isOver) return;
      isOver = true;
      if (this.#attaching === partner) this.#attaching = null;
      ended(ok);
    };
    this.s.at(ATTACH_TIMEOUT_MS, () => over(false));
    partner.ask(
      { kind: 'attach' },
      (answer) => {
        if (isOver || this.mode !== 'solo' || this.opened !== o) {
          over(false);
          return;
        }
        o.partner = partner;
        joining(o.metadata.log);
        o.theirs = answer as CopyState | null;
        this.mode = 'source';
        over(true);
      },
      () => over(false),
    );
  }

  #lost(partner: Partner): void {
    if (this.opened?.partner !== partner) return;
    this.s.feed({ kind: 'streamLost', stream: 'disk', cause: 'channel', byPartner: false, reason: 'the disk stream ended' });
  }

  #startReplica(ended: Ended): void {
    const o = this.opened;
    if (this.mode !== 'target' || !o?.isEqual) {
      ended(false);
      return;
    }
    o.replica = new Replica(this, o, this.journal, this.world.isLockstep);
    this.mode = 'replica';
    ended(true);
  }

  goSolo(ended: Ended): void {
    if (this.mode === 'solo') {
      this.#attaching?.lose();
      ended(true);
      return;
    }
    const o = this.opened;
    if (this.mode !== 'source' || !o) {
      ended(false);
      return;
    }
    const { partner } = o;
    const order = goAlone({ log: o.metadata.log, isStill: () => this.opened === o && o.partner === partner }, this.#newGeneration());
    runOrder(this, o, order, ended);
  }

  #takeOver(ended: Ended): void {
    const o = this.opened;
    const replica = o?.replica;
    if (this.mode !== 'replica' || !o || !replica) {
      ended(false);
      return;
    }
    this.detach(o);
    this.world.ledger.merge(replica.overlay);
    replica.takeOver(
      (extents, merged) => runOrder(this, o, merge(o.metadata.log, this.#newGeneration(), extents), merged),
      (ok) => {
        if (ok) {
          o.replica = null;
          o.serves = true;
          this.mode = 'solo';
        }
        ended(ok);
      },
    );
  }

  #collapse(ended: Ended): void {
    const o = this.opened;
    const replica = o?.replica;
    if (this.mode !== 'replica' || !o || !replica) {
      ended(false);
      return;
    }
    replica.collapse((ok) => {
      if (ok) {
        o.replica = null;
        this.mode = 'target';
        for (const run of o.deferred.splice(0)) run();
      }
      ended(ok);
    });
  }

  /** Also when the disk hangs it is over some time. */
  #close(ended: Ended): void {
    const o = this.opened;
    if (!o) {
      ended(true);
      return;
    }
    if (this.world.flaws.mirror === 'a primary that was refused forgets its log' && this.mode === 'source') {
      const all = [...o.metadata.log.suspects];
      o.metadata.log.suspects.clear();
      o.metadata.clear(all);
    }
    this.detach(o);
    o.partner = null;
    o.serves = false;
    this.mode = 'closed';
    this.interval = 0;
    const began = this.world.now;
    const wait = (): void => {
      if (o.inFlight > 0 && this.world.now - began < CLOSE_TIMEOUT_MS) {
        this.s.at(1 + o.inFlight, wait);
        return;
      }
      if (this.opened === o) this.opened = null;
      ended(true);
    };
    this.flush(o, wait, wait);
  }

  // ---- as the partner's follower

  detach(o: Opened): void {
    o.attachment = 0;
    o.isEqual = false;
    o.deferred = [];
  }

  /** Both slots of its record, or the whole disk. */
  loseRecord(): void {
    this.metadataMedium.clear('torn');
    this.isLost = true;
  }

  replace(): void {
    this.medium.replace();
    this.metadataMedium.clear(null);
    this.journal.reset();
    this.isPartial = false;
    this.isLost = true;
  }
}
