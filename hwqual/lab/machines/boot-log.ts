// What a machine's init says on its second serial port, followed in the file that QEMU writes: how far the boot is, and how long it took.
import { closeSync, type FSWatcher, openSync, readSync, statSync, watch, writeFileSync } from 'node:fs';
import { LabError } from '../lab-error.ts';

/** "MACHINE 30.07 disks", in seconds of the machine's own clock. */
const STAGE = /^MACHINE \d+\.\d+ (.+)$/;
const FIRST_STAGE = 'modules';
const LAST_STAGE = 'up';
/** Of one line; a kernel's panic has shorter ones. */
const MAX_LINE_CHARS = 4096;

export class BootLog {
  readonly #path: string;
  readonly #said: (text: string) => void;
  readonly #watcher: FSWatcher;
  #readBytes = 0;
  #rest = '';
  #onAtMs: number | null = null;
  #bootS: number | null = null;
  #stage = '';
  #starts = 0;
  #waiting: (() => void)[] = [];

  constructor(path: string, said: (text: string) => void) {
    this.#path = path;
    this.#said = said;
    writeFileSync(path, '', { flag: 'a', mode: 0o600 });
    this.#readBytes = statSync(path).size;
    this.#watcher = watch(path, () => this.#read());
  }

  power(on: boolean): void {
    this.#onAtMs = on ? performance.now() : null;
    this.#bootS = null;
    this.#stage = on ? 'kernel' : '';
    this.#starts = 0;
    if (on) this.#read();
  }

  view(): { bootS: number | null; stage: string; restarts: number } {
    return { bootS: this.#bootS, stage: this.#stage, restarts: Math.max(0, this.#starts - 1) };
  }

  /** Seconds from power on until its init is through. Throws a LabError with the last stage when that takes too long. */
  async booted(timeoutMs: number): Promise<number> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, timeoutMs);
    try {
      for (;;) {
        if (this.#bootS !== null) return this.#bootS;
        if (late)
          throw new LabError(`not booted after ${timeoutMs / 1000} s; its last word: ${this.#stage || 'none'}`, `see ${this.#path}`);
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#watcher.close();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #read(): void {
    const size = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    if (size <= this.#readBytes) return;
    const fd = openSync(this.#path, 'r');
    const bytes = Buffer.alloc(size - this.#readBytes);
    const count = readSync(fd, bytes, 0, bytes.length, this.#readBytes);
    closeSync(fd);
    this.#readBytes += count;
    const lines = (this.#rest + bytes.subarray(0, count).toString('latin1')).split('\n');
    this.#rest = (lines.pop() ?? '').slice(-MAX_LINE_CHARS);
    for (const line of lines) this.#take(line.replace('\r', ''));
  }

  #take(line: string): void {
    const stage = STAGE.exec(line)?.[1];
    if (stage === undefined) return;
    this.#stage = stage;
    if (stage === FIRST_STAGE) {
      this.#starts++;
      this.#bootS = null;
    }
    const seconds = this.#onAtMs === null ? 0 : (performance.now() - this.#onAtMs) / 1000;
    this.#said(`${stage} (${seconds.toFixed(1)} s)`);
    if (stage === LAST_STAGE && this.#onAtMs !== null && this.#bootS === null) this.#bootS = Math.round(seconds * 10) / 10;
    this.#wake();
  }
}
