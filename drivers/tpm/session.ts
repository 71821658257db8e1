// A session that nobody on the way to the TPM can read or change: both make its key from a point on the curve that only this program and the TPM's
// own key can compute (part 1, chapters 11, 19, 21; annex C). So a listener on the board's bus learns nothing of what is sealed. Pure.
import { createCipheriv, createDecipheriv, createECDH, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import {
  type Answer,
  type Command,
  decodeAnswer,
  encodeCommand,
  encodeSession,
  type Point,
  Reader,
  sha256,
  sized,
  startAuthSession,
  u32,
} from './codec.ts';

const NONCE_BYTES = 16;
const KEY_BYTES = 16;
const COORDINATE_BYTES = 32;

/** Chance, as bytes: tests say which. */
export type Random = (bytes: number) => Buffer;
export const RANDOM: Random = (bytes) => randomBytes(bytes);

const label = (text: string): Buffer => Buffer.from(`${text}\0`, 'latin1');

/** KDFa with SHA-256, for up to 32 bytes. */
export function kdfA(key: Buffer, use: string, u: Buffer, v: Buffer, bytes: number): Buffer {
  const hmac = createHmac('sha256', key).update(Buffer.concat([u32(1), label(use), u, v, u32(bytes * 8)]));
  return hmac.digest().subarray(0, bytes);
}

/** KDFe with SHA-256. */
export const kdfE = (shared: Buffer, use: string, u: Buffer, v: Buffer): Buffer => sha256(u32(1), shared, label(use), u, v);

/** A number of the curve in its whole length. */
const whole = (coordinate: Buffer): Buffer => Buffer.concat([Buffer.alloc(Math.max(0, COORDINATE_BYTES - coordinate.length)), coordinate]);

export interface Salt {
  /** For the TPM. */
  point: Point;
  /** Only known here and there. */
  secret: Buffer;
}

/** @param key The TPM's: not as it answers now, but as it was when the secret was sealed, or whoever stands in between answers with their own. */
export function makeSalt(key: Point, random: Random): Salt {
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(random(COORDINATE_BYTES));
  const own = ecdh.getPublicKey();
  const point = { x: own.subarray(1, 1 + COORDINATE_BYTES), y: own.subarray(1 + COORDINATE_BYTES) };
  const x = whole(key.x);
  const shared = ecdh.computeSecret(Buffer.concat([Buffer.from([4]), x, whole(key.y)]));
  return { point, secret: kdfE(shared, 'SECRET', point.x, x) };
}

/** The answer was not made by the TPM that has the key, or something changed it on its way. */
export class TpmForged extends Error {
  override name = 'TpmForged';
}

export class Session {
  readonly handle: number;
  readonly #key: Buffer;
  readonly #random: Random;
  #nonceTpm: Buffer;

  private constructor(handle: number, key: Buffer, nonceTpm: Buffer, random: Random) {
    this.handle = handle;
    this.#key = key;
    this.#nonceTpm = nonceTpm;
    this.#random = random;
  }

  /** @param keyHandle Of the primary key. */
  static async start(
    exchange: (command: Buffer) => Promise<Buffer>,
    options: { keyHandle: number; key: Point; type: number; random: Random },
  ): Promise<Session> {
    const { keyHandle, key, type, random } = options;
    const salt = makeSalt(key, random);
    const nonce = random(NONCE_BYTES);
    const answer = decodeAnswer(await exchange(encodeCommand(startAuthSession(keyHandle, nonce, salt.point, type))), 1);
    const nonceTpm = new Reader(answer.parameters).sized();
    return new Session(answer.handles[0] ?? 0, kdfA(salt.secret, 'ATH', nonceTpm, nonce, 32), nonceTpm, random);
  }

  /**
   * A command under this session, which ends with it. `hides`: whether its first parameter is encrypted there, or the answer's back.
   * @param names Of the objects that its handles mean. Throws TpmForged when the answer is not the TPM's.
   */
  async run(
    exchange: (command: Buffer) => Promise<Buffer>,
    command: Command,
    names: readonly Buffer[],
    { attributes, hides, handles = 0 }: { attributes: number; hides: 'there' | 'back'; handles?: number },
  ): Promise<Answer> {
    const nonce = this.#random(NONCE_BYTES);
    const parameters = hides === 'there' ? this.#hide(command.parameters, nonce) : command.parameters;
    const cpHash = sha256(u32(command.code), ...names, parameters);
    const hmac = this.#hmac(cpHash, nonce, this.#nonceTpm, attributes);
    const authorisation = encodeSession({ handle: this.handle, nonce, attributes, hmac });
    const answer = decodeAnswer(await exchange(encodeCommand({ ...command, parameters }, authorisation)), handles);
    const { session } = answer;
    if (session === null) throw new TpmForged('an answer of the TPM has no session');
    this.#nonceTpm = session.nonce;
    const rpHash = sha256(u32(0, command.code), answer.parameters);
    const expected = this.#hmac(rpHash, session.nonce, nonce, session.attributes);
    if (expected.length !== session.hmac.length || !timingSafeEqual(expected, session.hmac))
      throw new TpmForged('an answer of the TPM was changed on its way, or another TPM gave it');
    return hides === 'back' ? { ...answer, parameters: this.#show(answer.parameters, nonce) } : answer;
  }

  #hmac(hash: Buffer, newer: Buffer, older: Buffer, attributes: number): Buffer {
    const hmac = createHmac('sha256', this.#key);
    return hmac.update(Buffer.concat([hash, newer, older, Buffer.from([attributes])])).digest();
  }

  /** Of a TPM2B only what is behind its length is encrypted. */
  #hide(parameters: Buffer, nonce: Buffer): Buffer {
    const reader = new Reader(parameters);
    const first = reader.sized();
    const keys = kdfA(this.#key, 'CFB', nonce, this.#nonceTpm, 2 * KEY_BYTES);
    const cipher = createCipheriv('aes-128-cfb', keys.subarray(0, KEY_BYTES), keys.subarray(KEY_BYTES));
    return Buffer.concat([sized(cipher.update(first), cipher.final()), reader.rest()]);
  }

  #show(parameters: Buffer, nonce: Buffer): Buffer {
    const reader = new Reader(parameters);
    const first = reader.sized();
    const keys = kdfA(this.#key, 'CFB', this.#nonceTpm, nonce, 2 * KEY_BYTES);
    const cipher = createDecipheriv('aes-128-cfb', keys.subarray(0, KEY_BYTES), keys.subarray(KEY_BYTES));
    return Buffer.concat([sized(cipher.update(first), cipher.final()), reader.rest()]);
  }
}
