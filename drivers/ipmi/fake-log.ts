// The event log of the fake BMC: it fills up, overwrites itself as a ring, is cleared, and its ids wrap. Part of fake-machine.ts.
import { COMPLETION } from './messages.ts';

/** Memory, correctable ECC (32.1). */
const ECC_EVENT = Buffer.from('010002000000002000040c056fa0ff03', 'hex');
const LAST_ID = 0xfffe;

/** Id of the next record, then a part of this one. */
export function recordPart(records: readonly Buffer[], index: number, at: number, length: number): Buffer {
  const record = records[index];
  if (record === undefined) return Buffer.from([COMPLETION.notPresent]);
  const next = records[index + 1]?.readUInt16LE(0) ?? 0xffff;
  const part = length === 0xff ? record.subarray(at) : record.subarray(at, at + length);
  return Buffer.concat([Buffer.from([0, next & 0xff, next >> 8]), part]);
}

export class FakeLog {
  readonly entries: Buffer[] = [ECC_EVENT];
  /** The BMC's clock. */
  nowS = 0x60000000;
  nextId = 2;
  lastAddS = 0;
  lastEraseS = 0;
  /** Entries that it has room for. */
  limit = 1000;
  /** Full: the oldest one goes. Others lose the new one, and say so. */
  isRing = false;
  overflow = false;
  /** Called before each answer. */
  onAsked: (what: 'info' | 'entry') => void = () => undefined;

  /** Sensor type, sensor, event type with direction, three bytes. Time: now. */
  add(...event: [number, number, number, number, number, number]): void {
    if (this.entries.length >= this.limit) {
      if (!this.isRing) {
        this.overflow = true;
        return;
      }
      this.entries.shift();
    }
    const b = Buffer.alloc(16);
    b.writeUInt16LE(this.nextId, 0);
    b[2] = 0x02;
    b.writeUInt32LE(this.nowS, 3);
    b.set([0x20, 0, 4, ...event], 7);
    this.entries.push(b);
    this.lastAddS = this.nowS;
    this.nextId = this.nextId === LAST_ID ? 1 : this.nextId + 1;
  }

  clear(): void {
    this.entries.length = 0;
    this.nextId = 1;
    this.lastEraseS = this.nowS;
    this.overflow = false;
  }

  info(): Buffer {
    this.onAsked('info');
    const b = Buffer.alloc(15);
    b[1] = 0x51;
    b.writeUInt16LE(this.entries.length, 2);
    b.writeUInt16LE(Math.max(0, this.limit - this.entries.length) * 16, 4);
    b.writeUInt32LE(this.lastAddS, 6);
    b.writeUInt32LE(this.lastEraseS, 10);
    b[14] = this.overflow ? 0x80 : 0;
    return b;
  }

  entry(data: Buffer): Buffer {
    this.onAsked('entry');
    if (data.length < 6) return Buffer.from([COMPLETION.truncated]);
    const wanted = data.readUInt16LE(2);
    const last = this.entries.length - 1;
    const index = wanted === 0 ? 0 : wanted === 0xffff ? last : this.entries.findIndex((e) => e.readUInt16LE(0) === wanted);
    return recordPart(this.entries, index, data.readUInt8(4), data.readUInt8(5));
  }
}
