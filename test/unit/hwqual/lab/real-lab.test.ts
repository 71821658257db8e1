// A lab of real servers: the person at the screen is asked, timed and believed; power goes through RMCP+ to a BMC.
import { PassThrough } from 'node:stream';
import t from 'tap';
import { type Person, personAtScreen } from '../../../../hwqual/lab/person.ts';
import type { RealLabConfig, RealServer } from '../../../../hwqual/lab/real-config.ts';
import { RealLab } from '../../../../hwqual/lab/real-lab.ts';

const server = (last: number): RealServer => ({
  bmc: { address: `192.0.2.${last}`, port: 623, username: 'u', password: 'p', cipherSuite: 17 },
  serial: { device: '', baudRate: 115200 },
  console: null,
});
const CONFIG: RealLabConfig = {
  servers: { A: server(1), B: server(2) },
  faults: {
    fanFailed: { inject: 'Server {server}: pull fan 1.', clear: 'Server {server}: plug fan 1 in.' },
    pcieCorrected: { inject: 'Knock.' },
  },
  personTimeoutMinutes: 1,
};

function screen(timeoutMs = 60_000) {
  const [input, output] = [new PassThrough(), new PassThrough()];
  let said = '';
  output.on('data', (d: Buffer) => {
    said += d;
  });
  return { input, person: personAtScreen({ input, output, timeoutMs, isTerminal: false }), said: () => said };
}

t.test('consoles are known when both are given', async (t) => {
  const person: Person = { ask: async () => ({ atMs: 0, tookMs: 0 }) };
  t.equal(new RealLab(CONFIG, person, () => undefined).consoles, null);
  const at = (last: number) => ({ address: `192.0.2.${last}`, port: 443, password: 'p' });
  const one = { ...CONFIG, servers: { A: { ...server(1), console: at(21) }, B: server(2) } };
  t.equal(new RealLab(one, person, () => undefined).consoles, null, 'one alone tells half');
  const both = { ...CONFIG, servers: { A: { ...server(1), console: at(21) }, B: { ...server(2), console: at(22) } } };
  t.strictSame(new RealLab(both, person, () => undefined).consoles, { A: at(21), B: at(22) });
});

t.test('faults are what somebody was told how to do, in the order of the list', async (t) => {
  const { person } = screen();
  t.strictSame(new RealLab(CONFIG, person, () => undefined).faults, ['fanFailed', 'pcieCorrected']);
});

t.test('a fault is asked of the person, by the name of the server, and taken back likewise', async (t) => {
  const asked: string[] = [];
  const person: Person = {
    ask: async (what) => {
      asked.push(what);
      return { atMs: 42, tookMs: 1 };
    },
  };
  const lab = new RealLab(CONFIG, person, () => undefined);
  const injection = await lab.inject('fanFailed', 'B');
  t.strictSame(injection, { fault: 'fanFailed', server: 'B', how: 'Server B: pull fan 1.', atMs: 42, isEvent: false });
  t.equal(await lab.clear(injection), 'Server B: plug fan 1 in.');
  const event = await lab.inject('pcieCorrected', 'A');
  t.equal(event.isEvent, true);
  t.match(await lab.clear(event), /nothing to take back/);
  t.strictSame(asked, ['Server B: pull fan 1.', 'Server B: plug fan 1 in.', 'Knock.']);
  await t.rejects(lab.inject('fanSlow', 'A'), { message: /nobody is told how to make fanSlow/ });
});

t.test('without a serial line the console says so', async (t) => {
  const lab = new RealLab(CONFIG, screen().person, () => undefined);
  await t.rejects(lab.console('A'), { message: /no serial line/, remedy: /servers\.A\.serial\.device/ });
});

t.test('the person says that it is done, that it is not, or goes away', async (t) => {
  const one = screen();
  const done = one.person.ask('Pull it.');
  t.match(one.said(), /Pull it\./);
  one.input.write('\n');
  t.ok((await done).tookMs >= 0);
  const refused = one.person.ask('Pull the other.');
  one.input.write('no, it is stuck\n');
  await t.rejects(refused, { message: /not done: Pull the other\. \(it is stuck\)/ });
  const left = one.person.ask('Pull a third.');
  one.input.end();
  await t.rejects(left, { message: /nobody is at the screen/ });
});

t.test('the keyboard keeps the process alive only while somebody is asked', async (t) => {
  const held: boolean[] = [];
  const input = Object.assign(new PassThrough(), { ref: () => held.push(true), unref: () => held.push(false) });
  const person = personAtScreen({ input, output: new PassThrough().resume(), timeoutMs: 60_000, isTerminal: false });
  const asked = person.ask('Pull it.');
  t.same(held, [true]);
  input.write('\n');
  await asked;
  t.same(held, [true, false], 'a campaign that has ended ends, also with a pipe for a keyboard');
});

t.test('nobody answers', async (t) => {
  await t.rejects(screen(1).person.ask('Pull it.'), { message: /nobody said within/ });
});
