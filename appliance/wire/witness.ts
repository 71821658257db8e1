// The witness's wire format: one JSON object a line in each direction over TLS 1.3 with a pre-shared key. The PSK identity names
// the pair. Lines are at most WITNESS_LINE_BYTES long: longer ones end the connection. Table and examples: README.md.
//
// Each side's first line is its hello. Only `kind` and `protocol` of a hello may be relied on across protocols: who meets another
// protocol says so by name and ends the connection.
import type { CoServerName } from '../core/snapshot.ts';
import type { ReportedState, WitnessAnswer, WitnessMark } from '../core/witness.ts';

export const WITNESS_PROTOCOL = 2;
export const WITNESS_LINE_BYTES = 1024;

export interface WitnessClientHello {
  kind: 'hello';
  protocol: number;
  coServer: CoServerName;
  /** 16 hex digits, random per life of the CoServer's process. */
  incarnation: string;
}

export type WitnessRequest =
  | { id: number; kind: 'report'; generation: number; state: ReportedState; seen: WitnessMark | null }
  | { id: number; kind: 'claim'; generation: number; seen: WitnessMark | null };

/** protocol: this witness speaks another one; malformed: of the request; storage: nothing could be made durable. */
export type WitnessErrorCode = 'protocol' | 'malformed' | 'storage';

export type WitnessReply =
  | { kind: 'hello'; protocol: number }
  | { id: number; kind: 'noted'; confirmed: boolean; doubt: string; generation: number; owner: CoServerName | null; mark: WitnessMark }
  | { id: number; kind: 'answer'; answer: WitnessAnswer; mark: WitnessMark }
  /** id 0: of no request that could be read. */
  | { id: number; kind: 'error'; code: WitnessErrorCode; reason: string };

const STATES: readonly ReportedState[] = ['duplex', 'simplex', 'fresh', 'stopped', 'other'];
const CODES: readonly WitnessErrorCode[] = ['protocol', 'malformed', 'storage'];

/** A CoServer's first line. `protocol` is not checked here. Throws an Error that names what is wrong. */
export function parseWitnessHello(line: string): WitnessClientHello {
  const m = parseObject(line);
  if (m['kind'] !== 'hello') throw new Error(`the first line is ${show(m['kind'])}, a hello is needed (protocol ${WITNESS_PROTOCOL})`);
  const protocol = whole(m, 'protocol');
  // What else another protocol's hello holds is not ours to judge.
  if (protocol !== WITNESS_PROTOCOL) return { kind: 'hello', protocol, coServer: 'A', incarnation: '' };
  return { kind: 'hello', protocol, coServer: coServer(m, 'coServer'), incarnation: hex(m, 'incarnation', 16) };
}

/** Throws an Error that names what is wrong. */
export function parseWitnessRequest(line: string): WitnessRequest {
  const m = parseObject(line);
  const request = { id: whole(m, 'id'), generation: whole(m, 'generation'), seen: m['seen'] === null ? null : mark(m, 'seen') };
  if (m['kind'] === 'claim') return { ...request, kind: 'claim' };
  if (m['kind'] !== 'report') throw new Error(`kind is ${show(m['kind'])}, report or claim is needed`);
  return { ...request, kind: 'report', state: oneOf(m, 'state', STATES) };
}

/** Throws an Error that names what is wrong. */
export function parseWitnessReply(line: string): WitnessReply {
  const m = parseObject(line);
  switch (m['kind']) {
    case 'hello':
      return { kind: 'hello', protocol: whole(m, 'protocol') };
    case 'noted': {
      const owner = m['owner'] === null ? null : coServer(m, 'owner');
      if (typeof m['confirmed'] !== 'boolean') throw new Error(`confirmed is ${show(m['confirmed'])}, true or false is needed`);
      const standing = { confirmed: m['confirmed'], doubt: text(m, 'doubt'), generation: whole(m, 'generation'), owner };
      return { id: whole(m, 'id'), kind: 'noted', ...standing, mark: mark(m, 'mark') };
    }
    case 'answer':
      return { id: whole(m, 'id'), kind: 'answer', answer: parseAnswer(m['answer']), mark: mark(m, 'mark') };
    case 'error':
      return { id: whole(m, 'id'), kind: 'error', code: oneOf(m, 'code', CODES), reason: text(m, 'reason') };
    default:
      throw new Error(`kind is ${show(m['kind'])}, hello, noted, answer or error is needed`);
  }
}

function parseAnswer(value: unknown): WitnessAnswer {
  const m = asObject(value);
  switch (m['kind']) {
    case 'granted':
      return { kind: 'granted', generation: whole(m, 'generation'), owner: coServer(m, 'owner') };
    case 'refused':
    case 'unconfirmed':
      return { kind: m['kind'], reason: text(m, 'reason') };
    default:
      throw new Error(`the answer is ${show(m['kind'])}, granted, refused or unconfirmed is needed`);
  }
}

type Members = Record<string, unknown>;

function whole(m: Members, key: string): number {
  const v = m[key];
  if (typeof v !== 'number' || !Number.isSafeInteger(v) || v < 0) throw new Error(`${key} is ${show(v)}, a whole number is needed`);
  return v;
}

function text(m: Members, key: string): string {
  const v = m[key];
  if (typeof v !== 'string') throw new Error(`${key} is ${show(v)}, a text is needed`);
  return v;
}

function hex(m: Members, key: string, digits: number): string {
  const v = m[key];
  if (typeof v !== 'string' || v.length !== digits || !/^[0-9a-f]*$/.test(v))
    throw new Error(`${key} is ${show(v)}, ${digits} hex digits are needed`);
  return v;
}

function oneOf<T extends string>(m: Members, key: string, choices: readonly T[]): T {
  const found = choices.find((c) => c === m[key]);
  if (found === undefined) throw new Error(`${key} is ${show(m[key])}, one of ${choices.join(', ')} is needed`);
  return found;
}

const coServer = (m: Members, key: string): CoServerName => oneOf(m, key, ['A', 'B']);

function mark(m: Members, key: string): WitnessMark {
  const v = asObject(m[key]);
  return { memoryId: hex(v, 'memoryId', 16), count: whole(v, 'count') };
}

/** What stands there, short enough for a sentence. */
function show(value: unknown): string {
  return value === undefined ? 'missing' : (JSON.stringify(value) ?? String(value)).slice(0, 40);
}

function asObject(value: unknown): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${show(value)} is not an object`);
  return value as Members;
}

function parseObject(line: string): Members {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error('the line is not JSON');
  }
  return asObject(value);
}
