// What happened and how it runs, in words: events, takeovers, figures.
import type { Snapshot, TakeoverView, TimelineEntry } from '../core/snapshot.ts';
import { rowText } from './decision-rows.ts';
import { ageText, clockText, countText, dateText, millisecondsText, printable, rateText, sizeText } from './format.ts';
import { type EventModel, type Fact, type FigureGroup, fact, never, type TakeoverModel, type Tone, uniqueKeys } from './view-models.ts';

/** More cannot be read by a person in one sitting; the journal has all. */
export const EVENTS_SHOWN = 200;
const EARLIER_TAKEOVERS_SHOWN = 8;
/** Twice what the core keeps: a console stays bounded whatever it is sent. */
const EVIDENCE_SHOWN = 16;

const SEVERITY_TONE: Record<TimelineEntry['severity'], Tone> = { info: 'info', warning: 'warning', critical: 'critical' };

/** Newest first. */
export function eventModels(timeline: readonly TimelineEntry[]): EventModel[] {
  // Not its place in the list: when the oldest are dropped, the others must stay what they are.
  const keys = uniqueKeys(timeline.map((entry) => `${entry.coServer}-${entry.at}-${entry.atMs}`));
  return timeline
    .map((entry, index) => ({ entry, index }))
    .sort((x, y) => y.entry.at - x.entry.at || y.index - x.index)
    .slice(0, EVENTS_SHOWN)
    .map(({ entry, index }) => ({
      key: keys[index] ?? String(index),
      date: dateText(entry.at),
      clock: clockText(entry.at, true),
      coServer: entry.coServer,
      tone: SEVERITY_TONE[entry.severity],
      severity: entry.severity,
      text: printable(entry.text),
      row: entry.row === null ? '' : printable(rowText(entry.row)),
      evidence: (entry.evidence ?? []).slice(0, EVIDENCE_SHOWN).map(evidenceFact),
    }));
}

/** 'links: 1 up for 3 s' -> links, 1 up for 3 s. A line without a label stands as it is. */
function evidenceFact(line: string): Fact {
  const [, label = '', value = line] = /^([^:]{1,40}): (.*)$/s.exec(line) ?? [];
  return fact(printable(label), value);
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
        fact('Mode', c.mode),
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
