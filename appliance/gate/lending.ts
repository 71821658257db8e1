// One business NIC for two CoServers: where the guest's owner has lost its own, the partner lends its NIC, and the guest's frames go over
// the channel between the gates. Pure: who may send what where, and which frames; the wiring is in lent-network.ts.
//
//   owner's gate                                       lender's gate
//   own ---redirect(partner)---> asked                 idle ---lend---> lends, says so
//    ^                            |  lender says so      ^                |
//    |                            v                      |                v
//    +--redirect(own)---------- lent <==== frames ====>  +--lend(no)--- (channel lost: nothing passes)
//
// Nothing is emitted twice: the owner sends either on its own NIC or to the partner, and hears only the one that it sends on.
// Nothing loops: the lender emits only what comes from the guest's MAC, and hands over nothing that does.
import { LENGTH_BYTES, MAXIMUM_FRAME_BYTES, MINIMUM_FRAME_BYTES } from './frames.ts';
import type { GuestAddressBook } from './guest-addresses.ts';

export type Through = 'own' | 'partner';

/** Where the guest's output goes now. */
export type Way = Through | 'nowhere';

export class Lending {
  /** Owner: what the core ordered. */
  through: Through = 'own';
  /** Owner: the partner said that it lends, in this session of the channel. */
  partnerLends = false;
  /** Lender: what the core ordered. */
  lends = false;
  /** The channel's window is full: what comes is dropped, as a NIC whose queue is full would. */
  full = false;

  /** The channel lost everything: the partner has to say again that it lends. */
  channelLost(): void {
    this.partnerLends = false;
    this.full = false;
  }

  way(isChannelUp: boolean): Way {
    if (this.through === 'own') return 'own';
    return isChannelUp && this.partnerLends && !this.full ? 'partner' : 'nowhere';
  }

  /** May this side emit what the partner's guest says, and hand over what its own NIC hears? */
  passes(isChannelUp: boolean): boolean {
    return this.lends && isChannelUp;
  }
}

/** Ranges of whole frames whose source is the guest's MAC, in order; the rest is another machine's or malformed, and counted. */
export function framesOfGuest(batch: Buffer, book: GuestAddressBook): { runs: Buffer[]; frames: number; refused: number } {
  const runs: Buffer[] = [];
  let frames = 0;
  let refused = 0;
  let from = 0;
  let at = 0;
  const close = (): void => {
    if (at > from) runs.push(batch.subarray(from, at));
  };
  while (at < batch.length) {
    const length = batch.length - at >= LENGTH_BYTES ? batch.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    const next = at + LENGTH_BYTES + length;
    if (length > MAXIMUM_FRAME_BYTES || next > batch.length) {
      close();
      return { runs, frames, refused: refused + 1 };
    }
    if (length >= MINIMUM_FRAME_BYTES && book.isGuestMac(batch, at + LENGTH_BYTES + 6)) frames++;
    else {
      close();
      from = next;
      refused++;
    }
    at = next;
  }
  close();
  return { runs, frames, refused };
}
