// The stories of the decision table, played by two real cores, and what is true of all of them.
//
//   node test/scenarios/scenarios.test.ts --update     writes the golden blocks anew: then READ the difference
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROWS } from '../../appliance/console/decision-rows.ts';
import { parseStory, printStory } from './language.ts';
import type { Fact } from './pair.ts';
import { play } from './run.ts';

const UPDATE = process.argv.includes('--update');
/** Only stories whose file name contains this. */
const only = process.argv.slice(2).find((a) => !a.startsWith('-')) ?? '';
const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.txt') && name.includes(only));

/** Names of the code have humps; words for operators have not. */
const CODE_NAME = /\b[a-z]+[A-Z]\w*|\b\w+_\w+\b/;

type Recorded = { file: string; row: string | null; text: string; evidence: readonly string[] | undefined };
const recorded: Recorded[] = [];
const about = new Map<string, string[]>();

function recordsOf(file: string, facts: readonly Fact[]): Recorded[] {
  return facts.flatMap((fact) =>
    'said' in fact
      ? []
      : fact.commands.flatMap((c) => (c.kind === 'record' ? [{ file, row: c.row, text: c.text, evidence: c.evidence }] : [])),
  );
}

for (const file of files) {
  t.test(file, async (t) => {
    const path = join(import.meta.dirname, file);
    const source = readFileSync(path, 'utf8');
    const story = parseStory(source);
    const { story: played, facts } = play(story);
    const text = printStory(played);
    if (UPDATE) writeFileSync(path, text);
    else t.equal(text, source, 'as told (npm run scenarios -- --update, then read the difference)');
    const records = recordsOf(file, facts);
    for (const row of story.rows) {
      t.ok(
        records.some((r) => r.row === row),
        `row ${row} is recorded in its story`,
      );
      about.set(row, [...(about.get(row) ?? []), file]);
    }
    recorded.push(...records);
  });
}

t.test('every row of the decision table has a story, and no story has a row that the table lacks', { skip: only !== '' }, async (t) => {
  t.same(
    Object.keys(ROWS).filter((row) => !about.has(row)),
    [],
    'without a story',
  );
  t.same(
    recorded.filter(({ row }) => row !== null && !(row in ROWS)),
    [],
    'rows unknown to the consoles',
  );
});

t.test('every applied row carries its evidence', async (t) => {
  t.same(
    recorded.filter(({ row, evidence }) => row !== null && (evidence?.length ?? 0) < 4),
    [],
  );
});

t.test('what is recorded are sentences that an operator understands', async (t) => {
  const texts = new Set(recorded.map(({ text }) => text));
  t.same(
    [...texts].filter((text) => !/^[A-Z].*\.$/s.test(text) || /\.\.|: \.|undefined|null|\bNaN\b/.test(text)),
    [],
    'whole sentences',
  );
  t.same(
    [...texts].filter((text) => CODE_NAME.test(text)),
    [],
    'no names of the code',
  );
  const evidence = new Set(recorded.flatMap((r) => r.evidence ?? []));
  t.same(
    [...evidence].filter((line) => CODE_NAME.test(line)),
    [],
    'nor in the evidence',
  );
});
