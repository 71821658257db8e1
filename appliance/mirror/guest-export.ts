// The export of the guest's disk: from when on somebody listens, and when there is a disk behind it.
//
// Usually both begin when the copy is served. An engine that outlived the last process (`isAwaited`) is listened for at once: it tries
// more and more seldom, so it may connect before the disk is open, and is greeted when it is.
import { NbdServer } from '../../drivers/nbd/index.ts';
import type { GuestDisk } from './guest-disk.ts';

export class GuestExport {
  readonly #socketPath: string;
  /** The export before there is a disk behind it. */
  #awaited: Promise<NbdServer | undefined> = Promise.resolve(undefined);
  #server: NbdServer | undefined;

  constructor(socketPath: string, isAwaited: boolean) {
    this.#socketPath = socketPath;
    if (isAwaited) this.#awaited = this.#listenEarly();
  }

  async serve(guest: GuestDisk): Promise<void> {
    const early = await this.#takeEarly();
    if (early) {
      early.serve(guest);
      this.#server = early;
      return;
    }
    const server = new NbdServer(guest, { trouble: () => undefined });
    await server.listen(this.#socketPath);
    this.#server = server;
  }

  /** Nothing will be served to those who wait. */
  async giveUp(): Promise<void> {
    await (await this.#takeEarly())?.close();
  }

  /** What is served; its requests end unanswered. */
  async close(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }

  async #listenEarly(): Promise<NbdServer | undefined> {
    const server = new NbdServer(null, { trouble: () => undefined });
    // If not, the export itself says why.
    return server.listen(this.#socketPath).then(
      () => server,
      () => undefined,
    );
  }

  /** Once: it is then served, or closed. */
  async #takeEarly(): Promise<NbdServer | undefined> {
    const early = await this.#awaited;
    this.#awaited = Promise.resolve(undefined);
    return early;
  }
}
