// The first start of two appliances: by answer files, and by somebody at both serial lines.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { LabError } from '../lab-error.ts';
import type { ApplianceMachine, Port } from './machine.ts';

/** Emulation on a busy machine: nothing is concluded from time. */
export const PATIENCE_S = 900;
export const FIRST_PAGE = /First start: which server is this/;

const seconds = (s: number) => `${s.toFixed(1)} s`;
const addressOf = (name: CoServerName) => `192.0.2.2${name === 'A' ? 1 : 2}/24`;
const WITNESS = '192.0.2.100';

export function answersFor(name: CoServerName, secret: string): string {
  return [
    `coServer: ${name}`,
    `pairing: { secret: ${secret} }`,
    `management: { address: ${addressOf(name)} }`,
    `witness: { address: ${WITNESS} }`,
    `password: ${randomBytes(12).toString('hex')}`,
    'guest: { memoryMiB: 64, diskMiB: 64 }',
    '',
  ].join('\n');
}

/** Four cables, straight. */
export function portsOf(name: CoServerName, own: string, other: string): Port[] {
  return [1, 2, 3, 4].map((n) => ({
    mac: `52:54:00:76:${name === 'A' ? '0a' : '0b'}:0${n}`,
    own: join(own, `port${n}`),
    other: join(other, `port${n}`),
  }));
}

/** Looks on while it answers itself. */
export async function unattended(name: CoServerName, machine: ApplianceMachine, say: (line: string) => void): Promise<void> {
  for (const [pattern, meaning] of [
    [FIRST_PAGE, "the setup's first screen"],
    [/make a key that only they have/, 'ports and cables are answered: the pairing'],
    [/The answers are written/, 'paired, compared, written on both'],
    [consoleOf(name), 'the console of the pair'],
  ] as const)
    say(`  ${name} ${seconds(await machine.untilScreen(pattern, PATIENCE_S))}  ${meaning}`);
}

export const consoleOf = (name: CoServerName): RegExp => new RegExp(`TWINSTEP CoServer ${name} `);

/** Somebody at both serial lines. Throws when a screen does not come. */
export async function byHand(machines: Machines, say: (line: string) => void): Promise<void> {
  const at = answering(machines);
  for (const name of names) say(`  ${name} ${seconds(await machines[name].untilScreen(FIRST_PAGE, PATIENCE_S))}  the first screen`);
  for (const name of names) {
    machines[name].type(`${name.toLowerCase()}\r`);
    await at(name, /network ports.*< link 1 >.*< link 2 >.*< guest network >.*< management >/, '\r\r\r\r');
  }
  await fromCablesOn(machines, say);
}

type Machines = Readonly<Record<CoServerName, ApplianceMachine>>;
const names = ['A', 'B'] as const;

const answering =
  (machines: Machines) =>
  async (name: CoServerName, pattern: RegExp, text: string): Promise<void> => {
    await machines[name].untilScreen(pattern, PATIENCE_S);
    machines[name].type(text);
  };

/** Both show their cables, which are right. `atGuest`: before the guest's page is answered. Without a comparison nobody waits for it. */
export async function fromCablesOn(
  machines: Machines,
  say: (line: string) => void,
  { isCompared = true, atGuest = async () => undefined }: { isCompared?: boolean; atGuest?: (name: CoServerName) => Promise<void> } = {},
): Promise<void> {
  const password = randomBytes(12).toString('hex');
  const at = answering(machines);
  for (const name of names) await at(name, /\[ok\] Link 1.*\[ok\] Link 2/, '\r');
  const codes: string[] = [];
  for (const name of names) {
    const screen = /shows the code (\d{6})/;
    await machines[name].untilScreen(screen, PATIENCE_S);
    codes.push(screen.exec(machines[name].screen().join(' '))?.[1] ?? '');
  }
  if (codes[0] === '' || codes[0] !== codes[1]) throw new LabError(`the two show the codes ${codes.join(' and ')}`);
  for (const name of names) machines[name].type('y\r');
  for (const name of names) {
    say(`  ${name} ${seconds(await machines[name].untilScreen(/Fingerprint of the key/, PATIENCE_S))}  paired`);
    machines[name].type('\r');
  }
  for (const name of names) {
    const page = isCompared ? /are the two alike.*(qualif|lockstep|compared)/ : /are the two alike/;
    say(`  ${name} ${seconds(await machines[name].untilScreen(page, PATIENCE_S))}  ${isCompared ? 'compared' : 'not compared yet'}`);
    machines[name].type('\r');
    await at(name, /network of the operators/, `${addressOf(name)}\r\r`);
    if (name === 'A') {
      await at(name, /witness and power switch/, `${WITNESS}\r\r\r`);
      await at(name, /First start: password/, `${password}\r${password}\r`);
    } else {
      // What the first server was told is there already.
      await at(name, new RegExp(WITNESS.replaceAll('.', '\\.')), '\r\r\r');
      await at(name, /As on the other server < yes >/, '\r');
    }
    await at(name, /First start: clock/, '\r');
    await machines[name].untilScreen(/the guest and its disk.*room for/, PATIENCE_S);
    await atGuest(name);
    await at(name, /the guest and its disk.*room for/, '\r\r\r\r\x7f\x7f\x7f\x7f64\r\r');
    await at(name, /First start: summary.*address 192/, '\r');
  }
  for (const name of names)
    say(`  ${name} ${seconds(await machines[name].untilScreen(consoleOf(name), PATIENCE_S))}  the console of the pair`);
}
