// The kernel's log, read without waiting. Whoever reads too slowly loses the oldest records: that is counted, and reading goes on.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { decodeRecord, type HardwareMessage, hardwareMessage, RECORD_MAX_BYTES } from './kmsg.ts';
import { EdacError, type MachineCheckReading } from './types.ts';

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
  checks: MachineCheckReading[];
  /** EDAC's lines; their counts are in readMemory's too. */
  memory: Extract<HardwareMessage, { kind: 'memory' }>[];
  /** Times that corrected machine checks were reported without detail. */
  checksWithoutDetail: number;
  /** Times that records were overwritten before they were read. */
  overruns: number;
  /** There may be more: poll again soon. */
  more: boolean;
}

/** A record takes about 3 us, several times that while the code is new: less than a millisecond of the event loop. */
const RECORDS_AT_ONCE = 100;
/** A log that grows faster than it is read would be read for ever. */
const SKIP_MAX_TURNS = 3_000;

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
    const news: KernelNews = { checks: [], memory: [], checksWithoutDetail: 0, overruns: 0, more: false };
    for (let i = 0; i < RECORDS_AT_ONCE; i++) {
      const record = this.#next(news);
      if (record === null) return news;
      if (record !== '') take(record, news);
    }
    return { ...news, more: true };
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

function take(record: string, news: KernelNews): void {
  let text: string;
  try {
    text = decodeRecord(record).text;
  } catch (error) {
    // A record of a shape that this kernel invented is no reason to miss the next machine check.
    if (error instanceof EdacError) return;
    throw error;
  }
  const message = hardwareMessage(text);
  switch (message?.kind) {
    case undefined:
      return;
    case 'machineCheck':
      news.checks.push(message.check);
      return;
    case 'machineChecksLogged':
      news.checksWithoutDetail += 1;
      return;
    case 'memory':
      news.memory.push(message);
      return;
    default:
      message satisfies never;
  }
}
