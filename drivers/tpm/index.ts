// A secret that only this machine's TPM 2.0 gives back, and only to what it started then.
export { sha256 } from './codec.ts';
export { hasTpm2, openTpm, TPM_DEVICE } from './device.ts';
export { extendPcr, readPcr, seal, unseal } from './sealing.ts';
export { TpmForged } from './session.ts';
export { type SealedSecret, TpmError, type TpmTransport, type TpmTrouble } from './types.ts';
