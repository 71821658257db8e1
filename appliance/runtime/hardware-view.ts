// The hardware as the picture shows it: what its thread has read, what the core makes of it, what the partner tells. A picture goes out
// five times a second, so it has bounds: what looks bad comes first, and how much is left out is said.
import { effectOf, entryOf, type PartnerFault, TOLD_WHERE_LIMIT } from '../core/faults/told.ts';
import type { Fault, FaultEffect, SensorReading, SmartReading } from '../core/faults/types.ts';
import type { State } from '../core/machine.ts';
import type {
  CoServerName,
  DiskHealthView,
  FaultView,
  HardwareView,
  QualificationItemView,
  QualificationView,
  SensorView,
} from '../core/snapshot.ts';
import type { HardwareStatus } from '../hardware/api.ts';

/** A full server has some fifty; a blade's enclosure more. */
const SENSORS_SHOWN = 64;
const OTHERS_SHOWN = 16;
/** Of a discrete sensor. */
const STATES_SHOWN = 4;
const TEXT_LIMIT = 240;
/** Of names and states, which are a few words. */
const NAME_LIMIT = 60;

export interface HardwareFigures {
  /** False: not watched, by the configuration. */
  isWatched: boolean;
  /** Null: nothing was read yet. */
  latest: HardwareStatus | null;
  /** What was compared of the two servers; undefined: it is not known here. */
  items?: readonly QualificationItemView[] | undefined;
  /** Both clocks now, ms. */
  now: { wall: number; monotonic: number };
}

export function hardwareView(state: State, { isWatched, latest, items, now }: HardwareFigures): HardwareView {
  const me = state.me;
  const other = me === 'A' ? 'B' : 'A';
  const wall = (at: number): number => Math.round(now.wall - (now.monotonic - at));
  const faults = [
    ...state.faults.map((f) => own(f, me, wall(f.raisedAt), effectText(state, f.code, effectOf(f), me))),
    ...(state.partner?.faults ?? []).map((f) => told(f, other, effectText(state, f.code, effectOfTold(f.code), other))),
  ].sort((x, y) => Number(y.severity === 'critical') - Number(x.severity === 'critical'));
  const sensors = [...(latest?.sensors ?? [])].sort((x, y) => LEVEL_RANK[y.level] - LEVEL_RANK[x.level]);
  const disks = [...(latest?.disks ?? [])].sort((x, y) => Number(y.passed === false) - Number(x.passed === false));
  const nics = [...(latest?.nics ?? [])].sort((x, y) => Number(x.carrier) - Number(y.carrier));
  const left = (all: readonly unknown[], shown: number): number => Math.max(0, all.length - shown);
  return {
    watched: isWatched,
    reason: isWatched ? (latest ? '' : 'nothing was read yet') : 'hardware.watch is off in the configuration of this CoServer',
    server: latest?.summary ?? null,
    faults: faults.slice(0, OTHERS_SHOWN),
    sensors: sensors.slice(0, SENSORS_SHOWN).map(sensor),
    disks: disks.slice(0, OTHERS_SHOWN).map(disk),
    nics: nics.slice(0, OTHERS_SHOWN).map(({ nic, role, carrier, speedMbps, receiveErrors, transmitErrors }) => ({
      nic,
      role,
      carrier,
      speedMbps,
      errors: receiveErrors + transmitErrors,
    })),
    more: {
      faults: left(faults, OTHERS_SHOWN),
      sensors: left(sensors, SENSORS_SHOWN),
      disks: left(disks, OTHERS_SHOWN),
      nics: left(nics, OTHERS_SHOWN),
    },
    sources: (latest?.sources ?? []).map(({ source, state, reason, readAt }) => ({ source, state, reason: short(reason), readAt })),
    qualification: qualificationView(state, items),
  };
}

function own(f: Fault, coServer: CoServerName, since: number, effect: string): FaultView {
  const entry = entryOf(f.code);
  return {
    coServer,
    code: f.code,
    severity: entry?.severity ?? 'warning',
    sentence: entry?.sentence ?? f.code,
    where: short(f.where),
    detail: short(f.detail),
    remedy: entry?.remedy ?? '',
    effect,
    since,
    evidence: f.evidence.map((line) => short(line)),
  };
}

function told({ code, where }: PartnerFault, coServer: CoServerName, effect: string): FaultView {
  const entry = entryOf(code);
  return {
    coServer,
    code,
    severity: entry?.severity ?? 'warning',
    // A later release may know more than this one.
    sentence: entry?.sentence ?? `A fault that this release does not know (${short(code)})`,
    where: where.length < TOLD_WHERE_LIMIT ? where : `${where}...`,
    detail: '',
    remedy: entry?.remedy ?? '',
    effect,
    since: null,
    evidence: [],
  };
}

/** What a fault of CoServer `on` does to the pair (rows 12, 16, 17). */
function effectText({ me, level, faults, partner }: State, code: string, effect: FaultEffect, on: CoServerName): string {
  const other = on === 'A' ? 'B' : 'A';
  const ofOther: readonly PartnerFault[] = on === me ? (partner?.faults ?? []) : faults;
  switch (effect) {
    case 'none':
      // Row 13, and what is done about links: they look at the carrier themselves.
      return code === 'nicDown'
        ? "The pair goes on over what is left: the other link, or the other CoServer's business port."
        : 'It does nothing to the pair.';
    case 'preFail':
      if (level === 2) return 'At level 2 a move would restart the guest, so it is not moved because of it.';
      if (ofOther.some((f) => effectOfTold(f.code) !== 'none'))
        return `CoServer ${other} has a fault too, so the workload is not moved because of it.`;
      return `If the workload runs on CoServer ${on} and ${other} is equal, it moves to ${other} before the part fails.`;
    case 'uncorrectable':
      return `CoServer ${on} cannot be trusted any more: it ends itself.`;
    case 'detachDisk':
      return on === me
        ? `The copy of the guest's disk on CoServer ${on} is not used any more; the other one serves.`
        : `If the copy of the guest's disk is on it, that copy is not used any more; the one of CoServer ${other} serves.`;
    default:
      return effect satisfies never;
  }
}

/** Of the partner: on which of its disks the copy is, it is not asked. */
const effectOfTold = (code: string): FaultEffect => entryOf(code)?.effect ?? 'none';

const LEVEL_RANK: Readonly<Record<SensorReading['level'], number>> = {
  nonRecoverable: 5,
  critical: 4,
  nonCritical: 3,
  ok: 2,
  unavailable: 1,
  absent: 0,
};

function sensor(s: SensorReading): SensorView {
  const { kind, value, unit, level, states } = s;
  return { name: name(s.name), kind, value, unit, level, states: states.slice(0, STATES_SHOWN).map(name) };
}

function disk(d: SmartReading): DiskHealthView {
  const { disk, model, serial, passed, temperatureC, percentUsed, powerOnHours, reallocatedSectors } = d;
  return { disk, model: name(model), serial: name(serial), passed, temperatureC, percentUsed, powerOnHours, reallocatedSectors };
}

function qualificationView(
  { mustQualify, level, qualification: q }: State,
  items: readonly QualificationItemView[] | undefined,
): QualificationView {
  const more = items ? { items: items.slice(0, SENSORS_SHOWN) } : {};
  if (q) return { verdict: q.verdict, sentence: short(q.sentence), ...more };
  if (mustQualify && level === 3)
    return { verdict: 'unknown', sentence: 'It is not known yet whether the two servers are equal enough.', ...more };
  return {
    verdict: 'notAsked',
    sentence: level === 3 ? 'By the configuration the two servers are not compared.' : 'Level 2 needs no two servers of a kind.',
    ...more,
  };
}

const short = (text: string, limit = TEXT_LIMIT): string => (text.length <= limit ? text : `${text.slice(0, limit - 3)}...`);
const name = (text: string): string => short(text, NAME_LIMIT);
