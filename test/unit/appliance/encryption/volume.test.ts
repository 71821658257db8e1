// The encrypted partition: what cryptsetup is told, in which order, and what happens when a TPM gives nothing. cryptsetup is a list of what it was
// told; the TPM is swtpm.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { withKeyFiles } from '../../../../appliance/encryption/cryptsetup.ts';
import { encryptionProblem, encryptionText, stateEncryption } from '../../../../appliance/encryption/facts.ts';
import { decodeToken, encodeToken } from '../../../../appliance/encryption/luks.ts';
import {
  CLOSING,
  closeRegister,
  makeVolume,
  openByRecoveryKey,
  openByTpm,
  sealAnew,
  type VolumeParts,
} from '../../../../appliance/encryption/volume.ts';
import { EMPTY_PASSWORD, encodeCommand, pcrExtend } from '../../../../drivers/tpm/codec.ts';
import { extendPcr, openTpm, TpmError } from '../../../../drivers/tpm/index.ts';
import { powerOn } from '../../drivers/tpm/lab-tpm.ts';
import { Partition } from './partition.ts';

const DEVICE = '/dev/sdz4';

function server(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-volume-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const partition = new Partition();
  const discarded: string[] = [];
  const keyFolder = join(folder, 'keys');
  const parts = (tpm: VolumeParts['tpm']): VolumeParts => ({
    device: DEVICE,
    tpm,
    cryptsetup: partition.run,
    discard: async (device) => void discarded.push(device),
    keyFolder,
  });
  /** A board with a TPM of its own: each use is a start of it. */
  const board = () => {
    const own = mkdtempSync(join(folder, 'tpm-'));
    return parts(async () => {
      const tpm = await powerOn(own);
      if (tpm === null) throw new Error('swtpm is missing: sh image/setup/setup.sh prepare test');
      return tpm;
    });
  };
  const without = parts(async () => {
    throw new TpmError('refused', 'there is no TPM');
  });
  return { partition, discarded, keyFolder, board, without };
}

t.test('made, opened, moved to another board, sealed anew', async (t) => {
  const { partition, discarded, keyFolder, board, without } = server(t);
  const [first, second] = [board(), board()];
  const recoveryKey = await makeVolume(first);
  t.ok(partition.isOpen);
  t.strictSame(discarded, [DEVICE]);
  t.strictSame([...partition.slots.keys()], ['0', '1']);
  t.equal(partition.slots.get('1'), recoveryKey, 'as it is printed it is the passphrase');
  t.equal(partition.slots.get('0')?.length, 32);

  partition.isOpen = false;
  t.equal(await openByTpm(first), null);
  t.ok(partition.isOpen);
  t.match(await openByTpm(second), /another TPM/);
  t.match(await openByTpm(without), /there is no TPM/);

  t.equal(await openByRecoveryKey(without, 'another'), false);
  t.equal(await openByRecoveryKey(without, recoveryKey), true);
  await t.rejects(sealAnew(without, recoveryKey), { message: /there is no TPM/ });
  t.equal(partition.slots.size, 2, 'nothing was changed');
  await sealAnew(second, recoveryKey);
  t.equal(await openByTpm(second), null);
  t.match(await openByTpm(first), /another TPM/, 'the old board opens it no longer');
  t.equal(partition.slots.get('1'), recoveryKey);

  // No key was in an argument, and no file of one is left.
  const secrets = [recoveryKey, ...partition.slots.values()];
  t.notOk(partition.told.flat().some((word) => secrets.some((secret) => word.includes(secret))));
  t.strictSame(readdirSync(keyFolder), []);
});

/** Sealed, then this register becomes another one; answers why it is not opened. */
async function extended(t: Test, register: number): Promise<string | null> {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-volume-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const { partition } = server(t);
  const tpm = await powerOn(folder);
  if (tpm === null) throw new Error('swtpm is missing: sh image/setup/setup.sh prepare test');
  const parts: VolumeParts = {
    device: DEVICE,
    tpm: async () => ({ ...tpm, close: async () => undefined }),
    cryptsetup: partition.run,
    discard: async () => undefined,
    keyFolder: folder,
  };
  await makeVolume(parts);
  await extendPcr(tpm, register, CLOSING);
  const why = await openByTpm(parts);
  await tpm.close();
  return why;
}

t.test('closed, the register gives the key to nobody until the next start', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-volume-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const { partition } = server(t);
  const tpm = await powerOn(folder);
  if (tpm === null) return t.fail('swtpm is missing: sh image/setup/setup.sh prepare test');
  const { close } = tpm;
  const parts: VolumeParts = {
    device: DEVICE,
    tpm: async () => ({ ...tpm, close: async () => undefined }),
    cryptsetup: partition.run,
    discard: async () => undefined,
    keyFolder: folder,
  };
  await makeVolume(parts);
  t.equal(await openByTpm(parts), null);
  const opened = await extended(t, 7);
  t.match(opened, /^Secure Boot is not what it was when the key was sealed: .*\(PCR 7\)$/);
  await closeRegister(tpm);
  t.match(await openByTpm(parts), /is not what it was when the key was sealed/);
  await close();
});

t.test('cut short, and broken', async (t) => {
  const { partition, board, without } = server(t);
  const own = board();
  await t.rejects(makeVolume(without), { message: /there is no TPM/ });
  t.strictSame(partition.told, [], 'the TPM is tried before anything is changed');
  partition.failsAt = 'luksAddKey';
  await t.rejects(makeVolume(own), { message: 'cryptsetup luksAddKey ended with 1: Device is broken.' });
  partition.failsAt = '';
  const recoveryKey = await makeVolume(own);
  t.equal(partition.slots.size, 2);
  partition.failsAt = 'import';
  partition.token = null;
  await t.rejects(sealAnew(own, recoveryKey), { message: /token ended with 1/ });
  partition.failsAt = '';
  t.match(await openByTpm(own), /nothing is sealed/);
  await sealAnew(own, recoveryKey);
  t.equal(await openByTpm(own), null);
  partition.failsAt = 'open';
  await t.rejects(openByRecoveryKey(own, recoveryKey), { message: /open ended with 1: Device is broken/ });
  partition.failsAt = '';
  partition.slots.set('0', 'another');
  t.match(await openByTpm(own), /not one of this partition/);
});

t.test('the token', async (t) => {
  const sealed = { parent: Buffer.from([1]), publicArea: Buffer.from([2, 3]), privatePart: Buffer.from([4]), pcrs: [7, 15] };
  const text = encodeToken(sealed);
  t.strictSame(decodeToken(text), sealed);
  t.match(JSON.parse(text), { type: 'twinstep-tpm2', keyslots: ['0'] });
  for (const wrong of [
    '',
    '[]',
    'null',
    text.replace('twinstep-', 'systemd-'),
    text.replace('0203', '020'),
    text.replace('[7,15]', '[7,24]'),
    text.replace('[7,15]', '7'),
  ])
    t.equal(decodeToken(wrong), null, wrong);
});

t.test('files with keys', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-volume-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  let path = '';
  await t.rejects(
    withKeyFiles(folder, { key: Buffer.from('secret') }, async (files) => {
      path = files.key;
      t.equal(readFileSync(path, 'latin1'), 'secret');
      throw new Error('cut short');
    }),
    { message: 'cut short' },
  );
  t.notOk(existsSync(path));
});

t.test('what init does by itself, in its own bytes', async (t) => {
  const script = readFileSync(new URL('../../../../image/disk/overlay/usr/lib/twinstep/state.sh', import.meta.url), 'utf8');
  const octal = /^closing='(.*)'$/m.exec(script)?.[1] ?? '';
  const bytes = Buffer.from([...octal.matchAll(/\\(\d{3})/g)].map((m) => Number.parseInt(m[1] ?? '', 8)));
  t.strictSame(bytes, encodeCommand(pcrExtend(15, CLOSING), EMPTY_PASSWORD));
});

t.test('in words', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-volume-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  t.equal(stateEncryption(join(folder, 'missing')), null);
  t.equal(encryptionText('tpm2'), 'encrypted (TPM2)');
  t.equal(encryptionProblem('none', null, false), null);
  t.equal(encryptionProblem('tpm2', 'tpm2', true), null);
  t.equal(encryptionProblem('tpm2', 'recoveryKey', false), null);
  t.match(encryptionProblem('tpm2', 'none', false), /shows no TPM 2.0. Switch it on in the firmware's set-up/);
  t.match(encryptionProblem('tpm2', 'none', true), /Start the server again with the file/);
  await t.rejects(openTpm(join(folder, 'tpmrm0')), { trouble: 'refused', message: /switch the TPM on/ });
});
