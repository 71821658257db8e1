// The campaign for two real servers (`machine-faults --real`), started as a person starts it, with a scripted person at its screen: BMCs are
// ipmi_sim behind a cable that can be pulled, serial lines are ptys, and what is read there is told by the product (stand-in-server.ts). All
// of the campaign's own code is the real one's: real.yaml, RMCP+, the web consoles, the serial console, the questions and their times.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { MachineFaultsReport } from '../../hwqual/campaigns/machine-faults-report.ts';
import { makeSecrets } from '../../hwqual/lab/configuration.ts';
import { type FaultWorld, RECIPES } from '../../hwqual/lab/machines/faults.ts';
import { openRealLab } from '../../hwqual/lab/real-lab.ts';
import { BMC_USER, StandInServer } from './stand-in-server.ts';

// Nothing is over before it was calm for a minute, and the way to a BMC is tried once a minute.
t.setTimeout(600_000);

const directory = mkdtempSync(join(tmpdir(), 'real-campaign-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const ports = { A: { bmc: 17_651, cable: 17_652, web: 17_653 }, B: { bmc: 17_654, cable: 17_655, web: 17_656 } };
const secrets = await makeSecrets();
const servers: Record<CoServerName, StandInServer> = {
  A: await StandInServer.start('A', join(directory, 'A'), ports, secrets),
  B: await StandInServer.start('B', join(directory, 'B'), ports, secrets),
};
t.teardown(() => Promise.all([servers.A.close(), servers.B.close()]));

const realYaml = join(directory, 'real.yaml');
writeFileSync(join(directory, 'bmc.password'), `${BMC_USER.password}\n`, { mode: 0o600 });
writeFileSync(join(directory, 'console.password'), `${secrets.password}\n`, { mode: 0o600 });
const server = (name: CoServerName) => ({
  bmc: { address: '127.0.0.1', port: ports[name].cable, username: BMC_USER.username, passwordFile: 'bmc.password', cipherSuite: 3 },
  serial: { device: servers[name].line.operatorEnd },
  console: { address: '127.0.0.1', port: ports[name].web, passwordFile: 'console.password' },
});
writeFileSync(
  realYaml,
  stringify({
    servers: { A: server('A'), B: server('B') },
    faults: {
      fanFailed: { inject: 'Server {server}: pull the plug of fan 1.', clear: 'Server {server}: plug fan 1 in again.' },
      bmcUnplugged: {
        inject: "Server {server}: pull the BMC's network cable.",
        clear: "Server {server}: plug the BMC's network cable in.",
      },
      powerSupplyFailed: { inject: 'Server {server}: take power supply 1 out.', clear: 'Server {server}: put it back.' },
    },
  }),
);

const hands = ({ bmc, name }: StandInServer): FaultWorld => ({
  name,
  bmc,
  get monitor(): never {
    throw new Error('there is no machine');
  },
  setCable: async () => undefined,
  setBmcCable: async () => undefined,
});

/** The console's screen on the serial line, until it shows this. */
async function screenShows(name: CoServerName, wanted: RegExp): Promise<string> {
  const lab = openRealLab(realYaml, () => undefined);
  const leave = servers[name].line.attach();
  try {
    const line = await lab.console(name);
    // Ctrl-L: the whole screen, as somebody asks for who has just plugged in the cable.
    line.once('opened', () => line.write('\x0c'));
    let screen = '';
    for await (const chunk of line) {
      screen = (screen + String(chunk)).slice(-100_000);
      if (wanted.test(screen)) return screen;
    }
    return screen;
  } finally {
    leave();
    await lab.close();
  }
}

/** What a person does who is asked on the screen. */
const ACTS: [RegExp, () => Promise<unknown>][] = [
  [/Server A: pull the plug of fan 1\./, () => RECIPES.fanFailed.inject(hands(servers.A))],
  [/Server A: plug fan 1 in again\./, () => RECIPES.fanFailed.clear?.(hands(servers.A)) ?? Promise.resolve()],
  [/Server B: pull the BMC's network cable\./, async () => servers.B.cable.plug(false)],
  [/Server B: plug the BMC's network cable in\./, async () => servers.B.cable.plug(true)],
];

/** Answers each question of the campaign; what it was asked. */
function personAt(campaign: ChildProcess): { asked: string[]; said: () => string } {
  const asked: string[] = [];
  let said = '';
  let read = 0;
  campaign.stdout?.on('data', (chunk: Buffer) => {
    said += chunk;
    for (const question of said.slice(read).matchAll(/ {2}>>> (.*)\n {2}Press Enter.*\n/g)) {
      read = said.indexOf(question[0], read) + question[0].length;
      const words = question[1] ?? '';
      asked.push(words);
      const act = ACTS.find(([sentence]) => sentence.test(words))?.[1];
      if (act) void act().then(() => campaign.stdin?.write('\n'));
      else campaign.stdin?.write('no, that part is not here\n');
    }
  });
  campaign.stderr?.on('data', (chunk: Buffer) => {
    said += chunk;
  });
  return { asked, said: () => said };
}

t.test('power by RMCP+: off verified, on again; the serial line shows the console', async (t) => {
  const lab = openRealLab(realYaml, () => undefined);
  t.teardown(() => lab.close());
  await lab.power('B').off();
  t.equal(servers.B.power, 'off');
  t.equal(servers.A.power, 'on', 'the other one stays');
  await lab.power('B').on();
  t.equal(servers.B.power, 'on');
  t.match(await screenShows('A', /CoServer A/), /CoServer A/);
});

t.test('the campaign: a fan and a cable are pulled, told, plugged in again, over; what cannot be done is said', async (t) => {
  const file = join(directory, 'report.json');
  const script = join(import.meta.dirname, '../../hwqual/campaigns/machine-faults.ts');
  const only = 'fanFailed:A,bmcUnplugged:B,powerSupplyFailed:B';
  const campaign = spawn(process.execPath, ['--no-warnings', script, '--real', realYaml, '--only', only, '--report', file], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  t.teardown(() => campaign.kill('SIGKILL'));
  const { asked, said } = personAt(campaign);
  const fan = screenShows('A', /FAN1/);
  const code = await new Promise((resolve) => campaign.once('exit', resolve));
  if (code !== 1) t.comment(said());
  t.equal(code, 1, 'one thing could not be done');
  t.same(asked, [
    'Server A: pull the plug of fan 1.',
    'Server A: plug fan 1 in again.',
    'Server B: take power supply 1 out.',
    "Server B: pull the BMC's network cable.",
    "Server B: plug the BMC's network cable in.",
  ]);
  t.match(await fan, /FAN1/, 'the serial console told it, too');
  const report = JSON.parse(readFileSync(file, 'utf8')) as MachineFaultsReport;
  t.equal(report.world, 'real');
  t.same(report.falseAlarms, []);
  const outcome = (fault: string) => report.outcomes.find((o) => o.fault === fault);
  t.match(outcome('fanFailed'), {
    server: 'A',
    how: 'Server A: pull the plug of fan 1.',
    expected: 'fanFailed, row 16',
    row: '16',
    found: /^A fan has failed \(FAN1/,
    problems: [],
  });
  t.ok(Number(outcome('fanFailed')?.detectedS) >= 0, 'timed from the moment the person said so');
  t.ok(Number(outcome('fanFailed')?.overS) > 0);
  t.match(outcome('bmcUnplugged'), {
    server: 'B',
    expected: 'the fence path is lost',
    found: 'the way to its BMC is not proven',
    problems: [],
  });
  t.match(outcome('powerSupplyFailed')?.problems, [/not done: Server B: take power supply 1 out\. \(that part is not here\)/]);
  t.match(readFileSync(file.replace(/json$/, 'html'), 'utf8'), /FAN1/);
});
