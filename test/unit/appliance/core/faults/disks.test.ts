// Disks as the kernel sees them: how long they take (captured /proc/diskstats), and which requests they did not serve.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CALM_MS } from '../../../../../appliance/core/faults/catalogue.ts';
import { DISK_ERRORS_WINDOW_MS, diagnoseDiskErrors, FRESH_DISK_ERRORS } from '../../../../../appliance/core/faults/disk-errors.ts';
import { diagnoseDiskLatency, FRESH_DISK_LATENCY, LATE_MS, SLOW_READINGS } from '../../../../../appliance/core/faults/disk-latency.ts';
import { FRESH_LEDGER, judge } from '../../../../../appliance/core/faults/ledger.ts';
import type { DiskErrorReading, DiskLatencyReading } from '../../../../../appliance/core/faults/types.ts';
import { decodeDiskstats } from '../../../../../drivers/counters/index.ts';

const EVERY_MS = 5_000;

/** What happens between two readings: requests that end, ms of each, those that still wait. */
interface Window {
  ended?: number;
  eachMs?: number;
  /** The disk worked on many at once, or on one after the other (left out). */
  busyMs?: number;
  waiting?: number;
  discards?: number;
  lateMs?: number;
}
const GOOD: Window = { ended: 40, eachMs: 2 };
const times = (count: number, window: Window): Window[] => Array.from({ length: count }, () => window);

/** What is found at the end of each window. */
function watched(...windows: Window[]): string[] {
  let memory = FRESH_DISK_LATENCY;
  const disk: DiskLatencyReading = {
    disk: 'sda',
    reads: 0,
    readMs: 0,
    writes: 0,
    writeMs: 0,
    flushes: 0,
    flushMs: 0,
    busyMs: 0,
    discards: 0,
    inFlight: 0,
  };
  return [{}, ...windows]
    .map(({ ended = 0, eachMs = 0, busyMs = ended * eachMs, waiting = 0, discards = 0, lateMs = 0 }: Window, i) => {
      disk.reads += ended;
      disk.readMs += ended * eachMs;
      disk.busyMs += busyMs;
      disk.discards += discards;
      disk.inFlight = waiting;
      const d = diagnoseDiskLatency(memory, { disks: [{ ...disk }], lateMs }, i * EVERY_MS);
      memory = d.memory;
      return d.findings.map((f) => `${f.code} ${f.where}: ${f.detail}`).join();
    })
    .slice(1);
}

t.test('far slower than usual, and slow at that, half a minute long', async (t) => {
  const usual = times(20, GOOD);
  const last = (...w: Window[]) => watched(...w).at(-1);
  t.equal(last(...usual, ...times(10, { ended: 10, eachMs: 150 })), '', 'below what anybody calls slow');
  t.equal(last(...usual, ...times(SLOW_READINGS - 1, { ended: 10, eachMs: 400 })), '', 'not long enough');
  t.equal(last(...usual, ...times(SLOW_READINGS, { ended: 10, eachMs: 400 })), 'diskSlow sda: 400 ms a request, usually 2.0 ms');
  t.equal(last(...usual, ...times(30, { ended: 2, eachMs: 400 })), '', 'two requests say little');
  t.equal(last(...usual, ...times(30, { ended: 400, eachMs: 3_000, busyMs: 5_000 })), '', 'a full queue: each waits, and many end');
  t.equal(last(...usual, ...times(30, { ended: 64, eachMs: 600, busyMs: 1_200 })), '', 'a burst of writes every few seconds');
  t.equal(last(...usual, ...times(30, { ended: 6, eachMs: 20, busyMs: 5_000 })), '', 'busy with what is not timed');
});

t.test('a disk that was never fast is slow all the same, and is not got used to', async (t) => {
  const told = watched(...times(20, { ended: 10, eachMs: 90 }), ...times(60, { ended: 9, eachMs: 1_500 }));
  t.equal(told[20 + SLOW_READINGS - 1], 'diskSlow sda: 1500 ms a request');
  t.ok(told.slice(20 + SLOW_READINGS).every((x) => x !== ''));
  t.equal(
    watched(...times(SLOW_READINGS, { ended: 1, eachMs: 4_000 })).at(-1),
    'diskSlow sda: 4000 ms a request',
    'one request in a reading',
  );
  const rare = watched(...times(SLOW_READINGS, { ended: 1, eachMs: 4_000 }).flatMap((w) => [w, {}, {}]));
  t.equal(rare.at(-1), 'diskSlow sda: 4000 ms a request', 'silence between them counts for nothing');
  const both = watched(...times(SLOW_READINGS, { ended: 1, eachMs: 4_000 }).flatMap((w) => [w, GOOD]));
  t.ok(
    both.every((x) => x === ''),
    'good ones between them count',
  );
});

t.test('requests that wait while none ends', async (t) => {
  t.equal(watched(...times(SLOW_READINGS + 1, { waiting: 3 })).at(-1), 'diskSlow sda: 3 requests wait, and none ended in 5 s');
  t.equal(watched(...times(30, { waiting: 3, discards: 1 })).at(-1), '', 'it discards, which takes long and is not timed');
  t.equal(watched(...times(30, { waiting: 3, ended: 200, eachMs: 20 })).at(-1), '');
  const after = watched(...times(SLOW_READINGS + 1, { waiting: 3 }), {}, {}, GOOD);
  t.strictSame(
    after.slice(-3).map((x) => x !== ''),
    [true, true, false],
    'an idle disk has not become a good one',
  );
});

t.test('a server that did not run for seconds finds every request late: that is no fault of its disks', async (t) => {
  const starved = { ended: 10, eachMs: 8_000, lateMs: 8_000 };
  t.ok(watched(...times(20, GOOD), ...times(60, starved)).every((x) => x === ''));
  t.ok(watched(...times(30, { waiting: 2, lateMs: 8_000 })).every((x) => x === ''));
  // Reading and late requests come in any order after it has slept.
  const uneven = times(40, { lateMs: 15_000 }).flatMap((w) => [w, { ended: 5, eachMs: 15_000 }]);
  t.ok(watched(...uneven).every((x) => x === ''));
  const mixed = times(SLOW_READINGS, { ended: 10, eachMs: 1_500 }).flatMap((w) => [starved, {}, w]);
  t.equal(watched(...times(30, { ended: 10, eachMs: 400, lateMs: LATE_MS })).at(-1), '', 'late by less, and not by its own fault');
  const worse = times(SLOW_READINGS, { ended: 2, eachMs: 4_000, lateMs: 1_500 });
  t.equal(watched(...worse).at(-1), 'diskSlow sda: 4000 ms a request', 'later than the watch itself');
  t.equal(watched(...mixed).at(-1), 'diskSlow sda: 1500 ms a request', 'it is told from the readings that were in time');
});

t.test('a disk that comes back counts from nothing', async (t) => {
  const at = (reads: number, readMs: number) => ({
    disks: [{ disk: 'sda', reads, readMs, writes: 0, writeMs: 0, flushes: 0, flushMs: 0, busyMs: 0, discards: 0, inFlight: 0 }],
    lateMs: 0,
  });
  let memory = FRESH_DISK_LATENCY;
  for (let i = 0; i < 40; i++) {
    const d = diagnoseDiskLatency(memory, at(i % 2 === 0 ? 1_000 - i : 1_100 - i, 500_000 - i * 10_000), i * EVERY_MS);
    memory = d.memory;
    t.strictSame(d.findings, []);
  }
});

t.test('what a machine of the lab counted while its disk was held at two requests a second', async (t) => {
  const folder = join(import.meta.dirname, '../../../../../drivers/counters/testdata/qemu-q35');
  const told = readFileSync(join(folder, 'sata-slow.txt'), 'utf8').split('---\n');
  let memory = FRESH_DISK_LATENCY;
  const seen = told.map((text, i) => {
    const d = diagnoseDiskLatency(
      memory,
      { disks: decodeDiskstats(text).filter((x) => /sda$|nvme0n1$/.test(x.disk)), lateMs: 0 },
      i * EVERY_MS,
    );
    memory = d.memory;
    return d.findings.map((f) => `${f.code} ${f.where}`).join();
  });
  const from = seen.indexOf('diskSlow /dev/sda');
  t.ok(from > 0, 'told');
  t.equal(seen.at(-1), '', 'and over');
  t.ok(
    seen.every((x) => x === '' || x === 'diskSlow /dev/sda'),
    'of no other disk',
  );
});

const error = (operation: DiskErrorReading['operation'], over: Partial<DiskErrorReading> = {}): DiskErrorReading => ({
  disk: '/dev/sda',
  operation,
  isEcho: false,
  text: 'I/O error, dev sda',
  ...over,
});

/** What is found after these errors, `everyMs` apart. */
function logged(errors: readonly DiskErrorReading[][], everyMs = 1_000): string[] {
  let memory = FRESH_DISK_ERRORS;
  let found: string[] = [];
  errors.forEach((list, i) => {
    const d = diagnoseDiskErrors(memory, { errors: list, fileSystems: [] }, i * everyMs);
    memory = d.memory;
    found = d.findings.map((f) => `${f.code} ${f.where}: ${f.detail}`);
  });
  return found;
}

t.test('errors of a disk: five reads or two writes within five minutes', async (t) => {
  t.strictSame(logged([[error('read')], [error('read')], [error('read'), error('read')]]), [], 'one bad sector');
  t.strictSame(logged(Array.from({ length: 5 }, () => [error('read')])), [
    'diskReadErrors /dev/sda: 5 in the last five minutes: I/O error, dev sda',
  ]);
  t.strictSame(
    logged(
      Array.from({ length: 50 }, () => [error('read')]),
      DISK_ERRORS_WINDOW_MS / 4,
    ),
    [],
    'now and then',
  );
  t.strictSame(logged([[error('write')]]), []);
  t.strictSame(logged([[error('write')], [error('write', { disk: '/dev/sdb' })], [error('read')]]), [], 'each disk by itself');
  t.match(logged([[error('write'), error('write')]]), [/^diskWriteErrors \/dev\/sda: 2/]);
  const echo = error('write', { isEcho: true, text: 'Buffer I/O error' });
  t.strictSame(logged([[error('write'), echo]]), [], 'said twice, it happened once');
  t.match(logged([[echo, echo]]), [/^diskWriteErrors .*Buffer I\/O error/], 'the first line may be left out');
});

t.test('it is told until five minutes have been without any, and then it is over by itself', async (t) => {
  let ledger = FRESH_LEDGER;
  const told: string[] = [];
  const at = (s: number, errors: DiskErrorReading[], fileSystems: { device: string; text: string }[] = []) => {
    const judged = judge(ledger, { source: 'diskErrors', errors, fileSystems }, s * 1000);
    ledger = judged.ledger;
    told.push(...judged.raised.map((f) => `${s} ${f.code}`), ...judged.cleared.map((f) => `${s} ${f.code} over`));
  };
  for (let s = 0; s < 10; s++) at(s, [error('read')]);
  for (let s = 10; s < 1_000; s++) at(s, s === 200 ? [error('read')] : []);
  const end = 200 + (DISK_ERRORS_WINDOW_MS + CALM_MS) / 1000;
  t.strictSame(told, ['4 diskReadErrors', `${end - 1} diskReadErrors over`]);
  told.length = 0;
  at(2_000, [], [{ device: '/dev/nvme0n1p2', text: 'Remounting filesystem read-only' }]);
  at(5_500, []);
  t.strictSame(told, ['2000 fileSystemErrors'], 'that is there until somebody repairs it');
  at(5_700, []);
  t.strictSame(told.slice(1), ['5700 fileSystemErrors over']);
});

t.test('names that come from a log do not fill the memory', async (t) => {
  let memory = FRESH_DISK_ERRORS;
  for (let i = 0; i < 5_000; i++)
    memory = diagnoseDiskErrors(
      memory,
      { errors: [error('read', { disk: `/dev/sd${i}` })], fileSystems: [{ device: `/dev/dm-${i}`, text: 'x' }] },
      i,
    ).memory;
  t.ok(memory.errors.size <= 64 && memory.fileSystems.size <= 64);
});
