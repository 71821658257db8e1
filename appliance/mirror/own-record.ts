// May this disk be used, and is what is recorded of it to be believed? Asked at every open, before a byte of the disk is written.
//
// |                                      | to be made equal to the partner's  | to run the guest from                       |
// | nothing is recorded                  | taken, compared as a whole         | the first start: taken; later refused       |
// | both slots damaged                   | taken, compared as a whole         | refused                                     |
// | the record is another pair's         | refused                            | refused                                     |
// | it is another disk's                 | taken if this one is blank         | refused                                     |
// | the disk was smaller when recorded   | taken, compared as a whole         | taken, compared as a whole                  |
// | it was larger                        | refused                            | refused                                     |
// | it has lost its end                  | refused; later compared as a whole | refused, until it is adopted                |
// | nothing names this disk              | taken, compared as a whole         | taken, compared as a whole                  |
//
// So a new disk is made whole without a question, and never becomes the one that others are made equal to; and a disk with something on
// it that this pair does not know is not written to. The way out is the operator's `adopt`: he says that it is this pair's from now on.
import { type BlockStore, type SmallDiskError, StoreError } from '../../drivers/block/index.ts';
import { DISK_REFUSED } from './api.ts';
import { type DiskIdentity, Metadata, MetadataError, type MetadataTrouble } from './metadata.ts';

/** Where partition tables, boot blocks and the heads of file systems are. */
const LOOK_BYTES = 1024 * 1024;

export interface DiskToKnow {
  path: string;
  disk: BlockStore;
  /** The file with its record. */
  record: BlockStore;
  identity: DiskIdentity;
  /** It was made just now. */
  created: boolean;
  /** The guest has run from a disk here before, and is to run from this one. */
  serves: boolean;
  /** Durably gives up the journal beside it, which is another disk's. Done before the new record says that it is this one's. */
  forgetJournal(): Promise<void>;
}

export interface KnownDisk {
  metadata: Metadata;
  /** Why nothing was known of it; null: it was. */
  unknown: string | null;
  /** What made it so. */
  trouble: MetadataTrouble | null;
  /** One of its two slots was damaged. */
  mended: boolean;
}

/** Rejects with a sentence that names the disk and says what to do; nothing was written then. */
export async function openRecord(d: DiskToKnow): Promise<KnownDisk> {
  let metadata: Metadata;
  try {
    metadata = await Metadata.open(d.record, d.identity);
  } catch (e) {
    if (!(e instanceof MetadataError)) throw e;
    const refusal = await whyRefused(d, e);
    if (refusal !== null) throw refused(d.path, refusal);
    if (d.created || e.trouble === 'otherDisk') await d.forgetJournal();
    return { metadata: await Metadata.create(d.record, d.identity), unknown: e.message, trouble: e.trouble, mended: false };
  }
  return { metadata, unknown: null, trouble: null, mended: await metadata.mend() };
}

/** The operator's word: whatever was recorded, it is this pair's disk from now on. */
export async function adoptDisk(d: Pick<DiskToKnow, 'record' | 'identity' | 'forgetJournal'>): Promise<void> {
  try {
    await Metadata.open(d.record, d.identity);
  } catch (e) {
    if (!(e instanceof MetadataError)) throw e;
    // Of a disk that may be the same, the journal may still be needed.
    if (e.trouble === 'otherDisk' || e.trouble === 'otherPair') await d.forgetJournal();
  }
  await Metadata.create(d.record, d.identity);
}

/** A guest that has run before does not run from a disk that is not there. */
export function refuseMissing(path: string): StoreError {
  return refused(path, 'is not there, and the guest has run from it before: bring it back');
}

/**
 * A disk has lost its end. When it is long enough again it is still the same one, but nothing says what the new end holds: so what is
 * recorded of it is forgotten, and it is compared as a whole. One that was never longer is only set to too much.
 * @param d forget: durably. record: null: there is none.
 */
export async function refuseSmall(
  small: SmallDiskError,
  d: { record: BlockStore | null; identity: DiskIdentity; forget: () => Promise<void> },
): Promise<StoreError> {
  const had = d.record === null ? null : await Metadata.recordedBytes(d.record, d.identity);
  const isShrunk = had !== null && had > small.foundBytes;
  if (isShrunk) await d.forget();
  const then = isShrunk
    ? `. It had ${had} bytes: what is recorded of it is forgotten, and it is compared as a whole once it has them again`
    : '';
  return new StoreError('setup', 'open', 0, `the disk ${small.message}. Nothing was written to it${then}`, DISK_REFUSED);
}

async function whyRefused(d: DiskToKnow, { trouble, message }: MetadataError): Promise<string | null> {
  switch (trouble) {
    case 'unnamed':
      return null;
    case 'blank':
    case 'damaged':
      return d.serves ? `is not known here: ${message}` : null;
    case 'otherPair':
      return `belongs to another pair: ${message}`;
    case 'otherDisk':
      if (d.serves) return `is not the one that the guest ran from: ${message}`;
      return d.created || (await isBlank(d.disk)) ? null : `is not blank, and is not the one that was here: ${message}`;
    case 'smaller':
      return `is set to fewer bytes than the guest's disk has: ${message}`;
    case 'larger':
      return null;
    default:
      return trouble satisfies never;
  }
}

function refused(path: string, what: string): StoreError {
  const remedy = "Or adopt it (an operator's action here), if it is to be this pair's disk from now on";
  return new StoreError('setup', 'open', 0, `the disk ${path} ${what}. Nothing was written to it. ${remedy}`, DISK_REFUSED);
}

async function isBlank(disk: BlockStore): Promise<boolean> {
  const length = Math.min(LOOK_BYTES, disk.sizeBytes);
  const zeroes = Buffer.alloc(length);
  return (await disk.read(0, length)).equals(zeroes) && (await disk.read(disk.sizeBytes - length, length)).equals(zeroes);
}
