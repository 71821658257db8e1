// How the state partition of this server lies on its disk, as init has found it, and in words.
import { existsSync, readFileSync } from 'node:fs';

/** recoveryKey: opened by hand; the TPM did not give its key. */
export type StateEncryption = 'none' | 'tpm2' | 'recoveryKey';

/** Written by init (state.sh). */
const FILE = '/run/twinstep/state-encryption';
/** By init, too: the partition below the encryption. */
export const STATE_DEVICE_FILE = '/run/twinstep/state-device';

/** Null: no appliance's init has said anything. */
export function stateEncryption(file: string = FILE): StateEncryption | null {
  if (!existsSync(file)) return null;
  const text = readFileSync(file, 'latin1').trim();
  return text === 'tpm2' || text === 'recoveryKey' ? text : 'none';
}

export function encryptionText(encryption: StateEncryption): string {
  switch (encryption) {
    case 'none':
      return 'not encrypted';
    case 'tpm2':
      return 'encrypted (TPM2)';
    case 'recoveryKey':
      return 'encrypted (opened with the recovery key)';
    default:
      return encryption satisfies never;
  }
}

/** Why what an answer file asks for is not there, with the remedy; null: it is as asked. */
export function encryptionProblem(wanted: 'none' | 'tpm2', found: StateEncryption | null, hasTpm: boolean): string | null {
  if (wanted === 'none' || (found !== null && found !== 'none')) return null;
  const what = "stateEncryption 'tpm2': the state partition of this server is not encrypted";
  return hasTpm
    ? `${what}: it was made before this file was read. Start the server again with the file: it is made anew.`
    : `${what}, because the server shows no TPM 2.0. Switch it on in the firmware's set-up (Security, TPM) and start again, or write none.`;
}
