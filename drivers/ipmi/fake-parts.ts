// Inventories and watchdog of the fake BMC. Part of fake-machine.ts.
import { COMPLETION } from './messages.ts';

const NOT_SET = 0x80;

export class FakeParts {
  /** Inventories by device. */
  readonly inventories = new Map<number, Buffer>();
  inWords = false;
  /** At once; more is refused. */
  maxBytes = 0xff;
  /** As Set Watchdog gave it; undefined: not since the BMC started. */
  setting: Buffer | undefined;
  isRunning = false;
  /** Of Reset Watchdog. */
  starts = 0;

  info(data: Buffer): Buffer {
    const bytes = this.inventories.get(data[0] ?? 0)?.length;
    return Buffer.from(bytes === undefined ? [COMPLETION.notPresent] : [0, bytes & 0xff, bytes >> 8, this.inWords ? 1 : 0]);
  }

  read(data: Buffer): Buffer {
    const inventory = this.inventories.get(data[0] ?? 0);
    if (inventory === undefined || data.length < 4) return Buffer.from([COMPLETION.notPresent]);
    const unit = this.inWords ? 2 : 1;
    const [at, length] = [data.readUInt16LE(1) * unit, data.readUInt8(3) * unit];
    if (length > this.maxBytes) return Buffer.from([COMPLETION.cannotReturnThatMany]);
    const part = inventory.subarray(at, at + length);
    return Buffer.concat([Buffer.from([0, part.length / unit]), part]);
  }

  setWatchdog(data: Buffer): Buffer {
    if (data.length !== 6) return Buffer.from([COMPLETION.truncated]);
    this.isRunning = this.isRunning && (data.readUInt8(0) & 0x40) !== 0;
    this.setting = Buffer.from(data);
    return Buffer.from([0]);
  }

  startWatchdog(): Buffer {
    if (this.setting === undefined) return Buffer.from([NOT_SET]);
    this.isRunning = true;
    this.starts++;
    return Buffer.from([0]);
  }

  watchdog(): Buffer {
    const setting = this.setting ?? Buffer.alloc(6);
    const b = Buffer.concat([Buffer.from([0]), setting, setting.subarray(4, 6)]);
    b[1] = (setting.readUInt8(0) & 0x87) | (this.isRunning ? 0x40 : 0);
    b[4] = 0;
    return b;
  }
}
