// The part of the npm package raw-socket that is used here; its own types are missing.
declare module 'raw-socket' {
  import type { EventEmitter } from 'node:events';

  export interface Socket extends EventEmitter {
    on(event: 'message', listener: (packet: Buffer, source: string) => void): this;
    on(event: 'error', listener: (error: Error) => void): this;
    on(event: 'close', listener: () => void): this;
    send(buffer: Buffer, offset: number, length: number, address: string, after: (error: Error | null, bytes: number) => void): this;
    setOption(level: number, option: number, value: Buffer | number, length?: number): void;
    close(): this;
  }

  export function createSocket(options: { protocol: number; addressFamily?: 1 | 2; bufferSize?: number }): Socket;
}
