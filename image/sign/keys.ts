// The keys that sign updates: Ed25519, the private one only ever written with a passphrase.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** What a person can still type, and a machine not guess in the years that a key lives. */
const LEAST_PASSPHRASE = 12;

/** NAME.key (PKCS #8, encrypted by the passphrase, mode 0600) and NAME.pub (PEM). Never replaces one. */
export function makeKey(name: string, passphrase: string): { privateFile: string; publicFile: string } {
  const files = { privateFile: `${name}.key`, publicFile: `${name}.pub` };
  const there = Object.values(files).find((file) => existsSync(file));
  if (there) throw new Error(`${there} is there already: a key is never replaced; take another name`);
  if (passphrase.length < LEAST_PASSPHRASE)
    throw new Error(`the passphrase has ${passphrase.length} characters; ${LEAST_PASSPHRASE} at least`);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase });
  writeFileSync(files.privateFile, pem, { mode: 0o600, flag: 'wx' });
  writeFileSync(files.publicFile, publicKey.export({ type: 'spki', format: 'pem' }), { flag: 'wx' });
  return files;
}

/** Whether a passphrase is needed to read it. */
export function isEncrypted(file: string): boolean {
  return readText(file).includes('ENCRYPTED PRIVATE KEY');
}

export function readPrivateKey(file: string, passphrase: string | null): KeyObject {
  const pem = readText(file);
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, ...(passphrase === null ? {} : { passphrase }) });
  } catch {
    throw new Error(
      `${file} cannot be read as a private key: ${passphrase === null ? 'is it one, in PEM?' : 'the passphrase is another one'}`,
    );
  }
  return mustBeEd25519(key, file);
}

/** PEM text of a public key, in one form however it was written. */
export function readPublicKey(file: string): string {
  const text = readText(file);
  if (text.includes('PRIVATE KEY')) throw new Error(`${file} is a private key: it must never be in an image; give the .pub beside it`);
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch {
    throw new Error(`${file} cannot be read as a public key: is it one, in PEM?`);
  }
  return mustBeEd25519(key, file).export({ type: 'spki', format: 'pem' }).toString();
}

function mustBeEd25519(key: KeyObject, file: string): KeyObject {
  if (key.asymmetricKeyType !== 'ed25519')
    throw new Error(`${file} is a key of type ${key.asymmetricKeyType}; updates are signed by Ed25519`);
  return key;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`);
  }
}
