// The report of the campaign of hardware faults: for a terminal, and as one HTML page that needs nothing else. Pure.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { Lab } from '../lab/lab-interface.ts';
import type { FaultOutcome } from './machine-faults-judge.ts';
import type { NotMade } from './machine-faults-plan.ts';
import { PAGE_STYLE } from './report-page.ts';
import { escapeHtml } from './svg-chart.ts';

export interface MachineFaultsReport {
  name: string;
  world: Lab['world'];
  /** Wall clock ms. */
  startedAt: number;
  endedAt: number;
  ok: boolean;
  /** From the start of the campaign until both servers watched their hardware in good order. */
  healthyAfterS: number | null;
  outcomes: FaultOutcome[];
  /** Told, and made by nobody. */
  falseAlarms: { server: CoServerName; text: string }[];
  notMade: NotMade[];
  /** Of the campaign itself; those of a fault stand with it. */
  problems: string[];
}

export function emptyFaultsReport(world: Lab['world'], startedAt: number): MachineFaultsReport {
  return {
    name: 'Faults of the hardware',
    world,
    startedAt,
    endedAt: startedAt,
    ok: false,
    healthyAfterS: null,
    outcomes: [],
    falseAlarms: [],
    notMade: [],
    problems: [],
  };
}

export function concludeFaults(report: MachineFaultsReport): void {
  const { outcomes, falseAlarms, problems } = report;
  report.ok =
    outcomes.length > 0 && problems.length === 0 && falseAlarms.length === 0 && outcomes.every((outcome) => outcome.problems.length === 0);
}

const ACTIONS: Record<FaultOutcome['action'], string> = {
  none: 'told only',
  moveRole: 'row 16: the role may move',
  endServer: 'row 17: ends itself',
  detachDisk: 'row 12: disk detached',
  restart: 'starts anew',
};

const seconds = (value: number | null): string => (value === null ? '-' : `${value.toFixed(1)} s`);
const ends = ({ overS, overNote }: FaultOutcome): string =>
  overS !== null ? `${seconds(overS)}${overNote === '' ? '' : ` (${overNote})`}` : overNote;

/** One line of progress. */
export function outcomeText(outcome: FaultOutcome): string {
  const { fault, server, detectedS, problems } = outcome;
  const bad = problems.length === 0 ? '' : `  WRONG: ${problems.join('; ')}`;
  return `${fault} on ${server}: told after ${seconds(detectedS)}, ${ACTIONS[outcome.action]}, over after ${ends(outcome) || '-'}${bad}`;
}

/** For a terminal. */
export function faultsTable(report: MachineFaultsReport): string {
  const wrong = report.outcomes.filter(({ problems }) => problems.length > 0).length;
  return [
    `${report.name}, ${report.world} servers: ${report.ok ? 'all as it must be' : 'FAILED'}`,
    `  ${report.outcomes.length} faults made, ${wrong} not as they must be; false alarms ${report.falseAlarms.length}; in good order after ${seconds(report.healthyAfterS)}`,
    '',
    `  ${'fault'.padEnd(25)}${'on'.padEnd(4)}${'made'.padStart(5)}  ${'told after'.padStart(10)}  ${'action'.padEnd(27)}${'over after'.padEnd(28)}expected`,
    ...report.outcomes.flatMap((o) => [
      `  ${o.fault.padEnd(25)}${o.server.padEnd(4)}${String(o.injections).padStart(5)}  ${seconds(o.detectedS).padStart(10)}  ${ACTIONS[o.action].padEnd(27)}${ends(o).padEnd(28)}${o.expected}`,
      ...o.problems.map((problem) => `      WRONG ${problem}`),
    ]),
    '',
    ...report.falseAlarms.map(({ server, text }) => `  FALSE ALARM on ${server}: ${text}`),
    ...report.notMade.map(({ fault, reason }) => `  not made: ${fault} (${reason})`),
    ...report.problems.map((problem) => `  PROBLEM ${problem}`),
  ].join('\n');
}

function row(cells: string[], tag: 'td' | 'th'): string {
  return `<tr>${cells.map((cell) => `<${tag} class="text">${cell}</${tag}>`).join('')}</tr>`;
}

export function faultsPage(report: MachineFaultsReport): string {
  const wrong = report.outcomes.filter(({ problems }) => problems.length > 0).length;
  const tile = (value: string | number, text: string, verdict: '' | 'good' | 'bad' = '') =>
    `<div class="tile ${verdict}"><b>${value}</b><span>${escapeHtml(text)}</span></div>`;
  const tiles = [
    tile(report.outcomes.length, 'faults made'),
    tile(wrong, 'not as they must be', wrong === 0 ? 'good' : 'bad'),
    tile(report.falseAlarms.length, 'false alarms', report.falseAlarms.length === 0 ? 'good' : 'bad'),
    tile(seconds(report.healthyAfterS), 'until both watched their hardware'),
    tile(`${Math.round((report.endedAt - report.startedAt) / 60_000)} min`, 'in all'),
  ].join('');
  const rows = report.outcomes.map((o) =>
    row(
      [
        `<b>${escapeHtml(o.fault)}</b><br><span class="quiet">${escapeHtml(o.how)}${o.injections > 1 ? `, ${o.injections} times` : ''}</span>`,
        `${o.server}, ${o.role}`,
        seconds(o.detectedS),
        escapeHtml(ACTIONS[o.action]),
        escapeHtml(ends(o)),
        escapeHtml(o.expected),
        `${escapeHtml(o.found.slice(0, 300))}${o.problems.map((p) => `<br><b>${escapeHtml(p)}</b>`).join('')}`,
      ],
      'td',
    ),
  );
  const list = [
    ...report.problems,
    ...report.falseAlarms.map(({ server, text }) => `False alarm on ${server}: ${text}`),
    ...report.outcomes.flatMap((o) => o.problems.map((p) => `${o.fault} on ${o.server}: ${p}`)),
  ];
  const problems = list.length === 0 ? '' : `<ul>${list.map((text) => `<li>${escapeHtml(text)}</li>`).join('')}</ul>`;
  const left = report.notMade.map(({ fault, reason }) => row([escapeHtml(fault), escapeHtml(reason)], 'td')).join('');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(report.name)}</title><style>${PAGE_STYLE}</style>
<h1>${escapeHtml(report.name)}</h1>
<p class="quiet">${new Date(report.startedAt).toISOString()}, ${report.world === 'virtual' ? 'two whole machines under QEMU' : 'two real servers'}</p>
<p>Each fault is made in one of two whole servers. Its CoServer must tell it by itself, with the right place and the right consequence for the pair, on the standby as on the active one; when the cause is taken back, it must end and say so.</p>
<div class="verdict ${report.ok ? '' : 'bad'}">${report.ok ? 'All as it must be.' : 'Not as it must be.'}${problems}</div>
<div class="tiles">${tiles}</div>
<h2>Faults</h2><div class="scroll"><table><thead>${row(['fault', 'on', 'told after', 'action', 'over after', 'expected', 'found'], 'th')}</thead><tbody>${rows.join('')}</tbody></table></div>
${left === '' ? '' : `<h2>Not made here</h2><div class="scroll"><table><thead>${row(['fault', 'why'], 'th')}</thead><tbody>${left}</tbody></table></div>`}
</html>
`;
}
