// A state partition without room, at the start of the appliance: what may go, what may not, and what is said. The shell is the appliance's.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { engineRootPath } from '../../../../image/engine/engine-root.ts';

const SCRIPT = join(import.meta.dirname, '../../../../image/disk/overlay/usr/lib/twinstep/room.sh');

/** @param free KiB, before and after something was removed. */
function start(t: Test, free: readonly [number, number]) {
  const state = mkdtempSync(join(tmpdir(), 'twinstep-room-'));
  t.teardown(() => rmSync(state, { recursive: true, force: true }));
  for (const folder of ['compiled/1.0.0', 'log', 'state', 'disks']) mkdirSync(join(state, folder), { recursive: true });
  const files = [
    'compiled/1.0.0/a',
    'log/twinstep.log',
    'log/twinstep.log.1',
    'log/init.log',
    'config.yaml',
    'state/pair.key',
    'disks/guest',
  ];
  for (const file of files) writeFileSync(join(state, file), 'x');
  const words = `tell() { echo "$*"; }
    df() { printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\\n'; if [ -e $state/compiled ]; then kib=${free[0]}; else kib=${free[1]}; fi; printf '/dev/x 100 1 %s 99%% /x\\n' $kib; }
    state=$1; log=$1/log; found=nvme0n1p4; . "$2"; make_room`;
  const said = execFileSync(join(engineRootPath(), 'usr/bin/busybox'), ['sh', '-c', words, 'sh', state, SCRIPT], { encoding: 'utf8' });
  return { said, left: files.filter((file) => existsSync(join(state, file))) };
}

t.test('room enough: nothing is touched', async (t) => {
  const { said, left } = start(t, [16_384, 0]);
  t.equal(said, '');
  t.equal(left.length, 7);
});

t.test('what can be made again goes, and nothing else', async (t) => {
  const { said, left } = start(t, [16_383, 20_000]);
  t.equal(said, '');
  t.strictSame(left, ['log/twinstep.log', 'log/init.log', 'config.yaml', 'state/pair.key', 'disks/guest']);
});

t.test('that is not enough: the partition is named, and the remedy', async (t) => {
  const { said, left } = start(t, [0, 120]);
  t.match(
    said,
    /the state partition \(\/dev\/nvme0n1p4\) is full: 120 KiB are left\..*Remove restore points.*install this server anew \(erase\)/,
  );
  t.ok(left.includes('disks/guest'));
});

t.test('a log that has grown long goes on in its place, under the process that has it open', async (t) => {
  const log = mkdtempSync(join(tmpdir(), 'twinstep-log-'));
  t.teardown(() => rmSync(log, { recursive: true, force: true }));
  const keep = (words = '') =>
    execFileSync(join(engineRootPath(), 'usr/bin/busybox'), [
      'sh',
      '-c',
      `log=$1; . "$2"; max_log_kib=64; ${words} keep_log_short`,
      'sh',
      log,
      SCRIPT,
    ]);
  const file = join(log, 'twinstep.log');
  keep();
  t.notOk(existsSync(file), 'there is none yet');
  const product = openSync(file, 'a');
  t.teardown(() => closeSync(product));
  writeSync(product, 'a'.repeat(60 * 1024));
  keep();
  t.notOk(existsSync(`${file}.1`), 'short enough');
  writeSync(product, 'b'.repeat(60 * 1024));
  keep();
  t.equal(readFileSync(`${file}.1`).length, 120 * 1024);
  writeSync(product, 'goes on');
  t.equal(readFileSync(file, 'utf8'), 'goes on');
  appendFileSync(file, 'c'.repeat(80 * 1024));
  keep('cp() { echo half >"$2"; return 1; };');
  t.notOk(existsSync(`${file}.1`), 'no room for two: the older one goes');
  t.equal(readFileSync(file, 'utf8'), '');
});
