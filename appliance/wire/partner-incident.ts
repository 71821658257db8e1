// The control stream's messages about incidents, as JSON, checked field by field:
// {"incident": {id, at, coServer, kind, sentence, evidence}} from whoever found it; {"evidence": {id, lines}} from the partner,
// who adds what its own side has to tell.
import type { IncidentView } from '../core/snapshot.ts';

/** `id` is the same on both CoServers. */
export type Incident = IncidentView & { id: string };

export type IncidentMessage = { kind: 'incident'; incident: Incident } | { kind: 'evidence'; id: string; lines: string[] };

export const EVIDENCE_LINES = 40;
/** Longer lines of a guest's console are cut. */
export const LINE_CHARACTERS = 200;

const KINDS: readonly IncidentView['kind'][] = [
  'probeMissing',
  'probeDifferent',
  'pageDiffers',
  'clockStuck',
  'guestPanic',
  'engineEnded',
  'streamBroke',
];

export function encodeIncident(incident: Incident): string {
  return JSON.stringify({ incident });
}

export function encodeEvidence(id: string, lines: string[]): string {
  return JSON.stringify({ evidence: { id, lines } });
}

/** Null: the message is about something else. Throws when it is about an incident and not well formed. */
export function parseIncidentMessage(message: unknown): IncidentMessage | null {
  if (typeof message !== 'object' || message === null) return null;
  const m = message as { incident?: unknown; evidence?: unknown };
  if (m.incident !== undefined) {
    const i = fields(m.incident);
    const coServer = i['coServer'];
    const kind = KINDS.find((k) => k === i['kind']);
    const at = i['at'];
    if (!kind || (coServer !== 'A' && coServer !== 'B') || typeof at !== 'number' || !Number.isFinite(at))
      throw new Error(`an incident of kind ${JSON.stringify(i['kind'])?.slice(0, 40)}`);
    return {
      kind: 'incident',
      incident: { id: text(i['id'], 64), at, coServer, kind, sentence: text(i['sentence'], 1_000), evidence: lines(i['evidence']) },
    };
  }
  if (m.evidence !== undefined) {
    const e = fields(m.evidence);
    return { kind: 'evidence', id: text(e['id'], 64), lines: lines(e['lines']) };
  }
  return null;
}

function fields(v: unknown): Record<string, unknown> {
  if (typeof v !== 'object' || v === null) throw new Error('an incident that is no object');
  return v as Record<string, unknown>;
}

function text(v: unknown, limit: number): string {
  if (typeof v !== 'string' || v.length > limit) throw new Error('an incident with a field that is no text, or too long');
  return v;
}

function lines(v: unknown): string[] {
  if (!Array.isArray(v) || v.length > EVIDENCE_LINES) throw new Error('an incident whose evidence is no list of lines, or too long');
  return v.map((line) => text(line, LINE_CHARACTERS));
}
