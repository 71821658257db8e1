// The state of the pair now, in words: redundancy, CoServers, links, workload, progress, single points of failure.
import type { CoServerName, CoServerView, LinkView, Snapshot } from '../core/snapshot.ts';
import { standstillWord } from './attention-views.ts';
import { ageText, clockText, dateText, millisecondsText, printable, rateText, sizeText } from './format.ts';
import { standingOf } from './lockstep-views.ts';
import {
  type CoServerModel,
  fact,
  type HeadlineModel,
  type LinkModel,
  never,
  type ProgressModel,
  type SinglePointsModel,
  type Standing,
  type Tone,
  type WorkloadModel,
} from './view-models.ts';

const REDUNDANCY: Record<Snapshot['redundancy'], { word: string; tone: Tone }> = {
  duplex: { word: 'DUPLEX', tone: 'good' },
  simplex: { word: 'SIMPLEX', tone: 'warning' },
  isolated: { word: 'ISOLATED', tone: 'critical' },
};

export function headlineModel(s: Snapshot): HeadlineModel {
  const { tone } = REDUNDANCY[s.redundancy];
  const standstill = standstillWord(s);
  const word = standstill ?? REDUNDANCY[s.redundancy].word;
  const standing = standingOf(s);
  // The sentence usually opens with the word that already stands above it in large letters.
  const sentence = s.redundancySentence.replace(new RegExp(`^${word}\\s*[:,.]\\s*`, 'i'), '');
  return {
    word,
    sentence: printable(sentence.charAt(0).toUpperCase() + sentence.slice(1)),
    tone: standstill !== null ? 'critical' : tone === 'good' ? standing.tone : tone,
    standing,
    coServer: s.coServer,
    date: dateText(s.at),
    clock: clockText(s.at),
    facts: [fact('Generation', String(s.generation)), fact('Up for', ageText(s.uptimeMs))],
  };
}

const COPY: Record<CoServerView['copy'], { value: string; tone: Tone }> = {
  upToDate: { value: 'up to date', tone: 'good' },
  outdated: { value: 'outdated: never served', tone: 'warning' },
  inconsistent: { value: 'inconsistent: never served', tone: 'critical' },
  unknown: { value: 'not known', tone: 'unknown' },
};

const POWER: Record<Exclude<CoServerView['power'], 'mains'>, string> = { battery: 'on battery', low: 'on battery, nearly empty' };

export function coServerModel(s: Snapshot, name: CoServerName): CoServerModel {
  const here = s.coServer === name;
  const view = s.coServers.find((c) => c.name === name);
  if (!view) {
    return {
      name,
      here,
      present: false,
      tone: 'unknown',
      part: 'never heard',
      replica: null,
      phase: 'unknown',
      sentence: 'Nothing is known of it.',
      facts: [],
    };
  }
  const copy = COPY[view.copy];
  return {
    name,
    here,
    present: view.present,
    tone: coServerTone(s, view),
    part: partText(s, view),
    replica: replicaOf(s, view),
    phase: printable(view.phase),
    sentence: printable(view.sentence),
    facts: [
      ...(view.maintenance ? [fact('Taken out', 'for maintenance', 'warning')] : []),
      ...(view.power === 'mains' ? [] : [fact('Power', POWER[view.power], view.power === 'low' ? 'critical' : 'warning')]),
      ...(view.forced ? [fact('Started', 'by force', 'warning')] : []),
      fact('Disk copy', copy.value, view.present ? copy.tone : copy.tone === 'good' ? 'info' : copy.tone),
      fact(
        'Generation',
        `${view.generation > 0 ? view.generation : 'not known'}${view.version === '' ? '' : `, version ${view.version}`}`,
        view.generation < s.generation ? 'warning' : 'info',
      ),
    ],
  };
}

/** What the secondary is worth now. */
const SECONDARY: Record<Standing['kind'], { part: string; brief: string; tone: Tone }> = {
  protected: { part: 'ready to take over', brief: '', tone: 'good' },
  unproven: { part: 'replica not proven yet', brief: ' (not proven yet)', tone: 'warning' },
  unfit: { part: 'unfit, being replaced', brief: ' (unfit)', tone: 'critical' },
  alone: { part: 'not yet equal', brief: ' (not yet equal)', tone: 'warning' },
};

function replicaOf(s: Snapshot, view: CoServerView): CoServerModel['replica'] {
  if (!view.present) return null;
  if (view.role === 'primary') return s.workload.state === 'running' ? 'primary' : null;
  if (view.role === 'none') return null;
  const { kind } = standingOf(s);
  return kind === 'protected' ? 'secondary' : kind === 'alone' ? null : kind;
}

function coServerTone(s: Snapshot, view: CoServerView): Tone {
  if (!view.present) return 'critical';
  if (view.role === 'primary')
    return s.workload.state === 'running' ? 'good' : s.workload.state === 'failed' || standstillWord(s) !== null ? 'critical' : 'warning';
  if (view.phase === 'claiming') return standstillWord(s) === null ? 'warning' : 'critical';
  if (view.role === 'secondary') return SECONDARY[standingOf(s).kind].tone;
  return 'warning';
}

function partText(s: Snapshot, view: CoServerView): string {
  if (!view.present) return 'not heard';
  switch (view.role) {
    case 'primary':
      return s.workload.state === 'running' ? 'runs the workload' : `owns the workload (${s.workload.state})`;
    case 'secondary':
      // It is equal, and withholds everything until it is allowed to go on.
      if (view.phase === 'claiming') return 'held, may not take over yet';
      return SECONDARY[standingOf(s).kind].part;
    case 'none':
      return view.maintenance ? 'out for maintenance' : 'has no part in it now';
    default:
      return never(view.role);
  }
}

export function linkModel(link: LinkView, at: number): LinkModel {
  const since = link.since > 0 && link.since <= at ? ` for ${ageText(at - link.since)}` : '';
  const state = link.up ? 'up' : link.carrier ? 'silent' : 'no carrier';
  const roundTrip = link.up && link.rttMs >= 0 ? `, round trip ${millisecondsText(link.rttMs)}` : '';
  return {
    name: printable(link.name),
    nic: printable(link.nic),
    up: link.up,
    tone: link.up ? 'good' : 'critical',
    state,
    detail: `${state}${since}${roundTrip}`,
    dropped: droppedText(link.dropped ?? []),
  };
}

function droppedText(dropped: NonNullable<LinkView['dropped']>): string {
  const total = dropped.reduce((sum, d) => sum + d.count, 0);
  if (total === 0) return '';
  const kinds = dropped.map((d) => `${d.count} ${printable(d.what)}`).join(', ');
  return `${total} heartbeat ${total === 1 ? 'frame' : 'frames'} dropped: ${kinds}`;
}

const LEVEL: Record<Snapshot['workload']['level'], string> = {
  faultTolerant: 'level 3, fault tolerant',
  highlyAvailable: 'level 2, highly available',
  restart: 'level 1, restart',
  unprotected: 'level 0, unprotected',
};

const WORKLOAD_TONE: Record<Snapshot['workload']['state'], Tone> = {
  off: 'info',
  starting: 'info',
  running: 'good',
  held: 'warning',
  stopped: 'warning',
  failed: 'critical',
};

const ACCELERATION: Record<Snapshot['workload']['acceleration'], string> = {
  kvm: 'KVM (hardware)',
  tcg: 'TCG (emulated, slow)',
  unknown: 'not known',
};

export function workloadModel(s: Snapshot): WorkloadModel {
  const w = s.workload;
  // Two of them: an operator's force made two histories.
  const primaries = s.coServers.filter((c) => c.role === 'primary' && c.present).map((c) => c.name);
  const secondary = s.coServers.find((c) => c.role === 'secondary' && c.present);
  const second = secondary ? `, replica on ${secondary.name}${SECONDARY[standingOf(s).kind].brief}` : ', no replica';
  const addresses = w.addresses.map(printable);
  return {
    name: printable(w.name),
    tone: WORKLOAD_TONE[w.state],
    state: w.state,
    sentence: printable(w.sentence),
    addresses,
    facts: [
      fact(
        'Runs on',
        primaries.length > 0
          ? `${primaries.join(' and ')}${second}`
          : s.coServers.every((c) => c.present)
            ? 'no CoServer'
            : 'not known here',
        primaries.length === 1 ? 'info' : 'warning',
      ),
      fact('Protection', LEVEL[w.level]),
      fact('Addresses', addresses.length === 0 ? 'none learned yet' : addresses.join(', ')),
      fact('Acceleration', ACCELERATION[w.acceleration]),
    ],
  };
}

export function progressModel(s: Snapshot): ProgressModel | null {
  const p = s.progress;
  if (!p) return null;
  const fraction = p.totalBytes > 0 ? Math.min(1, Math.max(0, p.doneBytes / p.totalBytes)) : 0;
  const left = p.etaS === null ? 'time left not known' : `${ageText(Math.max(1, Math.round(p.etaS)) * 1000)} left`;
  return {
    what: printable(p.what),
    fraction,
    // 100 % is said by the progress being gone, not by rounding up.
    percent: `${Math.floor(fraction * 100)} %`,
    detail: `${sizeText(p.doneBytes)} of ${sizeText(p.totalBytes)}, ${sizeText(Math.max(0, p.totalBytes - p.doneBytes))} to do, ${rateText(p.rateBytesPerS)}, ${left}`,
  };
}

export function singlePointsModel(s: Snapshot): SinglePointsModel {
  const lines = s.singlePoints.map(printable);
  if (lines.length > 0)
    return { tone: standingOf(s).kind === 'protected' ? 'warning' : 'critical', title: 'Single points of failure now', lines };
  if (standstillWord(s) !== null) return { tone: 'critical', title: 'The workload stands still', lines: [] };
  if (s.redundancy === 'isolated')
    return {
      tone: 'unknown',
      title: 'This CoServer cannot tell what would stop the workload',
      lines: ['It does not run it and does not hear its partner.'],
    };
  const standing = standingOf(s);
  if (standing.kind !== 'protected') return { tone: standing.tone, title: 'A failure now may stop the workload', lines: [] };
  return { tone: 'good', title: 'No single failure stops the workload', lines: [] };
}
