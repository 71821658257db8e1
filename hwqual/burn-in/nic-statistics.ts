// All that the kernel counts of a NIC, and what of it grew and should not have.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export type NicStatistics = Record<string, number>;

/** Counts of damage: on a good cable none of these grows. */
const ERRORS = [
  'rx_errors',
  'rx_crc_errors',
  'rx_frame_errors',
  'rx_length_errors',
  'tx_errors',
  'tx_carrier_errors',
  'tx_aborted_errors',
  'tx_heartbeat_errors',
  'collisions',
  'carrier_down_count',
] as const;
/** Frames that one of the two machines had no room for: no fault of the wire. */
const NO_ROOM_RECEIVING = ['rx_dropped', 'rx_missed_errors', 'rx_fifo_errors', 'rx_over_errors'] as const;
const NO_ROOM_SENDING = ['tx_dropped', 'tx_fifo_errors'] as const;

/** Empty: the NIC is not there, or has none. */
export async function readNicStatistics(nic: string, sysfs = '/sys'): Promise<NicStatistics> {
  const folder = join(sysfs, 'class/net', nic);
  const files = await readdir(join(folder, 'statistics')).catch(() => []);
  const found: NicStatistics = {};
  for (const file of files) await count(join(folder, 'statistics', file), file, found);
  await count(join(folder, 'carrier_down_count'), 'carrier_down_count', found);
  return found;
}

async function count(path: string, name: string, into: NicStatistics): Promise<void> {
  const text = await readFile(path, 'latin1').catch(() => '');
  if (/^\d{1,15}\s*$/.test(text)) into[name] = Number(text);
}

/** Null: no carrier, or the driver does not tell. */
export async function nicSpeedMbps(nic: string, sysfs = '/sys'): Promise<number | null> {
  const text = await readFile(join(sysfs, 'class/net', nic, 'speed'), 'latin1').catch(() => '');
  const speed = Number(/^\d{1,7}\s*$/.test(text) ? text : 0);
  return speed > 0 ? speed : null;
}

export interface NicGrowth {
  /** Names and by how much, of those that grew. */
  errors: Record<string, number>;
  noRoomReceiving: Record<string, number>;
  noRoomSending: Record<string, number>;
}

export function sumOf(counts: Record<string, number>): number {
  return Object.values(counts).reduce((sum, n) => sum + n, 0);
}

export function growth(before: NicStatistics, after: NicStatistics): NicGrowth {
  const grew = (names: readonly string[]): Record<string, number> =>
    Object.fromEntries(names.map((n) => [n, (after[n] ?? 0) - (before[n] ?? 0)] as const).filter(([, by]) => by > 0));
  const [errors, noRoomReceiving, noRoomSending] = [grew(ERRORS), grew(NO_ROOM_RECEIVING), grew(NO_ROOM_SENDING)];
  // Some drivers count what they had no room for among the errors, too.
  if ((errors['rx_errors'] ?? 0) <= sumOf(noRoomReceiving)) delete errors['rx_errors'];
  if ((errors['tx_errors'] ?? 0) <= sumOf(noRoomSending)) delete errors['tx_errors'];
  return { errors, noRoomReceiving, noRoomSending };
}
