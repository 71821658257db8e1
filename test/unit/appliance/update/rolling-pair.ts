// Two servers and a guest, updated by a rule. Orders are obeyed; what else happens (messages, starts, trials, resyncs, losses of power) comes in any
// order, from a list of choices. What must never be is thrown, with the story so far.
import { mergeWishes, type PairWish } from '../../../../appliance/update/pair-wish.ts';
import { levelOrder, RETURN_MS, type RollingOrder, type RollingPicture, type RollingSide } from '../../../../appliance/update/rolling.ts';

export const OLD = '1.0.0';
export const NEW = '1.1.0';

export interface PairOptions {
  /** Servers on which the new version never becomes healthy. */
  bad?: readonly number[];
  /** The new version brings another engine. */
  newEngine?: boolean;
  /** It brings another microcode: found only while it runs. */
  newMicrocode?: boolean;
  level?: 2 | 3;
  mayRestartGuest?: boolean;
  rule: (p: RollingPicture) => RollingOrder;
}

type Index = 0 | 1;

interface Server extends RollingSide {
  /** down: its power is off; process: only the process is away. */
  state: 'up' | 'down' | 'process';
  /** By an order, not by a fault. */
  isOrdered: boolean;
  isDead: boolean;
  /** Trials left of the version that the next start tries; null: none. */
  left: number | null;
  /** What it has heard of the other one. */
  seen: { side: RollingSide; wish: PairWish | null } | null;
  seenMsAgo: number;
  wish: PairWish | null;
  /** At which its next process runs. */
  nextLevel: 2 | 3;
}

const other = (i: Index): Index => (i === 0 ? 1 : 0);

export class RollingPair {
  readonly servers: [Server, Server];
  readonly o: Required<PairOptions>;
  isDuplex = true;
  guestRestarts = 0;
  /** A fault hit the only one that ran the guest: nothing that a rule could do. */
  twoFaults = false;
  faults = 0;
  readonly #log: string[] = [];

  constructor(options: PairOptions) {
    this.o = { bad: [], newEngine: false, newMicrocode: false, level: 3, mayRestartGuest: true, ...options };
    const { level, mayRestartGuest, newEngine } = this.o;
    const wish: PairWish = {
      number: 1,
      startedOn: 'A',
      target: NEW,
      engine: newEngine ? '12' : '11',
      minimumFrom: OLD,
      from: [OLD],
      since: '',
      by: '',
      mayRestartGuest,
      end: null,
    };
    const server = (role: 'primary' | 'secondary'): Server => ({
      version: OLD,
      onTrial: false,
      received: role === 'primary' ? NEW : null,
      givenUp: null,
      role,
      engine: '11',
      level,
      state: 'up',
      isOrdered: false,
      isDead: false,
      left: null,
      seen: null,
      seenMsAgo: 0,
      wish: role === 'primary' ? wish : null,
      nextLevel: level,
    });
    this.servers = [server('primary'), server('secondary')];
  }

  fail(what: string): never {
    const sides = this.servers.map((s) => JSON.stringify({ ...s, seen: undefined, wish: s.wish?.end }));
    throw new Error(`${what}\n${this.#log.slice(-40).join('\n')}\n${sides.join('\n')}`);
  }

  order(i: Index): RollingOrder {
    const me = this.servers[i];
    const { seen, wish } = me;
    const common = {
      coServer: i === 0 ? ('A' as const) : ('B' as const),
      me: sideOf(me),
      level: this.o.level,
      whyNotLockstep: this.#isRefused ? 'microcode: 1 on A, 2 on B' : null,
      hasWatchdog: true,
      mayRestartGuest: wish?.mayRestartGuest ?? false,
    };
    if (wish === null) return { kind: 'wait', text: 'no wish' };
    if (wish.end)
      return (
        (seen && levelOrder({ ...common, partner: seen.side })) ?? { kind: wish.end.kind === 'done' ? 'done' : 'stop', text: wish.end.text }
      );
    return this.o.rule({
      ...common,
      target: NEW,
      engine: wish.engine,
      partner: seen?.side ?? null,
      partnerKnows: seen?.wish?.number === 1,
      partnerSilentMs: seen ? 0 : me.seenMsAgo,
      isDuplex: this.isDuplex,
      mayMove: this.isDuplex && me.role === 'primary',
    });
  }

  obey(i: Index): void {
    const me = this.servers[i];
    const partner = this.servers[other(i)];
    if (me.state !== 'up') return;
    const order = this.order(i);
    this.#say(i, `${order.kind} ${order.text}`);
    switch (order.kind) {
      case 'moveWorkload':
        if (!this.isDuplex || partner.state !== 'up' || partner.onTrial || me.role !== 'primary')
          this.fail('moved to a server that cannot have it');
        if (me.level === 2) this.#restartGuest();
        me.role = 'secondary';
        partner.role = 'primary';
        return;
      case 'restartSelf':
        if (me.role === 'primary' || !this.isDuplex || partner.role !== 'primary') this.fail('the guest was left alone');
        if (partner.isOrdered) this.fail('both restart at once');
        if (me.received !== NEW) this.fail('starts again for nothing');
        me.left = 3;
        me.nextLevel = order.level;
        this.#down(i, true);
        return;
      case 'restartProcess':
        if (partner.isOrdered) this.fail('both processes restart at once');
        if (me.level === order.level) this.fail('a process starts again for nothing');
        me.state = 'process';
        me.isOrdered = true;
        me.nextLevel = order.level;
        this.isDuplex = false;
        if (me.role === 'secondary') me.role = 'none';
        return;
      case 'done':
      case 'stop':
        if (me.wish && !me.wish.end) me.wish = { ...me.wish, end: { kind: order.kind === 'done' ? 'done' : 'stopped', text: order.text } };
        return;
      default:
        return;
    }
  }

  /** What time brings to one server. `luck`: which of several things. */
  happen(i: Index, luck: number): void {
    const me = this.servers[i];
    const partner = this.servers[other(i)];
    if (me.isDead) return;
    if (me.state === 'down') this.#start(i);
    else if (me.state === 'process') this.#startProcess(i);
    else if (luck === 0 && partner.state === 'up') this.#hear(i);
    else if (luck === 1 && partner.state !== 'up') {
      me.seen = null;
      me.seenMsAgo += RETURN_MS / (partner.isDead ? 4 : 400);
    } else if (me.onTrial && luck === 2) this.#tried(i);
    else if (!has(me) && me.givenUp === null && has(partner) && !me.onTrial && partner.state === 'up' && partner.wish) me.received = NEW;
    else this.#join();
  }

  loosePower(i: Index, forEver = false): void {
    const me = this.servers[i];
    if (me.isDead || me.state === 'down') return;
    this.faults += 1;
    this.#say(i, 'loses its power');
    me.isDead = forEver;
    this.#down(i, false);
  }

  get isOver(): boolean {
    return [0, 1].every((i) => {
      const s = this.servers[i === 0 ? 0 : 1];
      if (s.isDead) return true;
      // Who asked died before it could tell.
      if (s.wish === null) return this.servers.some((one) => one.isDead);
      if (s.state !== 'up' || s.wish.end === null || s.onTrial) return false;
      const order = this.order(i === 0 ? 0 : 1);
      const isLast = s.seen !== null || this.servers.some((one) => one.isDead);
      return isLast && (order.kind === 'done' || order.kind === 'stop' || (order.kind === 'wait' && order.asks === true));
    });
  }

  /** The guest is somewhere, and runs. */
  check(): void {
    const at = this.servers.filter((s) => s.role === 'primary');
    if (at.length > 1) this.fail('two primaries');
    if (this.twoFaults) return;
    if (at.length === 0 || at[0]?.state === 'down') this.fail('the guest is nowhere');
    if (at[0]?.onTrial && this.faults === 0) this.fail('the guest is on a server on trial');
  }

  #down(i: Index, isOrdered: boolean): void {
    const me = this.servers[i];
    const partner = this.servers[other(i)];
    me.state = 'down';
    me.isOrdered = isOrdered;
    me.seen = null;
    me.seenMsAgo = 0;
    const hadGuest = me.role === 'primary';
    me.role = 'none';
    if (hadGuest && this.isDuplex) {
      partner.role = 'primary';
      if (me.level === 2) this.#restartGuest();
    } else if (hadGuest) {
      this.twoFaults = true;
    }
    this.isDuplex = false;
  }

  #restartGuest(): void {
    this.guestRestarts += 1;
    if (!this.o.mayRestartGuest && this.faults === 0) this.fail('the guest was restarted without a word');
  }

  /** The boot loader counts, and takes the old one when no try is left. */
  #start(i: Index): void {
    const me = this.servers[i];
    me.isOrdered = false;
    if (me.left !== null && me.left > 0) {
      Object.assign(me, { version: NEW, onTrial: true, received: null, left: me.left - 1 });
    } else if (me.left === 0) {
      Object.assign(me, { version: OLD, onTrial: false, givenUp: NEW, left: null });
    }
    me.engine = me.version === NEW && this.o.newEngine ? '12' : '11';
    this.#startProcess(i);
  }

  #startProcess(i: Index): void {
    const me = this.servers[i];
    Object.assign(me, { state: 'up', isOrdered: false, level: me.nextLevel, seen: null, seenMsAgo: 0 });
    this.#say(i, `is up with ${me.version}${me.onTrial ? ' on trial' : ''}, level ${me.level}`);
    if (this.servers.every((s) => s.role !== 'primary')) me.role = 'primary';
  }

  #tried(i: Index): void {
    const me = this.servers[i];
    if (!this.o.bad.includes(i)) Object.assign(me, { onTrial: false, left: null });
    else this.#down(i, false);
  }

  #hear(i: Index): void {
    const [me, partner] = [this.servers[i], this.servers[other(i)]];
    me.seen = { side: sideOf(partner), wish: partner.wish };
    me.wish = mergeWishes(me.wish, partner.wish);
  }

  #join(): void {
    const [a, b] = this.servers;
    if (a.state !== 'up' || b.state !== 'up' || a.level !== b.level) return;
    // After a loss of power it may come to that for a moment, and qualification refuses it.
    if (a.level === 3 && a.engine !== b.engine && this.faults === 0) this.fail('two engines at level 3');
    if (a.level === 3 && (a.engine !== b.engine || this.#isRefused)) return;
    const joining = this.servers.find((s) => s.role === 'none');
    if (joining) {
      joining.role = 'secondary';
      return;
    }
    if (!this.isDuplex) this.#say(0, 'the pair is duplex');
    this.isDuplex = true;
  }

  get #isRefused(): boolean {
    return this.o.newMicrocode && this.servers[0].version !== this.servers[1].version;
  }

  #say(i: number, text: string): void {
    this.#log.push(`${i}: ${text}`);
  }
}

const has = (s: RollingSide) => s.version === NEW || s.received === NEW;

function sideOf({ version, onTrial, received, givenUp, role, engine, level }: Server): RollingSide {
  return { version, onTrial, received, givenUp, role, engine, level };
}
