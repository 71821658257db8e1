// Two pairing machines, a wire that loses, repeats, delays and reorders, disks that keep what was made durable, and processes that die at
// any moment: everything driven by one list of choices, so that a failing run can be shown again.
import { createHash } from 'node:crypto';
import { pairingStep, TICK_MS } from '../../../../appliance/pairing/protocol.ts';
import {
  type Duty,
  type KeptKey,
  type Outcome,
  type PairingEvent,
  type PairingState,
  pairingStart,
} from '../../../../appliance/pairing/state.ts';
import { encodePairing } from '../../../../appliance/wire/pairing.ts';

export const PAIR_ID = '0f'.repeat(16);
export type Name = 'A' | 'B';
export const other = (name: Name): Name => (name === 'A' ? 'B' : 'A');

/** Bytes from a seed: the same each time. */
export function randomFrom(seed: string): (bytes: number) => Buffer {
  let count = 0;
  return (bytes) => {
    const parts: Buffer[] = [];
    for (let have = 0; have < bytes; have += 32) parts.push(createHash('sha256').update(`${seed}:${count++}`).digest());
    return Buffer.concat(parts).subarray(0, bytes);
  };
}

export class Side {
  readonly name: Name;
  state: PairingState;
  /** What survives the process. */
  disk: { pending: string | null; key: string | null } = { pending: null, key: null };
  readonly ended: Outcome[] = [];
  readonly outbox: Buffer[] = [];
  readonly #random: (bytes: number) => Uint8Array;
  readonly #pairId: string;

  constructor(name: Name, seed: string, pairId = PAIR_ID) {
    this.name = name;
    this.#random = randomFrom(`${seed}/${name}`);
    this.#pairId = pairId;
    this.state = pairingStart(name, pairId, null);
  }

  get code(): string | null {
    return this.state.session?.kind === 'agreed' ? this.state.session.agreement.code : null;
  }

  /** `dieBefore`: the process is killed before the duty of that index is done (and nothing after it happens). */
  feed(event: PairingEvent, dieBefore = Number.POSITIVE_INFINITY): boolean {
    const queue: PairingEvent[] = [event];
    for (let done = 0; queue.length > 0; ) {
      const step = pairingStep(this.state, queue.shift() ?? event, this.#random);
      this.state = step.state;
      for (const duty of step.duties) {
        if (done++ === dieBefore) return false;
        const answer = this.#obey(duty, event.at);
        if (answer) queue.push(answer);
      }
    }
    return true;
  }

  #obey(duty: Duty, at: number): PairingEvent | null {
    switch (duty.kind) {
      case 'send':
        this.outbox.push(encodePairing(duty.message));
        return null;
      case 'keep':
        this.disk = { ...this.disk, pending: duty.pairKey };
        return { kind: 'kept', at, pairKey: duty.pairKey };
      case 'establish':
        this.disk = { key: duty.pairKey, pending: null };
        return { kind: 'established', at, pairKey: duty.pairKey };
      case 'ended':
        this.ended.push(duty.outcome);
        return null;
      default:
        return duty satisfies never;
    }
  }

  /** The process starts again with what the disk has. */
  restart(): void {
    const { key, pending } = this.disk;
    const kept: KeptKey | null = key ? { pairKey: key, stage: 'established' } : pending ? { pairKey: pending, stage: 'pending' } : null;
    this.outbox.length = 0;
    this.state = pairingStart(this.name, this.#pairId, kept);
  }
}

/** A direct cable between them that loses nothing, for so many ticks. */
export function run(sides: readonly [Side, Side], from: number, ticks: number): number {
  let at = from;
  for (let i = 0; i < ticks; i++) {
    at += TICK_MS;
    for (const side of sides) side.feed({ kind: 'tick', at });
    deliver(sides, at);
  }
  return at;
}

export function deliver([a, b]: readonly [Side, Side], at: number): void {
  for (let moved = true; moved; ) {
    moved = false;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const)
      for (const bytes of from.outbox.splice(0)) {
        moved = true;
        to.feed({ kind: 'received', at, bytes });
      }
  }
}
