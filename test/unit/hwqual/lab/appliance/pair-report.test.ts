// The report of the two appliances: everything measured and kept is in it, also when the tale ends early.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { PairReport, reportText } from '../../../../../hwqual/lab/appliance/pair-report.ts';

const directory = mkdtempSync(join(tmpdir(), 'pair-report-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

t.test('each figure is on the disk as soon as it is known', async (t) => {
  const said: string[] = [];
  const report = new PairReport(directory, (line) => said.push(line));
  report.begin('power on');
  report.figure('A: first line', 12.34);
  report.figure('A: memory', 300, 'MiB');
  report.screen('code-A', 'the code', ['one', 'two']);
  report.note('nothing else');
  const json = JSON.parse(readFileSync(join(directory, 'pair.json'), 'utf8')) as { figures: unknown[]; notes: string[]; files: unknown[] };
  t.strictSame(json.figures, [
    { part: 'power on', what: 'A: first line', value: 12.3, unit: 's' },
    { part: 'power on', what: 'A: memory', value: 300, unit: 'MiB' },
  ]);
  t.strictSame(json.notes, ['power on: nothing else']);
  t.strictSame(json.files, [{ name: 'code-A.txt', what: 'the code' }]);
  t.equal(readFileSync(join(directory, 'code-A.txt'), 'utf8'), 'one\ntwo\n');
  t.match(said.join('\n'), /power on\n +12\.3 s +A: first line/);
});

t.test('a bar in a text does not end its cell', async (t) => {
  t.match(reportText('now', [{ part: 'a|b', what: 'c', value: 1, unit: 's' }], [], []), /\| a\\\|b \| c \| 1\.0 s \|/);
});
