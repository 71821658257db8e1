// What a guest did, as a chain: each piece of work (a write, and the answer to a client that rests on it) stands on the one
// before. A copy of the disk, or the memory of a replica, is one link of the chain and everything below it.

export interface Deed {
  readonly depth: number;
  readonly before: Deed | null;
}

export const NOTHING: Deed = { depth: 0, before: null };

export function deedAfter(before: Deed): Deed {
  return { depth: before.depth + 1, before };
}

/** Whether `copy` has everything that was done up to `deed`. */
export function holds(copy: Deed, deed: Deed): boolean {
  if (copy.depth < deed.depth) return false;
  return ancestor(copy, deed.depth) === deed;
}

/** The latest deed that both have. */
export function common(a: Deed, b: Deed): Deed {
  let x: Deed | null = ancestor(a, Math.min(a.depth, b.depth));
  let y: Deed | null = ancestor(b, Math.min(a.depth, b.depth));
  while (x && y && x !== y) {
    x = x.before;
    y = y.before;
  }
  return x ?? NOTHING;
}

export function ancestor(from: Deed, depth: number): Deed {
  let at: Deed = from;
  while (at.depth > depth && at.before) at = at.before;
  return at;
}
