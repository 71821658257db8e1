// The encrypted partition: made, opened by the TPM or by the recovery key, sealed anew. What has been tried before anything is changed: the TPM
// gives back what it was given.
import { randomBytes } from 'node:crypto';
import { extendPcr, readPcr, type SealedSecret, seal, sha256, TpmError, type TpmTransport, unseal } from '../../drivers/tpm/index.ts';
import { type Cryptsetup, withKeyFiles } from './cryptsetup.ts';
import {
  addKeyArguments,
  decodeToken,
  dropKeyArguments,
  encodeToken,
  exportTokenArguments,
  formatArguments,
  importTokenArguments,
  NO_SUCH_KEY,
  openArguments,
  removeTokenArguments,
} from './luks.ts';
import { RECOVERY_KEY_BYTES, recoveryKeyOf } from './recovery-key.ts';

/** Secure Boot: whether it is on, its keys, and whose programs were started (README.md). */
const SECURE_BOOT_PCR = 7;
/** Zero until init has done with the state partition: then it is closed for this start (`closeRegister`, state.sh). */
export const OWN_PCR = 15;
/** What it is closed with. */
export const CLOSING = sha256(Buffer.from('twinstep: the state partition is decided'));
const KEY_BYTES = 32;
const SECURE_BOOT_CHANGED =
  'Secure Boot is not what it was when the key was sealed: it was switched on or off, has other keys, or has let a program start that another key signed (PCR 7)';

/** A sentence for whoever stands before the screen; nothing secret in it. */
export class VolumeError extends Error {
  override name = 'VolumeError';
}

export interface VolumeParts {
  device: string;
  /** Opens the TPM; throws TpmError. */
  tpm: () => Promise<TpmTransport>;
  cryptsetup: Cryptsetup;
  /** Tells the disk that nothing on the partition is needed any more; not every disk listens. */
  discard: (device: string) => Promise<void>;
  /** In memory. */
  keyFolder: string;
}

async function withTpm<T>({ tpm }: VolumeParts, use: (tpm: TpmTransport) => Promise<T>): Promise<T> {
  const open = await tpm();
  try {
    return await use(open);
  } finally {
    await open.close();
  }
}

async function must({ cryptsetup }: VolumeParts, args: readonly string[], input?: string): Promise<string> {
  const { code, said, complaint } = await cryptsetup(args, input);
  if (code !== 0) throw new VolumeError(`cryptsetup ${args[0]} ended with ${code}: ${complaint.split('\n').at(-1) ?? ''}`);
  return said;
}

/** A new key, sealed and tried. Throws TpmError. */
function sealedKey(parts: VolumeParts): Promise<{ key: Buffer; sealed: SealedSecret }> {
  return withTpm(parts, async (tpm) => {
    const key = randomBytes(KEY_BYTES);
    const sealed = await seal(tpm, key, [
      [SECURE_BOOT_PCR, await readPcr(tpm, SECURE_BOOT_PCR)],
      [OWN_PCR, Buffer.alloc(32)],
    ]);
    if (!(await unseal(tpm, sealed)).equals(key))
      throw new TpmError('refused', 'the TPM does not give back what it was given: it is faulty');
    return { key, sealed };
  });
}

/** What was on the partition is gone; it is open afterwards. Answers the recovery key. Throws TpmError before anything is changed, VolumeError. */
export async function makeVolume(parts: VolumeParts): Promise<string> {
  const { device, keyFolder, discard } = parts;
  const { key, sealed } = await sealedKey(parts);
  await discard(device);
  const recoveryKey = recoveryKeyOf(randomBytes(RECOVERY_KEY_BYTES));
  await withKeyFiles(keyFolder, { tpm: key, recovery: Buffer.from(recoveryKey) }, async (files) => {
    await must(parts, formatArguments(device, files.tpm));
    await must(parts, addKeyArguments(device, files.tpm, 'recovery', files.recovery));
    await must(parts, importTokenArguments(device), encodeToken(sealed));
    await must(parts, openArguments(device, files.tpm));
  });
  return recoveryKey;
}

/** Null: it is open. Otherwise why the TPM has not opened it, a part of a sentence. */
export async function openByTpm(parts: VolumeParts): Promise<string | null> {
  const { device, cryptsetup, keyFolder } = parts;
  try {
    const sealed = decodeToken((await cryptsetup(exportTokenArguments(device))).said);
    if (sealed === null) return 'nothing is sealed to a TPM';
    const key = await withTpm(parts, (tpm) => unseal(tpm, sealed));
    const ended = await withKeyFiles(keyFolder, { key }, (files) => cryptsetup(openArguments(device, files.key)));
    if (ended.code === 0) return null;
    return ended.code === NO_SUCH_KEY ? "the TPM's key is not one of this partition" : (ended.complaint.split('\n').at(-1) ?? '');
  } catch (error) {
    if (error instanceof TpmError && error.trouble === 'otherRegisters' && (await isUndecided(parts))) return SECURE_BOOT_CHANGED;
    return (error as Error).message;
  }
}

/** The own register is as it was when the key was sealed: then it is the other one that is not. */
const isUndecided = (parts: VolumeParts): Promise<boolean> =>
  withTpm(parts, (tpm) => readPcr(tpm, OWN_PCR)).then(
    (value) => value.every((byte) => byte === 0),
    () => false,
  );

/** False: it is another key. Throws VolumeError when it is not about the key. */
export async function openByRecoveryKey(parts: VolumeParts, recoveryKey: string): Promise<boolean> {
  return withKeyFiles(parts.keyFolder, { recovery: Buffer.from(recoveryKey) }, async (files) => {
    const { code, complaint } = await parts.cryptsetup(openArguments(parts.device, files.recovery));
    if (code === NO_SUCH_KEY) return false;
    if (code !== 0) throw new VolumeError(`cryptsetup open ended with ${code}: ${complaint.split('\n').at(-1) ?? ''}`);
    return true;
  });
}

/**
 * A new key of this server's TPM in the place of the old one: the next start opens it by itself. The recovery key stays, and opens it whenever this is
 * cut short. Throws TpmError before anything is changed, VolumeError.
 */
export async function sealAnew(parts: VolumeParts, recoveryKey: string): Promise<void> {
  const { device, keyFolder, cryptsetup } = parts;
  const { key, sealed } = await sealedKey(parts);
  await withKeyFiles(keyFolder, { tpm: key, recovery: Buffer.from(recoveryKey) }, async (files) => {
    // Cut short before, they may be gone already.
    await cryptsetup(removeTokenArguments(device));
    await cryptsetup(dropKeyArguments(device, files.recovery, 'tpm'));
    await must(parts, addKeyArguments(device, files.recovery, 'tpm', files.tpm));
    await must(parts, importTokenArguments(device), encodeToken(sealed));
  });
}

/** From now on nobody gets the key from the TPM until the next start: not even the product. */
export const closeRegister = (tpm: TpmTransport): Promise<void> => extendPcr(tpm, OWN_PCR, CLOSING);
