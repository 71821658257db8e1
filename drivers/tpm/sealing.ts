// A secret that one TPM keeps, and gives back for as long as its registers are as they were. The order of commands, nothing else.
import {
  ATTRIBUTE,
  create,
  createPrimary,
  decodeAnswer,
  EMPTY_PASSWORD,
  encodeCommand,
  flushContext,
  load,
  nameOf,
  type PcrValues,
  pcrExtend,
  pcrRead,
  pcrValue,
  pointOf,
  policyDigestOf,
  policyPcr,
  REFUSED,
  Reader,
  SESSION,
  TpmRefusal,
  unsealCommand,
} from './codec.ts';
import { RANDOM, type Random, Session } from './session.ts';
import { type SealedSecret, TpmError, type TpmTransport } from './types.ts';

/** More than a TPM takes (part 2, MAX_SYM_DATA). */
const MAX_SECRET_BYTES = 128;

/** Throws TpmError 'noBank'. */
export async function readPcr(tpm: TpmTransport, index: number): Promise<Buffer> {
  const value = pcrValue(decodeAnswer(await tpm.exchange(encodeCommand(pcrRead(index))), 0));
  if (value === null)
    throw new TpmError('noBank', "the TPM keeps no registers in SHA-256: switch that bank on in the firmware's set-up (TPM, PCR banks)");
  return value;
}

/** From now on until the next start nothing opens that needs the register's old value. */
export async function extendPcr(tpm: TpmTransport, index: number, digest: Buffer): Promise<void> {
  decodeAnswer(await tpm.exchange(encodeCommand(pcrExtend(index, digest), EMPTY_PASSWORD)), 0);
}

/** @param values What the registers must have to get it back. Throws TpmError. */
export function seal(tpm: TpmTransport, secret: Buffer, values: PcrValues, random: Random = RANDOM): Promise<SealedSecret> {
  if (secret.length > MAX_SECRET_BYTES) throw new RangeError(`a TPM seals ${MAX_SECRET_BYTES} bytes at most`);
  return withPrimary(tpm, async ({ handle, publicArea }) => {
    const exchange = (command: Buffer) => tpm.exchange(command);
    const options = { keyHandle: handle, key: pointOf(publicArea), type: SESSION.hmac, random };
    const session = await Session.start(exchange, options);
    const made = await session.run(exchange, create(handle, secret, policyDigestOf(values)), [nameOf(publicArea)], {
      attributes: ATTRIBUTE.decrypt,
      hides: 'there',
    });
    const reader = new Reader(made.parameters);
    const privatePart = Buffer.from(reader.sized());
    return { parent: publicArea, privatePart, publicArea: Buffer.from(reader.sized()), pcrs: values.map(([index]) => index) };
  });
}

/** Throws TpmError. */
export function unseal(tpm: TpmTransport, sealed: SealedSecret, random: Random = RANDOM): Promise<Buffer> {
  return withPrimary(tpm, async ({ handle, publicArea }) => {
    if (!publicArea.equals(sealed.parent))
      throw new TpmError('otherTpm', 'this is another TPM than the one that keeps the key, or it was cleared');
    const exchange = (command: Buffer) => tpm.exchange(command);
    const loaded = await ask(tpm, encodeCommand(load(handle, sealed.privatePart, sealed.publicArea), EMPTY_PASSWORD), 1);
    const [object = 0] = loaded.handles;
    try {
      const options = { keyHandle: handle, key: pointOf(sealed.parent), type: SESSION.policy, random };
      const session = await Session.start(exchange, options);
      decodeAnswer(await tpm.exchange(encodeCommand(policyPcr(session.handle, sealed.pcrs))), 0);
      const ending = { attributes: ATTRIBUTE.encrypt, hides: 'back' } as const;
      const answer = await session
        .run(exchange, unsealCommand(object), [nameOf(sealed.publicArea)], ending)
        .catch(async (error: unknown) => {
          // It ends with a command that succeeds only.
          await forget(tpm, session.handle);
          throw error;
        });
      return Buffer.from(new Reader(answer.parameters).sized());
    } finally {
      await forget(tpm, object);
    }
  });
}

async function withPrimary<T>(tpm: TpmTransport, use: (primary: { handle: number; publicArea: Buffer }) => Promise<T>): Promise<T> {
  try {
    const answer = await ask(tpm, encodeCommand(createPrimary(), EMPTY_PASSWORD), 1);
    const [handle = 0] = answer.handles;
    try {
      return await use({ handle, publicArea: Buffer.from(new Reader(answer.parameters).sized()) });
    } finally {
      await forget(tpm, handle);
    }
  } catch (error) {
    throw inWords(error);
  }
}

const ask = async (tpm: TpmTransport, command: Buffer, handles: number) => decodeAnswer(await tpm.exchange(command), handles);

/** A TPM has room for three objects. What cannot be forgotten goes with the device's being closed. */
async function forget(tpm: TpmTransport, handle: number): Promise<void> {
  await tpm.exchange(encodeCommand(flushContext(handle))).catch(() => undefined);
}

function inWords(error: unknown): unknown {
  if (!(error instanceof TpmRefusal)) return error;
  switch (error.code) {
    case REFUSED.policyFail:
      return new TpmError('otherRegisters', 'what this server starts, or how, is not what it was when the key was sealed', {
        cause: error,
      });
    case REFUSED.integrity:
      return new TpmError('otherTpm', 'this is another TPM than the one that keeps the key, or it was cleared', { cause: error });
    case REFUSED.badAuth:
    case REFUSED.authFail:
      return new TpmError('refused', "the TPM's owner has a password: clear the TPM in the firmware's set-up", { cause: error });
    default:
      return new TpmError('refused', `${error.message}: clear the TPM in the firmware's set-up, then try again`, { cause: error });
  }
}
