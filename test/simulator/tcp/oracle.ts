// What must be true, whatever the gates decide. It knows everything: both replicas, what the LAN was shown, what the client has.
//
//   - a frame that leaves shows nothing (bytes, acknowledgements, a reset) that the survivor of a power failure at this moment
//     would not have
//   - between REPLY and the commit nothing leaves by comparison
//   - at a takeover the new owner has everything that the LAN was ever shown, on every connection
//   - after a takeover no timestamp is older than the latest that the LAN was shown of its connection: a client would drop it (PAWS);
//     and none leaps ahead: it is the same clock
//   - both ends' applications find every byte as it must be, every connection comes to its end, nobody resets but who should
import type { ReleasedBy } from '../../../appliance/gate/lockstep/api.ts';
import type { App } from './apps.ts';
import { answerOf } from './datagram.ts';
import type { Machine } from './machine.ts';
import { ACK, add, after, before, decode, describe, endOf, latest, RST, type Segment, SYN, sub } from './segment.ts';
import { type Connection, type Grave, keyOf } from './stack.ts';

export class Violation extends Error {}

/** No clock of a guest shows more than this between two frames of a connection. */
const LONGEST_LIFE_MS = 300_000;

/** What the LAN was shown of one connection. */
interface Shown {
  key: string;
  /** LAN coordinates. */
  isn: number;
  end: number;
  ack: number | null;
  /** The client's first sequence number: names the incarnation. */
  clientIsn: number | null;
  /** The latest TSval; and what it was when an owner died. */
  time: number | null;
  floor: number | null;
}

type Trace = Pick<Connection<App>, 'iss' | 'irs' | 'max' | 'received'> | Grave;

export class Oracle {
  readonly counts: Record<string, number> = {};
  readonly #shown = new Map<string, Shown>();
  readonly #endsOnly: boolean;
  #count = 0;

  constructor(endsOnly: boolean) {
    this.#endsOnly = endsOnly;
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  violation(text: string): never {
    throw new Violation(text);
  }

  /** A frame leaves towards the LAN. `survivor`: the guest's state after a power failure now; null: nothing is protected. */
  released(frame: Buffer, by: ReleasedBy, survivor: Machine | null, cutOpen: boolean): void {
    const s = decode(frame);
    if (s === null) {
      const count = answerOf(frame);
      if (count !== null) this.releasedCount(count, by, survivor);
      return;
    }
    if ('wrong' in s) this.violation(`a frame left with a wrong ${s.wrong}`);
    this.count(`released ${by}`);
    if (this.#endsOnly) return;
    if (cutOpen && by === 'comparison') this.violation(`left by comparison between REPLY and LOADED: ${describe(s)}`);
    const key = keyOf(s.v6, s.dst, s.dport, s.sport);
    const checked = survivor !== null && by !== 'grant' ? survivor : null;
    if (s.flags & RST) {
      if (checked) this.#reset(s, key, checked);
      return;
    }
    const shown = this.#note(s, key);
    if (shown) this.#time(s, shown);
    if (checked && shown) {
      const missing = missingOf(shown, checked);
      if (missing) this.violation(`left by ${by}: ${describe(s)}: the survivor ${missing}`);
    }
  }

  /** A datagram leaves: the guest's count of what it was asked. */
  releasedCount(count: number, by: ReleasedBy, survivor: Machine | null): void {
    this.#count = Math.max(this.#count, count);
    if (this.#endsOnly || survivor === null || by === 'grant') return;
    if (survivor.asked < count) this.violation(`a datagram left by ${by}: answer ${count}, the survivor has counted ${survivor.asked}`);
  }

  /** What was shown so far is what the next owner is measured by. */
  ownerDied(): void {
    for (const shown of this.#shown.values()) shown.floor = shown.time;
  }

  #time(s: Segment, shown: Shown): void {
    if (!s.timestamps) return;
    const { value } = s.timestamps;
    if (shown.floor !== null && before(value, shown.floor))
      this.violation(`after a takeover a timestamp goes back by ${sub(shown.floor, value)}: ${describe(s)}`);
    if (shown.time !== null && after(value, add(shown.time, LONGEST_LIFE_MS)))
      this.violation(`a timestamp leaps by ${sub(value, shown.time)}: ${describe(s)}`);
    if (shown.time === null || after(value, shown.time)) shown.time = value;
  }

  /** The new owner has been fed everything that was held for it. */
  takenOver(guest: Machine): void {
    if (this.#endsOnly) return;
    if (guest.asked < this.#count)
      this.violation(`after takeover: the LAN was shown answer ${this.#count}, the new owner has counted ${guest.asked}`);
    for (const shown of this.#shown.values()) {
      const missing = missingOf(shown, guest);
      if (missing) this.violation(`after takeover, ${shown.key}: the new owner ${missing}`);
    }
  }

  #note(s: Segment, key: string): Shown | null {
    if (s.flags & SYN) {
      const clientIsn = s.flags & ACK ? sub(s.ack, 1) : null;
      const known = this.#shown.get(key);
      if (!known || known.isn !== s.seq || (clientIsn !== null && known.clientIsn !== clientIsn)) {
        this.#shown.set(key, { key, isn: s.seq, end: endOf(s), ack: s.flags & ACK ? s.ack : null, clientIsn, time: null, floor: null });
      }
    }
    const shown = this.#shown.get(key);
    if (!shown) return null;
    // A segment of an earlier incarnation, sent from TIME_WAIT.
    if (after(s.seq, add(shown.end, 0x100000)) || after(shown.isn, s.seq)) return null;
    shown.end = latest(shown.end, endOf(s));
    if (s.flags & ACK) shown.ack = shown.ack === null ? s.ack : latest(shown.ack, s.ack);
    return shown;
  }

  #reset(s: Segment, key: string, survivor: Machine): void {
    const c = survivor.stack.memory.connections.get(key);
    const shown = this.#shown.get(key);
    if (!c || c.state !== 'open' || !shown || s.seq !== shown.end) return;
    if (shown.clientIsn !== null && c.irs !== shown.clientIsn) return;
    this.violation(`a reset left, the survivor's connection is open: ${describe(s)}`);
  }
}

/** What the guest lacks of what was shown; null: nothing. A late copy of a SYN may have opened a second connection beside it. */
function missingOf(shown: Shown, guest: Machine): string | null {
  const { connections, graves } = guest.stack.memory;
  const open = connections.get(shown.key);
  const traces: Trace[] = graves.filter((g) => g.key === shown.key);
  if (open) traces.push(open);
  let missing = 'does not know the connection';
  for (const trace of traces) {
    if (shown.clientIsn !== null && trace.irs !== shown.clientIsn) continue;
    const sent = sub(trace.max, trace.iss);
    const seen = sub(shown.end, shown.isn);
    const has = sub(trace.received, trace.irs);
    const acknowledged = shown.ack === null || shown.clientIsn === null ? 0 : sub(shown.ack, shown.clientIsn);
    if (sent < seen) missing = `has sent ${sent} bytes of ${seen} that were shown`;
    else if (has < acknowledged) missing = `has ${has} bytes of ${acknowledged} that were acknowledged`;
    else return null;
  }
  return missing;
}
