// Overlapping changes of the disk follow each other, in the order in which they came (appliance/mirror/range-lock.ts).

interface Range {
  start: number;
  end: number;
  run: (unlock: () => void) => void;
  isHeld: boolean;
}

export class ExtentLock {
  #ranges: Range[] = [];

  /** Blocks from `start` to before `end`; none: at once. */
  take(start: number, end: number, run: (unlock: () => void) => void): void {
    if (end <= start) {
      run(() => undefined);
      return;
    }
    this.#ranges.push({ start, end, run, isHeld: false });
    this.#grant();
  }

  isFree(block: number): boolean {
    return this.#ranges.every((r) => block < r.start || block >= r.end);
  }

  #grant(): void {
    for (let i = 0; i < this.#ranges.length; i++) {
      const range = this.#ranges[i];
      if (!range || range.isHeld) continue;
      let isFree = true;
      for (let j = 0; j < i && isFree; j++) {
        const before = this.#ranges[j];
        if (before && before.start < range.end && range.start < before.end) isFree = false;
      }
      if (!isFree) continue;
      range.isHeld = true;
      range.run(() => {
        const at = this.#ranges.indexOf(range);
        if (at < 0) return;
        this.#ranges.splice(at, 1);
        this.#grant();
      });
    }
  }
}
