// A port in memory: the test decides whether it opens, what it delivers, when it takes bytes, and when it is pulled out.
import { EventEmitter } from 'node:events';
import type { Port } from './line.ts';

export class FakePort extends EventEmitter implements Port {
  isOpen = false;
  paused = false;
  /** Set: open() fails with it. */
  openError: Error | null = null;
  /** false: bytes are taken only by take(). */
  takesAtOnce = true;
  readonly taken: Buffer[] = [];
  #waiting: { chunk: Buffer; callback: (error?: Error | null) => void }[] = [];

  open(callback: (error: Error | null) => void): void {
    queueMicrotask(() => {
      this.isOpen = this.openError === null;
      callback(this.openError);
    });
  }

  write(chunk: Buffer, callback: (error?: Error | null) => void): void {
    if (!this.takesAtOnce) {
      this.#waiting.push({ chunk, callback });
      return;
    }
    this.taken.push(chunk);
    queueMicrotask(() => callback(null));
  }

  take(): void {
    for (const { chunk, callback } of this.#waiting.splice(0)) {
      this.taken.push(chunk);
      callback(null);
    }
  }

  deliver(bytes: string): void {
    this.emit('data', Buffer.from(bytes, 'latin1'));
  }

  /** The device is gone, with what it had not taken. */
  pullOut(): void {
    this.isOpen = false;
    this.#waiting = [];
    this.emit('close', new Error('device is gone'));
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  close(callback?: (error: Error | null) => void): void {
    this.isOpen = false;
    queueMicrotask(() => callback?.(null));
    this.emit('close', null);
  }
}
