// Snapshot -> view models. Every console (web, serial, command line) renders these and nothing else, so that none of them knows
// more than another: a fact that is worth showing gets a line here, a chart is only another way to draw it.
// Pure: no clock (ages are counted from the snapshot's own time), no I/O.
import type { CoServerName, CoServerView, LinkView, Snapshot, TakeoverView, TimelineEntry } from '../core/snapshot.ts';
import { rowText } from './decision-rows.ts';
import { ageText, clockText, countText, dateText, millisecondsText, printable, rateText, sizeText } from './format.ts';

/** How a fact is meant. Renderers add a mark to the colour: colour alone is never the signal. */
export type Tone = 'good' | 'info' | 'warning' | 'critical' | 'unknown';

export interface Fact {
  label: string;
  value: string;
  tone: Tone;
}

export interface HeadlineModel {
  word: string;
  sentence: string;
  tone: Tone;
  /** The CoServer whose picture this is. */
  coServer: CoServerName;
  date: string;
  clock: string;
  facts: Fact[];
  arbiter: Fact;
}

export interface CoServerModel {
  name: CoServerName;
  /** The console runs on this one. */
  here: boolean;
  present: boolean;
  tone: Tone;
  /** What it is for the workload: 'runs the workload', 'ready to take over', ... */
  part: string;
  phase: string;
  sentence: string;
  facts: Fact[];
}

export interface LinkModel {
  name: string;
  nic: string;
  up: boolean;
  tone: Tone;
  state: string;
  detail: string;
}

export interface WorkloadModel {
  name: string;
  tone: Tone;
  state: string;
  sentence: string;
  addresses: string[];
  facts: Fact[];
}

export interface ProgressModel {
  what: string;
  /** 0..1 */
  fraction: number;
  percent: string;
  detail: string;
}

export interface SinglePointsModel {
  tone: Tone;
  title: string;
  lines: string[];
}

export interface EventModel {
  key: string;
  date: string;
  clock: string;
  coServer: CoServerName;
  tone: Tone;
  severity: string;
  text: string;
  /** The applied row of the decision table in words, or ''. */
  row: string;
}

export interface TakeoverStepModel {
  step: string;
  atMs: number;
  at: string;
  took: string;
  /** The step's share of the whole, 0..1, for a bar. */
  start: number;
  width: number;
}

export interface TakeoverModel {
  title: string;
  when: string;
  reason: string;
  row: string;
  total: string;
  totalMs: number;
  steps: TakeoverStepModel[];
  /** Older ones, newest first, one line each. */
  earlier: string[];
}

export interface FigureGroup {
  title: string;
  facts: Fact[];
}

export interface ActionModel {
  name: string;
  label: string;
  allowed: boolean;
  reason: string;
}

export interface ConsoleAddressModel {
  coServer: CoServerName;
  here: boolean;
  url: string;
  fingerprint: string | null;
}

export interface ConsoleModel {
  headline: HeadlineModel;
  coServers: CoServerModel[];
  links: LinkModel[];
  workload: WorkloadModel;
  progress: ProgressModel | null;
  singlePoints: SinglePointsModel;
  events: EventModel[];
  takeover: TakeoverModel | null;
  figures: FigureGroup[];
  /** Of the latest checkpoints, oldest first. */
  recent: { at: number; pauseMs: number; bytes: number }[];
  actions: ActionModel[];
  consoles: ConsoleAddressModel[];
  lab: boolean;
}

/** More cannot be read by a person in one sitting; the journal has all. */
export const EVENTS_SHOWN = 200;
const EARLIER_TAKEOVERS_SHOWN = 8;

const fact = (label: string, value: string, tone: Tone = 'info'): Fact => ({ label, value: printable(value), tone });

export function consoleModel(s: Snapshot): ConsoleModel {
  return {
    headline: headlineModel(s),
    coServers: (['A', 'B'] as const).map((name) => coServerModel(s, name)),
    links: s.links.map((link) => linkModel(link, s.at)),
    workload: workloadModel(s),
    progress: progressModel(s),
    singlePoints: singlePointsModel(s),
    events: eventModels(s.timeline),
    takeover: takeoverModel(s.takeovers),
    figures: figureGroups(s),
    recent: s.checkpoints.recent,
    actions: s.actions.map((a) => ({ ...a, label: printable(a.label), reason: printable(a.reason) })),
    consoles: (s.consoles ?? []).map((c) => ({ ...c, url: printable(c.url), here: c.coServer === s.coServer })),
    lab: s.lab,
  };
}

const REDUNDANCY: Record<Snapshot['redundancy'], { word: string; tone: Tone }> = {
  duplex: { word: 'DUPLEX', tone: 'good' },
  simplex: { word: 'SIMPLEX', tone: 'warning' },
  isolated: { word: 'ISOLATED', tone: 'critical' },
};

export function headlineModel(s: Snapshot): HeadlineModel {
  const { word, tone } = REDUNDANCY[s.redundancy];
  // The sentence usually opens with the word that already stands above it in large letters.
  const sentence = s.redundancySentence.replace(new RegExp(`^${word}\\s*[:,.]\\s*`, 'i'), '');
  return {
    word,
    sentence: printable(sentence.charAt(0).toUpperCase() + sentence.slice(1)),
    tone,
    coServer: s.coServer,
    date: dateText(s.at),
    clock: clockText(s.at),
    facts: [fact('Generation', String(s.generation)), fact('Up for', ageText(s.uptimeMs))],
    arbiter: fact(
      'Witness',
      `${s.arbiter.reachable ? 'reachable' : 'not reachable'}${s.arbiter.sentence === '' ? '' : `: ${s.arbiter.sentence}`}`,
      s.arbiter.reachable ? 'good' : 'warning',
    ),
  };
}

const COPY: Record<CoServerView['copy'], { value: string; tone: Tone }> = {
  upToDate: { value: 'up to date', tone: 'good' },
  outdated: { value: 'outdated: never served', tone: 'warning' },
  inconsistent: { value: 'inconsistent: never served', tone: 'critical' },
  unknown: { value: 'not known', tone: 'unknown' },
};

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
    phase: printable(view.phase),
    sentence: printable(view.sentence),
    facts: [
      fact('Disk copy', copy.value, view.present ? copy.tone : copy.tone === 'good' ? 'info' : copy.tone),
      fact(
        'Generation',
        `${view.generation > 0 ? view.generation : 'not known'}${view.version === '' ? '' : `, version ${view.version}`}`,
        view.generation < s.generation ? 'warning' : 'info',
      ),
    ],
  };
}

function coServerTone(s: Snapshot, view: CoServerView): Tone {
  if (!view.present) return 'critical';
  if (view.role === 'primary') return s.workload.state === 'running' ? 'good' : s.workload.state === 'failed' ? 'critical' : 'warning';
  if (view.role === 'secondary') return s.redundancy === 'duplex' ? 'good' : 'warning';
  return 'warning';
}

function partText(s: Snapshot, view: CoServerView): string {
  if (!view.present) return 'not heard';
  switch (view.role) {
    case 'primary':
      return s.workload.state === 'running' ? 'runs the workload' : `owns the workload (${s.workload.state})`;
    case 'secondary':
      return s.redundancy === 'duplex' ? 'ready to take over' : 'not yet equal';
    case 'none':
      return 'has no part in it now';
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
  };
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
  const primary = s.coServers.find((c) => c.role === 'primary' && c.present);
  const secondary = s.coServers.find((c) => c.role === 'secondary' && c.present);
  const second = secondary ? `, replica on ${secondary.name}${s.redundancy === 'duplex' ? '' : ' (not yet equal)'}` : ', no replica';
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
        primary ? `${primary.name}${second}` : s.coServers.every((c) => c.present) ? 'no CoServer' : 'not known here',
        primary ? 'info' : 'warning',
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
    detail: `${sizeText(p.doneBytes)} of ${sizeText(p.totalBytes)}, ${rateText(p.rateBytesPerS)}, ${left}`,
  };
}

export function singlePointsModel(s: Snapshot): SinglePointsModel {
  const lines = s.singlePoints.map(printable);
  if (lines.length > 0) return { tone: s.redundancy === 'duplex' ? 'warning' : 'critical', title: 'Single points of failure now', lines };
  if (s.redundancy === 'isolated')
    return {
      tone: 'unknown',
      title: 'This CoServer cannot tell what would stop the workload',
      lines: ['It does not run it and does not hear its partner.'],
    };
  return { tone: 'good', title: 'No single failure stops the workload', lines: [] };
}

const SEVERITY_TONE: Record<TimelineEntry['severity'], Tone> = { info: 'info', warning: 'warning', critical: 'critical' };

/** Newest first. */
export function eventModels(timeline: readonly TimelineEntry[]): EventModel[] {
  return timeline
    .map((entry, index) => ({ entry, index }))
    .sort((x, y) => y.entry.at - x.entry.at || y.index - x.index)
    .slice(0, EVENTS_SHOWN)
    .map(({ entry, index }) => ({
      key: `${entry.coServer}-${entry.at}-${entry.atMs}-${index}`,
      date: dateText(entry.at),
      clock: clockText(entry.at, true),
      coServer: entry.coServer,
      tone: SEVERITY_TONE[entry.severity],
      severity: entry.severity,
      text: printable(entry.text),
      row: entry.row === null ? '' : printable(rowText(entry.row)),
    }));
}

function takeoverTitle(t: TakeoverView): string {
  switch (t.kind) {
    case 'takeover':
      return `CoServer ${t.coServer} took over`;
    case 'continue':
      return `CoServer ${t.coServer} went on alone`;
    default:
      return never(t.kind);
  }
}

const lastStepMs = (t: TakeoverView): number => Math.max(0, ...t.steps.map((step) => step.atMs));

export function takeoverModel(takeovers: readonly TakeoverView[]): TakeoverModel | null {
  const [last, ...older] = [...takeovers].sort((x, y) => y.at - x.at);
  if (!last) return null;
  const totalMs = lastStepMs(last);
  const scale = Math.max(totalMs, 1);
  let before = 0;
  const steps = [...last.steps]
    .sort((x, y) => x.atMs - y.atMs)
    .map((step) => {
      const start = before;
      before = step.atMs;
      return {
        step: printable(step.step),
        atMs: step.atMs,
        at: millisecondsText(step.atMs),
        took: `+${millisecondsText(step.atMs - start)}`,
        start: start / scale,
        width: (step.atMs - start) / scale,
      };
    });
  return {
    title: takeoverTitle(last),
    when: `${dateText(last.at)} ${clockText(last.at, true)} UTC`,
    reason: printable(last.reason),
    row: printable(rowText(last.row)),
    total: millisecondsText(totalMs),
    totalMs,
    steps,
    earlier: older
      .slice(0, EARLIER_TAKEOVERS_SHOWN)
      .map((t) =>
        printable(
          `${dateText(t.at)} ${clockText(t.at)}  ${takeoverTitle(t)}, ${millisecondsText(lastStepMs(t))}, row ${t.row}: ${t.reason}`,
        ),
      ),
  };
}

export function figureGroups(s: Snapshot): FigureGroup[] {
  const c = s.checkpoints;
  const latest = c.recent.at(-1);
  const worstMs = Math.max(0, ...c.recent.map((r) => r.pauseMs));
  const meanBytes = c.recent.length === 0 ? 0 : c.recent.reduce((sum, r) => sum + r.bytes, 0) / c.recent.length;
  const none = c.recent.length === 0;
  return [
    {
      title: 'Checkpoints',
      facts: [
        fact('Mode', `${c.mode}, output held`),
        fact('Interval', `number ${c.interval}`),
        fact('Rate', `${c.perSecond.toFixed(1)} per second`),
        fact('Pause p50', millisecondsText(c.pauseP50Ms)),
        fact('Pause p99', millisecondsText(c.pauseP99Ms)),
        fact('Pause, latest', latest ? millisecondsText(latest.pauseMs) : 'none yet'),
        fact('Pause, worst shown', none ? 'none yet' : millisecondsText(worstMs)),
        fact('Size, latest', latest ? sizeText(latest.bytes) : 'none yet'),
        fact('Size, mean shown', none ? 'none yet' : sizeText(meanBytes)),
      ],
    },
    {
      title: 'Output held back',
      facts: [
        fact('Held now', countText(s.gate.heldFrames, 'frame')),
        fact('Oldest waits', millisecondsText(s.gate.oldestHeldMs)),
        fact('Clients to workload', rateText(s.gate.bytesInPerS)),
        fact('Workload to clients', rateText(s.gate.bytesOutPerS)),
      ],
    },
    {
      title: 'Heartbeat',
      facts: [
        fact('Time-out', millisecondsText(s.heartbeat.timeoutMs)),
        fact('Smallest accepted', millisecondsText(s.heartbeat.floorMs)),
        fact('Jitter p99', millisecondsText(s.heartbeat.jitterP99Ms)),
        fact('Jitter, worst', millisecondsText(s.heartbeat.jitterMaxMs)),
      ],
    },
    {
      title: `This process (CoServer ${s.coServer})`,
      facts: [
        fact('Memory', sizeText(s.process.rssBytes)),
        fact('CPU', `${s.process.cpuPercent.toFixed(1)} % of one core`),
        fact('Up for', ageText(s.uptimeMs)),
      ],
    },
  ];
}

function never(value: never): never {
  throw new Error(`a value the consoles do not know: ${String(value)}`);
}
