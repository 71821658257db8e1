import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verify } from '@node-rs/argon2';
import t from 'tap';
import { loadConfig, loadPairKey } from '../../../../appliance/runtime/load-config.ts';
import { makeSecrets, writeConfiguration } from '../../../../hwqual/lab/configuration.ts';
import { labRejoin } from '../../../../hwqual/lab/prepare.ts';
import { coServerPaths, labSettings } from '../../../../hwqual/lab/settings.ts';

t.test('what the lab writes is what the product reads', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'configuration-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const settings = labSettings({ instance: '5', root });
  const secrets = await makeSecrets();
  writeConfiguration(settings, secrets, {
    acceleration: 'tcg',
    append: 'console=ttyS0',
    mode: 'passive',
    idleMs: 1000,
    diskMiB: 128,
    rejoin: labRejoin('4,30,45'),
    watchdogS: 30,
  });
  const [a, b] = (['A', 'B'] as const).map((name) => {
    const { etc } = coServerPaths(settings, name);
    t.equal(statSync(join(etc, 'config.yaml')).mode & 0o777, 0o600);
    t.equal(loadPairKey(join(etc, 'pair.key')).toString('hex'), secrets.pairKey);
    return loadConfig(join(etc, 'config.yaml'));
  });
  t.same(
    a?.links.map((l) => [l.address, l.peer]),
    b?.links.map((l) => [l.peer, l.address]),
    'each link leads to the partner',
  );
  t.same(a?.workload, b?.workload, 'both run the same workload');
  t.equal(a?.pair.id, b?.pair.id);
  t.same(a?.rejoin, { losses: 4, windowMinutes: 30, quarantineMinutes: 45, compatibleVersions: [] });
  t.ok(await verify(a?.console.passwordHash ?? '', secrets.password));
  t.notOk(readFileSync(join(coServerPaths(settings, 'A').etc, 'config.yaml'), 'utf8').includes(secrets.password), 'only its hash is kept');
});

t.test('secrets differ from lab to lab', async (t) => {
  const [one, other] = [await makeSecrets(), await makeSecrets()];
  t.not(one.pairKey, other.pairKey);
  t.not(one.password, other.password);
  t.equal(one.password.length, 16);
});

t.test('a lab does not quarantine a campaign unless it is asked to', async (t) => {
  t.equal(labRejoin(undefined).losses, 1000);
  for (const text of ['3', '0,60,120', '3,60,', '3;60;120', '1001,1,1']) t.throws(() => labRejoin(text), /TWINSTEP_REJOIN is/);
});
