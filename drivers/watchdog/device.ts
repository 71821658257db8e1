// The kernel's watchdog. Opening it starts its clock: whatever fails from there on stops it again, or the machine would be reset
// for a watchdog that nobody has.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { decodeInfo, INFO_BYTES, MAGIC_CLOSE, WDIOC_GETSUPPORT, WDIOC_GETTIMEOUT, WDIOC_KEEPALIVE, WDIOC_SETTIMEOUT } from './codec.ts';
import type { Watchdog, WatchdogKernel, WatchdogOptions } from './types.ts';

export function linuxKernel(ioctl: WatchdogKernel['ioctl']): WatchdogKernel {
  return {
    open: (path) => openSync(path, 'w'),
    ioctl,
    write: (descriptor, bytes) => {
      writeSync(descriptor, bytes);
    },
    close: closeSync,
    read: (path) => readFileSync(path, 'utf8'),
  };
}

/** Throws when the device is not there, is held by somebody else, or has no time-out that can be read. */
export function openKernelWatchdog({ device, timeoutMs, onLost }: WatchdogOptions, kernel: WatchdogKernel): Watchdog {
  let descriptor: number;
  try {
    descriptor = kernel.open(device);
  } catch (cause) {
    throw new Error(`${device} cannot be opened: ${explain(cause as NodeJS.ErrnoException)}`, { cause });
  }
  try {
    return new KernelWatchdog(descriptor, { device, timeoutMs, onLost }, kernel);
  } catch (cause) {
    stop(kernel, descriptor);
    throw new Error(`${device} cannot be used: ${(cause as Error).message}`, { cause });
  }
}

function explain(error: NodeJS.ErrnoException): string {
  if (error.code === 'EBUSY') return 'another program holds it (systemd with RuntimeWatchdogSec=, or a watchdog daemon): switch that off';
  if (error.code === 'ENOENT' || error.code === 'ENODEV')
    return "there is no such device: load the driver of the board's watchdog, or softdog";
  return error.message;
}

function stop(kernel: WatchdogKernel, descriptor: number): void {
  try {
    kernel.write(descriptor, Buffer.from(MAGIC_CLOSE));
  } finally {
    kernel.close(descriptor);
  }
}

class KernelWatchdog implements Watchdog {
  readonly timeoutMs: number;
  readonly canStop: boolean;
  readonly #kernel: WatchdogKernel;
  readonly #device: string;
  readonly #onLost: (error: Error) => void;
  #descriptor: number | null;
  readonly #number = Buffer.alloc(4);

  constructor(descriptor: number, { device, timeoutMs, onLost }: WatchdogOptions, kernel: WatchdogKernel) {
    this.#kernel = kernel;
    this.#device = device;
    this.#onLost = onLost;
    const info = Buffer.alloc(INFO_BYTES);
    kernel.ioctl(descriptor, WDIOC_GETSUPPORT, info);
    const { canSetTimeout, hasMagicClose } = decodeInfo(info);
    if (canSetTimeout) {
      this.#number.writeInt32LE(Math.ceil(timeoutMs / 1000));
      kernel.ioctl(descriptor, WDIOC_SETTIMEOUT, this.#number);
    }
    kernel.ioctl(descriptor, WDIOC_GETTIMEOUT, this.#number);
    this.timeoutMs = this.#number.readInt32LE() * 1000;
    if (this.timeoutMs <= 0) throw new Error(`it says that its time-out is ${this.timeoutMs} ms`);
    this.canStop = hasMagicClose && !isWithoutWayOut(device, kernel);
    this.#descriptor = descriptor;
  }

  renew(): void {
    if (this.#descriptor === null) return;
    try {
      this.#kernel.ioctl(this.#descriptor, WDIOC_KEEPALIVE, this.#number);
    } catch (cause) {
      this.#onLost(new Error(`${this.#device} does not take a renewal: ${(cause as Error).message}`, { cause }));
    }
  }

  async disarm(): Promise<void> {
    if (!this.canStop) throw new Error(`${this.#device} cannot be stopped (nowayout): it is renewed until the machine goes off`);
    const descriptor = this.#descriptor;
    this.#descriptor = null;
    if (descriptor !== null) stop(this.#kernel, descriptor);
  }

  close(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = null;
    if (descriptor !== null) this.#kernel.close(descriptor);
  }
}

/** /dev/watchdog is another name of the first one. A kernel without the sysfs file does not tell: the magic close then decides. */
function isWithoutWayOut(device: string, kernel: WatchdogKernel): boolean {
  const name = basename(device) === 'watchdog' ? 'watchdog0' : basename(device);
  try {
    return kernel.read(`/sys/class/watchdog/${name}/nowayout`).trim() === '1';
  } catch {
    return false;
  }
}
