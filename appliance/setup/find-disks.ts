// Where the guest's copy may lie: a file on the state partition, or a whole disk beside the system's; and what is on it already.
import { createHash } from 'node:crypto';
import { open, readdir, readFile, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { disksBelow } from '../../drivers/block/index.ts';
import { diskName, pairName } from '../mirror/disk-identity.ts';
import { decodeMetadataSlot, METADATA_PAGE_BYTES, type Slot } from '../mirror/metadata-codec.ts';
import { contentOf } from './disk-content.ts';
import type { DiskFact } from './state.ts';

const MIB = 1 << 20;
/** The state partition keeps room for logs, journal and updates. */
const KEPT_FREE_MIB = 512;
/** Names of whole disks. */
const WHOLE_DISK = /^(nvme\d+n\d+|sd[a-z]+|vd[a-z]+)$/;
/** Partition tables and file systems begin here. */
const LOOK_BYTES = 1 << 20;

export interface DiskOptions {
  stateFolder: string;
  /** Of the pair that is being made; null: not known yet. */
  pairId: string | null;
}

export async function findDisks({ stateFolder, pairId }: DiskOptions): Promise<DiskFact[]> {
  const own = pairId === null ? null : pairName(Buffer.alloc(0), pairId);
  const slots = await recordsOf(join(stateFolder, 'state', 'intervals.journal.regions'));
  const path = join(stateFolder, 'disks', 'guest');
  const free = await statfs(stateFolder).then(
    (s) => (s.bavail * s.bsize) / MIB,
    () => 0,
  );
  const file = await stat(path).catch(() => null);
  const mib = Math.max(0, Math.floor(free + (file ? (file.blocks * 512) / MIB : 0) - KEPT_FREE_MIB));
  const found: DiskFact[] = [
    {
      path,
      text: 'A file on the system disk',
      mib,
      holds: file && file.size > 0 ? await whose(path, slots, own, 'A disk image is there already.') : '',
    },
  ];
  // Also through a mapping: an encrypted state partition is one.
  for (const name of otherDisks(await readdir('/sys/block').catch(() => []), await disksBelow(stateFolder))) {
    const disk = await deviceFact(name, slots, own).catch(() => null);
    if (disk) found.push(disk);
  }
  return found;
}

/** Whole disks by name, sorted, without those that the system lies on. @param system `/dev/...`; null: it lies on none. */
export function otherDisks(names: readonly string[], system: readonly string[] | null): string[] {
  return names.filter((name) => WHOLE_DISK.test(name) && !system?.includes(`/dev/${name}`)).sort();
}

async function deviceFact(name: string, slots: readonly Slot[], own: string | null): Promise<DiskFact | null> {
  const device = `/dev/${name}`;
  const attribute = async (file: string): Promise<string> => (await readFile(`/sys/block/${name}/${file}`, 'utf8').catch(() => '')).trim();
  const mib = Math.floor((Number(await attribute('size')) * 512) / MIB);
  if (mib === 0 || (await attribute('ro')) === '1' || (await attribute('removable')) === '1') return null;
  const serial = await attribute('device/serial');
  const words = [`${device}: ${(await attribute('device/model')) || 'a disk'}`, ...(serial ? [`serial ${serial}`] : [])];
  const handle = await open(device, 'r');
  try {
    const start = Buffer.alloc(Math.min(LOOK_BYTES, mib * MIB));
    await handle.read(start, 0, start.length, 0);
    const content = contentOf(start);
    return { path: device, text: words.join(', '), mib, holds: content === '' ? '' : await whose(device, slots, own, content) };
  } finally {
    await handle.close();
  }
}

/** What is recorded of this very disk counts more than how it begins. */
async function whose(path: string, slots: readonly Slot[], own: string | null, otherwise: string): Promise<string> {
  const name = await diskName(path);
  const digest = name === null ? null : createHash('sha256').update(name).digest();
  const slot = slots.find((s) => digest !== null && Buffer.from(s.disk).equals(digest));
  if (!slot) return otherwise;
  if (slot.record.pair === own) return '';
  return `It holds the guest's disk of another pair (${slot.record.pair.slice(0, 8)}): used here, that copy is given up.`;
}

async function recordsOf(path: string): Promise<Slot[]> {
  const bytes = await readFile(path).catch(() => Buffer.alloc(0));
  return [0, 1].flatMap((i) => decodeMetadataSlot(bytes.subarray(i * METADATA_PAGE_BYTES, (i + 1) * METADATA_PAGE_BYTES)) ?? []);
}
