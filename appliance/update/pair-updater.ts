// Updates a pair, seen from one CoServer: tells the partner what is here, hears what is there, lets the rule decide (rolling.ts) and does it. The same
// runs on both. All that it has to know after a restart is on the disk: the wish (pair-wish.ts) and the versions themselves.
import type { Channel } from '../../drivers/link/index.ts';
import { UpdateRefusal } from './bundle.ts';
import { decodeMessage, encodeMessage } from './pair-messages.ts';
import { type Heard, type PairNow, pairOrder } from './pair-order.ts';
import { whyNotBegin } from './pair-start.ts';
import { type PairUpdateStatus, type PartnerVersions, pairStatus, partnerVersions } from './pair-status.ts';
import { type Outcome, PairTransfer } from './pair-transfer.ts';
import { type PairWish, type WishEnd, writeLevel } from './pair-wish.ts';
import type { News } from './record.ts';
import { has, type RollingOrder, type RollingSide } from './rolling.ts';
import type { UpdateStore, Versions } from './update-store.ts';
import type { Answer } from './upload.ts';
import { WishKeeper } from './wish-keeper.ts';

const TICK_MS = 1_000;
/** The partner says its state each second. */
const HEARD_MS = 5_000;
/** The versions are read from the disk so often: while an update goes on, and otherwise. */
const READ_EVERY_MS = 3_000;
const READ_IDLE_MS = 60_000;
/** After what passes by itself: another update that goes on there, a session that ended. */
const RETRY_MS = 10_000;
const PASSES: readonly string[] = ['busy', 'truncated', 'onTrial'];
/** An order that has no effect is given again after this: the process was to end, or the workload to move. */
const AGAIN_MS = 60_000;
const SAME_PROBLEM_MS = 600_000;

export interface PairUpdaterParts {
  coServer: 'A' | 'B';
  store: Pick<UpdateStore, 'versions' | 'head' | 'hold' | 'activate' | 'receive' | 'send'>;
  /** Place.recordFile: the wish is beside it. */
  recordFile: string;
  channel: Channel;
  /** Of QEMU, as it runs here. */
  engine: string;
  /** At which this process runs, and as configured. */
  runsAtLevel: 2 | 3;
  level: 2 | 3;
  hasWatchdog: boolean;
  now: () => PairNow;
  moveWorkload: () => void;
  /** As for `twinstep update restart`. */
  whyNotRestart: () => string | null;
  restartServer: () => void;
  restartProcess: () => void;
  tell: (news: News) => void;
  /** Monotonic, ms; for tests. */
  clock?: () => number;
  tickMs?: number;
  rateBytesPerS?: number;
}

export class PairUpdater {
  readonly #p: PairUpdaterParts;
  readonly #clock: () => number;
  readonly #transfer: PairTransfer;
  readonly #keeper: WishKeeper;
  #versions: Versions | null = null;
  #readAt = Number.NEGATIVE_INFINITY;
  #partner: Heard | null = null;
  /** When the partner said something last, or this process began. */
  #heardAt: number;
  #order: RollingOrder | null = null;
  #trouble: string | null = null;
  #retryAt = 0;
  #acted: { kind: RollingOrder['kind']; at: number } | null = null;
  #problem = { text: '', at: 0 };
  #timer: NodeJS.Timeout | null = null;
  #ticking: Promise<void> | null = null;
  #isStopped = false;

  constructor(parts: PairUpdaterParts) {
    this.#p = parts;
    this.#clock = parts.clock ?? (() => performance.now());
    this.#heardAt = this.#clock();
    this.#keeper = new WishKeeper(parts.recordFile, (news) => parts.tell(news));
    const { channel, rateBytesPerS } = parts;
    this.#transfer = new PairTransfer({
      channel,
      receive: (version, from) => this.#receive(version, from),
      onReceived: (version, outcome) => this.#received(version, outcome),
      ...(rateBytesPerS ? { rateBytesPerS } : {}),
    });
    channel.on('message', (bytes) => this.#onMessage(bytes));
    channel.on('up', () => this.#say());
    channel.on('reset', (reason) => {
      this.#partner = null;
      this.#transfer.drop(reason);
      this.#say();
    });
  }

  start(): void {
    this.#timer = setInterval(() => void this.tick(), this.#p.tickMs ?? TICK_MS);
    void this.tick();
  }

  /** What is being written is left as by a loss of power, which it outlives. */
  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#isStopped = true;
    this.#transfer.drop('this CoServer leaves');
  }

  /** `engine`: of QEMU, as it runs here. */
  status(): { engine: string; pair: PairUpdateStatus | null; partner: PartnerVersions | null } {
    const partner = this.#heard()?.side ?? null;
    const facts = { order: this.#order, progress: this.#transfer.progress, me: this.#me(), partner, trouble: this.#trouble };
    const pair = this.#keeper.wish && pairStatus({ ...facts, wish: this.#keeper.wish });
    return { engine: this.#p.engine, pair, partner: partnerVersions(partner) };
  }

  /** What the operator asks for; `by`: where, in words. */
  async ask(action: 'start' | 'allowRestart' | 'stop', mayRestartGuest: boolean, by: string): Promise<Answer> {
    if (action === 'start') return await this.#begin(mayRestartGuest, by);
    const { wish } = this.#keeper;
    if (wish === null || wish.end) return { accepted: false, reason: 'No update of the pair is going on.' };
    if (action === 'stop') {
      const isKept = this.#end({ kind: 'stopped', text: `Stopped by the operator (${by}). What runs goes on running.` });
      return isKept ? { accepted: true } : { accepted: false, reason: NOT_KEPT };
    }
    if (!this.#adopt({ ...wish, mayRestartGuest: true })) return { accepted: false, reason: NOT_KEPT };
    this.#p.tell({ severity: 'info', text: `The update to ${wish.target} may restart the guest: allowed by ${by}.` });
    return { accepted: true };
  }

  /** One look, and what follows from it. Never rejects. */
  tick(): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    this.#ticking ??= this.#look()
      .catch((error: Error) => this.#complain(error.message))
      .finally(() => {
        this.#ticking = null;
      });
    return this.#ticking;
  }

  async #look(): Promise<void> {
    const isGoing = this.#keeper.wish !== null && this.#keeper.wish.end === null;
    if (this.#clock() - this.#readAt >= (isGoing ? READ_EVERY_MS : READ_IDLE_MS)) await this.#read();
    this.#say();
    this.#order = this.#decide();
    if (this.#order === null) return;
    if (isGoing) {
      await this.#hold();
      this.#sendOn();
    }
    await this.#obey(this.#order);
  }

  async #read(): Promise<Versions> {
    const versions = await this.#p.store.versions();
    this.#versions = versions;
    this.#readAt = this.#clock();
    return versions;
  }

  #me(): RollingSide | null {
    if (!this.#versions) return null;
    const { version, onTrial, received, givenUp } = this.#versions;
    const { engine, runsAtLevel: level } = this.#p;
    return { version, onTrial, received, givenUp, role: this.#p.now().role, engine, level };
  }

  #heard(): Heard | null {
    return this.#p.channel.isUp && this.#clock() - this.#heardAt < HEARD_MS ? this.#partner : null;
  }

  /** null: nothing is wished here, or nothing is known yet. */
  #decide(): RollingOrder | null {
    const { wish } = this.#keeper;
    const me = this.#me();
    if (!wish || !me) return null;
    const { coServer, level, hasWatchdog, now } = this.#p;
    const heard = this.#heard();
    const silentMs = heard ? 0 : this.#clock() - this.#heardAt;
    return pairOrder({ coServer, wish, me, heard, silentMs, level, hasWatchdog, now: now() });
  }

  async #obey(order: RollingOrder): Promise<void> {
    switch (order.kind) {
      case 'wait':
        return;
      case 'done':
      case 'stop':
        this.#end({ kind: order.kind === 'done' ? 'done' : 'stopped', text: order.text });
        return;
      case 'restartSelf':
      case 'moveWorkload':
      case 'restartProcess':
        if (this.#hasJust(order.kind)) return;
        await this.#act(order);
        return;
      default:
        order satisfies never;
    }
  }

  async #act(order: Extract<RollingOrder, { kind: 'restartSelf' | 'moveWorkload' | 'restartProcess' }>): Promise<void> {
    const { store, tell, recordFile } = this.#p;
    if (order.kind === 'restartSelf') {
      const whyNot = this.#p.whyNotRestart();
      if (whyNot !== null) {
        this.#order = { kind: 'wait', text: `This server is not started again: ${whyNot}.` };
        return;
      }
      await store.activate();
      await this.#read();
      // The disk took its time: is it still so?
      if (this.#decide()?.kind !== 'restartSelf') return;
    }
    if (order.kind !== 'moveWorkload' && !writeLevel(recordFile, order.level === this.#p.level ? null : 2)) {
      this.#complain(NOT_KEPT);
      return;
    }
    this.#acted = { kind: order.kind, at: this.#clock() };
    tell({ severity: 'info', text: order.text });
    this.#say();
    if (order.kind === 'restartSelf') this.#p.restartServer();
    else if (order.kind === 'moveWorkload') this.#p.moveWorkload();
    else this.#p.restartProcess();
  }

  #hasJust(kind: RollingOrder['kind']): boolean {
    return this.#acted?.kind === kind && this.#clock() - this.#acted.at < AGAIN_MS;
  }

  /** Nothing but the order of the update starts the new version: a loss of power meanwhile starts the old one, which knows what to do next. */
  async #hold(): Promise<void> {
    const { isActivated, received } = this.#versions ?? { isActivated: false, received: null };
    // While it leaves to start again, it is to be tried.
    const isLeaving = this.#order?.kind === 'restartSelf' || this.#hasJust('restartSelf');
    if (!isActivated || received !== this.#keeper.wish?.target || isLeaving) return;
    try {
      await this.#p.store.hold();
      await this.#read();
    } catch (error) {
      if (!(error instanceof UpdateRefusal && error.kind === 'busy')) throw error;
    }
  }

  /** Has it, and the partner has not: it is sent there. */
  #sendOn(): void {
    const [wish, me, heard] = [this.#keeper.wish, this.#me(), this.#heard()];
    if (!wish || wish.end || !me || !heard || this.#transfer.isSending || this.#clock() < this.#retryAt) return;
    const { target } = wish;
    const isWanted = !has(heard.side, target) && heard.side.givenUp !== target && !heard.side.onTrial && !this.#asks();
    if (!has(me, target) || !isWanted || heard.wish?.number !== wish.number || heard.wish.target !== target) return;
    const head = this.#p.store.head();
    if (head?.manifest.version !== target) {
      this.#end({
        kind: 'stopped',
        text: `The update to ${target} cannot be sent from CoServer ${this.#p.coServer} any more: install it there again.`,
      });
      return;
    }
    const { program, slot } = head.manifest;
    const bytes = head.bytes.length + program.bytes + slot.bytes;
    void this.#transfer.send(target, bytes, (put) => this.#p.store.send(target, put)).then((outcome) => this.#sent(target, outcome));
  }

  /** Decided anew: the partner may have told since the last look that it knows of the update. */
  #asks(): boolean {
    const order = this.#decide();
    return order?.kind === 'wait' && order.asks === true;
  }

  #sent(target: string, outcome: Outcome): void {
    this.#retryAt = this.#clock() + RETRY_MS;
    this.#trouble = null;
    if (this.#keeper.wish?.target !== target || this.#keeper.wish.end) return;
    if (outcome.kind === 'whole') {
      this.#p.tell({ severity: 'info', text: `The update to ${target} was sent to the other CoServer, whole.` });
      return;
    }
    const { coServer } = this.#p;
    const text =
      outcome.kind === 'refused' && outcome.here
        ? `CoServer ${coServer} cannot send the update to ${target}: ${outcome.text}`
        : outcome.kind === 'refused'
          ? `CoServer ${coServer === 'A' ? 'B' : 'A'} does not take the update to ${target}: ${outcome.text}`
          : `The update to ${target} was broken off on its way: ${outcome.text}.`;
    if (outcome.kind === 'refused' && !PASSES.includes(outcome.reason)) this.#end({ kind: 'stopped', text });
    else this.#trouble = `${text} It is sent again.`;
  }

  async #receive(version: string, from: AsyncIterable<Buffer>): Promise<void> {
    if (this.#keeper.wish?.target !== version || this.#keeper.wish.end)
      throw new UpdateRefusal('busy', `The update to ${version} is not expected here.`);
    if (has(await this.#read(), version)) throw new UpdateRefusal('busy', `The update to ${version} is here already.`);
    await this.#p.store.receive(from, {
      onAccepted: (m) => {
        if (m.version !== version) throw new UpdateRefusal('manifest', `Version ${version} was offered, and ${m.version} comes.`);
      },
    });
    await this.#read();
  }

  #received(version: string, outcome: Outcome): void {
    if (outcome.kind === 'whole') this.#p.tell({ severity: 'info', text: `The update to ${version} came from the other CoServer, whole.` });
    this.#readAt = Number.NEGATIVE_INFINITY;
    void this.tick();
  }

  async #begin(mayRestartGuest: boolean, by: string): Promise<Answer> {
    const { coServer, store, level, hasWatchdog, engine } = this.#p;
    await this.#read();
    const [me, heard] = [this.#me(), this.#heard()];
    const begun = whyNotBegin({
      wish: this.#keeper.wish,
      me,
      partner: heard?.side ?? null,
      manifest: store.head()?.manifest ?? null,
      level,
      hasWatchdog,
    });
    if ('reason' in begun) return { accepted: false, reason: begun.reason };
    const { manifest, from } = begun;
    const wish: PairWish = {
      number: Math.max(this.#keeper.wish?.number ?? 0, this.#partner?.wish?.number ?? 0) + 1,
      startedOn: coServer,
      target: manifest.version,
      engine: manifest.engine,
      minimumFrom: manifest.minimumFrom,
      from,
      since: new Date().toISOString(),
      by,
      mayRestartGuest,
      end: null,
    };
    if (!this.#adopt(wish)) return { accepted: false, reason: NOT_KEPT };
    this.#p.tell({
      severity: 'info',
      text: `The update of both CoServers to ${wish.target} (engine ${wish.engine}, here ${engine}) was begun by ${by}.`,
    });
    void this.tick();
    return { accepted: true, detail: { version: wish.target } };
  }

  #onMessage(bytes: Buffer): void {
    try {
      const m = decodeMessage(bytes);
      if (m.kind !== 'state') {
        this.#transfer.onMessage(m);
        return;
      }
      this.#heardAt = this.#clock();
      this.#partner = { side: m.side, wish: m.wish };
      const heard = this.#keeper.hear(m.wish);
      if (heard === 'changed') this.#changed();
      else if (heard === 'notKept') this.#complain(NOT_KEPT);
    } catch (error) {
      this.#complain(`The partner said something about updates that cannot be understood: ${(error as Error).message}`);
    }
  }

  #adopt(wish: PairWish): boolean {
    const isKept = this.#keeper.adopt(wish);
    if (isKept) this.#changed();
    return isKept;
  }

  #end(end: WishEnd): boolean {
    const isKept = this.#keeper.end(end);
    if (isKept) this.#changed();
    else this.#complain(NOT_KEPT);
    return isKept;
  }

  #changed(): void {
    this.#trouble = null;
    this.#readAt = Number.NEGATIVE_INFINITY;
    if (this.#keeper.wish?.end) this.#transfer.drop('the update was stopped');
    this.#say();
  }

  #say(): void {
    const side = this.#me();
    if (side && this.#p.channel.isUp) this.#p.channel.send(...encodeMessage({ kind: 'state', wish: this.#keeper.wish, side }));
  }

  /** Told once, and again after a while. */
  #complain(text: string): void {
    const now = this.#clock();
    if (this.#problem.text === text && now - this.#problem.at < SAME_PROBLEM_MS) return;
    this.#problem = { text, at: now };
    this.#p.tell({ severity: 'warning', text: `The update of the pair: ${text}` });
  }
}

const NOT_KEPT = 'The state partition takes no more: make room there, then ask again.';
