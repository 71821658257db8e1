// A whole pair in one thread: the real core on both sides; links, witness, engines, streams and disks as models that
// fail. What the guest did is a list of numbers: an output released to the world must be in the list of whoever runs the
// guest later, in the same order. That is checked at every step, not by the core but by this file.
import {
  type Command,
  type DurableRecord,
  type Event,
  FRESH_RECORD,
  initialState,
  type PartnerStatus,
  type State,
  statusOf,
  step,
} from '../../appliance/core/machine.ts';
import { pictureOf } from '../../appliance/core/picture.ts';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { decideClaim, type WitnessGroup, witnessStart } from '../../appliance/core/witness.ts';
import type { NewEvent } from '../../appliance/runtime/pump.ts';
import { Random } from './random.ts';

/** What a deliberate mutant changes. Each must be caught. */
export interface Mutant {
  name: string;
  step?: typeof step;
  decideClaim?: typeof decideClaim;
  /** The gate forgets to hold: output leaves before the partner committed. */
  gateDoesNotHold?: boolean;
  /** Commands that stand behind `persist` do not wait for it. */
  persistIsNoBarrier?: boolean;
}

const REMIND_EVERY_MS = 500;
const PROBE_EVERY_MS = 200;
/** Probes that go unanswered, the partner's yield or the grant: a broken secondary that is asked must be gone after this long. */
const BROKEN_FOR_MS = 4_000;

type Output = 'none' | 'solo' | 'holding';

interface Side {
  name: CoServerName;
  alive: boolean;
  frozen: boolean;
  /** Counts lives: what an earlier life started never ends. */
  life: number;
  state: State;
  durable: DurableRecord;
  output: Output;
  /** The guest's work as this side has it: on disk and, while a replica runs, in memory. */
  work: number[];
  /** Primary: how much of `work` the current checkpoint session covers; null when there is no session. */
  session: number | null;
  guestRuns: boolean;
  queue: Promise<void> | null;
  pending: Command[];
  busyUntil: number;
  lastSaid: number;
  /** Since when the replica's guest here is broken, though its engine lives. */
  brokenAt: number | null;
  /** Until when somebody could ask it. */
  askableUntil: number | null;
  /** Primary: the current interval; whether the secondary of this session ever answered on a loaded checkpoint; when it was asked last. */
  interval: number;
  answered: boolean;
  probedAt: number;
}

interface Scheduled {
  at: number;
  order: number;
  run: () => void;
}

export class World {
  readonly random: Random;
  readonly story: string[] = [];
  now = 0;
  readonly sides: Record<CoServerName, Side>;
  linksUp = [true, true];
  witnessReachable: Record<CoServerName, boolean> = { A: true, B: true };
  witness: WitnessGroup = { ...witnessStart(null, 'one life'), confirmed: true };
  /** Everything the world has seen from the guest. */
  released: number[] = [];
  readonly #mutant: Mutant;
  readonly #queue: Scheduled[] = [];
  #order = 0;
  #nextWork = 1;
  readonly #keepStory: boolean;

  constructor(seed: number, mutant: Mutant = { name: 'none' }, keepStory = false) {
    this.random = new Random(seed);
    this.#mutant = mutant;
    this.#keepStory = keepStory;
    this.sides = { A: this.#newSide('A'), B: this.#newSide('B') };
    for (const name of ['A', 'B'] as const) this.#boot(this.sides[name]);
  }

  get isDuplex(): boolean {
    return [this.sides.A, this.sides.B].some(
      (s) => s.alive && s.state.phase.kind === 'duplex' && this.#partner(s).state.phase.kind === 'secondary',
    );
  }

  tell(text: string): void {
    if (this.#keepStory) this.story.push(`${this.now.toFixed(0).padStart(8)} ms  ${text}`);
  }

  runUntil(end: number, stop: () => boolean = () => false): void {
    for (;;) {
      let best = -1;
      for (let i = 0; i < this.#queue.length; i++) {
        const a = this.#queue[i];
        const b = this.#queue[best];
        if (a && (!b || a.at < b.at || (a.at === b.at && a.order < b.order))) best = i;
      }
      const next = this.#queue[best];
      if (!next || next.at > end || stop()) break;
      this.#queue.splice(best, 1);
      this.now = next.at;
      next.run();
    }
    this.now = Math.max(this.now, Math.min(end, this.now));
    if (!stop()) this.now = end;
  }

  // ---- faults

  powerOff(name: CoServerName): void {
    const s = this.sides[name];
    if (!s.alive) return;
    this.tell(`${name} loses power (${s.state.phase.kind})`);
    s.alive = false;
    s.frozen = false;
    s.life++;
    s.output = 'none';
    s.guestRuns = false;
    this.#endSession(s);
    this.#linksChanged();
  }

  powerOn(name: CoServerName): void {
    const s = this.sides[name];
    if (s.alive) return;
    this.tell(`${name} is switched on (record ${s.durable.standing} at ${s.durable.generation})`);
    s.alive = true;
    this.#boot(s);
    this.#linksChanged();
  }

  setLink(index: number, up: boolean): void {
    if (this.linksUp[index] === up) return;
    this.tell(`link ${index + 1} ${up ? 'mended' : 'cut'}`);
    this.linksUp[index] = up;
    this.#linksChanged();
  }

  setWitness(name: CoServerName, reachable: boolean): void {
    if (this.witnessReachable[name] !== reachable) this.tell(`witness ${reachable ? 'reachable' : 'unreachable'} from ${name}`);
    this.witnessReachable[name] = reachable;
  }

  freeze(name: CoServerName, forMs: number): void {
    const s = this.sides[name];
    if (!s.alive || s.frozen) return;
    this.tell(`${name} freezes for ${forMs.toFixed(0)} ms (${s.state.phase.kind})`);
    s.frozen = true;
    const life = s.life;
    this.#linksChanged();
    this.#later(forMs, () => {
      if (s.life !== life) return;
      s.frozen = false;
      this.tell(`${name} wakes`);
      this.#linksChanged();
    });
  }

  engineDies(name: CoServerName): void {
    const s = this.sides[name];
    if (!s.alive || s.frozen || !s.guestRuns) return;
    this.tell(`the engine of ${name} dies (${s.state.phase.kind})`);
    s.guestRuns = false;
    s.output = s.output === 'solo' ? 'none' : s.output;
    const p = this.#partner(s);
    const wasShared = s.session !== null && p.session !== null;
    this.#endSession(s);
    // Its stream closes a moment before or after its end is known; the partner hears of the stream, if it hears.
    const exited: NewEvent = { kind: 'engineExited', cause: 'crash', reason: 'killed' };
    if (!wasShared) {
      this.#feed(s, exited);
      return;
    }
    const lost = (byPartner: boolean): NewEvent => ({ kind: 'streamLost', stream: 'memory', cause: 'engine', byPartner, reason: 'closed' });
    this.#at(s, this.random.between(0, 20), () => this.#feed(s, exited));
    this.#at(s, this.random.between(0, 20), () => this.#feed(s, lost(false)));
    this.#later(this.random.between(1, 30), () => {
      if (this.#connected()) this.#at(p, 0, () => this.#feed(p, lost(true)));
    });
  }

  /** The guest of the secondary dies inside; its engine goes on. Only who asks it notices. */
  breakReplica(name: CoServerName): void {
    const s = this.sides[name];
    if (!s.alive || s.frozen || s.state.phase.kind !== 'secondary' || s.session === null || s.brokenAt !== null) return;
    this.tell(`the replica on ${name} breaks`);
    s.brokenAt = this.now;
  }

  // ---- the machinery

  #newSide(name: CoServerName): Side {
    return {
      name,
      alive: true,
      frozen: false,
      life: 0,
      state: this.#freshState(name, FRESH_RECORD),
      durable: FRESH_RECORD,
      output: 'none',
      work: [],
      session: null,
      guestRuns: false,
      queue: null,
      pending: [],
      busyUntil: 0,
      lastSaid: 0,
      brokenAt: null,
      askableUntil: null,
      interval: 0,
      answered: false,
      probedAt: 0,
    };
  }

  #freshState(name: CoServerName, record: DurableRecord): State {
    return initialState({
      me: name,
      incarnation: `${name}${this.#order++}`,
      pairId: 'p',
      version: '1',
      record,
      links: 2,
      now: this.now,
      adoptable: false,
      canCompare: true,
    });
  }

  #boot(s: Side): void {
    s.state = this.#freshState(s.name, s.durable);
    s.output = 'none';
    s.guestRuns = false;
    s.pending = [];
    s.busyUntil = 0;
    s.session = null;
    s.lastSaid = this.now;
    s.brokenAt = null;
    const life = s.life;
    const tick = () => {
      if (s.life !== life) return;
      if (!s.frozen) {
        this.#guestWorks(s);
        this.#probe(s);
        this.#feed(s, { kind: 'tick' });
        if (this.now - s.lastSaid >= REMIND_EVERY_MS) this.#say(s, statusOf(s.state));
      }
      this.#later(50, tick);
    };
    this.#later(this.random.between(0, 50), tick);
    for (const [i] of this.linksUp.entries()) this.#observe(s, i);
  }

  #partner(s: Side): Side {
    return this.sides[s.name === 'A' ? 'B' : 'A'];
  }

  #later(ms: number, run: () => void): void {
    this.#queue.push({ at: this.now + ms, order: this.#order++, run });
  }

  /** Runs when the side still lives and is awake; a frozen side gets it when it wakes. */
  #at(s: Side, ms: number, run: () => void): void {
    const life = s.life;
    const attempt = () => {
      if (s.life !== life || !s.alive) return;
      if (s.frozen) this.#later(5, attempt);
      else run();
    };
    this.#later(ms, attempt);
  }

  #connected(): boolean {
    return this.linksUp.some(Boolean) && this.sides.A.alive && this.sides.B.alive;
  }

  #linksChanged(): void {
    for (const s of [this.sides.A, this.sides.B]) if (s.alive) for (const [i] of this.linksUp.entries()) this.#observe(s, i);
    if (!this.#connected()) for (const s of [this.sides.A, this.sides.B]) this.#breakStream(s);
  }

  /** A heartbeat's verdict: up at the next frame, down after the time-out, if it is still so then. */
  #observe(s: Side, link: number): void {
    const isUp = () => this.linksUp[link] === true && this.#partner(s).alive && !this.#partner(s).frozen;
    const up = isUp();
    this.#at(s, up ? this.random.between(10, 60) : 300 + this.random.between(0, 40), () => {
      if (isUp() === up) this.#feed(s, { kind: 'linkObserved', link, up, silentMs: up ? 0 : 300 });
      else this.#observe(s, link);
    });
  }

  #breakStream(s: Side): void {
    if (s.session === null) return;
    this.#endSession(s);
  }

  #endSession(s: Side): void {
    for (const side of [s, this.#partner(s)]) if (side.session !== null) side.askableUntil = this.now;
    s.session = null;
    this.#partner(s).session = null;
  }

  #feed(s: Side, event: NewEvent): void {
    if (!s.alive || s.frozen) return;
    const before = s.state;
    const result = (this.#mutant.step ?? step)(before, { ...event, at: this.now } as Event);
    s.state = result.state;
    if (before.phase.kind !== result.state.phase.kind)
      this.tell(`${s.name}: ${before.phase.kind} -> ${result.state.phase.kind} (${result.state.phase.note})`);
    s.pending.push(...result.commands);
    this.#obey(s);
    this.#check();
  }

  #obey(s: Side): void {
    while (s.pending.length > 0 && s.busyUntil <= this.now) {
      const c = s.pending.shift();
      if (!c) return;
      const barrier = this.#obeyOne(s, c);
      if (barrier > 0 && !(c.kind === 'persist' && this.#mutant.persistIsNoBarrier)) {
        s.busyUntil = this.now + barrier;
        this.#at(s, barrier, () => this.#obey(s));
      }
    }
  }

  /** Obeys one command; the ms for which what follows must wait. */
  #obeyOne(s: Side, c: Command): number {
    const done = (ms: number, ok: () => boolean, effect: () => void = () => undefined) =>
      this.#at(s, ms, () => {
        const good = ok();
        if (good) effect();
        this.#feed(s, { kind: 'commandFinished', command: c.kind, ok: good, reason: good ? '' : 'simulated failure' });
      });
    const p = this.#partner(s);
    const quick = this.random.between(5, 40);
    switch (c.kind) {
      case 'record':
        this.tell(`${s.name} notes: ${c.row ? `[${c.row}] ` : ''}${c.text}`);
        return 0;
      case 'persist': {
        const ms = this.random.between(1, 20);
        this.#at(s, ms * 0.9, () => {
          if (c.record.generation < s.durable.generation)
            throw new Violation(`${s.name} writes generation ${c.record.generation} after ${s.durable.generation}`);
          s.durable = c.record;
        });
        return ms;
      }
      case 'freeze':
        if (s.output !== 'none') s.output = 'none';
        return 0;
      case 'say':
        this.#say(s, c.status);
        return 0;
      case 'incident':
        this.tell(`${s.name} found: ${c.sentence}`);
        return 0;
      case 'setMode':
      case 'armWatchdog':
      case 'redirectNetwork':
      case 'lendNetwork':
      case 'repairBlock':
      case 'quarantineBlock':
      case 'endServer':
      case 'fence':
        return 0;
      case 'claim':
        this.#claim(s, c.generation);
        return 0;
      case 'startGuest':
      case 'adoptGuest':
        done(
          this.random.between(300, 3000),
          () => true,
          () => {
            s.guestRuns = true;
            s.output = 'solo';
          },
        );
        return 0;
      case 'keepHistory':
      case 'openTarget':
      case 'openIncoming':
        done(quick * 5, () => this.random.chance(0.97));
        return 0;
      case 'resync':
        done(
          this.random.between(100, 2000),
          () => this.#connected() && p.state.phase.kind === 'target',
          () => {
            p.work = [...s.work];
          },
        );
        return 0;
      case 'protect':
        done(
          this.random.between(200, 2500),
          () => this.#connected() && p.state.phase.kind === 'incoming' && this.random.chance(0.97),
          () => {
            // The guest is stopped while its memory is copied: nothing happens between this and the first interval.
            s.output = 'none';
            p.brokenAt = null;
            p.work = [...s.work];
            this.#at(p, 0, () => this.#feed(p, { kind: 'readyHeld' }));
            this.#feed(s, { kind: 'readyHeld' });
          },
        );
        return 0;
      case 'releaseReady':
        done(
          quick,
          () => this.#connected() && p.state.phase.kind === 'ready',
          () => {
            s.output = 'holding';
            s.interval = 1;
            s.answered = false;
            s.session = s.work.length;
            p.session = s.work.length;
            p.guestRuns = true;
            this.#at(p, this.random.between(1, 20), () => this.#feed(p, { kind: 'intervalsStarted' }));
          },
        );
        return 0;
      case 'takeOver':
        this.#checkFitness(s);
        this.#endSession(s);
        done(
          quick,
          () => true,
          () => {
            s.guestRuns = true;
            s.output = 'solo';
          },
        );
        return 0;
      case 'continueAlone':
      case 'abandonPartner':
        this.#endSession(s);
        done(
          quick,
          () => true,
          () => {
            if (s.guestRuns) s.output = 'solo';
          },
        );
        return 0;
      case 'stopAll':
      case 'leaveLockstep':
        this.#endSession(s);
        done(
          quick,
          () => true,
          () => {
            s.guestRuns = false;
            s.output = 'none';
          },
        );
        return 0;
      case 'shutDownGuest':
        done(500, () => true);
        return 0;
      case 'fence':
      case 'armWatchdog':
        return 0;
      default:
        c satisfies never;
        return 0;
    }
  }

  #say(s: Side, status: PartnerStatus): void {
    const p = this.#partner(s);
    const life = p.life;
    s.lastSaid = this.now;
    this.#later(this.random.between(1, 30), () => {
      if (this.#connected() && p.life === life) this.#at(p, 0, () => this.#feed(p, { kind: 'partnerSaid', status, path: 'link' }));
    });
  }

  #claim(s: Side, generation: number): void {
    const answer = (event: NewEvent, ms: number) => this.#at(s, ms, () => this.#feed(s, event));
    const lost = () => answer({ kind: 'arbiterAnswered', generation, answer: 'unreachable', reason: 'no answer' }, 600);
    if (!this.witnessReachable[s.name]) {
      lost();
      return;
    }
    this.#later(this.random.between(1, 30), () => {
      const decision = (this.#mutant.decideClaim ?? decideClaim)(this.witness, { generation, claimant: s.name, seen: null });
      this.witness = decision.group;
      const { answer: said } = decision;
      this.tell(`witness: ${s.name} asks after ${generation}: ${said.kind}`);
      if (!this.witnessReachable[s.name]) {
        lost();
        return;
      }
      answer(
        {
          kind: 'arbiterAnswered',
          generation,
          answer: said.kind === 'unconfirmed' ? 'unreachable' : said.kind,
          reason: said.kind === 'granted' ? '' : said.reason,
        },
        this.random.between(1, 30),
      );
    });
  }

  /** Each tick the guest does something, and what may leave leaves. */
  #guestWorks(s: Side): void {
    if (!s.guestRuns || s.output === 'none') return;
    s.work.push(this.#nextWork++);
    if (s.output === 'solo') this.#release(s, s.work.length);
    else if (this.#mutant.gateDoesNotHold) this.#release(s, s.work.length);
    if (s.output === 'holding' && s.session !== null && this.random.chance(0.5)) {
      // A checkpoint: the partner owns what was done so far; the news of it may come late or never.
      const p = this.#partner(s);
      const covered = s.work.length;
      if (!this.#connected() || p.frozen || p.session === null) return;
      const session = p.life;
      p.work = s.work.slice(0, covered);
      p.session = covered;
      this.#at(s, this.random.between(1, 30), () => {
        if (this.#connected() && p.life === session && s.session !== null && s.output === 'holding') {
          s.session = covered;
          s.interval++;
          this.#release(s, covered);
        }
      });
    }
  }

  /** Both guests are asked the same; what they say never leaves. */
  #probe(s: Side): void {
    const p = this.#partner(s);
    if (s.output !== 'holding' || s.session === null || p.session === null || !this.#connected() || p.frozen) return;
    if (this.now - s.probedAt < PROBE_EVERY_MS) return;
    s.probedAt = this.now;
    const { interval } = s;
    const isBroken = p.brokenAt !== null;
    const life = s.session;
    this.#at(s, isBroken ? this.random.between(300, 900) : this.random.between(2, 40), () => {
      if (s.session === null || s.output !== 'holding' || life > s.session) return;
      if (!isBroken && interval >= 2) s.answered = true;
      this.#feed(s, { kind: 'probed', probe: 'arp', outcome: isBroken ? 'missing' : 'answered', interval, detail: 'no answer' });
    });
  }

  #checkFitness(s: Side): void {
    if (s.brokenAt === null) return;
    const askableMs = (s.session === null ? (s.askableUntil ?? this.now) : this.now) - s.brokenAt;
    if (askableMs > BROKEN_FOR_MS)
      throw new Violation(`${s.name} takes over with a replica that could be asked while broken for ${Math.round(askableMs)} ms`);
  }

  #release(s: Side, count: number): void {
    for (let i = this.released.length; i < count; i++) {
      const value = s.work[i];
      if (value !== undefined) this.released.push(value);
    }
    for (let i = 0; i < Math.min(count, this.released.length); i++) {
      if (s.work[i] !== this.released[i]) throw new Violation(`${s.name} lets out a history that differs from what the world saw at ${i}`);
    }
    if (count < this.released.length)
      throw new Violation(`${s.name} runs with ${count} of ${this.released.length} acknowledged outputs: acknowledged work was lost`);
  }

  #check(): void {
    for (const s of [this.sides.A, this.sides.B])
      if (s.alive && s.state.phase.kind === 'duplex' && !s.answered && pictureOf(s.state).redundancy === 'duplex')
        throw new Violation(`${s.name} says protected, and the secondary has not answered on a loaded checkpoint`);
    const solo = [this.sides.A, this.sides.B].filter((s) => s.alive && s.output === 'solo');
    if (solo.length > 1) throw new Violation('both CoServers let output go alone');
    for (const s of solo) {
      if (s.durable.standing === 'outdated' || s.durable.standing === 'inconsistent')
        throw new Violation(`${s.name} lets output go from a copy recorded as ${s.durable.standing}`);
      const grant = this.witness.memory;
      if (grant && grant.generation > s.durable.generation && grant.owner !== s.name)
        throw new Violation(
          `${s.name} lets output go as generation ${s.durable.generation}, but ${grant.generation} was granted to ${grant.owner}`,
        );
    }
  }
}

export class Violation extends Error {
  override name = 'Violation';
}
