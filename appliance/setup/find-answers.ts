// Where an answer file may come from: a file that was named, the host of a virtual machine (fw_cfg, SMBIOS), or a partition with the label TWINSTEP
// on a disk that was plugged in. Looked for again and again until there is one.
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { oemStrings } from '../../drivers/inventory/index.ts';
import { runProgram } from '../console/cli/programs.ts';
import { ANSWER_FILE_MAX_BYTES } from './answer-file.ts';
import { labelOf } from './volume-label.ts';

const GIVEN_BY_HOST = '/sys/firmware/qemu_fw_cfg/by_name/opt/org.twinstep/answers/raw';
const SMBIOS_TABLE = '/sys/firmware/dmi/tables/DMI';
/** Of the OEM string that has a whole answer file behind it, in base64: a string has no lines. */
const OEM_PREFIX = 'org.twinstep.answers=';
export const LABEL = 'TWINSTEP';
export const ANSWER_FILE = 'twinstep-answers.yaml';
const GUEST_FOLDER = 'guest';
/** A file system's label lies in its first KiBs. */
const LABEL_BYTES = 4096;

export interface FoundAnswers {
  /** As people call it. */
  from: string;
  text: string;
  /** Where a file beside it lies, while it is looked at. */
  pathOf(name: string): string;
}

/** `visit` gets what there is now; nothing may be there. Rejects with a sentence when there is one that cannot be read. */
export async function findAnswers(file: string | null, mountPoint: string, visit: (found: FoundAnswers) => Promise<void>): Promise<void> {
  if (file && (await stat(file).catch(() => null)))
    return await visit({ from: file, text: await readShort(file), pathOf: (name) => join(dirname(file), name) });
  if (await stat(GIVEN_BY_HOST).catch(() => null))
    return await visit({ from: "the virtual machine's host", text: await readShort(GIVEN_BY_HOST), pathOf: besideGiven });
  const inSmbios = answersAmong(await smbiosStrings());
  if (inSmbios !== null) return await visit({ from: "the virtual machine's host (SMBIOS)", text: inSmbios, pathOf: besideGiven });
  for (const device of await partitions()) {
    const type = await typeOf(device).catch(() => null);
    if (type !== null) return await fromDevice(device, type, mountPoint, visit);
  }
}

const besideGiven = (name: string): string => join(dirname(GIVEN_BY_HOST), '..', name, 'raw');

/** A server without such a table, or with a damaged one, gives none. */
async function smbiosStrings(): Promise<string[]> {
  try {
    return oemStrings(await readFile(SMBIOS_TABLE));
  } catch {
    return [];
  }
}

/** The answer file in `strings`; null: there is none. Throws with a sentence for one that cannot be read. */
export function answersAmong(strings: readonly string[]): string | null {
  const found = strings.find((s) => s.startsWith(OEM_PREFIX))?.slice(OEM_PREFIX.length);
  if (found === undefined) return null;
  const bytes = Buffer.from(found, 'base64');
  // What is no base64 is passed over when it is decoded.
  if (bytes.toString('base64') !== found)
    throw new Error(`the SMBIOS string ${OEM_PREFIX} is not followed by base64: base64 -w0 of the answer file`);
  if (bytes.length > ANSWER_FILE_MAX_BYTES)
    throw new Error(`the SMBIOS string ${OEM_PREFIX} has more than ${ANSWER_FILE_MAX_BYTES} bytes: it is no answer file`);
  return bytes.toString('utf8');
}

/** One that brings a guest only, which the image's init takes, is no mistake. @param names In its top folder. */
export function whatIsOn(names: readonly string[]): 'answers' | 'guest' | 'neither' {
  if (names.includes(ANSWER_FILE)) return 'answers';
  return names.includes(GUEST_FOLDER) ? 'guest' : 'neither';
}

/** Also whole disks: a stick need not have partitions. */
async function partitions(): Promise<string[]> {
  const text = await readFile('/proc/partitions', 'utf8').catch(() => '');
  return [...text.matchAll(/^\s*\d+\s+\d+\s+\d+\s+((?:sd|vd|nvme|mmcblk|sr)\S+)$/gm)].map((m) => `/dev/${m[1]}`);
}

async function typeOf(device: string): Promise<'vfat' | 'ext4' | null> {
  const handle = await open(device, 'r');
  try {
    const start = Buffer.alloc(LABEL_BYTES);
    const { bytesRead } = await handle.read(start, 0, start.length, 0);
    const found = labelOf(start.subarray(0, bytesRead));
    return found?.label === LABEL ? found.type : null;
  } finally {
    await handle.close();
  }
}

async function fromDevice(device: string, type: string, mountPoint: string, visit: (found: FoundAnswers) => Promise<void>): Promise<void> {
  await mkdir(mountPoint, { recursive: true, mode: 0o700 });
  await runProgram('mount', ['-t', type, '-o', 'ro,nosuid,nodev,noexec', device, mountPoint], 'mount');
  try {
    const path = join(mountPoint, ANSWER_FILE);
    const holds = whatIsOn(await readdir(mountPoint));
    if (holds === 'guest') return;
    if (holds === 'neither') throw new Error(`${device} is called ${LABEL} but has no file ${ANSWER_FILE}: put it there`);
    await visit({ from: `${ANSWER_FILE} on ${device}`, text: await readShort(path), pathOf: (name) => join(mountPoint, name) });
  } finally {
    await runProgram('umount', [mountPoint], 'mount');
    await rm(mountPoint, { recursive: false, force: true }).catch(() => undefined);
  }
}

async function readShort(path: string): Promise<string> {
  const handle = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(ANSWER_FILE_MAX_BYTES + 1);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    if (bytesRead > ANSWER_FILE_MAX_BYTES) throw new Error(`${path} has more than ${ANSWER_FILE_MAX_BYTES} bytes: it is no answer file`);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
