// From nothing to the keys of a session. A step without an answer is asked once more; then, or when the BMC has lost the thread, all begins
// afresh: new ids, new random numbers. So a lost, late or doubled packet costs time and never leads into a state that only one side knows.
// What is given is a number of silences: timeoutMs x (retries + 1) is the longest that nobody answers.
import { randomBytes, randomInt } from 'node:crypto';
import { decodePacket, encodePlain, PAYLOAD } from './rmcp.ts';
import {
  decodeOpenSessionResponse,
  decodeRakp2,
  decodeRakp4,
  encodeOpenSessionRequest,
  encodeRakp1,
  encodeRakp3,
  NAME_ONLY_LOOKUP,
  PRIVILEGE,
  STATUS_TEXT,
  SUITE_ALGORITHMS,
} from './session-codec.ts';
import {
  type Exchange,
  KEY_BYTES,
  padKey,
  rakp2Code,
  rakp3Code,
  type SessionKeys,
  sameBytes,
  sessionKeys,
  suiteHash,
} from './session-keys.ts';
import type { Transport } from './transport.ts';
import { type CipherSuite, IpmiCodecError, IpmiError, type IpmiOptions } from './types.ts';

const USERNAME_MAX_BYTES = 16;
/** Statuses (13.24) that a fresh attempt may overcome: they speak of a state, not of us. */
const STATUS_TRANSIENT = new Set([0x02, 0x03, 0x08]);
const STATUS_NO_ROOM = new Set([0x01, 0x0b]);
const STATUS_SUITE = new Set([0x04, 0x05, 0x06, 0x07, 0x10, 0x11]);
const STATUS_NAME = new Set([0x0c, 0x0d]);
const STATUS_PASSWORD = 0x0f;
/** A wrong code in RAKP 2 or 4 is a wrong password, or a packet that was damaged or forged: it must happen in this many attempts. */
const WRONG_CODES_TO_REFUSE = 2;
/** Of one packet in one attempt. */
const SENDS_PER_STEP = 2;
/** Attempts that end by answers, without a silence: a BMC that always loses the thread. */
const MAX_ATTEMPTS = 16;

export interface Opened {
  keys: SessionKeys;
  suite: CipherSuite;
  clientId: number;
  bmcId: number;
  guid: Buffer;
}

export interface Timing {
  timeoutMs: number;
  retries: number;
}

/** What came of one attempt. */
type Attempt =
  | { kind: 'opened'; opened: Opened }
  | { kind: 'silence' }
  | { kind: 'status'; status: number }
  | { kind: 'wrongCode' }
  | { kind: 'otherSuite' };

/** Throws an IpmiError: unreachable, refused, cipherSuite, busy, aborted. */
export async function openSession(
  transport: Transport,
  options: IpmiOptions,
  suite: CipherSuite,
  timing: Timing,
  signal: AbortSignal | undefined,
): Promise<Opened> {
  const credentials = checkedCredentials(options);
  let wrongCodes = 0;
  let status = 0;
  const patience: Patience = { timeoutMs: timing.timeoutMs, silences: timing.retries + 1 };
  for (let i = 0; i < MAX_ATTEMPTS && patience.silences > 0; i++) {
    const attempt = await tryOpen(transport, options, credentials, suite, patience, signal);
    switch (attempt.kind) {
      case 'opened':
        return attempt.opened;
      case 'silence':
        break;
      case 'wrongCode':
        wrongCodes++;
        if (wrongCodes >= WRONG_CODES_TO_REFUSE) throw refusedPassword(transport, options);
        break;
      case 'otherSuite':
        throw noSuite(transport, suite);
      case 'status':
        status = attempt.status;
        if (!STATUS_TRANSIENT.has(status)) throw statusError(status, transport, options, suite);
        break;
      default: {
        const never: never = attempt;
        throw new Error(`unknown attempt ${JSON.stringify(never)}`);
      }
    }
  }
  if (wrongCodes > 0) throw refusedPassword(transport, options);
  if (status !== 0) throw statusError(status, transport, options, suite);
  const total = timing.timeoutMs * (timing.retries + 1);
  throw new IpmiError(
    'unreachable',
    `${transport.name} does not answer within ${total} ms${transport.trouble ? ` (${transport.trouble})` : ''}`,
  );
}

interface Patience {
  timeoutMs: number;
  /** Left to be endured. */
  silences: number;
}

interface Credentials {
  username: Buffer;
  userKey: Buffer;
  bmcKey: Buffer;
  role: number;
}

function checkedCredentials(options: IpmiOptions): Credentials {
  const username = Buffer.from(options.username);
  const password = Buffer.from(options.password);
  const bmcKey = options.bmcKey === undefined || options.bmcKey === '' ? undefined : Buffer.from(options.bmcKey);
  if (username.length > USERNAME_MAX_BYTES)
    throw new IpmiError('refused', `a BMC knows user names of up to ${USERNAME_MAX_BYTES} bytes, not "${options.username}"`);
  for (const [what, key] of [
    ['password', password],
    ['BMC key', bmcKey],
  ] as const)
    if (key !== undefined && key.length > KEY_BYTES)
      throw new IpmiError('refused', `the ${what} for '${options.username}' has ${key.length} bytes; IPMI 2.0 allows ${KEY_BYTES}`);
  const role = PRIVILEGE[options.privilege ?? 'operator'] | (options.lookup === 'nameAndPrivilege' ? 0 : NAME_ONLY_LOOKUP);
  return { username, userKey: padKey(password), bmcKey: padKey(bmcKey ?? password), role };
}

async function tryOpen(
  transport: Transport,
  options: IpmiOptions,
  credentials: Credentials,
  suite: CipherSuite,
  patience: Patience,
  signal: AbortSignal | undefined,
): Promise<Attempt> {
  const { hashBytes, codeBytes } = suiteHash(suite);
  const tag = randomInt(256);
  const clientId = randomInt(1, 0xffffffff);
  const ask = <T extends { tag: number; status: number; clientId: number | undefined }>(
    type: number,
    payload: Buffer,
    answerType: number,
    decode: (b: Buffer) => T,
  ) =>
    insist(transport, encodePlain(type, payload), patience, signal, (packet) => {
      const p = decodePacket(packet, codeBytes);
      if (p.kind !== 'plain' || p.payloadType !== answerType) return undefined;
      const m = decode(p.payload);
      return m.tag === tag && (m.clientId === clientId || (m.clientId === undefined && m.status !== 0)) ? m : undefined;
    });

  const algorithms = SUITE_ALGORITHMS[suite];
  const open = encodeOpenSessionRequest({ tag, privilege: PRIVILEGE[options.privilege ?? 'operator'], clientId, algorithms });
  const opened = await ask(PAYLOAD.openSessionRequest, open, PAYLOAD.openSessionResponse, decodeOpenSessionResponse);
  if (opened === undefined) return { kind: 'silence' };
  if (!('bmcId' in opened)) return { kind: 'status', status: opened.status };
  // Never weaker than asked for.
  const got = opened.algorithms;
  if (
    got.authentication !== algorithms.authentication ||
    got.integrity !== algorithms.integrity ||
    got.confidentiality !== algorithms.confidentiality
  )
    return { kind: 'otherSuite' };

  const { bmcId } = opened;
  const clientRandom = randomBytes(16);
  const { role, username, userKey, bmcKey } = credentials;
  const rakp1 = encodeRakp1({ tag, bmcId, clientRandom, role, username });
  const rakp2 = await ask(PAYLOAD.rakp1, rakp1, PAYLOAD.rakp2, (b) => decodeRakp2(b, hashBytes));
  if (rakp2 === undefined) return { kind: 'silence' };
  if (!('code' in rakp2)) return { kind: 'status', status: rakp2.status };
  const guid = Buffer.from(rakp2.guid);
  const exchange: Exchange = { suite, clientId, bmcId, clientRandom, bmcRandom: rakp2.bmcRandom, guid, role, username, userKey, bmcKey };
  if (!sameBytes(rakp2Code(exchange), rakp2.code)) {
    // Lets it forget the session at once (13.22).
    transport.send(encodePlain(PAYLOAD.rakp3, encodeRakp3({ tag, status: STATUS_PASSWORD, bmcId, code: Buffer.alloc(0) })));
    return { kind: 'wrongCode' };
  }

  const rakp3 = encodeRakp3({ tag, status: 0, bmcId, code: rakp3Code(exchange) });
  const rakp4 = await ask(PAYLOAD.rakp3, rakp3, PAYLOAD.rakp4, (b) => decodeRakp4(b, codeBytes));
  if (rakp4 === undefined) return { kind: 'silence' };
  if (rakp4.status !== 0) return { kind: 'status', status: rakp4.status };
  const keys = sessionKeys(exchange);
  if (!sameBytes(keys.rakp4Code, rakp4.code)) return { kind: 'wrongCode' };
  return { kind: 'opened', opened: { keys, suite, clientId, bmcId, guid } };
}

async function insist<T>(
  transport: Transport,
  packet: Buffer,
  patience: Patience,
  signal: AbortSignal | undefined,
  read: (packet: Buffer) => T | undefined,
): Promise<T | undefined> {
  for (let sent = 0; sent < SENDS_PER_STEP && patience.silences > 0; sent++) {
    const answer = await question(transport, packet, patience.timeoutMs, signal, read);
    if (answer !== undefined) return answer;
    patience.silences--;
  }
  return undefined;
}

/** One packet out, the first answer that `read` takes in; undefined after timeoutMs. */
async function question<T>(
  transport: Transport,
  packet: Buffer,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  read: (packet: Buffer) => T | undefined,
): Promise<T | undefined> {
  let abort = (): void => undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<T | undefined>((resolve, reject) => {
      abort = () => reject(new IpmiError('aborted', `${transport.name}: given up`));
      if (signal?.aborted) return abort();
      signal?.addEventListener('abort', abort);
      timer = setTimeout(() => resolve(undefined), timeoutMs);
      transport.onPacket = (answer) => {
        try {
          const taken = read(answer);
          if (taken !== undefined) resolve(taken);
        } catch (error) {
          // Not from a BMC in its senses: as if it had not come.
          if (!(error instanceof IpmiCodecError)) reject(error);
        }
      };
      transport.send(packet);
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    transport.onPacket = () => undefined;
  }
}

function refusedPassword(transport: Transport, options: IpmiOptions): IpmiError {
  const key = options.bmcKey === undefined ? '' : ', or the BMC key';
  return new IpmiError('refused', `${transport.name} refused the password${key} for '${options.username}'`);
}

function noSuite(transport: Transport, suite: CipherSuite): IpmiError {
  return new IpmiError('cipherSuite', `${transport.name} does not offer cipher suite ${suite}`);
}

function statusError(status: number, transport: Transport, options: IpmiOptions, suite: CipherSuite): IpmiError {
  if (STATUS_SUITE.has(status)) return noSuite(transport, suite);
  if (status === STATUS_PASSWORD) return refusedPassword(transport, options);
  if (STATUS_NAME.has(status)) return new IpmiError('refused', `${transport.name} does not know the user '${options.username}'`);
  const text = STATUS_TEXT[status] ?? `status 0x${status.toString(16)}`;
  if (STATUS_NO_ROOM.has(status)) return new IpmiError('busy', `${transport.name} has no room for a session: ${text}`);
  if (STATUS_TRANSIENT.has(status)) return new IpmiError('garbled', `${transport.name} refused the session: ${text}`);
  const privilege = options.privilege ?? 'operator';
  return new IpmiError('refused', `${transport.name} refused a session as ${privilege} for '${options.username}': ${text}`);
}
