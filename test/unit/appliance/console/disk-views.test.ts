// The disk's panel: what an operator reads of the two copies, on every console.
import t from 'tap';
import { consoleModel } from '../../../../appliance/console/model.ts';
import { figureLines, overviewLines, pageText } from '../../../../appliance/console/serial/pages.ts';
import type { DiskView, ScrubView, Snapshot } from '../../../../appliance/core/snapshot.ts';
import { duplex } from './fixtures.ts';

const GIB = 2 ** 30;
const at = duplex().at;
const scrub = (change: Partial<ScrubView>): ScrubView => ({
  state: 'done',
  startedAt: at - 7_200_000,
  endedAt: at - 3_600_000,
  checkedBytes: 64 * GIB,
  totalBytes: 64 * GIB,
  differed: 0,
  repaired: 0,
  reason: '',
  ...change,
});
const withDisk = (change: Partial<DiskView>): Snapshot => ({
  ...duplex(),
  disk: { sizeBytes: 64 * GIB, repairedBlocks: 0, quarantined: [], scrub: null, lateMs: 0, ...change },
});
const disk = (change: Partial<DiskView>) => consoleModel(withDisk(change)).disk;

t.test('in words, the worst first', async (t) => {
  t.equal(consoleModel(duplex()).disk, null, 'a picture without it');
  t.match(disk({}), { word: 'well', tone: 'good', brief: 'well' });
  t.match(disk({ scrub: scrub({ state: 'running', endedAt: null, checkedBytes: 16 * GIB }) }), { word: 'being compared', brief: /25\.0 % compared/ });
  t.match(disk({ repairedBlocks: 2, scrub: scrub({ differed: 2, repaired: 2 }) }), {
    word: 'repaired',
    tone: 'warning',
    facts: [{}, { value: '2 blocks', tone: 'warning' }, {}, {}, { value: '2 blocks differed, 2 made equal' }, {}],
  });
  t.match(disk({ lateMs: 3_000, repairedBlocks: 1 }), { word: 'slow to answer' });
  t.match(disk({ quarantined: [4096], lateMs: 3_000 }), { word: '1 block in question', tone: 'critical' });
  t.match(disk({ scrub: scrub({ state: 'cutShort', reason: 'the operator stopped it' }) })?.facts.at(-1), {
    label: 'Because',
    value: 'the operator stopped it',
  });
});

t.test('serial shows the same facts', async (t) => {
  const m = consoleModel(withDisk({ repairedBlocks: 3, scrub: scrub({}) }));
  t.match(pageText(overviewLines(m, 80)), /Disk {5}repaired; compared 1 h ago/);
  const figures = pageText(figureLines(m, 80));
  for (const { label, value } of m.disk?.facts ?? []) t.ok(figures.includes(label) && figures.includes(value.slice(0, 40)), label);
});
