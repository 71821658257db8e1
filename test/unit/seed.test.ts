// Made-up cases: the same seed gives the same ones, another seed others, and what failed is kept and told whole.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { codecOf, type FileTally, failureText, nextFile, tallyTable } from '../fuzz-tally.ts';
import type { PropertyRun } from '../seed.ts';
import { madeUp, runTestFile, seedGiven } from '../test-program.ts';

const EXAMPLE = 'test/unit/seed-example.ts';
// Programs start slowly on a busy machine.
t.setTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), 'seed-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

async function example(seed: number, largest: number): Promise<{ made: string; code: number | null; runs: PropertyRun[] }> {
  const casesFile = join(folder, `${seed}-${largest}.jsonl`);
  rmSync(casesFile, { force: true });
  process.env.SEED_EXAMPLE_LARGEST = String(largest);
  const { said, code } = await runTestFile(EXAMPLE, { timeoutS: 120, seed, casesFile });
  const runs = readFileSync(casesFile, 'utf8').trim().split('\n');
  return { made: said.find((line) => line.startsWith('made ')) ?? '', code, runs: runs.map((line) => JSON.parse(line) as PropertyRun) };
}

t.test('a seed gives the same cases every time', async (t) => {
  const [one, again, other] = [await example(7, 2 ** 31), await example(7, 2 ** 31), await example(8, 2 ** 31)];
  t.equal(one.made.split(' ').length, 101);
  t.equal(again.made, one.made);
  t.not(other.made, one.made);
  t.same(one, { made: one.made, code: 0, runs: [{ seed: 7, cases: 100, failure: null }] });
});

t.test('a case that fails: its seed, path and counterexample', async (t) => {
  const { code, runs } = await example(7, 1000);
  t.equal(code, 1, 'the test file fails as ever');
  t.match(runs, [{ seed: 7, failure: { counterexample: '[1001]', path: /^\d+(:\d+)*$/ } }], 'the smallest that fails');
  const said = ['ok 1', '  not ok 2 - alike', '  ---', ...Array(99).fill('ok 3')];
  const text = failureText(EXAMPLE, 7, runs, { said, code });
  t.match(text, /TWINSTEP_SEED=7 npm test -- test\/unit\/seed-example\.ts/);
  t.match(text, /property 1 of the file, after \d+ cases: seed 7, path "\d/);
  t.match(text, /counterexample: \[1001\]/);
  t.match(text, /not ok 2 - alike\n *---\n/, 'what was wrong, not what came last');
  t.notMatch(text, / ok 1/);
  t.notMatch(text, /out of time/);
  t.match(failureText(EXAMPLE, 7, [], { said: ['ok 1'], code: null }), /out of time[^.]*\n *ok 1/);
});

t.test('only files that make up cases get a seed; a seed is a whole number', async (t) => {
  t.ok(madeUp(EXAMPLE));
  t.notOk(madeUp('test/unit/seed.test.ts'));
  const before = process.env.TWINSTEP_SEED;
  t.teardown(() => {
    if (before === undefined) delete process.env.TWINSTEP_SEED;
    else process.env.TWINSTEP_SEED = before;
  });
  for (const [given, seed] of [
    ['', undefined],
    ['12', 12],
    ['-3', -3],
  ] as const) {
    process.env.TWINSTEP_SEED = given;
    t.equal(seedGiven(), seed);
  }
  for (const wrong of ['x', '1.5', '4294967296']) {
    process.env.TWINSTEP_SEED = wrong;
    t.throws(seedGiven, /TWINSTEP_SEED is .*: it must be a whole number of 32 bits/);
  }
});

t.test('files take turns, and the table adds them up', async (t) => {
  const tally = (file: string, rounds: number, cases: number): FileTally => ({
    file,
    rounds,
    properties: 2,
    cases,
    failures: 0,
    seconds: 1,
    busy: false,
  });
  const files = [
    tally('test/unit/drivers/nbd/codec.test.ts', 2, 300),
    tally('test/unit/drivers/nbd/server.test.ts', 1, 44),
    tally('test/unit/appliance/core/mirror.test.ts', 0, 0),
  ];
  const [first, second, third] = files as [FileTally, FileTally, FileTally];
  t.equal(nextFile(files, true), third, 'the fewest rounds');
  t.equal(nextFile([first, { ...third, busy: true }, second], true), second, 'not one that runs');
  t.equal(nextFile(files, false), third);
  t.equal(nextFile([first, second], false), undefined, 'each once');
  t.equal(codecOf(first.file), 'drivers/nbd');
  const table = tallyTable(files, 3);
  t.match(table, /drivers\/nbd +344\n/);
  t.match(table, /3\.0 minutes, 3 files run, 344 cases, 0 failed/);
  t.notMatch(table, /mirror/, 'not tried');
});
