// What `npm run image` does for Secure Boot: signs every program that the firmware is to start, and puts the files by which a server takes
// our keys over on the EFI system partition.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FatFile } from '../disk/fat.ts';
import { signProgram } from './authenticode.ts';
import { checkSigner, type Signer } from './signed-data.ts';
import { VARIABLES } from './variables.ts';

export interface SecureBoot {
  sign(program: Buffer): Buffer;
  /** For the EFI system partition; [] when a server's keys are set by hand. */
  enrolment: readonly FatFile[];
}

/** Nothing is signed. */
export const UNSIGNED: SecureBoot = { sign: (program) => program, enrolment: [] };

export function secureBootOf(signer: Signer, enrolment: readonly FatFile[] = []): SecureBoot {
  checkSigner(signer);
  return { sign: (program) => signProgram(program, signer), enrolment };
}

/** `auto`: the set of keys that systemd-boot takes by itself where that is safe. */
export function enrolmentFiles(contentOf: (name: (typeof VARIABLES)[number]) => Buffer): FatFile[] {
  return VARIABLES.map((name) => ({ path: `loader/keys/auto/${name}.auth`, data: contentOf(name) }));
}

/** Paths of key and certificate (PEM), and the folder with PK.auth, KEK.auth, db.auth. Throws, naming file and remedy. */
export function loadSecureBoot(paths: {
  key?: string | undefined;
  certificate?: string | undefined;
  enrol?: string | undefined;
}): SecureBoot {
  const { key, certificate, enrol } = paths;
  if (key === undefined && certificate === undefined && enrol === undefined) return UNSIGNED;
  if (key === undefined || certificate === undefined)
    throw new Error('for Secure Boot both --secure-boot-key and --secure-boot-cert are needed (image/secure-boot/README.md)');
  const signer = {
    key: readAs(key, 'private key', createPrivateKey),
    certificate: readAs(certificate, 'certificate', (data) => new X509Certificate(data)),
  };
  return secureBootOf(signer, enrol === undefined ? [] : enrolmentFiles((name) => readFileSync(join(enrol, `${name}.auth`))));
}

/** The key's own error may quote what is in the file. */
function readAs<T>(path: string, what: string, read: (data: Buffer) => T): T {
  const data = readFileSync(path);
  try {
    return read(data);
  } catch {
    throw new Error(`${path} is no ${what} (PEM)`);
  }
}
