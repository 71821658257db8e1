// The server behind the fake BMC: what each command does to it and answers. Part of fake.ts.
import { COMMAND, COMPLETION, type CommandName } from './messages.ts';

/** What becomes of a power-off. */
export type PowerBehaviour =
  | 'obeys'
  /** Acknowledges, and does nothing. */
  | 'ignores'
  /** Reads off from then on, while the server runs: only its missing carrier would be proof. */
  | 'pretends'
  /** Answers with an error. */
  | 'rejects'
  /** Off for one reading, then on again. */
  | 'bounces';

/** A full sensor record (43.1): "CPU Temp", degrees C, upper thresholds 112, 144, 160. */
const TEMPERATURE_SDR = Buffer.from(
  [
    '0100 51 01 33 20 00 01 03 01 67 48 01 01 c07a c07a 3f 3f', // head, owner, number, entity, type, masks
    '00 01 00 00 01 00 00 00 00 00 00 00 00 00 ff 00', // units, conversion, analog flags and ranges
    'a0 90 70 00 00 00 02 02 0000 00 c8 4350552054656d70', // thresholds, hysteresis, name
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
);
/** Memory, correctable ECC (32.1). */
const ECC_EVENT = Buffer.from('010002000000002000040c056fa0ff03', 'hex');

export class FakeMachine {
  /** Whether the server really runs. */
  running = true;
  /** What the BMC says. */
  reads: boolean | undefined;
  behaviour: PowerBehaviour = 'obeys';
  /** A server that needs a while: so many readings still say "on". */
  readingsUntilOff = 0;
  readonly sel: Buffer[] = [ECC_EVENT];
  readonly sdrs: Buffer[] = [TEMPERATURE_SDR];
  readonly readings = new Map<number, { raw: number; states: number }>([[1, { raw: 45, states: 0 }]]);
  /** Told when a command switches it. */
  onPower: (running: boolean) => void = () => undefined;
  #bounce = false;
  #reservation = 0;

  /** Completion code, then data. */
  answer(netFn: number, command: number, data: Buffer): Buffer {
    const name = (Object.keys(COMMAND) as CommandName[]).find((n) => COMMAND[n][0] === netFn && COMMAND[n][1] === command);
    switch (name) {
      case 'getDeviceId':
        // Device 32, revision 1, firmware 1.23, IPMI 2.0, maker 7154, product 42.
        return Buffer.from([0, 0x20, 0x01, 0x01, 0x23, 0x02, 0xbf, 0xf2, 0x1b, 0x00, 0x2a, 0x00]);
      case 'getChassisStatus':
        return Buffer.from([0, this.#readPower() ? 0x01 : 0x00, 0x00, 0x00]);
      case 'chassisControl':
        return Buffer.from([this.#control(data[0] ?? 0)]);
      case 'getSelInfo':
        return this.#selInfo();
      case 'getSelEntry':
        return this.#selEntry(data);
      case 'getSdrInfo':
        return Buffer.from([0, 0x51, this.sdrs.length, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x02]);
      case 'reserveSdr':
        this.#reservation = (this.#reservation + 1) & 0xffff;
        return Buffer.from([0, this.#reservation & 0xff, this.#reservation >> 8]);
      case 'getSdr':
        return this.#sdr(data);
      case 'getSensorReading': {
        const reading = this.readings.get(data[0] ?? 0);
        return reading === undefined ? Buffer.from([COMPLETION.notPresent]) : Buffer.from([0, reading.raw, 0x40, 0xc0 | reading.states]);
      }
      default:
        return Buffer.from([COMPLETION.invalidCommand]);
    }
  }

  /** Somebody else reads the SDRs too: the reservation is gone. */
  loseReservation(): void {
    this.#reservation++;
  }

  #readPower(): boolean {
    if (this.reads !== undefined) return this.reads;
    if (!this.running && this.readingsUntilOff > 0) {
      this.readingsUntilOff--;
      return true;
    }
    const { running } = this;
    if (!running && this.#bounce) {
      this.#bounce = false;
      this.#switch(true);
    }
    return running;
  }

  #switch(running: boolean): void {
    this.running = running;
    this.onPower(running);
  }

  #control(action: number): number {
    if (action > 3) return COMPLETION.invalidField;
    if (this.behaviour === 'rejects') return COMPLETION.notNow;
    if (action !== 0) {
      this.#switch(true);
      return COMPLETION.ok;
    }
    switch (this.behaviour) {
      case 'obeys':
        this.#switch(false);
        break;
      case 'bounces':
        this.#bounce = true;
        this.#switch(false);
        break;
      case 'pretends':
        this.reads = false;
        break;
      case 'ignores':
        break;
      default: {
        const never: never = this.behaviour;
        throw new Error(`unknown behaviour ${String(never)}`);
      }
    }
    return COMPLETION.ok;
  }

  #selInfo(): Buffer {
    const b = Buffer.alloc(15);
    b[1] = 0x51;
    b.writeUInt16LE(this.sel.length, 2);
    b.writeUInt16LE(16_000, 4);
    return b;
  }

  #selEntry(data: Buffer): Buffer {
    if (data.length < 6) return Buffer.from([COMPLETION.truncated]);
    const wanted = data.readUInt16LE(2);
    const index = wanted === 0 ? 0 : wanted === 0xffff ? this.sel.length - 1 : this.sel.findIndex((e) => e.readUInt16LE(0) === wanted);
    return this.#record(this.sel, index, data.readUInt8(4), data.readUInt8(5));
  }

  #sdr(data: Buffer): Buffer {
    if (data.length < 6) return Buffer.from([COMPLETION.truncated]);
    const [reservation, wanted, at] = [data.readUInt16LE(0), data.readUInt16LE(2), data.readUInt8(4)];
    if (at !== 0 && reservation !== this.#reservation) return Buffer.from([COMPLETION.reservationLost]);
    const index = wanted === 0 ? 0 : this.sdrs.findIndex((r) => r.readUInt16LE(0) === wanted);
    return this.#record(this.sdrs, index, at, data.readUInt8(5));
  }

  /** Id of the next record, then a part of this one. */
  #record(records: readonly Buffer[], index: number, at: number, length: number): Buffer {
    const record = records[index];
    if (record === undefined) return Buffer.from([COMPLETION.notPresent]);
    const next = records[index + 1]?.readUInt16LE(0) ?? 0xffff;
    const part = length === 0xff ? record.subarray(at) : record.subarray(at, at + length);
    return Buffer.concat([Buffer.from([0, next & 0xff, next >> 8]), part]);
  }
}
