// Reads the configuration file and checks all of it: every error is named with its key, what stands there and what is
// needed; unknown keys are errors too, because a misspelt key would silently keep its default.
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { parse } from 'yaml';
import { UPS_NAME } from '../../drivers/ups/index.ts';
import type { CoServerConfig } from '../config.ts';
import { parseKeyFile } from '../pairing/key-file.ts';
import { PAIR_KEY_BYTES } from '../wire/keys.ts';

export class ConfigError extends Error {
  override name = 'ConfigError';
}

type Check = (value: unknown) => string | null;
type Shape = { [key: string]: Check | Shape | [Shape] };

const text: Check = (v) => (typeof v === 'string' ? null : 'a text');
const filled: Check = (v) => (typeof v === 'string' && v !== '' ? null : 'a text that is not empty');
const path: Check = (v) => (typeof v === 'string' && v.startsWith('/') ? null : 'an absolute path');
const pathOrNone: Check = (v) => (v === '' ? null : path(v));
const address: Check = (v) => (typeof v === 'string' && isIP(v) ? null : 'an IP address');
const nic: Check = (v) => (typeof v === 'string' && /^[^\s/]{1,15}$/.test(v) ? null : 'the name of a network interface');
const mac: Check = (v) =>
  typeof v === 'string' && /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(v) ? null : 'a MAC address like 52:54:00:12:34:56';
const oneOf =
  (...choices: string[]): Check =>
  (v) =>
    typeof v === 'string' && choices.includes(v) ? null : `one of ${choices.join(', ')}`;
const whole =
  (least: number, most: number): Check =>
  (v) =>
    typeof v === 'number' && Number.isInteger(v) && v >= least && v <= most ? null : `a whole number from ${least} to ${most}`;
const port = whole(1, 65535);
const texts: Check = (v) =>
  Array.isArray(v) && v.length <= 16 && v.every((e) => filled(e) === null) ? null : 'a list of at most 16 texts';
const MINUTES_PER_WEEK = 7 * 24 * 60;
const addressOrNone: Check = (v) => (v === '' ? null : address(v));
const watchdogDevice: Check = (v) =>
  v === '' || (typeof v === 'string' && /^(unix:)?\/./.test(v))
    ? null
    : 'the path of a watchdog, as /dev/watchdog or unix:/path, or nothing';
const cipherSuite: Check = (v) => (v === 3 || v === 17 ? null : '3 or 17');

const SHAPE: Shape = {
  coServer: oneOf('A', 'B'),
  pair: { id: (v) => (typeof v === 'string' && /^[0-9a-f]{32}$/.test(v) ? null : '32 hex digits'), keyFile: path },
  links: [{ nic, address, peer: address }],
  business: { nic },
  management: { nic, address, peer: addressOrNone },
  witness: { address, port },
  rejoin: {
    losses: whole(1, 1000),
    windowMinutes: whole(1, MINUTES_PER_WEEK),
    quarantineMinutes: whole(1, MINUTES_PER_WEEK),
    compatibleVersions: texts,
  },
  fence: { address: addressOrNone, port, username: text, passwordFile: pathOrNone, cipherSuite },
  watchdog: { device: watchdogDevice, timeoutS: whole(1, 600) },
  ups: { address: addressOrNone, port, name: (v) => (typeof v === 'string' && UPS_NAME.test(v) ? null : 'the name of a UPS in upsd') },
  heartbeat: { intervalMs: whole(5, 1000), timeoutMs: whole(50, 10_000) },
  resync: { maximumMiBPerS: whole(0, 100_000) },
  hardware: { watch: oneOf('on', 'off'), bmc: pathOrNone },
  qualification: { policy: oneOf('identical', 'sameFamily', 'none') },
  checkpoint: {
    mode: oneOf('passive', 'lockstep'),
    hold: { dataMs: whole(1, 1000), ackMs: whole(1, 1000) },
    outputDelayMs: whole(0, 1000),
    idleMs: whole(50, 60_000),
    minimumMs: whole(0, 10_000),
  },
  restorePoints: {
    directory: pathOrNone,
    maximumMiB: whole(0, 1 << 26),
    reserveMiB: whole(0, 1 << 26),
    everyMinutes: whole(0, MINUTES_PER_WEEK),
    keep: whole(1, 168),
  },
  disk: { timeoutMs: whole(100, 120_000), acknowledgeMs: whole(100, 120_000) },
  scrub: { rateMiBPerS: whole(1, 10_000), everyHours: whole(0, 10_000) },
  console: { port: whole(0, 65535), passwordHash: text, socket: path, serial: pathOrNone, urls: { A: text, B: text } },
  stateDir: path,
  runDir: path,
  labSocket: pathOrNone,
  engine: { binary: path, version: filled, acceleration: oneOf('kvm', 'tcg'), logDir: path },
  workload: {
    name: filled,
    level: (v) => (v === 2 || v === 3 ? null : '2 or 3'),
    memoryMiB: whole(16, 1 << 20),
    cpus: whole(1, 64),
    mac,
    disk: {
      path,
      sizeMiB: whole(1, 1 << 26),
      cache: oneOf('buffered', 'direct'),
      durability: oneOf('flushed', 'write-through'),
    },
    keepDir: pathOrNone,
    kernel: path,
    initrd: path,
    append: text,
    readyMarker: text,
    bootTimeoutS: whole(1, 3600),
  },
};

const WATCHDOG_S = 10;

/** What may be left out. */
type Defaults = { [key: string]: string | number | string[] | Defaults };
const DEFAULTS: { [section: string]: Defaults } = {
  management: { peer: '' },
  fence: { address: '', port: 623, username: '', passwordFile: '', cipherSuite: 17 },
  watchdog: { device: '', timeoutS: WATCHDOG_S },
  ups: { address: '', port: 3493, name: 'ups' },
  restorePoints: { directory: '', maximumMiB: 0, reserveMiB: 1024, everyMinutes: 0, keep: 24 },
  rejoin: { losses: 3, windowMinutes: 60, quarantineMinutes: 120, compatibleVersions: [] },
  disk: { timeoutMs: 8_000, acknowledgeMs: 4_000 },
  scrub: { rateMiBPerS: 20, everyHours: 168 },
  resync: { maximumMiBPerS: 0 },
  hardware: { watch: 'on', bmc: '/dev/ipmi0' },
  qualification: { policy: 'identical' },
  workload: { keepDir: '', level: 3, disk: { cache: 'buffered', durability: 'flushed' } },
};

/** At level 2 the partner waits for it, and 5 s after a loss the guest's restart has begun. */
const LEVEL_2_WATCHDOG_S = 3;

export function parseConfig(source: string, file: string): CoServerConfig {
  let value: unknown;
  try {
    value = parse(source);
  } catch (e) {
    throw new ConfigError(`${file}: not YAML: ${(e as Error).message}`);
  }
  const errors: string[] = [];
  value = withDefaults(value);
  check(value, SHAPE, '', errors);
  if (errors.length === 0) {
    checkFence(value as CoServerConfig, errors);
    checkLevel(value as CoServerConfig, errors);
  }
  if (errors.length > 0) throw new ConfigError(`${file}: ${errors.join('; ')}`);
  return value as CoServerConfig;
}

export function loadConfig(file: string): CoServerConfig {
  let source: string;
  try {
    source = readFileSync(file, 'utf8');
  } catch (e) {
    throw new ConfigError(`cannot read the configuration ${file}: ${(e as Error).message}`);
  }
  return parseConfig(source, file);
}

function readSecret(file: string, what: string): string {
  try {
    if ((statSync(file).mode & 0o077) !== 0) throw new ConfigError(`${file} can be read by others than its owner: chmod 600 ${file}`);
    return readFileSync(file, 'utf8').trim();
  } catch (e) {
    if (e instanceof ConfigError) throw e;
    throw new ConfigError(`cannot read ${what}: ${(e as Error).message}`);
  }
}

/** The password of the partner's BMC: one line in a file that only root may read. */
export function loadFencePassword(file: string): string {
  const password = readSecret(file, "the password of the partner's BMC");
  // IPMI 2.0, 22.30: at most 20 bytes.
  if (password === '' || Buffer.byteLength(password) > 20)
    throw new ConfigError(`${file} does not hold a BMC's password: one line of 1 to 20 bytes`);
  return password;
}

/** The pair's key, from a file that only root may read. @param pairId Hex: a key that was made for another pair is refused. */
export function loadPairKey(file: string, pairId?: string): Buffer {
  const found = parseKeyFile(readSecret(file, "the pair's key"));
  if (!found)
    throw new ConfigError(
      `${file} does not hold a pair's key (${PAIR_KEY_BYTES * 2} hex digits): pair the CoServers again (twinstep pair)`,
    );
  if (pairId !== undefined && found.pairId !== null && found.pairId !== pairId)
    throw new ConfigError(
      `${file} holds the key of the pair ${found.pairId}, the configuration names the pair ${pairId}: set pair.id, or twinstep pair --again`,
    );
  return Buffer.from(found.pairKey, 'hex');
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function withDefaults(value: unknown, defaults: Defaults = DEFAULTS): unknown {
  if (!isSection(value)) return value;
  const whole: { [key: string]: unknown } = { ...value };
  for (const [name, byDefault] of Object.entries(defaults)) {
    if (typeof byDefault === 'object' && !Array.isArray(byDefault)) whole[name] = withDefaults(value[name] ?? {}, byDefault);
    else whole[name] = value[name] ?? byDefault;
  }
  const { watchdog, workload } = whole;
  const given = isSection(value['watchdog']) && Object.hasOwn(value['watchdog'], 'timeoutS');
  if (!given && isSection(watchdog) && isSection(workload) && workload['level'] === 2) watchdog['timeoutS'] = LEVEL_2_WATCHDOG_S;
  return whole;
}

function checkFence({ fence }: CoServerConfig, errors: string[]): void {
  if (fence.address === '') return;
  if (fence.username === '') errors.push("fence.username: missing, the user of the partner's BMC is needed");
  if (fence.passwordFile === '') errors.push('fence.passwordFile: missing, a file with its password is needed');
}

function checkLevel({ workload, watchdog }: CoServerConfig, errors: string[]): void {
  if (workload.level === 2 && watchdog.device === '')
    errors.push(
      'watchdog.device: missing, workload.level 2 needs one: without it a server that only stood still could speak again after its guest was started on the other',
    );
}

function check(value: unknown, shape: Shape, at: string, errors: string[]): void {
  if (!isSection(value)) {
    errors.push(`${at.slice(0, -1) || 'the file'}: a section with ${Object.keys(shape).join(', ')} is needed`);
    return;
  }
  for (const key of Object.keys(value)) if (!Object.hasOwn(shape, key)) errors.push(`${at}${key}: unknown key`);
  for (const [key, rule] of Object.entries(shape)) {
    const found = value[key];
    const name = `${at}${key}`;
    if (typeof rule === 'function') {
      const needed = rule(found);
      if (needed) errors.push(`${name}: ${found === undefined ? 'missing' : `'${String(found)}'`}, ${needed} is needed`);
    } else if (Array.isArray(rule)) {
      if (!Array.isArray(found) || found.length === 0) errors.push(`${name}: a list with at least one entry is needed`);
      else for (const [i, entry] of found.entries()) check(entry, rule[0], `${name}[${i}].`, errors);
    } else check(found, rule, `${name}.`, errors);
  }
}
