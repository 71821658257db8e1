// A power failure at any step of the change-over leaves the pair as it was or as it will be; what was left of an attempt is cleared.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  clearStaged,
  commitReplacement,
  FORMER_MAX,
  finishReplacement,
  markReplaced,
  noteHeard,
  readRecord,
  replacedMark,
  stage,
  stagedOf,
} from '../../../../appliance/replacement/files.ts';

function folder(t: { teardown(work: () => void): void }): { stateDir: string; key: string; config: string } {
  const stateDir = mkdtempSync(join(tmpdir(), 'twinstep-replaced-'));
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }));
  const [key, config] = [join(stateDir, 'pair.key'), join(stateDir, 'config.yaml')];
  writeFileSync(key, 'old key', { mode: 0o600 });
  writeFileSync(config, 'old config');
  return { stateDir, key, config };
}

const former = (at: number) => ({ coServer: 'B' as const, at, noticeKey: 'ab'.repeat(32) });

t.test('before: what was staged counts for nothing, and is cleared', async (t) => {
  const { stateDir, key, config } = folder(t);
  stage(key, 'new key');
  stage(config, 'new config');
  t.equal(finishReplacement(stateDir), false);
  t.equal(readFileSync(key, 'utf8'), 'old key');
  clearStaged([key, config]);
  t.notOk(existsSync(stagedOf(key)) || existsSync(stagedOf(config)));
  t.strictSame(readRecord(stateDir), { former: [], files: [], isHeard: true });
});

t.test('afterwards: whatever was done by then, the next start does the rest', async (t) => {
  for (const done of [0, 1, 2]) {
    const { stateDir, key, config } = folder(t);
    stage(key, 'new key');
    stage(config, 'new config');
    // As a power failure leaves it: the record is there, and `done` of the files are in their places.
    writeFileSync(
      join(stateDir, 'replacement.json'),
      JSON.stringify({ schema: 1, former: [former(1)], files: [config, key], isHeard: false }),
    );
    for (const path of [config, key].slice(0, done)) {
      writeFileSync(path, readFileSync(stagedOf(path)));
      rmSync(stagedOf(path));
    }
    t.equal(finishReplacement(stateDir), true, 'the configuration is to be read anew');
    t.strictSame([readFileSync(key, 'utf8'), readFileSync(config, 'utf8')], ['new key', 'new config'], `${done} done`);
    t.equal(finishReplacement(stateDir), false, 'once');
    // A later attempt that was given up does not count.
    stage(key, 'newer key');
    t.equal(finishReplacement(stateDir), false);
    t.equal(readFileSync(key, 'utf8'), 'new key');
  }
});

t.test('all at once; the former ones are kept to be told, the oldest are forgotten', async (t) => {
  const { stateDir, key } = folder(t);
  for (let i = 1; i <= FORMER_MAX + 2; i++) {
    stage(key, `key ${i}`);
    commitReplacement(stateDir, former(i), [key]);
    t.equal(readFileSync(key, 'utf8'), `key ${i}`);
    t.equal(statSync(key).mode & 0o077, 0);
    t.equal(readRecord(stateDir).isHeard, false);
  }
  t.strictSame(
    readRecord(stateDir).former.map((f) => f.at),
    [6, 5, 4, 3],
  );
  noteHeard(stateDir);
  t.match(readRecord(stateDir), { isHeard: true, files: [] });
  t.equal(statSync(join(stateDir, 'replacement.json')).mode & 0o077, 0);
});

t.test('a record that is damaged is said', async (t) => {
  const { stateDir } = folder(t);
  for (const text of ['', '{', '{"former":[{}],"files":[]}', '{"former":[],"files":[1]}']) {
    writeFileSync(join(stateDir, 'replacement.json'), text);
    t.throws(() => readRecord(stateDir), /replacement\.json, of a server that was replaced, cannot be used/);
  }
});

t.test('a server that was replaced stays so', async (t) => {
  const { stateDir } = folder(t);
  t.equal(replacedMark(stateDir), null);
  markReplaced(stateDir, 'this server was CoServer B');
  t.equal(replacedMark(stateDir), 'this server was CoServer B');
});
