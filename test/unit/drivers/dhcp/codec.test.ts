import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { parseLine, SCRIPT } from '../../../../drivers/dhcp/codec.ts';

t.setTimeout(120_000);

const folder = mkdtempSync(join(tmpdir(), 'twinstep-dhcp-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const script = join(folder, 'script.sh');
writeFileSync(script, SCRIPT, { mode: 0o700 });
/** What the script prints, with udhcpc's variables; in a folder where a file that it made would be seen. */
function said(event: string, env: Record<string, string>): string {
  return execFileSync(script, [event], { env: { interface: 'enp1s0', ...env }, cwd: folder, encoding: 'utf8' });
}

const line = (address: string, mask = '255.255.255.0', router = '-', lease = '3600') =>
  `twinstep-dhcp bound enp1s0 ${address} ${mask} ${router} ${lease}`;
const leaseOf = (text: string) => {
  const event = parseLine(text);
  if (event.kind !== 'bound') throw new Error(`${text}: ${JSON.stringify(event)}`);
  return event;
};
const reasonOf = (text: string) => {
  const event = parseLine(text);
  return event.kind === 'refused' ? event.reason : `${event.kind}, not refused`;
};

t.test('the lines of the README', async (t) => {
  t.same(parseLine('twinstep-dhcp bound enp1s0 192.0.2.50 255.255.255.0 192.0.2.1 3600'), {
    kind: 'bound',
    nic: 'enp1s0',
    lease: { address: '192.0.2.50', prefix: 24, router: '192.0.2.1', leaseS: 3600 },
    routerRefused: null,
  });
  t.equal(parseLine('twinstep-dhcp renew enp1s0 192.0.2.50 255.255.255.0 192.0.2.1 3600').kind, 'renew');
  for (const kind of ['deconfig', 'leasefail', 'nak'])
    t.same(parseLine(`twinstep-dhcp ${kind} enp1s0 - - - -`), { kind, nic: 'enp1s0' }, kind);
});

t.test('what a good lease may look like', async (t) => {
  t.match(leaseOf(line('10.1.2.3', '8', '10.255.255.254', '-')).lease, { prefix: 8, router: '10.255.255.254', leaseS: 3600 });
  t.match(leaseOf(line('10.1.2.2', '255.255.255.254', '10.1.2.3')).lease, { prefix: 31, router: '10.1.2.3' }, 'a network of two');
  t.match(leaseOf(line('10.1.2.3', '32')).lease, { prefix: 32, router: null });
  t.equal(leaseOf(line('10.1.2.3', '24', '-', '4294967295')).lease.leaseS, 4_294_967_295, 'for ever');
  t.equal(leaseOf(line('10.1.2.3', '24', '-', '0')).lease.leaseS, 16, 'udhcpc keeps none shorter');
  t.equal(leaseOf(line('169.254.78.1', '255.255.255.252')).lease.address, '169.254.78.1', 'beside the links of the pair');
});

t.test('a hostile server: refused, with the reason', async (t) => {
  const cases: [string, RegExp][] = [
    [line('-'), /^its address is missing$/],
    [line('?'), /^its address is not readable$/],
    [line('1.2.3'), /^its address is "1\.2\.3"$/],
    [line('1.2.3.256'), /^its address is "1\.2\.3\.256"$/],
    [line('010.0.0.1'), /^its address is "010\.0\.0\.1"$/],
    [line('1'.repeat(60)), /^its address is not readable$/],
    ...['0.0.0.0', '0.1.2.3', '127.0.0.1', '127.255.0.1', '224.0.0.1', '239.1.2.3', '240.0.0.1', '255.255.255.255'].map(
      (address): [string, RegExp] => [line(address), /is no address of a server$/],
    ),
    [line('10.0.0.1', '-'), /^its network mask is missing$/],
    [line('10.0.0.1', '255.0.255.0'), /^its network mask is "255\.0\.255\.0"$/],
    [line('10.0.0.1', '33'), /^its network mask is "33"$/],
    ...['0', '0.0.0.0', '128.0.0.0', '7'].map((mask): [string, RegExp] => [line('10.0.0.1', mask), /far too many addresses$/]),
    [line('10.0.0.0'), /is the network itself, or its broadcast address$/],
    [line('10.0.0.255'), /is the network itself, or its broadcast address$/],
    ...['169.254.76.1', '169.254.76.2', '169.254.77.1'].map((address): [string, RegExp] => [
      line(address, '255.255.255.252'),
      /belongs to the pair's links$/,
    ]),
    [line('169.254.77.2', '32'), /belongs to the pair's links$/],
    [line('169.254.200.7', '255.255.0.0'), /meets 169\.254\.76\.0\/30/],
    [line('10.0.0.1', '24', '-', '4294967296'), /^its time is "4294967296"$/],
    [line('10.0.0.1', '24', '-', '?'), /^its time is not readable$/],
  ];
  for (const [text, reason] of cases) t.match(reasonOf(text), reason, text);
});

t.test('a router that cannot be: refused, the address is good without it', async (t) => {
  const cases: [string, RegExp][] = [
    ['192.0.2.1', /^the router 192\.0\.2\.1 is outside of the network$/],
    ['10.0.0.5', /has the address that this server is given$/],
    ['10.0.0.0', /is the network itself/],
    ['10.0.0.255', /or its broadcast address$/],
    ['0.0.0.0', /is no address of a router$/],
    ['127.0.0.1', /is no address of a router$/],
    ['224.0.0.2', /is no address of a router$/],
    ['?', /^its router is not readable$/],
    ['10.0.0', /^its router is "10\.0\.0"$/],
  ];
  for (const [router, reason] of cases) {
    const { lease, routerRefused } = leaseOf(line('10.0.0.5', '24', router));
    t.same([lease.address, lease.router], ['10.0.0.5', null], router);
    t.match(routerRefused, reason, router);
  }
});

t.test('what is not of our script', async (t) => {
  for (const text of [
    '',
    'udhcpc: started, v1.37.0',
    'bound enp1s0 10.0.0.1 24 - 60',
    'twinstep-dhcp bound enp1s0 10.0.0.1 24 -',
    'twinstep-dhcp bound enp1s0 10.0.0.1 24 - 60 more',
    'twinstep-dhcp bound -enp1s0 10.0.0.1 24 - 60',
    'twinstep-dhcp bound ../enp1s0 10.0.0.1 24 - 60',
    'twinstep-dhcp bound name-of-16-chars 10.0.0.1 24 - 60',
    'twinstep-dhcp reboot enp1s0 10.0.0.1 24 - 60',
    `${line('10.0.0.1')}${' '.repeat(200)}`,
  ])
    t.same(parseLine(text), { kind: 'malformed' }, text.slice(0, 60));
});

t.test('any line: it never throws, and what is taken is an address that can be set', async () => {
  const part = fc.oneof(
    fc.ipV4(),
    fc.constantFrom('-', '?', '0', '255.255.255.0', '24', '169.254.76.2', 'bound', 'twinstep-dhcp'),
    fc.string({ unit: 'binary' }),
    fc.nat().map(String),
  );
  const any = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.tuple(part, part, part, part).map((values) => `twinstep-dhcp bound e ${values.join(' ')}`),
  );
  fc.assert(
    fc.property(any, (text) => {
      const event = parseLine(text);
      if (event.kind !== 'bound') return;
      const { address, prefix, router, leaseS } = event.lease;
      const first = Number(address.split('.')[0]);
      if (first === 0 || first === 127 || first > 223) throw new Error(`address ${address}`);
      if (!(prefix >= 8 && prefix <= 32 && leaseS >= 16 && leaseS <= 0xffff_ffff)) throw new Error(`${prefix} ${leaseS}`);
      if (/^169\.254\.7[67]\.[0-3]$/.test(address)) throw new Error('a link of the pair');
      if (router !== null && router.split('.').length !== 4) throw new Error(`router ${router}`);
    }),
  );
});

t.test('any good lease comes through as it was', async () => {
  const octet = fc.integer({ min: 1, max: 254 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), octet, octet, fc.integer({ min: 16, max: 0xffff_ffff }), (net, host, router, leaseS) => {
      fc.pre(host !== router);
      const [address, via] = [`10.9.${net}.${host}`, `10.9.${net}.${router}`];
      const { lease, routerRefused } = leaseOf(line(address, '255.255.255.0', via, String(leaseS)));
      if (JSON.stringify(lease) !== JSON.stringify({ address, prefix: 24, router: via, leaseS })) throw new Error(JSON.stringify(lease));
      if (routerRefused !== null) throw new Error(routerRefused);
    }),
  );
});

t.test('the script: values are printed, never run', async (t) => {
  t.equal(said('deconfig', {}), 'twinstep-dhcp deconfig enp1s0 - - - -\n');
  const good = { ip: '10.0.0.5', subnet: '255.255.255.0', router: '10.0.0.1 10.0.0.2', lease: '600' };
  t.equal(said('bound', good), 'twinstep-dhcp bound enp1s0 10.0.0.5 255.255.255.0 10.0.0.1 600\n', 'the first router');
  const hostile = [
    '$(touch ran)',
    '`touch ran`',
    '; touch ran',
    "';touch ran;'",
    '"; touch ran; "',
    '*',
    '\\n',
    '%s%n',
    '-n',
    '10.0.0.1\ntwinstep-dhcp',
    '١',
  ];
  for (const value of hostile) {
    const text = said('bound', { ip: value, subnet: value, router: value, lease: value });
    t.match(text, /^twinstep-dhcp bound enp1s0 \? \? (\?|-) \?\n$/, JSON.stringify(value));
    t.match(reasonOf(text.trimEnd()), /not readable/);
  }
  t.notOk(existsSync(join(folder, 'ran')));
});

t.test('the script: nobody reads any more, so udhcpc is ended', async (t) => {
  // A shell in the place of udhcpc; it starts the script when the other end of its standard output is gone.
  const shell = spawn('sh', ['-c', 'read -r _; "$1" deconfig; echo still here >&2', 'sh', script], {
    env: { PATH: process.env.PATH ?? '', interface: 'enp1s0' },
  });
  const ended = once(shell, 'exit');
  let words = '';
  shell.stderr.on('data', (data: Buffer) => {
    words += data;
  });
  const gone = once(shell.stdout, 'close');
  shell.stdout.destroy();
  await gone;
  shell.stdin.end('now\n');
  t.same(await ended, [null, 'SIGKILL']);
  t.equal(words, '');
});
