// Writes the installation medium: `twinstep-<version>.iso`, for a BMC's virtual media and, byte by byte, for a stick.
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type FatFile, fatFileSystem, type Piece } from '../disk/fat.ts';
import { encodeGpt } from '../disk/gpt.ts';
import { fixedGuid } from '../disk/layout.ts';
import { addSections } from '../disk/uki.ts';
import { SECTOR_BYTES as ISO_SECTOR_BYTES, isoPieces } from './iso.ts';
import { addonPath, installWords, MIB, mediumLayout } from './medium-layout.ts';

const ADDON_STUB = 'usr/lib/systemd/boot/efi/addonx64.efi.stub';
const FAT = { volumeId: 0x7517a57f, label: 'TWINSTEP-I', sectorsPerUnit: 1 };

export interface MediumContent {
  version: string;
  /** The folder where systemd's stubs are unpacked. */
  tools: string;
  slot: Buffer;
  /** Of an installed disk's EFI system partition. */
  files: readonly FatFile[];
  /** For Secure Boot: signs the addon. */
  sign?: (program: Buffer) => Buffer;
  /** More words on the command line; for tests. */
  words?: string;
}

/** Everything on the medium that is not zero. */
export function mediumPieces(content: MediumContent): { pieces: Piece[]; bytes: number } {
  const { version, tools, slot, files, sign = (program) => program, words = '' } = content;
  const layout = mediumLayout(slot.length, files);
  const { slotMib, espMib, mib, partitions } = layout;
  const commandLine = `${installWords(layout, files)}${words === '' ? '' : ` ${words}`}`;
  const addon = sign(addSections(readFileSync(join(tools, ADDON_STUB)), [{ name: '.cmdline', data: Buffer.from(commandLine) }]));
  const esp = fatFileSystem([...files, { path: addonPath(version), data: addon }], espMib * MIB, FAT);
  const gpt = encodeGpt(partitions, fixedGuid('medium'), (mib * MIB) / 512);
  const [slotAt, espAt] = [MIB, (1 + slotMib) * MIB];
  const iso = isoPieces(
    [
      { name: 'README.TXT', data: Buffer.from(readMe(version)) },
      { name: 'SLOT.IMG', data: null, firstSector: slotAt / ISO_SECTOR_BYTES, bytes: slot.length },
      { name: 'EFI.IMG', data: null, firstSector: espAt / ISO_SECTOR_BYTES, bytes: espMib * MIB },
    ],
    { label: 'TWINSTEP', sectors: (mib * MIB) / ISO_SECTOR_BYTES, bootSector: espAt / ISO_SECTOR_BYTES },
  );
  return {
    bytes: mib * MIB,
    pieces: [
      { offset: 0, data: gpt.front },
      ...iso,
      { offset: slotAt, data: slot },
      ...esp.map(({ offset, data }) => ({ offset: espAt + offset, data })),
      { offset: mib * MIB - gpt.back.length, data: gpt.back },
    ],
  };
}

/** Replaces `path`. */
export function writeMedium(path: string, content: MediumContent): { bytes: number } {
  const { pieces, bytes } = mediumPieces(content);
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, bytes);
    for (const { offset, data } of pieces)
      for (let done = 0; done < data.length; ) done += writeSync(fd, data, done, data.length - done, offset + done);
  } finally {
    closeSync(fd);
  }
  return { bytes };
}

function readMe(version: string): string {
  return [
    `Twinstep ${version}: installation medium`,
    '',
    'Start a server from it (UEFI): as a CD-ROM of the virtual media of its BMC, or from a stick to which this',
    'image was written byte by byte. It asks, on the serial line (115200 8N1) and on the first screen, before it',
    'erases anything.',
    '',
  ].join('\r\n');
}
