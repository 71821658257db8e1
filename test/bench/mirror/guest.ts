// A guest that writes all the time through one NBD connection, and knows how long each write took.
import { randomBytes } from 'node:crypto';
import { NbdClient } from '../../../drivers/nbd/index.ts';

const WRITE_BYTES = 4096;

export interface Written {
  /** Monotonic ms. */
  endedMs: number;
  tookMs: number;
}

export class WritingGuest {
  readonly written: Written[] = [];
  readonly #client: NbdClient;
  readonly #ended: Promise<unknown>;
  #stopping = false;
  #wake: (() => void) | undefined;

  private constructor(client: NbdClient, areaBytes: number, depth: number) {
    this.#client = client;
    const data = randomBytes(WRITE_BYTES);
    const writer = async (): Promise<void> => {
      while (!this.#stopping) {
        const beganMs = performance.now();
        await client.write(Math.floor((Math.random() * areaBytes) / WRITE_BYTES) * WRITE_BYTES, data);
        const endedMs = performance.now();
        this.written.push({ endedMs, tookMs: endedMs - beganMs });
        this.#wake?.();
      }
    };
    this.#ended = Promise.all(Array.from({ length: depth }, writer));
    this.#ended.catch(() => undefined);
  }

  /** @param areaBytes It writes to the disk's first bytes, at random places. */
  static async start(socketPath: string, areaBytes: number, depth: number): Promise<WritingGuest> {
    return new WritingGuest(await NbdClient.connect(socketPath, 'disk0'), areaBytes, depth);
  }

  /** Ends when so many more writes have ended. Rejects when one fails. */
  async more(count: number): Promise<void> {
    const until = this.written.length + count;
    while (this.written.length < until) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([woken, this.#ended]);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#ended;
    await this.#client.close();
  }
}
