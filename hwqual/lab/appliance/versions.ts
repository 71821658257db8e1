// What `npm run image` left, and what a test makes of it: a damaged copy, another version.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeProgram } from '../../../image/disk/boot-files.ts';
import { readSections } from '../../../image/disk/uki.ts';
import { hashTree } from '../../../image/disk/verity.ts';
import { LabError } from '../lab-error.ts';
import { REPOSITORY } from '../prepare.ts';

export interface Version {
  version: string;
  /** The program of the boot. */
  program: Buffer;
  /** The squashfs and its hash tree. */
  slot: Buffer;
  /** Of QEMU in it; left out: the image's. */
  engine?: string;
}

export function builtVersion(folder: string): Version {
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as { version: string };
  const file = (ending: string) => {
    const path = join(folder, `twinstep-${version}.${ending}`);
    if (!existsSync(path)) throw new LabError(`there is no ${path}`, 'npm run image');
    return readFileSync(path);
  };
  return { version, program: file('efi'), slot: file('slot') };
}

/** The same files under another version's name: hashes with another salt, so its root hash is another one. `squashfs`: other files. */
export function otherVersion(built: Version, version: string, tools: string, squashfs?: Buffer): Version {
  const sections = new Map(readSections(built.program).map(({ name, data }) => [name, data]));
  const section = (name: string) => {
    const data = sections.get(name);
    if (data === undefined) throw new LabError(`the image's program has no section ${name}`);
    return data;
  };
  const blocks = /twinstep\.blocks=(\d+)/.exec(section('.cmdline').toString())?.[1] ?? '';
  const data = squashfs ?? built.slot.subarray(0, Number(blocks) * 4096);
  const salt = Buffer.from(version.padEnd(32)).toString('hex');
  const { tree, rootHash, dataBlocks } = hashTree(data, salt);
  const kernel = { version: section('.uname').toString(), data: section('.linux') };
  const program = makeProgram({ tools, kernel, initrd: section('.initrd'), slot: { rootHash, salt, dataBlocks }, version });
  return { version, program, slot: Buffer.concat([data, tree]) };
}

/** One bit is another one, in the middle of the files. */
export function damaged(slot: Buffer): Buffer {
  const copy = Buffer.from(slot);
  const at = copy.length >> 1;
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}
