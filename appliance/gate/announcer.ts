// Says where the guest is, some times after each other: switches learn its port from these frames.
import { ANNOUNCE_AT_MS, announcement } from './announcement.ts';
import { toBatch } from './frames.ts';
import type { GuestAddressBook } from './guest-addresses.ts';

export class Announcer {
  readonly #book: GuestAddressBook;
  readonly #send: (batch: Buffer) => void;
  #timers: NodeJS.Timeout[] = [];

  constructor(book: GuestAddressBook, send: (batch: Buffer) => void) {
    this.#book = book;
    this.#send = send;
  }

  start(): void {
    this.stop();
    for (const delay of ANNOUNCE_AT_MS) {
      if (delay === 0) this.#once();
      else this.#timers.push(setTimeout(() => this.#once(), delay).unref());
    }
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }

  #once(): void {
    const frames = announcement(this.#book);
    if (frames.length > 0) this.#send(toBatch(frames));
  }
}
