// The hardware in words: what is wrong and what to replace, what is read and what cannot be, whether the two servers are equal enough.
import type {
  DiskHealthView,
  FaultView,
  HardwareView,
  NicHealthView,
  QualificationView,
  SensorView,
  Snapshot,
  SourceView,
} from '../core/snapshot.ts';
import { clockText, countText, dateText, durationText, printable } from './format.ts';
import {
  type Fact,
  type FaultModel,
  fact,
  type HardwareModel,
  type QualificationModel,
  type ReadingGroup,
  type Tone,
  uniqueKeys,
} from './view-models.ts';

const MINUTE_MS = 60_000;
/** A disk's hours are told in days from here on. */
const HOURS_IN_DAYS = 72;

/** Null: an earlier release made the picture, or the pair has no key yet. */
export function hardwareModel(s: Snapshot): HardwareModel | null {
  const { hardware: h } = s;
  if (!h) return null;
  const { word, tone, sentence } = standing(h, s);
  return {
    word,
    tone,
    sentence: printable(sentence),
    brief: brief(h, word),
    faults: faultModels(h.faults),
    server: serverFacts(h),
    readings: [...sensorGroups(h.sensors), disks(h), ports(h)].filter((g) => g.facts.length > 0),
    sources: sourceFacts(h, s.at),
    more: moreText(h),
    qualification: qualificationModel(h.qualification),
  };
}

function standing(h: HardwareView, { coServer }: Snapshot): { word: string; tone: Tone; sentence: string } {
  const count = h.faults.length + h.more.faults;
  const isCritical = h.faults.some((f) => f.severity === 'critical');
  const unseen = h.watched ? '' : ` Of CoServer ${coServer} nothing is known here: ${h.reason}.`;
  if (count > 0)
    return {
      word: `${countText(count, 'fault')}${isCritical ? ', critical' : ''}`,
      tone: isCritical ? 'critical' : 'warning',
      sentence: `What to replace, and where it sits, is below.${unseen}`,
    };
  if (!h.watched)
    return {
      word: 'not watched',
      tone: 'unknown',
      sentence: `Nobody watches the hardware of CoServer ${coServer}: ${h.reason}.`,
    };
  if (h.sources.length === 0) return { word: 'not known yet', tone: 'unknown', sentence: 'The hardware is about to be read.' };
  return { word: 'well', tone: 'good', sentence: 'No fault is known of either server, as far as it is read.' };
}

/** One line for an overview: the worst, and how to see the rest. */
function brief(h: HardwareView, word: string): string {
  const [worst] = h.faults;
  const parts = [worst ? `${word}: CoServer ${worst.coServer}, ${[lower(worst.sentence), worst.where].filter(Boolean).join(': ')}` : word];
  if (h.qualification.verdict === 'refused') parts.push('the two servers do not qualify for lockstep');
  return printable(parts.join('; '));
}

function faultModels(faults: readonly FaultView[]): FaultModel[] {
  const keys = uniqueKeys(faults.map((f) => `${f.coServer}-${f.code}-${f.where}`));
  return faults.map((f, i) => ({
    key: keys[i] ?? String(i),
    tone: f.severity,
    title: printable(`CoServer ${f.coServer}: ${lower(f.sentence)}`),
    facts: [
      ...(f.where === '' ? [] : [fact('Where', f.where)]),
      ...(f.detail === '' ? [] : [fact('Read', f.detail)]),
      ...(f.remedy === '' ? [] : [fact('What to do', f.remedy)]),
      fact('The pair', f.effect),
      f.since === null
        ? fact('More', `the console of CoServer ${f.coServer} knows it`)
        : fact('Since', `${dateText(f.since)} ${clockText(f.since)} UTC`),
    ],
    // The latest is said already.
    evidence: f.evidence.slice(0, -1).map(printable),
  }));
}

function serverFacts({ server: v, watched, sources }: HardwareView): Fact[] {
  if (!v) return watched && sources.length > 0 ? [fact('Server', 'what it is made of could not be read', 'unknown')] : [];
  const known = (label: string, value: string | null): Fact[] => [fact(label, value ?? 'not known')];
  const name = [v.vendor, v.model].filter((x) => x !== null).join(' ');
  return [
    ...known('Server', name === '' ? null : name),
    ...known('Serial', v.serial),
    ...known('BIOS', v.bios),
    ...known('Processor', v.cpu),
    ...known('Memory', v.memoryBytes === null ? null : `${Math.round((v.memoryBytes / 2 ** 30) * 10) / 10} GiB`),
    ...known('System', v.system),
    ...(v.state === undefined ? [] : [fact('State', v.state)]),
  ];
}

/** Discrete ones stand together, whatever they sit on. */
const GROUPS: readonly { title: string; kinds: readonly SensorView['kind'][] }[] = [
  { title: 'Temperatures', kinds: ['temperature'] },
  { title: 'Fans', kinds: ['fan'] },
  { title: 'Power', kinds: ['powerSupply', 'voltage', 'current'] },
  { title: 'Other sensors', kinds: ['processor', 'memory', 'drive', 'other'] },
];

function sensorGroups(sensors: readonly SensorView[]): ReadingGroup[] {
  return GROUPS.map(({ title, kinds }) => ({
    kind: 'sensors',
    title,
    facts: sensors.filter((x) => kinds.includes(x.kind)).map((x) => fact(printable(x.name), sensorText(x), LEVEL_TONE[x.level])),
  }));
}

const LEVEL_TONE: Readonly<Record<SensorView['level'], Tone>> = {
  ok: 'good',
  nonCritical: 'warning',
  critical: 'critical',
  nonRecoverable: 'critical',
  absent: 'info',
  unavailable: 'info',
};
const LEVEL_WORD: Readonly<Record<SensorView['level'], string>> = {
  ok: '',
  nonCritical: 'out of its usual range',
  critical: 'critical',
  nonRecoverable: 'beyond repair',
  absent: 'nothing plugged in',
  unavailable: 'no reading',
};

function sensorText({ value, unit, states, level }: SensorView): string {
  const figure = value === null ? '' : `${Math.round(value * 100) / 100}${unit === '' ? '' : ` ${unit}`}`;
  const said = [figure, ...states, LEVEL_WORD[level]].filter((x) => x !== '').join(', ');
  return said === '' ? 'well' : said;
}

function disks({ disks }: HardwareView): ReadingGroup {
  return {
    kind: 'parts',
    title: 'Disks, by their own account',
    facts: disks.map((d) => fact(printable(d.disk), diskText(d), diskTone(d))),
  };
}

const diskTone = (d: DiskHealthView): Tone => (d.passed === null ? 'unknown' : d.passed ? 'good' : 'critical');

function diskText(d: DiskHealthView): string {
  const hours = d.powerOnHours;
  return [
    d.passed === null ? 'does not judge itself' : d.passed ? 'healthy' : 'says that it fails',
    d.temperatureC === null ? '' : `${d.temperatureC} C`,
    d.percentUsed === null ? '' : `${d.percentUsed} % worn`,
    d.reallocatedSectors === null ? '' : `${countText(d.reallocatedSectors, 'sector')} reallocated`,
    hours === null ? '' : `${hours < HOURS_IN_DAYS ? countText(hours, 'hour') : countText(Math.floor(hours / 24), 'day')} of work`,
    `${d.model === '' ? 'unnamed' : d.model}${d.serial === '' ? '' : `, serial ${d.serial}`}`,
  ]
    .filter((x) => x !== '')
    .join(', ');
}

function ports({ nics }: HardwareView): ReadingGroup {
  return {
    kind: 'parts',
    title: 'Network ports',
    facts: nics.map((n) =>
      fact(
        printable(n.nic),
        `${n.role === n.nic ? '' : `${n.role === 'link' ? 'link of the pair' : n.role}, `}${portText(n)}`,
        n.carrier ? 'good' : 'warning',
      ),
    ),
  };
}

function portText({ carrier, speedMbps, errors }: NicHealthView): string {
  const speed = speedMbps === null ? '' : speedMbps >= 1000 ? `, ${speedMbps / 1000} Gbit/s` : `, ${speedMbps} Mbit/s`;
  return `${carrier ? 'connected' : 'no carrier'}${speed}, ${errors === 0 ? 'no damaged frame' : countText(errors, 'damaged frame')}`;
}

const SOURCE: Readonly<Record<SourceView['source'], string>> = {
  sensors: 'Sensors',
  sel: 'Event log',
  smart: 'SMART',
  memory: 'Memory',
  machineChecks: 'Machine checks',
  pcie: 'PCIe errors',
  nics: 'Network ports',
  disks: 'Disk latency',
  diskErrors: 'Disk errors',
  cpu: 'Processor',
  room: 'Room for state',
};

function sourceFacts({ sources, watched }: HardwareView, at: number): Fact[] {
  if (!watched || sources.length === 0) return [];
  // Without a BMC nobody asks for sensors: said, because a server without them is blind to heat and fans.
  const noBmc = sources.some((x) => x.source === 'sensors') ? [] : [fact('BMC', 'not read: none is configured (hardware.bmc)')];
  return [...noBmc, ...sources.map((x) => sourceFact(x, at))];
}

function sourceFact({ source, state, reason, readAt }: SourceView, at: number): Fact {
  const label = SOURCE[source];
  switch (state) {
    case 'waiting':
      return fact(label, 'not read yet');
    case 'absent':
      return fact(label, `not there: ${reason}`);
    case 'failed':
      return fact(label, `cannot be read: ${reason}${readAt === null ? '' : `; last read ${agoText(at - readAt)}`}`, 'warning');
    case 'read':
      return fact(label, `read ${readAt === null ? '' : agoText(at - readAt)}`.trim(), 'good');
    default:
      return state satisfies never;
  }
}

/** In whole minutes: a line that changed at every reading would never stand still. */
function agoText(ms: number): string {
  return ms < MINUTE_MS ? 'within the last minute' : `${durationText(Math.floor(ms / MINUTE_MS) * MINUTE_MS).replace(' 00 s', '')} ago`;
}

function moreText({ more }: HardwareView): string {
  const parts = [
    [more.faults, 'fault'] as const,
    [more.sensors, 'sensor'] as const,
    [more.disks, 'disk'] as const,
    [more.nics, 'port'] as const,
  ].flatMap(([n, what]) => (n > 0 ? [countText(n, `more ${what}`)] : []));
  return parts.length === 0 ? '' : `Not shown: ${parts.join(', ')}.`;
}

const VERDICT: Readonly<Record<QualificationView['verdict'], { word: string; tone: Tone }>> = {
  passed: { word: 'passed', tone: 'good' },
  refused: { word: 'refused', tone: 'critical' },
  unknown: { word: 'not known', tone: 'unknown' },
  notAsked: { word: 'not asked for', tone: 'info' },
};
const ITEM_TONE = { identical: 'good', compatible: 'info', refused: 'critical', unknown: 'unknown' } as const;

function qualificationModel(q: QualificationView): QualificationModel {
  const items = q.items ?? [];
  const keys = uniqueKeys(items.map((i) => i.item));
  return {
    ...VERDICT[q.verdict],
    sentence: printable(q.sentence),
    items: items.map((i, n) => ({
      key: keys[n] ?? i.item,
      tone: ITEM_TONE[i.verdict],
      item: printable(i.item),
      verdict: i.verdict,
      a: printable(i.a),
      b: printable(i.b),
      rule: printable(i.rule),
    })),
  };
}

const lower = (sentence: string): string => `${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`;
