// The encrypted state partition as cryptsetup is told of it: LUKS2 with one key of the TPM's and one for people, and a token with what the TPM
// has to be given to give its key. Pure. No key is ever an argument: only names of files are.
import type { SealedSecret } from '../../drivers/tpm/index.ts';

/** Open, it is /dev/mapper/twinstep-state. */
export const MAPPING = 'twinstep-state';
/** The key for people is in one of two places: a new one is made beside the old one. */
const SLOT = { tpm: 0, recovery: 1, otherRecovery: 2 } as const;
export type RecoverySlot = Exclude<keyof typeof SLOT, 'tpm'>;
const TOKEN = 0;
const TOKEN_TYPE = 'twinstep-tpm2';
/** Both keys are chance of 256 and 160 bits: nothing is gained by making a guess slow, and Argon2 would take a gigabyte at each start. */
const WEAKEST_KDF = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'] as const;
/** At most of a token: ours has one KiB. */
const TOKEN_MAX_CHARS = 16_384;

export const formatArguments = (device: string, keyFile: string): string[] => [
  ...['luksFormat', '--batch-mode', '--type', 'luks2', '--cipher', 'aes-xts-plain64', '--key-size', '512', '--hash', 'sha256'],
  ...[...WEAKEST_KDF, '--label', 'twinstep-state', '--key-slot', String(SLOT.tpm), '--key-file', keyFile, device],
];

/** @param opener A file with a key that opens it already. */
export const addKeyArguments = (device: string, opener: string, slot: keyof typeof SLOT, newKeyFile: string): string[] => [
  ...['luksAddKey', '--batch-mode', '--hash', 'sha256', ...WEAKEST_KDF, '--key-slot', String(SLOT[slot])],
  ...['--key-file', opener, device, newKeyFile],
];

export const dropKeyArguments = (device: string, opener: string, slot: keyof typeof SLOT): string[] => [
  ...['luksKillSlot', '--batch-mode', '--key-file', opener, device, String(SLOT[slot])],
];

/** Whether it is the key in this place: nothing is opened. */
export const tryKeyArguments = (device: string, keyFile: string, slot: keyof typeof SLOT): string[] => [
  ...['open', '--test-passphrase', '--type', 'luks2', '--key-slot', String(SLOT[slot]), '--key-file', keyFile, device],
];

export const openArguments = (device: string, keyFile: string): string[] => [
  'open',
  '--type',
  'luks2',
  '--key-file',
  keyFile,
  device,
  MAPPING,
];

/** The token comes by standard input. */
export const importTokenArguments = (device: string): string[] => [
  'token',
  'import',
  '--token-id',
  String(TOKEN),
  '--json-file',
  '-',
  device,
];
export const removeTokenArguments = (device: string): string[] => ['token', 'remove', '--token-id', String(TOKEN), device];
export const exportTokenArguments = (device: string): string[] => ['token', 'export', '--token-id', String(TOKEN), device];

/** cryptsetup's exit code for a key that opens nothing. */
export const NO_SUCH_KEY = 2;

export function encodeToken({ parent, publicArea, privatePart, pcrs }: SealedSecret): string {
  const hex = (bytes: Buffer): string => bytes.toString('hex');
  return JSON.stringify({
    type: TOKEN_TYPE,
    keyslots: [String(SLOT.tpm)],
    pcrs,
    parent: hex(parent),
    public: hex(publicArea),
    private: hex(privatePart),
  });
}

/** Null: it is none of ours. */
export function decodeToken(text: string): SealedSecret | null {
  if (text.length > TOKEN_MAX_CHARS) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { type, pcrs, parent, public: publicArea, private: privatePart } = value as Record<string, unknown>;
  const bytes = (field: unknown): Buffer | null =>
    typeof field === 'string' && /^([0-9a-f]{2})+$/.test(field) ? Buffer.from(field, 'hex') : null;
  const [a, b, c] = [bytes(parent), bytes(publicArea), bytes(privatePart)];
  if (type !== TOKEN_TYPE || !a || !b || !c || !Array.isArray(pcrs)) return null;
  if (!pcrs.every((index) => Number.isInteger(index) && index >= 0 && index < 24)) return null;
  return { parent: a, publicArea: b, privatePart: c, pcrs: pcrs as number[] };
}
