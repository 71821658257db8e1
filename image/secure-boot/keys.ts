// `node image/secure-boot/keys.ts DIRECTORY [--also-trust CERTIFICATE]...`: makes the keys of Secure Boot, their certificates, and the files
// by which a server takes them over. Once, at a place that keeps secrets: README.md says how they are used.
import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownCertificate } from './certificate.ts';
import type { Signer } from './signed-data.ts';
import { signatureLists, signedVariable, VARIABLES, type VariableName } from './variables.ts';

const USAGE = 'usage: node image/secure-boot/keys.ts DIRECTORY [--also-trust CERTIFICATE]...';
const KEY_BITS = 2048;
/** Firmware does not look at the end; people's tools do. */
const YEARS = 30;
const NAMES: Record<VariableName, string> = { PK: 'Twinstep platform key', KEK: 'Twinstep key exchange key', db: 'Twinstep programs' };
/** Who signs whose file: PK itself and KEK, KEK the list of what is started. */
const SIGNED_BY: Record<VariableName, VariableName> = { PK: 'PK', KEK: 'PK', db: 'KEK' };

export type SecureBootKeys = Record<VariableName, Signer>;

export function makeKeys(at: Date): SecureBootKeys {
  const to = new Date(at);
  to.setUTCFullYear(at.getUTCFullYear() + YEARS);
  const one = (name: VariableName): Signer => {
    const key: KeyObject = generateKeyPairSync('rsa', { modulusLength: KEY_BITS }).privateKey;
    return { key, certificate: ownCertificate(key, { name: NAMES[name], serial: randomBytes(16), from: at, to }) };
  };
  return { PK: one('PK'), KEK: one('KEK'), db: one('db') };
}

/** Contents of PK.auth, KEK.auth, db.auth. `alsoTrusted`: programs signed by these are started, too. */
export function enrolment(keys: SecureBootKeys, at: Date, alsoTrusted: readonly X509Certificate[] = []): Record<VariableName, Buffer> {
  const owner = randomUUID();
  const file = (name: VariableName) => {
    const certificates = [keys[name].certificate, ...(name === 'db' ? alsoTrusted : [])].map(({ raw }) => raw);
    return signedVariable(name, signatureLists(certificates, owner), at, keys[SIGNED_BY[name]]);
  };
  return { PK: file('PK'), KEK: file('KEK'), db: file('db') };
}

function main(args: readonly string[]): void {
  const [directory, ...rest] = args;
  const paths = rest.filter((_, i) => i % 2 === 1);
  if (!directory || directory.startsWith('-') || rest.length % 2 !== 0 || rest.some((word, i) => i % 2 === 0 && word !== '--also-trust'))
    throw new Error(USAGE);
  if (existsSync(directory)) throw new Error(`${directory} is there already: keys are never replaced; name a new directory`);
  const alsoTrusted = paths.map((path) => new X509Certificate(readFileSync(path)));
  const now = new Date();
  const keys = makeKeys(now);
  const files = enrolment(keys, now, alsoTrusted);
  mkdirSync(directory, { mode: 0o700 });
  for (const name of VARIABLES) {
    const { key, certificate } = keys[name];
    writeFileSync(join(directory, `${name}.key`), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    writeFileSync(join(directory, `${name}.crt`), certificate.toString());
    writeFileSync(join(directory, `${name}.der`), certificate.raw);
    writeFileSync(join(directory, `${name}.auth`), files[name]);
  }
  console.log(`${directory}: keys (*.key: secret), certificates (*.crt, *.der) and enrolment files (*.auth) of ${VARIABLES.join(', ')}`);
}

if (import.meta.main) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
