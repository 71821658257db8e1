// An update as an operator does it: uploaded on the web console, tried at the next start, found healthy; then one that never becomes healthy and is left
// by itself; then power failures at random moments of an update.
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer } from 'node:net';
import { stringify } from 'yaml';
import { encodeHead, encodeManifest } from '../../../appliance/update/format.ts';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { readPrivateKey } from '../../../image/sign/keys.ts';
import { manifestFor } from '../../../image/sign/pack.ts';
import { engineVersion } from '../../../image/sign/sign.ts';
import { coServerConfig, makeSecrets } from '../configuration.ts';
import { LabError } from '../lab-error.ts';
import { seededDice } from '../power-loss.ts';
import type { ApplianceMachine } from './machine.ts';
import type { Stage } from './stage.ts';
import { otherVersion, type Version } from './versions.ts';
import { WebConsole } from './web-console.ts';

const PATIENCE_S = 1800;
const MAC = '52:54:00:75:00:01';
const ADDRESS = '10.0.2.15';
const WEB_PORT = 8443;
/** On trial without health for so long, a version is left: short, since here it is known to have none. */
const TRIAL_S = 40;

/** What the machine is given: a configuration with which it starts up to its consoles, and waits for a partner to pair with. */
async function given() {
  const secrets = await makeSecrets();
  const workload = {
    acceleration: 'tcg' as const,
    append: '',
    mode: 'lockstep' as const,
    idleMs: 1000,
    diskMiB: 64,
    rejoin: { losses: 3, windowMinutes: 60, quarantineMinutes: 120 },
    watchdogS: 10,
  };
  const base = coServerConfig('A', secrets, workload, { A: 0, B: 0 });
  const config = {
    ...base,
    pair: { ...base.pair, keyFile: '/var/lib/twinstep/state/pair.key' },
    management: { nic: 'mgmt0', address: ADDRESS, peer: '' },
    fence: { ...base.fence, address: '', username: '', passwordFile: '' },
    watchdog: { ...base.watchdog, device: '' },
    console: { ...base.console, port: WEB_PORT, socket: '/run/twinstep/console.sock', serial: '/dev/ttyS0', urls: { A: '', B: '' } },
    stateDir: '/var/lib/twinstep/state',
    runDir: '/run/twinstep',
    labSocket: '',
  };
  return { password: secrets.password, files: { config: stringify(config), nics: `mgmt0 ${MAC} ${ADDRESS}/24\n` } };
}

function updateOf(v: Version, key: KeyObject): Buffer {
  const manifest = encodeManifest(
    manifestFor({ version: v.version, engine: engineVersion(), minimumFrom: '0.0.0', program: v.program, slot: v.slot }),
  );
  return Buffer.concat([encodeHead(manifest, sign(null, manifest, key)), v.program, v.slot]);
}

export async function updateTale(stage: Stage): Promise<void> {
  const { built, tools, say, options } = stage;
  if (options.key === undefined) throw new LabError('the key is missing', '--key FILE');
  const key = readPrivateKey(options.key, null);
  const where = stage.disk({ files: espFiles(tools, [built]), slots: { a: built.slot } });
  const { password, files } = await given();
  const port = await freePort();
  const network = { port, guestPort: WEB_PORT, mac: MAC };
  const next = otherVersion(built, '50.0.0', tools);
  const update = updateOf(next, key);

  say(`version ${built.version} runs; an update to ${next.version} of ${(update.length / (1 << 20)).toFixed(0)} MiB`);
  await stage.boot(
    where,
    files,
    async (machine) => {
      const web = new WebConsole(port, password);
      await web.open(PATIENCE_S);
      say(`  ${at(machine)}  the web console lets the operator in`);
      await refused(web, Buffer.alloc(1 << 20, 'PK'), /no update of Twinstep/, say);
      await refused(web, updateOf(next, generateKeyPairSync('ed25519').privateKey), /not signed by a key/, say);
      await refused(web, updateOf(built, key), /runs here already/, say);
      await refused(web, update.subarray(0, update.length - 5000), /upload was cut off/, say);
      must((await web.get('/api/update')).next === built.version, 'after all that the next start takes the running version');
      const began = performance.now();
      const answer = await web.upload(update);
      must(answer.status === 200, `it is taken: ${JSON.stringify(answer.body)}`);
      say(`  ${at(machine)}  installed, in ${((performance.now() - began) / 1000).toFixed(0)} s`);
      must((await web.post('/api/update/restart', {})).status === 200, 'it starts again');
      await machine.until(/version 50\.0\.0 is starting/, PATIENCE_S);
      say(`  ${at(machine)}  version 50.0.0 is starting`);
      await machine.until(/version 50\.0\.0 is starting[\s\S]*slot b \(\w+\) is whole/, PATIENCE_S);
      const again = new WebConsole(port, password);
      await again.open(PATIENCE_S);
      say(`  ${at(machine)}  its web console lets the operator in: ${JSON.stringify(await again.get('/api/update'))}`);
      await settled(again, '50.0.0');
      say(`  ${at(machine)}  found healthy: it is no longer on trial`);
    },
    { network },
  );

  const bad = otherVersion(built, '60.0.0', tools);
  say('version 60.0.0 is installed; then its configuration is wrong, so that it never becomes healthy');
  await stage.boot(
    where,
    files,
    async (machine) => {
      const web = new WebConsole(port, password);
      await web.open(PATIENCE_S);
      must((await web.get('/api/update')).version === '50.0.0', 'after a loss of power version 50.0.0 runs');
      const answer = await web.upload(updateOf(bad, key));
      must(answer.status === 200, `it is taken: ${JSON.stringify(answer.body)}`);
      say(`  ${at(machine)}  installed`);
    },
    { network },
  );
  await stage.boot(
    where,
    { ...files, config: 'coServer: C\n', 'trial-seconds': `${TRIAL_S}\n` },
    async (machine) => {
      const trial = 'version 60\\.0\\.0 is starting[\\s\\S]*has not become healthy[\\s\\S]*';
      for (const times of [1, 2, 3]) {
        await machine.until(new RegExp(trial.repeat(times)), PATIENCE_S);
        say(`  ${at(machine)}  trial ${times}: not healthy, it starts again`);
      }
      await machine.until(new RegExp(`${trial.repeat(3)}version 50\\.0\\.0 is starting`), PATIENCE_S);
      say(`  ${at(machine)}  the boot loader has taken version 50.0.0 by itself`);
    },
    { network },
  );
  await stage.boot(
    where,
    files,
    async (machine) => {
      const web = new WebConsole(port, password);
      await web.open(PATIENCE_S);
      const status = await web.get('/api/update');
      must(status.version === '50.0.0' && /3 times/.test(JSON.stringify(status.other)), `it says so: ${JSON.stringify(status)}`);
      say(`  ${at(machine)}  ${JSON.stringify(status.other)}`);
    },
    { network },
  );

  const dice = seededDice(options.seed);
  let runs = '50.0.0';
  const survived: Record<string, number> = {};
  for (let kill = 1; kill <= options.kills; kill++) {
    const version = `${60 + kill}.0.0`;
    const data = updateOf(otherVersion(built, version, tools), key);
    // The last tenth of the time is what comes after the last byte.
    const share = dice(1000) / 900;
    await stage.boot(
      where,
      files,
      async () => {
        const web = new WebConsole(port, password);
        await web.open(PATIENCE_S);
        const found = String((await web.get('/api/update')).version);
        must(found === runs || found === `${59 + kill}.0.0`, `version ${found} starts, ${runs} ran`);
        survived[found === runs ? 'the old version starts' : 'the new version starts'] =
          (survived[found === runs ? 'the old version starts' : 'the new version starts'] ?? 0) + 1;
        runs = found;
        await settled(web, runs);
        const off = Promise.withResolvers<void>();
        const upload = web.upload(data, { onPart: (done) => done >= share * data.length && off.resolve() }).catch(() => null);
        await Promise.race([off.promise, upload]);
        say(`  kill ${kill} (seed ${options.seed}), version ${found} runs, at ${(share * 100).toFixed(0)} % of the update to ${version}`);
      },
      { network },
    );
  }
  if (options.kills === 0) return;
  await stage.boot(
    where,
    files,
    async () => {
      const web = new WebConsole(port, password);
      await web.open(PATIENCE_S);
      say(`updates interrupted by a loss of power: ${options.kills}; survived: all; ${JSON.stringify(survived)}`);
    },
    { network },
  );
}

/** A version on trial is marked as good after a while without a partner. */
async function settled(web: WebConsole, version: string): Promise<void> {
  for (;;) {
    const status = await web.get('/api/update');
    must(status.version === version, `version ${version} runs`);
    if (status.trial === null) return;
    await new Promise((resolve) => setTimeout(resolve, 5_000));
  }
}

async function refused(web: WebConsole, update: Buffer, why: RegExp, say: (line: string) => void): Promise<void> {
  const { status, body } = await web.upload(update);
  must(status === 409 && why.test(String(body.reason)), `refused by ${why}: ${status} ${JSON.stringify(body)}`);
  say(`           refused: ${String(body.reason)}`);
}

function must(is: boolean, what: string): void {
  if (!is) throw new LabError(`not so: ${what}`);
}

const at = (machine: ApplianceMachine) => `${machine.seconds().toFixed(1)} s`;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new LabError('no port is free');
  return address.port;
}
