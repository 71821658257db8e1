import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { loadFencePassword, loadPairKey, parseConfig } from '../../../../appliance/runtime/load-config.ts';

const GOOD = `
coServer: A
pair: { id: 00112233445566778899aabbccddeeff, keyFile: /etc/twinstep/pair.key }
links: [{ nic: link1, address: 10.76.1.1, peer: 10.76.1.2 }]
business: { nic: lan0 }
management: { nic: mgmt0, address: 10.78.0.1 }
witness: { address: 10.78.0.100, port: 7410 }
heartbeat: { intervalMs: 20, timeoutMs: 300 }
checkpoint: { mode: passive, hold: { dataMs: 25, ackMs: 100 }, outputDelayMs: 5, idleMs: 1000, minimumMs: 20 }
console: { port: 443, passwordHash: '', socket: /run/twinstep/console.sock, serial: '', urls: { A: '', B: '' } }
stateDir: /var/lib/twinstep
runDir: /run/twinstep
labSocket: ''
engine: { binary: /usr/bin/qemu-system-x86_64, version: '11.1', acceleration: tcg, logDir: /var/log/twinstep }
workload:
  { name: demo, memoryMiB: 256, cpus: 1, mac: '52:54:00:77:00:0a', disk: { path: /d, sizeMiB: 64 }, kernel: /k, initrd: /i, append: '', readyMarker: '', bootTimeoutS: 60 }
`;

/** `workload.disk.cache` and what it is, of every key; what is in a list counts as one. */
function keysOf(value: object, before = ''): [string, unknown][] {
  return Object.entries(value).flatMap(([key, v]: [string, unknown]): [string, unknown][] =>
    typeof v === 'object' && v !== null && !Array.isArray(v) ? keysOf(v, `${before}${key}.`) : [[`${before}${key}`, v]],
  );
}

t.test('the manual has every key, and what holds without it', async (t) => {
  const manual = readFileSync(join(import.meta.dirname, '../../../../appliance/README.md'), 'utf8');
  const told = new Map<string, string>();
  for (const [, keys = '', without = ''] of manual.matchAll(/^\| (`[a-z][^|]*`) \| ([^|]*) \|/gm)) {
    const names = [...keys.matchAll(/`([^`]+)`/g)].map((m) => m[1] ?? '');
    const values = [...without.matchAll(/`([^`]+)`/g)].map((m) => m[1] ?? '');
    names.forEach((name, i) => void told.set(name, values[i] ?? values[0] ?? '-'));
  }
  const given = new Set(keysOf(parse(GOOD) as object).map(([key]) => key));
  for (const [key, value] of keysOf(parseConfig(GOOD, 'f'))) {
    const text = value === '' ? "''" : Array.isArray(value) ? '[]' : String(value);
    t.equal(told.get(key), given.has(key) ? '-' : text, key);
  }
});

t.test('a good configuration', async (t) => {
  t.equal(parseConfig(GOOD, 'f').workload.memoryMiB, 256);
});

t.test('a resync has no ceiling unless the configuration gives one', async (t) => {
  t.same(parseConfig(GOOD, 'f').resync, { maximumMiBPerS: 0 });
  t.same(parseConfig(`${GOOD}resync: { maximumMiBPerS: 50 }\n`, 'f').resync, { maximumMiBPerS: 50 });
  t.throws(() => parseConfig(`${GOOD}resync: { maximumMiBPerS: fast }\n`, 'f'), /resync\.maximumMiBPerS: 'fast', a whole number/);
});

t.test('a partner that comes and goes is quarantined as the table says, unless the configuration says otherwise', async (t) => {
  t.same(parseConfig(GOOD, 'f').rejoin, { losses: 3, windowMinutes: 60, quarantineMinutes: 120, compatibleVersions: [] });
  const { rejoin } = parseConfig(`${GOOD}rejoin: { losses: 5, compatibleVersions: ['0.4.1'] }\n`, 'f');
  t.same(rejoin, { losses: 5, windowMinutes: 60, quarantineMinutes: 120, compatibleVersions: ['0.4.1'] });
  t.throws(
    () => parseConfig(`${GOOD}rejoin: { losses: 0, compatibleVersions: 0.4 }\n`, 'f'),
    /rejoin\.losses: '0', a whole number from 1 to 1000 is needed; rejoin\.compatibleVersions: '0\.4', a list of at most 16 texts is needed/,
  );
});

t.test('what may be left out, and what then holds', async (t) => {
  const { management, fence, watchdog, ups } = parseConfig(GOOD, 'f');
  t.equal(management.peer, '');
  t.strictSame(fence, { address: '', port: 623, username: '', passwordFile: '', cipherSuite: 17 });
  t.strictSame(watchdog, { device: '', timeoutS: 10 });
  t.strictSame(ups, { address: '', port: 3493, name: 'ups' });
  const full = `${GOOD}
fence: { address: 192.0.2.9, username: twinstep, passwordFile: /etc/twinstep/bmc.password, cipherSuite: 3 }
watchdog: { device: /dev/watchdog }
`;
  t.match(parseConfig(full, 'f'), { fence: { port: 623, cipherSuite: 3 }, watchdog: { device: '/dev/watchdog', timeoutS: 10 } });
});

t.test('level 2 needs a watchdog, and a quick one unless the configuration says otherwise', async (t) => {
  const level = (n: string): string => GOOD.replace('name: demo,', `name: demo, level: ${n},`);
  t.equal(parseConfig(GOOD, 'f').workload.level, 3);
  t.match(parseConfig(`${level('2')}watchdog: { device: /dev/watchdog }\n`, 'f'), { workload: { level: 2 }, watchdog: { timeoutS: 3 } });
  t.equal(parseConfig(`${level('2')}watchdog: { device: /dev/watchdog, timeoutS: 20 }\n`, 'f').watchdog.timeoutS, 20);
  t.equal(parseConfig(`${level('3')}watchdog: { device: /dev/watchdog }\n`, 'f').watchdog.timeoutS, 10);
  t.throws(() => parseConfig(level('2'), 'f'), /watchdog\.device: missing, workload\.level 2 needs one/);
  t.throws(() => parseConfig(level('1'), 'f'), /workload\.level: '1', 2 or 3 is needed/);
});

t.test("the guest's disk: through the page cache and durable when flushed, unless the configuration says otherwise", async (t) => {
  t.same(parseConfig(GOOD, 'f').workload.disk, { path: '/d', sizeMiB: 64, cache: 'buffered', durability: 'flushed' });
  const other = GOOD.replace('sizeMiB: 64 }', 'sizeMiB: 64, cache: direct, durability: write-through }');
  t.match(parseConfig(other, 'f').workload.disk, { cache: 'direct', durability: 'write-through' });
  t.throws(
    () => parseConfig(GOOD.replace('sizeMiB: 64 }', 'sizeMiB: 64, cache: none }'), 'f'),
    /workload\.disk\.cache: 'none'.*buffered.*direct/,
  );
});

t.test('a history that is kept goes beside the disk, unless a folder is named for it', async (t) => {
  t.equal(parseConfig(GOOD, 'f').workload.keepDir, '');
  t.equal(parseConfig(GOOD.replace('name: demo,', 'name: demo, keepDir: /kept,'), 'f').workload.keepDir, '/kept');
  t.throws(
    () => parseConfig(GOOD.replace('name: demo,', 'name: demo, keepDir: kept,'), 'f'),
    /workload\.keepDir: 'kept', an absolute path/,
  );
});

t.test('every error is named with its key and what is needed', async (t) => {
  const broken: [string, string, RegExp][] = [
    ['coServer: A', 'coServer: C', /coServer: 'C', one of A, B is needed/],
    ['nic: link1', 'nic: "a b"', /links\[0\]\.nic: 'a b'/],
    ['memoryMiB: 256', 'memoryMB: 256', /workload\.memoryMB: unknown key; workload\.memoryMiB: missing/],
    ['port: 7410', 'port: 99999', /witness\.port: '99999', a whole number from 1 to 65535/],
    ['links: [', 'links: []\nx: [', /links: a list with at least one entry/],
    ['coServer: A', 'coServer: A\nfence: { address: bmc.example }', /fence\.address: 'bmc\.example', an IP address/],
    ['coServer: A', 'coServer: A\nfence: { address: 192.0.2.9 }', /fence\.username: missing.*fence\.passwordFile: missing/],
    ['coServer: A', 'coServer: A\nfence: { cipherSuite: 0 }', /fence\.cipherSuite: '0', 3 or 17/],
    ['coServer: A', 'coServer: A\nwatchdog: { device: softdog }', /watchdog\.device: 'softdog', the path of a watchdog/],
    ['coServer: A', 'coServer: A\nwatchdog: { timeout: 5 }', /watchdog\.timeout: unknown key/],
    ['coServer: A', 'coServer: A\nups: { name: "a b" }', /ups\.name: 'a b', the name of a UPS in upsd/],
    ['coServer: A', 'coServer: A\nwatchdog: 5', /watchdog: a section with device, timeoutS is needed/],
    ['address: 10.78.0.1 }', 'address: 10.78.0.1, peer: partner }', /management\.peer: 'partner', an IP address/],
    ['coServer: A', 'coServer: A\ntoString: 5\n__proto__: { coServer: B }', /toString: unknown key; __proto__: unknown key/],
    ['coServer: A', '{', /not YAML/],
  ];
  for (const [from, to, message] of broken) t.throws(() => parseConfig(GOOD.replace(from, to), '/etc/twinstep/config.yaml'), message);
});

t.test("the pair's key must be whole and private", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'twinstep-key-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'key');
  writeFileSync(path, `${'ab'.repeat(32)}\n`, { mode: 0o600 });
  t.equal(loadPairKey(path).length, 32);
  chmodSync(path, 0o644);
  t.throws(() => loadPairKey(path), /chmod 600/);
  chmodSync(path, 0o600);
  writeFileSync(path, 'short');
  t.throws(() => loadPairKey(path), /pair the CoServers again/);
  t.throws(() => loadPairKey(join(directory, 'none')), /cannot read the pair's key/);
});

t.test("the password of the partner's BMC must fit and be private", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'twinstep-bmc-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'password');
  writeFileSync(path, 'only-for-tests\n', { mode: 0o600 });
  t.equal(loadFencePassword(path), 'only-for-tests');
  writeFileSync(path, `${'x'.repeat(21)}\n`);
  t.throws(() => loadFencePassword(path), { message: /password does not hold a BMC's password: one line of 1 to 20 bytes/ });
  writeFileSync(path, '');
  t.throws(() => loadFencePassword(path), /1 to 20 bytes/);
  chmodSync(path, 0o644);
  t.throws(() => loadFencePassword(path), /chmod 600/);
  t.throws(() => loadFencePassword(join(directory, 'none')), /cannot read the password of the partner's BMC/);
});
