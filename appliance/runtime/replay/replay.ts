// Runs a journal through the core again and compares what comes out with what was recorded. The first difference ends it: from there
// on the two are different stories.
import { causeOf } from '../../core/evidence.ts';
import { type Command, type Event, FRESH_RECORD, initialState, type State, step } from '../../core/machine.ts';
import { commandDigests, type JournalEvent, type JournalHead, type JournalLine, stateDigest } from './journal-codec.ts';

export interface ReplayOptions {
  /** The release that replays. */
  version: string;
  verbose: boolean;
  /** Stop after this event of the last life (its number in the journal); null: to the end. */
  until: number | null;
}

export interface Replayed {
  /** What was told, line by line. */
  story: string[];
  lives: number;
  events: number;
  /** Whole states and state digests that were the same. */
  statesCompared: number;
  /** Where they first were not, though the commands were: another build of the core, or events that do not suffice. */
  statesDiffer: string | null;
  /** Both sides of the first difference, in lines; null: none. */
  difference: string[] | null;
  /** What could not be replayed, named. */
  damage: string[];
  state: State | null;
}

interface Course {
  head: JournalHead;
  state: State;
  number: number;
}

export function replay(lines: readonly JournalLine[], options: ReplayOptions): Replayed {
  const r: Replayed = { story: [], lives: 0, events: 0, statesCompared: 0, statesDiffer: null, difference: null, damage: [], state: null };
  /** Null: where this stands is not known, until the next head. */
  let course: Course | null = null;
  let skipped = 0;
  const warned = new Set<string>();
  for (const line of lines) {
    if (r.difference) break;
    switch (line.kind) {
      case 'damage':
        r.damage.push(`line ${line.line}: ${line.what}`);
        break;
      case 'head':
        if (skipped > 0)
          r.damage.push(`before line ${line.line}: ${skipped} events are left out, because what came before them is missing`);
        skipped = 0;
        if (line.version !== options.version && !warned.has(line.version)) {
          warned.add(line.version);
          r.story.push(`! written by release ${line.version}, replayed by ${options.version}: differences may be the release's`);
        }
        course = begin(r, course, line);
        break;
      case 'event':
        if (course && line.number !== course.number + 1) {
          r.damage.push(`line ${line.line}: event ${line.number} follows ${course.number}: what lay between is missing`);
          course = null;
        }
        if (!course) skipped++;
        else if (options.until === null || line.number <= options.until) course = follow(r, course, line, options.verbose);
        break;
      default:
        line satisfies never;
    }
    if (course) r.state = course.state;
  }
  if (skipped > 0) r.damage.push(`at the end: ${skipped} events are left out, because what came before them is missing`);
  return r;
}

function begin(r: Replayed, course: Course | null, head: JournalHead): Course {
  const { options } = head;
  // An earlier build's state lacks what was added since: it is as at a start.
  const fresh = initialState({ ...options, record: { ...FRESH_RECORD, ...options.record } });
  if (head.state === null) {
    r.lives++;
    r.story.push(
      `--- CoServer ${options.me}, release ${head.version}, starts: generation ${options.record.generation}, ${options.record.standing}, arbiter ${options.record.arbiter}`,
    );
    return { head, state: fresh, number: 0 };
  }
  if (course?.head.options.incarnation === options.incarnation && course.number === head.number) {
    compareStates(r, course.state, stateDigest(head.state), `line ${head.line}, the whole state after event ${head.number}`);
    return { ...course, head };
  }
  r.lives++;
  r.story.push(`--- CoServer ${options.me}, release ${head.version}, goes on after event ${head.number}: ${head.state.phase.kind}`);
  return { head, state: { ...fresh, ...head.state }, number: head.number };
}

function follow(r: Replayed, course: Course, line: JournalEvent, verbose: boolean): Course {
  const { number } = line;
  const event = completed(line.event);
  const where = `line ${line.line}, event ${number} at ${seconds(event.at)}: ${wordsOf(event)}`;
  r.events++;
  const before = course.state;
  let after: State;
  let commands: Command[];
  try {
    ({ state: after, commands } = step(before, event));
  } catch (e) {
    const thrown = (e as Error).message;
    if (line.threw === thrown)
      r.story.push(`${seconds(event.at)}  ${wordsOf(event)}\n              the core throws, as recorded: ${thrown}`);
    else
      r.difference = [
        where,
        `recorded: ${line.threw === null ? line.commands.join(' ') || 'no commands' : `threw ${line.threw}`}`,
        `replayed: threw ${thrown}`,
      ];
    return { ...course, number };
  }
  r.story.push(...told(event.at, wordsOf(event), before, after, commands, verbose));
  const replayed = commandDigests(commands);
  if (line.threw !== null) r.difference = [where, `recorded: threw ${line.threw}`, `replayed: ${replayed.join(' ') || 'no commands'}`];
  else if (replayed.join() !== line.commands.join()) r.difference = [where, ...bothSides(line.commands, replayed, commands)];
  else if (line.stateDigest !== null) compareStates(r, after, line.stateDigest, where);
  return { ...course, state: after, number };
}

/** An earlier build's records lack what was added since: it was as in a new record. */
function completed(event: Event): Event {
  if (event.kind !== 'partnerSaid') return event;
  return { ...event, status: { ...event.status, record: { ...FRESH_RECORD, ...event.status.record } } };
}

/** Of another release there may be events that this one has no words for. */
function wordsOf(event: Event): string {
  try {
    return causeOf(event);
  } catch {
    return `event ${event.kind}`;
  }
}

function compareStates(r: Replayed, replayed: State, recorded: string, where: string): void {
  if (stateDigest(replayed) === recorded) r.statesCompared++;
  else r.statesDiffer ??= where;
}

function bothSides(recorded: readonly string[], replayed: readonly string[], commands: readonly Command[]): string[] {
  const at = recorded.findIndex((c, i) => c !== replayed[i]);
  const first = at < 0 ? recorded.length : at;
  const content = commands[first];
  return [
    `recorded: ${recorded.join(' ') || 'no commands'}`,
    `replayed: ${replayed.join(' ') || 'no commands'}`,
    `first difference: ${recorded[first] ?? 'nothing'} was recorded, ${replayed[first] ?? 'nothing'} comes out now`,
    ...(content ? [`what comes out now: ${JSON.stringify(content)}`] : []),
  ];
}

/** Steps that only spoke to the partner or only counted are told when asked for. */
function told(at: number, cause: string, before: State, after: State, commands: readonly Command[], verbose: boolean): string[] {
  const moved = before.phase.kind !== after.phase.kind;
  const done = commands.filter((c) => verbose || c.kind !== 'say');
  if (!verbose && !moved && done.length === 0) return [];
  const indent = '              ';
  return [
    `${seconds(at)}  ${cause}`,
    ...(moved ? [`${indent}${before.phase.kind} -> ${after.phase.kind}${after.phase.note ? ` (${after.phase.note})` : ''}`] : []),
    ...done.flatMap((c) => sentence(c, verbose)).map((l) => `${indent}${l}`),
  ];
}

function sentence(c: Command, verbose: boolean): string[] {
  switch (c.kind) {
    case 'record':
      return [
        `${c.row === null ? '' : `[${c.row}] `}${c.severity}: ${c.text}`,
        ...(verbose ? (c.evidence ?? []).map((e) => `    ${e}`) : []),
      ];
    case 'persist':
      return [`persist: generation ${c.record.generation}, ${c.record.standing}, arbiter ${c.record.arbiter}`];
    case 'incident':
      return [`incident: ${c.sentence}`];
    default:
      return [verbose ? JSON.stringify(c) : c.kind];
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(3).padStart(10)} s`;
}
