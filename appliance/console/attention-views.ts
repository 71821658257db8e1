// What the operator should know of or decide, and who decides if the partner is lost now: in words.
import type { ArbiterView, AttentionView, SightView, Snapshot } from '../core/snapshot.ts';
import { rowText } from './decision-rows.ts';
import { ageText, printable } from './format.ts';
import { type ActionModel, type ArbiterModel, type AttentionModel, type Fact, fact, uniqueKeys } from './view-models.ts';

/** In place of the redundancy's word, where the workload stands still, or runs in two histories. */
const WORD: Readonly<Partial<Record<AttentionView['kind'], string>>> = {
  frozen: 'FROZEN',
  notStarted: 'NOT STARTED',
  diskFailed: 'FROZEN',
  diverged: 'TWO HISTORIES',
  failed: 'NOT RUNNING',
  waiting: 'WAITING',
};

/** Null: the redundancy says it. */
export function standstillWord(s: Snapshot): string | null {
  const found = s.attention.find((a) => WORD[a.kind] !== undefined);
  if (!found || (s.workload.state === 'running' && found.kind !== 'diverged')) return null;
  return WORD[found.kind] ?? null;
}

export function attentionModels(s: Snapshot, actions: readonly ActionModel[]): AttentionModel[] {
  const keys = uniqueKeys(s.attention.map((a) => a.kind));
  return s.attention.map((a, i) => ({
    key: keys[i] ?? a.kind,
    tone: a.severity,
    title: printable(a.title),
    sentence: printable(a.sentence),
    row: a.row === null ? '' : printable(rowText(a.row)),
    ends: endsText(a),
    ways: a.ways.map((w) => ({ text: printable(w.text), action: actions.find((action) => action.name === w.action) ?? null })),
  }));
}

/** 'Ends by itself when ... or ..., in 1 h 59 min'; '' where nothing but the operator ends it. */
function endsText({ endsWhen, leftMs }: AttentionView): string {
  if (endsWhen.length === 0) return '';
  const left = leftMs === null ? '' : ` (in ${ageText(leftMs)})`;
  return printable(`Ends by itself when ${endsWhen.join(', or when ')}${left}.`);
}

const KIND: Readonly<Record<ArbiterView['kind'], string>> = {
  witness: 'the witness',
  fence: 'fencing',
  named: 'one named CoServer',
};

export function arbiterModel({ arbiter: a, coServer }: Snapshot): ArbiterModel {
  const other = coServer === 'A' ? 'B' : 'A';
  const decides = a.kind === 'named' && a.named !== null ? `CoServer ${a.named} alone goes on` : KIND[a.kind];
  // Fencing that stands in for a lost witness (row 8) is no fault of fencing, but somebody must look after the witness.
  const valid =
    a.kind === 'witness'
      ? a.witness.usable || a.partnerWitness === true
      : a.kind === 'fence' && a.fencePath.proven && (a.witness.usable || !a.witness.configured);
  return {
    word: a.applies ? decides : 'none needed now',
    tone: a.applies ? (valid ? 'good' : 'warning') : 'info',
    sentence: printable(a.changingTo === null ? a.sentence : `${a.sentence} Both are changing over to ${KIND[a.changingTo]}.`),
    facts: [
      sightFact('Witness', 'usable', 'not usable', a.witness, a.witness.usable, a.partnerWitness, other),
      sightFact('Fence path', 'proven', 'not proven', a.fencePath, a.fencePath.proven, a.partnerFencePath, other),
    ],
  };
}

function sightFact(label: string, yes: string, no: string, own: SightView, isGood: boolean, partner: boolean | null, other: string): Fact {
  if (!own.configured && partner !== true) return fact(label, 'not configured', 'info');
  const why = own.reason === '' ? '' : ` (${own.reason})`;
  const here = !own.configured ? 'not configured here' : isGood ? yes : `${no} for ${ageText(own.sinceMs)}${why}`;
  const there = partner === null ? '' : partner === isGood ? `, on ${other} too` : `, but ${partner ? yes : no} on ${other}`;
  return fact(label, `${here}${there}`, isGood && partner !== false ? 'good' : 'warning');
}
