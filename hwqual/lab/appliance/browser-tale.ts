// The first start of two appliances in a browser: each gets an address by DHCP on a fifth port; address, code and fingerprint are read off the serial
// line, everything else is done in two windows. Then the console of the pair in a third.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { LabError } from '../lab-error.ts';
import { openBrowser } from './browser.ts';
import { consoleOf, PATIENCE_S } from './first-start.ts';
import { FirstStartPage } from './first-start-page.ts';
import { bootTwo } from './first-start-tales.ts';
import { freePort } from './free-port.ts';
import type { ApplianceMachine } from './machine.ts';
import type { Stage, Tale } from './stage.ts';
import { WebConsole } from './web-console.ts';
import { WebPage } from './web-page.ts';

/** What DHCP gives, and what is then kept. */
const ADDRESS = { A: '10.0.2.15', B: '10.0.2.16' } as const;
const WITNESS = '10.0.2.100';
const names = ['A', 'B'] as const;

export const browserTale: Tale = async (stage) => {
  stage.say('two servers, and a browser for both');
  const ports = { A: await freePort(), B: await freePort() };
  const network = (name: CoServerName) => ({
    port: ports[name],
    guestPort: 443,
    mac: `52:54:00:76:0${name.toLowerCase()}:05`,
    address: ADDRESS[name],
  });
  await bootTwo(
    stage,
    () => ({}),
    (machines) => inBrowser(stage, machines, ports),
    (name) => ({ network: network(name) }),
  );
};

type Machines = Readonly<Record<CoServerName, ApplianceMachine>>;
type WebPorts = Readonly<Record<CoServerName, number>>;

async function inBrowser(stage: Stage, machines: Machines, ports: WebPorts): Promise<void> {
  const password = randomBytes(12).toString('hex');
  mkdirSync(stage.options.report, { recursive: true });
  const context = await openBrowser(join(stage.work, 'browser'));
  try {
    const [a, b] = [await FirstStartPage.signIn(context, machines.A, ports.A), await FirstStartPage.signIn(context, machines.B, ports.B)];
    const pages = { A: a, B: b };
    const told = (name: CoServerName, what: string): void => stage.say(`  ${name} ${machines[name].seconds().toFixed(1)} s  ${what}`);
    let pictures = 0;
    const picture = (what: string): Promise<void> => a.picture(join(stage.options.report, `first-start-${++pictures}-${what}.png`));
    for (const name of names) told(name, 'signed in by the code of the serial line, certificate compared');
    await picture('server');
    for (const name of names) await plug(name, pages[name], name === 'A' ? picture : undefined);
    for (const name of names) await cablesAreRight(pages[name], name === 'A' ? picture : undefined);
    for (const name of names) told(name, 'ports chosen, both links are right');
    const codes = await Promise.all(names.map(async (name) => /\d{3} \d{3}/.exec(await pages[name].says(/^\d{3} \d{3}$/))?.[0]));
    if (codes[0] === undefined || codes[0] !== codes[1]) throw new LabError(`the two pages show the codes ${codes.join(' and ')}`);
    await picture('pairing');
    for (const name of names) {
      await pages[name].choose('yes, the same');
      await pages[name].press('Go on');
    }
    for (const name of names) {
      await pages[name].says(/Fingerprint of the key/);
      told(name, 'paired');
      await pages[name].goOn('Are the two alike?');
      await pages[name].says(/qualif|lockstep|compared/);
      told(name, 'compared');
    }
    await picture('qualification');
    for (const name of names) {
      await answer(name, pages[name], password, name === 'A' ? picture : undefined);
      told(name, 'all is answered');
    }
    for (const name of names) await pages[name].at('Done');
    await picture('done');
  } finally {
    await context.close();
  }
  for (const name of names) {
    const seconds = await machines[name].untilScreen(consoleOf(name), PATIENCE_S);
    stage.say(`  ${name} ${seconds.toFixed(1)} s  the console of the pair`);
    const page = await WebPage.signIn(join(stage.work, `pair-${name}`), `https://127.0.0.1:${ports[name]}/`, password);
    await page.picture(join(stage.options.report, `first-start-pair-${name}.png`));
    await page.close();
    stage.say(`  ${name} ${machines[name].seconds().toFixed(1)} s  its web console, at the address that was chosen`);
  }
  await passwordOfBoth(stage, machines, ports, password);
}

/** Changed on one, it counts on the other, too. */
async function passwordOfBoth(stage: Stage, machines: Machines, ports: WebPorts, old: string): Promise<void> {
  const password = randomBytes(12).toString('hex');
  const a = new WebConsole(ports.A, old);
  await a.open(PATIENCE_S);
  const { status, body } = await a.post('/api/settings/password', { values: { old, new: password, again: password } });
  if (status !== 200) throw new LabError(`the new password was refused: ${JSON.stringify(body)}`);
  await new WebConsole(ports.B, password).open(PATIENCE_S);
  const answer = await new WebConsole(ports.B, old).post('/api/login', { password: old });
  if (answer.status !== 401) throw new LabError(`the old password counts on B: ${answer.status}`);
  stage.say(`  B ${machines.B.seconds().toFixed(1)} s  a new password, told to A, lets in on B; the old one does not`);
}

type Picture = ((what: string) => Promise<void>) | undefined;

async function plug(name: CoServerName, page: FirstStartPage, picture: Picture): Promise<void> {
  await page.choose(`CoServer ${name}`);
  await page.goOn('Network ports');
  const uses = ['link 1', 'link 2', 'guest network', 'not used', 'management'];
  for (const [i, use] of uses.entries()) await page.use(i + 1, use);
  await picture?.('ports');
  await page.goOn('Cables');
}

/** They are right once both have said what their ports are for. */
async function cablesAreRight(page: FirstStartPage, picture: Picture): Promise<void> {
  for (const link of [1, 2]) await page.says(new RegExp(`Link ${link}: port ${link} here is connected to port ${link} there`));
  await picture?.('cables');
  await page.goOn('Pairing');
}

/** What the first server was told is there on the second one. */
async function answer(name: CoServerName, page: FirstStartPage, password: string, picture: Picture): Promise<void> {
  await page.goOn('Network of the operators');
  await page.fill({ 'Address of this server': `${ADDRESS[name]}/24` });
  await page.goOn('Witness and power switch');
  if (name === 'A') await page.fill({ 'Address of the witness': WITNESS });
  await page.goOn('Password');
  if (name === 'A') await page.fill({ Password: password, 'The same again': password });
  await page.goOn('Clock');
  await page.goOn('The guest and its disk');
  await page.says(/room for/);
  if (name === 'A') await page.fill({ 'Memory, MiB': '64', 'Disk, MiB': '64' });
  await picture?.('guest');
  await page.goOn('Summary');
  await picture?.('summary');
  await page.press('Write and start');
}
