// Another recovery key in the place of the one that is kept: whoever asks has the old one. Both open the partition until the new one is written down;
// the old one opens nothing from then on. Two places of the header take turns, so that at any moment one key for people is whole.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import type { RecoveryKeys } from '../console/serial/recovery-dialog.ts';
import { type Cryptsetup, cryptsetup, withKeyFiles } from './cryptsetup.ts';
import { STATE_DEVICE_FILE, stateEncryption } from './facts.ts';
import { addKeyArguments, dropKeyArguments, NO_SUCH_KEY, type RecoverySlot, tryKeyArguments } from './luks.ts';
import { RECOVERY_KEY_BYTES, readRecoveryKey, recoveryKeyOf } from './recovery-key.ts';
import { VolumeError } from './volume.ts';

interface Under {
  device: string;
  cryptsetup: Cryptsetup;
  /** In memory. */
  keyFolder: string;
}

interface Begun {
  old: { slot: RecoverySlot; key: string };
  fresh: { slot: RecoverySlot; key: string };
}

export function recoveryKeys(under: Under): RecoveryKeys {
  let begun: Begun | null = null;
  /** `opener` stays, the other one goes. */
  const end = async (stays: 'old' | 'fresh'): Promise<void> => {
    if (begun === null) return;
    const [opener, goes] = stays === 'old' ? [begun.old, begun.fresh] : [begun.fresh, begun.old];
    begun = null;
    await withKeyFiles(under.keyFolder, { opener: Buffer.from(opener.key) }, (files) =>
      must(under, dropKeyArguments(under.device, files.opener, goes.slot)),
    );
  };
  return {
    begin: async (typed) => {
      const oldKey = readRecoveryKey(typed);
      if (oldKey === null) return null;
      await end('old');
      const recoveryKey = recoveryKeyOf(randomBytes(RECOVERY_KEY_BYTES));
      const keys = { old: Buffer.from(oldKey), fresh: Buffer.from(recoveryKey) };
      return withKeyFiles(under.keyFolder, keys, async (files) => {
        const slot = await slotOf(under, files.old);
        if (slot === null) return null;
        const other: RecoverySlot = slot === 'recovery' ? 'otherRecovery' : 'recovery';
        // Cut short before, one may be there that nobody has.
        await under.cryptsetup(dropKeyArguments(under.device, files.old, other));
        await must(under, addKeyArguments(under.device, files.old, other, files.fresh));
        begun = { old: { slot, key: oldKey }, fresh: { slot: other, key: recoveryKey } };
        return recoveryKey;
      });
    },
    keep: () => end('fresh'),
    drop: () => end('old'),
  };
}

/** On an appliance whose state is encrypted; else null. */
export function ownRecoveryKeys(keyFolder: string, deviceFile: string = STATE_DEVICE_FILE): RecoveryKeys | null {
  const encryption = stateEncryption();
  if (encryption === null || encryption === 'none' || !existsSync(deviceFile)) return null;
  return recoveryKeys({ device: readFileSync(deviceFile, 'utf8').trim(), cryptsetup, keyFolder });
}

async function slotOf({ device, cryptsetup: run }: Under, keyFile: string): Promise<RecoverySlot | null> {
  for (const slot of ['recovery', 'otherRecovery'] as const) {
    const { code, complaint } = await run(tryKeyArguments(device, keyFile, slot));
    if (code === 0) return slot;
    // A place without a key is one that this key does not open.
    if (code !== NO_SUCH_KEY && !/No usable keyslot/i.test(complaint))
      throw new VolumeError(`cryptsetup open ended with ${code}: ${complaint.split('\n').at(-1) ?? ''}`);
  }
  return null;
}

async function must({ cryptsetup: run }: Under, args: readonly string[]): Promise<void> {
  const { code, complaint } = await run(args);
  if (code !== 0) throw new VolumeError(`cryptsetup ${args[0]} ended with ${code}: ${complaint.split('\n').at(-1) ?? ''}`);
}
