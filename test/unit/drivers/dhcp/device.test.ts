// The driver with a udhcpc that says what it is told, and an `ip` that only notes. A real server: test/integration/dhcp.test.ts.
import { EventEmitter, once } from 'node:events';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FakeBusybox } from '../../../../drivers/dhcp/fake.ts';
import { type DhcpLease, type DhcpOptions, startDhcp } from '../../../../drivers/dhcp/index.ts';

t.setTimeout(300_000);

const NIC = 'enp1s0';
const OFFER = { ip: '10.9.1.50', subnet: '255.255.255.0', router: '10.9.1.1', lease: '600' };
const LEASE: DhcpLease = { address: '10.9.1.50', prefix: 24, router: '10.9.1.1', leaseS: 600 };
const PUT = `addr replace 10.9.1.50/24 dev ${NIC} valid_lft 600 preferred_lft 600`;
const SHOW = `-o link show dev ${NIC}`;
const ROUTE = `route replace default via 10.9.1.1 dev ${NIC} proto dhcp src 10.9.1.50 metric 707`;
const TAKE_ROUTE = `route del default dev ${NIC} proto dhcp`;
const TAKE = `addr del 10.9.1.50/24 dev ${NIC}`;

/** A list that can be waited for. */
class Notes<T> {
  readonly all: T[] = [];
  readonly #added = new EventEmitter();

  add(note: T): void {
    this.all.push(note);
    this.#added.emit('note');
  }

  async until(count: number): Promise<readonly T[]> {
    while (this.all.length < count) await once(this.#added, 'note');
    return this.all;
  }
}

async function start(t: Test, options: Partial<DhcpOptions> = {}, refuses: (command: string) => boolean = () => false) {
  const fake = await FakeBusybox.start();
  const [commands, leases, log] = [new Notes<string>(), new Notes<DhcpLease | null>(), new Notes<string>()];
  const client = startDhcp({
    nic: NIC,
    folder: join(fake.folder, 'run'),
    busybox: fake.program,
    restartPauseMs: 1,
    log: (sentence) => log.add(sentence),
    onLease: (lease) => leases.add(lease),
    ip: async (args) => {
      const command = args.join(' ');
      commands.add(command);
      if (refuses(command)) throw new Error('RTNETLINK answers: no\n');
      return command === SHOW ? `7: ${NIC}@if8: <BROADCAST> mtu 1500` : '';
    },
    ...options,
  });
  t.teardown(async () => {
    await client.close();
    fake.close();
  });
  return { fake, client, commands, leases, log };
}

t.test('a lease comes, is renewed, is another one, and goes', async (t) => {
  const { fake, client, commands, leases, log } = await start(t);
  const udhcpc = await fake.next();
  const script = join(fake.folder, 'run', `udhcpc-${NIC}.sh`);
  t.equal(udhcpc.args.join(' '), `udhcpc -i ${NIC} -f -R -s ${script} -t 4 -T 3 -A 20 -o -O subnet -O router -x hostname:twinstep`);
  t.equal(statSync(script).mode & 0o777, 0o700);
  t.equal(statSync(join(fake.folder, 'run')).mode & 0o777, 0o700);
  await udhcpc.say('deconfig');
  await udhcpc.say('leasefail');
  await udhcpc.say('bound', OFFER);
  t.same(await leases.until(1), [LEASE]);
  t.same(commands.all, [PUT, SHOW, ROUTE]);

  await udhcpc.say('renew', OFFER);
  t.same(await commands.until(6), [PUT, SHOW, ROUTE, PUT, SHOW, ROUTE], 'its time begins anew');

  await udhcpc.say('renew', { ...OFFER, ip: '10.9.1.51', router: '' });
  t.same((await leases.until(2)).at(-1), { ...LEASE, address: '10.9.1.51', router: null }, 'the same lease again was no news');
  t.same(commands.all.slice(6), [TAKE_ROUTE, TAKE, PUT.replace('.50/', '.51/')], 'the old one goes first');

  await udhcpc.say('nak');
  await udhcpc.say('deconfig');
  t.equal((await leases.until(3)).at(-1), null);
  t.same(commands.all.slice(9), [TAKE.replace('.50/', '.51/')]);

  await udhcpc.say('bound', { ...OFFER, lease: '4294967295' });
  await leases.until(4);
  await client.close();
  t.same(commands.all.slice(-2), [TAKE_ROUTE, TAKE], 'closed: nothing is left on the port');
  t.equal(leases.all.length, 4, 'and nothing is told any more');
  t.same(log.all, []);
});

t.test('refused: nothing reaches the port, the lease is given back, another server gets a chance', async (t) => {
  const { fake, commands, leases, log } = await start(t);
  for (let i = 0; i < 3; i++) {
    const udhcpc = await fake.next();
    await udhcpc.say('bound', { ...OFFER, ip: '169.254.76.2', subnet: '255.255.255.252' });
    await udhcpc.terminated;
  }
  t.same(commands.all, []);
  const udhcpc = await fake.next();
  await udhcpc.say('bound', OFFER);
  t.same(await leases.until(1), [LEASE]);
  t.same(log.all, [
    `${NIC}: the DHCP server's answer is refused: 169.254.76.2/30 meets 169.254.76.0/30, which belongs to the pair's links`,
  ]);
});

t.test('a server that thinks of new nonsense each time does not fill the log', async (t) => {
  const { fake, log } = await start(t);
  for (let i = 0; i < 20; i++) {
    const udhcpc = await fake.next();
    await udhcpc.say('bound', { ...OFFER, ip: `127.0.0.${i}` });
    await udhcpc.terminated;
  }
  await fake.next();
  t.equal(log.all.length, 16);
});

t.test('a router that is refused: the address without a route', async (t) => {
  const { fake, commands, leases, log } = await start(t);
  const udhcpc = await fake.next();
  await udhcpc.say('bound', { ...OFFER, router: '192.0.2.1' });
  t.same(await leases.until(1), [{ ...LEASE, router: null }]);
  t.same(commands.all, [PUT]);
  t.same(log.all, [`${NIC}: the DHCP server's router is not used: the router 192.0.2.1 is outside of the network`]);
});

t.test('ip refuses the address: no lease, and again; the route: the address alone', async (t) => {
  let isAddressRefused = true;
  const { fake, commands, leases, log } = await start(t, {}, (command) => (isAddressRefused ? command === PUT : command === ROUTE));
  const first = await fake.next();
  await first.say('bound', OFFER);
  await first.terminated;
  const second = await fake.next();
  t.same(commands.all, [PUT, TAKE_ROUTE, TAKE], 'it may have been set all the same');
  t.same(leases.all, []);
  isAddressRefused = false;
  await second.say('bound', OFFER);
  t.same(await leases.until(1), [{ ...LEASE, router: null }]);
  t.same(log.all, [
    `${NIC}: the address 10.9.1.50/24 cannot be set: RTNETLINK answers: no`,
    `${NIC}: the route by 10.9.1.1 cannot be set: RTNETLINK answers: no`,
  ]);
});

t.test('udhcpc ends by itself: the address goes, and it is started again', async (t) => {
  const { fake, commands, leases, log } = await start(t);
  const first = await fake.next();
  await first.say('bound', OFFER);
  await leases.until(1);
  first.exit(1, 'udhcpc: started\nudhcpc: SIOCGIFINDEX: \u001b[2JNo such device\n');
  t.same((await leases.until(2)).at(-1), null);
  t.same(commands.all.slice(3), [TAKE_ROUTE, TAKE]);
  const second = await fake.next();
  t.same(log.all, [`${NIC}: udhcpc ended (code 1) and is started again; it said: udhcpc: SIOCGIFINDEX: ?[2JNo such device`]);
  process.kill(second.pid, 'SIGKILL');
  await (await fake.next()).say('bound', OFFER);
  t.same((await leases.until(3)).at(-1), LEASE);
  t.same(log.all.slice(1), [`${NIC}: udhcpc ended (SIGKILL) and is started again`]);
});

t.test('deaf to SIGTERM: killed, and the port is clean', async (t) => {
  const { fake, client, commands, leases } = await start(t);
  const udhcpc = await fake.next();
  await udhcpc.say('bound', OFFER);
  await leases.until(1);
  await udhcpc.deafen();
  await client.close();
  t.same(commands.all.slice(3), [TAKE_ROUTE, TAKE]);
  t.throws(() => process.kill(udhcpc.pid, 0), { code: 'ESRCH' });
});

t.test('closed at any time: at once, before it has begun, while it waits, twice', async (t) => {
  const { client, leases, log } = await start(t);
  await Promise.all([client.close(), client.close()]);
  const waiting = await start(t, { restartPauseMs: 3_600_000 });
  (await waiting.fake.next()).exit(1, '');
  await waiting.log.until(1);
  await waiting.client.close();
  await waiting.client.close();
  t.same([leases.all, log.all, waiting.leases.all], [[], [], []]);
});

t.test('no busybox, or one without udhcpc: said once, with the remedy', async (t) => {
  const remedy = 'with udhcpc is missing here, so there is no DHCP: install the package busybox-static, or set the address by hand';
  const missing = await start(t, { busybox: '/nowhere/busybox' });
  t.same(await missing.log.until(1), [`${NIC}: /nowhere/busybox ${remedy}`]);
  await missing.client.close();
  t.same([missing.log.all.length, missing.leases.all, missing.commands.all], [1, [], []]);

  const other = await start(t);
  (await other.fake.next()).exit(127, 'udhcpc: applet not found\n');
  t.same(await other.log.until(1), [`${NIC}: ${other.fake.program} ${remedy}`]);
  await other.client.close();
  t.same([other.log.all.length, other.leases.all], [1, []]);
});

t.test('a script that was there with other rights or words is put right; a folder that cannot be is told', async (t) => {
  const { fake, client } = await start(t);
  const script = join(fake.folder, 'run', `udhcpc-${NIC}.sh`);
  await fake.next();
  const text = readFileSync(script, 'utf8');
  await client.close();
  rmSync(script);
  writeFileSync(script, 'something else, and longer '.repeat(200), { mode: 0o644 });
  const log = new Notes<string>();
  const options = { nic: NIC, busybox: fake.program, log: (sentence: string) => log.add(sentence), onLease: () => undefined };
  const again = startDhcp({ ...options, folder: join(fake.folder, 'run') });
  t.teardown(() => again.close());
  await fake.next();
  t.equal(readFileSync(script, 'utf8'), text);
  t.equal(statSync(script).mode & 0o777, 0o700);

  const nowhere = startDhcp({ ...options, folder: join(fake.program, 'run') });
  t.match(await log.until(1), [/^enp1s0: udhcpc's script cannot be written, so there is no DHCP here: ENOTDIR/]);
  await nowhere.close();
});

t.test('a name that is none', async (t) => {
  for (const nic of ['', '-i', '../x', 'a b', 'name-of-16-chars'])
    t.throws(() => startDhcp({ nic, folder: '/nowhere', log: () => undefined, onLease: () => undefined }), { name: 'RangeError' }, nic);
});
