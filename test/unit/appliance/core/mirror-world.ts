// Two copies of a small disk, as little as rules 1, 3 and 5 need: a guest that writes, caches that a loss of power
// empties, metadata that is durable only after a step of its own, a secondary that keeps what is not committed in a
// journal, and an arbitration that lets one copy run at a time. Every step may be the last before a crash.
import {
  type ActivityLog,
  activityLog,
  apart,
  beginWrite,
  endWrite,
  joining,
  moment,
  settle,
  settleAll,
} from '../../../../appliance/core/activity-log.ts';
import { becomingEqual, broughtTogether, type CopyRecord, goneAlone, madeEqual, planResync } from '../../../../appliance/core/mirror.ts';

export const EXTENTS = 24;
const LIMITS = { most: 4, kept: 1 };
const PAIR = '00000000000000aa';

/** Each breaks one rule. */
export type Mutant =
  /** Rule 1: a write goes out before its extent is durably suspect. */
  | 'write before the log'
  /** Rule 1: a primary that was refused forgets what it was writing. */
  | 'a stopped primary forgets'
  /** Rule 3: an extent is cleared though the partner has not flushed it. */
  | 'clear what the partner has not flushed'
  | 'clear what is not flushed here'
  | 'clear what is not committed'
  | 'clear under a write'
  /** Rule 4, 5: writes are released before the new generation is durable. */
  | 'release before the generation'
  /** Rule 5: only the base is known. */
  | 'no history'
  /** The source forgets its base before the target has recorded that it is equal. */
  | 'together before the target knows'
  | 'the target forgets before the source has flushed'
  /** The plan looks at one side only. */
  | 'only the suspects of the source';

interface Copy {
  name: string;
  up: boolean;
  cache: number[];
  stable: number[];
  record: CopyRecord;
  suspects: Set<number>;
  /** Loaded when it is started. */
  log: ActivityLog;
  /** Changes when it crashes: what was under way is void. */
  life: number;
  /** Journaled, not committed: newest last. */
  journal: { extent: number; version: number; interval: number }[];
}

type Step = () => void;

export class MirrorWorld {
  failure: string | null = null;
  resyncs = 0;
  incremental = 0;
  cleared = 0;
  readonly #chance: () => number;
  readonly #mutant: Mutant | null;
  readonly #copies: [Copy, Copy];
  /** Where the guest runs; null: nowhere. */
  #runner: Copy | null;
  /** The attached partner of the runner, and whether it is equal and may take over. */
  #partner: Copy | null = null;
  #equal = false;
  #interval = 0;
  /** Lost its partner, not decided yet: nothing is acknowledged. */
  #holding = false;
  readonly #busy = new Set<number>();
  #tasks: { copy: Copy; life: number; step: Step }[] = [];
  #version = 0;
  #names = 0;
  /** The copy that holds what was acknowledged since the other was lost. */
  #newest: Copy | null = null;
  #attachment = 0;

  constructor(chance: () => number, mutant: Mutant | null) {
    this.#chance = chance;
    this.#mutant = mutant;
    const first = this.#name();
    const copy = (name: string): Copy => ({
      name,
      up: true,
      cache: new Array(EXTENTS).fill(0),
      stable: new Array(EXTENTS).fill(0),
      record: { pair: PAIR, current: first, base: null, history: [], inconsistent: false },
      suspects: new Set(),
      log: activityLog([], LIMITS),
      life: 0,
      journal: [],
    });
    this.#copies = [copy('A'), copy('B')];
    const [a] = this.#copies;
    a.record = goneAlone(a.record, this.#name());
    this.#runner = a;
    this.#newest = a;
  }

  live(steps: number): void {
    for (let i = 0; i < steps && this.failure === null; i++) this.#step();
    // At the end everything is mended: what is equal on paper must be equal.
    for (let i = 0; i < 400 && this.failure === null && !(this.#equal && this.#tasks.length === 0 && this.#busy.size === 0); i++) {
      for (const c of this.#copies) if (!c.up) this.#start(c);
      if (!this.#runner) this.#restart();
      if (this.#holding) this.#decide(true);
      if (!this.#partner) this.#rejoin();
      this.#work();
    }
    if (this.failure === null && !this.#equal) this.#fail('the copies are never made equal');
  }

  #step(): void {
    const x = this.#chance();
    const [a, b] = this.#copies;
    if (x < 0.2) this.#write();
    else if (x < 0.8) this.#work();
    else if (x < 0.84) this.#commit();
    else if (x < 0.9) this.#clear();
    else if (x < 0.906) this.#crash(this.#chance() < 0.5 ? a : b);
    else if (x < 0.91) this.#cut();
    else if (x < 0.94) {
      for (const c of this.#copies) if (!c.up && this.#chance() < 0.5) this.#start(c);
    } else if (x < 0.97) {
      if (this.#holding) this.#decide(this.#chance() < 0.5);
      else if (!this.#runner) this.#restart();
    } else if (!this.#partner) this.#rejoin();
  }

  #later(copy: Copy, step: Step): void {
    this.#tasks.push({ copy, life: copy.life, step });
  }

  #work(): void {
    const task = this.#tasks.splice(Math.floor(this.#chance() * this.#tasks.length), 1)[0];
    if (task?.copy.up && task.copy.life === task.life) task.step();
  }

  #write(): void {
    const runner = this.#runner;
    const extent = Math.floor(this.#chance() * EXTENTS);
    if (!runner || this.#holding || this.#busy.has(extent)) return;
    this.#busy.add(extent);
    const version = ++this.#version;
    const interval = this.#interval;
    if (this.#mutant === 'clear under a write') runner.log.suspects.add(extent);
    else beginWrite(runner.log, extent, interval);
    const go = (): void => {
      if (this.#holding) {
        this.#held.push(go);
        return;
      }
      const partner = this.#partner;
      const attachment = this.#attachment;
      let open = 1;
      const ended = (): void => {
        if (--open > 0) return;
        this.#busy.delete(extent);
        if (this.#mutant !== 'clear under a write') endWrite(runner.log, extent);
        if (!this.#partner && this.#runner === runner) this.#newest = runner;
      };
      if (partner) {
        open++;
        let isAnswered = false;
        const answered = (): void => {
          if (!isAnswered) ended();
          isAnswered = true;
        };
        this.#later(partner, () => {
          if (this.#attachment !== attachment) return;
          if (interval === 0 || !this.#equal) partner.cache[extent] = version;
          else partner.journal.push({ extent, version, interval });
          this.#later(runner, () => {
            if (this.#attachment === attachment) answered();
          });
        });
        // If the partner is lost the release ends it.
        this.#held.push(answered);
      }
      this.#later(runner, () => {
        runner.cache[extent] = version;
        this.#later(runner, ended);
      });
    };
    if (runner.suspects.has(extent)) go();
    else if (this.#mutant === 'write before the log') {
      go();
      this.#later(runner, () => runner.suspects.add(extent));
    } else
      this.#later(runner, () => {
        runner.suspects.add(extent);
        this.#later(runner, go);
      });
  }

  #held: (() => void)[] = [];
  /** The grant is being made durable. */
  #granted = false;

  /** The next checkpoint: what the secondary has of the interval becomes its disk. */
  #commit(): void {
    const partner = this.#partner;
    // As the memory stream does it: the guests are stopped, and nothing is under way.
    for (let i = 0; i < 200 && this.#busy.size > 0; i++) this.#work();
    if (!partner || partner !== this.#partner || !this.#equal || this.#busy.size > 0) return;
    for (const j of partner.journal) partner.cache[j.extent] = j.version;
    partner.journal = [];
    this.#interval++;
  }

  #clear(): void {
    const [runner, partner] = [this.#runner, this.#partner];
    if (!runner || !partner || !this.#equal) return;
    const since = this.#mutant === 'clear under a write' ? Infinity : moment(runner.log);
    const attachment = this.#attachment;
    if (this.#mutant === 'clear under a write')
      for (const e of runner.log.suspects) {
        beginWrite(runner.log, e, 0);
        endWrite(runner.log, e);
      }
    this.#later(partner, () => {
      if (this.#attachment !== attachment) return;
      if (this.#mutant !== 'clear what the partner has not flushed') partner.stable = [...partner.cache];
      const settled = this.#mutant === 'clear what is not committed' ? Infinity : this.#interval - 1;
      this.#later(runner, () => {
        if (this.#mutant !== 'clear what is not flushed here') runner.stable = [...runner.cache];
        this.#later(runner, () => {
          if (this.#attachment !== attachment) return;
          const cleared = settle(runner.log, since, Math.max(settled, 0));
          this.cleared += cleared.length;
          // The map is written some time; what became suspect again meanwhile stays.
          for (const e of cleared) if (!runner.log.suspects.has(e)) runner.suspects.delete(e);
        });
      });
    });
  }

  #crash(copy: Copy): void {
    if (!copy.up) return;
    copy.up = false;
    copy.life++;
    copy.cache = copy.cache.map((v, e) => (this.#chance() < 0.5 ? v : (copy.stable[e] ?? 0)));
    copy.stable = [...copy.cache];
    // What was not committed is discarded when the journal is replayed; what was, was written back already.
    copy.journal = [];
    if (copy === this.#runner) {
      this.#runner = null;
      this.#busy.clear();
      this.#held = [];
      this.#holding = false;
      this.#granted = false;
      const partner = this.#partner;
      this.#detach();
      if (partner && this.#mayTakeOver(partner)) this.#takeOver(partner);
    } else if (copy === this.#partner) {
      this.#detach();
      this.#holding = true;
    }
  }

  #cut(): void {
    if (!this.#partner) return;
    this.#lostWhileEqual = this.#equal ? this.#partner : null;
    this.#detach();
    this.#holding = true;
  }

  #lostWhileEqual: Copy | null = null;

  #detach(): void {
    if (this.#partner && !this.#lostWhileEqual) this.#lostWhileEqual = this.#equal ? this.#partner : null;
    this.#partner = null;
    this.#equal = false;
    this.#attachment++;
  }

  #mayTakeOver(copy: Copy): boolean {
    return this.#lostWhileEqual === copy && copy.up && !copy.record.inconsistent;
  }

  /** The arbitration's answer to a primary that lost its partner. */
  #decide(granted: boolean): void {
    const runner = this.#runner;
    if (!runner) return;
    const other = this.#other(runner);
    if (!granted && !this.#granted && this.#mayTakeOver(other)) {
      // Refused: the other one runs. What this one was writing stays as it is.
      this.#runner = null;
      this.#busy.clear();
      this.#held = [];
      this.#holding = false;
      this.#granted = false;
      runner.life++;
      if (this.#mutant === 'a stopped primary forgets') runner.suspects.clear();
      runner.log = activityLog(runner.suspects, LIMITS);
      this.#takeOver(other);
      return;
    }
    this.#lostWhileEqual = null;
    if (this.#granted) return;
    this.#granted = true;
    // The arbitration does not grant it to the other one any more.
    this.#newest = runner;
    const release = (): void => {
      this.#holding = false;
      this.#granted = false;
      apart(runner.log);
      this.#interval = 0;
      const held = this.#held;
      this.#held = [];
      this.#newest = runner;
      for (const end of held) end();
    };
    const bump = (): void => {
      runner.record = this.#alone(runner.record);
    };
    if (this.#mutant === 'release before the generation') {
      release();
      this.#later(runner, bump);
    } else {
      bump();
      this.#later(runner, release);
      // Nothing else happens to a primary that waits for its own metadata, except that it crashes.
      this.#holding = true;
    }
  }

  #alone(record: CopyRecord): CopyRecord {
    const next = goneAlone(record, this.#name());
    return this.#mutant === 'no history' ? { ...next, history: next.base === null ? [] : [next.base] } : next;
  }

  #takeOver(copy: Copy): void {
    // Its own guest's writes since the last commit: suspect first, then merged.
    copy.journal = [];
    this.#lostWhileEqual = null;
    this.#interval = 0;
    copy.record = this.#alone(copy.record);
    const merged = Math.floor(this.#chance() * EXTENTS);
    copy.suspects.add(merged);
    copy.log = activityLog(copy.suspects, LIMITS);
    copy.cache[merged] = ++this.#version;
    this.#runner = copy;
    this.#newest = copy;
  }

  #start(copy: Copy): void {
    copy.up = true;
    copy.log = activityLog(copy.suspects, LIMITS);
  }

  /** Nobody runs: the one that is right does, if it is there. */
  #restart(): void {
    const [a, b] = this.#copies;
    const right = this.#newest ?? (a.record.inconsistent ? b : a);
    if (!right.up || right.record.inconsistent) return;
    right.record = this.#alone(right.record);
    right.log = activityLog(right.suspects, LIMITS);
    this.#interval = 0;
    this.#lostWhileEqual = null;
    this.#runner = right;
    this.#newest = right;
  }

  #rejoin(): void {
    const source = this.#runner;
    if (!source || this.#holding) return;
    const target = this.#other(source);
    if (!target.up) return;
    // It was closed and opened again: what was not committed is discarded.
    target.journal = [];
    const theirs = {
      record: target.record,
      suspects: this.#mutant === 'only the suspects of the source' ? new Set<number>() : target.suspects,
    };
    this.#lostWhileEqual = null;
    const attachment = ++this.#attachment;
    this.#partner = target;
    this.#interval = 0;
    joining(source.log);
    const plan = planResync({ record: source.record, suspects: source.log.suspects }, theirs);
    if (plan.kind !== 'source') {
      this.#fail(`${source.name} ran alone last, and the plan is '${plan.kind}'`);
      return;
    }
    this.resyncs++;
    if (plan.extents.size < EXTENTS) this.incremental++;
    const todo = [...plan.extents];
    const isOff = (): boolean => this.#attachment !== attachment;
    target.record = becomingEqual(target.record);
    const next = (): void => {
      if (isOff()) return;
      const i = todo.findIndex((e) => !this.#busy.has(e));
      const extent = todo[i];
      if (extent !== undefined) {
        todo.splice(i, 1);
        this.#busy.add(extent);
        const data = source.cache[extent] ?? 0;
        this.#later(source, () => {
          if (!isOff()) target.cache[extent] = data;
          this.#busy.delete(extent);
          this.#later(source, next);
        });
        return;
      }
      if (todo.length > 0) {
        this.#later(source, next);
        return;
      }
      const since = moment(source.log);
      if (this.#mutant === 'together before the target knows') source.record = broughtTogether(source.record);
      // What it gave must not be lost here after the target has forgotten that they differed.
      if (this.#mutant !== 'the target forgets before the source has flushed') source.stable = [...source.cache];
      this.#later(target, () => {
        if (isOff()) return;
        target.stable = [...target.cache];
        this.#later(target, () => {
          if (isOff()) return;
          target.record = madeEqual(target.record, source.record);
          target.suspects.clear();
          this.#later(source, () => this.#synced(source, target, since, attachment));
        });
      });
    };
    this.#later(source, next);
  }

  #synced(source: Copy, target: Copy, since: number, attachment: number): void {
    if (this.#attachment !== attachment) return;
    source.stable = [...source.cache];
    this.#later(source, () => {
      if (this.#attachment !== attachment) return;
      source.record = broughtTogether(source.record);
      this.#later(source, () => {
        if (this.#attachment !== attachment) return;
        for (const e of settleAll(source.log, since)) source.suspects.delete(e);
        this.#equal = true;
        this.#newest = null;
        this.#interval = 1;
        for (let e = 0; e < EXTENTS; e++)
          if (!this.#busy.has(e) && source.cache[e] !== target.cache[e] && !target.journal.some((j) => j.extent === e))
            this.#fail(`extent ${e} differs after a resync: ${source.cache[e]} and ${target.cache[e]}`);
      });
    });
  }

  #other(copy: Copy): Copy {
    return copy === this.#copies[0] ? this.#copies[1] : this.#copies[0];
  }

  #name(): string {
    return (++this.#names).toString(16).padStart(16, '0');
  }

  #fail(why: string): void {
    this.failure ??= why;
  }
}
