// A file is as it was or as it is to be, whatever step was the last one before the power failed.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { moveInto, putWhole, putWholeSync, writeAsideSync } from '../../../../drivers/files/index.ts';

const root = mkdtempSync(join(tmpdir(), 'twinstep-files-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));

for (const [name, put] of Object.entries({ putWhole, putWholeSync: async (path: string, text: string) => putWholeSync(path, text) }))
  t.test(`${name}: whole, for its owner only, and nothing beside it`, async (t) => {
    const folder = join(root, name);
    const path = join(folder, 'deep', 'file');
    await put(path, 'first');
    t.equal(readFileSync(path, 'utf8'), 'first');
    t.equal(statSync(join(folder, 'deep')).mode & 0o777, 0o700);
    // Of an attempt that was cut short, and that everybody may read.
    writeFileSync(`${path}.new`, 'half of a lon');
    chmodSync(`${path}.new`, 0o644);
    chmodSync(path, 0o644);
    const long = 'é'.repeat(300_000);
    await put(path, long);
    t.equal(readFileSync(path, 'utf8'), long);
    t.equal(statSync(path).mode & 0o777, 0o600);
    t.strictSame(readdirSync(join(folder, 'deep')), ['file']);
  });

t.test('what is only aside does not count; what cannot be written changes nothing', async (t) => {
  const path = join(root, 'file');
  putWholeSync(path, 'old');
  writeAsideSync(`${path}.next`, 'new');
  t.equal(readFileSync(path, 'utf8'), 'old');
  moveInto(`${path}.next`, path);
  t.equal(readFileSync(path, 'utf8'), 'new');
  t.notOk(existsSync(`${path}.next`));
  mkdirSync(join(root, 'folder'));
  t.throws(() => putWholeSync(join(root, 'folder'), 'text'), /folder/);
  await t.rejects(putWhole(join(root, 'folder'), 'text'), /folder/);
  t.ok(statSync(join(root, 'folder')).isDirectory());
});
