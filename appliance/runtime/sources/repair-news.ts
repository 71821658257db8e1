// Blocks that were repaired on the quiet: the guest saw nothing, and the operator should know which disk begins to lose what it holds.
// A disk that goes bad has thousands of them: after the first, what followed is told together.
import type { MirrorEvents } from '../../mirror/api.ts';

const TOGETHER_MS = 30_000;

export type Repaired = MirrorEvents['repaired'];

export class RepairNews {
  readonly #tell: (text: string) => void;
  readonly #togetherMs: number;
  #timer: NodeJS.Timeout | undefined;
  #held: Repaired[] = [];
  #heldBytes = 0;

  constructor(tell: (text: string) => void, togetherMs = TOGETHER_MS) {
    this.#tell = tell;
    this.#togetherMs = togetherMs;
  }

  repaired(r: Repaired): void {
    if (!this.#timer) {
      this.#tell(`${whose(r)} at byte ${r.offset} was written again with the other copy's (${r.why}). The guest saw nothing of it.`);
      this.#timer = setTimeout(() => this.flush(), this.#togetherMs);
      this.#timer.unref();
      return;
    }
    this.#heldBytes += r.lengthBytes;
    // The latest one stands for all.
    this.#held = [r];
  }

  /** What is held is told now: something that sums it up comes next. */
  flush(): void {
    clearTimeout(this.#timer);
    const [latest] = this.#held;
    const bytes = this.#heldBytes;
    this.#timer = undefined;
    this.#held = [];
    this.#heldBytes = 0;
    if (latest)
      this.#tell(
        `${bytes} more bytes were written again with the other copy's, ${whose(latest)} at byte ${latest.offset} last (${latest.why}).`,
      );
  }
}

function whose({ side }: Repaired): string {
  return side === 'own' ? 'A block of the copy here' : "A block of the partner's copy";
}
