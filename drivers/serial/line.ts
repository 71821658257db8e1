// A serial device (UART, USB adapter, pty) as one Duplex that stays usable when the device goes away: bytes written meanwhile are
// dropped (a screen is drawn anew, old bytes are worthless), the device is opened again when it is back, and 'reopened' says so.
// Bounded: one written chunk at a time is with the device, and a reader that does not read stops the device's reading.
import { Duplex } from 'node:stream';
import { SerialPort } from 'serialport';

/** What is used of a port. `fake.ts` has another one. */
export interface Port {
  open(callback: (error: Error | null) => void): void;
  write(chunk: Buffer, callback: (error: Error | null | undefined) => void): unknown;
  pause(): unknown;
  resume(): unknown;
  close(callback?: (error: Error | null) => void): void;
  readonly isOpen: boolean;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'close' | 'error', listener: (error?: Error | null) => void): unknown;
}

export interface SerialLineOptions {
  /** '/dev/ttyS0', or the slave of a pty. */
  path: string;
  /** Default 115200, 8N1. */
  baudRate?: number;
  /** One line when the device is lost and one when it is back. */
  log?: (line: string) => void;
  /** Default: the real one. */
  portOf?: (path: string, baudRate: number) => Port;
  /** First wait before it is opened again; it doubles up to ten seconds. */
  retryMs?: number;
}

const RETRY_MAX_MS = 10_000;
/** One screen; more would only be an old picture. */
const BUFFER_BYTES = 4096;

export type SerialLine = Duplex;

/** Never throws and never emits 'error': a device that cannot be opened is logged once and tried again. */
export function openSerialPort(options: SerialLineOptions): SerialLine {
  return new Line(options);
}

class Line extends Duplex {
  readonly #options: SerialLineOptions;
  #port: Port | null = null;
  #timer: NodeJS.Timeout | undefined;
  #retryMs: number;
  #saidLost = false;
  #wasOpen = false;
  /** Of the chunk that is with the device. */
  #written: (() => void) | null = null;

  constructor(options: SerialLineOptions) {
    super({ readableHighWaterMark: BUFFER_BYTES, writableHighWaterMark: BUFFER_BYTES });
    this.#options = options;
    this.#retryMs = options.retryMs ?? 500;
    this.#open();
  }

  override _read(): void {
    if (this.#port?.isOpen) this.#port.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const port = this.#port;
    if (!port?.isOpen) {
      callback();
      return;
    }
    // Once: from the device, or when it goes away with the chunk.
    this.#written = () => {
      this.#written = null;
      callback();
    };
    const done = this.#written;
    port.write(chunk, () => {
      if (this.#written === done) done();
    });
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    const port = this.#port;
    this.#port = null;
    this.#written?.();
    if (port?.isOpen) port.close(() => callback(error));
    else callback(error);
  }

  #open(): void {
    const { path, baudRate = 115_200, portOf = realPort } = this.#options;
    const port = portOf(path, baudRate);
    this.#port = port;
    // An error without a close (a set-up call that a pty refuses) leaves the line usable; with one, the close is what counts.
    port.on('error', () => {});
    port.on('close', (error) => {
      if (this.#port === port) this.#lost(error?.message ?? 'closed');
    });
    port.on('data', (chunk) => {
      if (!this.push(chunk)) port.pause();
    });
    port.open((error) => {
      if (this.#port !== port) {
        if (!error) port.close();
        return;
      }
      if (error) this.#lost(error.message);
      else this.#opened();
    });
  }

  #opened(): void {
    if (this.#saidLost) this.#options.log?.(`serial line ${this.#options.path}: open`);
    this.#saidLost = false;
    this.#retryMs = this.#options.retryMs ?? 500;
    if (this.#wasOpen) this.emit('reopened');
    else this.emit('opened');
    this.#wasOpen = true;
  }

  #lost(why: string): void {
    this.#port = null;
    this.#written?.();
    if (!this.#saidLost) this.#options.log?.(`serial line ${this.#options.path}: ${why}; trying again until it is there`);
    this.#saidLost = true;
    this.#timer = setTimeout(() => this.#open(), this.#retryMs);
    this.#retryMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2);
  }
}

function realPort(path: string, baudRate: number): Port {
  return new SerialPort({ path, baudRate, autoOpen: false });
}
