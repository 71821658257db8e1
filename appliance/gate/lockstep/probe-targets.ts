// What the audit can ask the guest, and in whose name: which of its addresses are surely its own, and whom it can reach. Pure.
import { arpQuestion, clockQuestion, echoQuestion, echoQuestionV6, neighbourQuestion, type Peer, type ProbeKind } from './probe-frames.ts';

/** The guest's latest receiver is looked for this often. */
const PEER_AGE_MS = 1000;

/** The guest's addresses, 4 and 16 bytes. */
export interface ProbedGuest {
  mac: Buffer;
  ipv4: readonly Buffer[];
  ipv6: readonly Buffer[];
}

export class ProbeTargets {
  #peer: (Peer & { guest: Buffer; at: number }) | null = null;
  /** Addresses for which the primary has answered in this session: its own, and not one that it forwards for. */
  readonly #owned = new Set<string>();

  begin(): void {
    this.#owned.clear();
    this.#peer = null;
  }

  own(address: Buffer): void {
    this.#owned.add(address.toString('hex'));
  }

  /** It could not be reached. */
  forgetPeer(): void {
    this.#peer = null;
  }

  /** The frame's receiver is one that the guest can reach. Looked at only now and then. */
  guestSent(frame: Buffer, nowMs: number): void {
    if (this.#peer && nowMs - this.#peer.at < PEER_AGE_MS) return;
    if (frame.length < 34 || ((frame[0] ?? 1) & 1) === 1 || frame.readUInt16BE(12) !== 0x0800) return;
    const guest = frame.subarray(26, 30);
    const first = frame[30] ?? 0;
    if (first === 0 || first === 127 || first >= 224 || !this.#owned.has(guest.toString('hex'))) return;
    this.#peer = {
      mac: Buffer.from(frame.subarray(0, 6)),
      address: Buffer.from(frame.subarray(30, 34)),
      guest: Buffer.from(guest),
      at: nowMs,
    };
  }

  /** The addresses that can be asked for. */
  candidates(kind: ProbeKind, guest: ProbedGuest): readonly Buffer[] {
    switch (kind) {
      case 'arp':
        return guest.ipv4;
      case 'neighbour':
        return guest.ipv6;
      case 'echo':
        if (this.#peer) return [this.#peer.guest];
        return guest.ipv6.filter((a) => this.#owned.has(a.toString('hex')));
      case 'clock':
        return this.#peer ? [this.#peer.guest] : [];
      default:
        return kind satisfies never;
    }
  }

  /** Null: in nobody's name just now. */
  question(kind: ProbeKind, session: number, ask: number, guestMac: Buffer, target: Buffer): Buffer | null {
    const peer = this.#peer;
    switch (kind) {
      case 'arp':
        return arpQuestion(session, guestMac, target);
      case 'neighbour':
        return neighbourQuestion(session, guestMac, target);
      case 'echo':
        if (target.length === 16) return echoQuestionV6(session, ask, guestMac, target);
        return peer ? echoQuestion(session, ask, guestMac, target, peer) : null;
      case 'clock':
        return peer ? clockQuestion(session, ask, guestMac, target, peer) : null;
      default:
        return kind satisfies never;
    }
  }
}
