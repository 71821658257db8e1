// The pages 'mode' (how output leaves, and the audit of the secondary) and 'incidents' (and what was seen of each, one by one).
import { countText } from '../format.ts';
import type { ConsoleModel, Fact, IncidentModel, ModeModel, Tone } from '../model.ts';
import { ascii, BLANK, bold, factLines, hanging, indented, type Line, lineText, pad, plain, sideBySide, toneMark, wrap } from './layout.ts';

const LABEL_WIDTH = 13;
/** Both columns of figures of the causes' table. */
const PER_MINUTE_WIDTH = 12;
const TOTAL_WIDTH = 10;

/** For the overview. */
export function lockstepBriefLines({ mode, audit, incidents: [latest, ...older] }: ConsoleModel, width: number): Line[] {
  // Where all is well one row does: the overview should fit the screen. The page has the rest.
  const proven = audit?.tone === 'good' ? `, secondary ${audit.word}` : '';
  return [
    ...hanging(`${toneMark(mode.tone)} Mode     `, `${mode.brief}${proven}`, width),
    ...(audit && proven === '' ? hanging(`${toneMark(audit.tone)} Audit    `, `${audit.word}: ${audit.sentence}`, width) : []),
    ...(latest
      ? [plain(`[!!] Incident ${latest.date} ${latest.clock} on ${latest.coServer}: ${latest.found} (${older.length + 1} in all: page 6)`)]
      : []),
  ];
}

export function modeLines(m: ConsoleModel, width: number): Line[] {
  const { mode, audit } = m;
  const column = Math.floor((width - 3) / 2);
  const left = block('Mode', mode, column);
  const right = audit ? block('Audit', audit, column) : [];
  return [...sideBySide(left, right, column, '   '), ...pinLines(m, width), ...causeLines(mode, width)];
}

function block(title: string, view: { word: string; tone: Tone; sentence: string; facts: readonly Fact[] }, width: number): Line[] {
  return [
    ...hanging(`${toneMark(view.tone)} ${title}: `, view.word, width, 'bold'),
    ...hanging('     ', view.sentence, width),
    ...indented(factLines(view.facts, LABEL_WIDTH, width - 5), 5),
  ];
}

function causeLines({ causes }: ModeModel, width: number): Line[] {
  if (causes.length === 0) return [];
  const name = width - PER_MINUTE_WIDTH - TOTAL_WIDTH;
  return [
    BLANK,
    bold(`${pad('Why checkpoints were asked for', name)}${'per minute'.padStart(PER_MINUTE_WIDTH)}${'total'.padStart(TOTAL_WIDTH)}`),
    ...causes.flatMap((c) =>
      wrap(c.label, name - 5).map((text, i) =>
        plain(
          i === 0
            ? `     ${pad(text, name - 5)}${c.perMinute.padStart(PER_MINUTE_WIDTH)}${c.total.padStart(TOTAL_WIDTH)}`
            : `       ${text}`,
        ),
      ),
    ),
  ];
}

/** What may be asked for now, with the numbers of the page of all actions; that page has the reasons too. */
function pinLines({ actions }: ConsoleModel, width: number): Line[] {
  const offered = actions.flatMap((a) => (a.group === 'mode' && a.number !== null ? [`${a.number} ${a.label}`] : []));
  return offered.length === 0 ? [] : [BLANK, ...hanging('To change it: a, then ', offered.join(' or '), width)];
}

export function incidentLines(m: ConsoleModel, evidence: string | null, width: number): Line[] {
  if (m.incidents.length === 0) return [plain('No replica was found broken so far.')];
  if (evidence !== null) return evidenceLines(m.incidents, evidence, width);
  return [
    bold(`${countText(m.incidents.length, 'incident')}, newest first. Enter: what was seen, one by one`),
    BLANK,
    ...listLines(m.incidents, width),
  ];
}

function listLines(incidents: readonly IncidentModel[], width: number): Line[] {
  return incidents.flatMap((i) =>
    hanging(
      `[!!] ${i.date} ${i.clock} ${i.coServer}  `,
      `${i.found}: ${i.sentence}${i.evidence.length === 0 ? '' : ` (${countText(i.evidence.length, 'line')})`}`,
      width,
    ),
  );
}

function evidenceLines(incidents: readonly IncidentModel[], key: string, width: number): Line[] {
  const at = incidents.findIndex((i) => i.key === key);
  const incident = incidents[at];
  if (!incident) return [plain('This incident is older than what is kept here. Enter: back to the list')];
  const next = at + 1 < incidents.length ? 'Enter: the next older one   6: the list' : 'Enter: the list';
  return [bold(pad(`Incident ${at + 1} of ${incidents.length}`, width - next.length) + next), BLANK, ...oneIncident(incident, width)];
}

function oneIncident(i: IncidentModel, width: number): Line[] {
  return [
    bold(pad(ascii(`${i.date} ${i.clock} UTC  CoServer ${i.coServer}: ${i.found}`), width)),
    ...hanging('     ', i.sentence, width),
    ...(i.evidence.length === 0
      ? [plain('     Nothing more was recorded.')]
      : i.evidence.flatMap((line) => hanging('     | ', line, width))),
  ];
}

/** All of them with what was seen, for the command line. */
export function incidentText(incidents: readonly IncidentModel[], width: number): string {
  if (incidents.length === 0) return 'No replica was found broken so far.\n';
  return incidents
    .map((i) =>
      oneIncident(i, width)
        .map((line) => `${lineText(line)}\n`)
        .join(''),
    )
    .join('\n');
}

/** The list without its keys, for the command line. */
export const incidentList = listLines;
