// Loss of power at every step of the writing: the next start finds the files as they were or as they were to be, never some of both. And a management
// address on trial that nobody confirmed is given up by the second start.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../../../appliance/runtime/load-config.ts';
import { fenceFiles, managementFiles } from '../../../../appliance/settings/edits.ts';
import { managementOf, nicsFileOf } from '../../../../appliance/settings/nics.ts';
import { commitSettings, finishSettings, noteSettings, readSettingsRecord } from '../../../../appliance/settings/record.ts';
import { nicsBeside, settleSettings, sourcesOf } from '../../../../appliance/settings/start.ts';
import { HASH } from '../setup/two-dialogues.ts';
import { configured } from './some-config.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'twinstep-settings-'));
t.teardown(() => fs.rmSync(root, { recursive: true, force: true }));
let folders = 0;

/** What changes a disk. */
const STEPS = ['openSync', 'writeSync', 'fsyncSync', 'renameSync', 'rmSync', 'mkdirSync'] as const;

/** Does the work until that step, where the power fails: nothing after it happens any more. Answers whether there was such a step. */
function failingAt(step: number, work: () => void): boolean {
  const real = { ...fs };
  let done = 0;
  for (const name of STEPS)
    Object.assign(fs, {
      [name]: (...args: unknown[]) => {
        if (done++ >= step) throw new Error('no power');
        return (real[name] as (...a: unknown[]) => unknown)(...args);
      },
    });
  syncBuiltinESMExports();
  try {
    work();
  } catch (error) {
    if ((error as Error).message !== 'no power') throw error;
  } finally {
    for (const name of STEPS) Object.assign(fs, { [name]: real[name] });
    syncBuiltinESMExports();
  }
  return done > step;
}

const TO = { address: '198.51.100.7/25', gateway: '198.51.100.1' };
const BMC = { address: '192.0.2.13', username: 'root', password: 'new-bmc', cipherSuite: 3 as const };

t.test('a loss of power at each step of each change', async (t) => {
  for (const kind of ['management', 'fence'] as const) {
    const found = { before: 0, after: 0 };
    for (let step = 0; ; step++) {
      const folder = join(root, `${folders++}`);
      fs.mkdirSync(folder);
      const { config, file } = configured(folder, HASH);
      const sources = sourcesOf(config, file);
      const files = kind === 'management' ? managementFiles(sources, nicsBeside(file), TO) : fenceFiles(sources, BMC);
      const isCut = failingAt(step, () => commitSettings(config.stateDir, files, { former: '192.0.2.21/24' }));
      // And while the next start brings it to its end.
      for (let again = 0; again < 3; again++) failingAt(again, () => finishSettings(config.stateDir));
      const now = settleSettings(() => loadConfig(file), file);
      const isNew = kind === 'management' ? now.management.address === '198.51.100.7' : now.fence.address === '192.0.2.13';
      found[isNew ? 'after' : 'before']++;
      const nics = fs.readFileSync(nicsFileOf(file), 'utf8');
      const password = fs.readFileSync(config.fence.passwordFile, 'utf8');
      if (kind === 'management')
        t.strictSame(managementOf(nics, now), isNew ? TO : { address: '192.0.2.21/24', gateway: '192.0.2.1' }, `${kind}, step ${step}`);
      else t.equal(password, isNew ? 'new-bmc\n' : 'old-bmc\n', `${kind}, step ${step}`);
      for (const path of [file, config.fence.passwordFile, nicsFileOf(file)]) t.equal(fs.statSync(path).mode & 0o077, 0);
      t.equal(readSettingsRecord(config.stateDir).former, isNew ? '192.0.2.21/24' : '', 'the record goes with the files');
      t.strictSame(readSettingsRecord(config.stateDir).files, []);
      if (!isCut) {
        t.ok(isNew);
        break;
      }
    }
    t.ok(found.before > 3 && found.after > 3, `${kind}: ${JSON.stringify(found)}`);
  }
});

t.test('a trial: the first start begins it, the second one gives it up; kept, it stays', async (t) => {
  const folder = join(root, `${folders++}`);
  fs.mkdirSync(folder);
  const { config, file } = configured(folder, HASH);
  const from = { address: '192.0.2.21/24', gateway: '192.0.2.1' };
  const change = (): void => {
    const files = managementFiles(sourcesOf(loadConfig(file), file), nicsBeside(file), TO);
    commitSettings(config.stateDir, files, { trial: { from, to: TO, isBegun: false }, former: from.address });
  };
  const start = () => settleSettings(() => loadConfig(file), file).management.address;
  change();
  t.equal(start(), '198.51.100.7');
  t.match(readSettingsRecord(config.stateDir), { trial: { isBegun: true } });
  t.equal(start(), '192.0.2.21', 'nobody has confirmed it');
  t.match(readSettingsRecord(config.stateDir), { trial: null, former: TO.address, news: /198\.51\.100\.7\/25 was not kept/ });
  t.strictSame(managementOf(fs.readFileSync(nicsFileOf(file), 'utf8'), loadConfig(file)), from);
  t.strictSame(loadConfig(file), config, 'as it was');
  t.equal(start(), '192.0.2.21');
  change();
  t.equal(start(), '198.51.100.7');
  noteSettings(config.stateDir, { trial: null });
  t.equal(start(), '198.51.100.7', 'kept');
});

t.test("a record that cannot be read stands in nobody's way", async (t) => {
  const folder = join(root, `${folders++}`);
  fs.mkdirSync(folder);
  const { config, file } = configured(folder, HASH);
  fs.mkdirSync(config.stateDir, { recursive: true });
  for (const text of [
    '',
    '{',
    '{"files":[1],"former":""}',
    `{"files":[],"former":"","trial":{"from":1},"pad":"${'x'.repeat(70_000)}"}`,
    '{"files":[],"former":""}',
  ]) {
    fs.writeFileSync(join(config.stateDir, 'settings.json'), text);
    t.strictSame(
      settleSettings(() => loadConfig(file), file),
      config,
    );
    t.strictSame(readSettingsRecord(config.stateDir).trial, null);
  }
});
