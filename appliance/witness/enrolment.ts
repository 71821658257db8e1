// The pairs a witness serves: one file each, with the key that only they and this witness have. The enrolment is the text that
// brings it here: made on a CoServer, fed to `twinstep witness enrol`. It holds the witness's key, never the pair's.
//
//   twinstep-witness-enrolment 1
//   pair 00112233445566778899aabbccddeeff
//   key  (64 hex digits)
//   sum  (first 8 hex digits of the SHA-256 of the lines above)
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** A refusal for whoever set the witness up: says what is wrong and what helps. */
export class WitnessSetupError extends Error {
  override name = 'WitnessSetupError';
}

export interface Enrolment {
  /** 32 hex digits. */
  pairId: string;
  /** 32 bytes: deriveKey(pair key, 'witness'). */
  key: Buffer;
}

/** So that connections stay within what one process may have open (server.ts). */
export const MAXIMUM_PAIRS = 1_000;
const TITLE = 'twinstep-witness-enrolment 1';
const PAIR_ID = /^[0-9a-f]{32}$/;

export function isPairId(text: string): boolean {
  return PAIR_ID.test(text);
}

export function formatEnrolment({ pairId, key }: Enrolment): string {
  const text = `${TITLE}\npair ${pairId}\nkey  ${key.toString('hex')}\n`;
  return `${text}sum  ${checksum(text)}\n`;
}

/** Throws a WitnessSetupError that names what is wrong, never what the key is. */
export function parseEnrolment(source: string): Enrolment {
  const lines = source
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words[0] !== '');
  const value = (i: number, name: string) => (lines[i]?.[0] === name && lines[i]?.length === 2 ? (lines[i]?.[1] ?? '') : '');
  const [pairId, key, sum] = [value(1, 'pair'), value(2, 'key'), value(3, 'sum')];
  if (lines[0]?.join(' ') !== TITLE)
    throw new WitnessSetupError(`this is no enrolment: its first line must be '${TITLE}'. Make one on a CoServer: twinstep witness-key`);
  if (!PAIR_ID.test(pairId) || !/^[0-9a-f]{64}$/.test(key) || lines.length !== 4)
    throw new WitnessSetupError(
      'the enrolment is not whole: after its first line come pair (32 hex digits), key (64 hex digits) and sum, one a line',
    );
  const enrolment = { pairId, key: Buffer.from(key, 'hex') };
  if (formatEnrolment(enrolment).trim().split(/\s+/).at(-1) !== sum)
    throw new WitnessSetupError('the enrolment was changed on its way: its sum does not fit. Copy it again');
  return enrolment;
}

/** The folder of the enrolled pairs. Read anew at each use: what is enrolled counts at once. */
export class PairFolder {
  readonly path: string;

  constructor(stateDir: string) {
    this.path = join(stateDir, 'pairs');
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
  }

  list(): string[] {
    return readdirSync(this.path)
      .filter((name) => name.endsWith('.key') && PAIR_ID.test(name.slice(0, -4)))
      .map((name) => name.slice(0, -4))
      .sort();
  }

  has(pairId: string): boolean {
    return PAIR_ID.test(pairId) && existsSync(this.#file(pairId));
  }

  /** Null: not enrolled. Throws when its file cannot be read or is damaged. */
  key(pairId: string): Buffer | null {
    if (!this.has(pairId)) return null;
    const file = this.#file(pairId);
    try {
      return parseEnrolment(readFileSync(file, 'utf8')).key;
    } catch (e) {
      throw new WitnessSetupError(`${file}: ${(e as Error).message}`);
    }
  }

  /** 'added', or 'known' when this very enrolment was here already. */
  add(enrolment: Enrolment): 'added' | 'known' {
    const { pairId, key } = enrolment;
    const known = this.key(pairId);
    if (known?.equals(key)) return 'known';
    if (known)
      throw new WitnessSetupError(
        `pair ${pairId} is enrolled with another key. If it was paired anew: twinstep witness remove ${pairId}, then enrol it again`,
      );
    if (this.list().length >= MAXIMUM_PAIRS)
      throw new WitnessSetupError(`${MAXIMUM_PAIRS} pairs are enrolled, more are not served: remove some, or use another witness`);
    const file = this.#file(pairId);
    // Enrolled by root, in a folder of the service's own user: what that one may have put in the way (a link to a file of root's) is not followed.
    rmSync(`${file}.new`, { force: true });
    const fd = openSync(`${file}.new`, 'wx', 0o600);
    try {
      writeSync(fd, formatEnrolment(enrolment));
      const { uid, gid } = statSync(this.path);
      if (process.getuid?.() === 0) fchownSync(fd, uid, gid);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${file}.new`, file);
    return 'added';
  }

  remove(pairId: string): void {
    if (!this.has(pairId)) throw new WitnessSetupError(`pair '${pairId}' is not enrolled: twinstep witness list shows those that are`);
    rmSync(this.#file(pairId));
  }

  #file(pairId: string): string {
    return join(this.path, `${pairId}.key`);
  }
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
