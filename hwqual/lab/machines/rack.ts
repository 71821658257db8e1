// The network of two whole machines: one namespace with a bridge per cable, QEMU's taps in it, and the management network's own address,
// from which the lab speaks to the BMCs. A cable's carrier is the machines' own: `set_link` of the NIC on both ends.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../command.ts';
import { LabError } from '../lab-error.ts';
import { inNamespace } from '../network.ts';
import { ADDRESSES, CO_SERVERS } from '../settings.ts';
import { tapName } from './arguments.ts';
import { BMC_ADDRESS, LAB_ADDRESS, type MachinesSettings } from './settings.ts';
import { NIC_ROLES } from './spec.ts';

export class Rack {
  readonly #namespace: string;

  constructor(settings: MachinesSettings) {
    this.#namespace = settings.namespace;
  }

  async make(): Promise<void> {
    if (existsSync(join('/run/netns', this.#namespace)))
      throw new LabError(`the network namespace ${this.#namespace} exists already`, 'npm run lab:machines -- down');
    await run('ip', ['netns', 'add', this.#namespace]);
  }

  /** Bridges, taps, addresses: in a namespace that was made and is empty. */
  async wire(): Promise<void> {
    const silent = 'for c in all default; do echo 1 >/proc/sys/net/ipv6/conf/$c/disable_ipv6; done 2>/dev/null || :';
    await run(...inNamespace(this.#namespace, 'sh', ['-c', silent]));
    const lines = ['link set lo up'];
    for (const role of NIC_ROLES) {
      lines.push(`link add ${role} type bridge stp_state 0 mcast_snooping 0`, `link set ${role} up`);
      for (const name of CO_SERVERS) {
        const tap = tapName(name, role);
        lines.push(`tuntap add ${tap} mode tap`, `link set ${tap} master ${role} up`);
      }
    }
    for (const address of [LAB_ADDRESS, ...Object.values(BMC_ADDRESS)]) lines.push(`addr add ${address}/24 dev mgmt0`);
    // From here the lab asks the guest.
    lines.push(`addr add ${ADDRESSES.lan.ipv4} dev lan0`);
    await this.#ip(lines);
  }

  /** A BMC's network cable: without it nothing has its address. */
  async setBmcCable(address: string, plugged: boolean): Promise<void> {
    await this.#ip([`addr ${plugged ? 'replace' : 'del'} ${address}/24 dev mgmt0`]);
  }

  /** With every process in it: what a lab that was killed has left. Answers what was there. */
  async sweep(): Promise<string[]> {
    if (!existsSync(join('/run/netns', this.#namespace))) return [];
    const pids = (await run('ip', ['netns', 'pids', this.#namespace])).split('\n').filter((line) => line !== '');
    for (const pid of pids) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It is gone already.
      }
    }
    await run('ip', ['netns', 'del', this.#namespace]);
    return [...pids.map((pid) => `process ${pid}`), `network namespace ${this.#namespace}`];
  }

  async #ip(lines: readonly string[]): Promise<void> {
    await run('ip', ['-n', this.#namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }
}
