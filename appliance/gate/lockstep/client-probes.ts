// After a takeover a client may wait for an acknowledgement that the survivor believes to have been given: it left, or was to
// leave, with the primary. Nobody would speak before the client's own timer. So the guest is asked: each client that lately sent
// something is made to say its latest number once more, empty, as a keep-alive does (RFC 9293 3.8.4): the guest answers with what it has. Pure.
import { type ConnectionKey, OFFSET_LIMIT } from './api.ts';
import { ACK, acknowledgementOf, endOf, FIN, RST, SYN, subtract, type TcpSegment } from './segment.ts';

interface Latest {
  /** Its frame has only the headers, in a memory of its own. */
  head: TcpSegment;
  end: number;
}

/** Ethernet, IPv6, TCP with all options. */
const HEADERS_BYTES = 14 + 40 + 60;

export class ClientProbes {
  #thisInterval = new Map<ConnectionKey, Latest>();
  #intervalBefore = new Map<ConnectionKey, Latest>();

  /** A client's segment, in LAN coordinates, before anything of it is changed. */
  note(s: TcpSegment): void {
    if ((s.flags & ACK) === 0 || s.flags & (SYN | RST) || (s.endAt === s.payloadAt && !(s.flags & FIN))) return;
    let latest = this.#thisInterval.get(s.key);
    if (!latest) {
      if (this.#thisInterval.size >= OFFSET_LIMIT) return;
      const own = Buffer.alloc(Math.max(HEADERS_BYTES, s.payloadAt));
      latest = { head: { ...s, frame: own }, end: 0 };
      this.#thisInterval.set(s.key, latest);
    } else if (s.payloadAt > latest.head.frame.length) return;
    s.frame.copy(latest.head.frame, 0, 0, s.payloadAt);
    const { frame } = latest.head;
    latest.head = { ...s, frame };
    latest.end = endOf(s);
  }

  /** A checkpoint was loaded. What was sent two intervals ago was acknowledged long since, or a timer has run out already. */
  turn(): void {
    this.#intervalBefore = this.#thisInterval;
    this.#thisInterval = new Map();
  }

  clear(): void {
    this.#thisInterval.clear();
    this.#intervalBefore.clear();
  }

  /** One frame for each client, in LAN coordinates; nothing is kept afterwards. */
  takeAll(): Buffer[] {
    const all = new Map([...this.#intervalBefore, ...this.#thisInterval]);
    this.#thisInterval = new Map();
    this.#intervalBefore = new Map();
    return [...all.values()].map(({ head, end }) => acknowledgementOf(head, subtract(end, 1)).frame);
  }
}
