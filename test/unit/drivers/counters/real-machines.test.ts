// /proc/diskstats of real machines (testdata): lines of 11, 15 and 17 numbers.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeDiskstats } from '../../../../drivers/counters/codec.ts';

const lines = readFileSync(join(import.meta.dirname, '../../../../drivers/counters/testdata/diskstats.txt'), 'utf8');
const disks = decodeDiskstats(lines);
const disk = (name: string) => disks.find((d) => d.disk === `/dev/${name}`);

t.equal(disks.length, lines.trim().split('\n').length, 'every line');
t.same(
  new Set(
    lines
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).length - 3),
  ),
  new Set([11, 15, 17]),
  'of all ages',
);
t.same(disk('sda'), {
  disk: '/dev/sda',
  reads: 25_354_637,
  readMs: 18_492_372,
  writes: 28_444_756,
  writeMs: 63_877_960,
  inFlight: 0,
  busyMs: 9_653_880,
  discards: 0,
  flushes: 0,
  flushMs: 0,
});
t.match(disk('nvme0n1'), { reads: 47_114, readMs: 21_650, writes: 1_078_320, writeMs: 1_011_053 });
t.match(disk('dm-0'), { writeMs: 1_158_557_800 }, 'nearly what 32 bits hold');
t.match(disk('sdc'), { reads: 126_552, flushes: 1555, flushMs: 1944 });
