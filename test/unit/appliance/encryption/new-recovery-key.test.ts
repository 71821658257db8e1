// Another recovery key: both open until it is written down, one of them afterwards, and no key in an argument.
import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { ownRecoveryKeys, recoveryKeys } from '../../../../appliance/encryption/new-recovery-key.ts';
import { recoveryKeyOf } from '../../../../appliance/encryption/recovery-key.ts';
import { Partition } from './partition.ts';

const FIRST = recoveryKeyOf(Buffer.alloc(20, 1));

function server(t: Test) {
  const folder = t.testdir();
  const partition = new Partition();
  partition.slots.set('0', "the TPM's");
  partition.slots.set('1', FIRST);
  return { partition, folder, keys: recoveryKeys({ device: '/dev/sdz4', cryptsetup: partition.run, keyFolder: folder }) };
}

t.test('made, kept; once more, in turn', async (t) => {
  const { partition, folder, keys } = server(t);
  const second = await keys.begin(FIRST.toUpperCase().replaceAll('-', ' '));
  t.match(second, /^([0-9a-z]{4}-){7}[0-9a-z]{4}$/);
  t.strictSame(Object.fromEntries(partition.slots), { 0: "the TPM's", 1: FIRST, 2: second }, 'both open it');
  await keys.keep();
  t.strictSame(Object.fromEntries(partition.slots), { 0: "the TPM's", 2: second });
  t.equal(await keys.begin(FIRST), null, 'the old one is no key any more');
  const third = await keys.begin(second ?? '');
  await keys.keep();
  t.strictSame(Object.fromEntries(partition.slots), { 0: "the TPM's", 1: third });
  const secrets = [FIRST, second ?? '', third ?? ''];
  t.notOk(partition.told.flat().some((word) => secrets.some((secret) => word.includes(secret))));
  t.strictSame(readdirSync(folder), []);
});

t.test('not written down, another key, nonsense', async (t) => {
  const { partition, keys } = server(t);
  t.equal(await keys.begin('0123'), null);
  t.equal(await keys.begin(recoveryKeyOf(Buffer.alloc(20, 2))), null);
  t.equal(partition.slots.size, 2);
  t.not(await keys.begin(FIRST), null);
  await keys.drop();
  t.strictSame(Object.fromEntries(partition.slots), { 0: "the TPM's", 1: FIRST });
  await keys.keep();
  t.equal(partition.slots.get('1'), FIRST, 'nothing was begun');
});

t.test('cut short: what nobody has written down goes with the next one', async (t) => {
  const { partition, folder, keys } = server(t);
  await keys.begin(FIRST);
  const later = recoveryKeys({ device: '/dev/sdz4', cryptsetup: partition.run, keyFolder: folder });
  const key = await later.begin(FIRST);
  await later.keep();
  t.strictSame(Object.fromEntries(partition.slots), { 0: "the TPM's", 2: key });
  partition.failsAt = 'luksAddKey';
  await t.rejects(later.begin(key ?? ''), { message: 'cryptsetup luksAddKey ended with 1: Device is broken.' });
  t.equal(partition.slots.get('2'), key);
  partition.failsAt = '--test-passphrase';
  await t.rejects(later.begin(key ?? ''), { message: 'cryptsetup open ended with 1: Device is broken.' });
  t.equal(ownRecoveryKeys(folder), null, 'here no state is encrypted');
});
