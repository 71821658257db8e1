// The wish of this CoServer: on the disk before anybody is told of it, and each of its turns told once.
import { mergeWishes, type PairWish, readWish, sameWish, type WishEnd, writeWish } from './pair-wish.ts';
import type { News } from './record.ts';

export class WishKeeper {
  readonly #recordFile: string;
  readonly #tell: (news: News) => void;
  #wish: PairWish | null;

  constructor(recordFile: string, tell: (news: News) => void) {
    this.#recordFile = recordFile;
    this.#tell = tell;
    this.#wish = readWish(recordFile);
  }

  get wish(): PairWish | null {
    return this.#wish;
  }

  /** False: it could not be kept, and nothing has changed. */
  adopt(wish: PairWish): boolean {
    if (!writeWish(this.#recordFile, wish)) return false;
    this.#wish = wish;
    return true;
  }

  /** What the partner has. */
  hear(theirs: PairWish | null): 'same' | 'changed' | 'notKept' {
    const before = this.#wish;
    const wish = mergeWishes(before, theirs);
    if (wish === null || sameWish(wish, before)) return 'same';
    if (!this.adopt(wish)) return 'notKept';
    const isNew = before?.number !== wish.number;
    if (!isNew && wish.end && !before?.end) this.#tellEnd(wish.end);
    if (isNew && !wish.end)
      this.#tell({
        severity: 'info',
        text: `The update of both CoServers to ${wish.target} was begun on CoServer ${wish.startedOn} by ${wish.by}.`,
      });
    return 'changed';
  }

  /** False: it could not be kept. */
  end(end: WishEnd): boolean {
    if (!this.#wish || this.#wish.end) return true;
    if (!this.adopt({ ...this.#wish, end })) return false;
    this.#tellEnd(end);
    return true;
  }

  #tellEnd({ kind, text }: WishEnd): void {
    this.#tell(kind === 'done' ? { severity: 'info', text } : { severity: 'warning', text: `The update of the pair stopped. ${text}` });
  }
}
