// The report on a terminal: the verdict, what stands against it, and how many are well. Pure.

import { byUrgency, LEVEL_NAMES, labelsOf, type Report, type Server } from './report.ts';
import { countsOf, dateOf } from './report-page.ts';

const VERDICTS: Record<Report['verdict'], string> = { passed: 'QUALIFIED', refused: 'REFUSED', unknown: 'UNKNOWN' };

/** @param all Also what is identical. */
export function reportText(report: Report, all: boolean): string {
  const [nameA, nameB] = labelsOf(report);
  const lines = [
    `${VERDICTS[report.verdict]} for lockstep, policy ${report.policy}${report.profile ? `, profile ${report.profile.id}` : ''}`,
    countsOf(report),
    `Possible: ${report.levels.map((l) => LEVEL_NAMES[l]).join('; ')}.`,
    '',
    `${nameA}: ${serverText(report.a)}`,
    `${nameB}: ${serverText(report.b)}`,
  ];
  const shown = byUrgency(report.items).filter((i) => all || i.verdict !== 'identical');
  for (const i of shown) {
    lines.push('', `${i.waived === null ? i.verdict : `${i.verdict}, waived`}: ${i.title} (${i.id})`);
    lines.push(i.a === i.b ? `  both: ${i.a}` : `  ${nameA}: ${i.a}\n  ${nameB}: ${i.b}`);
    lines.push(`  ${i.waived === null ? i.rule : `The profile waives it: ${i.waived}.`}`);
  }
  const unread = [report.a, report.b].flatMap((s, i) =>
    s.facts.inventory.unreadable.map((text) => `  ${i === 0 ? nameA : nameB}: ${text}`),
  );
  if (unread.length > 0) lines.push('', 'What could not be read:', ...unread);
  for (const b of report.burnIn ?? []) lines.push('', `Burn-in of CoServer ${b.coServer}: ${b.verdict}. ${b.sentence}`);
  return `${lines.map(printable).join('\n')}\n`;
}

function serverText({ facts: { inventory: i }, source }: Server): string {
  const name = [i.system.vendor, i.system.product].filter((x) => x !== null).join(' ') || 'a server that does not tell its model';
  const serial = i.system.serial === null ? '' : `, serial number ${i.system.serial}`;
  const from = source.kind === 'live' ? 'live' : `saved ${dateOf(source.savedAt)} in ${source.file}, signed by ${source.fingerprint}`;
  return `${name}${serial}, ${from}`;
}

/** A file's text must not steer the terminal. */
function printable(line: string): string {
  return line.replace(/[^\P{C}\n]/gu, '?');
}
