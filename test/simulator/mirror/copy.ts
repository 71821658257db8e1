// One CoServer's copy of the guest's disk, with the modes of appliance/mirror/mirror.ts. It obeys the real orders
// (core/mirror-orders.ts), the real log and the real plan; only the disk, the channel and time are models.
import { isCrowded, joining } from '../../../appliance/core/activity-log.ts';
import { type CopyRecord, type CopyState, planResync } from '../../../appliance/core/mirror.ts';
import {
  becomeEqual,
  coolDown,
  endResync,
  follow,
  goAlone,
  type MirrorOrder,
  type MirrorStep,
  merge,
  serveAlone,
} from '../../../appliance/core/mirror-orders.ts';
import type { CoServer } from '../side.ts';
import type { World } from '../world.ts';
import { ExtentLock } from './extent-lock.ts';
import { Journal } from './journal.ts';
import { BLOCKS, BLOCKS_PER_EXTENT, type Content, EXTENTS, extentOf, Medium } from './medium.ts';
import { Metadata, MetadataMedium } from './metadata.ts';
import { Partner, type Request } from './partner.ts';
import { Replica } from './replica.ts';

export type Mode = 'closed' | 'solo' | 'source' | 'target' | 'replica';
/** A command ended, well or not. */
export type Ended = (ok: boolean) => void;

/** The partner answers `attach` when its earlier work has ended. */
const ATTACH_TIMEOUT_MS = 10_000;
/** A request that takes longer has failed: the disk hangs. */
const HUNG_MS = 4_000;
const CLOSE_TIMEOUT_MS = 60_000;
/** Every request that fails is reported; of a storm of them the core needs to hear but one. */
const TELL_EVERY_MS = 100;
const PAIR = '00000000000000aa';
/** To `settle`, of a copy that has no journal. */
const EVERY_INTERVAL = 0xffffffff;

/** What is open from `open` to `close`. */
export interface Opened {
  metadata: Metadata;
  /** Nothing was known of the disk when it was opened. */
  isUnknown: boolean;
  /** A request failed: it is never tried again. */
  isBroken: boolean;
  toldAt: number;
  lock: ExtentLock;
  partner: Partner | null;
  theirs: CopyState | null;
  /** As the partner's follower: which attachment counts, and whether this copy is equal to the source's. */
  attachment: number;
  isEqual: boolean;
  /** Requests of the partner that are being done. */
  running: number;
  replica: Replica | null;
  serves: boolean;
  /** Requests to the disk that are under way. */
  inFlight: number;
  isCooling: boolean;
  /** Writes of no interval that wait for the end of `collapse`. */
  deferred: (() => void)[];
}

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
  readonly #world: World;
  readonly #s: CoServer;
  #attaching: Partner | null = null;
  #turns: (() => void)[] = [];

  constructor(world: World, s: CoServer) {
    this.#world = world;
    this.#s = s;
  }

  get #their(): Copy {
    return this.#s.partner.copy;
  }

  // ---- the server's life

  ended(): void {
    const { random } = this.#world;
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
    const { random } = this.#world;
    const lost = this.medium.powerLost(random);
    if (lost > 0) this.#world.tell(() => `the disk of ${this.#s.name} loses ${lost} writes that were not flushed`);
    if (this.medium.forgotten.size > 0)
      this.#world.tell(() => `the disk of ${this.#s.name} had lied: blocks ${[...this.medium.forgotten].join(' ')} are old again`);
    this.metadataMedium.powerLost(random);
    this.journal.powerLost(random);
    this.hangsUntil = 0;
    this.medium.misdirects = false;
  }

  /** The disk stream's session ended. */
  disconnected(): void {
    if (this.opened) this.#detach(this.opened);
    this.#attaching?.lose();
    this.opened?.partner?.lose();
  }

  // ---- the disk

  /** A request to the disk. `done` in this life of the process; `failed` if the disk cannot. */
  io(o: Opened, work: () => void, failed: () => void, isWrite = true): void {
    const { random, now } = this.#world;
    const s = this.#s;
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
    const { now } = this.#world;
    o.isBroken = true;
    if (this.opened !== o || now - o.toldAt < TELL_EVERY_MS) return;
    o.toldAt = now;
    this.#world.tell(() => `the disk of ${this.#s.name} fails: ${why} (${this.mode})`);
    this.#world.checkers.failed(this.#s);
    this.#s.at(0, () => this.#s.feed({ kind: 'diskFailed', reason: why }));
  }

  write(o: Opened, block: number, content: Content, done: () => void, failed: () => void): void {
    this.medium.beginWrite(block, content);
    this.io(
      o,
      () => {
        this.medium.endWrite(block, content, this.#world.random);
        done();
      },
      () => {
        this.medium.failWrite(block, content, this.#world.random);
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

  // ---- orders

  /** `asked`: the partner that the order is about. */
  #run(o: Opened, real: MirrorOrder<unknown>, ended: Ended, asked: Partner | null = null): void {
    const order = this.#world.flaws.orders?.(real) ?? real;
    const next = (answer?: number): void => {
      const { done, value } = order.next(answer);
      if (done) ended(true);
      else this.#step(o, value, asked, next, () => ended(false));
    };
    next();
  }

  #step(o: Opened, step: MirrorStep, asked: Partner | null, done: (answer?: number) => void, failed: () => void): void {
    const { metadata } = o;
    switch (step.kind) {
      case 'record':
        metadata.change(step.change, done, failed);
        return;
      case 'suspect':
        metadata.suspect(step.extents, done, failed);
        return;
      case 'all': {
        let open = step.steps.length;
        let isWell = true;
        const ended = (): void => {
          if (--open > 0) return;
          if (isWell) done();
          else failed();
        };
        for (const each of step.steps)
          this.#step(o, each, asked, ended, () => {
            isWell = false;
            ended();
          });
        return;
      }
      case 'clear':
        metadata.clear(step.extents);
        done();
        return;
      case 'flush':
        this.flush(o, done, failed);
        return;
      case 'askSynced':
        asked?.ask({ kind: 'synced', record: step.record }, () => done(), failed);
        return;
      case 'askSettle':
        asked?.ask({ kind: 'settle' }, (answer) => done(answer as number), failed);
        return;
      case 'release': {
        const { partner } = o;
        o.partner = null;
        this.mode = 'solo';
        this.interval = 0;
        partner?.release();
        done();
        return;
      }
      case 'serve':
        o.serves = true;
        done();
        return;
      default:
        step satisfies never;
    }
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
    const { disk } = this.#s;
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
    const replay = this.journal.recover(this.#world.flaws.mirror !== 'replay to the last commit');
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
    return (++this.#world.serial).toString(16).padStart(16, '0');
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
      this.#run(o, serveAlone(o.metadata.log, this.#newGeneration()), (ok) => {
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
    const partner = new Partner(this.#world, this.#s, ++this.#world.serial, () => {
      if (o.partner === partner) this.#s.at(this.#world.random.between(0.1, 5), () => this.#lost(partner));
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
    this.#s.at(ATTACH_TIMEOUT_MS, () => over(false));
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
    this.#s.feed({ kind: 'streamLost', stream: 'disk', cause: 'channel', byPartner: false, reason: 'the disk stream ended' });
  }

  /** Answers when both copies are equal and flushed on both. */
  resync(ended: Ended): void {
    const o = this.opened;
    const partner = o?.partner;
    if (this.mode !== 'source' || !o || !partner) {
      ended(false);
      return;
    }
    const { metadata, theirs } = o;
    const plan = planResync(o.isUnknown ? null : { record: metadata.record, suspects: metadata.log.suspects }, theirs);
    o.theirs = null;
    const isPart = plan.kind === 'source' || plan.kind === 'regions';
    this.#world.checkers.mirror.planned(this.#s, plan);
    const todo = isPart ? [...plan.extents] : Array.from({ length: EXTENTS }, (_, i) => i);
    this.#world.tell(
      () =>
        `${this.#s.name} makes ${this.#s.partner.name} equal: ${isPart ? `extents ${todo.join(' ') || '-'}` : `everything (${plan.kind})`}`,
    );
    const { record } = metadata;
    const isStill = (): boolean => this.opened === o && o.partner === partner && !partner.isLost;
    const next = (): void => {
      if (!isStill()) {
        ended(false);
        return;
      }
      const extent = todo.shift();
      if (extent !== undefined) {
        this.#compare(o, partner, extent, (ok) => (ok ? this.#s.at(this.#world.pauseMs(), next) : ended(false)));
        return;
      }
      const end = endResync(
        { log: metadata.log, isStill: () => o.partner === partner && metadata.record.current === record.current },
        record,
      );
      this.#run(
        o,
        end,
        (ok) => {
          if (!ok || !isStill()) {
            ended(false);
            return;
          }
          o.isUnknown = false;
          this.#world.checkers.mirror.synced(this.#s);
          ended(true);
        },
        partner,
      );
    };
    next();
  }

  #compare(o: Opened, partner: Partner, extent: number, ended: Ended): void {
    const first = extent * BLOCKS_PER_EXTENT;
    const locks = this.#world.flaws.mirror === 'no extent lock in a resync' ? 0 : BLOCKS_PER_EXTENT;
    o.lock.take(first, first + locks, (unlock) => {
      const over = (ok: boolean): void => {
        unlock();
        ended(ok);
      };
      const failed = (): void => over(false);
      const read = (): void => {
        const blocks = Array.from({ length: BLOCKS_PER_EXTENT }, (_, i) => first + i);
        const contents = blocks.map((b) => ({ block: b, content: this.medium.read(b), bad: this.medium.expected(b) }));
        partner.ask(
          { kind: 'compare', contents },
          (answer) => {
            let open = 1;
            const one = (): void => {
              if (--open === 0) over(true);
            };
            for (const { block, content, how } of answer as { block: number; content: Content; how: 'differs' | 'right' | 'bad' }[]) {
              // The checksum here says that the partner has it right.
              if (how === 'right') this.medium.repair(block, content);
              else if (how === 'differs') {
                open++;
                partner.ask({ kind: 'write', block, content: contents[block - first]?.content ?? 0, interval: 0 }, one, failed);
              }
            }
            one();
          },
          failed,
        );
      };
      this.io(o, read, failed, false);
    });
  }

  #startReplica(ended: Ended): void {
    const o = this.opened;
    if (this.mode !== 'target' || !o?.isEqual) {
      ended(false);
      return;
    }
    o.replica = new Replica(this, o, this.journal, this.#world.isLockstep);
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
    this.#run(o, order, ended);
  }

  #takeOver(ended: Ended): void {
    const o = this.opened;
    const replica = o?.replica;
    if (this.mode !== 'replica' || !o || !replica) {
      ended(false);
      return;
    }
    this.#detach(o);
    this.#world.ledger.merge(replica.overlay);
    replica.takeOver(
      (extents, merged) => this.#run(o, merge(o.metadata.log, this.#newGeneration(), extents), merged),
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
    if (this.#world.flaws.mirror === 'a primary that was refused forgets its log' && this.mode === 'source') {
      const all = [...o.metadata.log.suspects];
      o.metadata.log.suspects.clear();
      o.metadata.clear(all);
    }
    this.#detach(o);
    o.partner = null;
    o.serves = false;
    this.mode = 'closed';
    this.interval = 0;
    const began = this.#world.now;
    const wait = (): void => {
      if (o.inFlight > 0 && this.#world.now - began < CLOSE_TIMEOUT_MS) {
        this.#s.at(1 + o.inFlight, wait);
        return;
      }
      if (this.opened === o) this.opened = null;
      ended(true);
    };
    this.flush(o, wait, wait);
  }

  // ---- the guest's requests

  /** Answered when it may be acknowledged; never, if the partner is gone and nobody has decided. */
  guestWrite(block: number, what: () => Content | null, done: (ok: boolean) => void): void {
    const o = this.opened;
    if (!o?.serves) return;
    const { interval } = this;
    const { flaws } = this.#world;
    o.lock.take(block, block + 1, (unlock) => {
      const content = what();
      if (content === null) {
        unlock();
        done(false);
        return;
      }
      const over = (isWell: boolean): void => {
        o.metadata.end(extentOf(block));
        unlock();
        if (this.opened === o && flaws.mirror !== 'acknowledged before both have it') done(isWell);
        this.#coolDown(o);
      };
      const notMarked = (): void => {
        if (o.partner) o.partner.whenReleased(() => over(false));
        else over(false);
      };
      const go = (): void => {
        const { partner } = o;
        let open = partner ? 2 : 1;
        let isWell = true;
        const ended = (): void => {
          if (--open === 0) over(isWell);
        };
        const failed = (): void => {
          isWell = false;
          if (partner) partner.whenReleased(ended);
          else ended();
        };
        const here = (): void => {
          if (this.opened === o && flaws.mirror === 'acknowledged before both have it') done(true);
          ended();
        };
        this.write(o, block, content, here, failed);
        if (!partner) return;
        if (flaws.mirror === 'new writes are not held' && partner.isLost) ended();
        else partner.hold({ kind: 'write', block, content, interval }, ended);
      };
      if (flaws.mirror === 'no region log') {
        o.metadata.begin(
          extentOf(block),
          interval,
          () => undefined,
          () => undefined,
        );
        go();
      } else o.metadata.begin(extentOf(block), interval, go, notMarked);
    });
  }

  guestFlush(done: () => void): void {
    const o = this.opened;
    if (!o?.serves) return;
    const { partner } = o;
    let open = partner ? 2 : 1;
    const ended = (): void => {
      if (--open === 0 && this.opened === o) done();
    };
    this.flush(o, ended, () => partner?.whenReleased(() => undefined));
    partner?.hold({ kind: 'flush' }, ended);
  }

  /** Reads and writes of the block wait meanwhile. Nothing, if there is no copy that has it. */
  repair(block: number, from: 'own' | 'partner'): void {
    const o = this.opened;
    const partner = o?.partner;
    if (!o?.serves || !partner || partner.isLost) return;
    if (from === 'own') {
      this.guestWrite(
        block,
        () => (this.isBad(block) ? null : this.medium.read(block)),
        () => undefined,
      );
      return;
    }
    o.lock.take(block, block + 1, (unlock) => {
      const p = this.#their;
      if (o.partner === partner && !partner.isLost && p.opened?.isEqual && !p.isBad(block) && this.isBad(block))
        this.medium.repair(block, p.latest(block));
      unlock();
    });
  }

  /** The next checkpoint. The guests are stopped meanwhile, and nothing of the guest is under way. */
  checkpoint(done: (interval: number) => void): void {
    const partner = this.opened?.partner;
    if (!partner) return;
    const n = this.interval++;
    partner.ask(
      { kind: 'commit', interval: n },
      (isDone) => {
        if (isDone === true) done(n);
      },
      () => undefined,
    );
  }

  #coolDown(o: Opened): void {
    const { partner } = o;
    const { log } = o.metadata;
    if (!partner || partner.isLost || o.isCooling || this.opened !== o || !isCrowded(log)) return;
    o.isCooling = true;
    const order = coolDown({ log, isStill: () => this.opened === o && o.partner === partner });
    const over = (): void => {
      o.isCooling = false;
    };
    this.#run(o, order, over, partner);
  }

  // ---- as the partner's follower

  #detach(o: Opened): void {
    o.attachment = 0;
    o.isEqual = false;
    o.deferred = [];
  }

  /** A request of the partner. Answered once, or never if the attachment is over. */
  receive(attachment: number, r: Request, answer: (ok: boolean, value?: unknown) => void): void {
    const o = this.opened;
    if (!o || (this.mode !== 'target' && this.mode !== 'replica')) {
      if (r.kind === 'attach') answer(false);
      return;
    }
    if (r.kind === 'attach') {
      this.#attached(o, attachment, answer);
      return;
    }
    if (attachment !== o.attachment) return;
    // The source left the checkpoints before this side did.
    if (o.replica?.isJournaling && r.kind === 'write' && r.interval === 0) {
      o.deferred.push(() => this.receive(attachment, r, answer));
      return;
    }
    o.running++;
    const over = (ok: boolean, value?: unknown): void => {
      o.running--;
      if (attachment === o.attachment) answer(ok, value);
    };
    this.#perform(o, attachment, r, over);
  }

  #attached(o: Opened, attachment: number, answer: (ok: boolean, value?: unknown) => void): void {
    if (o.replica) {
      answer(false);
      return;
    }
    this.#detach(o);
    const { life } = this.#s;
    const begin = (): void => {
      if (this.opened !== o || this.#s.life !== life) return;
      // Writes of an earlier attachment must not end after those of the new one.
      if (o.running > 0) {
        this.#s.at(1, begin);
        return;
      }
      this.#run(o, follow(), (ok) => {
        if (!ok) {
          answer(false);
          return;
        }
        o.attachment = attachment;
        this.#world.checkers.mirror.attached(this.#s);
        answer(true, o.isUnknown ? null : { record: o.metadata.record, suspects: new Set(o.metadata.log.suspects) });
      });
    };
    begin();
  }

  #perform(o: Opened, attachment: number, r: Exclude<Request, { kind: 'attach' }>, over: (ok: boolean, value?: unknown) => void): void {
    const { replica } = o;
    const failed = (): void => over(false);
    switch (r.kind) {
      case 'write':
        if (replica) replica.write(r.interval, r.block, r.content, () => over(true), failed);
        else this.write(o, r.block, r.content, () => over(true), failed);
        return;
      case 'flush':
        if (replica) replica.flush(() => over(true), failed);
        else this.flush(o, () => over(true), failed);
        return;
      case 'compare':
        if (replica) {
          failed();
          return;
        }
        this.io(o, () => over(true, this.#differing(r.contents)), failed, false);
        return;
      case 'synced':
        if (replica) {
          failed();
          return;
        }
        this.#run(o, becomeEqual({ log: o.metadata.log, isStill: () => o.attachment === attachment }, r.record), (ok) => {
          if (!ok) {
            failed();
            return;
          }
          if (o.attachment === attachment) {
            o.isUnknown = false;
            o.isEqual = true;
            this.isPartial = false;
          }
          over(true);
        });
        return;
      case 'settle': {
        const interval = replica ? replica.writtenBack : EVERY_INTERVAL;
        if (this.#world.flaws.mirror === 'what the partner has not flushed is forgotten') over(true, interval);
        else this.flush(o, () => over(true, interval), failed);
        return;
      }
      case 'commit':
        if (replica && !replica.isEnding) replica.commit(r.interval, () => over(true, true), failed);
        else over(true, false);
        return;
      default:
        r satisfies never;
    }
  }

  #differing(contents: readonly { block: number; content: Content; bad: Content | undefined }[]): unknown {
    const answer: { block: number; content: Content; how: 'differs' | 'right' | 'bad' }[] = [];
    for (const { block, content, bad } of contents) {
      const own = this.medium.read(block);
      if (bad === undefined) {
        if (own !== content || this.medium.expected(block) !== undefined) answer.push({ block, content: own, how: 'differs' });
      } else if (own === bad && this.medium.expected(block) === undefined) answer.push({ block, content: own, how: 'right' });
      else {
        // The source cannot read it, and what is here is older: nobody has it.
        this.medium.rot(block, bad);
        answer.push({ block, content: own, how: 'bad' });
      }
    }
    return answer;
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

  /** Every block, as the disk and its journal have it. */
  get contents(): Content[] {
    return Array.from({ length: BLOCKS }, (_, block) => this.latest(block));
  }
}
