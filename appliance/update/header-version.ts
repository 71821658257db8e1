// Which version wrote an encrypted state last, where it can be read without a key: in the name of a subsystem that the LUKS2 header has room for. The
// installer asks before it puts an older version beside it.
import { execFile } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { isVersion } from './version.ts';

/** Of the first header (LUKS2 On-Disk Format, 2.1): magic, version; 48 bytes of text. */
const MAGIC = Buffer.from('LUKS\xba\xbe\0\x02', 'latin1');
const SUBSYSTEM = { at: 208, bytes: 48 };
export const HEADER_BYTES = 512;
const PREFIX = 'twinstep-version=';
/** As it was made (appliance/encryption): cryptsetup takes a label away that is not told again. */
const LABEL = 'twinstep-state';
/** Written by init (state.sh): the partition below the encryption. */
const DEVICE_FILE = '/run/twinstep/state-device';

/** Rejects when it ends with anything but 0. */
export type RunCryptsetup = (args: readonly string[]) => Promise<unknown>;

// No udev runs on the appliance.
const cryptsetup: RunCryptsetup = (args) =>
  promisify(execFile)('cryptsetup', args, { env: { ...process.env, DM_DISABLE_UDEV: '1', LC_ALL: 'C' } });

/** @param start The first HEADER_BYTES of the partition. Null: it says none. */
export function headerVersion(start: Buffer): string | null {
  if (start.length < HEADER_BYTES || !start.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  const text = start.toString('latin1', SUBSYSTEM.at, SUBSYSTEM.at + SUBSYSTEM.bytes).split('\0', 1)[0] ?? '';
  const version = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : '';
  return isVersion(version) ? version : null;
}

/** Shorter where the device is. */
export async function readHeaderStart(device: string): Promise<Buffer> {
  const file = await open(device, 'r');
  try {
    const start = Buffer.alloc(HEADER_BYTES);
    const { bytesRead } = await file.read(start, 0, start.length, 0);
    return start.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Nothing happens where the state is not encrypted. Rejects when it cannot be written: then the installer knows less. */
export async function noteHeaderVersion(version: string, deviceFile: string = DEVICE_FILE, run: RunCryptsetup = cryptsetup): Promise<void> {
  const device = (await readFile(deviceFile, 'utf8').catch(() => '')).trim();
  if (device === '' || !isVersion(version) || headerVersion(await readHeaderStart(device)) === version) return;
  await run(['config', '--label', LABEL, '--subsystem', `${PREFIX}${version}`, device]);
}
