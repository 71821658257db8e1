// The promises of the product, checked from outside: what the world sees, what lies on the disks, what is under way. Nothing here
// asks the core what it thinks, except where that is the promise ("protected" is not said too early; every stop has a reason).
import type { Command, DurableRecord, PartnerStatus, State } from '../../appliance/core/machine.ts';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { NewEvent } from '../../appliance/runtime/pump.ts';
import { common, type Deed, holds, NOTHING } from './history.ts';
import { MirrorCheckers } from './mirror/checkers.ts';
import { blockAt } from './mirror/medium.ts';
import type { CoServer } from './side.ts';
import type { World } from './world.ts';

export class Violation extends Error {
  override name = 'Violation';
}

/** A replica is found unfit after two questions in a row that it did not answer; a few more may be under way. */
const UNANSWERED_LIMIT = 5;
/** Losses of these rows were planned. */
const PLANNED: readonly (string | null)[] = ['16', '27', '28', '31'];

interface Notes {
  /** The latest deed that left while it ran alone. */
  alone: Deed;
  /** Since the last acknowledgement: loss of power, a crash, a stop of the engine, a sleep. */
  failures: number;
  /** The last of these; the last loss of power. */
  failedAt: number;
  lostPowerAt: number;
  /** Questions in a row that the replica here did not answer. */
  unanswered: number;
  losses: number[];
  quarantinedUntil: number;
  kept: Deed | null;
}

export class Checkers {
  /** The latest deed that the world has an answer of; the latest that it was told is on disk. */
  acknowledged: Deed = NOTHING;
  #flushed: Deed = NOTHING;
  /** The operator forced a start, or took a record or a disk away: what is lost then is his. */
  forced = false;
  readonly #world: World;
  readonly #owners = new Map<number, CoServerName>();
  readonly #notes: Record<CoServerName, Notes>;
  readonly mirror: MirrorCheckers;

  constructor(world: World) {
    this.#world = world;
    this.mirror = new MirrorCheckers(world, this);
    const notes = (): Notes => ({
      alone: NOTHING,
      failures: 0,
      failedAt: 0,
      lostPowerAt: 0,
      unanswered: 0,
      losses: [],
      quarantinedUntil: 0,
      kept: null,
    });
    this.#notes = { A: notes(), B: notes() };
  }

  // ---- what the world sees

  /** An answer left, or a write was acknowledged. */
  emitted(s: CoServer, deed: Deed, as: 'solo' | 'duplex'): void {
    const p = s.partner;
    if (p.gate === 'solo' && p.guest) {
      if (as === 'solo') this.unlessForced(`both CoServers let output go alone`);
      else if (this.#world.level === 2 || !holds(p.guest.deed, deed))
        this.unlessForced(`${s.name} still emits as duplex, and ${p.name} runs alone`);
    }
    const { durable } = s.disk;
    if (as === 'solo' && durable.standing !== 'simplex')
      throw new Violation(`${s.name} lets output go alone, and its record says ${durable.standing}`);
    if (!holds(deed, this.acknowledged)) this.unlessForced(`${s.name} lets out a history without what was acknowledged before`);
    this.acknowledged = deed;
    for (const side of this.#world.both) this.#notes[side.name].failures = side.guest && side.guest.brokenAt !== null ? 1 : 0;
    if (as === 'solo') this.#notes[s.name].alone = deed;
  }

  /** Level 2: a packet left while the writes that it rests on are not acknowledged yet. */
  spoke(s: CoServer): void {
    const p = s.partner;
    if (p.gate === 'solo' && p.guest) this.unlessForced(`${s.name} still speaks as duplex, and ${p.name} runs alone`);
  }

  flushed(deed: Deed): void {
    this.#flushed = deed;
  }

  // ---- who runs on what

  /** Everything may leave from here on. */
  opened(s: CoServer): void {
    const { durable } = s.disk;
    const p = s.partner;
    if (durable.standing !== 'simplex') throw new Violation(`${s.name} begins to run alone, and its record says ${durable.standing}`);
    if (p.gate === 'solo') this.unlessForced(`${s.name} begins to run alone beside ${p.name}`);
    const owner = this.#owners.get(durable.generation);
    if (owner !== undefined && owner !== s.name)
      this.unlessForced(`generation ${durable.generation} runs on ${s.name} and ran on ${owner}`);
    this.#owners.set(durable.generation, s.name);
    const { memory } = this.#world.witness;
    if (memory && memory.owner === p.name && memory.generation > durable.generation && p.disk.durable.standing !== 'outdated')
      this.unlessForced(`${s.name} runs generation ${durable.generation}, and the witness granted ${memory.generation} to ${p.name}`);
  }

  /** A guest is started from this copy. */
  started(s: CoServer): void {
    const { content, whole } = s.disk;
    if (!whole) throw new Violation(`${s.name} starts the guest from a copy that is not whole`);
    if (!holds(content, this.#flushed)) this.unlessForced(`${s.name} starts without what was acknowledged as flushed`);
    if (holds(content, this.acknowledged)) return;
    const p = s.partner;
    // A copy that was never recorded as equal, or was given up, is nobody's to use.
    const { standing } = p.disk.durable;
    const isUsable = p.disk.whole && !p.disk.failed && standing !== 'inconsistent' && standing !== 'fresh' && standing !== 'outdated';
    const isThere = isUsable && holds(p.disk.content, this.acknowledged);
    if (isThere && this.#notes[p.name].failures === 0)
      this.unlessForced(`${s.name} starts without what was acknowledged, and ${p.name}, which never failed, has it`);
    if (this.#notes[s.name].failures === 0) this.unlessForced(`${s.name} starts from an outdated copy`);
    this.#world.count('unflushed work lost with the power');
    this.acknowledged = common(content, this.acknowledged);
    for (const notes of [this.#notes.A, this.#notes.B]) notes.alone = common(notes.alone, content);
  }

  /** A guest goes on from its memory. */
  served(s: CoServer, deed: Deed): void {
    if (!s.disk.whole) throw new Violation(`${s.name} goes on with a copy that is not whole`);
    if (!holds(deed, this.acknowledged)) this.unlessForced(`${s.name} goes on without what was acknowledged`);
  }

  takesOver(s: CoServer): void {
    const { unanswered } = this.#notes[s.name];
    if (s.guest && unanswered > UNANSWERED_LIMIT)
      throw new Violation(`${s.name} takes over with a replica that left ${unanswered} questions unanswered`);
  }

  /** Both replicas run from here on. */
  joined(primary: CoServer, secondary: CoServer): void {
    if (primary.state.version !== secondary.state.version) throw new Violation('duplex with versions that are not declared to fit');
    if (primary.guest?.deed !== secondary.guest?.deed || !secondary.disk.whole) throw new Violation('duplex, and the two are not equal');
    if (primary.state.quarantinedUntil !== null) throw new Violation(`${primary.name} runs duplex with a partner that is kept out`);
  }

  asked(secondary: CoServer, isAnswered: boolean): void {
    const notes = this.#notes[secondary.name];
    notes.unanswered = isAnswered ? 0 : notes.unanswered + 1;
  }

  failed(s: CoServer): void {
    const notes = this.#notes[s.name];
    notes.failures++;
    notes.failedAt = this.#world.now;
  }

  failedAt(s: CoServer): number {
    return this.#notes[s.name].failedAt;
  }

  lostPowerAt(s: CoServer): number {
    return this.#notes[s.name].lostPowerAt;
  }

  powerLost(s: CoServer): void {
    this.failed(s);
    const notes = this.#notes[s.name];
    notes.lostPowerAt = this.#world.now;
    notes.alone = common(notes.alone, s.disk.content);
  }

  /** The operator moved the record away: whatever was there is his loss. */
  replaced(s: CoServer): void {
    this.forced = true;
    s.copy.replace();
    this.#notes[s.name].alone = NOTHING;
  }

  booted(s: CoServer): void {
    this.failed(s);
    const notes = this.#notes[s.name];
    notes.losses = [];
    notes.quarantinedUntil = 0;
  }

  // ---- the copies

  /** The partner's copy is about to be overwritten. What only it has must have been given up before. */
  overwrites(s: CoServer, p: CoServer): void {
    const { alone, kept } = this.#notes[p.name];
    if (p.disk.durable.standing !== 'inconsistent')
      throw new Violation(`${p.name} is made equal, and its record says ${p.disk.durable.standing}`);
    if (!holds(s.disk.content, alone) && !(kept && holds(kept, alone)))
      throw new Violation(`two histories: that of ${p.name} is overwritten, and nobody gave it up`);
    this.#notes[p.name].alone = NOTHING;
  }

  kept(s: CoServer): void {
    this.#notes[s.name].kept = s.disk.content;
  }

  resyncs(s: CoServer): void {
    if (this.#world.now < this.#notes[s.name].quarantinedUntil) throw new Violation(`${s.name} lets a partner in that was lost too often`);
  }

  repairs(s: CoServer, offset: number, from: 'own' | 'partner'): void {
    const [good, bad] = from === 'own' ? [s, s.partner] : [s.partner, s];
    if (good.copy.isBad(blockAt(offset)))
      throw new Violation(`block ${offset} of ${bad.name} is repaired from the bad one of ${good.name}`);
  }

  quarantines(offset: number): void {
    const { A, B } = this.#world.sides;
    const block = blockAt(offset);
    if (!A.copy.isBad(block) || !B.copy.isBad(block)) throw new Violation(`block ${offset} waits, and one copy of it is good`);
  }

  // ---- the record

  shrank(s: CoServer, record: DurableRecord): void {
    throw new Violation(`${s.name} writes generation ${record.generation} after ${s.disk.durable.generation}`);
  }

  recorded(s: CoServer, before: DurableRecord, record: DurableRecord): void {
    const other = s.partner.disk.durable;
    if (isShared(record) && isShared(other) && record.generation === other.generation && record.arbiter !== other.arbiter) {
      if (hasRight(s.name, record) && hasRight(s.partner.name, other))
        throw new Violation(`mixed arbiters: ${s.name} may use ${record.arbiter}, ${s.partner.name} ${other.arbiter}`);
    }
    if (record.standing === 'outdated' && isShared(before)) this.#yielded(s, before);
    const isNew =
      record.standing === 'duplexSecondary' && (before.standing !== 'duplexSecondary' || before.generation !== record.generation);
    // The partner may have gone on while this was being written: then it is late, and not wrong.
    if (!isNew || other.generation !== record.generation) return;
    if (!s.disk.whole) throw new Violation(`${s.name} records an equal copy, and it is not whole`);
    // After a force two histories were acknowledged, and one was given up (seed 310226: the other one had said nothing since).
    if (!holds(s.disk.content, this.acknowledged)) this.unlessForced(`${s.name} records an equal copy without what was acknowledged`);
  }

  /** Given up for good: then the other copy must have everything, unless this side failed too. */
  #yielded(s: CoServer, before: DurableRecord): void {
    const p = s.partner;
    const { durable, content } = p.disk;
    if (durable.generation > before.generation || this.#notes[s.name].failures > 0) return;
    if (holds(s.disk.content, this.acknowledged) && !holds(content, this.acknowledged))
      this.unlessForced(`${s.name} yields with everything that was acknowledged, and ${p.name} lost some of it`);
  }

  /** What is said of the record must be on disk. */
  said(s: CoServer, status: PartnerStatus): void {
    if (status.record !== s.disk.durable)
      throw new Violation(`${s.name} says ${status.record.standing} at ${status.record.generation} before it is on disk`);
  }

  // ---- each step

  stepped(s: CoServer, before: State, event: NewEvent, commands: readonly Command[]): void {
    if (event.kind === 'operatorRequested' && event.action === 'let-rejoin') this.#notes[s.name].quarantinedUntil = 0;
    this.#isProved(s);
    if (commands.length === 0) return;
    let reasons = 0;
    let needs: string | null = null;
    for (const c of commands) {
      switch (c.kind) {
        case 'record':
        case 'incident':
          reasons++;
          break;
        case 'fence':
          // Tried again after a failure: the reason was recorded with the first attempt.
          if (before.phase.claim?.unreachableSince !== null) break;
          needs = c.kind;
          break;
        case 'stopAll':
        case 'endServer':
          needs = c.kind;
          break;
        case 'takeOver':
        case 'continueAlone':
          needs = c.kind;
          this.#lost(s, c.row);
          break;
        case 'persist':
          if (c.record.forced && !before.record.forced) this.forced = true;
          if (c.record.standing !== 'simplex') break;
          if (commands.some(isYieldTaken)) this.#byYield(s, before.record);
          else if (event.kind === 'commandFinished' && event.command === 'fence') this.#byFence(s);
          break;
      }
    }
    if (needs !== null && reasons === 0)
      throw new Violation(`${s.name}: ${needs} without a recorded reason (${event.kind} in ${before.phase.kind})`);
  }

  /** No copy is left that may be used: a backup's task. Only the operator can bring it so far. */
  get isAllLost(): boolean {
    const { A, B } = this.#world.sides;
    const standings = [A.disk.durable.standing, B.disk.durable.standing];
    return this.forced && standings.includes('inconsistent') && standings.every((x) => x === 'inconsistent' || x === 'fresh');
  }

  #isProved(s: CoServer): void {
    const { session } = this.#world.guests;
    if (s.state.audit.state === 'proven' && s.state.phase.kind === 'duplex' && session?.primary === s && !session.answered)
      throw new Violation(`${s.name} says protected, and the secondary has not answered on a loaded checkpoint`);
  }

  /** It goes on because the partner said that it will not: that word must be on the partner's disk. */
  #byYield(s: CoServer, before: DurableRecord): void {
    const { durable } = s.partner.disk;
    if (isShared(before) && isShared(durable) && durable.generation === before.generation)
      this.unlessForced(`${s.name} takes a yield of ${s.partner.name} for true that is not on its disk`);
  }

  /** It goes on because the partner is off: it must have been off since the order. */
  #byFence(s: CoServer): void {
    const p = s.partner;
    if (p.powered && s.fencing.powered && p.boots === s.fencing.boots)
      throw new Violation(`${s.name} goes on alone by fencing, and ${p.name} was never off`);
  }

  #lost(s: CoServer, row: string | null): void {
    if (PLANNED.includes(row)) return;
    const notes = this.#notes[s.name];
    const { now, timing } = this.#world;
    notes.losses = [...notes.losses.filter((at) => now - at < timing.flapWindowMs), now];
    if (notes.losses.length < timing.flapLosses) return;
    notes.losses = [];
    notes.quarantinedUntil = now + timing.quarantineMs;
  }

  unlessForced(text: string): void {
    if (!this.forced) throw new Violation(text);
  }
}

/** Row 4, or 28: it goes on by the partner's own word. */
function isYieldTaken(c: Command): boolean {
  return (c.kind === 'takeOver' || c.kind === 'continueAlone' || c.kind === 'record') && (c.row === '4' || c.row === '28');
}

function isShared(r: DurableRecord): boolean {
  return r.standing === 'duplexPrimary' || r.standing === 'duplexSecondary';
}

/** Whether the record alone lets it go on without a word from the partner. */
function hasRight(name: CoServerName, r: DurableRecord): boolean {
  return r.arbiter === 'witness' || r.arbiter === 'fence' || r.arbiter === `named${name}`;
}
