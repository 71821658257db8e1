// A pair and its witness, reduced to what decides who may run: records, claims, answers that get lost, and a witness that
// restarts, forgets, is restored from a backup of its disk or of the whole machine. Honest CoServers, every order of events.
import type { CoServerName } from '../../../../appliance/core/snapshot.ts';
import {
  decideClaim,
  decideReport,
  dropReport,
  type ReportedState,
  type WitnessAnswer,
  type WitnessGroup,
  type WitnessMark,
  type WitnessMemory,
  witnessStart,
} from '../../../../appliance/core/witness.ts';
import { Random } from '../../../simulator/random.ts';

export interface Rules {
  witnessStart: typeof witnessStart;
  decideReport: typeof decideReport;
  decideClaim: typeof decideClaim;
}
export const RULES: Rules = { witnessStart, decideReport, decideClaim };

type Standing = 'fresh' | 'simplex' | 'duplex' | 'outdated' | 'inconsistent';

interface Side {
  name: CoServerName;
  up: boolean;
  /** The durable record. */
  generation: number;
  standing: Standing;
  /** A claim is under way; its answer, once the witness has given it. */
  asked: { generation: number; answer: WitnessAnswer | null } | null;
  /** A grant in hand that is not on disk yet. */
  granted: number | null;
  /** The partner recorded duplex at this generation and told so. */
  joining: number | null;
  seen: WitnessMark | null;
}

export class WitnessWorld {
  readonly random: Random;
  readonly story: string[] = [];
  /** Who ran each generation. */
  readonly owners = new Map<number, CoServerName>();
  violation: string | null = null;
  readonly #rules: Rules;
  readonly #sides: Record<CoServerName, Side>;
  #life = 1;
  #now = 0;
  #group: WitnessGroup;
  #disk: WitnessMemory | null = null;
  #backups: (WitnessMemory | null)[] = [null];
  #image: { group: WitnessGroup; disk: WitnessMemory | null; now: number; life: number } | null = null;
  /** Claims that the claimant has given up on, still on their way in a connection to this life of the witness. */
  #late: { claimant: CoServerName; generation: number; seen: WitnessMark | null; life: number }[] = [];

  constructor(seed: number, rules: Rules) {
    this.random = new Random(seed);
    this.#rules = rules;
    const side = (name: CoServerName): Side => ({
      name,
      up: true,
      generation: 0,
      standing: 'fresh',
      asked: null,
      granted: null,
      joining: null,
      seen: null,
    });
    this.#sides = { A: side('A'), B: side('B') };
    this.#group = rules.witnessStart(null, 'life 1');
  }

  step(): void {
    const s = this.#sides[this.random.chance(0.5) ? 'A' : 'B'];
    if (!s.up && this.random.chance(0.3)) this.#crash(s);
    const pick = this.random.between(0, 100);
    if (pick < 30) this.#report(s);
    else if (pick < 42) this.#claim(s);
    else if (pick < 60) this.#receive(s);
    else if (pick < 75) this.#persist(s);
    else if (pick < 90) this.#join(s);
    else if (pick < 91.5) this.#yield(s);
    else if (pick < 93) this.#crash(s);
    else if (pick < 93.5) this.#now += 2_000;
    else if (pick < 94) this.#processLate();
    else this.#witnessFault();
  }

  /** Faults are over, everyone is up and reports: whoever may ask gets an answer. */
  settle(): void {
    for (const s of this.#both()) {
      s.up = true;
      s.asked = null;
      if (s.granted !== null) this.#persist(s);
    }
    for (let round = 0; round < 4; round++) for (const s of this.#both()) this.#report(s);
    for (const s of this.#both()) {
      if (s.standing === 'outdated' || s.standing === 'inconsistent') continue;
      this.#claim(s, 'answered');
      if (s.asked?.answer?.kind === 'unconfirmed') this.#violated(`${s.name} waits for ever: ${s.asked.answer.reason}`);
      this.#receive(s, true);
      this.#persist(s);
      for (const each of this.#both()) this.#report(each);
    }
  }

  #both(): Side[] {
    return [this.#sides.A, this.#sides.B];
  }

  #partner(s: Side): Side {
    return this.#sides[s.name === 'A' ? 'B' : 'A'];
  }

  #tell(text: string): void {
    const g = this.#group;
    this.story.push(`${text}  [${g.memory ? `${g.memory.generation} ${g.memory.owner}` : 'none'}${g.confirmed ? ', confirmed' : ''}]`);
  }

  #violated(text: string): void {
    this.violation ??= text;
  }

  #reported(s: Side): ReportedState {
    if (s.asked || s.granted !== null) return 'other';
    return s.standing === 'outdated' || s.standing === 'inconsistent' ? 'stopped' : s.standing;
  }

  #report(s: Side): void {
    if (!s.up) return;
    const state = this.#reported(s);
    const report = { coServer: s.name, incarnation: '1', generation: s.generation, state, seen: s.seen, at: this.#now };
    const { group, changed } = this.#rules.decideReport(this.#group, report);
    this.#group = group;
    if (changed) this.#disk = group.memory;
    s.seen = group.mark;
    this.#tell(`${s.name} reports ${state} at ${s.generation}`);
  }

  #claim(s: Side, fate: 'answered' | 'any' = 'any'): void {
    const may = s.standing === 'fresh' ? this.#partner(s).standing === 'fresh' : s.standing === 'duplex' || s.standing === 'simplex';
    if (!s.up || s.asked || s.granted !== null || !may) return;
    if (fate === 'any' && this.random.chance(0.1)) {
      this.#late.push({ claimant: s.name, generation: s.generation, seen: s.seen, life: this.#life });
      this.#tell(`${s.name} gives up a claim after ${s.generation} that is still on its way`);
      return;
    }
    // 'other' is told before the claim.
    s.asked = { generation: s.generation, answer: null };
    this.#report(s);
    const { group, answer, changed } = this.#rules.decideClaim(this.#group, { claimant: s.name, generation: s.generation, seen: s.seen });
    if (fate === 'any' && changed && this.random.chance(0.1)) {
      // Not durable: never said.
      s.asked = null;
      this.#restart(this.#disk, 'died before the grant was durable');
      return;
    }
    this.#group = group;
    if (changed) this.#disk = group.memory;
    s.asked = { generation: s.generation, answer };
    this.#tell(`${s.name} claims after ${s.generation}: ${answer.kind}`);
    if (fate === 'any' && this.random.chance(0.1)) this.#restart(this.#disk, 'died with the answer on its way');
  }

  #receive(s: Side, surely = false): void {
    if (!s.up || !s.asked) return;
    const { answer, generation } = s.asked;
    if (!surely && this.random.chance(0.2)) {
      s.asked = null;
      this.#tell(`${s.name} never gets the answer`);
      return;
    }
    if (!answer) return;
    s.asked = null;
    s.seen = this.#group.mark.memoryId === `life ${this.#life}` ? this.#group.mark : s.seen;
    if (answer.kind === 'granted' && generation === s.generation) s.granted = answer.generation;
    if (answer.kind === 'refused' && generation === s.generation) s.standing = 'outdated';
    this.#tell(`${s.name} hears ${answer.kind}`);
  }

  #persist(s: Side): void {
    if (!s.up || s.granted === null) return;
    this.#own(s, s.granted);
  }

  #own(s: Side, generation: number): void {
    s.generation = generation;
    s.standing = 'simplex';
    s.granted = null;
    s.asked = null;
    this.#tell(`${s.name} runs generation ${generation}`);
    const owner = this.owners.get(generation) ?? s.name;
    this.owners.set(generation, owner);
    if (owner !== s.name) this.#violated(`generation ${generation} ran on both`);
    const newest = Math.max(...this.owners.keys());
    if (newest > generation) this.#violated(`${s.name} runs generation ${generation} when ${newest} ran already`);
  }

  /** The simplex owner makes the other equal: its own record first, then the partner's. */
  #join(s: Side): void {
    const p = this.#partner(s);
    if (!s.up) return;
    if (s.joining !== null) {
      s.generation = s.joining;
      s.standing = 'duplex';
      s.joining = null;
      this.#tell(`${s.name} records duplex at ${s.generation}`);
    } else if (
      p.up &&
      s.standing === 'simplex' &&
      !s.asked &&
      s.granted === null &&
      !p.asked &&
      p.granted === null &&
      p.standing !== 'simplex'
    ) {
      s.standing = 'duplex';
      p.standing = 'inconsistent';
      p.joining = s.generation;
      this.#tell(`${s.name} records duplex at ${s.generation} and makes the partner equal`);
    }
  }

  #yield(s: Side): void {
    const p = this.#partner(s);
    if (!s.up || !p.up || s.standing !== 'duplex' || s.generation !== p.generation) return;
    if (p.standing === 'duplex' && !s.asked && s.granted === null) {
      s.standing = 'outdated';
      this.#tell(`${s.name} yields`);
    } else if (p.standing === 'outdated') this.#own(s, s.generation + 1);
  }

  /** What it last said stays with the witness until it is back: nobody told the witness. */
  #crash(s: Side): void {
    s.up = !s.up;
    if (s.up) this.#group = dropReport(this.#group, s.name);
    s.asked = null;
    s.granted = null;
    s.joining = null;
    s.seen = null;
    this.#tell(`${s.name} ${s.up ? 'starts' : 'loses its power'}`);
  }

  #processLate(): void {
    const claim = this.#late.shift();
    if (!claim || claim.life !== this.#life) return;
    const { group, answer, changed } = this.#rules.decideClaim(this.#group, claim);
    this.#group = group;
    if (changed) this.#disk = group.memory;
    this.#tell(`a claim that ${claim.claimant} gave up arrives: ${answer.kind}`);
  }

  #witnessFault(): void {
    switch (Math.floor(this.random.between(0, 6))) {
      case 0:
        this.#restart(this.#disk, 'restarted');
        return;
      case 1:
        this.#restart(null, 'forgot');
        return;
      case 2:
        this.#backups.push(this.#disk);
        return;
      case 3:
        this.#restart(this.random.pick(this.#backups), 'restored from a backup of its disk');
        return;
      case 4:
        this.#image = { group: this.#group, disk: this.#disk, now: this.#now, life: this.#life };
        this.#tell('an image of the whole witness is taken');
        return;
      default:
        this.#restoreImage();
    }
  }

  #restart(memory: WitnessMemory | null, how: string): void {
    this.#life++;
    this.#disk = memory;
    this.#group = this.#rules.witnessStart(memory, `life ${this.#life}`);
    this.#tell(`the witness ${how}`);
  }

  /** Found out by a CoServer that lived since and comes back at once. Without one it cannot be found out: see decisions/0007. */
  #restoreImage(): void {
    const image = this.#image;
    if (!image) return;
    const knows = this.#both().find(({ up, seen }) => {
      return up && seen !== null && (seen.memoryId !== image.group.mark.memoryId || seen.count > image.group.mark.count);
    });
    if (!knows) return;
    this.#group = image.group;
    this.#disk = image.disk;
    this.#now = image.now;
    this.#late = [];
    this.#life = image.life;
    this.#tell('the whole witness is restored from its image');
    this.#report(knows);
  }
}
