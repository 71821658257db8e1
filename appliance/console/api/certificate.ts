// The console's certificate: self-signed, ECDSA P-256, made once per CoServer at its first boot and kept. Whoever signs in for the first
// time compares the fingerprint with the one on the serial console. Key and certificate lie in one file, written aside and renamed,
// so that a power failure leaves both or none.
import { generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pem, selfSignedCertificate } from './certificate-der.ts';

/** As long as the hardware: a new certificate every year would teach operators to click warnings away. */
const VALID_YEARS = 10;
/** A CoServer whose clock is some hours behind its operator's must not look invalid. */
const BACKDATED_MS = 24 * 3600_000;

export interface ConsoleCertificate {
  /** PEM. */
  key: string;
  cert: string;
  /** SHA-256 of the certificate: 'AB:CD:...' */
  fingerprint: string;
}

export interface CertificateOptions {
  /** The state directory: `console-tls.pem` lies there. */
  stateDir: string;
  coServer: 'A' | 'B';
  /** IP addresses or names the console answers at. */
  names: string[];
}

/** Reads `console-tls.pem` in the state directory; makes it when there is none. Throws when it is damaged: it says what to do. */
export async function consoleCertificate(options: CertificateOptions): Promise<ConsoleCertificate> {
  const path = join(options.stateDir, 'console-tls.pem');
  try {
    return await readCertificate(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await mkdir(options.stateDir, { recursive: true, mode: 0o700 });
  const { coServer, names } = options;
  const { key, cert } = selfSigned({
    commonName: `Twinstep CoServer ${coServer}`,
    names: [`twinstep-${coServer.toLowerCase()}`, ...names],
  });
  await writeAside(path, `${key}${cert}`);
  return readCertificate(path);
}

async function readCertificate(path: string): Promise<ConsoleCertificate> {
  const pem = await readFile(path, 'utf8');
  if (((await stat(path)).mode & 0o077) !== 0) throw new Error(`${path} holds a private key and others may read it: chmod 600 it`);
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(pem)?.[0];
  const cert = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(pem)?.[0];
  if (!key || !cert)
    throw new Error(`${path} is damaged: remove it, and a new certificate with another fingerprint is made at the next start`);
  return { key, cert, fingerprint: new X509Certificate(cert).fingerprint256 };
}

/** Kept nowhere. */
export function newCertificate(of: { commonName: string; names: string[] }): ConsoleCertificate {
  const { key, cert } = selfSigned(of);
  return { key, cert, fingerprint: new X509Certificate(cert).fingerprint256 };
}

function selfSigned({ commonName, names }: { commonName: string; names: string[] }): { key: string; cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const now = Date.now();
  const notAfter = new Date(now);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + VALID_YEARS);
  const certificate = selfSignedCertificate({
    commonName,
    names,
    serial: randomBytes(16),
    notBefore: new Date(now - BACKDATED_MS),
    notAfter,
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    sign: (bytes) => sign('sha256', bytes, privateKey),
  });
  return { key: `${privateKey.export({ type: 'pkcs8', format: 'pem' })}`, cert: pem('CERTIFICATE', certificate) };
}

async function writeAside(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await rename(aside, path);
  const directory = await open(join(path, '..'), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
