// What the kernel counts of NICs and disks, as readings. Pure.
//
// Sources, of the kernel: Documentation/admin-guide/iostats.rst (/proc/diskstats: 11 numbers, 15 since 4.18, 17 since 5.5; more may
// follow), Documentation/ABI/testing/sysfs-class-net and -statistics, include/uapi/linux/if_link.h (which error is counted in which).
import { CountersError, type DiskLatencyReading, type NicReading } from './types.ts';

/** major, minor and name come first; then at least these. */
const NUMBERS_MIN = 11;

/** Every line of /proc/diskstats: partitions, too. Throws CountersError. */
export function decodeDiskstats(text: string): DiskLatencyReading[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, , name, ...rest] = line.trim().split(/\s+/);
      if (name === undefined || rest.length < NUMBERS_MIN)
        throw new CountersError(
          `/proc/diskstats has a line of ${rest.length} numbers, ${NUMBERS_MIN} at least are expected: "${printable(line)}"`,
        );
      const number = (field: number): number => (field <= rest.length ? count(rest[field - 1] ?? '', '/proc/diskstats') : 0);
      return {
        // The kernel has "!" for "/" in names: cciss!c0d0.
        disk: `/dev/${printable(name).replaceAll('!', '/')}`,
        reads: number(1),
        readMs: number(4),
        writes: number(5),
        writeMs: number(8),
        inFlight: number(9),
        busyMs: number(10),
        discards: number(12),
        flushes: number(16),
        flushMs: number(17),
      };
    });
}

/** Files of /sys/class/net/NIC, by path below it; a file that cannot be read (EINVAL while the NIC is down) is missing. */
export type NicFiles = ReadonlyMap<string, string>;

/** What decodeNic looks at. */
export const NIC_FILES = [
  'carrier',
  'carrier_changes',
  'speed',
  'duplex',
  'statistics/rx_packets',
  'statistics/tx_packets',
  'statistics/rx_errors',
  'statistics/tx_errors',
] as const;

/** Throws CountersError where a count is missing or is none. */
export function decodeNic(files: NicFiles, nic: string, role: NicReading['role']): NicReading {
  const number = (file: (typeof NIC_FILES)[number]): number => {
    const text = files.get(file);
    if (text === undefined) throw new CountersError(`/sys/class/net/${nic}/${file} cannot be read`);
    return count(text, `/sys/class/net/${nic}/${file}`);
  };
  const carrier = files.get('carrier')?.trim() === '1';
  const duplex = files.get('duplex')?.trim();
  return {
    nic,
    role,
    carrier,
    speedMbps: carrier ? speed(files.get('speed')) : null,
    fullDuplex: !carrier || (duplex !== 'full' && duplex !== 'half') ? null : duplex === 'full',
    frames: number('statistics/rx_packets') + number('statistics/tx_packets'),
    // Not rx_missed_errors: frames that came whole while nobody took them, on a server that is short of time. No cable mends that.
    receiveErrors: number('statistics/rx_errors'),
    transmitErrors: number('statistics/tx_errors'),
    carrierChanges: number('carrier_changes'),
  };
}

/** -1, or 4294967295 in older kernels: not known. */
function speed(text: string | undefined): number | null {
  const value = Number(/^\d{1,9}$/.exec(text?.trim() ?? '')?.[0] ?? 0);
  return value > 0 ? value : null;
}

function count(text: string, file: string): number {
  const digits = /^\d{1,20}$/.exec(text.trim())?.[0];
  const value = Number(digits);
  if (digits === undefined || !Number.isSafeInteger(value)) throw new CountersError(`${file} has "${printable(text)}" for a count`);
  return value;
}

function printable(text: string): string {
  return text
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, 80);
}
