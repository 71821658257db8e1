// What is caused is told apart from what the host makes: a cost is seen above noise, noise alone is none, and too much of it says nothing.
import t from 'tap';
import { hardwareRows, hardwareTable, quantile, type Row, type Slice, verdictOf } from '../../bench/hardware-figures.ts';

/** 1000 turns, all late by `base`, and the worst two by `most`. */
function slice(watched: boolean, base: number, most: number, cpuPercent = 0.2, turnMs = 0.1): Slice {
  const latenessMs = Array.from({ length: 1000 }, (_, at) => (at % 500 === 0 ? most : base));
  return { watched, cpuPercent, latenessMs, turnCpuMs: latenessMs.map(() => turnMs), readings: [] };
}

const rowsOf = (slices: Slice[]) => {
  const rows = hardwareRows(slices);
  const row = (words: RegExp): Row => {
    const found = rows.find(({ what }) => words.test(what));
    if (!found) throw new Error(`no row ${words}`);
    return found;
  };
  return {
    cpu: row(/^processor/),
    p50: row(/clock, p50/),
    p999: row(/clock, p99\.9/),
    most: row(/clock, most, median/),
    turn: row(/turn, most/),
  };
};

t.test('a quiet host: what is caused is the difference', async (t) => {
  const rows = rowsOf([slice(false, 0.5, 1), slice(true, 0.5, 1.5, 0.7, 0.3), slice(true, 0.5, 1.5, 0.7, 0.3), slice(false, 0.5, 1)]);
  t.match(rows.p50, { caused: 0, noise: 0, goal: null });
  t.match(rows.p999, { without: 1, watched: 1.5, caused: 0.5, noise: 0 });
  t.equal(verdictOf(rows.p999), 'reached');
  t.equal(rows.cpu.caused.toFixed(2), '0.50');
  t.equal(rows.turn.caused.toFixed(2), '0.20');
  t.equal(verdictOf(rows.p50), '');
});

t.test('a cost that is there is missed, however the host is', async (t) => {
  const rows = rowsOf([slice(false, 0.5, 1), slice(true, 0.5, 6), slice(true, 0.5, 6), slice(false, 0.5, 2)]);
  t.equal(verdictOf(rows.most), 'missed', '5 ms caused, 1 ms of noise');
  t.equal(verdictOf({ what: '', without: 0.1, watched: 1.5, caused: 1.4, noise: 0, goal: 1 }), 'missed');
});

t.test('a loud host: the same for both is no cost; a difference below its noise is not told', async (t) => {
  const loud = rowsOf([slice(false, 0.5, 40), slice(true, 0.5, 40), slice(true, 0.5, 40), slice(false, 0.5, 40)]);
  t.equal(loud.most.caused, 0);
  t.equal(verdictOf(loud.most), 'reached');
  const swinging = rowsOf([slice(false, 0.5, 40), slice(true, 0.5, 30), slice(true, 0.5, 45), slice(false, 0.5, 4)]);
  t.equal(swinging.most.noise, 36);
  t.equal(verdictOf(swinging.most), 'not to be told here');
  t.equal(verdictOf({ ...swinging.most, caused: 5 }), 'not to be told here', 'a large one neither');
});

t.test('quantiles and the table', async (t) => {
  t.equal(quantile([3, 1, 2], 0.5), 2);
  t.equal(quantile([3, 1, 2], 1), 3);
  t.equal(quantile([5], 0.999), 5);
  t.ok(Number.isNaN(quantile([], 0.5)));
  const table = hardwareTable([slice(false, 0.5, 1), slice(true, 0.5, 1), slice(false, 0.5, 1), slice(true, 0.5, 1)]);
  t.match(table, /\| lateness of the main thread's clock, p99\.9, ms \| 1\.00 \| 1\.00 \| 0\.00 \| 0\.00 \| < 2 \| reached \|/);
});
