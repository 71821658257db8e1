// Reads the counters: /sys/class/net and /proc/diskstats. A NIC or disk that is gone is no error here: it is named, or left out.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeDiskstats, decodeNic, NIC_FILES } from './codec.ts';
import { CountersError, type DiskLatencyReading, type NicReading } from './types.ts';

export interface CountersOptions {
  /** Default "/sys". */
  sysfs?: string;
  /** Default "/proc". */
  procfs?: string;
}

export interface NicsRead {
  nics: NicReading[];
  /** Asked for, but not there (any more). */
  missing: string[];
}

/** EINVAL: "carrier" and "speed" of a NIC that is down. */
const GONE = new Set(['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'EINVAL', 'EIO', 'EOPNOTSUPP']);
const NIC_NAME = /^[^\s/.][^\s/]{0,14}$/;

/** Rejects with CountersError. */
export async function readNics(
  wanted: readonly { nic: string; role: NicReading['role'] }[],
  { sysfs = '/sys' }: CountersOptions = {},
): Promise<NicsRead> {
  const nics: NicReading[] = [];
  const missing: string[] = [];
  for (const { nic, role } of wanted) {
    if (!NIC_NAME.test(nic)) throw new CountersError(`"${nic.slice(0, 40)}" is no name of a NIC`);
    const folder = join(sysfs, 'class/net', nic);
    const files = new Map<string, string>();
    for (const file of NIC_FILES) {
      const text = await contents(join(folder, file));
      if (text !== null) files.set(file, text);
    }
    if (await exists(folder)) nics.push(decodeNic(files, nic, role));
    else missing.push(nic);
  }
  return { nics, missing };
}

/** Whole disks of the machine, by name: no partitions, and nothing that is made of other disks or of memory. Rejects with CountersError. */
export async function readDisks({ sysfs = '/sys', procfs = '/proc' }: CountersOptions = {}): Promise<DiskLatencyReading[]> {
  const file = join(procfs, 'diskstats');
  const text = await contents(file);
  if (text === null) throw new CountersError(`${file} is not there: is /proc mounted?`);
  const real = new Set<string>();
  for (const name of await readdir(join(sysfs, 'block')).catch(() => []))
    if (await exists(join(sysfs, 'block', name, 'device'))) real.add(`/dev/${name.replaceAll('!', '/')}`);
  return decodeDiskstats(text)
    .filter(({ disk }) => real.has(disk))
    .sort((a, b) => (a.disk < b.disk ? -1 : 1));
}

async function contents(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'latin1');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (GONE.has(code ?? '')) return null;
    throw new CountersError(`${path} cannot be read: ${message}`, { cause: error });
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
