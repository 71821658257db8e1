// The pages of the serial console, as lines of text of a given width: the same view models as the web's page. The command line prints
// the same lines.
import { type ActionModel, actionGroups, type ConsoleModel, type CoServerModel, type EventModel } from '../model.ts';
import { hardwareBriefLines, hardwareLines } from './hardware-pages.ts';
import {
  ascii,
  BLANK,
  bold,
  columnChart,
  factLines,
  hanging,
  indented,
  type Line,
  lineText,
  pad,
  plain,
  progressBar,
  sideBySide,
  timeBar,
  toneMark,
  wrap,
} from './layout.ts';
import { incidentLines, lockstepBriefLines, modeLines } from './lockstep-pages.ts';
import { pointLines } from './point-pages.ts';
import { settingsLines } from './settings-pages.ts';
import { softwareLines } from './software-pages.ts';

export const PAGES = [
  'overview',
  'events',
  'takeover',
  'figures',
  'mode',
  'incidents',
  'points',
  'hardware',
  'software',
  'settings',
] as const;
export type Page = (typeof PAGES)[number];

/** `evidence`: the incident or the event that is unfolded on its page. */
export function pageLines(page: Page, m: ConsoleModel, width: number, evidence: string | null = null): Line[] {
  switch (page) {
    case 'overview':
      return overviewLines(m, width);
    case 'events':
      return evidence === null ? eventPage(m, width) : eventEvidence(m, evidence, width);
    case 'takeover':
      return takeoverLines(m, width);
    case 'figures':
      return figureLines(m, width);
    case 'mode':
      return modeLines(m, width);
    case 'incidents':
      return incidentLines(m, evidence, width);
    case 'points':
      return pointLines(m, width);
    case 'hardware':
      return hardwareLines(m, width);
    case 'software':
      return softwareLines(m, width);
    case 'settings':
      return settingsLines(m.settings, width);
    default:
      throw new Error(`unknown page ${String(page satisfies never)}`);
  }
}

export function overviewLines(m: ConsoleModel, width: number): Line[] {
  const { headline: h, workload: w, singlePoints: points } = m;
  const column = Math.floor((width - 8) / 2);
  const [first = [], second = []] = [w.facts.slice(0, 2), w.facts.slice(2)].map((facts) => factLines(facts, 12, column));
  return [
    ...headlineLines(h, width),
    ...m.attention.flatMap((a) => attentionLines(a, width)),
    ...progressLines(m, width),
    ...hanging(`${toneMark(points.tone)} `, points.lines.length === 0 ? `${points.title}.` : `${points.title}:`, width),
    ...points.lines.flatMap((line) => hanging('     - ', line, width)),
    BLANK,
    ...coServerPair(m.coServers, width),
    BLANK,
    ...lockstepBriefLines(m, width),
    ...(m.disk ? hanging(`${toneMark(m.disk.tone)} Disk     `, m.disk.brief, width) : []),
    ...hardwareBriefLines(m, width),
    ...m.links.flatMap((l) => [
      ...hanging(`${toneMark(l.tone)} ${pad(ascii(l.name), 8)} `, `${l.detail} (${l.nic})`, width),
      ...(l.dropped === '' ? [] : hanging(' '.repeat(14), l.dropped, width)),
    ]),
    ...arbiterLines(m.arbiter, width),
    ...hanging(`${toneMark(w.tone)} Workload `, `${w.name} ${w.state}: ${w.sentence}`, width),
    ...indented(sideBySide(first, second, column, '   '), 5),
    ...consoleLines(m, width),
  ];
}

function headlineLines({ tone, word, standing, sentence }: ConsoleModel['headline'], width: number): Line[] {
  const mark = toneMark(tone);
  switch (standing.kind) {
    case 'protected':
      return hanging(`${mark} ${word}, protected  `, sentence, width, 'bold');
    case 'alone':
      return hanging(`${mark} ${word}  `, sentence, width, 'bold');
    case 'unproven':
    case 'unfit':
      return [...hanging(`${mark} ${word}  `, standing.text, width, 'bold'), ...hanging('     ', sentence, width)];
    default:
      throw new Error(`unknown standing ${String(standing.kind satisfies never)}`);
  }
}

/** What is going on, and what can be done: with the number of the action, as the page of actions has it. */
function attentionLines(a: ConsoleModel['attention'][number], width: number): Line[] {
  return [
    ...hanging(`${toneMark(a.tone)} `, a.title, width, 'bold'),
    ...hanging('     ', a.sentence, width),
    ...(a.ends === '' ? [] : hanging('     ', a.ends, width)),
    ...a.ways.flatMap(({ text, action }) => hanging('     - ', action ? `${text} ${keysOf(action)}` : text, width)),
    BLANK,
  ];
}

function keysOf({ label, number, reason }: ActionModel): string {
  return number === null ? `"${label}" (not now: ${reason})` : `press a, then ${number}: "${label}"`;
}

function arbiterLines({ tone, sentence, facts }: ConsoleModel['arbiter'], width: number): Line[] {
  return [
    ...hanging(`${toneMark(tone)} Arbiter  `, sentence, width),
    ...hanging(' '.repeat(14), facts.map((f) => `${f.label}: ${f.value}`).join('; '), width),
  ];
}

function progressLines({ progress: p }: ConsoleModel, width: number): Line[] {
  if (!p) return [];
  return [plain(`     ${progressBar(p.fraction, 30)} ${p.percent}`), ...hanging('     ', `${p.what}: ${p.detail}`, width)];
}

function coServerPair(coServers: readonly CoServerModel[], width: number): Line[] {
  const column = Math.floor((width - 3) / 2);
  const [left = [], right = []] = coServers.map((c) => coServerLines(c, column));
  return sideBySide(left, right, column, ' | ');
}

function coServerLines(c: CoServerModel, width: number): Line[] {
  return [
    bold(pad(`${toneMark(c.tone)} CoServer ${c.name}${c.here ? ' (this one)' : ''}`, width)),
    ...hanging('     ', c.part === c.phase ? c.part : `${c.part} (${c.phase})`, width),
    ...hanging('     ', c.sentence, width),
    ...indented(factLines(c.facts, 10, width - 5), 5),
  ];
}

function consoleLines(m: ConsoleModel, width: number): Line[] {
  // The own one first: its fingerprint is what somebody at this line can vouch for.
  return [...m.consoles.filter((c) => c.here), ...m.consoles.filter((c) => !c.here)].flatMap((c) => [
    ...hanging('', `Web console of ${c.coServer}: ${c.url}`, width),
    // Without colons it fits one row; browsers show both forms.
    ...(c.fingerprint === null ? [] : hanging('SHA-256 ', c.fingerprint.replaceAll(':', ''), width)),
  ]);
}

export function eventLines(m: ConsoleModel, width: number): Line[] {
  if (m.events.length === 0) return [plain('Nothing has happened yet.')];
  let date = '';
  return m.events.flatMap((e) => {
    const day = e.date === date ? [] : [bold(`${e.date} UTC`)];
    date = e.date;
    const row = e.row === '' ? '' : ` (${e.row})`;
    return [...day, ...hanging(`${toneMark(e.tone)} ${e.clock} ${e.coServer}  `, `${e.text}${row}`, width)];
  });
}

/** Those that say what was known. */
export const evidencedEvents = (events: readonly EventModel[]): EventModel[] => events.filter((e) => e.evidence.length > 0);

function eventPage(m: ConsoleModel, width: number): Line[] {
  const count = evidencedEvents(m.events).length;
  return count === 0 ? eventLines(m, width) : [bold(`Newest first. Enter: what was known, one by one (${count})`), ...eventLines(m, width)];
}

function eventEvidence(m: ConsoleModel, key: string, width: number): Line[] {
  const events = evidencedEvents(m.events);
  const at = events.findIndex((e) => e.key === key);
  const event = events[at];
  if (!event) return [plain('What was known then is not kept here any more. Enter: back to the list')];
  const next = at + 1 < events.length ? 'Enter: the next older one   2: the list' : 'Enter: the list';
  return [bold(pad(`Event ${at + 1} of ${events.length}`, width - next.length) + next), BLANK, ...oneEvent(event, width)];
}

function oneEvent(e: EventModel, width: number): Line[] {
  return [
    bold(pad(`${toneMark(e.tone)} ${e.date} ${e.clock} UTC  CoServer ${e.coServer}`, width)),
    ...hanging('     ', e.text, width),
    ...(e.row === '' ? [] : hanging('     Situation: ', e.row, width)),
    ...(e.evidence.length === 0 ? [] : [plain('     What was known:')]),
    ...e.evidence.flatMap(({ label, value }) => hanging('       ', label === '' ? value : `${label}: ${value}`, width)),
  ];
}

/** All of them with what was known, for the command line. */
export function historyText(events: readonly EventModel[], width: number): string {
  if (events.length === 0) return 'Nothing has happened yet.\n';
  return events.map((e) => pageText(oneEvent(e, width))).join('\n');
}

export function takeoverLines(m: ConsoleModel, width: number): Line[] {
  const t = m.takeover;
  if (!t) return [plain('No takeover and no loss of the partner so far.')];
  const bar = 24;
  const name = width - bar - 22;
  return [
    ...hanging('', `${t.title}, done ${t.total} after the loss was noticed`, width, 'bold'),
    plain(t.when),
    ...hanging('Reason: ', t.reason, width),
    ...hanging('Decided by: ', t.row, width),
    BLANK,
    ...t.steps.flatMap((s) =>
      wrap(s.step, name).map((text, i) =>
        plain(
          i === 0
            ? `${s.at.padStart(9)} ${s.took.padStart(9)}  ${pad(text, name)} ${timeBar(s.start, s.width, bar)}`
            : `${' '.repeat(21)}${text}`,
        ),
      ),
    ),
    ...(t.earlier.length === 0 ? [] : [BLANK, bold('Earlier'), ...t.earlier.flatMap((line) => hanging('', line, width))]),
  ];
}

export function figureLines(m: ConsoleModel, width: number): Line[] {
  const column = Math.floor((width - 3) / 2);
  const blocks = m.figures.map((g) => [bold(pad(ascii(g.title), column)), ...factLines(g.facts, 19, column)]);
  // The first group is the longest: it gets a column of its own.
  const [first = [], ...rest] = blocks;
  const charts =
    m.recent.length === 0
      ? [plain('No checkpoints yet.')]
      : [
          bold(`Pause of the latest checkpoints, ms (newest right)`),
          ...columnChart(
            m.recent.map((r) => r.pauseMs),
            width - 12,
            5,
            (v) => v.toFixed(0),
          ),
          bold(`Their size, MB`),
          ...columnChart(
            m.recent.map((r) => r.bytes / 1e6),
            width - 12,
            4,
            (v) => v.toFixed(1),
          ),
        ];
  return [
    ...sideBySide(
      first,
      rest.flatMap((block, i) => (i === 0 ? block : [BLANK, ...block])),
      column,
      '   ',
    ),
    BLANK,
    ...diskLines(m, width),
    ...charts,
  ];
}

function diskLines({ disk }: ConsoleModel, width: number): Line[] {
  if (!disk) return [];
  return [
    ...hanging(`${toneMark(disk.tone)} Disk: `, disk.word, width, 'bold'),
    ...hanging('     ', disk.sentence, width),
    ...indented(factLines(disk.facts, 10, width - 5), 5),
    BLANK,
  ];
}

/** Those that are asked for on this page: the software's and the settings' are no part of the pair's. */
export const actionsOn = (page: Page, m: Pick<ConsoleModel, 'actions' | 'software' | 'settings'>): readonly ActionModel[] =>
  page === 'software' ? m.software.actions : page === 'settings' ? m.settings.actions : m.actions;

export function actionLines(actions: readonly ActionModel[], width: number, emergency = false): Line[] {
  // What is possible now comes first: it is what the screen has room for.
  const [possible, others] = [true, false].map((wanted) =>
    actionGroups(actions, emergency).filter((g) => g.actions.some((a) => a.allowed) === wanted),
  );
  const groups = [...(possible ?? []), ...(others ?? [])];
  const hidden = actions.length > groups.reduce((sum, g) => sum + g.actions.length, 0);
  if (groups.length === 0 && !hidden) return [plain('There is nothing to ask for.')];
  return [
    bold('Actions: press the number'),
    ...groups.flatMap((g) => [
      BLANK,
      plain(g.title),
      ...g.actions.flatMap((a) => [
        ...hanging(a.number === null ? ' -   ' : ` ${a.number}   `, a.label, width, a.allowed ? 'bold' : 'plain'),
        ...(a.reason === '' ? [] : hanging('     ', a.allowed ? a.reason : `not now: ${a.reason}`, width)),
      ]),
    ]),
    ...(hidden ? [BLANK, plain('e: what else there is for an emergency')] : []),
  ];
}

/** Before the word of an action that can lose data is typed. */
export function typedLines({ label, typed }: ActionModel, width: number): Line[] {
  return [
    ...hanging('[XX] ', label, width, 'bold'),
    BLANK,
    ...hanging('     ', typed?.meaning ?? '', width),
    BLANK,
    ...hanging('     ', 'It is recorded that it was asked for here.', width),
  ];
}

/** Plain text, for the command line. */
export function pageText(lines: readonly Line[]): string {
  return lines.map((line) => `${lineText(line)}\n`).join('');
}
