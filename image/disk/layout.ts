// Where everything is on the disk: EFI system partition, two slots for roots, and behind them room for the state partition, which the first
// boot makes. Pure.
import { createHash } from 'node:crypto';
import { PARTITION_TYPES, type Partition, RESERVED_SECTORS, SECTOR_BYTES } from './gpt.ts';

const MIB = 1 << 20;
/** Partitions begin at whole MiB: a multiple of every disk's own block. */
const ALIGNMENT_SECTORS = MIB / SECTOR_BYTES;
/** Three programs of 50 MiB: the running version, the one before it, and one that is being written. */
const ESP_MIB = 256;
/** Three times today's root. */
export const SLOT_MIB = 768;

export type SlotName = 'a' | 'b';

/** The names by which initrd and init find partitions; a person reads them in any partition program. */
export const PARTITION_NAMES = { esp: 'twinstep-esp', a: 'twinstep-a', b: 'twinstep-b' } as const;
/** Of the file system of the ESP. Not the label by which sticks with answers and guests are found. */
export const ESP_FAT = { volumeId: 0x7517a57e, label: 'TWINSTEPESP' } as const;
/** Made at the first boot, behind the slots (overlay/usr/lib/twinstep/state.sh). */
export const STATE_PARTITION = 'twinstep-state';

/** The same for everybody, so that the same sources give the same image; what differs between machines is in their state. */
export function fixedGuid(of: string): string {
  const hex = createHash('sha256').update(`twinstep ${of}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export interface Layout {
  diskSectors: number;
  diskId: string;
  esp: Partition;
  slots: Record<SlotName, Partition>;
}

export function diskLayout(): Layout {
  let next = ALIGNMENT_SECTORS;
  const partition = (type: string, name: string, mib: number): Partition => {
    const p = { type, name, id: fixedGuid(name), firstSector: next, sectors: mib * ALIGNMENT_SECTORS };
    next += p.sectors;
    return p;
  };
  const esp = partition(PARTITION_TYPES.efiSystem, PARTITION_NAMES.esp, ESP_MIB);
  const a = partition(PARTITION_TYPES.root, PARTITION_NAMES.a, SLOT_MIB);
  const b = partition(PARTITION_TYPES.root, PARTITION_NAMES.b, SLOT_MIB);
  const diskSectors = Math.ceil((next + RESERVED_SECTORS.back) / ALIGNMENT_SECTORS) * ALIGNMENT_SECTORS;
  return { diskSectors, diskId: fixedGuid('disk'), esp, slots: { a, b } };
}
