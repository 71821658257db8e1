// A disk in a file, as `VolatileDisk` is one in memory.
import { closeSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import type { BlockStore } from '../../../../drivers/block/index.ts';

export class FileDisk {
  readonly path: string;
  readonly bytes: number;

  constructor(path: string, bytes: number) {
    this.path = path;
    this.bytes = bytes;
  }

  static make(path: string, bytes: number, pieces: readonly { offset: number; data: Buffer }[]): void {
    const fd = openSync(path, 'w');
    ftruncateSync(fd, bytes);
    for (const { offset, data } of pieces) writeSync(fd, data, 0, data.length, offset);
    closeSync(fd);
  }

  store(): BlockStore {
    return {
      sizeBytes: this.bytes,
      read: async (offset, length) => this.read(offset, length),
      write: async (offset, ...parts) => {
        const data = Buffer.concat(parts);
        this.#with('r+', (fd) => writeSync(fd, data, 0, data.length, offset));
      },
      zero: async () => {
        throw new Error('nobody asked for zeroes');
      },
      flush: async () => this.#with('r+', fsyncSync),
      close: async () => {},
    };
  }

  read(offset: number, length: number): Buffer {
    const data = Buffer.alloc(length);
    this.#with('r', (fd) => readSync(fd, data, 0, length, offset));
    return data;
  }

  #with(flags: string, f: (fd: number) => unknown): void {
    const fd = openSync(this.path, flags);
    try {
      f(fd);
    } finally {
      closeSync(fd);
    }
  }
}
