// What is going to happen, soonest first; of two things at the same moment, the one that was planned first. A binary heap.

interface Entry {
  at: number;
  order: number;
  run: () => void;
}

export class EventQueue {
  readonly #heap: Entry[] = [];
  #order = 0;

  push(at: number, run: () => void): void {
    const heap = this.#heap;
    const entry: Entry = { at, order: this.#order++, run };
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const above = (i - 1) >> 1;
      const parent = heap[above] as Entry;
      if (!isBefore(entry, parent)) break;
      heap[i] = parent;
      i = above;
    }
    heap[i] = entry;
  }

  /** The soonest, if it is due by `end`. */
  pop(end: number): Entry | null {
    const heap = this.#heap;
    const first = heap[0];
    if (!first || first.at > end) return null;
    const last = heap.pop() as Entry;
    if (last === first) return first;
    let i = 0;
    for (;;) {
      let below = 2 * i + 1;
      const left = heap[below];
      if (!left) break;
      const right = heap[below + 1];
      let least = left;
      if (right && isBefore(right, left)) {
        below++;
        least = right;
      }
      if (!isBefore(least, last)) break;
      heap[i] = least;
      i = below;
    }
    heap[i] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
