// The questions of the first start: which there are, what is proposed, and what is wrong with an answer. The same for screen and answer file. Pure.
import { isIPv4 } from 'node:net';
import { PASSWORD_MAX_CHARS, passwordHashProblem } from '../console/api/password.ts';
import { SECRET_PATTERN, SECRET_WORDS } from './unattended-proof.ts';

/** As they are called in an answer file. Values are texts, as they are typed. */
export const QUESTIONS = [
  'coServer',
  'management.address',
  'management.gateway',
  'witness.address',
  'witness.port',
  'fence.address',
  'fence.username',
  'fence.password',
  'fence.cipherSuite',
  'bmc.address',
  'bmc.username',
  'bmc.password',
  'bmc.cipherSuite',
  'password',
  'clock',
  'guest.name',
  'guest.level',
  'guest.memoryMiB',
  'guest.cpus',
  'guest.disk',
  'guest.diskMiB',
  'guest.kernel',
  'guest.initrd',
  'guest.append',
  'guest.readyMarker',
] as const;
export type Question = (typeof QUESTIONS)[number];
export type Answers = Readonly<Record<Question, string>>;

/** The same on both CoServers: told once, taken over by the other one. */
export const SHARED: readonly Question[] = [
  'witness.address',
  'witness.port',
  'guest.name',
  'guest.level',
  'guest.memoryMiB',
  'guest.cpus',
  'guest.diskMiB',
  'guest.append',
  'guest.readyMarker',
];

export const STATE_FOLDER = '/var/lib/twinstep';

export const PROPOSED: Answers = {
  coServer: '',
  'management.address': '',
  'management.gateway': '',
  'witness.address': '',
  'witness.port': '7410',
  'fence.address': '',
  'fence.username': '',
  'fence.password': '',
  'fence.cipherSuite': '17',
  'bmc.address': '',
  'bmc.username': '',
  'bmc.password': '',
  'bmc.cipherSuite': '17',
  password: '',
  clock: '',
  'guest.name': 'guest',
  'guest.level': '3',
  'guest.memoryMiB': '2048',
  'guest.cpus': '1',
  'guest.disk': `${STATE_FOLDER}/disks/guest`,
  'guest.diskMiB': '8192',
  'guest.kernel': `${STATE_FOLDER}/guest/kernel`,
  'guest.initrd': `${STATE_FOLDER}/guest/initrd`,
  'guest.append': 'console=ttyS0',
  'guest.readyMarker': '',
};

export const PASSWORD_MIN_CHARS = 12;

/** What everybody tries first, in any capitals, and what fills twelve places with nothing. */
const GUESSED = /^(.{1,4})\1+$|password|passwort|twinstep|12345|qwert|abcdef/i;

/** Null: it may be used. Never repeats what was typed. */
export function passwordProblem(password: string): string | null {
  const characters = [...password].length;
  if (characters < PASSWORD_MIN_CHARS)
    return `The password needs ${PASSWORD_MIN_CHARS} characters or more: three or four unrelated words are easy to keep.`;
  if (password.length > PASSWORD_MAX_CHARS) return `The password may have ${PASSWORD_MAX_CHARS} characters.`;
  if (GUESSED.test(password)) return 'That password is among the first that are tried: choose unrelated words.';
  return null;
}

/** Addresses of the dedicated links: of the range that no router forwards (RFC 3927), so that they meet no other network. */
export const LINK_NETWORKS = ['169.254.76', '169.254.77'] as const;

interface Cidr {
  address: string;
  bits: number;
}

export function parseCidr(text: string): Cidr | null {
  const [address = '', bits = '', more] = text.split('/');
  if (more !== undefined || !isIPv4(address) || !/^\d{1,2}$/.test(bits)) return null;
  return Number(bits) >= 1 && Number(bits) <= 32 ? { address, bits: Number(bits) } : null;
}

const toNumber = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);

export function isInNetwork(address: string, { address: other, bits }: Cidr): boolean {
  const size = 2 ** (32 - bits);
  return Math.floor(toNumber(address) / size) === Math.floor(toNumber(other) / size);
}

const whole = (text: string, least: number, most: number): string | null =>
  /^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most ? null : `A whole number from ${least} to ${most} is needed.`;

/** What is wrong with this answer, a sentence with its remedy; null: nothing. */
export function answerProblem(question: Question, answers: Answers): string | null {
  const text = answers[question];
  switch (question) {
    case 'coServer':
      return text === 'A' || text === 'B' ? null : 'Choose A or B: the other server gets the other letter.';
    case 'management.address': {
      const cidr = parseCidr(text);
      if (!cidr) return 'An IPv4 address and the length of its network are needed, like 192.0.2.21/24.';
      if (LINK_NETWORKS.some((n) => isInNetwork(cidr.address, { address: `${n}.0`, bits: 24 })))
        return `${cidr.address} belongs to the links between the servers: choose another one.`;
      return null;
    }
    case 'management.gateway': {
      const cidr = parseCidr(answers['management.address']);
      if (text === '') return null;
      if (!isIPv4(text)) return 'The address of a router is needed, like 192.0.2.1, or nothing.';
      return cidr && !isInNetwork(text, cidr)
        ? `${text} is not in the network ${answers['management.address']}: no router can be reached there.`
        : null;
    }
    case 'witness.address':
      return isIPv4(text)
        ? null
        : 'The address of the witness is needed, like 192.0.2.100: the computer that decides when the links are cut.';
    case 'witness.port':
      return whole(text, 1, 65_535);
    case 'fence.address':
      return bmcProblem('address', "the other server's BMC", text, answers['fence.address']);
    case 'fence.username':
      return bmcProblem('username', "the other server's BMC", text, answers['fence.address']);
    case 'fence.password':
      return bmcProblem('password', "the other server's BMC", text, answers['fence.address']);
    case 'fence.cipherSuite':
      return bmcProblem('cipherSuite', "the other server's BMC", text, answers['fence.address']);
    case 'bmc.address':
      return bmcProblem('address', "this server's BMC", text, answers['bmc.address']);
    case 'bmc.username':
      return bmcProblem('username', "this server's BMC", text, answers['bmc.address']);
    case 'bmc.password':
      return bmcProblem('password', "this server's BMC", text, answers['bmc.address']);
    case 'bmc.cipherSuite':
      return bmcProblem('cipherSuite', "this server's BMC", text, answers['bmc.address']);
    case 'password':
      return passwordHashProblem(text) === null && text !== '' ? null : 'A password is needed.';
    case 'clock':
      return text === '' || parseClock(text) !== null ? null : 'Date and time are needed in UTC, like 2030-01-31 17:05, or nothing.';
    case 'guest.name':
      return /^[\x21-\x7e]{1,32}$/.test(text) ? null : 'A name without blanks is needed, of at most 32 characters.';
    case 'guest.level':
      return text === '2' || text === '3' ? null : '2 or 3 is needed.';
    case 'guest.memoryMiB':
      return whole(text, 16, 1 << 20);
    case 'guest.cpus':
      return whole(text, 1, 64);
    case 'guest.diskMiB':
      return whole(text, 1, 1 << 26);
    case 'guest.disk':
    case 'guest.kernel':
    case 'guest.initrd':
      return /^\/\S+$/.test(text) ? null : 'An absolute path is needed, like /var/lib/twinstep/disks/guest.';
    case 'guest.append':
    case 'guest.readyMarker':
      return null;
    default:
      return question satisfies never;
  }
}

function bmcProblem(
  what: 'address' | 'username' | 'password' | 'cipherSuite',
  whose: string,
  text: string,
  address: string,
): string | null {
  switch (what) {
    case 'address':
      return text === '' || isIPv4(text) ? null : `The address of ${whose} is needed, like 192.0.2.12, or nothing.`;
    case 'username':
      return address === '' || text !== '' ? null : `The user of ${whose} is needed.`;
    case 'password':
      if (address === '') return null;
      // IPMI 2.0, 22.30.
      return text !== '' && Buffer.byteLength(text) <= 20 ? null : `The password of ${whose} is needed: 1 to 20 characters.`;
    case 'cipherSuite':
      return text === '17' || text === '3' ? null : `17 is needed, or 3 if ${whose} has no better one.`;
    default:
      return what satisfies never;
  }
}

/** '2030-01-31 17:05' or '2030-01-31 17:05:30', UTC -> ms since 1970. Null: it is no such time, or one before this was written. */
export function parseClock(text: string): number | null {
  const found = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(:\d\d)?Z?$/.exec(text.trim());
  if (!found) return null;
  const ms = Date.parse(`${found[1]}T${found[2]}${found[3] ?? ':00'}Z`);
  return Number.isNaN(ms) || ms < Date.UTC(2025, 0) || ms > Date.UTC(2100, 0) || !new Date(ms).toISOString().startsWith(found[1] ?? '')
    ? null
    : ms;
}

export function pairingSecretProblem(secret: string): string | null {
  return SECRET_PATTERN.test(secret) ? null : `${SECRET_WORDS}`;
}

/** The first answer that is wrong, in the order of the questions. */
export function firstProblem(questions: readonly Question[], answers: Answers): { question: Question; problem: string } | null {
  for (const question of questions) {
    const problem = answerProblem(question, answers);
    if (problem !== null) return { question, problem };
  }
  return null;
}
