// Records of the kernel's log, and what they say of faulty hardware. Pure.
//
// Sources, of the kernel: Documentation/ABI/testing/dev-kmsg (a read gives one record:
// "6,1234,5678901,-;text\n KEY=value\n"; level and facility, number, microseconds, flags), __print_mce in arch/x86/kernel/cpu/mce/core.c,
// amd_decode_mce in drivers/edac/mce_amd.c, edac_ce_error and edac_ue_error in drivers/edac/edac_mc.c.
import { printable } from './codec.ts';
import { type DiskMessage, diskMessage } from './disk-messages.ts';
import { mceText } from './mce-status.ts';
import { EdacError, type MachineCheckReading } from './types.ts';

export interface KernelRecord {
  /** 0 emergency to 7 debug. */
  level: number;
  /** Counts every record since the start; a gap: some were lost. */
  sequence: number;
  /** Since the machine started. */
  timeUs: number;
  text: string;
}

const HEAD = /^(\d{1,6}),(\d{1,15}),(\d{1,15}),[^;]{0,64};/;
/** The kernel's own limit for a record with its escapes (CONSOLE_EXT_LOG_MAX): a smaller buffer is refused. */
export const RECORD_MAX_BYTES = 8_192;

/** Throws EdacError (malformed). */
export function decodeRecord(record: string): KernelRecord {
  const [head, priority, sequence, timeUs] = HEAD.exec(record) ?? [];
  if (head === undefined) throw new EdacError('malformed', `/dev/kmsg gave what is no record: "${printable(record)}"`);
  const line = record.slice(head.length).split('\n', 1)[0] ?? '';
  return {
    level: Number(priority) & 7,
    sequence: Number(sequence),
    timeUs: Number(timeUs),
    text: line.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  };
}

export type HardwareMessage =
  | { kind: 'machineCheck'; check: MachineCheckReading }
  /** Corrected ones were kept for a program that nobody runs: how many and where is not in the log. */
  | { kind: 'machineChecksLogged' }
  /** EDAC's own line: the counters have it too, this tells what it was. */
  | { kind: 'memory'; corrected: boolean; count: number; where: string; text: string }
  | DiskMessage;

const INTEL_CHECK = /Machine Check(?: Exception)?: [0-9a-f]{1,16} Bank (\d{1,4}): ([0-9a-f]{1,16})\s*$/i;
const CPU = /\bCPU:? ?(\d{1,6})\b/;
const AMD_CHECK = /\bCPU:(\d{1,6}) \([^)]{0,20}\) MC(\d{1,4})_STATUS\[[^\]]{0,80}\]: 0x([0-9a-f]{1,16})/i;
const LOGGED = /^mce: \[Hardware Error\]: Machine check events logged/;
const MEMORY = /^EDAC (MC\d{1,4}): (\d{1,10}) (CE|UE) (.+)$/;
const TEXT_MAX_CHARS = 200;

/** Null: nothing about hardware that is read here. Never throws. */
export function hardwareMessage(text: string): HardwareMessage | null {
  if (text.includes('[Hardware Error]')) {
    const [, bank, status] = INTEL_CHECK.exec(text) ?? [];
    if (bank !== undefined && status !== undefined) return machineCheck(CPU.exec(text)?.[1] ?? '0', bank, status);
    const amd = AMD_CHECK.exec(text);
    if (amd !== null) return machineCheck(amd[1] ?? '', amd[2] ?? '', amd[3] ?? '');
    return LOGGED.test(text) ? { kind: 'machineChecksLogged' } : null;
  }
  const [, controller = '', count, type, rest = ''] = MEMORY.exec(text) ?? [];
  if (count === undefined) return diskMessage(text);
  const label = /(?:^| )on (.{1,120}?) \(/.exec(rest)?.[1] ?? '';
  return {
    kind: 'memory',
    corrected: type === 'CE',
    count: Number(count),
    where: printable(label) === '' ? controller.toLowerCase() : printable(label),
    text: printable(rest, TEXT_MAX_CHARS),
  };
}

function machineCheck(cpu: string, bank: string, status: string): HardwareMessage {
  const bits = BigInt(`0x${status}`);
  return {
    kind: 'machineCheck',
    check: { corrected: ((bits >> 61n) & 1n) === 0n, cpu: Number(cpu), bank: Number(bank), text: mceText(bits) },
  };
}
