// What is to be installed, as the initrd has brought it into memory: checked before anybody is asked. The slot was opened under dm-verity and
// read whole before this program ran; the files are checked by the hash that the command line of the boot names.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FatFile } from '../disk/fat.ts';
import { filesHash, MIB, parseInstallWords } from './medium-layout.ts';

export interface Medium {
  version: string;
  slot: Buffer;
  files: FatFile[];
  /** Of dm-verity: how the slot is checked when it has been written. */
  verity: { rootHash: string; salt: string; dataBlocks: number };
}

export class MediumError extends Error {}

/** Throws MediumError, naming what is wrong. `content`: slot and behind it other things; `esp`: where the EFI system partition is mounted. */
export function readMedium(where: { content: string; esp: string; commandLine: string }): Medium {
  const words = parseInstallWords(where.commandLine);
  const word = (name: string) => new RegExp(`(?:^|\\s)twinstep\\.${name}=(\\S+)`).exec(where.commandLine)?.[1] ?? '';
  const [version, rootHash, salt, dataBlocks] = [word('version'), word('hash'), word('salt'), Number(word('blocks'))];
  if (words === null || version === '' || rootHash === '' || !(dataBlocks > 0))
    throw new MediumError('this server was not started from an installation medium');
  const files = filesBelow(where.esp)
    .filter((path) => !path.includes('.extra.d/'))
    .map((path) => ({ path, data: readFileSync(join(where.esp, path)) }));
  if (filesHash(files) !== words.filesHash)
    throw new MediumError("the medium is damaged: its EFI system partition does not have the medium's own files");
  const slot = readFileSync(where.content).subarray(0, words.slotMib * MIB);
  if (slot.length < words.slotMib * MIB) throw new MediumError(`the medium is damaged: its slot ends after ${slot.length} bytes`);
  return { version, slot, files, verity: { rootHash, salt, dataBlocks } };
}

function filesBelow(folder: string, prefix = ''): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(folder, entry.name), `${prefix}${entry.name}/`) : [`${prefix}${entry.name}`],
  );
}
