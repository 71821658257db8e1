// Two machines' worth of network: a namespace for each, two cables between them, free or shaped to a rate.

import { run } from '../../../hwqual/lab/command.ts';
import { inNamespace } from '../../../hwqual/lab/network.ts';

export type BenchSide = 'A' | 'B';
const SIDES: readonly BenchSide[] = ['A', 'B'];
export const LINKS = [0, 1] as const;

/** A burst of tbf: a fraction of a millisecond at 1 Gbit/s, and above the largest packet that the kernel hands over in one piece. */
const BURST_BYTES = 128 * 1024;
/** What may wait in front of a shaped link, as a NIC's queue does: about 3 ms of 1 Gbit/s. */
const QUEUE_BYTES = 384 * 1024;

export function linkAddress(side: BenchSide, link: number): string {
  return `10.98.${link}.${side === 'A' ? 1 : 2}`;
}

export class BenchNetwork {
  readonly #prefix: string;

  /** @param prefix Begins the names of the namespaces: one of its own for each run. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  namespace(side: BenchSide): string {
    return `${this.#prefix}${side}`;
  }

  async up(): Promise<void> {
    for (const side of SIDES) {
      await run('ip', ['netns', 'add', this.namespace(side)]);
      await this.#inside(side, 'ip', 'link', 'set', 'lo', 'up');
    }
    for (const link of LINKS) {
      const [nic, a, b] = [`link${link}`, this.namespace('A'), this.namespace('B')];
      await run('ip', ['-n', a, 'link', 'add', nic, 'type', 'veth', 'peer', 'name', nic, 'netns', b]);
      for (const side of SIDES) {
        await this.#inside(side, 'ip', 'address', 'add', `${linkAddress(side, link)}/24`, 'dev', nic);
        await this.#inside(side, 'ip', 'link', 'set', nic, 'up');
      }
    }
  }

  /** @param mbitPerS Of each link and direction; null: as fast as the machine goes. */
  async shape(mbitPerS: number | null): Promise<void> {
    for (const side of SIDES)
      for (const link of LINKS) {
        await this.#inside(side, 'tc', 'qdisc', 'del', 'dev', `link${link}`, 'root').catch(() => undefined);
        if (mbitPerS === null) continue;
        const tbf = ['tbf', 'rate', `${mbitPerS}mbit`, 'burst', `${BURST_BYTES}`, 'limit', `${QUEUE_BYTES}`];
        await this.#inside(side, 'tc', 'qdisc', 'add', 'dev', `link${link}`, 'root', ...tbf);
      }
  }

  async down(): Promise<void> {
    for (const side of SIDES) await run('ip', ['netns', 'del', this.namespace(side)]).catch(() => undefined);
  }

  #inside(side: BenchSide, command: string, ...args: string[]): Promise<string> {
    return run(...inNamespace(this.namespace(side), command, args));
  }
}
