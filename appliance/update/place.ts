// Where everything is on a running appliance: the slots and the EFI system partition of the disk it was started from, the keys it trusts.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UpdateRefusal } from './bundle.ts';

/** Written by the initrd: slot, partition, disk, version. */
const SLOT_FILE = '/run/twinstep/slot';
const KEY_FOLDER = '/usr/lib/twinstep/update-keys';
const RECORD_FILE = '/var/lib/twinstep/state/update.json';
const LOCK_FILE = '/run/twinstep/update.lock';
/** A partition's size in /sys is in these, whatever the disk's own are. */
const SYS_SECTOR_BYTES = 512;
/** The one in use, the next one, and those of the years before. */
const MAX_KEYS = 8;

export interface Device {
  path: string;
  bytes: number;
}

export interface Place {
  /** The version that runs, as the boot named it. */
  version: string;
  slot: 'a' | 'b';
  slots: Record<'a' | 'b', Device>;
  esp: Device;
  /** Ed25519, public. */
  keys: readonly KeyObject[];
  /** What was last wished, for the news; on the state partition. */
  recordFile: string;
  /** One change at a time. */
  lockFile: string;
}

export function isAppliance(): boolean {
  return existsSync(SLOT_FILE);
}

/** Throws UpdateRefusal where this is no appliance, or a partition is missing. `root`: for tests. */
export function findPlace(root = '/'): Place {
  const said = readText(join(root, SLOT_FILE));
  if (said === null)
    throw new UpdateRefusal(
      'notAppliance',
      `This is no appliance that was started from its image (there is no ${SLOT_FILE}): nothing to update here.`,
    );
  const [slot, , disk = '', version = ''] = said.trim().split(' ');
  if ((slot !== 'a' && slot !== 'b') || !/^\w[\w-]*$/.test(disk))
    throw new UpdateRefusal('disk', `${SLOT_FILE} does not say which slot runs: '${said.trim()}'.`);
  const partition = (name: string) => partitionOf(root, disk, name);
  return {
    version,
    slot,
    slots: { a: partition('twinstep-a'), b: partition('twinstep-b') },
    esp: partition('twinstep-esp'),
    keys: readKeys(join(root, KEY_FOLDER)),
    recordFile: join(root, RECORD_FILE),
    lockFile: join(root, LOCK_FILE),
  };
}

/** By its name in the partition table, on the disk that runs: another disk may carry an image, too. */
function partitionOf(root: string, disk: string, name: string): Device {
  const folder = join(root, 'sys/block', disk);
  for (const entry of readdirSync(folder)) {
    const uevent = readText(join(folder, entry, 'uevent'));
    if (uevent === null || !uevent.split('\n').includes(`PARTNAME=${name}`)) continue;
    const sectors = Number(readText(join(folder, entry, 'size')));
    if (Number.isSafeInteger(sectors) && sectors > 0) return { path: join(root, 'dev', entry), bytes: sectors * SYS_SECTOR_BYTES };
  }
  throw new UpdateRefusal('disk', `The disk ${disk} has no partition ${name}: write the image to this disk anew.`);
}

/** Files NAME.pem. A key that is none is passed over: the others still count, and without any nothing is taken. */
export function readKeys(folder: string): KeyObject[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.pem'))
    .sort();
  return names.slice(0, MAX_KEYS).flatMap((name) => {
    try {
      const key = createPublicKey(readFileSync(join(folder, name)));
      return key.asymmetricKeyType === 'ed25519' ? [key] : [];
    } catch {
      return [];
    }
  });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
