// A log that cannot be written costs lines, and nothing else.
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { keeper } from '../../../../appliance/runtime/log.ts';

const LOG = new URL('../../../../appliance/runtime/log.ts', import.meta.url).href;
/** Says two lines, and lives on for as long as an event takes that would end it. */
const PROGRAM = `import('${LOG}').then(({ log }) => { log('info', 'one'); log('info', 'two'); setTimeout(() => process.stderr.write('alive'), 50); })`;
const ARGUMENTS = ['--no-warnings', '--input-type=module', '-e', PROGRAM];

t.test('a full partition does not end the process', async (t) => {
  const full = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(full));
  const { status, stderr } = spawnSync(process.execPath, ARGUMENTS, { stdio: ['ignore', full, 'pipe'], encoding: 'utf8' });
  t.equal(stderr, 'alive');
  t.equal(status, 0);
});

t.test('to a file and to a pipe', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-log-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = openSync(join(folder, 'log'), 'a');
  spawnSync(process.execPath, ARGUMENTS, { stdio: ['ignore', file, 'ignore'] });
  closeSync(file);
  for (const said of [
    readFileSync(join(folder, 'log'), 'utf8'),
    execFileSync(process.execPath, ARGUMENTS, { encoding: 'utf8', stdio: 'pipe' }),
  ])
    t.match(said, /^\S+Z +[\d.]+ info: one\n\S+Z +[\d.]+ info: two\n$/);
});

t.test('what was lost is said when there is room again', async (t) => {
  const written: string[] = [];
  let isFull = false;
  const keep = keeper((line) => {
    if (isFull) throw new Error('ENOSPC: no space left on device, write');
    written.push(line);
  });
  keep('a\n');
  isFull = true;
  for (const line of ['b\n', 'c\n']) keep(line);
  isFull = false;
  for (const line of ['d\n', 'e\n']) keep(line);
  t.equal(written.length, 4);
  t.match(written[1], / warning: 2 lines of this log are lost: ENOSPC/);
  t.strictSame([written[0], ...written.slice(2)], ['a\n', 'd\n', 'e\n']);
});
