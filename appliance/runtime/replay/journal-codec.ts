// The lines of a journal, written and read. One JSON object a line:
//
//   {"journal":1,"version":"0.1.0","options":{...}}                       a life of the process begins: the exact options of its state
//   {"journal":1,"version":"0.1.0","options":{...},"n":499,"state":{...}} the whole state after event 499
//   {"n":500,"event":{...},"commands":["persist:1f0c9a","say:77aa01"],"state":"9c0d31aa"}
//   {"n":501,"event":{...},"threw":"..."}                                 the core threw; the process ended itself
//
// A command is its kind and a digest of what it decides, without its words: a better sentence is no other decision. The state's digest
// stands where the phase changed: it tells whether the events suffice, as long as the core has not been changed.
import { createHash } from 'node:crypto';
import type { Command, DurableRecord, Event, State, StateOptions } from '../../core/machine.ts';

export const JOURNAL_FORMAT = 1;

export interface JournalHead {
  kind: 'head';
  line: number;
  version: string;
  options: StateOptions;
  /** The last event that `state` has seen; 0 and null at the begin of a life. */
  number: number;
  state: State | null;
}

export interface JournalEvent {
  kind: 'event';
  line: number;
  number: number;
  event: Event;
  commands: string[];
  stateDigest: string | null;
  threw: string | null;
}

export interface JournalDamage {
  kind: 'damage';
  line: number;
  what: string;
}

export type JournalLine = JournalHead | JournalEvent | JournalDamage;

export function headLine(version: string, options: StateOptions): object {
  return { journal: JOURNAL_FORMAT, version, options };
}

export function wholeLine(version: string, options: StateOptions, number: number, state: State): object {
  return { journal: JOURNAL_FORMAT, version, options, n: number, state };
}

export function eventLine(number: number, event: Event, commands: string[], digest: string | null): object {
  return { n: number, event, commands, ...(digest === null ? {} : { state: digest }) };
}

export function commandDigests(commands: readonly Command[]): string[] {
  return commands.map((c) => `${c.kind}:${digest(essence(c), 6)}`);
}

/** What a command decides. Fields are named, so that one more of them in a later release changes no digest. */
function essence(c: Command): unknown {
  switch (c.kind) {
    case 'persist':
      return recordOf(c.record);
    case 'say':
      return [c.status.phase, recordOf(c.status.record), c.status.asksYield, c.status.wish, c.status.wishSeen];
    case 'record':
      return [c.severity, c.row];
    case 'incident':
      return c.incident;
    case 'takeOver':
    case 'continueAlone':
      return [c.generation, c.row];
    case 'startGuest':
      return { kind: c.kind, generation: c.generation };
    case 'stopAll':
    case 'abandonPartner':
    case 'endServer':
      return null;
    default:
      return c;
  }
}

function recordOf(r: DurableRecord): unknown[] {
  return [
    r.generation,
    r.standing,
    r.arbiter,
    r.workloadOff,
    r.wasPrimary,
    r.pinnedMode,
    r.forced,
    r.maintenance,
    ...(r.keep === null ? [] : [r.keep]),
  ];
}

/** Of everything in it but the time. */
export function stateDigest(state: State): string {
  return digest({ ...state, now: 0 }, 8);
}

/** The same for the same content, however it was put together. */
function digest(value: unknown, characters: number): string {
  return createHash('sha256').update(canonical(value)).digest('hex').slice(0, characters);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`).join(',')}}`;
}

/** A journal of another format: nothing in it may be guessed. */
export class UnknownJournal extends Error {
  override name = 'UnknownJournal';
}

/** Throws UnknownJournal; what power failures and bad disks do to a file becomes `damage`. */
export function readJournal(text: string): JournalLine[] {
  const lines = text.split('\n').flatMap((raw, index) => readLine(raw, index + 1));
  if (lines.length === 0) throw new UnknownJournal('the file is empty: no journal');
  if (!lines.some((l) => l.kind !== 'damage')) throw new UnknownJournal('no line of it is a line of a journal');
  return lines;
}

function readLine(raw: string, line: number): JournalLine[] {
  const zeros = raw.split('\0').length - 1;
  const text = raw.replaceAll('\0', '').trim();
  const damage = (what: string): JournalDamage => ({ kind: 'damage', line, what });
  const lost: JournalLine[] = zeros > 0 ? [damage(`${zeros} bytes of zeros: power failed before they were on disk`)] : [];
  if (!text) return lost;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [...lost, damage(`torn or overwritten: ${text.length} characters that are no whole line`)];
  }
  return [...lost, readObject(value, line) ?? damage('a line of another kind')];
}

function readObject(value: unknown, line: number): JournalHead | JournalEvent | null {
  if (!isObject(value)) return null;
  const { journal, version, options, n, state, event, commands, threw } = value;
  if (journal !== undefined) {
    if (journal !== JOURNAL_FORMAT)
      throw new UnknownJournal(
        `line ${line}: journal format ${JSON.stringify(journal)}; this release reads format ${JOURNAL_FORMAT}. Use the release that wrote it.`,
      );
    if (typeof version !== 'string' || !isOptions(options)) return null;
    if (state === undefined) return { kind: 'head', line, version, options, number: 0, state: null };
    if (!isObject(state) || !isObject(state['phase']) || typeof n !== 'number') return null;
    return { kind: 'head', line, version, options, number: n, state: state as unknown as State };
  }
  if (typeof n !== 'number' || !isObject(event) || typeof event['kind'] !== 'string' || typeof event['at'] !== 'number') return null;
  const known = Array.isArray(commands) && commands.every((c) => typeof c === 'string');
  if (!known && typeof threw !== 'string') return null;
  return {
    kind: 'event',
    line,
    number: n,
    event: event as unknown as Event,
    commands: known ? commands : [],
    stateDigest: typeof state === 'string' ? state : null,
    threw: typeof threw === 'string' ? threw : null,
  };
}

function isObject(v: unknown): v is Record<string, unknown> {
  return typeof v === 'object' && v !== null && !Array.isArray(v);
}

function isOptions(v: unknown): v is StateOptions {
  return (
    isObject(v) &&
    (v['me'] === 'A' || v['me'] === 'B') &&
    isObject(v['record']) &&
    typeof v['links'] === 'number' &&
    typeof v['now'] === 'number'
  );
}
