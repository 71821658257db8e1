// An update as an operator does it: uploaded on the web console, tried at the next start, found healthy; then one that never becomes healthy and is left
// by itself; then power failures at random moments of an update.
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { stringify } from 'yaml';
import { encodeHead, encodeManifest } from '../../../appliance/update/format.ts';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { readPrivateKey } from '../../../image/sign/keys.ts';
import { manifestFor } from '../../../image/sign/pack.ts';
import { engineVersion } from '../../../image/sign/sign.ts';
import { coServerConfig, makeSecrets } from '../configuration.ts';
import { LabError } from '../lab-error.ts';
import { seededDice } from '../power-loss.ts';
import { freePort } from './free-port.ts';
import type { ApplianceMachine } from './machine.ts';
import type { Stage, StageOptions } from './stage.ts';
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

export function signingKey({ key }: StageOptions): KeyObject {
  if (key === undefined) throw new LabError('the key is missing', '--key FILE');
  return readPrivateKey(key, null);
}

/** As `npm run image:sign` makes it. `slot`: what is sent, and signed, in the place of the one that the program of the boot vouches for. */
export function updateOf(v: Version, key: KeyObject, slot = v.slot): Buffer {
  const { version, program, engine = engineVersion() } = v;
  const made = manifestFor({ version, engine, minimumFrom: '0.0.0', program, slot: v.slot });
  const sha256 = createHash('sha256').update(slot).digest('hex');
  const manifest = encodeManifest({ ...made, slot: { bytes: slot.length, sha256 } });
  return Buffer.concat([encodeHead(manifest, sign(null, manifest, key)), program, slot]);
}

export async function updateTale(stage: Stage): Promise<void> {
  const { built, tools, options } = stage;
  const key = signingKey(options);
  const where = stage.disk({ files: espFiles(tools, [built]), slots: { a: built.slot } });
  const { password, files } = await given();
  const port = await freePort();
  const network = { port, guestPort: WEB_PORT, mac: MAC };
  const boot: Boot = (tale, more = {}) =>
    stage.boot(where, { ...files, ...more }, (machine) => tale(machine, new WebConsole(port, password)), { network });
  const update = (version: string) => updateOf(otherVersion(built, version, tools), key);

  await installed(stage, boot, key, update('50.0.0'));
  await leftByItself(stage, boot, update('60.0.0'));
  if (options.kills > 0) await interrupted(stage, boot, update);
}

/** One start of the machine and its web console; the plug is pulled when the tale is over. */
type Boot = (tale: (machine: ApplianceMachine, web: WebConsole) => Promise<void>, more?: Record<string, string>) => Promise<void>;

/** What is no update of ours costs nothing; one that is runs at the next start, and is found healthy. */
async function installed({ built, tools, say }: Stage, boot: Boot, key: KeyObject, update: Buffer): Promise<void> {
  say(`version ${built.version} runs; an update to 50.0.0 of ${(update.length / (1 << 20)).toFixed(0)} MiB`);
  const otherKey = generateKeyPairSync('ed25519').privateKey;
  await boot(async (machine, web) => {
    await web.open(PATIENCE_S);
    say(`  ${at(machine)}  the web console lets the operator in`);
    await refused(web, Buffer.alloc(1 << 20, 'PK'), /no update of Twinstep/, say);
    await refused(web, updateOf(otherVersion(built, '50.0.0', tools), otherKey), /not signed by a key/, say);
    await refused(web, updateOf(built, key), /runs here already/, say);
    await refused(web, update.subarray(0, update.length - 5000), /upload was cut off/, say);
    must((await web.get('/api/update')).next === built.version, 'after all that the next start takes the running version');
    const began = performance.now();
    await taken(web, update);
    say(`  ${at(machine)}  installed, in ${((performance.now() - began) / 1000).toFixed(0)} s`);
    must((await web.post('/api/update/restart', {})).status === 200, 'it starts again');
    await machine.until(/version 50\.0\.0 is starting/, PATIENCE_S);
    say(`  ${at(machine)}  version 50.0.0 is starting`);
    await machine.until(/version 50\.0\.0 is starting[\s\S]*slot b \(\w+\) is whole/, PATIENCE_S);
    await web.open(PATIENCE_S);
    say(`  ${at(machine)}  its web console lets the operator in: ${JSON.stringify(await web.get('/api/update'))}`);
    await settled(web, '50.0.0');
    say(`  ${at(machine)}  found healthy: it is no longer on trial`);
  });
}

async function leftByItself({ say }: Stage, boot: Boot, bad: Buffer): Promise<void> {
  say('version 60.0.0 is installed; then its configuration is wrong, so that it never becomes healthy');
  await boot(async (machine, web) => {
    await web.open(PATIENCE_S);
    must((await web.get('/api/update')).version === '50.0.0', 'after a loss of power version 50.0.0 runs');
    await taken(web, bad);
    say(`  ${at(machine)}  installed`);
  });
  const trial = 'version 60\\.0\\.0 is starting[\\s\\S]*has not become healthy[\\s\\S]*';
  await boot(
    async (machine) => {
      for (const times of [1, 2, 3]) {
        await machine.until(new RegExp(trial.repeat(times)), PATIENCE_S);
        say(`  ${at(machine)}  trial ${times}: not healthy, it starts again`);
      }
      await machine.until(new RegExp(`${trial.repeat(3)}version 50\\.0\\.0 is starting`), PATIENCE_S);
      say(`  ${at(machine)}  the boot loader has taken version 50.0.0 by itself`);
    },
    { config: 'coServer: C\n', 'trial-seconds': `${TRIAL_S}\n` },
  );
  await boot(async (machine, web) => {
    await web.open(PATIENCE_S);
    const status = await web.get('/api/update');
    must(status.version === '50.0.0' && /3 times/.test(JSON.stringify(status.other)), `it says so: ${JSON.stringify(status)}`);
    say(`  ${at(machine)}  ${JSON.stringify(status.other)}`);
  });
}

async function interrupted({ options, say }: Stage, boot: Boot, updateTo: (version: string) => Buffer): Promise<void> {
  const { kills, seed } = options;
  const dice = seededDice(seed);
  let runs = '50.0.0';
  const starts = { old: 0, new: 0 };
  const begins = async (web: WebConsole, kill: number) => {
    await web.open(PATIENCE_S);
    const found = String((await web.get('/api/update')).version);
    must(found === runs || found === versionOf(kill - 1), `version ${found} starts, ${runs} ran`);
    if (kill > 1) starts[found === runs ? 'old' : 'new']++;
    runs = found;
  };
  for (let kill = 1; kill <= kills; kill++) {
    const data = updateTo(versionOf(kill));
    // The last tenth of the time is what comes after the last byte.
    const share = dice(1000) / 900;
    await boot(async (_, web) => {
      await begins(web, kill);
      await settled(web, runs);
      const off = Promise.withResolvers<void>();
      const upload = web.upload(data, { onPart: (done) => done >= share * data.length && off.resolve() }).catch(() => null);
      await Promise.race([off.promise, upload]);
      say(`  kill ${kill} (seed ${seed}), version ${runs} runs, at ${(share * 100).toFixed(0)} % of the update to ${versionOf(kill)}`);
    });
  }
  await boot(async (_, web) => begins(web, kills + 1));
  say(`updates interrupted by a loss of power: ${kills}; all started again, ${starts.old} the old version and ${starts.new} the new one`);
}

const versionOf = (kill: number) => `${60 + kill}.0.0`;

async function taken(web: WebConsole, update: Buffer): Promise<void> {
  const answer = await web.upload(update);
  must(answer.status === 200, `it is taken: ${JSON.stringify(answer.body)}`);
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
