// The guest as a user of its disk: it writes numbers, flushes, reads back, and remembers what it was told. One on each CoServer that
// runs a replica; which of them is the guest is the ledger's to know.
import type { CoServer } from '../side.ts';
import type { World } from '../world.ts';
import { checkpoint, guestFlush, guestWrite } from './guest-disk.ts';
import { BLOCKS, type Content } from './medium.ts';

const OPEN_WRITES = 4;
/** Most of the time a guest writes where it wrote last. */
const HOT_SHARE = 0.5;

interface Withheld {
  interval: number;
  tell: () => void;
}

export class DiskGuest {
  readonly #world: World;
  readonly #s: CoServer;
  /** Not answered yet. */
  readonly open = new Map<number, Content>();
  #flush: readonly (Content | null)[] | null = null;
  /** What the guest itself was told last; null: that it failed, so it may find either. */
  #told: (Content | null)[] = new Array<Content | null>(BLOCKS).fill(0);
  /** The world is not told yet. */
  #withheld: Withheld[] = [];
  #isStopped = false;
  #hot = 0;

  constructor(world: World, s: CoServer) {
    this.#world = world;
    this.#s = s;
  }

  get isIdle(): boolean {
    return this.open.size === 0 && this.#flush === null && !this.#isStopped;
  }

  /** It begins here, with what the disk holds. */
  begins(): void {
    this.forget();
    const { copy } = this.#s;
    this.#told = Array.from({ length: BLOCKS }, (_, block) => (copy.isBad(block) ? null : copy.visible(block)));
  }

  /** It ended, or another one took over from it. */
  forget(): void {
    this.open.clear();
    this.#flush = null;
    this.#withheld = [];
    this.#isStopped = false;
  }

  /** The export is there again: what was not answered is asked again. */
  resumes(): void {
    this.#isStopped = false;
    const open = [...this.open];
    this.open.clear();
    for (const [block, content] of open) this.#write(block, content);
    if (this.#flush) this.#askFlush();
  }

  works(): void {
    if (this.#isStopped || this.#world.isIdle) return;
    const { random, guests, level } = this.#world;
    for (let n = Math.ceil(random.between(0, 3)); n > 0; n--) {
      const what = random.next();
      if (random.chance(1 - HOT_SHARE)) this.#hot = Math.floor(random.between(0, BLOCKS));
      const block = this.#hot;
      if (what < 0.75) {
        if (this.open.size < OPEN_WRITES && !this.open.has(block))
          this.#write(block, this.#world.ledger.issue(this.#s.name, block, this.#world.now));
      } else if (what < 0.9) {
        if (this.#flush === null) this.#askFlush();
      } else this.#read(block);
    }
    if (level === 3 && guests.session?.primary === this.#s && random.chance(0.5)) this.checkpoint();
  }

  /** As the secondary, between two checkpoints, when it does not do what the primary does. */
  worksPrivately(): void {
    const { random, ledger } = this.#world;
    if (random.chance(0.3)) this.#s.copy.opened?.replica?.guestWrites(ledger.issueOwn(), Math.floor(random.between(0, BLOCKS)));
  }

  /** The guests stand still from here until the secondary has loaded it. */
  checkpoint(): void {
    if (!this.isIdle) return;
    this.#isStopped = true;
    const { session } = this.#world.guests;
    checkpoint(this.#s.copy, (interval) => {
      if (this.#world.guests.session !== session) return;
      this.#isStopped = false;
      const told = this.#withheld.filter((w) => w.interval <= interval);
      this.#withheld = this.#withheld.filter((w) => w.interval > interval);
      for (const w of told) w.tell();
    });
  }

  /** The session is over: nobody waits for a checkpoint any more. */
  leftSession(): void {
    this.#isStopped = false;
  }

  /** Everything leaves. */
  opened(): void {
    this.#isStopped = false;
    for (const w of this.#withheld.splice(0)) w.tell();
  }

  #write(block: number, content: Content): void {
    const { copy } = this.#s;
    this.open.set(block, content);
    const { interval } = copy;
    guestWrite(
      copy,
      block,
      () => content,
      (isWell) => {
        if (this.open.get(block) !== content) return;
        this.open.delete(block);
        this.#told[block] = isWell ? content : null;
        if (!isWell) return;
        const isAlone = copy.mode === 'solo';
        this.#tell(interval, () => this.#world.checkers.mirror.acknowledged(this.#s, block, content, isAlone));
      },
    );
  }

  #askFlush(): void {
    const { copy } = this.#s;
    // What it was told before the flush is what the flush is of.
    const covers = [...this.#told];
    this.#flush = covers;
    const { interval } = copy;
    guestFlush(copy, () => {
      if (this.#flush !== covers) return;
      this.#flush = null;
      this.#tell(interval, () => this.#world.checkers.mirror.flushed(this.#s, covers));
    });
  }

  /** Both replicas say the same, or the checkpoint is committed: then the world is told. Level 2: the guest's word is the world's. */
  #tell(interval: number, tell: () => void): void {
    const { gate } = this.#s;
    if (this.#world.level === 2 || gate === 'solo' || (gate === 'holding' && this.#world.isLockstep)) tell();
    else this.#withheld.push({ interval, tell });
  }

  #read(block: number): void {
    const told = this.#told[block];
    if (this.open.has(block) || told === null || told === undefined || !this.#s.copy.opened?.serves) return;
    this.#world.checkers.mirror.read(this.#s, block, told);
  }
}
