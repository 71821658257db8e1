// What was asked of the pair: one version on both. Durable on both CoServers beside the update, so that whichever starts again knows it. Pure,
// but for reading and writing the file.
//
// A wish has a number that only grows. Both tell theirs all the time; the higher one counts, on both. What changes in one wish (the operator allows
// a restart of the guest; it has ended) is only ever added, so the order in which the two hear of each other does not matter.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeKept } from './record.ts';
import { compareVersions, isVersion } from './version.ts';

export interface WishEnd {
  kind: 'done' | 'stopped';
  /** One sentence. */
  text: string;
}

export interface PairWish {
  /** From 1. */
  number: number;
  startedOn: 'A' | 'B';
  target: string;
  /** Of its manifest: the engine it brings, and the oldest version that it runs beside. */
  engine: string;
  minimumFrom: string;
  /** What both ran when it began. */
  from: readonly string[];
  /** Wall clock, ISO 8601: for people. */
  since: string;
  /** Who asked, in words. */
  by: string;
  mayRestartGuest: boolean;
  /** null: it goes on. */
  end: WishEnd | null;
}

const MAX_TEXT = 600;

/** The one that counts, of what this side and the partner have. */
export function mergeWishes(a: PairWish | null, b: PairWish | null): PairWish | null {
  if (a === null || b === null) return a ?? b;
  if (a.number !== b.number) return a.number > b.number ? a : b;
  // Begun on both at once.
  if (a.startedOn !== b.startedOn) return a.startedOn === 'A' ? a : b;
  return { ...a, mayRestartGuest: a.mayRestartGuest || b.mayRestartGuest, end: mergeEnds(a.end, b.end) };
}

function mergeEnds(a: WishEnd | null, b: WishEnd | null): WishEnd | null {
  if (a === null || b === null) return a ?? b;
  if (a.kind !== b.kind) return a.kind === 'stopped' ? a : b;
  // The same on both, whoever hears of the other first.
  return a.text <= b.text ? a : b;
}

export function sameWish(a: PairWish | null, b: PairWish | null): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Versions that may run duplex with `running`, by the manifest of what the pair was updated to: its `minimumFrom` is that statement. */
export function compatibleByWish(wish: PairWish | null, running: string): string[] {
  if (wish === null || wish.target !== running) return [];
  return wish.from.filter((v) => v !== running && compareVersions(v, wish.minimumFrom) >= 0);
}

/** Throws with the field that is wrong. */
export function parseWish(value: unknown): PairWish {
  const w = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const text = (name: string, max = 200): string => {
    const field = w[name];
    if (typeof field !== 'string' || field.length > max) throw new Error(`wish.${name} is no short text`);
    return field;
  };
  const version = (field: unknown, name: string): string => {
    if (typeof field !== 'string' || !isVersion(field)) throw new Error(`wish.${name} is no version`);
    return field;
  };
  const { number, startedOn, from, mayRestartGuest, end } = w;
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1) throw new Error('wish.number is no whole number');
  if (startedOn !== 'A' && startedOn !== 'B') throw new Error('wish.startedOn is neither A nor B');
  if (!Array.isArray(from) || from.length > 2) throw new Error('wish.from is no list of at most 2');
  if (typeof mayRestartGuest !== 'boolean') throw new Error('wish.mayRestartGuest is neither true nor false');
  return {
    number,
    startedOn,
    target: version(w['target'], 'target'),
    engine: text('engine'),
    minimumFrom: version(w['minimumFrom'], 'minimumFrom'),
    from: from.map((v) => version(v, 'from')),
    since: text('since'),
    by: text('by'),
    mayRestartGuest,
    end: end === null ? null : parseEnd(end),
  };
}

function parseEnd(value: unknown): WishEnd {
  const { kind, text } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (kind !== 'done' && kind !== 'stopped') throw new Error('wish.end.kind is neither done nor stopped');
  if (typeof text !== 'string' || text.length > MAX_TEXT) throw new Error('wish.end.text is no short text');
  return { kind, text };
}

/** Beside the record of the last update. */
export function wishFileOf(recordFile: string): string {
  return join(dirname(recordFile), 'update-pair.json');
}

/** null: none, or none that can be read: the partner has it, too. */
export function readWish(recordFile: string): PairWish | null {
  try {
    return parseWish(JSON.parse(readFileSync(wishFileOf(recordFile), 'utf8')));
  } catch {
    return null;
  }
}

/** False: the state partition does not take it. */
export function writeWish(recordFile: string, wish: PairWish): boolean {
  return writeKept(wishFileOf(recordFile), JSON.stringify(wish));
}

/** The level at which this process runs while it may not run as configured (rolling.ts, `levelOrder`); null: as configured. */
export function readLevel(recordFile: string): 2 | null {
  return existsSync(levelFileOf(recordFile)) ? 2 : null;
}

/** False: the state partition does not take it. */
export function writeLevel(recordFile: string, level: 2 | null): boolean {
  if (level === 2) return writeKept(levelFileOf(recordFile), '2\n');
  try {
    rmSync(levelFileOf(recordFile), { force: true });
    return true;
  } catch {
    return false;
  }
}

const levelFileOf = (recordFile: string) => join(dirname(recordFile), 'update-level');
