// Which disks the installer offers, in words: what is on each, what would be lost, and why one cannot be taken. Pure.
import { sizeText } from '../../appliance/console/format.ts';
import { compareVersions, isVersion } from '../../appliance/update/version.ts';
import type { Partition } from '../disk/gpt.ts';
import { diskLayout, PARTITION_NAMES, STATE_PARTITION } from '../disk/layout.ts';
import { MEDIUM_PARTITION, MIB } from './medium-layout.ts';

const SECTOR_BYTES = 512;
/** Logs, and a durable record; disks of the guest may lie elsewhere. */
export const LEAST_STATE_MIB = 2048;
/** Of the serial number, that the operator types before a disk is erased. */
const TYPED_CHARACTERS = 4;

/** What a look at the disk has found. */
export type DiskContent =
  | { kind: 'partitions'; partitions: Partition[]; twinstep: TwinstepContent | null }
  /** A table that is there and cannot be believed; or partitions of the old kind (MBR), a file system over all of the disk, something else. */
  | { kind: 'other'; what: string }
  /** Nothing in its first MiB. */
  | { kind: 'blank' }
  /** It cannot be read. */
  | { kind: 'unreadable'; why: string };

export interface TwinstepContent {
  /** Of its programs of the boot; [] when they cannot be read. */
  versions: string[];
  /** The version that wrote the state last; null: not known. */
  stateVersion: string | null;
  state:
    | { kind: 'none' }
    | { kind: 'unreadable' }
    | { kind: 'encrypted' }
    | { kind: 'unconfigured' }
    | { kind: 'pair'; pairId: string; coServer: string };
}

export interface DiskFacts {
  /** `/dev/nvme0n1` */
  device: string;
  model: string;
  serial: string;
  bytes: number;
  logicalBlockBytes: number;
  writeProtected: boolean;
  /** Why it cannot be had alone: mounted, part of something. */
  inUse: string | null;
  content: DiskContent;
}

export interface DiskChoice {
  facts: DiskFacts;
  /** What is on it. */
  contents: string;
  /** Why it cannot be taken; null: it can. */
  refusal: string | null;
  /** Its state can stay, and only the slot is written. */
  keepable: boolean;
  /** What is typed before it is erased. */
  word: string;
}

export function diskChoice(facts: DiskFacts): DiskChoice {
  const { content, serial, device } = facts;
  const refusal = refusalOf(facts);
  return {
    facts,
    contents: contentsText(content),
    refusal,
    keepable: refusal === null && content.kind === 'partitions' && content.twinstep !== null && isOurLayout(content.partitions),
    // A disk without a serial number is named as the kernel does.
    word: serial.length >= TYPED_CHARACTERS ? serial.slice(-TYPED_CHARACTERS) : device.replace('/dev/', ''),
  };
}

/** The version that wrote the state of this disk, if it is newer than `version`: that one may not understand it. Else null. */
export function newerState({ facts: { content } }: DiskChoice, version: string): string | null {
  const wrote = content.kind === 'partitions' ? (content.twinstep?.stateVersion ?? null) : null;
  return wrote !== null && isVersion(version) && compareVersions(wrote, version) > 0 ? wrote : null;
}

function refusalOf(facts: DiskFacts): string | null {
  const { content, logicalBlockBytes, bytes } = facts;
  const least = diskLayout().diskSectors * SECTOR_BYTES + LEAST_STATE_MIB * MIB;
  if (content.kind === 'partitions' && content.partitions.some(({ name }) => name === MEDIUM_PARTITION))
    return 'this is the installation medium';
  if (facts.writeProtected) return 'it is write-protected';
  if (logicalBlockBytes !== SECTOR_BYTES)
    return `its blocks are ${logicalBlockBytes} bytes, not ${SECTOR_BYTES}: format it to ${SECTOR_BYTES} if it can (nvme format, sg_format)`;
  if (bytes < least) return `it is too small: ${sizeText(bytes)}; ${sizeText(least)} are needed`;
  if (facts.inUse !== null) return `it is in use (${facts.inUse})`;
  if (content.kind === 'unreadable') return `it cannot be read (${content.why})`;
  return null;
}

/** Slots and EFI system partition where this version has them, and a state behind them. */
function isOurLayout(partitions: readonly Partition[]): boolean {
  const { esp, slots } = diskLayout();
  return (
    [esp, slots.a, slots.b].every((wanted) =>
      partitions.some((p) => p.name === wanted.name && p.firstSector === wanted.firstSector && p.sectors === wanted.sectors),
    ) && partitions.some(({ name }) => name === STATE_PARTITION)
  );
}

export function isTwinstep(partitions: readonly Partition[]): boolean {
  return [PARTITION_NAMES.esp, PARTITION_NAMES.a].every((name) => partitions.some((p) => p.name === name));
}

function contentsText(content: DiskContent): string {
  switch (content.kind) {
    case 'blank':
      return 'nothing';
    case 'unreadable':
      return 'not readable';
    case 'other':
      return content.what;
    case 'partitions':
      return content.twinstep === null ? partitionsText(content.partitions) : twinstepText(content.twinstep);
    default:
      throw new Error(`unknown content ${String(content satisfies never)}`);
  }
}

function partitionsText(partitions: readonly Partition[]): string {
  if (partitions.length === 0) return 'a partition table without partitions';
  const named = partitions.map(({ name, sectors }) => `${name || 'no name'} ${sizeText(sectors * SECTOR_BYTES)}`);
  return `${partitions.length} partition${partitions.length === 1 ? '' : 's'}: ${named.join(', ')}`;
}

function twinstepText({ versions, state }: TwinstepContent): string {
  const what = versions.length > 0 ? `Twinstep ${versions.join(' and ')}` : 'a Twinstep of unknown version';
  switch (state.kind) {
    case 'none':
      return `${what}, never started`;
    case 'unreadable':
      return `${what}, with a state that cannot be read`;
    case 'encrypted':
      return `${what}, with an encrypted state`;
    case 'unconfigured':
      return `${what}, not configured yet`;
    case 'pair':
      return `${what}: CoServer ${state.coServer} of pair ${state.pairId.slice(0, 8)}`;
    default:
      throw new Error(`unknown state ${String(state satisfies never)}`);
  }
}
