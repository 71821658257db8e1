// Which frames of a LAN batch are for the guest. Pure; zero copy: what passes is handed on as ranges of the batch.
import { LENGTH_BYTES, MAXIMUM_FRAME_BYTES, MINIMUM_FRAME_BYTES } from './frames.ts';
import type { GuestAddressBook } from './guest-addresses.ts';

export interface FilteredBatch {
  /** Ranges of whole frames, in order. */
  runs: Buffer[];
  frames: number;
  bytes: number;
  /** For other machines (a switch floods), or not a frame at all. */
  foreign: number;
  /** From the guest's own MAC: the partner's guest during a takeover, or a loop. */
  echoed: number;
}

const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;

/** Also shows the book what other machines claim. A malformed rest of the batch is left out and counted as foreign. */
export function filterForGuest(batch: Buffer, book: GuestAddressBook): FilteredBatch {
  const result: FilteredBatch = { runs: [], frames: 0, bytes: 0, foreign: 0, echoed: 0 };
  let runStart = 0;
  let at = 0;
  while (at < batch.length) {
    const length = batch.length - at >= LENGTH_BYTES ? batch.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    const next = at + LENGTH_BYTES + length;
    if (next > batch.length || length > MAXIMUM_FRAME_BYTES) {
      closeRun(result, batch, runStart, at);
      result.foreign++;
      return result;
    }
    if (length >= MINIMUM_FRAME_BYTES) {
      const f = at + LENGTH_BYTES;
      const group = ((batch[f] ?? 0) & 1) === 1;
      const echoed = book.isGuestMac(batch, f + 6);
      if (!echoed && (group || book.isGuestMac(batch, f))) {
        const type = batch.readUInt16BE(f + 12);
        if (type === ETHERTYPE_ARP || (type === ETHERTYPE_IPV6 && group)) book.learnForeign(batch, f, length);
        result.frames++;
        at = next;
        continue;
      }
      if (echoed) result.echoed++;
      else result.foreign++;
    } else result.foreign++;
    closeRun(result, batch, runStart, at);
    at = next;
    runStart = next;
  }
  closeRun(result, batch, runStart, at);
  return result;
}

function closeRun(result: FilteredBatch, batch: Buffer, from: number, to: number): void {
  if (to === from) return;
  result.runs.push(from === 0 && to === batch.length ? batch : batch.subarray(from, to));
  result.bytes += to - from;
}
