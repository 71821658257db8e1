// The serial line of a CoServer: a pair of pseudo terminals joined by socat. One end is the CoServer's serial device, the other
// is for an operator. It behaves like a line with nothing plugged in: what nobody reads is lost, and neither end hangs up.
import { closeSync, constants, mkdirSync, openSync, readlinkSync, rmSync, watch } from 'node:fs';
import { join } from 'node:path';
import { ReadStream } from 'node:tty';
import { LabError } from './lab-error.ts';
import { engineProgram } from './network.ts';
import { Supervised } from './supervised.ts';

/** socat needs some ms. */
const START_TIMEOUT_MS = 10_000;

export class SerialLine {
  readonly #socat: Supervised;
  readonly #held: number[];
  #drain: ReadStream | null = null;
  #attached = 0;
  /** The pts of each end. */
  readonly coServerEnd: string;
  readonly operatorEnd: string;

  private constructor(socat: Supervised, coServerEnd: string, operatorEnd: string) {
    this.#socat = socat;
    this.coServerEnd = coServerEnd;
    this.operatorEnd = operatorEnd;
    // Held open: socat would take the last close of an end for a hang-up.
    this.#held = [coServerEnd, operatorEnd].map(openPts);
    this.#startDrain();
  }

  #startDrain(): void {
    this.#drain = new ReadStream(openPts(this.operatorEnd));
    this.#drain.on('data', () => undefined);
    this.#drain.on('error', () => undefined);
  }

  #stopDrain(): void {
    // Not paused: a paused stream still reads ahead.
    this.#drain?.destroy();
    this.#drain = null;
  }

  static async open(directory: string, engineRoot: string): Promise<SerialLine> {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const ends = ['coserver', 'operator'].map((name) => join(directory, name));
    const [loader, args] = engineProgram(engineRoot, 'usr/bin/socat');
    const socat = new Supervised(
      loader,
      [...args, ...ends.map((end) => `PTY,raw,echo=0,mode=600,link=${end}`)],
      join(directory, 'socat.log'),
    );
    try {
      const [coServerEnd, operatorEnd] = await Promise.all(ends.map((end) => target(directory, end)));
      if (coServerEnd === undefined || operatorEnd === undefined) throw new Error('a line has two ends');
      return new SerialLine(socat, coServerEnd, operatorEnd);
    } catch (error) {
      await socat.close();
      throw error;
    }
  }

  /** Somebody reads the operator's end now; call the answer when that is over. */
  attach(): () => void {
    if (this.#attached++ === 0) this.#stopDrain();
    let over = false;
    return () => {
      if (over) return;
      over = true;
      if (--this.#attached === 0) this.#startDrain();
    };
  }

  async close(): Promise<void> {
    this.#attached = 1;
    this.#stopDrain();
    for (const fd of this.#held) closeSync(fd);
    await this.#socat.close();
  }
}

function openPts(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_NOCTTY);
}

/** The pts that a link made by socat points to, as soon as it is there. */
async function target(directory: string, link: string): Promise<string> {
  const read = (): string | undefined => {
    try {
      return readlinkSync(link);
    } catch {
      return undefined;
    }
  };
  return new Promise((resolve, reject) => {
    const look = () => {
      const found = read();
      if (found === undefined) return;
      clearTimeout(timer);
      watcher.close();
      resolve(found);
    };
    const watcher = watch(directory, look);
    const timer = setTimeout(() => {
      watcher.close();
      reject(new LabError(`the serial line ${link} does not appear`, `see ${join(directory, 'socat.log')}`));
    }, START_TIMEOUT_MS);
    look();
  });
}
