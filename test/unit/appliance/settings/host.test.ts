// Changes as they are made: on real files, with the other CoServer beside it, which is asked over a line.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { hashPassword, PasswordVerifier } from '../../../../appliance/console/api/password.ts';
import type { ChangeHow } from '../../../../appliance/console/settings-state.ts';
import type { State } from '../../../../appliance/core/machine.ts';
import { loadConfig, parseConfig } from '../../../../appliance/runtime/load-config.ts';
import { Settings, type SettingsParts } from '../../../../appliance/settings/index.ts';
import { noteSettings, readSettingsRecord } from '../../../../appliance/settings/record.ts';
import { KEEP_ADDRESS, OLD_ADDRESS } from '../../../../appliance/settings/trial.ts';
import { encodeSettings, parseSettingsMessage, type SettingsMessage } from '../../../../appliance/wire/partner-settings.ts';
import { configured, stateOf } from './some-config.ts';

// Slow machines: a busy one needs many times what an idle one does.
t.setTimeout(180_000);

const OLD = 'lamp-river-cheese';
const NEW = 'bottle-cloud-seven';
const oldHash = await hashPassword(OLD);
const root = mkdtempSync(join(tmpdir(), 'twinstep-settings-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));

const WEB: ChangeHow = { via: 'web', by: 'the web console, 192.0.2.9', isAccepted: false, session: 'mine' };
const SERIAL: ChangeHow = { via: 'serial', by: 'the serial console', isAccepted: false };

class Side {
  readonly told: string[] = [];
  readonly passwords: [string, string | undefined][] = [];
  readonly witnesses: unknown[] = [];
  readonly restarts: string[] = [];
  readonly read: unknown[] = [];
  busy = '';
  stepsDown = false;
  peer = '';
  bmcAnswers = true;
  state: State;
  other: Side | null = null;
  /** What this one says gets nowhere. */
  isMute = false;
  readonly file: string;
  readonly parts: SettingsParts;
  settings: Settings;

  constructor(t: { teardown(work: () => void): void }, me: 'A' | 'B', hash = oldHash, configFile?: string, watchdog = '') {
    const folder = mkdtempSync(join(root, me));
    const { config, file } = configured(folder, hash, me, watchdog);
    mkdirSync(config.stateDir, { recursive: true });
    this.file = configFile ?? file;
    this.state = { ...stateOf(me), partnerHeard: true, partner: {} as NonNullable<State['partner']> };
    this.parts = {
      config,
      configFile: this.file,
      problemOf: (text) => {
        try {
          parseConfig(text, file);
          return null;
        } catch (error) {
          return (error as Error).message;
        }
      },
      state: () => this.state,
      whyBusy: () => this.busy,
      levelAtStart: (level) => (this.stepsDown ? 2 : level),
      readBmc: async (access) => {
        this.read.push(access);
        if (!this.bmcAnswers) throw new Error('no answer within 5 s');
      },
      tell: (_severity, text) => this.told.push(text),
      changed: () => {},
      // As it goes over the line.
      say: (message) => {
        const said = parseSettingsMessage(JSON.parse(encodeSettings(message)));
        if (said && !this.isMute) void this.other?.settings.heard(said);
      },
      takePassword: (hash, session) => this.passwords.push([hash, session]),
      takeWitness: (place) => this.witnesses.push(place && { ...place }),
      takePeer: (address) => {
        this.peer = address;
      },
      restart: (why) => this.restarts.push(why),
      firstNumber: me === 'A' ? 0 : 1000,
    };
    this.settings = new Settings(this.parts);
    t.teardown(() => this.settings.stop());
  }

  get now() {
    return loadConfig(this.file);
  }

  /** The process is started again. */
  again(): void {
    this.settings.stop();
    this.settings = new Settings({ ...this.parts, config: this.now });
  }
}

function pair(t: { teardown(work: () => void): void }, watchdog = ''): [Side, Side] {
  const [a, b] = [new Side(t, 'A', oldHash, undefined, watchdog), new Side(t, 'B', oldHash, undefined, watchdog)];
  a.other = b;
  b.other = a;
  return [a, b];
}

const passwords = (old: string, password = NEW) => ({ old, new: password, again: password });

t.test('a password: the old one is asked for, both CoServers take it, no secret is told', async (t) => {
  const [a, b] = pair(t);
  t.match(await a.settings.change('password', passwords('wrong-wrong-wrong'), WEB), {
    accepted: false,
    reason: /present password is another/,
  });
  t.equal(a.now.console.passwordHash, oldHash);
  t.match(await a.settings.change('password', passwords(OLD), WEB), { accepted: true, detail: { text: /counts\. CoServer B has it too/ } });
  const hash = a.now.console.passwordHash;
  t.not(hash, oldHash);
  t.equal(await new PasswordVerifier(hash).check(NEW), 'right');
  t.equal(await new PasswordVerifier(hash).check(OLD), 'wrong');
  t.strictSame(a.passwords, [[hash, 'mine']]);
  t.equal(b.now.console.passwordHash, hash);
  t.strictSame(b.passwords, [[hash, undefined]], 'nobody there stays signed in');
  t.match(a.told, [/password was changed, asked at the web console, 192\.0\.2\.9/]);
  t.match(b.told, [/password was changed on CoServer A/]);
  t.notMatch(JSON.stringify([a.told, b.told]), /argon2|lamp|bottle/);
  t.strictSame([a.restarts, b.restarts], [[], []], 'no process is started again for that');
  t.match(
    await a.settings.change('password', passwords(OLD, 'another-good-one'), WEB),
    { reason: /present password is another/ },
    'the new one counts',
  );
  t.match(await b.settings.change('password', passwords(NEW, 'another-good-one'), WEB), { accepted: true });
  t.equal(a.now.console.passwordHash, b.now.console.passwordHash);
});

t.test('a password: guessing is slowed down', async (t) => {
  const [a] = pair(t);
  let reason = '';
  for (let i = 0; i < 8 && !/Too many/.test(reason); i++) {
    const answer = await a.settings.change('password', passwords(`wrong-wrong-${i}`), SERIAL);
    if (!answer.accepted) reason = answer.reason;
  }
  t.match(reason, /Too many attempts: try again in \d+ s/);
  t.match(await a.settings.change('password', passwords(OLD), WEB), { accepted: false, reason: /Too many/ }, 'at every console');
});

t.test('a password: one that is not heard, has its own, or is busy, and the word says so', async (t) => {
  const [a] = pair(t);
  a.state = { ...a.state, partnerHeard: false };
  t.match(await a.settings.change('password', passwords(OLD), WEB), {
    detail: { text: /On this CoServer only \(B: it is not heard\): do the same/ },
  });
  const c = new Side(t, 'A');
  const own = new Side(t, 'B', await hashPassword('another-good-one'));
  c.other = own;
  own.other = c;
  t.match(await c.settings.change('password', passwords(OLD), WEB), { detail: { text: /it has a password of its own/ } });
  t.equal(await new PasswordVerifier(own.now.console.passwordHash).check('another-good-one'), 'right');
  const [d, e] = pair(t);
  e.busy = 'An update of the pair goes on.';
  t.match(await d.settings.change('password', passwords(OLD), WEB), { detail: { text: /an update of the pair goes on/ } });
  t.equal(e.now.console.passwordHash, oldHash);
});

t.test('nothing while something else goes on, or where it would be gone with the next start', async (t) => {
  const [a] = pair(t);
  a.busy = 'An update of the pair goes on: wait until it is done.';
  for (const { name, whyNot } of a.settings.picture().groups) {
    t.equal(whyNot, a.busy);
    t.strictSame(await a.settings.change(name, {}, WEB), { accepted: false, reason: a.busy });
  }
  const given = new Side(t, 'A', oldHash, '/run/twinstep/config.yaml');
  t.match(given.settings.picture().groups[0]?.whyNot, /given by this virtual machine's host/);
  t.match(await a.settings.change('nothing', {}, WEB), { accepted: false, reason: /no setting 'nothing'/ });
});

const BMC = { address: '192.0.2.13', username: 'root', password: 'new-bmc', cipherSuite: '3' };

t.test('a BMC: asked first, written, and taken by a start of the process', async (t) => {
  const [a] = pair(t);
  a.bmcAnswers = false;
  t.strictSame(await a.settings.change('fence', BMC, WEB), {
    accepted: false,
    reason: 'The BMC at 192.0.2.13 does not answer so: no answer within 5 s.',
    canForce: true,
  });
  t.equal(a.now.fence.address, '192.0.2.12');
  a.bmcAnswers = true;
  a.state = { ...a.state, phase: { ...a.state.phase, kind: 'running' } };
  t.match(await a.settings.change('fence', BMC, WEB), { accepted: false, reason: /The guest runs here alone/, canForce: true });
  const { promise: answered, resolve } = Promise.withResolvers<void>();
  t.match(await a.settings.change('fence', BMC, { ...WEB, isAccepted: true, answered }), { accepted: true });
  t.match(a.now.fence, { address: '192.0.2.13', username: 'root', cipherSuite: 3 });
  t.equal(readFileSync(a.now.fence.passwordFile, 'utf8'), 'new-bmc\n');
  t.strictSame(a.restarts, [], 'whoever asked is answered first');
  resolve();
  await answered;
  await new Promise(setImmediate);
  t.strictSame(a.restarts, ["the partner's BMC was changed"]);
  t.notMatch(JSON.stringify(a.told), /new-bmc/);
  t.match(await a.settings.change('password', passwords(OLD), WEB), { reason: /starts again just now/ });
  const [c] = pair(t);
  t.match(await c.settings.change('fence', { ...BMC, address: '192.0.2.12', password: '' }, SERIAL), { accepted: true });
  t.match(c.read, [{ address: '192.0.2.12', username: 'root', password: 'old-bmc', cipherSuite: 3 }], 'with the password that there is');
});

const MOVE = { address: '198.51.100.7/25', gateway: '' };

t.test('a management address at the serial console: it stays, and the other CoServer is told', async (t) => {
  const [a, b] = pair(t);
  t.match(await a.settings.change('management', MOVE, SERIAL), {
    accepted: true,
    detail: { text: /console is at https:\/\/198\.51\.100\.7\/ / },
  });
  t.match(readSettingsRecord(a.parts.config.stateDir), { trial: null, former: '192.0.2.21/24', isPeerToTell: true });
  t.equal(b.now.management.peer, '192.0.2.21', 'told by the process that has it');
  await new Promise(setImmediate);
  t.equal(a.restarts.length, 1);
  a.again();
  t.strictSame(a.settings.actions(), []);
  // As every few seconds.
  noteSettings(a.parts.config.stateDir, { trial: { from: MOVE, to: MOVE, isBegun: true } });
  a.again();
  a.settings.action(KEEP_ADDRESS, 'the serial console');
  while (b.peer === '') await new Promise(setImmediate);
  t.equal(b.peer, '198.51.100.7');
  t.equal(b.now.management.peer, '198.51.100.7');
  t.equal(b.now.console.urls.A, 'https://198.51.100.7/');
  t.strictSame(b.restarts, []);
});

t.test('a management address at the web console: on trial, shown, nothing else changes meanwhile', async (t) => {
  const [a] = pair(t);
  t.match(await a.settings.change('management', MOVE, WEB), {
    accepted: true,
    detail: { text: /within two minutes.*192\.0\.2\.21\/24 comes back/ },
  });
  noteSettings(a.parts.config.stateDir, { trial: { from: { address: '192.0.2.21/24', gateway: '192.0.2.1' }, to: MOVE, isBegun: true } });
  a.again();
  t.strictSame(
    a.settings.actions().map((x) => x.name),
    [KEEP_ADDRESS, OLD_ADDRESS],
  );
  t.match(a.settings.attention(), [
    {
      kind: 'address',
      sentence: /198\.51\.100\.7\/25.*192\.0\.2\.21\/24 again/,
      ways: [{ action: KEEP_ADDRESS }, { action: OLD_ADDRESS }],
    },
  ]);
  t.match(await a.settings.change('password', passwords(OLD), WEB), { reason: /on trial: say first/ });
  t.equal(a.settings.action('move-workload', 'x'), null);
  t.match(a.settings.action(OLD_ADDRESS, 'the serial console'), { accepted: true });
  t.strictSame(a.now.management.address, '192.0.2.21');
  await new Promise(setImmediate);
  t.equal(a.restarts.length, 2);
  t.match(readSettingsRecord(a.parts.config.stateDir), { trial: null, former: '198.51.100.7/25', news: /asked at the serial console/ });
  t.match(a.settings.action(KEEP_ADDRESS, 'x'), { accepted: false });
});

const WITNESS = { address: '192.0.2.101', port: '7411' };

t.test('a witness: both at once, and neither while one of them is in use', async (t) => {
  const [a, b] = pair(t);
  const place = { address: '192.0.2.101', port: 7411 };
  t.match(await a.settings.change('witness', WITNESS, WEB), { accepted: true, detail: { text: /Both CoServers/ } });
  t.strictSame([a.now.witness, b.now.witness], [place, place]);
  t.strictSame(a.witnesses, [null, place], 'none in between');
  t.strictSame(b.witnesses, [place]);
  const [c, d] = pair(t);
  d.state = { ...d.state, witness: { ...d.state.witness, ok: true } };
  t.match(await c.settings.change('witness', WITNESS, WEB), {
    accepted: false,
    reason: /CoServer B does not take it: the present witness is in use/,
  });
  t.strictSame(c.witnesses, [null, { address: '192.0.2.100', port: 7410 }], 'back at the old one');
  t.strictSame([c.now.witness, d.now.witness], [c.parts.config.witness, d.parts.config.witness]);
  c.state = { ...c.state, partnerHeard: false };
  t.match(await c.settings.change('witness', WITNESS, WEB), { accepted: false, reason: /is not heard/ });
  // The answer was lost: asked for again it is so there already, whatever is in use there.
  const [e, f] = pair(t);
  f.parts.config.witness.address = place.address;
  f.parts.config.witness.port = place.port;
  f.state = { ...f.state, witness: { ...f.state.witness, ok: true } };
  t.match(await e.settings.change('witness', WITNESS, WEB), { accepted: true });
});

t.test('a witness: while it is not known which one the other CoServer has, this one is granted by none', async (t) => {
  const place = { address: '192.0.2.101', port: 7411 };
  const [a, b] = pair(t);
  // It has taken it; that it says so gets lost.
  b.isMute = true;
  t.match(await a.settings.change('witness', WITNESS, WEB), {
    accepted: true,
    detail: { text: /has not said whether.*no witness decides here before/ },
  });
  t.strictSame([a.now.witness.address, b.now.witness.address], ['192.0.2.100', place.address], 'that would be two');
  t.strictSame(a.witnesses, [null]);
  t.match(await a.settings.change('password', passwords(OLD), WEB), { accepted: false, reason: /has not said yet/ });
  a.witnesses.length = 0;
  a.again();
  await a.settings.settle();
  t.strictSame(a.witnesses, [null], 'nor after a loss of power');
  b.isMute = false;
  await a.settings.tellPartner();
  t.strictSame([a.now.witness, b.now.witness], [place, place]);
  t.strictSame(a.witnesses, [null, place]);
  t.equal(readSettingsRecord(a.parts.config.stateDir).witnessWish, null);
  a.again();
  await a.settings.settle();
  t.strictSame(a.witnesses, [null, place], 'from now on as configured');
  // It has not, and its old one decides again meanwhile.
  const [c, d] = pair(t);
  c.isMute = true;
  t.match(await c.settings.change('witness', WITNESS, WEB), { accepted: true });
  c.isMute = false;
  d.state = { ...d.state, witness: { ...d.state.witness, ok: true } };
  await c.settings.tellPartner();
  t.strictSame(c.witnesses, [null, { address: '192.0.2.100', port: 7410 }], 'back at the old one');
  t.match(c.told.at(-1), /not taken by CoServer B: the present witness is in use/);
});

const phased = (s: State, kind: State['phase']['kind']): State => ({ ...s, phase: { ...s.phase, kind } });
const partnerAt = (level: 2 | 3): State['partner'] => ({ level }) as NonNullable<State['partner']>;

t.test('the level: both write it, and start again in order, the one without the guest first', async (t) => {
  const [a, b] = pair(t, '/dev/watchdog');
  a.state = { ...phased(a.state, 'duplex'), partner: partnerAt(3) };
  b.state = { ...phased(b.state, 'secondary'), partner: partnerAt(3) };
  t.match(await a.settings.change('level', { level: '2' }, WEB), { accepted: false, reason: /one after the other/, canForce: true });
  t.match(await a.settings.change('level', { level: '2' }, { ...WEB, isAccepted: true }), { accepted: true });
  for (const side of [a, b]) t.match(side.now, { workload: { level: 2 }, watchdog: { timeoutS: 3 } });
  t.match(a.settings.picture().groups[4]?.now, /Level 2.*still runs at level 3/);
  const look = async (side: Side): Promise<number> => {
    side.settings.followLevel();
    await new Promise(setImmediate);
    return side.restarts.length;
  };
  t.equal(await look(a), 0, 'the guest runs here: the other one first');
  b.stepsDown = true;
  b.busy = 'An update of the pair goes on.';
  t.equal(await look(b), 0);
  b.busy = '';
  t.equal(await look(b), 1);
  t.equal(await look(b), 1, 'once');
  b.state = { ...b.state, level: 2 };
  b.again();
  t.equal(await look(b), 1, 'it runs at that level now');
  a.state = { ...phased(a.state, 'starting'), partner: partnerAt(2) };
  t.equal(await look(a), 0, 'not in the middle of something');
  a.state = phased(a.state, 'running');
  t.equal(await look(a), 1);
  // And an update that steps down from level 3 by itself is left alone.
  const [c] = pair(t);
  c.stepsDown = true;
  c.state = { ...phased(c.state, 'ready'), level: 2 };
  t.equal(await look(c), 0);
});

t.test('the level: refused without a watchdog here or there, without qualification, alone', async (t) => {
  const accepted = { ...WEB, isAccepted: true };
  const [a] = pair(t);
  t.match(await a.settings.change('level', { level: '2' }, accepted), { accepted: false, reason: /watchdog\.device: missing/ });
  const c = new Side(t, 'A', oldHash, undefined, '/dev/watchdog');
  const without = new Side(t, 'B');
  c.other = without;
  without.other = c;
  t.match(await c.settings.change('level', { level: '2' }, accepted), { accepted: false, reason: /CoServer B does not take it.*watchdog/ });
  t.equal(c.now.workload.level, 3);
  c.state = { ...c.state, partnerHeard: false };
  t.match(await c.settings.change('level', { level: '2' }, accepted), { accepted: false, reason: /both must run at the same level/ });
  const [d, e] = pair(t, '/dev/watchdog');
  await d.settings.change('level', { level: '2' }, accepted);
  t.equal(e.now.workload.level, 2);
  for (const side of [d, e])
    side.state = {
      ...side.state,
      level: 2,
      mustQualify: true,
      qualification: { verdict: 'refused', sentence: 'Other memory.' } as State['qualification'],
    };
  t.match(await d.settings.change('level', { level: '3' }, accepted), {
    accepted: false,
    reason: /do not qualify for lockstep: Other memory/,
  });
});

t.test('what the partner says is looked at', async (t) => {
  const [, b] = pair(t);
  const answers: SettingsMessage[] = [];
  b.parts.say = (m) => void answers.push(m);
  for (const message of [
    { kind: 'password', number: 1, from: oldHash, to: 'plain' },
    { kind: 'password', number: 2, from: oldHash, to: '' },
    { kind: 'address', number: 3, address: 'x' },
    { kind: 'witness', number: 4, place: { address: 'x', port: 1 } },
  ] as const)
    await b.settings.heard(message);
  for (const answer of answers) t.match(answer, { kind: 'answer', refusal: /./ });
  t.equal(answers.length, 4);
  t.strictSame(b.now, b.parts.config);
  for (const bad of [
    { settings: 1 },
    { settings: { schema: 2 } },
    { settings: { schema: 1, number: -1 } },
    { settings: { schema: 1, number: 1, kind: 'x' } },
  ])
    t.throws(() => parseSettingsMessage(bad), /settings/);
  t.equal(parseSettingsMessage({ facts: 1 }), null);
});
