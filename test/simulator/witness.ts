// The witness on a third machine, with the real rules (appliance/core/witness.ts), and each CoServer's connection to it. It restarts,
// forgets, is restored from a backup of its disk or of the whole machine; requests and replies get lost and late.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import {
  decideClaim,
  decideReport,
  dropReport,
  type WitnessGroup,
  type WitnessMark,
  type WitnessMemory,
  witnessReportOf,
  witnessStart,
} from '../../appliance/core/witness.ts';
import type { CoServer } from './side.ts';
import type { World } from './world.ts';

const ANSWER_WITHIN_MS = 600;
const REPORT_EVERY_MS = 1_000;
const RECONNECT_MS = 500;

export interface WitnessRules {
  witnessStart: typeof witnessStart;
  decideReport: typeof decideReport;
  decideClaim: typeof decideClaim;
}
export const WITNESS_RULES: WitnessRules = { witnessStart, decideReport, decideClaim };

/** One CoServer's side of the connection. */
interface Client {
  connected: boolean;
  /** Counts connections: what belongs to an earlier one is dropped, or arrives late. */
  number: number;
  seen: WitnessMark | null;
  reported: string;
  reportedAt: number;
  usable: boolean | null;
  /** A connection keeps the order: when the latest request arrives, and the latest reply. */
  arrivesAt: number;
  repliesAt: number;
}

export class Witness {
  up = true;
  readonly reach: Record<CoServerName, boolean> = { A: true, B: true };
  disk: WitnessMemory | null = null;
  #group: WitnessGroup;
  #life = 1;
  #backup: WitnessMemory | null = null;
  #image: { group: WitnessGroup; disk: WitnessMemory | null; life: number } | null = null;
  readonly #world: World;
  readonly #rules: WitnessRules;
  readonly #clients: Record<CoServerName, Client>;
  readonly isConfigured: boolean;

  constructor(world: World, rules: WitnessRules, isConfigured: boolean) {
    this.#world = world;
    this.#rules = rules;
    this.isConfigured = isConfigured;
    this.#group = rules.witnessStart(null, 'life 1');
    this.#clients = { A: newClient(0), B: newClient(0) };
  }

  /** What would survive its power loss. */
  get memory(): WitnessMemory | null {
    return this.disk;
  }

  // ---- the machine it runs on

  fault(kind: 'restart' | 'forget' | 'backUp' | 'restoreDisk' | 'image' | 'restoreImage'): void {
    const world = this.#world;
    switch (kind) {
      case 'restart':
        this.#restart(this.disk, 'restarts');
        return;
      case 'forget':
        this.#restart(null, 'has lost its memory');
        return;
      case 'backUp':
        this.#backup = this.disk;
        return;
      case 'restoreDisk':
        this.#restart(this.#backup, 'is restored from a backup of its disk');
        return;
      case 'image':
        this.#image = { group: this.#group, disk: this.disk, life: this.#life };
        return;
      case 'restoreImage': {
        const image = this.#image;
        if (!image) return;
        // Found out by a CoServer that has lived since and comes back at once; without one it cannot be found out.
        const knows = world.both.find(({ name, running }) => {
          const { seen } = this.#clients[name];
          return running && seen !== null && (seen.memoryId !== image.group.mark.memoryId || seen.count > image.group.mark.count);
        });
        if (!knows) return;
        world.tell(() => 'the whole witness is restored from an image');
        this.#dropAll();
        this.#group = image.group;
        this.disk = image.disk;
        this.#life = image.life;
        this.#decideReport(knows);
        return;
      }
    }
  }

  #restart(memory: WitnessMemory | null, how: string): void {
    this.#world.tell(() => `the witness ${how}`);
    this.#dropAll();
    this.#life = ++this.#world.serial;
    this.disk = memory;
    this.#group = this.#rules.witnessStart(memory, `life ${this.#life}`);
  }

  setUp(up: boolean): void {
    if (this.up === up) return;
    this.up = up;
    this.#world.tell(() => `the witness is ${up ? 'switched on' : 'switched off'}`);
    if (up) this.#restart(this.disk, 'starts');
    else this.#dropAll();
  }

  #dropAll(): void {
    for (const s of this.#world.both) this.#disconnect(s, 'the connection broke');
  }

  // ---- the connection

  /** Now and then, and when the side ticks: connect, report, say whether it is usable. */
  tend(s: CoServer): void {
    const c = this.#clients[s.name];
    if (!this.isConfigured || !s.running) return;
    if (!c.connected) {
      if (c.reportedAt + RECONNECT_MS > this.#world.now) return;
      c.reportedAt = this.#world.now;
      if (!this.#reaches(s)) {
        this.#usable(s, false, 'not reachable');
        return;
      }
      c.connected = true;
      c.number++;
      // The witness drops what it knew over the last connection.
      this.#group = dropReport(this.#group, s.name);
      this.report(s);
      return;
    }
    if (this.#world.now - c.reportedAt >= REPORT_EVERY_MS) this.report(s);
  }

  /** The process behind the connection ended. */
  ended(s: CoServer): void {
    this.#clients[s.name] = newClient(this.#clients[s.name].number + 1);
  }

  /** What it would report has changed: at once. */
  changed(s: CoServer): void {
    const c = this.#clients[s.name];
    if (!c.connected) return;
    const { generation, state } = witnessReportOf(s.state);
    if (c.reported !== `${state}${generation}`) this.report(s);
  }

  report(s: CoServer): void {
    const c = this.#clients[s.name];
    const { number } = c;
    const { life } = s;
    const report = witnessReportOf(s.state);
    c.reported = `${report.state}${report.generation}`;
    c.reportedAt = this.#world.now;
    const { seen } = c;
    const { incarnation } = s.state;
    const timeout = this.#timeout(s, number, life);
    this.#travel(s, () => {
      if (c.number !== number || s.life !== life) return;
      const { group, changed } = this.#rules.decideReport(this.#group, {
        coServer: s.name,
        incarnation,
        ...report,
        seen,
        at: this.#world.now,
      });
      this.#commit(group, changed, () => this.#reply(s, number, life, group, timeout, () => undefined));
    });
  }

  #decideReport(s: CoServer): void {
    const { group, changed } = this.#rules.decideReport(this.#group, {
      coServer: s.name,
      incarnation: s.state.incarnation,
      ...witnessReportOf(s.state),
      seen: this.#clients[s.name].seen,
      at: this.#world.now,
    });
    this.#group = group;
    if (changed) this.disk = group.memory;
  }

  claim(s: CoServer, generation: number): void {
    const c = this.#clients[s.name];
    const { number, seen } = c;
    const { life } = s;
    const answer = (kind: 'granted' | 'refused' | 'unreachable' | 'unconfirmed', reason: string): void =>
      s.feed({ kind: 'arbiterAnswered', generation, answer: kind, reason });
    if (!c.connected) {
      s.at(1, () => answer('unreachable', 'not connected'));
      return;
    }
    const timeout = this.#timeout(s, number, life, () => answer('unreachable', 'no answer'));
    this.#travel(s, () => {
      // Also one that its claimant has given up meanwhile: it was on its way.
      const { group, answer: decided, changed } = this.#rules.decideClaim(this.#group, { claimant: s.name, generation, seen });
      this.#world.tell(() => `witness: ${s.name} asks after ${generation}: ${decided.kind}`);
      this.#commit(group, changed, () =>
        this.#reply(s, number, life, group, timeout, () => answer(decided.kind, decided.kind === 'granted' ? '' : decided.reason)),
      );
    });
  }

  /** A memory that changed must be durable before the reply leaves. */
  #commit(group: WitnessGroup, changed: boolean, reply: () => void): void {
    this.#group = group;
    if (!changed) {
      reply();
      return;
    }
    const life = this.#life;
    this.#world.later(this.#world.random.between(0.5, 15), () => {
      if (this.#life !== life || !this.up) return;
      // A later change may be on disk already.
      if ((this.disk?.counter ?? 0) < (group.memory?.counter ?? 0)) this.disk = group.memory;
      reply();
    });
  }

  /** From the CoServer to this life of the witness. */
  #travel(s: CoServer, arrive: () => void): void {
    const life = this.#life;
    const { random, speeds } = this.#world;
    // One in a hundred is sent again by the transport, and late.
    const ms = random.between(0.2, 20) * speeds.witness + (random.chance(0.01) ? random.between(200, 900) : 0);
    const c = this.#clients[s.name];
    c.arrivesAt = Math.max(c.arrivesAt, this.#world.now + ms);
    this.#world.later(c.arrivesAt - this.#world.now, () => {
      if (this.#life === life && this.#reaches(s)) arrive();
    });
  }

  #reply(s: CoServer, number: number, life: number, group: WitnessGroup, timeout: { over: boolean }, then: () => void): void {
    const c = this.#clients[s.name];
    const { random, speeds } = this.#world;
    c.repliesAt = Math.max(c.repliesAt, this.#world.now + random.between(0.2, 20) * speeds.witness);
    s.at(c.repliesAt - this.#world.now, () => {
      if (c.number !== number || s.life !== life || timeout.over || !this.#reaches(s) || this.#clients[s.name] !== c) return;
      timeout.over = true;
      c.seen = group.mark;
      this.#usable(s, group.confirmed, group.doubt);
      then();
    });
  }

  /** No answer in time: the connection is given up. */
  #timeout(s: CoServer, number: number, life: number, then: () => void = () => undefined): { over: boolean } {
    const timeout = { over: false };
    s.at(ANSWER_WITHIN_MS, () => {
      if (timeout.over || s.life !== life) return;
      timeout.over = true;
      then();
      if (this.#clients[s.name].number === number) this.#disconnect(s, 'no answer in time');
    });
    return timeout;
  }

  #disconnect(s: CoServer, why: string): void {
    const c = this.#clients[s.name];
    if (!c.connected) return;
    c.connected = false;
    c.number++;
    c.reportedAt = this.#world.now;
    const { life } = s;
    s.at(1, () => {
      if (s.life === life && !c.connected) this.#usable(s, false, why);
    });
    const witnessLife = this.#life;
    // The witness hears of it later.
    this.#world.later(this.#world.random.between(1, 500), () => {
      if (this.#life === witnessLife && !c.connected) this.#group = dropReport(this.#group, s.name);
    });
  }

  #usable(s: CoServer, usable: boolean, reason: string): void {
    const c = this.#clients[s.name];
    if (c.usable === usable) return;
    c.usable = usable;
    s.feed({ kind: 'witnessObserved', usable, reason });
  }

  #reaches(s: CoServer): boolean {
    return this.up && this.reach[s.name] && s.isAwake;
  }
}

function newClient(number: number): Client {
  return { connected: false, number, seen: null, reported: '', reportedAt: -RECONNECT_MS, usable: null, arrivesAt: 0, repliesAt: 0 };
}
