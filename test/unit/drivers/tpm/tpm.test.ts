// A key that the TPM keeps: against a conversation with another implementation that was written down, and, where it is installed, against itself.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { decodeAnswer, plainCode, policyDigestOf, sha256 as sha } from '../../../../drivers/tpm/codec.ts';
import { type Conversation, PlayedTpm } from '../../../../drivers/tpm/fake.ts';
import { extendPcr, readPcr, type SealedSecret, seal, sha256, type TpmError, unseal } from '../../../../drivers/tpm/index.ts';
import { kdfA, kdfE, type Random } from '../../../../drivers/tpm/session.ts';
import { powerOn } from './lab-tpm.ts';

const FILE = new URL('../../../../drivers/tpm/testdata/swtpm-0.7.1.json', import.meta.url);
const WRITTEN = JSON.parse(readFileSync(FILE, 'utf8')) as {
  sealed: Record<'parent' | 'publicArea' | 'privatePart', string> & { pcrs: number[] };
  conversations: Record<'readPcr' | 'seal' | 'unseal' | 'extend' | 'unsealClosed' | 'unsealElsewhere', Conversation>;
};
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
const SEALED: SealedSecret = {
  parent: bytes(WRITTEN.sealed.parent),
  publicArea: bytes(WRITTEN.sealed.publicArea),
  privatePart: bytes(WRITTEN.sealed.privatePart),
  pcrs: WRITTEN.sealed.pcrs,
};
const KEY = Buffer.from('a key of thirty-two bytes: 12345');
const ZERO = Buffer.alloc(32);

/** The chance of then: 1, 2, 3, ... in every byte. */
function chance(from = 0): Random {
  let counter = from;
  return (length) => Buffer.alloc(length, ++counter);
}

const troubleOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: TpmError) => error.trouble ?? error.name,
  );

t.test('as it was said', async (t) => {
  const { conversations } = WRITTEN;
  const register = new PlayedTpm(conversations.readPcr);
  t.strictSame(await readPcr(register, 7), ZERO);
  const sealing = new PlayedTpm(conversations.seal);
  const sealed = await seal(
    sealing,
    KEY,
    [
      [7, ZERO],
      [15, ZERO],
    ],
    chance(),
  );
  t.strictSame(sealed, SEALED);
  t.ok(sealing.isOver, 'also the key that it lies under is forgotten');
  const opening = new PlayedTpm(conversations.unseal);
  t.strictSame(await unseal(opening, SEALED, chance(16)), KEY);
  t.ok(opening.isOver);
  const closing = new PlayedTpm(conversations.extend);
  await extendPcr(closing, 15, sha256(Buffer.from('closed')));
  const closed = new PlayedTpm(conversations.unsealClosed);
  t.equal(await troubleOf(unseal(closed, SEALED, chance(32))), 'otherRegisters');
  t.ok(closed.isOver, 'the session and the object are forgotten');
  t.equal(await troubleOf(unseal(new PlayedTpm(conversations.unsealElsewhere), SEALED, chance(48))), 'otherTpm');
});

t.test('the key never lies open on the way', async (t) => {
  const { seal: sealing, unseal: opening } = WRITTEN.conversations;
  for (const part of [KEY, KEY.subarray(0, 8)])
    t.notOk([...sealing, ...opening].flat().some((said) => said.includes(part.toString('hex'))));
});

t.test('an answer that was changed on its way is not believed', async (t) => {
  const { unseal: conversation } = WRITTEN.conversations;
  const at = conversation.findIndex(([command]) => command.slice(12, 20) === '0000015e');
  const changed = (change: (answer: Buffer) => void): Conversation =>
    conversation.map(([command, answer], i) => {
      const bytes = Buffer.from(answer, 'hex');
      if (i === at) change(bytes);
      return [command, bytes.toString('hex')];
    });
  const opened = (c: Conversation) => troubleOf(unseal(new PlayedTpm(c), SEALED, chance(16)));
  // A bit of the encrypted key; of the nonce behind it.
  t.equal(await opened(changed((answer) => answer.writeUInt8(answer.readUInt8(20) ^ 1, 20))), 'TpmForged');
  t.equal(await opened(changed((answer) => answer.writeUInt8(answer.readUInt8(60) ^ 1, 60))), 'TpmForged');
  t.equal(await opened(changed(() => undefined)), 'none');
});

t.test('bytes', async (t) => {
  t.equal(plainCode(0x99d), 0x9d, 'whose session it is about does not count');
  t.equal(plainCode(0x1df), 0x9f);
  t.equal(plainCode(0x922), 0x922, 'warnings');
  t.throws(() => decodeAnswer(bytes('80010000000b00000000'), 0), /says that it has 11 bytes, and has 10/);
  t.throws(() => decodeAnswer(bytes('80010000000a00000000'), 1), /4 bytes too early/);
  t.throws(() => decodeAnswer(bytes('80010000000a00000100'), 0), /code 0x100/);
  t.same(policyDigestOf([[7, ZERO]]), sha(ZERO, bytes('0000017f00000001000b03800000'), sha(ZERO)));
  t.equal(kdfA(ZERO, 'ATH', bytes('aa'), bytes('bb'), 16).length, 16);
  t.notSame(kdfE(ZERO, 'SECRET', bytes('aa'), bytes('bb')), kdfE(ZERO, 'SECRET', bytes('bb'), bytes('aa')));
});

t.test('a TPM that has nothing to say', async (t) => {
  const [question = ''] = WRITTEN.conversations.readPcr[0] ?? [];
  // No bank in the selection that it has read, no value.
  const empty: Conversation = [[question, '80010000001600000000000000050000000000000000']];
  t.equal(await troubleOf(readPcr(new PlayedTpm(empty), 7)), 'noBank');
  const refused: Conversation = [[WRITTEN.conversations.seal[0]?.[0] ?? '', '80010000000a000009a2']];
  const error = await seal(new PlayedTpm(refused), KEY, [[7, ZERO]], chance()).catch((e: TpmError) => e);
  t.match(error, { trouble: 'refused', message: /owner has a password: clear the TPM/ });
});

t.test('against swtpm', async (t: Test) => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-tpm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const first = await powerOn(folder);
  if (first === null) return t.fail('swtpm is missing: sh image/setup/setup.sh prepare test');
  const sealed = await seal(first, KEY, [
    [7, await readPcr(first, 7)],
    [15, ZERO],
  ]);
  await first.close();
  const second = await powerOn(folder);
  if (second === null) return t.fail('swtpm is gone');
  // More often than a TPM has room for what is not forgotten.
  for (let i = 0; i < 5; i++) t.strictSame(await unseal(second, sealed), KEY);
  await extendPcr(second, 15, sha256(Buffer.from('closed')));
  for (let i = 0; i < 5; i++) t.equal(await troubleOf(unseal(second, sealed)), 'otherRegisters');
  await second.close();
});
