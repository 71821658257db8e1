// What two CoServers that know nothing of each other agree upon: X25519, a short code that an operator compares, and the keys.
//
// Pure: randomness is an argument. A commits to its public key and nonce before B answers, and reveals them afterwards: whoever
// stands between them has to choose what he says to B before he knows what A will reveal, so that he has one guess in a
// million at the code, not a search. RFC 7748 (X25519; clause 6.1: the all-zero secret is refused), RFC 5869 (HKDF).
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto';
import { deriveKey, PAIR_KEY_BYTES } from '../wire/keys.ts';
import { PAIRING_VERSION, type PairingMessage, signedBytes } from '../wire/pairing.ts';

/** Bytes that `ownKeys` takes: a private key and a nonce. */
export const SECRET_BYTES = 64;
export const CODE_DIGITS = 6;
/** DER around a raw X25519 key (RFC 8410, clauses 4 and 7). */
const PRIVATE_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
const PUBLIC_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');

export interface OwnKeys {
  privateKey: KeyObject;
  /** Hex, 32 bytes each. */
  publicKey: string;
  nonce: string;
}

/** @param random SECRET_BYTES bytes, used once. */
export function ownKeys(random: Uint8Array): OwnKeys {
  if (random.length !== SECRET_BYTES) throw new RangeError(`${random.length} random bytes instead of ${SECRET_BYTES}`);
  const privateKey = createPrivateKey({ key: Buffer.concat([PRIVATE_PREFIX, random.subarray(0, 32)]), format: 'der', type: 'pkcs8' });
  const der = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return {
    privateKey,
    publicKey: der.subarray(PUBLIC_PREFIX.length).toString('hex'),
    nonce: Buffer.from(random.subarray(32)).toString('hex'),
  };
}

/** What an attempt is bound to. */
export interface Offer {
  session: string;
  pairId: string;
  /** Of A. */
  publicKey: string;
  nonce: string;
}

/** SHA-256("twinstep pairing commitment", version, session, pair id, A's public key, A's nonce), hex. */
export function commitmentOf(offer: Offer): string {
  return digest('commitment', [offer.session, offer.pairId, offer.publicKey, offer.nonce]).toString('hex');
}

/** Fields have fixed lengths, so that nothing can be moved from one into the next. */
function digest(purpose: string, fields: readonly string[]): Buffer {
  const hash = createHash('sha256').update(`twinstep pairing ${purpose}\0`).update(Uint8Array.of(PAIRING_VERSION));
  for (const field of fields) hash.update(Buffer.from(field, 'hex'));
  return hash.digest();
}

export interface Agreement {
  /** CODE_DIGITS decimal digits. */
  code: string;
  /** Hex, PAIR_KEY_BYTES. */
  pairKey: string;
  /** Hex: for the `confirm` of each side. */
  confirmKeys: { A: string; B: string };
}

/** Null: the partner's public key is no honest one (low order: the secret would not depend on ours). */
export function agree(own: OwnKeys, me: 'A' | 'B', offer: Offer, answer: { publicKey: string; nonce: string }): Agreement | null {
  const theirs = me === 'A' ? answer.publicKey : offer.publicKey;
  const secret = sharedSecret(own.privateKey, theirs);
  if (!secret) return null;
  const sides = Buffer.from('AB').toString('hex');
  const transcript = digest('transcript', [
    sides,
    offer.session,
    offer.pairId,
    commitmentOf(offer),
    offer.publicKey,
    offer.nonce,
    answer.publicKey,
    answer.nonce,
  ]);
  const derive = (purpose: string, bytes: number) =>
    Buffer.from(hkdfSync('sha256', secret, transcript, `twinstep pairing ${purpose}`, bytes));
  return {
    // 64 bits for 10^6 values: no digit is likelier than another by more than 10^-13.
    code: (derive('code', 8).readBigUInt64BE() % 10n ** BigInt(CODE_DIGITS)).toString().padStart(CODE_DIGITS, '0'),
    pairKey: derive('pair key', PAIR_KEY_BYTES).toString('hex'),
    confirmKeys: { A: derive('confirm A', 32).toString('hex'), B: derive('confirm B', 32).toString('hex') },
  };
}

function sharedSecret(privateKey: KeyObject, publicKeyHex: string): Buffer | null {
  try {
    const publicKey = createPublicKey({
      key: Buffer.concat([PUBLIC_PREFIX, Buffer.from(publicKeyHex, 'hex')]),
      format: 'der',
      type: 'spki',
    });
    const secret = diffieHellman({ privateKey, publicKey });
    return secret.every((byte) => byte === 0) ? null : secret;
  } catch {
    // OpenSSL refuses low-order points itself.
    return null;
  }
}

type Signed = PairingMessage & { body: { mac: string } };

/** @param key Hex. */
export function macOf(key: string, message: Signed): string {
  return createHmac('sha256', Buffer.from(key, 'hex')).update(signedBytes(message)).digest('hex');
}

export function isSignedBy(key: string, message: Signed): boolean {
  return timingSafeEqual(Buffer.from(macOf(key, message), 'hex'), Buffer.from(message.body.mac, 'hex'));
}

/** The key of `kept` messages: whoever has the pair's key can make and check them, in whichever attempt it was made. */
export function keptKeyOf(pairKey: string): string {
  return deriveKey(Buffer.from(pairKey, 'hex'), 'pairing').toString('hex');
}

/** '1a2b-3c4d-5e6f': tells keys apart on consoles and in logs without giving anything of them away. */
export function fingerprintOf(pairKey: string): string {
  return deriveKey(Buffer.from(pairKey, 'hex'), 'fingerprint')
    .toString('hex', 0, 6)
    .replace(/(....)(?=.)/g, '$1-');
}
