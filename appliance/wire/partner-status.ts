// The control stream's main message: a PartnerStatus as JSON, checked field by field.
import { TOLD_FAULTS } from '../core/faults/told.ts';
import { ARBITERS, type OutputMode, type PartnerStatus, type PhaseKind, type Standing, type Wish } from '../core/machine.ts';

/** A release that fits more than these would be remembered by nobody. */
const VERSIONS = 16;
export const STANDINGS: readonly Standing[] = ['fresh', 'simplex', 'duplexPrimary', 'duplexSecondary', 'outdated', 'inconsistent'];
export const PHASES: readonly PhaseKind[] = [
  'isolated',
  'claiming',
  'starting',
  'running',
  'resyncing',
  'protecting',
  'committing',
  'duplex',
  'standby',
  'target',
  'incoming',
  'ready',
  'secondary',
  'acting',
  'steppingDown',
  'off',
  'failed',
  'frozen',
  'diverged',
];

export function parsePartnerStatus(message: unknown): PartnerStatus {
  const m = object(message, 'the message');
  const record = object(m['record'], 'record');
  const arbiters = object(m['arbiters'], 'arbiters');
  return {
    coServer: oneOf(m['coServer'], ['A', 'B'] as const, 'coServer'),
    incarnation: short(m['incarnation'], 'incarnation'),
    record: {
      generation: whole(record['generation'], 'record.generation'),
      standing: oneOf(record['standing'], STANDINGS, 'record.standing'),
      workloadOff: record['workloadOff'] === true,
      wasPrimary: record['wasPrimary'] === true,
      pinnedMode: pin(record['pinnedMode']),
      arbiter: oneOf(record['arbiter'], ARBITERS, 'record.arbiter'),
      forced: record['forced'] === true,
      maintenance: record['maintenance'] === true,
      keep: record['keep'] === null || record['keep'] === undefined ? null : whole(record['keep'], 'record.keep'),
    },
    phase: oneOf(m['phase'], PHASES, 'phase'),
    revision: whole(m['revision'], 'revision'),
    version: short(m['version'], 'version'),
    compatibleVersions: versions(m['compatibleVersions']),
    pairId: short(m['pairId'], 'pairId'),
    proved: m['proved'] === true,
    asksYield: m['asksYield'] === true,
    arbiters: { witness: arbiters['witness'] === true, fence: arbiters['fence'] === true },
    wish: wish(m['wish']),
    wishSeen: whole(m['wishSeen'], 'wishSeen'),
    power: oneOf(m['power'], ['mains', 'battery', 'low'] as const, 'power'),
    businessUp: m['businessUp'] === true,
    needsNic: m['needsNic'] === true,
    yieldRow: typeof m['yieldRow'] === 'string' ? short(m['yieldRow'], 'yieldRow') : null,
    diskFailed: m['diskFailed'] === true,
    // An earlier release knew level 3 alone.
    level: m['level'] === undefined ? 3 : level(m['level']),
    leaseMs: m['leaseMs'] === undefined ? 0 : whole(m['leaseMs'], 'leaseMs'),
    restarting: m['restarting'] === true,
    faults: faults(m['faults']),
  };
}

/** Left out by an earlier release, which knew of none. */
function versions(v: unknown): string[] {
  if (v === undefined) return [];
  if (!Array.isArray(v) || v.length > VERSIONS) throw new Error(`compatibleVersions is no list of at most ${VERSIONS}`);
  return v.map((one) => short(one, 'compatibleVersions'));
}

/** Left out by an earlier release, which read no hardware. */
function faults(v: unknown): PartnerStatus['faults'] {
  if (v === undefined) return [];
  if (!Array.isArray(v) || v.length > TOLD_FAULTS) throw new Error(`faults is no list of at most ${TOLD_FAULTS}`);
  return v.map((one) => {
    const { code, where } = object(one, 'a fault');
    return { code: short(code, 'faults.code'), where: short(where, 'faults.where') };
  });
}

function level(v: unknown): PartnerStatus['level'] {
  if (v !== 2 && v !== 3) throw new Error(`level is ${JSON.stringify(v)?.slice(0, 40)}`);
  return v;
}

function wish(v: unknown): Wish | null {
  if (v === null) return null;
  const w = object(v, 'wish');
  return { arbiter: oneOf(w['arbiter'], ARBITERS, 'wish.arbiter'), number: whole(w['number'], 'wish.number') };
}

function pin(v: unknown): OutputMode | null {
  return v === null || v === undefined ? null : oneOf(v, ['lockstep', 'passive'] as const, 'record.pinnedMode');
}

function object(v: unknown, name: string): Record<string, unknown> {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) throw new Error(`${name} is no object`);
  return v as Record<string, unknown>;
}

function oneOf<T extends string>(v: unknown, choices: readonly T[], name: string): T {
  const found = choices.find((c) => c === v);
  if (found === undefined) throw new Error(`${name} is ${JSON.stringify(v)?.slice(0, 40)}`);
  return found;
}

function short(v: unknown, name: string): string {
  if (typeof v !== 'string' || v.length > 64) throw new Error(`${name} is no short text`);
  return v;
}

function whole(v: unknown, name: string): number {
  if (typeof v !== 'number' || !Number.isSafeInteger(v) || v < 0) throw new Error(`${name} is no whole number`);
  return v;
}
