// The guest's network over the partner's business NIC, both ends of it: what may pass is decided in lending.ts, here it is joined to the
// channel, the own NIC and the gate.
import type { Channel } from '../../drivers/link/index.ts';
import type { LendingStatus } from './api.ts';
import { countFrames } from './frames.ts';
import type { GuestAddressBook } from './guest-addresses.ts';
import { filterForGuest } from './lan-filter.ts';
import { framesOfGuest, Lending, type Through } from './lending.ts';
import { decodeLending, EMIT_HEADER, encodeLending, HEARD_HEADER } from './lending-messages.ts';

export interface LentNetworkParts {
  channel: Channel;
  book: GuestAddressBook;
  /** The own NIC. False: it did not take the batch. */
  emit(batch: Buffer): boolean;
  /** What the partner's NIC heard. */
  heard(batch: Buffer): void;
  /** The guest is behind another switch port now. */
  moved(): void;
}

export class LentNetwork {
  readonly #parts: LentNetworkParts;
  readonly #rules = new Lending();
  readonly #frames = { emitted: 0, handedOver: 0, dropped: 0 };

  constructor(parts: LentNetworkParts) {
    this.#parts = parts;
    const { channel } = parts;
    channel.on('drain', () => {
      this.#rules.full = false;
    });
    channel.on('down', () => this.#rules.channelLost());
    const again = (): void => {
      this.#rules.channelLost();
      this.#say();
    };
    channel.on('up', again);
    channel.on('reset', again);
  }

  get isRedirected(): boolean {
    return this.#rules.through === 'partner';
  }

  status(): LendingStatus {
    const { through, partnerLends, lends } = this.#rules;
    return { through, partnerLends, lends, ...this.#frames };
  }

  redirect(through: Through): void {
    if (this.#rules.through === through) return;
    this.#rules.through = through;
    // Over the partner's: it is announced when the partner says that it lends, or at once if it has.
    if (through === 'own' || this.#rules.partnerLends) this.#parts.moved();
  }

  lend(lends: boolean): void {
    if (this.#rules.lends === lends) return;
    this.#rules.lends = lends;
    if (this.#parts.channel.isUp) this.#parts.channel.send(encodeLending(lends));
  }

  #say(): void {
    if (this.#rules.lends && this.#parts.channel.isUp) this.#parts.channel.send(encodeLending(true));
  }

  /** Owner, redirected: whole frames of the guest. False: dropped. The batch must not be changed afterwards. */
  send(batch: Buffer): boolean {
    if (this.#rules.way(this.#parts.channel.isUp) !== 'partner') {
      this.#frames.dropped += countFrames(batch);
      return false;
    }
    this.#rules.full = !this.#parts.channel.send(EMIT_HEADER, batch);
    return true;
  }

  /** Lender: what the own NIC heard. */
  fromLan(batch: Buffer): void {
    const { channel, book } = this.#parts;
    if (!this.#rules.passes(channel.isUp)) return;
    const wanted = filterForGuest(batch, book);
    if (wanted.frames === 0) return;
    if (this.#rules.full) {
      this.#frames.dropped += wanted.frames;
      return;
    }
    this.#rules.full = !channel.send(HEARD_HEADER, ...wanted.runs);
    this.#frames.handedOver += wanted.frames;
  }

  /** A message for which `isLendingMessage` is true. Throws Error naming what is wrong with it. */
  fromPartner(bytes: Buffer): void {
    const message = decodeLending(bytes);
    switch (message.kind) {
      case 'lending':
        if (message.lends === this.#rules.partnerLends) return;
        this.#rules.partnerLends = message.lends;
        if (message.lends && this.isRedirected) this.#parts.moved();
        return;
      case 'heard':
        // Late, for an owner that is back on its own NIC: it hears there what is new.
        if (this.isRedirected) this.#parts.heard(message.batch);
        else this.#frames.dropped += countFrames(message.batch);
        return;
      case 'emit':
        this.#emit(message.batch);
        return;
      default:
        message satisfies never;
    }
  }

  #emit(batch: Buffer): void {
    if (!this.#rules.passes(this.#parts.channel.isUp)) {
      this.#frames.dropped += countFrames(batch);
      return;
    }
    const { runs, frames, refused } = framesOfGuest(batch, this.#parts.book);
    this.#frames.dropped += refused;
    let lost = 0;
    for (const run of runs) if (!this.#parts.emit(run)) lost += countFrames(run);
    this.#frames.dropped += lost;
    this.#frames.emitted += frames - lost;
  }
}
