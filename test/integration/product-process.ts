// Real processes of the product, each in a namespace: what they say, how they end, what their consoles show.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { oneSnapshot } from '../../appliance/console/cli/local-socket.ts';
import type { Snapshot } from '../../appliance/core/snapshot.ts';
import type { OtherEnd } from '../unit/drivers/ethernet/namespace.ts';
import type { Name } from './setup-pair.ts';

/** Nothing is concluded from time: a busy machine needs many times what an idle one does. */
export const PATIENCE_MS = 300_000;

export interface Product {
  child: ChildProcess;
  said: () => string;
  ended: Promise<number | null>;
}

export class Products {
  readonly #b: OtherEnd;
  readonly #program: string;
  readonly #running = new Set<ChildProcess>();

  /** @param b Where those of B run. */
  constructor(b: OtherEnd, program: string) {
    this.#b = b;
    this.#program = program;
  }

  start(name: Name, ...args: string[]): Product {
    const command = [process.execPath, '--no-warnings', this.#program, ...args];
    const [file = '', rest] = name === 'A' ? [command[0], command.slice(1)] : this.#b.command(...command);
    const child = spawn('setpriv', ['--pdeathsig=SIGKILL', file, ...rest], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#running.add(child);
    let said = '';
    for (const output of [child.stdout, child.stderr])
      output?.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
    const ended = once(child, 'exit').then(([code]) => {
      this.#running.delete(child);
      return code as number | null;
    });
    return { child, said: () => said, ended };
  }

  kill(): void {
    for (const child of this.#running) child.kill('SIGKILL');
  }
}

/** Waits for a picture that fits. */
export async function until(what: string, socket: string, { said }: Product, fits: (s: Snapshot) => boolean): Promise<Snapshot> {
  for (const end = Date.now() + PATIENCE_MS; ; ) {
    const picture = await oneSnapshot(socket).catch(() => null);
    if (picture && fits(picture)) return picture;
    if (Date.now() > end) throw new Error(`${what}: ${JSON.stringify(picture?.attention)} ${JSON.stringify(picture?.links)}\n${said()}`);
    await pause(200);
  }
}
