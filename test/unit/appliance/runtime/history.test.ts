import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { TimelineEntry } from '../../../../appliance/core/snapshot.ts';
import { withLatestEvidence } from '../../../../appliance/runtime/figures.ts';
import { History } from '../../../../appliance/runtime/history.ts';
import { LineFile } from '../../../../appliance/runtime/line-file.ts';

t.test('what was known is durable; entries of before it was kept still load', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'co-history-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'history.jsonl');
  const old: TimelineEntry = { at: 1, atMs: 1, coServer: 'A', severity: 'info', row: '5', text: 'old' };
  await writeFile(path, `${JSON.stringify({ timeline: old })}\n{"timeline":{"at"`);
  let changes = 0;
  const history = await History.open(path, 'A', () => changes++);
  t.strictSame(history.timeline, [old]);
  await writeFile(path, `${JSON.stringify({ timeline: old })}\n`);
  history.add({ severity: 'critical', row: '7w', text: 'Frozen.', evidence: ['cause: time', 'partner: nothing known'] });
  t.equal(changes, 1);
  // The file is written behind: until it is there, it is read again.
  for (;;) if ((await new LineFile(path).read()).length === 2) break;
  const again = await History.open(path, 'A', () => {});
  t.match(again.timeline, [{ text: 'old' }, { row: '7w', evidence: ['cause: time', 'partner: nothing known'] }]);
  t.notOk('evidence' in (again.timeline[0] ?? {}));
});

t.test('a picture carries what was known of the latest entries only', async (t) => {
  const entry = (i: number): TimelineEntry => ({
    at: i,
    atMs: i,
    coServer: 'A',
    severity: 'info',
    row: '1',
    text: `${i}`,
    evidence: ['x: y'],
  });
  const sent = withLatestEvidence(Array.from({ length: 200 }, (_, i) => entry(i)));
  t.strictSame(
    sent.map((e) => e.at),
    Array.from({ length: 200 }, (_, i) => i),
  );
  t.strictSame(
    sent.filter((e) => e.evidence).map((e) => e.at),
    Array.from({ length: 60 }, (_, i) => 140 + i),
  );
});
