import t from 'tap';
import { statusText } from '../../../../appliance/console/cli/status.ts';
import { ageText, clockText, dateText, durationText, printable, rateText, sizeText } from '../../../../appliance/console/format.ts';
import { consoleModel, EVENTS_SHOWN } from '../../../../appliance/console/model.ts';
import { duplex, FIXTURES, holding, isolated, NOW, resyncing, takeoverJustHappened } from './fixtures.ts';

t.test('numbers as words', async (t) => {
  t.strictSame([0, 999, 1000, 1234, 43_000_000, 999_600, 1.5e12, Number.NaN, -1].map(sizeText), [
    '0 B',
    '999 B',
    '1 kB',
    '1.23 kB',
    '43 MB',
    '1.00 MB',
    '1.50 TB',
    'unknown',
    'unknown',
  ]);
  t.equal(rateText(21_300_000), '21.3 MB/s');
  t.strictSame([0, 0.284, 12.4, 1420, 12_000, 185_000, 11_520_000, 439_200_000, Number.NaN].map(durationText), [
    '0 ms',
    '0.28 ms',
    '12 ms',
    '1.42 s',
    '12 s',
    '3 min 05 s',
    '3 h 12 min',
    '5 d 2 h',
    'unknown',
  ]);
  t.strictSame([400, 1900, 61_000].map(ageText), ['less than 1 s', '1 s', '1 min 01 s']);
  t.strictSame(
    [dateText(NOW), clockText(NOW), clockText(NOW + 7, true), clockText(Number.NaN)],
    ['2025-11-20', '23:47:12', '23:47:12.007', 'unknown'],
  );
  t.equal(printable('a\u001b[2Jb\u009bc\u202e'), 'a?[2Jb?c?');
});

t.test('duplex: no single failure stops the workload', async (t) => {
  const m = consoleModel(duplex());
  t.match(m.headline, { word: 'DUPLEX', sentence: 'Either server may fail now.', tone: 'good' });
  t.match(m.singlePoints, { tone: 'good', lines: [] });
  t.strictSame(
    m.coServers.map((c) => [c.name, c.part, c.tone, c.here]),
    [
      ['A', 'runs the workload', 'good', true],
      ['B', 'ready to take over', 'good', false],
    ],
  );
  t.equal(m.links[0]?.detail, 'up for 1 h 01 min, round trip 0.3 ms');
  t.equal(m.progress, null);
  t.equal(m.takeover, null);
});

t.test('takeover: the steps add up and the row is explained', async (t) => {
  const m = consoleModel(takeoverJustHappened());
  t.match(m.takeover, { title: 'CoServer B took over', total: '130 ms', row: 'row 5: partner silent on every path, witness reachable' });
  const steps = m.takeover?.steps ?? [];
  t.equal(steps.length, 7);
  t.ok(Math.abs(steps.reduce((sum, s) => sum + s.width, 0) - 1) < 1e-9, 'the bars fill the line');
  t.strictSame(
    steps.slice(0, 3).map((s) => [s.at, s.took]),
    [
      ['0 ms', '+0 ms'],
      ['21 ms', '+21 ms'],
      ['34 ms', '+13 ms'],
    ],
  );
  t.equal(m.takeover?.earlier.length, 1);
  t.match(m.coServers[0], { present: false, tone: 'critical', part: 'not heard' });
  t.equal(m.events[0]?.text, 'Simplex: not redundant until A is back.', 'newest first');
  t.equal(m.singlePoints.tone, 'critical');
});

t.test('resync: progress in bytes, rate and time', async (t) => {
  const m = consoleModel(resyncing());
  t.strictSame(m.progress, {
    what: 'Disk copy from B to A',
    fraction: 125_000_000 / 268_435_456,
    percent: '46 %',
    detail: '125 MB of 268 MB, 143 MB to do, 21.3 MB/s, 7 s left',
  });
  t.equal(m.links[1]?.state, 'silent', 'a carrier without heartbeats is not up');
  t.equal(m.workload.facts.find((f) => f.label === 'Runs on')?.value, 'B, replica on A (not yet equal)');
  const odd = consoleModel({ ...resyncing(), progress: { what: 'x', doneBytes: 5, totalBytes: 0, rateBytesPerS: 0, etaS: null } });
  t.match(odd.progress, { fraction: 0, detail: '5 B of 0 B, 0 B to do, 0 B/s, time left not known' });
});

t.test('isolated and holding say what is missing', async (t) => {
  t.match(consoleModel(isolated()), {
    headline: { word: 'ISOLATED', tone: 'critical' },
    singlePoints: { tone: 'unknown' },
    workload: { tone: 'warning' },
  });
  const m = consoleModel(holding());
  t.equal(m.coServers[0]?.part, 'owns the workload (held)');
  t.match(m.arbiter.facts[0], { value: 'not usable for 9 s (no answer within 600 ms)', tone: 'warning' });
  t.equal(m.events[0]?.row, 'row 7w: partner and witness lost at the same moment');
});

t.test('odd pictures still give a model', async (t) => {
  for (const [name, make] of Object.entries(FIXTURES)) {
    const bare = { ...make(), coServers: [], links: [], timeline: [], takeovers: [], actions: [], attention: [], addresses: [] };
    delete (bare as { consoles?: unknown }).consoles;
    const m = consoleModel(bare);
    t.strictSame(
      m.coServers.map((c) => c.present),
      [false, false],
      name,
    );
  }
  const many = {
    ...duplex(),
    timeline: Array.from({ length: 1000 }, (_, i) => ({
      at: NOW + i,
      atMs: i,
      coServer: 'A' as const,
      severity: 'info' as const,
      row: '99',
      text: `e${i}\u001b[31m`,
    })),
  };
  const events = consoleModel(many).events;
  t.equal(events.length, EVENTS_SHOWN);
  t.match(events[0], { text: 'e999?[31m', row: 'row 99' });
  const noSteps = consoleModel({ ...duplex(), takeovers: [{ at: NOW, coServer: 'A', kind: 'continue', reason: '', row: '5', steps: [] }] });
  t.equal(noSteps.takeover?.total, '0 ms');
});

t.test('heartbeat frames that were dropped, on every console', async (t) => {
  const s = duplex();
  t.same(
    consoleModel(s).links.map((l) => l.dropped),
    ['', ''],
  );
  const dropped = [
    { what: 'forged', count: 5 },
    { what: 'replayed', count: 2 },
  ];
  const links = s.links.map((l, i) => (i === 1 ? { ...l, dropped } : l));
  const text = '7 heartbeat frames dropped: 5 forged, 2 replayed';
  t.same(
    consoleModel({ ...s, links }).links.map((l) => l.dropped),
    ['', text],
  );
  t.match(statusText({ ...s, links }, 80), text);
});
