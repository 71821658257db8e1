// The kernel's device: a command is written whole, its answer is read whole (Documentation/security/tpm). /dev/tpmrm0 keeps what its users
// load apart from each other, and forgets it when they close it.
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { TpmError, type TpmTransport } from './types.ts';

export const TPM_DEVICE = '/dev/tpmrm0';
const VERSION_FILE = '/sys/class/tpm/tpm0/tpm_version_major';
/** The kernel's own buffer (TPM_BUFSIZE). */
const MAX_ANSWER_BYTES = 4096;

/** Whether this machine has a TPM of version 2 that the kernel knows. */
export async function hasTpm2(versionFile: string = VERSION_FILE): Promise<boolean> {
  return (await readFile(versionFile, 'latin1').catch(() => '')).trim() === '2';
}

/** Throws TpmError with what to do. */
export async function openTpm(device: string = TPM_DEVICE): Promise<TpmTransport> {
  let handle: FileHandle;
  try {
    handle = await open(device, 'r+');
  } catch (cause) {
    throw new TpmError('refused', `${device} cannot be opened (${(cause as Error).message}): switch the TPM on in the firmware's set-up`, {
      cause,
    });
  }
  return {
    async exchange(command) {
      await handle.write(command);
      const answer = Buffer.alloc(MAX_ANSWER_BYTES);
      const { bytesRead } = await handle.read(answer, 0, answer.length, null);
      return answer.subarray(0, bytesRead);
    },
    close: () => handle.close(),
  };
}
