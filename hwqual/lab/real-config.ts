// Reads real.yaml: the two real servers of a lab, how their BMCs and serial lines are reached, and what a person does for each fault.
// Checked whole; every error names the file, the key, what stands there and what is needed. Secrets are in files of their own.
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { LabError, messageOf } from './lab-error.ts';
import { LAB_FAULT_NAMES, type LabFault } from './lab-interface.ts';

export interface RealServer {
  bmc: { address: string; port: number; username: string; password: string; cipherSuite: 3 | 17 };
  /** Empty: none. */
  serial: { device: string; baudRate: number };
  /** Its web console on the management network; null: not given, and campaigns that look there do not run. */
  console: { address: string; port: number; password: string } | null;
}

/** Sentences that a person is asked, {server} in them is A or B. `clear` left out: an event, nothing is taken back. */
export interface PersonTask {
  inject: string;
  clear?: string;
}

export interface RealLabConfig {
  servers: Record<CoServerName, RealServer>;
  faults: Partial<Record<LabFault, PersonTask>>;
  /** Longest wait for the person. */
  personTimeoutMinutes: number;
}

/** IPMI 2.0, 22.28 and 22.30. */
const USERNAME_MAX_BYTES = 16;
const PASSWORD_MAX_BYTES = 20;
/** Anything beyond is not a password's file. */
const PASSWORD_FILE_MAX_BYTES = 256;
const DEFAULT_PORT = 623;
const DEFAULT_WEB_PORT = 443;
/** Of an operator's web console: enough for a sentence. */
const WEB_PASSWORD_MAX_BYTES = 128;
const DEFAULT_BAUD_RATE = 115_200;
const DEFAULT_PERSON_MINUTES = 15;
const OTHERS_MAY_READ = 0o077;

/** Throws a LabError with every mistake, a line each. Paths in the file may be relative to it. */
export function loadRealLab(path: string): RealLabConfig {
  let document: unknown;
  try {
    document = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new LabError(`${path} cannot be read: ${messageOf(error)}`, 'copy hwqual/lab/real.example.yaml and fill it in');
  }
  const reader = new Reader(path);
  const config = readLab(reader, document);
  if (reader.mistakes.length > 0)
    throw new LabError(reader.mistakes.map((m) => `${path}: ${m}`).join('\n'), 'see hwqual/lab/real.example.yaml');
  return config;
}

class Reader {
  readonly mistakes: string[] = [];
  readonly folder: string;

  constructor(path: string) {
    this.folder = dirname(resolve(path));
  }

  wrong(key: string, value: unknown, needed: string): void {
    this.mistakes.push(`${key}: ${value === undefined ? 'missing' : JSON.stringify(value)}, ${needed} is needed`);
  }

  /** The object at `key`, without keys that nobody knows: a misspelt one would silently do nothing. */
  object(key: string, value: unknown, known: readonly string[]): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.wrong(key, value, `an object with ${known.join(', ')}`);
      return {};
    }
    for (const name of Object.keys(value))
      if (!known.includes(name)) this.mistakes.push(`${key}.${name}: is not known; there are ${known.join(', ')}`);
    return value as Record<string, unknown>;
  }

  text(key: string, value: unknown, needed: string, fits: (text: string) => boolean): string {
    if (typeof value === 'string' && fits(value)) return value;
    this.wrong(key, value, needed);
    return '';
  }

  whole(key: string, value: unknown, least: number, most: number, otherwise: number): number {
    if (value === undefined) return otherwise;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    this.wrong(key, value, `a whole number from ${least} to ${most}`);
    return otherwise;
  }

  /** The only line of a file that nobody else may read. Never said in an error. */
  secret(key: string, value: unknown, maxBytes = PASSWORD_MAX_BYTES): string {
    const path = resolve(
      this.folder,
      this.text(key, value, 'the path of a file with the password in a line', (t) => t !== ''),
    );
    if (typeof value !== 'string' || value === '') return '';
    try {
      const { mode, size } = statSync(path);
      if ((mode & OTHERS_MAY_READ) !== 0) this.mistakes.push(`${key}: others may read ${path}; chmod 600 ${path}`);
      const lines = size > PASSWORD_FILE_MAX_BYTES ? [] : readFileSync(path, 'utf8').trimEnd().split('\n');
      const [password = ''] = lines;
      if (lines.length === 1 && password !== '' && Buffer.byteLength(password) <= maxBytes) return password;
      this.mistakes.push(`${key}: ${path} must hold a password of 1 to ${maxBytes} bytes in one line`);
    } catch (error) {
      this.mistakes.push(`${key}: ${path} cannot be read: ${messageOf(error)}`);
    }
    return '';
  }
}

function readLab(reader: Reader, document: unknown): RealLabConfig {
  const top = reader.object('the file', document, ['servers', 'faults', 'personTimeoutMinutes']);
  const servers = reader.object('servers', top.servers, ['A', 'B']);
  const config = {
    servers: { A: readServer(reader, 'servers.A', servers.A), B: readServer(reader, 'servers.B', servers.B) },
    faults: readFaults(reader, top.faults ?? {}),
    personTimeoutMinutes: reader.whole('personTimeoutMinutes', top.personTimeoutMinutes, 1, 24 * 60, DEFAULT_PERSON_MINUTES),
  };
  const { A, B } = config.servers;
  if (A.bmc.address !== '' && A.bmc.address === B.bmc.address && A.bmc.port === B.bmc.port)
    reader.mistakes.push(`servers.B.bmc.address: ${B.bmc.address} is A's BMC too; each server has one of its own`);
  if (A.serial.device !== '' && A.serial.device === B.serial.device)
    reader.mistakes.push(`servers.B.serial.device: ${B.serial.device} is A's too; each console has a line of its own`);
  return config;
}

function readServer(reader: Reader, key: string, value: unknown): RealServer {
  const server = reader.object(key, value, ['bmc', 'serial', 'console']);
  const bmc = reader.object(`${key}.bmc`, server.bmc, ['address', 'port', 'username', 'passwordFile', 'cipherSuite']);
  const serial = server.serial === undefined ? {} : reader.object(`${key}.serial`, server.serial, ['device', 'baudRate']);
  const web = server.console === undefined ? null : reader.object(`${key}.console`, server.console, ['address', 'port', 'passwordFile']);
  const suite = bmc.cipherSuite ?? 17;
  if (suite !== 3 && suite !== 17) reader.wrong(`${key}.bmc.cipherSuite`, suite, '3 or 17');
  return {
    bmc: {
      address: reader.text(`${key}.bmc.address`, bmc.address, 'an IP address', (t) => isIP(t) !== 0),
      port: reader.whole(`${key}.bmc.port`, bmc.port, 1, 65535, DEFAULT_PORT),
      username: reader.text(
        `${key}.bmc.username`,
        bmc.username,
        `a user of 1 to ${USERNAME_MAX_BYTES} bytes`,
        (t) => t !== '' && Buffer.byteLength(t) <= USERNAME_MAX_BYTES,
      ),
      password: reader.secret(`${key}.bmc.passwordFile`, bmc.passwordFile),
      cipherSuite: suite === 3 ? 3 : 17,
    },
    serial: {
      device:
        serial.device === undefined
          ? ''
          : reader.text(`${key}.serial.device`, serial.device, 'the path of a serial device', (t) => t.startsWith('/')),
      baudRate: reader.whole(`${key}.serial.baudRate`, serial.baudRate, 1200, 4_000_000, DEFAULT_BAUD_RATE),
    },
    console: web && {
      address: reader.text(`${key}.console.address`, web.address, 'an IP address', (t) => isIP(t) !== 0),
      port: reader.whole(`${key}.console.port`, web.port, 1, 65535, DEFAULT_WEB_PORT),
      password: reader.secret(`${key}.console.passwordFile`, web.passwordFile, WEB_PASSWORD_MAX_BYTES),
    },
  };
}

function readFaults(reader: Reader, value: unknown): RealLabConfig['faults'] {
  const faults: RealLabConfig['faults'] = {};
  for (const [name, task] of Object.entries(reader.object('faults', value, LAB_FAULT_NAMES))) {
    const fault = LAB_FAULT_NAMES.find((f) => f === name);
    if (fault === undefined) continue;
    const key = `faults.${name}`;
    const sentences = reader.object(key, task, ['inject', 'clear']);
    const sentence = (which: 'inject' | 'clear') =>
      reader.text(`${key}.${which}`, sentences[which], 'a sentence that tells a person what to do', (t) => t.trim() !== '');
    faults[fault] = { inject: sentence('inject'), ...(sentences.clear === undefined ? {} : { clear: sentence('clear') }) };
  }
  return faults;
}
