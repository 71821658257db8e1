// The driver with busybox's real udhcpc against busybox's udhcpd behind a cable: another network namespace. Needs root, and busybox from
// the engine's root.
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type DhcpLease, type DhcpOptions, startDhcp } from '../../drivers/dhcp/index.ts';
import { enterNamespace, ip, OtherEnd } from '../unit/drivers/ethernet/namespace.ts';
import { BUSYBOX, DhcpServer, until, whyNoDhcp } from './dhcp-server.ts';

// Slow machines: a busy one needs many times what an idle one does.
t.setTimeout(900_000);

const why = whyNoDhcp();
if (why === false) enterNamespace(import.meta.url);

const LEASE_S = 20;
const PATIENCE_MS = 120_000;

const addressesOf = (nic: string): string[] => [...ip('-4', 'addr', 'show', 'dev', nic).matchAll(/inet (\S+)/g)].map((m) => m[1] ?? '');
const routesOf = (nic: string): string => ip('route', 'show', 'default', 'dev', nic).trim();
const secondsLeft = (nic: string): number => Number(/valid_lft (\d+)sec/.exec(ip('-4', 'addr', 'show', 'dev', nic))?.[1] ?? 0);

/** Cables `nic` to `far`, which has this address. */
function cable(t: Test, other: OtherEnd, nic: string, far: string, address: string): void {
  ip('link', 'add', nic, 'type', 'veth', 'peer', 'name', far, 'netns', String(other.pid));
  t.teardown(() => ip('link', 'del', nic));
  ip('link', 'set', nic, 'up');
  other.run('ip', 'addr', 'add', address, 'dev', far);
  other.run('ip', 'link', 'set', far, 'up');
}

async function otherEnd(t: Test): Promise<OtherEnd> {
  const other = await OtherEnd.open();
  t.teardown(() => other.close());
  return other;
}

function client(t: Test, nic: string, options: Partial<DhcpOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-dhcp-'));
  const leases: (DhcpLease | null)[] = [];
  const log: string[] = [];
  const events = new EventEmitter();
  const dhcp = startDhcp({
    nic,
    folder,
    busybox: BUSYBOX,
    restartPauseMs: 100,
    log: (sentence) => {
      log.push(sentence);
      events.emit('log');
    },
    onLease: (lease) => {
      leases.push(lease);
      events.emit('lease');
    },
    ...options,
  });
  t.teardown(async () => {
    await dhcp.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const arrived = async (what: 'lease' | 'log', count: number): Promise<void> => {
    const list = what === 'lease' ? leases : log;
    while (list.length < count) await once(events, what, { signal: AbortSignal.timeout(PATIENCE_MS) });
  };
  return { dhcp, folder, leases, log, arrived };
}

/** Those of this test's folder: nothing of the machine's own. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder);
    } catch {
      return false;
    }
  });
}

t.test('a lease: on the port, renewed, given back', { skip: why }, async (t) => {
  const other = await otherEnd(t);
  cable(t, other, 'lan0', 'far0', '10.9.1.1/24');
  const server = await DhcpServer.start(other, 'far0', '10.9.1.50', ['subnet 255.255.255.0', 'router 10.9.1.1', `lease ${LEASE_S}`]);
  t.teardown(() => server.close());
  let settings = 0;
  const { dhcp, folder, leases, log, arrived } = client(t, 'lan0', {
    ip: async (args) => {
      const said = ip(...args);
      if (args[0] === 'addr' && args[1] === 'replace') settings++;
      return said;
    },
  });
  await arrived('lease', 1);
  t.same(leases, [{ address: '10.9.1.50', prefix: 24, router: '10.9.1.1', leaseS: LEASE_S }]);
  t.same(addressesOf('lan0'), ['10.9.1.50/24']);
  const index = /^(\d+): /.exec(ip('-o', 'link', 'show', 'dev', 'lan0'))?.[1];
  t.equal(routesOf('lan0'), `default via 10.9.1.1 proto dhcp src 10.9.1.50 metric ${700 + Number(index)}`);
  await until('the server has written down the name', () => /10\.9\.1\.50 +twinstep/.test(server.notes()));

  const left = secondsLeft('lan0');
  t.ok(left > 0 && left <= LEASE_S, `the kernel takes it away by itself, in ${left} s`);
  await until('renewed', () => settings > 1);
  t.equal(leases.length, 1, 'which is no news');

  await dhcp.close();
  t.same([addressesOf('lan0'), routesOf('lan0')], [[], '']);
  await until('given back', () => /10\.9\.1\.50 .*expired/.test(server.notes()));
  t.same(processesOf(folder), []);
  t.same(log, []);
});

t.test('the server is gone: the lease runs out, and with the server comes again', { skip: why }, async (t) => {
  const other = await otherEnd(t);
  cable(t, other, 'lan0', 'far0', '10.9.1.1/24');
  const options = ['subnet 255.255.255.0', 'router 10.9.1.1', `lease ${LEASE_S}`];
  const first = await DhcpServer.start(other, 'far0', '10.9.1.50', options);
  t.teardown(() => first.close());
  const { leases, arrived } = client(t, 'lan0');
  await arrived('lease', 1);
  await first.close();
  await arrived('lease', 2);
  t.equal(leases[1], null);
  t.same([addressesOf('lan0'), routesOf('lan0')], [[], '']);
  const second = await DhcpServer.start(other, 'far0', '10.9.1.60', options);
  t.teardown(() => second.close());
  await arrived('lease', 3);
  t.match(leases[2], { address: '10.9.1.60' });
  t.same(addressesOf('lan0'), ['10.9.1.60/24']);
});

t.test('two ports at once, and one folder', { skip: why }, async (t) => {
  const other = await otherEnd(t);
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-dhcp-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const ports = [1, 2].map((n) => ({ nic: `lan${n}`, far: `far${n}`, network: `10.9.${n}` }));
  for (const { nic, far, network } of ports) cable(t, other, nic, far, `${network}.1/24`);
  for (const { far, network } of ports) {
    const server = await DhcpServer.start(other, far, `${network}.50`, ['subnet 255.255.255.0', `router ${network}.1`, 'lease 600']);
    t.teardown(() => server.close());
  }
  const clients = ports.map(({ nic }) => client(t, nic, { folder }));
  await Promise.all(clients.map(({ arrived }) => arrived('lease', 1)));
  t.same(
    ports.map(({ nic }) => addressesOf(nic)),
    [['10.9.1.50/24'], ['10.9.2.50/24']],
  );
  const metrics = ports.map(({ nic }) => /metric (\d+)/.exec(routesOf(nic))?.[1]);
  t.not(metrics[0], metrics[1], `each route in its own place: ${metrics.join(', ')}`);
  await clients[0]?.dhcp.close();
  t.same([addressesOf('lan1'), routesOf('lan1')], [[], '']);
  t.same(addressesOf('lan2'), ['10.9.2.50/24'], 'the other one stays');
  t.match(routesOf('lan2'), /^default via 10\.9\.2\.1 /);
});

t.test('nobody answers: no lease, and nothing on the port', { skip: why }, async (t) => {
  const other = await otherEnd(t);
  cable(t, other, 'lan0', 'far0', '10.9.1.1/24');
  const { dhcp, folder, leases, log } = client(t, 'lan0');
  // It is heard, and not answered: once, and again.
  const socket = `require('node:dgram').createSocket('udp4')`;
  const program = `${socket}.on('message', () => console.log('asked')).bind(67, () => console.log('listens'))`;
  const listener = other.spawn('setpriv', '--pdeathsig=SIGKILL', process.execPath, '-e', program);
  t.teardown(() => listener.kill('SIGKILL'));
  let said = '';
  listener.stdout?.on('data', (data: Buffer) => {
    said += data;
  });
  await until('udhcpc has asked', () => /listens\n(asked\n){2}/.test(said));
  t.same([leases, addressesOf('lan0'), routesOf('lan0')], [[], [], '']);
  await dhcp.close();
  t.same([processesOf(folder), leases, log], [[], [], []]);
});

t.test('a router outside of the network: the address without a route', { skip: why }, async (t) => {
  const other = await otherEnd(t);
  cable(t, other, 'lan0', 'far0', '10.9.1.1/24');
  const server = await DhcpServer.start(other, 'far0', '10.9.1.50', ['subnet 255.255.255.0', 'router 192.0.2.1', 'lease 600']);
  t.teardown(() => server.close());
  const { leases, log, arrived } = client(t, 'lan0');
  await arrived('lease', 1);
  t.same(leases, [{ address: '10.9.1.50', prefix: 24, router: null, leaseS: 600 }]);
  t.same([addressesOf('lan0'), routesOf('lan0')], [['10.9.1.50/24'], '']);
  t.same(log, ["lan0: the DHCP server's router is not used: the router 192.0.2.1 is outside of the network"]);
});

t.test("an address of the pair's links, a mask of nothing: refused, nothing on the port", { skip: why }, async (t) => {
  for (const [own, offered, mask, reason] of [
    ['169.254.76.1/30', '169.254.76.2', '255.255.255.252', /belongs to the pair's links$/],
    ['10.9.1.1/24', '10.9.1.50', '0.0.0.0', /far too many addresses$/],
  ] as const) {
    await t.test(`${offered} ${mask}`, async (t) => {
      const other = await otherEnd(t);
      cable(t, other, 'lan0', 'far0', own);
      const server = await DhcpServer.start(other, 'far0', offered, [`subnet ${mask}`, 'lease 600']);
      t.teardown(() => server.close());
      const { dhcp, leases, log, arrived } = client(t, 'lan0');
      await arrived('log', 1);
      t.match(log, [reason]);
      t.same([leases, addressesOf('lan0'), routesOf('lan0')], [[], [], '']);
      await dhcp.close();
      t.same([leases, addressesOf('lan0'), routesOf('lan0')], [[], [], '']);
    });
  }
});
