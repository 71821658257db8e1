// The server behind the fake BMC: what each command does to it and answers. Part of fake.ts.
import { FakeLog, recordPart } from './fake-log.ts';
import { FakeParts } from './fake-parts.ts';
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
export class FakeMachine {
  /** Whether the server really runs. */
  running = true;
  /** What the BMC says. */
  reads: boolean | undefined;
  behaviour: PowerBehaviour = 'obeys';
  /** A server that needs a while: so many readings still say "on". */
  readingsUntilOff = 0;
  readonly log = new FakeLog();
  readonly parts = new FakeParts();
  readonly sdrs: Buffer[] = [Buffer.from(TEMPERATURE_SDR)];
  /** By number. `states` undefined: left out of the answer; a number instead: this completion code. */
  readonly readings = new Map<number, { raw: number; states: number | undefined; flags?: number } | number>([[1, { raw: 45, states: 0 }]]);
  /** By number: mask, lower non-critical, critical, non-recoverable, upper ones, raw. Others do not tell. */
  readonly thresholds = new Map<number, readonly number[]>();
  /** In its repository's time of the last addition: another one says that records were changed. */
  sdrVersion = 0;
  /** Answers with longer parts of records than this are refused. */
  sdrChunkBytes = 0xff;
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
        return this.log.info();
      case 'getSelEntry':
        return this.log.entry(data);
      case 'getFruInfo':
        return this.parts.info(data);
      case 'readFru':
        return this.parts.read(data);
      case 'getWatchdog':
        return this.parts.watchdog();
      case 'setWatchdog':
        return this.parts.setWatchdog(data);
      case 'resetWatchdog':
        return this.parts.startWatchdog();
      case 'getSdrInfo':
        return Buffer.from([0, 0x51, this.sdrs.length, 0, 0, 1, this.sdrVersion, 0, 0, 0, 0, 0, 0, 0, 0x02]);
      case 'reserveSdr':
        this.#reservation = (this.#reservation + 1) & 0xffff;
        return Buffer.from([0, this.#reservation & 0xff, this.#reservation >> 8]);
      case 'getSdr':
        return this.#sdr(data);
      case 'getSensorReading':
        return this.#reading(data[0] ?? 0);
      case 'getSensorThresholds': {
        const thresholds = this.thresholds.get(data[0] ?? 0);
        return Buffer.from(thresholds === undefined ? [COMPLETION.invalidCommand] : [0, ...thresholds]);
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

  #reading(sensor: number): Buffer {
    const reading = this.readings.get(sensor) ?? COMPLETION.notPresent;
    if (typeof reading === 'number') return Buffer.from([reading]);
    const { raw, states, flags = 0x40 } = reading;
    return Buffer.from([0, raw, flags, ...(states === undefined ? [] : [0xc0 | (states & 0xff), 0x80 | (states >> 8)])]);
  }

  #sdr(data: Buffer): Buffer {
    if (data.length < 6) return Buffer.from([COMPLETION.truncated]);
    const [reservation, wanted, at] = [data.readUInt16LE(0), data.readUInt16LE(2), data.readUInt8(4)];
    if (at !== 0 && reservation !== this.#reservation) return Buffer.from([COMPLETION.reservationLost]);
    if (data.readUInt8(5) > this.sdrChunkBytes) return Buffer.from([COMPLETION.cannotReturnThatMany]);
    const index = wanted === 0 ? 0 : this.sdrs.findIndex((r) => r.readUInt16LE(0) === wanted);
    return recordPart(this.sdrs, index, at, data.readUInt8(5));
  }
}
