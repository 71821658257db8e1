// Where everything is on the installation medium, and how the program that starts from it knows what must be there. Pure.
//
// The medium has the same program of the boot as an installed disk, and beside it an addon: a few words more on the kernel's command line.
//
//   twinstep.install=HASH    install: start from the medium; HASH is that of the list of files for the disk's EFI system partition
//   twinstep.medium=S+E      MiB of the slot and of the EFI system partition behind it, from 1 MiB on
import { createHash } from 'node:crypto';
import type { FatFile } from '../disk/fat.ts';
import { PARTITION_TYPES, type Partition } from '../disk/gpt.ts';
import { fixedGuid } from '../disk/layout.ts';

export const MIB = 1 << 20;
const SECTORS_PER_MIB = MIB / 512;
/** How initrd and installer know the medium, when it is a stick. */
export const MEDIUM_PARTITION = 'twinstep-medium';
/** The least that is a FAT32 file system with the smallest allocation units, to whole MiB. */
const LEAST_ESP_MIB = 34;
/** For directories and file allocation tables (2 x 4 bytes for each 512): one in 50, and this. */
const ESP_SPARE_MIB = 2;

export interface MediumLayout {
  slotMib: number;
  espMib: number;
  /** All of the medium. */
  mib: number;
  partitions: Partition[];
}

export function mediumLayout(slotBytes: number, files: readonly FatFile[]): MediumLayout {
  const slotMib = Math.ceil(slotBytes / MIB);
  const bytes = files.reduce((sum, { data }) => sum + data.length, 0);
  const espMib = Math.max(LEAST_ESP_MIB, Math.ceil((bytes / MIB) * 1.02) + ESP_SPARE_MIB);
  const partition = (type: string, name: string, fromMib: number, mib: number): Partition => ({
    type,
    name,
    id: fixedGuid(name),
    firstSector: fromMib * SECTORS_PER_MIB,
    sectors: mib * SECTORS_PER_MIB,
  });
  return {
    slotMib,
    espMib,
    mib: 1 + slotMib + espMib + 1,
    partitions: [
      partition(PARTITION_TYPES.linux, MEDIUM_PARTITION, 1, slotMib),
      partition(PARTITION_TYPES.efiSystem, `${MEDIUM_PARTITION}-esp`, 1 + slotMib, espMib),
    ],
  };
}

/** SHA-256 over lines of hash and path: what is to lie on a disk's EFI system partition. */
export function filesHash(files: readonly FatFile[]): string {
  const lines = files.map(({ path, data }) => `${createHash('sha256').update(data).digest('hex')}  ${path}\n`);
  return createHash('sha256').update(lines.toSorted().join('')).digest('hex');
}

/** Behind the program's own words. */
export function installWords({ slotMib, espMib }: Pick<MediumLayout, 'slotMib' | 'espMib'>, files: readonly FatFile[]): string {
  return `twinstep.install=${filesHash(files)} twinstep.medium=${slotMib}+${espMib}`;
}

export interface InstallWords {
  filesHash: string;
  slotMib: number;
  espMib: number;
}

/** Null: this is no start from an installation medium. */
export function parseInstallWords(commandLine: string): InstallWords | null {
  const hash = /(?:^|\s)twinstep\.install=([0-9a-f]{64})(?:\s|$)/.exec(commandLine)?.[1];
  const [, slot, esp] = /(?:^|\s)twinstep\.medium=(\d{1,6})\+(\d{1,6})(?:\s|$)/.exec(commandLine) ?? [];
  return hash && slot && esp ? { filesHash: hash, slotMib: Number(slot), espMib: Number(esp) } : null;
}

/** Of the program of the boot: where the stub looks for addons of this program only. */
export function addonPath(version: string): string {
  return `EFI/Linux/twinstep_${version}.efi.extra.d/install.addon.efi`;
}
