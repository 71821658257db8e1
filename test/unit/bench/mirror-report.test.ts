// The mirror's report: what was to be reached is judged by medians of one run, and what was not measured is said to be so.
import t from 'tap';
import type { Load } from '../../bench/mirror/loads.ts';
import { mirrorPlots } from '../../bench/mirror/plots.ts';
import { goals, type Links, type MirrorReport, markdown, type Sample, tables, terminalText } from '../../bench/mirror/report.ts';
import type { MirrorVariant } from '../../bench/mirror/variants.ts';
import { parseMirrorOptions } from '../../bench/options.ts';

function sample(links: Links, variant: MirrorVariant, load: Load, values: Partial<Sample>): Sample {
  return { links, variant, load, round: 1, iops: 1000, megabytesPerS: 100, p50Us: 100, p99Us: 200, cpuSPerGB: 1, ...values };
}

function report(samples: Sample[], more: Partial<MirrorReport> = {}): MirrorReport {
  return {
    at: '2026-01-01T00:00:00.000Z',
    complete: true,
    durationS: 600,
    seconds: 2,
    rounds: 3,
    acknowledgementTimeoutMs: 500,
    variants: ['quorum', 'one-link', 'two-links'],
    loads: ['4k-qd1', '4k-qd32', '128k-write'],
    machine: {
      cpu: 'x',
      cores: 2,
      memoryGiB: 4,
      kernel: 'k',
      acceleration: 'a',
      qemu: 'q',
      node: 'n',
      revision: 'r',
      loadAtStart: 0,
    },
    samples,
    stalls: [],
    repairs: [],
    costs: null,
    problems: [],
    ...more,
  };
}

const reached = (r: MirrorReport): Record<string, boolean | null> => Object.fromEntries(goals(r).map((g) => [g.what, g.reached]));

t.test('nothing measured: nothing is claimed', async (t) => {
  const r = report([]);
  t.ok(goals(r).every((g) => g.reached === null && g.found === null));
  t.match(terminalText(r), /not measured/);
  t.same(mirrorPlots(r), []);
});

t.test('the figures to reach, each side of its limit', async (t) => {
  const samples = [
    sample('1 Gbit/s', 'one-link', '128k-write', { megabytesPerS: 0.96 * 118 }),
    sample('1 Gbit/s', 'two-links', '128k-write', { megabytesPerS: 0.89 * 236 }),
    // Medians: one slow round of three does not count.
    ...[1900, 100, 2000].map((iops) => sample('free', 'two-links', '4k-qd32', { iops })),
    sample('free', 'quorum', '4k-qd32', { iops: 900 }),
    sample('free', 'two-links', '4k-qd1', { p50Us: 90, p99Us: 500 }),
    sample('free', 'quorum', '4k-qd1', { p50Us: 100, p99Us: 200 }),
    sample('free', 'quorum-tls', '4k-qd1', { p50Us: 89 }),
  ];
  const stall = { noticedMs: 500, goSoloMs: 3 };
  const r = report(samples, {
    stalls: [
      { what: 'frozen', stallMs: 599, releasedMs: 3, ...stall },
      { what: 'killed', stallMs: 30, releasedMs: 10, ...stall },
      { what: 'killed', stallMs: 90, releasedMs: 51, ...stall },
    ],
    repairs: [
      {
        missedBytes: 1e9,
        comparedBytes: 1.1e9,
        copiedBytes: 1e9,
        seconds: 13,
        commandedBytesPerS: 80e6,
        quietP95Ms: null,
        duringP95Ms: null,
      },
    ],
    costs: { coldWriteP50Ms: 2, hotWriteP50Ms: 0.2, takeOverPieces: 2000, takeOverMs: 100 },
  });
  t.same(reached(r), {
    'one link of 1 Gbit/s, 128k writes : 118 MB/s': true,
    'two links of 1 Gbit/s, 128k writes : 236 MB/s': false,
    '4k QD32, two links : quorum': true,
    '4k QD1 p50, two links : quorum': true,
    '4k QD1 p99, two links : quorum': false,
    '  both encrypted: 4k QD1 p50, two links : quorum': false,
    '  neither encrypted: 4k QD1 p50, two links : quorum': null,
    'partner frozen: longest write, ms': true,
    'partner killed: from the word of the channel to the first write, ms': false,
    'resync: rate : commanded rate': true,
    'resync: copied : missed': true,
  });
  t.same(
    tables(r).map((table) => table.title),
    [
      'To be reached',
      'Links free: medians of the rounds',
      'Links 1 Gbit/s: medians of the rounds',
      'Guest stalls, ms',
      'Resync after an outage',
      'What the durable records cost, ms',
    ],
  );
  const plots = mirrorPlots(r);
  t.same(
    plots.map((p) => p.name),
    ['free-more', 'free-less'],
    'without quorum there is nothing to compare with',
  );
  const page = markdown(r, 'command', [{ title: 'a plot', file: 'x.svg' }]);
  t.match(page, /4k QD32, two links : quorum \| >= 2 \| 2\.11 \| yes/);
  t.match(page, /!\[a plot\]\(x\.svg\)/);
});

t.test('flags: a wrong one is told with what would be right', async (t) => {
  t.match(parseMirrorOptions({ measures: 'repair,4k-qd1' }), { seconds: 2, rounds: 3, measures: ['4k-qd1', 'repair'] });
  t.throws(() => parseMirrorOptions({ variants: 'drbd' }), /--variants: there is no "drbd"; there are: raw, qemu-nbd/);
});
