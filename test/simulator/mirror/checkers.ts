// The mirror's promises, checked from outside: what the guest and the world were told against what the two disks hold.
import type { ResyncPlan } from '../../../appliance/core/mirror.ts';
import type { Checkers } from '../checkers.ts';
import type { CoServer } from '../side.ts';
import type { World } from '../world.ts';
import { repair } from './guest-disk.ts';
import { BLOCKS, type Content, TORN } from './medium.ts';

export class MirrorCheckers {
  readonly #world: World;
  readonly #all: Checkers;
  /** Both copies were equal, as recorded by both, and no record was lost since. */
  #wereEqual = false;
  /** What a disk that lied has lost, and nobody wrote again. */
  readonly #excused = new Set<number>();

  constructor(world: World, all: Checkers) {
    this.#world = world;
    this.#all = all;
  }

  // ---- what the guest and the world are told

  acknowledged(s: CoServer, block: number, content: Content, isAlone: boolean): void {
    const { ledger } = this.#world;
    if (ledger.isDead(content))
      this.#unlessForced(`${s.name} acknowledges write ${content}, and the guest runs on ${s.partner.name} without it`);
    const { record } = s.copy.metadataMedium;
    if (isAlone && (record === null || record.base === null))
      this.#unlessForced(`${s.name} acknowledges a write that only it has, and its generation is not on its disk yet`);
    this.#excused.delete(block);
    if (ledger.owner === s.name) ledger.acknowledge(block, content);
  }

  flushed(s: CoServer, contents: readonly (Content | null)[]): void {
    if (this.#world.ledger.owner === s.name) this.#world.ledger.flush(contents);
  }

  read(s: CoServer, block: number, told: Content): void {
    const { copy } = s;
    if (this.#world.ledger.owner !== s.name || this.#excused.has(block)) return;
    if (copy.isBad(block)) {
      this.#world.count('disk: a bad block was read');
      repair(copy, block, 'partner');
      return;
    }
    const found = copy.visible(block);
    if (found !== told) this.#unlessForced(`the guest on ${s.name} reads write ${found} of block ${block}, and was told ${told}`);
  }

  // ---- who serves

  /** The guest is started from this copy: a loss of power may have taken what was not flushed. */
  started(s: CoServer): void {
    this.#isWhole(s);
    for (let block = 0; block < BLOCKS; block++) if (!this.#isLostHere(s, block)) this.#started(s, block);
    this.#begins(s);
  }

  #started(s: CoServer, block: number): void {
    const { ledger } = this.#world;
    const line = ledger.line(block);
    const found = s.copy.visible(block);
    if (!line.writes.includes(found) && (found !== TORN || line.writes.length < 2))
      this.#unlessForced(`${s.name} starts with write ${found} of block ${block}; ${line.writes.join(' ')} were flushed or came later`);
    if (ledger.isAcknowledged(block, found)) return;
    const p = s.partner;
    if (this.#all.lostPowerAt(s) < line.at)
      this.#unlessForced(`${s.name} starts with write ${found} of block ${block}, and ${line.acknowledged} was acknowledged`);
    if (this.#all.failedAt(p) < line.at && !p.copy.isPartial && !p.disk.failed && p.copy.latest(block) === line.acknowledged)
      this.#unlessForced(
        `${s.name} starts without write ${line.acknowledged} of block ${block}, and ${p.name}, which never failed, has it`,
      );
    this.#world.count('disk: an unflushed write lost with the power');
  }

  /** It takes over, from its memory: one failure loses nothing that was acknowledged. */
  tookOver(s: CoServer): void {
    this.#isWhole(s);
    const { ledger } = this.#world;
    for (let block = 0; block < BLOCKS; block++) {
      if (this.#isLostHere(s, block)) continue;
      const found = s.copy.visible(block);
      const { writes, acknowledged } = ledger.line(block);
      if (!writes.includes(found) || !ledger.isAcknowledged(block, found))
        this.#unlessForced(`${s.name} takes over with write ${found} of block ${block}, and ${acknowledged} was acknowledged`);
    }
    this.#begins(s);
  }

  #isWhole(s: CoServer): void {
    if (s.copy.isPartial) this.#unlessForced(`${s.name} serves a copy that was cut short while it was made equal`);
    const p = s.partner;
    if (p.copy.opened?.serves && p.copy.mode === 'solo' && p.gate === 'solo') this.#unlessForced(`${s.name} serves beside ${p.name}`);
  }

  /** Bad and known to be, or lost by a disk that lied. */
  #isLostHere(s: CoServer, block: number): boolean {
    if (s.copy.medium.forgotten.has(block)) {
      this.#excused.add(block);
      this.#world.count('disk: what a lying disk had flushed is lost');
    }
    return s.copy.isBad(block) || this.#excused.has(block);
  }

  #begins(s: CoServer): void {
    const { ledger, now } = this.#world;
    ledger.owner = s.name;
    for (let block = 0; block < BLOCKS; block++) if (!s.copy.isBad(block)) ledger.found(block, s.copy.visible(block), now);
    s.diskGuest.begins();
  }

  // ---- the copies

  /** What a resync looks at. */
  planned(s: CoServer, plan: ResyncPlan): void {
    const isPart = plan.kind === 'source' || plan.kind === 'regions';
    this.#world.count(isPart ? 'disk: resync of what may differ' : 'disk: resync of everything');
    if (isPart || !this.#wereEqual || s.copy.isLost || s.partner.copy.isLost) return;
    this.#unlessForced(`${s.name} copies everything (${plan.kind}), and both copies know what they missed`);
  }

  /** A source has attached to the copy of `s`, and may overwrite it from here on. */
  attached(s: CoServer): void {
    const { record } = s.copy.metadataMedium;
    if (!record?.inconsistent) this.#unlessForced(`${s.name} is overwritten, and its copy does not say so`);
    this.#all.overwrites(s.partner, s);
    s.copy.isPartial = true;
    s.disk.whole = false;
  }

  /** Both say that they are equal. */
  synced(s: CoServer): void {
    s.copy.isLost = false;
    s.partner.copy.isLost = false;
    this.#wereEqual = true;
    this.equal(s);
  }

  /** But for what is being written. */
  equal(s: CoServer): void {
    const p = s.partner;
    const lock = s.copy.opened?.lock;
    for (let block = 0; block < BLOCKS; block++) {
      const [a, b] = [s.copy.medium, p.copy.medium];
      if (lock?.isFree(block) === false || a.expected(block) !== undefined || b.expected(block) !== undefined) continue;
      if (a.forgotten.has(block) || b.forgotten.has(block) || this.#excused.has(block)) continue;
      const [mine, theirs] = [s.copy.latest(block), p.copy.latest(block)];
      if (mine !== theirs)
        this.#unlessForced(
          `block ${block} is write ${mine} on ${s.name} and ${theirs} on ${p.name}, and both copies are recorded as equal`,
        );
    }
  }

  #unlessForced(text: string): void {
    this.#all.unlessForced(`mirror: ${text}`);
  }
}
