// Which version wrote the state last: by starts, by health, and after going back.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { noteStateVersion, readStateVersion, STATE_VERSION_FILE, stateVersionFile } from '../../../../appliance/update/state-version.ts';
import { bundle, folderFor, Machine, stream, version } from './machine.ts';

t.test('the newest that began, until an older one was found healthy with that state', async (t) => {
  const path = join(folderFor(t), 'state/version');
  t.equal(readStateVersion(path), null);
  const after = (name: string, isHealthy: boolean) => {
    noteStateVersion(path, name, isHealthy);
    return readStateVersion(path);
  };
  t.equal(after('1.9.0', false), '1.9.0');
  t.equal(after('1.10.0', false), '1.10.0', 'on trial: it writes already');
  t.equal(after('1.9.0', false), '1.10.0', 'gone back to: what the newer one wrote is still there');
  t.equal(after('1.9.0', true), '1.9.0', 'and it works with that');
  t.equal(after('nonsense', true), '1.9.0');
  writeFileSync(path, '\u0000\u0000');
  t.equal(readStateVersion(path), null);
  t.equal(after('1.0.0', false), '1.0.0');
  noteStateVersion('/dev/null/version', '1.0.0', true);
});

t.test('a store notes it, where the installer looks', async (t) => {
  const m = Machine.make([version('1.0.0')], folderFor(t));
  const path = stateVersionFile(m.place.recordFile);
  t.ok(stateVersionFile('/var/lib/twinstep/state/update.json').endsWith(STATE_VERSION_FILE));
  m.store().noteStart();
  t.equal(readStateVersion(path), '1.0.0');
  await m.store().receive(stream(bundle(version('1.1.0'))));
  await m.store().activate();
  await m.start();
  m.store().noteStart();
  t.equal(readStateVersion(path), '1.1.0');
  await m.store().rollback();
  await m.start();
  m.store().noteStart();
  t.equal(readStateVersion(path), '1.1.0');
  await m.store().markHealthy();
  t.equal(readStateVersion(path), '1.0.0');
});
