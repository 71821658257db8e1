// Lockstep in words: how output leaves and why, whether the secondary is proven fit to take over, and which replicas were found broken.
import type { AuditView, IncidentView, LockstepView, Snapshot } from '../core/snapshot.ts';
import { ageText, clockText, countText, dateText, percentText, printable } from './format.ts';
import { type AuditModel, fact, type IncidentModel, type ModeModel, never, type Standing, type Tone, uniqueKeys } from './view-models.ts';

/** Twice what the picture promises: a console stays bounded whatever it is sent. */
const INCIDENTS_SHOWN = 40;
const EVIDENCE_LINES_SHOWN = 80;

const AUDIT: Readonly<Record<AuditView['state'], { word: string; tone: Tone }>> = {
  awaited: { word: 'not proven yet', tone: 'warning' },
  proven: { word: 'proven', tone: 'good' },
  broken: { word: 'broken', tone: 'critical' },
  unprovable: { word: 'only its memory is compared', tone: 'warning' },
};

const bothRun = (s: Snapshot): boolean =>
  (['primary', 'secondary'] as const).every((role) => s.coServers.some((c) => c.present && c.role === role));

/**
 * What stands beside the word of the redundancy. Two replicas that run are not yet protection: between them and DUPLEX lies the proof
 * that the secondary is fit. While that is missing the page must not look protected, even if the picture says duplex for a moment.
 */
export function standingOf(s: Snapshot): Standing {
  const secondary = s.coServers.find((c) => c.present && c.role === 'secondary')?.name;
  const { audit } = s;
  if (secondary !== undefined && bothRun(s) && audit?.state === 'awaited')
    return { kind: 'unproven', text: `not protected yet: both replicas run, ${secondary} is not proven`, tone: 'warning' };
  if (secondary !== undefined && bothRun(s) && audit?.state === 'broken')
    return { kind: 'unfit', text: `not protected: the replica on ${secondary} is unfit`, tone: 'critical' };
  switch (s.redundancy) {
    case 'duplex':
      return { kind: 'protected', text: 'protected', tone: 'good' };
    case 'simplex':
      return { kind: 'alone', text: 'not protected', tone: 'warning' };
    case 'isolated':
      return { kind: 'alone', text: 'not protected', tone: 'critical' };
    default:
      return never(s.redundancy);
  }
}

const MODE: Readonly<Record<LockstepView['mode'], { word: string; tone: Tone }>> = {
  lockstep: { word: 'lockstep', tone: 'good' },
  // Slower, but as safe: nothing to warn of.
  passive: { word: 'passive', tone: 'info' },
};

export function modeModel(s: Snapshot): ModeModel {
  const v = s.lockstep;
  const primary = s.coServers.find((c) => c.present && c.role === 'primary')?.name;
  if (!v && primary !== undefined && s.redundancy === 'duplex' && s.workload.level === 'faultTolerant')
    return {
      word: `chosen on ${primary}`,
      tone: 'info',
      sentence: `The primary compares what both replicas say: the console of CoServer ${primary} shows how.`,
      brief: `chosen by the primary on ${primary}`,
      facts: [],
      causes: [],
    };
  if (!v)
    return {
      word: 'one replica',
      tone: 'unknown',
      sentence: 'The workload does not run on both CoServers: there is nothing to compare.',
      brief: 'one replica: nothing to compare',
      facts: [],
      causes: [],
    };
  const { word, tone } = MODE[v.mode];
  const since = v.since > 0 && v.since <= s.at ? ageText(s.at - v.since) : 'not known';
  const agreed = v.agreedShare === null ? null : percentText(v.agreedShare);
  return {
    word,
    tone,
    sentence: printable(v.sentence),
    brief: `${word}${since === 'not known' ? '' : ` for ${since}`}${agreed === null ? '' : `, ${agreed} agreed`}${v.pinned === null ? '' : ', pinned'}`,
    facts: [
      fact('Unchanged for', since),
      fact('Chosen by', v.pinned === null ? 'the policy' : `operator: ${v.pinned}`),
      fact('Frames agreed', agreed === null ? 'none to compare' : `${agreed}, last minute`),
    ],
    causes: v.causes.map((c) => ({
      key: c.cause,
      label: printable(c.label),
      perMinute: c.perMinute > 0 && c.perMinute < 0.05 ? '<0.1' : c.perMinute.toFixed(c.perMinute >= 100 ? 0 : 1),
      total: String(c.total),
    })),
  };
}

/** Null: nothing is audited, the workload runs alone. */
export function auditModel(s: Snapshot): AuditModel | null {
  const a = s.audit;
  if (!a) return null;
  const { word, tone } = AUDIT[a.state];
  const { sent, answered, missing, lastAnsweredAt } = a.probes;
  const heard = lastAnsweredAt === null ? 'none yet' : lastAnsweredAt <= s.at ? `${ageText(s.at - lastAnsweredAt)} ago` : 'just now';
  return {
    word,
    tone,
    sentence: printable(a.sentence),
    facts: [
      fact('Answered', `${answered} of ${sent} probes`),
      fact('Missing', countText(missing, 'answer'), missing > 0 ? 'warning' : 'info'),
      fact('Latest answer', heard, lastAnsweredAt === null && a.state === 'proven' ? 'warning' : 'info'),
      fact('Pages checked', pagesText(a.pages)),
      fact('Rate', `${Math.round(a.pages.perSecond)} pages/s`),
    ],
  };
}

function pagesText({ checked, total }: AuditView['pages']): string {
  if (total <= 0) return String(checked);
  return checked < total ? `${checked} of ${total}` : `${(checked / total).toFixed(1)} x all ${total}`;
}

const FOUND: Readonly<Record<IncidentView['kind'], string>> = {
  probeMissing: 'answer missing',
  probeDifferent: 'answer different',
  pageDiffers: 'memory differs',
  clockStuck: 'clock stands still',
  guestPanic: 'guest panicked',
  engineEnded: 'engine ended',
  streamBroke: 'stream broke',
};

/** Newest first. */
export function incidentModels(incidents: Snapshot['incidents']): IncidentModel[] {
  const latest = incidents.slice(-INCIDENTS_SHOWN);
  const keys = uniqueKeys(latest.map((i) => `${i.coServer}-${i.at}-${i.kind}`));
  return latest
    .map((incident, index) => ({ incident, index }))
    .sort((x, y) => y.incident.at - x.incident.at || y.index - x.index)
    .map(({ incident: i, index }) => ({
      key: keys[index] ?? String(index),
      date: dateText(i.at),
      clock: clockText(i.at),
      coServer: i.coServer,
      found: FOUND[i.kind],
      sentence: printable(i.sentence),
      evidence: i.evidence.slice(0, EVIDENCE_LINES_SHOWN).map(printable),
    }));
}
