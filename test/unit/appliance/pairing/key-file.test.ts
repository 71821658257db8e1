// The key on disk: each step whole, durable, and repeatable.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  establishPending,
  keepingProblem,
  keepPending,
  loadPending,
  parseKeyFile,
  pendingFileOf,
} from '../../../../appliance/pairing/key-file.ts';
import { loadPairKey } from '../../../../appliance/runtime/load-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'twinstep-key-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const KEY = 'ab'.repeat(32);
const OTHER_KEY = 'cd'.repeat(32);
const PAIR_ID = '0f'.repeat(16);

t.test('pending, then the key; again after a kill changes nothing', async (t) => {
  const file = join(folder, 'new', 'etc', 'pair.key');
  t.equal(keepingProblem(file), '');
  t.equal(loadPending(file, PAIR_ID), null);
  // A kill while it was written: the unfinished file is in nobody's way.
  writeFileSync(`${pendingFileOf(file)}.new`, 'ab');
  keepPending(file, OTHER_KEY, PAIR_ID);
  keepPending(file, KEY, PAIR_ID);
  t.notOk(existsSync(file));
  t.equal(loadPending(file, PAIR_ID), KEY);
  t.equal(loadPending(file, '1f'.repeat(16)), null, 'of another pair');
  t.throws(() => establishPending(file, OTHER_KEY), /does not hold the key that was agreed/);
  establishPending(file, KEY);
  establishPending(file, KEY);
  t.notOk(existsSync(pendingFileOf(file)));
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(loadPairKey(file, PAIR_ID).toString('hex'), KEY);
  t.throws(
    () => loadPairKey(file, '1f'.repeat(16)),
    /holds the key of the pair 0f0f.*, the configuration names the pair 1f1f.*twinstep pair --again/,
  );
  rmSync(file);
  t.throws(() => establishPending(file, KEY), /is gone: somebody removed it/);
});

t.test('files made by hand, files that are none', async (t) => {
  t.same(parseKeyFile(`${KEY}\n`), { pairKey: KEY, pairId: null });
  for (const text of ['', KEY.slice(1), `${KEY}\npair 12\n`, `${KEY}\n${KEY}\n`, `${KEY.toUpperCase()}\n`])
    t.equal(parseKeyFile(text), null, text);
  const file = join(folder, 'pair.key');
  writeFileSync(file, `${KEY}\n`, { mode: 0o600 });
  t.equal(loadPairKey(file, PAIR_ID).toString('hex'), KEY, 'it does not say for which pair');
  writeFileSync(pendingFileOf(file), `${KEY}\npair ${PAIR_ID}\n`, { mode: 0o644 });
  t.equal(loadPending(file, PAIR_ID), null, 'others could have read it');
});

t.test('a folder that cannot be written is named before anybody compares codes', async (t) => {
  mkdirSync(join(folder, 'file'), { recursive: true });
  writeFileSync(join(folder, 'file', 'x'), '');
  t.match(
    keepingProblem(join(folder, 'file', 'x', 'pair.key')),
    /cannot be kept in .*file\/x \(.*\): let pair\.keyFile name a file in a folder that can be written/,
  );
  t.match(keepingProblem('/proc/pair.key'), /cannot be kept in \/proc/);
  t.equal(readFileSync(join(folder, 'file', 'x'), 'utf8'), '');
});
