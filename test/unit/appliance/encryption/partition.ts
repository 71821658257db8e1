// A partition as cryptsetup 2.7 keeps it, in memory: what it is told, what it says.
import { readFileSync } from 'node:fs';
import type { Ended } from '../../../../appliance/encryption/cryptsetup.ts';

/** A partition with key slots as cryptsetup keeps them, in memory. */
export class Partition {
  readonly told: string[][] = [];
  readonly slots = new Map<string, string>();
  token: string | null = null;
  isOpen = false;
  /** Of a word of the command line: it fails. */
  failsAt = '';

  run = async (args: readonly string[], input = ''): Promise<Ended> => {
    this.told.push([...args]);
    const option = (name: string): string => args[args.indexOf(name) + 1] ?? '';
    const key = args.includes('--key-file') ? readFileSync(option('--key-file'), 'latin1') : '';
    if (this.failsAt !== '' && args.includes(this.failsAt)) return { code: 1, said: '', complaint: 'Device is broken.' };
    const isRight = [...this.slots.values()].includes(key);
    const done: Ended = { code: 0, said: '', complaint: '' };
    switch (args[0]) {
      case 'luksFormat':
        this.slots.clear();
        this.slots.set(option('--key-slot'), key);
        return done;
      case 'luksAddKey': {
        if (!isRight) return { ...done, code: 2 };
        if (this.slots.has(option('--key-slot'))) return { ...done, code: 1, complaint: 'Key slot is full.' };
        this.slots.set(option('--key-slot'), readFileSync(args.at(-1) ?? '', 'latin1'));
        return done;
      }
      case 'luksKillSlot':
        return { ...done, code: isRight && this.slots.delete(args.at(-1) ?? '') ? 0 : 1 };
      case 'open':
        if (args.includes('--test-passphrase')) {
          const slot = this.slots.get(option('--key-slot'));
          if (slot === undefined) return { ...done, code: 1, complaint: 'No usable keyslot is available.' };
          return slot === key ? done : { ...done, code: 2, complaint: 'No key available with this passphrase.' };
        }
        if (!isRight) return { ...done, code: 2, complaint: 'No key available with this passphrase.' };
        this.isOpen = true;
        return done;
      case 'token':
        if (args[1] === 'import') this.token = this.token === null ? input : 'two of them';
        if (args[1] === 'remove') this.token = null;
        return this.token === null && args[1] === 'export'
          ? { ...done, code: 1 }
          : { ...done, said: args[1] === 'export' ? (this.token ?? '') : '' };
      default:
        return { ...done, code: 1, complaint: `unknown ${args[0]}` };
    }
  };
}
