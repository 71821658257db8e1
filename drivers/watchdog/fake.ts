// A kernel with one watchdog, at its bytes: opening starts the clock, only 'V' as the last byte stops it, time passes when the test says so.
import {
  INFO_BYTES,
  MAGIC_CLOSE,
  WDIOC_GETSUPPORT,
  WDIOC_GETTIMEOUT,
  WDIOC_KEEPALIVE,
  WDIOC_SETTIMEOUT,
  WDIOF_MAGICCLOSE,
  WDIOF_SETTIMEOUT,
} from './codec.ts';
import type { WatchdogKernel } from './types.ts';

const DESCRIPTOR = 77;

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

export class FakeWatchdogKernel implements WatchdogKernel {
  device = '/dev/watchdog';
  nowayout: '0' | '1' | null = '0';
  options = WDIOF_SETTIMEOUT | WDIOF_MAGICCLOSE;
  /** What the board can do at most. */
  mostS = 600;
  timeoutS = 60;
  /** The machine was reset. */
  hasFired = false;
  isRunning = false;
  /** What the board's watchdog fails with from now on. */
  broken: string | null = null;
  #isOpen = false;
  #magic = false;
  #leftMs = 0;

  open(path: string): number {
    if (path !== this.device) throw failure('ENOENT');
    if (this.#isOpen) throw failure('EBUSY');
    this.#isOpen = true;
    this.isRunning = true;
    this.#magic = false;
    this.#leftMs = this.timeoutS * 1000;
    return DESCRIPTOR;
  }

  ioctl(descriptor: number, request: number, buffer: Buffer): number {
    this.#check(descriptor);
    switch (request) {
      case WDIOC_GETSUPPORT:
        if (buffer.length < INFO_BYTES) throw failure('EFAULT');
        buffer.fill(0).writeUInt32LE(this.options, 0);
        buffer.write('Fake watchdog', 8);
        return 0;
      case WDIOC_SETTIMEOUT: {
        const asked = buffer.readInt32LE();
        if ((this.options & WDIOF_SETTIMEOUT) === 0) throw failure('EOPNOTSUPP');
        if (asked < 1) throw failure('EINVAL');
        this.timeoutS = Math.min(asked, this.mostS);
        this.#leftMs = this.timeoutS * 1000;
        buffer.writeInt32LE(this.timeoutS);
        return 0;
      }
      case WDIOC_GETTIMEOUT:
        buffer.writeInt32LE(this.timeoutS);
        return 0;
      case WDIOC_KEEPALIVE:
        this.#leftMs = this.timeoutS * 1000;
        return 0;
      default:
        throw failure('ENOTTY');
    }
  }

  write(descriptor: number, bytes: Buffer): void {
    this.#check(descriptor);
    this.#magic = bytes.includes(MAGIC_CLOSE);
    this.#leftMs = this.timeoutS * 1000;
  }

  close(descriptor: number): void {
    if (descriptor !== DESCRIPTOR || !this.#isOpen) throw failure('EBADF');
    this.#isOpen = false;
    if (this.#magic && this.nowayout !== '1') this.isRunning = false;
  }

  read(path: string): string {
    if (this.nowayout === null || path !== '/sys/class/watchdog/watchdog0/nowayout') throw failure('ENOENT');
    return `${this.nowayout}\n`;
  }

  elapse(ms: number): void {
    if (!this.isRunning) return;
    this.#leftMs -= ms;
    if (this.#leftMs <= 0) this.hasFired = true;
  }

  #check(descriptor: number): void {
    if (descriptor !== DESCRIPTOR || !this.#isOpen) throw failure('EBADF');
    if (this.broken) throw failure(this.broken);
  }
}
