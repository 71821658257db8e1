// The witness's wire format: one JSON object a line in each direction over TLS 1.3 with a pre-shared key. The PSK
// identity names the pair. Lines are at most WITNESS_LINE_BYTES long: longer ones end the connection.
import type { CoServerName } from '../core/snapshot.ts';
import type { WitnessAnswer } from '../core/witness.ts';

export const WITNESS_LINE_BYTES = 1024;

export type WitnessRequest = { id: number; kind: 'ping' } | { id: number; kind: 'claim'; generation: number; claimant: CoServerName };
export type WitnessReply =
  | { id: number; kind: 'pong' }
  | { id: number; kind: 'answer'; answer: WitnessAnswer }
  | { id: number; kind: 'error'; reason: string };

/** Parses and checks one request line. Throws an Error that names what is wrong. */
export function parseWitnessRequest(line: string): WitnessRequest {
  const m = parseObject(line);
  const id = m['id'];
  if (typeof id !== 'number' || !Number.isSafeInteger(id)) throw new Error('id is not a whole number');
  if (m['kind'] === 'ping') return { id, kind: 'ping' };
  if (m['kind'] !== 'claim') throw new Error(`unknown kind ${JSON.stringify(m['kind'])}`);
  const generation = m['generation'];
  const claimant = m['claimant'];
  if (typeof generation !== 'number' || !Number.isSafeInteger(generation) || generation < 0)
    throw new Error('generation is not a whole number');
  if (claimant !== 'A' && claimant !== 'B') throw new Error('claimant is neither A nor B');
  return { id, kind: 'claim', generation, claimant };
}

export function parseWitnessReply(line: string): WitnessReply {
  const m = parseObject(line);
  if (typeof m['id'] !== 'number') throw new Error('id is not a number');
  if (m['kind'] !== 'pong' && m['kind'] !== 'answer' && m['kind'] !== 'error') throw new Error(`unknown kind ${JSON.stringify(m['kind'])}`);
  return m as unknown as WitnessReply;
}

function parseObject(line: string): Record<string, unknown> {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('not an object');
  return value as Record<string, unknown>;
}
