// The guest and its replica: what it does, how far the partner has it, and what the world gets to see. While one runs alone,
// everything leaves at once. While two run, nothing leaves and no write is acknowledged before the partner has it.
import type { StreamLossCause } from '../../appliance/core/machine.ts';
import type { NewEvent } from '../../appliance/runtime/pump.ts';
import { type Deed, deedAfter } from './history.ts';
import type { CoServer } from './side.ts';
import type { World } from './world.ts';

/** solo: everything leaves. holding: what the partner has leaves. frozen: withheld. closed: nothing runs that could speak. */
export type Gate = 'closed' | 'solo' | 'holding' | 'frozen';

export interface Replica {
  role: 'alone' | 'primary' | 'secondary';
  /** Its memory and what it knows of its disk. */
  deed: Deed;
  /** Stopped while its memory is copied. */
  paused: boolean;
  /** Since when its guest is dead inside, though the engine lives. */
  brokenAt: number | null;
}

/** Two replicas that run as one. */
interface Session {
  number: number;
  primary: CoServer;
  secondary: CoServer;
  interval: number;
  /** The secondary answered on a loaded checkpoint. */
  answered: boolean;
  probedAt: number;
  /** A deed of the primary is on its way to the secondary, or the news of it on its way back. */
  underWay: boolean;
}

const PROBE_EVERY_MS = 400;

/** Phases in which streams to the partner are open, and no checkpoint was taken yet. */
const JOINED: readonly string[] = ['resyncing', 'protecting', 'committing', 'target', 'incoming', 'ready'];

export class Guests {
  /** The life of the streams over which the guest's memory went. */
  copiedOver = 0;
  session: Session | null = null;
  readonly #world: World;
  #number = 0;

  constructor(world: World) {
    this.#world = world;
    this.#work();
  }

  #work(): void {
    const world = this.#world;
    world.later(world.random.between(0.5, 1.5) * world.speeds.workMs, () => {
      for (const s of world.both) {
        if (!s.isAwake || !s.guest || s.guest.paused) continue;
        if (s.guest.role !== 'secondary') s.diskGuest.works();
        else if (world.level === 3 && !world.isLockstep) s.diskGuest.worksPrivately();
        if (s.gate === 'solo') this.#aloneWorks(s, s.guest);
        else if (s.guest.role === 'primary') this.#primaryWorks(s, s.guest);
      }
      this.#work();
    });
  }

  #aloneWorks(s: CoServer, guest: Replica): void {
    if (s.disk.failed) return;
    guest.deed = deedAfter(guest.deed);
    s.disk.content = guest.deed;
    this.#world.checkers.emitted(s, guest.deed, 'solo');
    if (this.#world.random.chance(0.4)) {
      s.disk.flushed = guest.deed;
      this.#world.checkers.flushed(guest.deed);
    }
  }

  #primaryWorks(s: CoServer, guest: Replica): void {
    const { flaws, checkers, random } = this.#world;
    const { session } = this;
    if (flaws.notHeldWhileDeciding && (s.gate === 'frozen' || (s.gate === 'holding' && !session))) {
      guest.deed = deedAfter(guest.deed);
      s.disk.content = guest.deed;
      checkers.emitted(s, guest.deed, 'duplex');
      return;
    }
    if (s.gate !== 'holding') return;
    // Level 2: what the guest says leaves at once; only the acknowledgements of writes wait.
    if (this.#world.level === 2) checkers.spoke(s);
    if (!session || session.primary !== s || s.disk.failed) return;
    if (!session.underWay) {
      guest.deed = deedAfter(guest.deed);
      s.disk.content = guest.deed;
      if (flaws.gateDoesNotHold) checkers.emitted(s, guest.deed, 'duplex');
      this.#mirror(session, guest.deed, random.chance(0.4));
    }
    this.#probe(session);
  }

  /** The write and what rests on it go to the secondary; the news that it has them comes back; then the answer leaves. */
  #mirror(session: Session, deed: Deed, isFlush: boolean): void {
    const { network, checkers, random } = this.#world;
    const { primary, secondary } = session;
    session.underWay = true;
    network.send(primary, () => {
      if (this.session !== session || !secondary.guest || secondary.disk.failed) return;
      secondary.guest.deed = deed;
      secondary.disk.content = deed;
      if (isFlush) secondary.disk.flushed = deed;
      network.send(secondary, () => {
        if (this.session !== session) return;
        session.underWay = false;
        if (random.chance(0.7)) session.interval++;
        if (primary.gate !== 'holding' || !primary.guest) return;
        if (isFlush) primary.disk.flushed = deed;
        checkers.emitted(primary, deed, 'duplex');
        if (isFlush) checkers.flushed(deed);
      });
    });
  }

  /** Both guests are asked the same; what they say never leaves. */
  #probe(session: Session): void {
    const { now, random, network, checkers } = this.#world;
    const { primary, secondary, interval } = session;
    if (this.#world.level === 2 || now - session.probedAt < PROBE_EVERY_MS || !network.passes) return;
    session.probedAt = now;
    const isBroken = secondary.guest === null || secondary.guest.brokenAt !== null;
    primary.at(isBroken ? random.between(300, 900) : random.between(2, 40), () => {
      if (this.session !== session || primary.gate !== 'holding') return;
      if (!isBroken && interval >= 2) session.answered = true;
      checkers.asked(secondary, !isBroken);
      primary.feed({ kind: 'probed', probe: 'arp', outcome: isBroken ? 'missing' : 'answered', interval, detail: 'no answer' });
    });
  }

  /** After a standstill, before anything else is read. */
  wakes(s: CoServer): void {
    if (s.guest?.role !== 'primary' || s.guest.paused) return;
    if (s.gate === 'holding' && this.#world.level === 2) this.#world.checkers.spoke(s);
  }

  // ---- changes

  begin(primary: CoServer, secondary: CoServer): void {
    this.#world.checkers.asked(secondary, true);
    this.#world.checkers.joined(primary, secondary);
    primary.copy.interval = this.#world.level === 3 ? 1 : 0;
    this.session = {
      number: ++this.#number,
      primary,
      secondary,
      interval: 1,
      answered: false,
      probedAt: this.#world.now,
      underWay: false,
    };
  }

  /** Without a word to anybody: whoever ends it knows. */
  end(): void {
    this.session = null;
  }

  /** `s` leaves the session; the partner finds its streams ended. */
  leave(s: CoServer): void {
    const { session } = this;
    if (!session || (session.primary !== s && session.secondary !== s)) return;
    this.session = null;
    const p = s.partner;
    const { life } = p;
    this.#world.network.send(s, () => {
      const { kind } = p.state.phase;
      if (p.life === life && (kind === 'duplex' || kind === 'secondary')) this.#lost(p, 'stopped', true, 'ended by the partner');
    });
  }

  /** The streams between the two broke: each side that still lives notices in its time. */
  streamsBroke(): void {
    const { session } = this;
    const { random, both } = this.#world;
    for (const s of both) {
      const { kind } = s.state.phase;
      if (!s.running || (!JOINED.includes(kind) && session?.primary !== s && session?.secondary !== s)) continue;
      const { phase } = s.state;
      s.at(random.between(0.1, 50), () => {
        if (s.state.phase.since === phase.since && s.state.phase.kind === kind) this.#lost(s, 'channel', false, 'the stream broke');
      });
    }
    this.session = null;
  }

  #lost(s: CoServer, cause: StreamLossCause, byPartner: boolean, reason: string): void {
    s.feed({ kind: 'streamLost', stream: 'memory', cause, byPartner, reason });
  }

  /** A process ended; its streams break with it. */
  ended(s: CoServer): void {
    if (this.session?.primary === s || this.session?.secondary === s) this.streamsBroke();
  }

  engineDies(s: CoServer, cause: 'crash' | 'guestPanic' | 'guestShutdown'): void {
    if (!s.guest) return;
    this.#world.checkers.failed(s);
    this.#world.tell(() => `the engine of ${s.name} ends: ${cause} (${s.state.phase.kind})`);
    s.endGuest();
    s.openings++;
    if (s.gate === 'solo') s.gate = 'closed';
    const { session } = this;
    const { random } = this.#world;
    const exited: NewEvent = { kind: 'engineExited', cause, reason: cause };
    if (!session || (session.primary !== s && session.secondary !== s)) {
      s.at(0, () => s.feed(exited));
      return;
    }
    this.session = null;
    // Its stream closes a moment before or after its end is known; the partner hears of the stream, if it hears.
    s.at(random.between(0, 20), () => s.feed(exited));
    s.at(random.between(0, 20), () => this.#lost(s, 'engine', false, 'closed'));
    const p = s.partner;
    this.#world.network.send(s, () => this.#lost(p, 'engine', true, 'closed'));
  }

  /** The guest of the secondary dies inside; its engine goes on. Only who asks it notices. */
  breakReplica(s: CoServer): void {
    if (this.session?.secondary !== s || !s.guest || s.guest.brokenAt !== null) return;
    this.#world.tell(() => `the replica on ${s.name} breaks`);
    s.guest.brokenAt = this.#world.now;
    this.#world.checkers.failed(s);
    const how = this.#world.random.next();
    if (how < 0.2) s.at(500, () => s.feed({ kind: 'replicaPanicked', reason: 'panic' }));
    else if (how < 0.4) s.at(500, () => s.feed({ kind: 'pageDiffered', detail: 'page 7' }));
  }

  /** A checkpoint hangs: the primary finds it stalled. */
  stall(s: CoServer): void {
    const { session } = this;
    if (session?.primary !== s) return;
    this.session = null;
    s.at(0, () => this.#lost(s, 'stalled', false, 'no answer'));
    const p = s.partner;
    p.at(this.#world.random.between(0, 1_000), () => {
      if (p.state.phase.kind === 'secondary') this.#lost(p, 'protocol', this.#world.random.chance(0.5), 'torn');
    });
  }
}
