// What a TPM is to its user.

/** Sends a command, answers what the TPM answers. One at a time. */
export interface TpmTransport {
  exchange(command: Buffer): Promise<Buffer>;
  close(): Promise<void>;
}

/** Only the TPM that made it can open it. None of it is secret. */
export interface SealedSecret {
  /** Public area of the key that it lies under: by this the TPM is known again. */
  parent: Buffer;
  publicArea: Buffer;
  /** Encrypted by the TPM. */
  privatePart: Buffer;
  /** Registers that must be as they were. */
  pcrs: readonly number[];
}

/**
 * otherTpm: another TPM, or one that was cleared. otherRegisters: what the registers stand for is another one (PCR 7: Secure Boot). noBank: it keeps no
 * registers in SHA-256. refused: anything else.
 */
export type TpmTrouble = 'otherTpm' | 'otherRegisters' | 'noBank' | 'refused';

export class TpmError extends Error {
  override name = 'TpmError';
  readonly trouble: TpmTrouble;
  constructor(trouble: TpmTrouble, message: string, options?: ErrorOptions) {
    super(message, options);
    this.trouble = trouble;
  }
}
