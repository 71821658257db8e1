// The kernel's log, read without waiting. Whoever reads too slowly loses the oldest records: that is counted, and reading goes on.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { decodeRecord, type HardwareMessage, hardwareMessage, RECORD_MAX_BYTES } from './kmsg.ts';
import { type DiskErrorReading, EdacError, type FileSystemReading, type MachineCheckReading } from './types.ts';

/** /dev/kmsg, or what stands for it: a read gives one record, EAGAIN where there is none, EPIPE where some were overwritten. */
export interface RecordFile {
  read(into: Buffer): number;
  close(): void;
}

export interface KernelLogOptions {
  /** boot: with all that the kernel still has. now: from here on. */
  from: 'boot' | 'now';
  /** Default: /dev/kmsg. */
  open?: () => RecordFile;
}

export interface KernelNews {
  /** Without CPU and bank: corrected ones, of which the kernel says only that there were some. */
  checks: MachineCheckReading[];
  /** EDAC's lines; their counts are in readMemory's too. */
  memory: Extract<HardwareMessage, { kind: 'memory' }>[];
  /** Requests of disks that failed, and errors of file systems. */
  disks: DiskErrorReading[];
  fileSystems: FileSystemReading[];
  /** Times that records were overwritten before they were read. */
  overruns: number;
  /** There may be more: poll again soon. */
  more: boolean;
}

/** A record takes about 3 us, several times that while the code is new: less than a millisecond of the event loop. */
const RECORDS_AT_ONCE = 100;
/** A log that grows faster than it is read would be read for ever. */
const SKIP_MAX_TURNS = 3_000;

const WITHOUT_DETAIL: MachineCheckReading = {
  corrected: true,
  cpu: null,
  bank: null,
  text: 'corrected: the kernel keeps the detail to itself (it tells when started with ras=cec_disable)',
};

export function openKmsg(): RecordFile {
  const descriptor = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  return { read: (into) => readSync(descriptor, into, 0, into.length, null), close: () => closeSync(descriptor) };
}

/** Rejects with EdacError: no /dev/kmsg, or it may not be read. */
export async function openKernelLog({ from, open = openKmsg }: KernelLogOptions): Promise<KernelLog> {
  let file: RecordFile;
  try {
    file = open();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const remedy = code === 'EPERM' || code === 'EACCES' ? 'it needs root (CAP_SYSLOG)' : message;
    throw new EdacError('absent', `the kernel's log /dev/kmsg cannot be read: ${remedy}`, { cause });
  }
  const log = new KernelLog(file);
  if (from === 'now') for (let turn = 0; turn < SKIP_MAX_TURNS && log.poll().more; turn++) await nextTurn();
  return log;
}

export class KernelLog {
  readonly #file: RecordFile;
  readonly #buffer = Buffer.alloc(RECORD_MAX_BYTES);

  constructor(file: RecordFile) {
    this.#file = file;
  }

  /** What is new. Throws EdacError (unreadable) when the log cannot be read any more. */
  poll(): KernelNews {
    const news: KernelNews = { checks: [], memory: [], disks: [], fileSystems: [], overruns: 0, more: false };
    let announced = 0;
    news.more = true;
    for (let i = 0; i < RECORDS_AT_ONCE && news.more; i++) {
      const record = this.#next(news);
      if (record === null) news.more = false;
      else if (record !== '') announced += take(record, news);
    }
    // The announcement comes first, the detail with it or never: then the kernel's collector of corrected errors (RAS_CEC) has it.
    if (news.checks.length === 0) news.checks.push(...Array.from({ length: announced }, () => WITHOUT_DETAIL));
    return news;
  }

  close(): void {
    this.#file.close();
  }

  /** Null: nothing there. Empty: a record that was lost. */
  #next(news: KernelNews): string | null {
    try {
      const bytes = this.#file.read(this.#buffer);
      return bytes === 0 ? null : this.#buffer.toString('utf8', 0, bytes);
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return null;
      if (code === 'EINTR') return '';
      if (code !== 'EPIPE') throw new EdacError('unreadable', `the kernel's log cannot be read any more: ${message}`, { cause });
      news.overruns += 1;
      return '';
    }
  }
}

/** How many announcements it is: 1 or 0. */
function take(record: string, news: KernelNews): number {
  let text: string;
  try {
    text = decodeRecord(record).text;
  } catch (error) {
    // A record of a shape that this kernel invented is no reason to miss the next machine check.
    if (error instanceof EdacError) return 0;
    throw error;
  }
  const message = hardwareMessage(text);
  switch (message?.kind) {
    case undefined:
      return 0;
    case 'machineCheck':
      news.checks.push(message.check);
      return 0;
    case 'machineChecksLogged':
      return 1;
    case 'memory':
      news.memory.push(message);
      return 0;
    case 'diskError': {
      const { kind: _, ...error } = message;
      news.disks.push(error);
      return 0;
    }
    case 'fileSystem':
      news.fileSystems.push({ device: message.device, text: message.text });
      return 0;
    default:
      return message satisfies never;
  }
}
