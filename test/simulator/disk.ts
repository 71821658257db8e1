// One CoServer's disk: the two slots of the durable record, as appliance/runtime/record-store.ts writes them, and the copy of the
// guest's disk with what was flushed of it.
import type { DurableRecord } from '../../appliance/core/machine.ts';
import { FRESH_RECORD } from '../../appliance/core/machine.ts';
import { ancestor, type Deed, NOTHING } from './history.ts';
import type { Random } from './random.ts';

interface Slot {
  counter: number;
  record: DurableRecord;
}

export class Disk {
  /** null: empty; 'damaged': its checksum does not fit. */
  readonly slots: (Slot | 'damaged' | null)[] = [null, null];
  /** The write under way goes to this slot first. */
  #writing: number | null = null;
  #counter = 0;
  /** What the guest wrote, as it is read back while the power lasts. */
  content: Deed = NOTHING;
  /** What a loss of power leaves. */
  flushed: Deed = NOTHING;
  /** Not while it is being made equal: then it is a mixture of two moments. */
  whole = true;
  /** Every access fails. */
  failed = false;
  /** Writes of the record take so much longer. */
  slowMs = 0;
  full = false;

  /** What a start reads; null: both slots are damaged, or the disk cannot be read. */
  read(): DurableRecord | null {
    const whole = this.slots.filter((s): s is Slot => s !== null && s !== 'damaged');
    if (whole.length === 0) return this.slots.includes('damaged') ? null : FRESH_RECORD;
    const newest = whole.reduce((a, b) => (b.counter > a.counter ? b : a));
    this.#counter = newest.counter;
    // The bad one is made whole before anything is written.
    for (const i of [0, 1]) if (this.slots[i] === 'damaged') this.slots[i] = newest;
    return newest.record;
  }

  /** The newest that is whole, without any side effect. */
  get durable(): DurableRecord {
    const [a, b] = this.slots;
    const x = a && a !== 'damaged' ? a : null;
    const y = b && b !== 'damaged' ? b : null;
    if (!x) return y?.record ?? FRESH_RECORD;
    return !y || x.counter >= y.counter ? x.record : y.record;
  }

  beginWrite(): void {
    this.#writing = (this.#counter + 1) % 2;
  }

  /** Durable from here on. */
  endWrite(record: DurableRecord): void {
    if (this.#writing === null) return;
    this.#counter++;
    this.slots[this.#writing] = { counter: this.#counter, record };
    this.#writing = null;
  }

  copySlot(record: DurableRecord): void {
    if (this.#writing !== null) return;
    const other = (this.#counter + 1) % 2;
    this.slots[other] = { counter: this.#counter, record };
  }

  get isMirrored(): boolean {
    const [a, b] = this.slots;
    return this.#writing === null && a !== null && b !== null && a !== 'damaged' && b !== 'damaged' && a?.counter === b?.counter;
  }

  /** The process ended: what it was writing may be cut short; what was not flushed is still with the kernel. */
  processEnded(random: Random): void {
    if (this.#writing !== null && random.chance(0.5)) this.slots[this.#writing] = 'damaged';
    this.#writing = null;
  }

  powerLost(random: Random): void {
    this.processEnded(random);
    const kept = Math.floor(random.between(this.flushed.depth, this.content.depth + 1));
    // A disk writes back in any order: only what was flushed is sure, and here what follows it in a row.
    this.content = random.chance(0.5) ? this.flushed : ancestor(this.content, kept);
    this.flushed = this.content;
  }

  /** The operator moves a record away that cannot be read, or puts in a new disk: an empty copy under a new record. */
  replace(): void {
    this.slots[0] = null;
    this.slots[1] = null;
    this.#counter = 0;
    this.content = NOTHING;
    this.flushed = NOTHING;
    this.whole = true;
    this.failed = false;
  }
}
