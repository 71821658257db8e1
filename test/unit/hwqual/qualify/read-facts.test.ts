// What a server is made of, read: roles of ports, the disk below the guest's, the engine, the BMC, a trial guest; and what fails is null.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { CoServerConfig } from '../../../../appliance/config.ts';
import { FakeMachine } from '../../../../drivers/inventory/fake.ts';
import { readInventory } from '../../../../drivers/inventory/index.ts';
import { compare } from '../../../../hwqual/checks/index.ts';
import { coServerConfig, makeSecrets } from '../../../../hwqual/lab/configuration.ts';
import { diskOf } from '../../../../hwqual/qualify/disk-of.ts';
import { parseFacts } from '../../../../hwqual/qualify/facts-codec.ts';
import { tryKvm } from '../../../../hwqual/qualify/kvm-trial.ts';
import { changesOf, qualifierFor, settleRates } from '../../../../hwqual/qualify/qualifier.ts';
import { type FactSources, readFacts } from '../../../../hwqual/qualify/read-facts.ts';
import { wholeFacts } from '../checks/facts-fixture.ts';

const secrets = await makeSecrets();
const lab = coServerConfig(
  'B',
  secrets,
  {
    acceleration: 'tcg',
    append: '',
    mode: 'lockstep',
    idleMs: 1000,
    diskMiB: 64,
    rejoin: { losses: 3, windowMinutes: 60, quarantineMinutes: 120 },
    watchdogS: 10,
  },
  { A: 1, B: 2 },
);
const config: CoServerConfig = { ...lab, hardware: { watch: 'on', bmc: '/dev/ipmi0' }, qualification: { policy: 'identical' } };

function sources(t: Test, broken = false): FactSources {
  const machine = new FakeMachine();
  t.teardown(() => machine.close());
  const fails = async (): Promise<never> => {
    throw new Error('it is broken');
  };
  return {
    inventory: (given) => readInventory({ ...given, root: machine.root }),
    nicDriver: (nic) => {
      if (broken) throw new Error('it is broken');
      return { driver: 'igb', version: '1', firmware: `fw of ${nic}`, bus: null };
    },
    bmc: broken
      ? fails
      : async () => ({
          deviceId: 1,
          deviceRevision: 1,
          firmware: '7.10',
          ipmiVersion: '2.0',
          manufacturerId: 674,
          productId: 256,
          available: true,
        }),
    engineVersion: broken ? fails : async () => 'QEMU emulator version 11.1.3 (v11.1.3)\nCopyright',
    kvm: broken ? fails : async () => ({ usable: false, reason: 'a trial guest failed' }),
    disk: broken ? fails : async () => '/dev/nvme0n1',
  };
}

t.test('everything is where a check looks for it', async (t) => {
  const facts = await readFacts(config, '1.0.0', sources(t));
  t.same(
    facts.nics.map((n) => `${n.role} ${n.nic}`),
    ['link1 link1', 'link2 link2', 'business lan0', 'management mgmt0'],
  );
  t.match(facts, {
    coServer: 'B',
    version: '1.0.0',
    engine: 'QEMU 11.1.3',
    guestMemoryBytes: 2 ** 28,
    guestDiskBytes: 2 ** 26,
    disk: '/dev/nvme0n1',
  });
  t.match(facts.inventory, { bmc: { vendor: 'IANA 674', product: '256', firmware: '7.10' }, virtualization: { usable: false } });
  t.equal(facts.inventory.nics.find((n) => n.name === 'link2')?.firmware, 'fw of link2');
  t.match(facts.inventory.unreadable, ['virtualization: a trial guest failed']);
  t.strictSame(parseFacts(JSON.parse(JSON.stringify(facts))), facts, 'and it is what a partner takes');
});

t.test('what cannot be read is unknown, and said', async (t) => {
  const facts = await readFacts(config, '1.0.0', sources(t, true));
  t.match(facts, { engine: '', disk: null, inventory: { bmc: { firmware: null }, virtualization: { usable: null } } });
  for (const what of ['link1', 'BMC', 'KVM', 'engine', 'disk']) t.ok(facts.inventory.unreadable.includes(`${what}: it is broken`), what);
  t.equal(compare(facts, facts, 'identical').verdict, 'unknown');
});

t.test('policy none: there is nothing that reads', async (t) => {
  t.equal(qualifierFor({ ...config, qualification: { policy: 'none' } }, '1.0.0'), null);
  const qualifier = qualifierFor(config, '1.0.0', sources(t));
  t.match(await qualifier?.read(new AbortController().signal), { coServer: 'B' });
});

t.test('what has changed is named; what comes and goes by itself is not', async (t) => {
  const [before, now] = [await wholeFacts(), await wholeFacts('A', { biosVersion: '2.20.0', microcode: '0x9' })];
  for (const nic of now.inventory.nics) nic.speedMbps = null;
  now.inventory.memory.totalBytes = (now.inventory.memory.totalBytes ?? 0) - 2 ** 28;
  t.same(changesOf(before, now), ['Version of the BIOS 2.19.1 -> 2.20.0', 'Microcode 0x2b000639 -> 0x9']);
  t.same(changesOf(before, before), []);
});

t.test('a port without a carrier keeps the rate that it had; another port does not', async (t) => {
  const [before, now] = [await wholeFacts(), await wholeFacts()];
  for (const nic of now.inventory.nics) nic.speedMbps = null;
  const [, other] = now.inventory.nics;
  if (other) other.mac = '52:54:00:ff:ff:ff';
  t.same(
    settleRates(before, now).inventory.nics.map((n) => n.speedMbps),
    [1000, null],
  );
  const faster = structuredClone(before);
  for (const nic of faster.inventory.nics) nic.speedMbps = 10_000;
  t.same(settleRates(before, faster), faster);
});

/** A folder that looks like sysfs, around the device that holds the test's file. */
function sysfs(t: Test) {
  const root = mkdtempSync(join(tmpdir(), 'sysfs-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const file = join(root, 'disk0');
  writeFileSync(file, '');
  const { dev } = statSync(file);
  const number = `${Math.floor(dev / 256) & 0xfff}:${(dev & 0xff) | (Math.floor(dev / 4096) & 0xfff00)}`;
  const folder = (path: string) => mkdirSync(join(root, 'sys', path), { recursive: true });
  folder('dev/block');
  return {
    file,
    root,
    folder,
    note: (path: string) => writeFileSync(join(root, 'sys', path), ''),
    isOn: (path: string) => symlinkSync(join(root, 'sys', path), join(root, 'sys/dev/block', number)),
    below: (mapping: string, path: string, name: string) =>
      symlinkSync(join(root, 'sys', path), join(root, `sys/${mapping}/${'sla'}${'ves'}/${name}`)),
    layer: (path: string) => folder(`${path}/${'sla'}${'ves'}`),
  };
}

t.test('the whole disk below a file: its own, of a partition, below a mapping', async (t) => {
  await t.test('a disk', async (t) => {
    const s = sysfs(t);
    s.folder('devices/sdb/device');
    s.isOn('devices/sdb');
    t.equal(await diskOf(s.file, s.root), '/dev/sdb');
    t.equal(await diskOf(join(s.root, 'not-there-yet'), s.root), '/dev/sdb', 'a file that is not there yet');
  });
  await t.test('a partition', async (t) => {
    const s = sysfs(t);
    s.folder('devices/nvme0n1/nvme0n1p3');
    s.note('devices/nvme0n1/nvme0n1p3/partition');
    s.isOn('devices/nvme0n1/nvme0n1p3');
    t.equal(await diskOf(s.file, s.root), '/dev/nvme0n1');
  });
  for (const [disks, expected] of [
    [['sda', 'sda'], '/dev/sda'],
    [['sda', 'sdb'], null],
  ] as const)
    await t.test(`a mapping on ${disks.join(' and ')}`, async (t) => {
      const s = sysfs(t);
      s.layer('devices/dm-0');
      for (const [i, disk] of disks.entries()) {
        s.folder(`devices/${disk}/${disk}${i + 1}`);
        s.note(`devices/${disk}/${disk}${i + 1}/partition`);
        s.below('devices/dm-0', `devices/${disk}/${disk}${i + 1}`, `${disk}${i + 1}`);
      }
      s.isOn('devices/dm-0');
      t.equal(await diskOf(s.file, s.root), expected);
    });
  await t.test('a mapping on itself, a disk of no device, nothing at all', async (t) => {
    const s = sysfs(t);
    s.layer('devices/dm-0');
    s.below('devices/dm-0', 'devices/dm-0', 'dm-0');
    s.isOn('devices/dm-0');
    t.equal(await diskOf(s.file, s.root), null);
    const ram = sysfs(t);
    ram.folder('devices/ram0');
    ram.isOn('devices/ram0');
    t.equal(await diskOf(ram.file, ram.root), null);
    t.equal(await diskOf(s.file, join(s.root, 'empty')), null);
    t.equal(await diskOf('/nowhere/at/all', s.root), null);
  });
});

t.test('a trial guest: booted, refused, silent, not startable; asked once per boot', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kvm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const kernel = join(folder, 'kernel');
  const device = join(folder, 'kvm');
  for (const file of [kernel, device]) writeFileSync(file, '');
  let engines = 0;
  const engine = (script: string): string => {
    const file = join(folder, `engine${engines++}`);
    writeFileSync(file, `#!/bin/sh\necho "$@" >> ${folder}/asked\n${script}\n`);
    chmodSync(file, 0o755);
    return file;
  };
  const trial = (binary: string, more: { device?: string; timeoutMs?: number } = {}) =>
    tryKvm({ binary, kernel, cacheDirectory: join(folder, 'run'), device, timeoutMs: 20_000, ...more });
  const boots = engine(`echo 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)'; exec sleep 60`);
  t.match(await trial(boots), { usable: true, reason: /booted its kernel/ });
  writeFileSync(boots, '#!/bin/sh\nexit 1\n');
  t.match(await trial(engine('echo "KVM: entry failed, hardware error 0x7" >&2; exec sleep 60')), {
    usable: false,
    reason: /entry failed/,
  });
  t.match(await trial(engine('exec sleep 60'), { timeoutMs: 300 }), { usable: false, reason: /did not boot/ });
  t.equal(await trial(engine('echo "no such option" >&2; exit 1')), null, 'a broken engine says nothing of KVM');
  t.equal(await trial('/nowhere/engine'), null);
  t.match(await trial(boots, { device: join(folder, 'none') }), { usable: false, reason: /no usable/ });
  const once = engine(`echo 'Run /sbin/init as init process'; exec sleep 60`);
  const first = await trial(once);
  t.match(first, { usable: true });
  rmSync(join(folder, 'asked'));
  t.same(await trial(once), first);
  t.throws(() => statSync(join(folder, 'asked')), 'not started again');
});
