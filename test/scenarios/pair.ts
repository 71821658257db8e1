// Two real cores and a world on paper around them: links, management network, witness, management controllers, power. Everything
// takes the same time in every run, so that what happens is a story and no statistics (that is test/simulator/).
//
// The statuses are the cores' own, the witness is core/witness.ts; engines and disks are only the answers that commands get.
import {
  type Arbiter,
  type Command,
  type DurableRecord,
  dueAt,
  type Event,
  FRESH_RECORD,
  initialState,
  type PartnerStatus,
  type State,
  statusOf,
  step,
} from '../../appliance/core/machine.ts';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { NewEvent } from '../../appliance/runtime/pump.ts';
import { Agenda } from './agenda.ts';
import { NEEDS_PARTNER, reasonOf, TAKES_MS } from './duties.ts';
import { PaperWitness } from './paper-witness.ts';

const TICK_MS = 50;
/** For long quiet times: nothing in them is decided within a second. */
const COARSE_TICK_MS = 1_000;
const COARSE_FROM_MS = 120_000;
const REMIND_MS = 500;
const LINK_SILENT_MS = 300;
const PROBE_MS = 2_000;
/** The witness is told where this CoServer stands, and asked whether it would decide. */
const REPORT_MS = 1_000;
/** From the end of a process until the next one decides. */
const PROCESS_BACK_MS = 1_000;

export type Controller = 'answers' | 'silent' | 'lies';

export interface PairSettings {
  witness: boolean;
  fence: boolean;
  level: 2 | 3;
  version: Record<CoServerName, string>;
  compatible: readonly string[];
}

/** One step of one core, or something that happened in the world. */
export type Fact =
  | { at: number; side: CoServerName; event: Event; before: State; after: State; commands: readonly Command[] }
  | { at: number; said: string };

interface Side {
  readonly name: CoServerName;
  powered: boolean;
  awake: boolean;
  /** Counts lives: what an earlier life started never ends. */
  life: number;
  state: State;
  durable: DurableRecord;
  pending: Command[];
  busyUntil: number;
  /** What arrived while it was asleep. */
  unread: NewEvent[];
  sleptAt: number;
  controller: Controller;
  reachesWitness: boolean;
  witnessUsable: string | null;
  /** The replica here answers no probe. */
  replicaBroken: boolean;
  /** Its disk opens. */
  diskWorks: boolean;
  probed: number;
}

const NAMES = ['A', 'B'] as const;
/** Phases in which an engine runs the guest of this CoServer. */
const GUEST_OUTLIVES: readonly string[] = ['running', 'resyncing', 'protecting', 'committing', 'duplex'];

export class Pair {
  readonly facts: Fact[] = [];
  readonly sides: Readonly<Record<CoServerName, Side>>;
  readonly #settings: PairSettings;
  readonly #linksUp = [true, true];
  #managementUp = true;
  readonly #witness = new PaperWitness();
  #coarse = false;
  #lives = 0;
  readonly #agenda = new Agenda();

  constructor(settings: PairSettings) {
    this.#settings = settings;
    this.sides = { A: this.#newSide('A'), B: this.#newSide('B') };
  }

  // ---- time

  get now(): number {
    return this.#agenda.now;
  }

  run(ms: number): void {
    this.#coarse = ms >= COARSE_FROM_MS;
    this.#agenda.runUntil(this.now + ms, () => false);
    this.#coarse = false;
  }

  /** Until it is so; throws when it does not become so. */
  runUntil(what: string, isSo: () => boolean, withinMs = 60_000): void {
    this.#agenda.runUntil(this.now + withinMs, isSo);
    if (!isSo()) throw new Error(`not ${what} within ${withinMs / 1000} s: A is ${this.describe('A')}, B is ${this.describe('B')}`);
  }

  describe(name: CoServerName): string {
    const s = this.sides[name];
    const { generation, standing } = s.durable;
    const record = `generation ${generation}, ${standing}`;
    if (!s.powered) return `without power (${record})`;
    return `${s.awake ? '' : 'asleep, '}${s.state.phase.kind} (${record})`;
  }

  get isDuplex(): boolean {
    return NAMES.some(
      (n) =>
        this.sides[n].state.phase.kind === 'duplex' &&
        statusOf(this.sides[n].state).proved &&
        this.#other(n).state.phase.kind === 'secondary',
    );
  }

  arbiter(name: CoServerName): Arbiter {
    return this.sides[name].durable.arbiter;
  }

  get primary(): Side {
    return this.sides[this.sides.B.state.phase.kind === 'duplex' ? 'B' : 'A'];
  }

  // ---- what may happen

  powerOn(name: CoServerName): void {
    const s = this.sides[name];
    if (s.powered) throw new Error(`${name} has power already`);
    s.powered = true;
    this.#boot(s, false);
  }

  /** Our process alone: an engine that runs the guest outlives it, and waits. */
  endProcess(name: CoServerName): void {
    const s = this.sides[name];
    if (!s.powered) throw new Error(`${name} has no power`);
    const hasGuest = GUEST_OUTLIVES.includes(s.state.phase.kind);
    s.powered = false;
    const life = ++s.life;
    this.#surroundingsChanged();
    this.#agenda.in(PROCESS_BACK_MS, () => {
      if (s.powered || s.life !== life) return;
      this.facts.push({ at: this.now, said: `The process on CoServer ${name} is back.` });
      s.powered = true;
      this.#boot(s, hasGuest);
      const p = this.#other(name);
      this.#later(p, 50, () => this.#feed(p, { kind: 'partnerRestarted' }));
    });
  }

  #boot(s: Side, adoptable: boolean): void {
    const { name } = s;
    s.awake = true;
    s.life++;
    s.state = this.#bootState(name, s.durable, adoptable);
    s.pending = [];
    s.busyUntil = 0;
    s.unread = [];
    s.witnessUsable = null;
    s.replicaBroken = false;
    this.#every(s, TICK_MS, () => {
      this.#feed(s, { kind: 'tick' });
      this.#probe(s);
    });
    this.#every(s, REMIND_MS, () => this.#say(s, statusOf(s.state)));
    if (this.#settings.witness) this.#every(s, REPORT_MS, () => this.#report(s));
    this.#later(s, 100, () => this.#observeFencePath(s));
    this.#surroundingsChanged();
  }

  /** At once and without a last word. Its management controller has a supply of its own. */
  powerOff(name: CoServerName): void {
    const s = this.sides[name];
    if (!s.powered) throw new Error(`${name} has no power already`);
    s.powered = false;
    s.life++;
    this.#surroundingsChanged();
  }

  setLink(link: number, up: boolean): void {
    this.#linksUp[link] = up;
    this.#surroundingsChanged();
  }

  setManagement(up: boolean): void {
    this.#managementUp = up;
    this.#surroundingsChanged();
  }

  setWitness(name: CoServerName, reachable: boolean): void {
    this.sides[name].reachesWitness = reachable;
  }

  restartWitness(memory: 'kept' | 'lost'): void {
    this.#witness.restart(memory);
  }

  setController(name: CoServerName, controller: Controller): void {
    this.sides[name].controller = controller;
    const watcher = this.#other(name);
    this.#later(watcher, 1_000, () => this.#observeFencePath(watcher));
  }

  /** The whole CoServer stands still, and wakes with everything unread. */
  sleep(name: CoServerName): void {
    const s = this.sides[name];
    s.awake = false;
    s.sleptAt = this.now;
    this.#surroundingsChanged();
  }

  wake(name: CoServerName): void {
    const s = this.sides[name];
    s.awake = true;
    const { unread } = s;
    s.unread = [];
    this.#feed(s, { kind: 'lateTick', lateMs: this.now - s.sleptAt });
    for (const event of unread) this.#feed(s, event);
    this.#obey(s);
    this.#surroundingsChanged();
  }

  /** A disk that failed opens no more until it is replaced. */
  setDisk(name: CoServerName, works: boolean): void {
    this.sides[name].diskWorks = works;
    if (!works) this.tell(name, { kind: 'diskFailed', reason: 'write at 4096: Input/output error' });
  }

  breakReplica(name: CoServerName): void {
    this.sides[name].replicaBroken = true;
  }

  /** What only a sensor, an engine or the operator can say. */
  tell(name: CoServerName, event: NewEvent): void {
    this.#feed(this.sides[name], event);
  }

  // ---- the machinery

  #newSide(name: CoServerName): Side {
    return {
      name,
      powered: false,
      awake: true,
      life: 0,
      state: this.#bootState(name, FRESH_RECORD),
      durable: FRESH_RECORD,
      pending: [],
      busyUntil: 0,
      unread: [],
      sleptAt: 0,
      controller: 'answers',
      reachesWitness: true,
      witnessUsable: null,
      replicaBroken: false,
      diskWorks: true,
      probed: 0,
    };
  }

  #bootState(name: CoServerName, record: DurableRecord, adoptable = false): State {
    const { witness, fence, level, version, compatible } = this.#settings;
    return initialState({
      me: name,
      incarnation: `${name} ${++this.#lives}`,
      pairId: 'pair',
      version: version[name],
      record,
      links: this.#linksUp.length,
      now: this.now,
      adoptable,
      canCompare: level === 3,
      arbiters: { witness, fence },
      level,
      // Declared by the releases that know of each other.
      compatibleVersions: compatible.includes(version[name]) ? compatible : [],
    });
  }

  #other(name: CoServerName): Side {
    return this.sides[name === 'A' ? 'B' : 'A'];
  }

  /** Only if it is still the same life of this CoServer. */
  #later(s: Side, ms: number, run: () => void): void {
    const { life } = s;
    this.#agenda.in(ms, () => {
      if (s.powered && s.life === life) run();
    });
  }

  #every(s: Side, ms: number, run: () => void): void {
    if (s.awake) run();
    this.#later(s, this.#coarse ? Math.max(ms, COARSE_TICK_MS) : ms, () => this.#every(s, ms, run));
  }

  #hears(link: number): boolean {
    const { A, B } = this.sides;
    return this.#linksUp[link] === true && A.powered && B.powered && A.awake && B.awake;
  }

  #hearsOnManagement(): boolean {
    const { A, B } = this.sides;
    return this.#managementUp && A.powered && B.powered && A.awake && B.awake;
  }

  #isConnected(): boolean {
    return this.#linksUp.some((_, link) => this.#hears(link));
  }

  /** What both sides will notice of it, each in its time; if it is not so any more by then, they never know. */
  #surroundingsChanged(): void {
    for (const name of NAMES) {
      const s = this.sides[name];
      if (!s.powered) continue;
      this.#linksUp.forEach((_, link) => {
        const up = this.#hears(link);
        if (s.state.links[link]?.up === up) return;
        this.#later(s, up ? 100 : LINK_SILENT_MS, () => {
          // Whoever sleeps judges nothing; what it hears when it wakes is judged then.
          if (s.awake && this.#hears(link) === up) this.#feed(s, { kind: 'linkObserved', link, up, silentMs: up ? 0 : LINK_SILENT_MS });
        });
      });
      const other = this.#hearsOnManagement();
      if (s.state.otherPathUp !== other)
        this.#later(s, other ? 200 : 3_000, () => {
          if (this.#hearsOnManagement() === other) this.#feed(s, { kind: 'otherPathObserved', up: other });
        });
    }
  }

  #feed(s: Side, event: NewEvent): void {
    if (!s.powered) return;
    if (!s.awake) {
      if (event.kind !== 'tick') s.unread.push(event);
      return;
    }
    const stamped = { ...event, at: this.now } as Event;
    const before = s.state;
    const { state, commands } = step(before, stamped);
    s.state = state;
    this.facts.push({ at: this.now, side: s.name, event: stamped, before, after: state, commands });
    const due = dueAt(state);
    if (due !== null && due !== dueAt(before)) this.#later(s, Math.max(0, due - this.now), () => this.#feed(s, { kind: 'tick' }));
    s.pending.push(...commands);
    this.#obey(s);
  }

  #obey(s: Side): void {
    while (s.awake && s.pending.length > 0 && s.busyUntil <= this.now) {
      const command = s.pending.shift();
      if (!command) return;
      const takesMs = TAKES_MS[command.kind] ?? 0;
      switch (command.kind) {
        case 'persist':
        case 'freeze':
          if (command.kind === 'persist') s.durable = command.record;
          s.busyUntil = this.now + takesMs;
          this.#later(s, takesMs, () => this.#obey(s));
          break;
        case 'say':
          this.#say(s, command.status);
          break;
        case 'record':
          break;
        case 'claim':
          this.#claim(s, command.generation);
          break;
        case 'powerOnPartner': {
          const p = this.#other(s.name);
          this.#agenda.in(1_000, () => {
            if (p.powered || p.controller !== 'answers') return;
            this.facts.push({ at: this.now, said: `CoServer ${p.name} is switched on by its management controller.` });
            this.powerOn(p.name);
          });
          break;
        }
        case 'fence':
          this.#fence(s);
          break;
        case 'endProcess':
          this.facts.push({ at: this.now, said: `The process on CoServer ${s.name} ends.` });
          this.endProcess(s.name);
          return;
        case 'endServer':
          this.#later(s, takesMs, () => {
            this.facts.push({ at: this.now, said: `CoServer ${s.name} ends itself.` });
            this.powerOff(s.name);
          });
          break;
        default:
          this.#later(s, takesMs, () => this.#finish(s, command.kind));
      }
    }
  }

  #finish(s: Side, command: Command['kind']): void {
    const p = this.#other(s.name);
    const needs = NEEDS_PARTNER[command] ?? null;
    if (!s.diskWorks && (command === 'openTarget' || command === 'startGuest')) {
      this.#feed(s, { kind: 'commandFinished', command, ok: false, reason: 'the disk does not open' });
      return;
    }
    const ok = needs === null || (this.#isConnected() && p.state.phase.kind === needs);
    if (ok && command === 'protect') {
      this.#feed(p, { kind: 'readyHeld' });
      this.#feed(s, { kind: 'readyHeld' });
    }
    const reason = ok ? reasonOf(command) : 'the partner is not there';
    this.#feed(s, { kind: 'commandFinished', command, ok, reason });
    if (ok && command === 'releaseReady') {
      p.replicaBroken = false;
      this.#later(p, 5, () => this.#feed(p, { kind: 'intervalsStarted' }));
    }
    if (ok && command === 'shutDownGuest') this.#feed(s, { kind: 'engineExited', cause: 'guestShutdown', reason: 'it was shut down' });
  }

  #say(s: Side, status: PartnerStatus): void {
    const p = this.#other(s.name);
    this.#later(p, 1, () => {
      if (this.#isConnected()) this.#feed(p, { kind: 'partnerSaid', status, path: 'link' });
    });
    this.#later(p, 10, () => {
      if (this.#hearsOnManagement()) this.#feed(p, { kind: 'partnerSaid', status, path: 'management' });
    });
  }

  #probe(s: Side): void {
    if (s.state.phase.kind !== 'duplex' || !s.state.canCompare || !this.#isConnected() || this.now - s.probed < PROBE_MS) return;
    s.probed = this.now;
    const missing = this.#other(s.name).replicaBroken;
    this.#feed(s, {
      kind: 'probed',
      probe: 'arp',
      outcome: missing ? 'missing' : 'answered',
      interval: 2,
      detail: missing ? 'it does not answer ARP' : '',
    });
  }

  /** Every second: where this CoServer stands, and would the witness decide? */
  #report(s: Side): void {
    const problem = s.reachesWitness ? this.#witness.report(s.name, s.state, this.now) : 'it does not answer';
    if (problem === s.witnessUsable) return;
    s.witnessUsable = problem;
    this.#feed(s, { kind: 'witnessObserved', usable: problem === '', reason: problem });
  }

  #claim(s: Side, generation: number): void {
    if (!s.reachesWitness) {
      this.#later(s, 600, () =>
        this.#feed(s, { kind: 'arbiterAnswered', generation, answer: 'unreachable', reason: 'no answer within 600 ms' }),
      );
      return;
    }
    this.#agenda.in(5, () => {
      const answer = this.#witness.claim(s.name, generation);
      const reason = answer.kind === 'granted' ? '' : answer.reason;
      this.#later(s, 5, () => this.#feed(s, { kind: 'arbiterAnswered', generation, answer: answer.kind, reason }));
    });
  }

  #observeFencePath(s: Side): void {
    if (!this.#settings.fence) return;
    const proven = this.#other(s.name).controller === 'answers';
    this.#feed(s, { kind: 'fencePathObserved', proven, reason: proven ? '' : 'it gives no true power reading' });
  }

  /** Verified: the power reads off twice, and the carrier is gone. */
  #fence(s: Side): void {
    const p = this.#other(s.name);
    const finish = (ok: boolean, reason: string) => this.#feed(s, { kind: 'commandFinished', command: 'fence', ok, reason });
    switch (p.controller) {
      case 'answers':
        this.#agenda.in(1_500, () => {
          if (!p.powered) return;
          this.facts.push({ at: this.now, said: `CoServer ${p.name} is switched off by its management controller.` });
          this.powerOff(p.name);
        });
        this.#later(s, 2_000, () => finish(true, 'its power reads off twice, and no link has a carrier'));
        return;
      case 'silent':
        this.#later(s, 3_000, () => finish(false, 'its management controller does not answer'));
        return;
      case 'lies':
        this.#later(s, 4_000, () => finish(false, 'its power reads off, but link 1 still has a carrier'));
        return;
      default:
        p.controller satisfies never;
    }
  }
}
