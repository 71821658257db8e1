// What was seen of one fault, from the pictures of both CoServers: told or not, over or not, and whether that is as it must be. Pure.
import { CATALOGUE, type FaultCode } from '../../appliance/core/faults/catalogue.ts';
import type { CoServerName, Snapshot, TimelineEntry } from '../../appliance/core/snapshot.ts';
import type { LabFault } from '../lab/lab-interface.ts';
import type { FaultAction, FaultExpectation } from './machine-faults-plan.ts';
import { partnerOf } from './pair-picture.ts';

/** What a CoServer wrote, and when it was read here (monotonic ms). */
export interface SeenEntry extends TimelineEntry {
  seenMs: number;
}

/** A fault of the hardware as its CoServer wrote it down. */
export interface Told {
  code: FaultCode;
  coServer: CoServerName;
  isOver: boolean;
  row: string | null;
  text: string;
  seenMs: number;
}

export const ROW_OF: Record<FaultAction, string | null> = { none: null, moveRole: '16', endServer: '17', detachDisk: '12', restart: null };

const OVER = 'It is over: ';

/** Null: it is about something else. */
export function toldBy({ text, coServer, row, seenMs }: SeenEntry): Told | null {
  const isOver = text.startsWith(OVER);
  const words = isOver ? text.slice(OVER.length) : text;
  const code = (Object.keys(CATALOGUE) as FaultCode[]).find((c) => startsWithSentence(words, CATALOGUE[c].sentence));
  return code === undefined ? null : { code, coServer, isOver, row, text, seenMs };
}

/** One sentence may be the beginning of another. */
function startsWithSentence(words: string, sentence: string): boolean {
  return words.startsWith(sentence) && /^( \(|\.)/.test(words.slice(sentence.length));
}

const isOf = (told: Told, code: FaultCode, where: string, server: CoServerName): boolean =>
  told.coServer === server && told.code === code && told.text.includes(where);

/** The first one after `sinceMs` by the server itself. */
export function findTold(
  all: readonly Told[],
  wanted: { code: FaultCode; where: string; server: CoServerName; isOver: boolean; sinceMs: number },
): Told | null {
  return (
    all.find((t) => t.seenMs >= wanted.sinceMs && t.isOver === wanted.isOver && isOf(t, wanted.code, wanted.where, wanted.server)) ?? null
  );
}

/** The partner shows it: all that is seen of a server whose own console is cut off. */
export function partnerShows(picture: Snapshot | null, code: FaultCode, where: string, server: CoServerName): boolean {
  const sentence = CATALOGUE[code].sentence;
  const title = `CoServer ${server}: ${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`;
  return (picture?.attention ?? []).some((a) => a.kind === 'hardware' && a.title === title && a.sentence.includes(where));
}

/** Of faults that no catalogue has: does the partner's picture show it now? Null: it gives none. */
export function partnersPicture(picture: Snapshot | null, what: 'fencePath' | 'hearing', server: CoServerName): boolean | null {
  if (picture === null || picture.coServer !== partnerOf(server)) return null;
  if (what === 'fencePath') return !picture.arbiter.fencePath.proven;
  return picture.coServers.some(({ name, present }) => name === server && !present);
}

/** Of one injection, all times monotonic ms. */
export interface Observation {
  fault: LabFault;
  server: CoServerName;
  how: string;
  injections: number;
  injectedMs: number;
  /** Told, or shown by the partner; null: not within the limit. */
  detected: { atMs: number; row: string | null; text: string; by: 'itself' | 'partner' } | null;
  /** The partner's own port of a link; null: not asked for, or not seen. */
  detectedByBothMs: number | null;
  /** The process of a server that ends itself was started again, and knows why. Null: not waited for, or not seen. */
  startedAgain: { atMs: number; knowsWhy: boolean } | null;
  clearedFromMs: number | null;
  overMs: number | null;
  /** Role of the server when the fault was made. */
  role: 'primary' | 'secondary' | 'none' | 'unknown';
  /** The lab could not do it. */
  trouble: string;
}

export interface FaultOutcome {
  fault: LabFault;
  server: CoServerName;
  role: Observation['role'];
  how: string;
  injections: number;
  expected: string;
  found: string;
  detectedS: number | null;
  action: FaultAction;
  /** As it was recorded. */
  row: string | null;
  overS: number | null;
  /** Why it was not waited for; empty: it was. */
  overNote: string;
  problems: string[];
}

export function judgeFault(expected: FaultExpectation, seen: Observation): FaultOutcome {
  const seconds = (from: number | null, to: number | null): number | null =>
    from === null || to === null ? null : Math.round((to - from) / 100) / 10;
  const problems: string[] = [];
  const row = ROW_OF[expected.action];
  const name = expected.code ?? { fencePath: 'the fence path is lost', hearing: 'not heard' }[expected.shows ?? 'hearing'];
  if (seen.trouble !== '') problems.push(seen.trouble);
  else if (seen.detected === null) problems.push(`not detected: ${name}`);
  else if (expected.code !== null && seen.detected.by === 'itself' && seen.detected.row !== row)
    problems.push(`row ${seen.detected.row ?? 'none'} instead of ${row ?? 'none'}`);
  if (seen.trouble === '' && seen.detected !== null) {
    if (expected.both && seen.detectedByBothMs === null) problems.push('not detected at the other end of the cable');
    if (expected.action === 'endServer' && seen.startedAgain === null) problems.push('the process did not end, or was not started again');
    if (seen.startedAgain?.knowsWhy === false) problems.push('started again, and does not say why it had ended itself');
    if (expected.ends === 'takenBack' && seen.overMs === null) problems.push('it does not end after it was taken back');
    if (expected.ends === 'powerCycle' && seen.overMs === null) problems.push('it was started anew, and is not in good order');
    if (expected.action === 'restart' && seen.overMs === null) problems.push('the server did not come back');
  }
  return {
    fault: seen.fault,
    server: seen.server,
    role: seen.role,
    how: seen.how,
    injections: seen.injections,
    expected: `${name}${row === null ? '' : `, row ${row}`}`,
    found: seen.detected?.text ?? '',
    detectedS: seconds(seen.injectedMs, seen.detected?.atMs ?? null),
    action: expected.action,
    row: seen.detected?.row ?? null,
    overS: seconds(seen.clearedFromMs, seen.overMs ?? seen.startedAgain?.atMs ?? null),
    overNote: { takenBack: '', hour: 'told for an hour', restart: 'until it was back', powerCycle: 'started anew by its BMC' }[
      expected.ends
    ],
    problems,
  };
}

/** Raised by nobody's fault: `outcomes` are all that were made, with the time in which each may be told. */
export function falseAlarms(
  all: readonly Told[],
  made: readonly { server: CoServerName; codes: readonly FaultCode[]; fromMs: number; toMs: number; both: boolean }[],
): Told[] {
  return all.filter(
    (t) =>
      !t.isOver &&
      !made.some((m) => (m.both || m.server === t.coServer) && m.codes.includes(t.code) && t.seenMs >= m.fromMs && t.seenMs <= m.toMs),
  );
}
