// A report in its folder: the page, the numbers, the charts. A second run on the same day gets a name of its own.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plot } from './plots.ts';

type Chart = Plot & { file: string };

/**
 * Answers the files.
 * @param what The first part of their names; the second is the day of `report.at`.
 * @param page The report as Markdown: told the command that made it and how the charts are named.
 */
export function saveReport<R extends { at: string }>(
  folder: string,
  what: string,
  report: R,
  plots: readonly Plot[],
  page: (report: R, command: string, charts: readonly Chart[]) => string,
): string[] {
  mkdirSync(folder, { recursive: true });
  const taken = new Set(readdirSync(folder));
  const day = `${what}-${report.at.slice(0, 10)}`;
  let name = day;
  for (let i = 2; taken.has(`${name}.json`); i++) name = `${day}-${i}`;
  const charts = plots.map((plot) => ({ ...plot, file: `${name}-${plot.name}.svg` }));
  const files: [string, string][] = [
    [`${name}.md`, page(report, `npm run bench -- ${process.argv.slice(2).join(' ')}`, charts)],
    [`${name}.json`, `${JSON.stringify(report, null, 1)}\n`],
    ...charts.map((plot): [string, string] => [plot.file, plot.svg]),
  ];
  for (const [file, text] of files) writeFileSync(join(folder, file), text);
  return files.map(([file]) => join(folder, file));
}
