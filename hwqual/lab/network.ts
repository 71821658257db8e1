// Makes and removes the namespaces and cables that topology.ts describes.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { run } from './command.ts';
import { LabError } from './lab-error.ts';
import { bmcNamespace, CO_SERVERS, type LabSettings } from './settings.ts';
import { type Batch, bmcEnd, type CableState, carrierLines, coServerBatches, muteLines, rackBatches, removalLines } from './topology.ts';

/** `ip` takes some ms per line; a machine that needs this long is not working. */
const BATCH_TIMEOUT_MS = 20_000;
/** A power failure is two batches. */
const ARMED = 2;

// Before the NICs are made, so that they start with it. No router or duplicate detection in a closed LAN; addresses answered
// only on their own NIC; nothing of the CoServer's own on the business LAN (its NIC has no address, IPv6 would give it one).
const SYSCTLS = {
  lan: { 'ipv6/conf/all/accept_dad': 0, 'ipv6/conf/default/accept_dad': 0, 'ipv6/conf/default/accept_ra': 0 },
  silent: { 'ipv6/conf/default/disable_ipv6': 1 },
  coServer: {
    'ipv6/conf/default/disable_ipv6': 1,
    'ipv4/conf/all/arp_ignore': 1,
    'ipv4/conf/all/arp_announce': 2,
    'ipv4/conf/default/rp_filter': 0,
  },
} as const;

/** A program of the engine's root on this machine's files: by its own loader, so that nothing needs to be installed here. */
export function engineProgram(engineRoot: string, path: string): [string, string[]] {
  const libraries = ['usr/lib/x86_64-linux-gnu', 'usr/lib'].map((l) => join(engineRoot, l)).join(':');
  return [join(engineRoot, 'usr/lib64/ld-linux-x86-64.so.2'), ['--library-path', libraries, join(engineRoot, path)]];
}

export function inNamespace(namespace: string, command: string, args: readonly string[]): [string, string[]] {
  return ['nsenter', [`--net=/run/netns/${namespace}`, '--', command, ...args]];
}

async function applyBatch(batch: Batch): Promise<void> {
  if (batch.lines.length === 0) return;
  await run('ip', ['-n', batch.namespace, '-batch', '-'], { input: `${batch.lines.join('\n')}\n`, timeoutMs: BATCH_TIMEOUT_MS });
}

export class LabNetwork {
  readonly #settings: LabSettings;
  readonly #engineRoot: string;
  #cables: CableState = { powered: { A: false, B: false }, whole: { 1: true, 2: true }, lan: { A: true, B: true } };
  readonly #present = new Set<CoServerName>();
  #closed = false;
  /** Processes that are already in the rack and wait for lines: a power failure must not wait for a start. */
  #armed: ChildProcess[] = [];

  constructor(settings: LabSettings, engineRoot: string) {
    this.#settings = settings;
    this.#engineRoot = engineRoot;
  }

  get whole(): Readonly<CableState['whole']> {
    return this.#cables.whole;
  }

  get lan(): Readonly<CableState['lan']> {
    return this.#cables.lan;
  }

  async up(): Promise<void> {
    const { rack, lan, witness } = this.#settings.namespaces;
    const bmcs = CO_SERVERS.map((name) => this.#settings.namespaces[bmcNamespace(name)]);
    for (const namespace of [rack, lan, witness, ...bmcs]) await this.#add(namespace);
    for (const namespace of [rack, witness, ...bmcs]) await this.#sysctl(namespace, SYSCTLS.silent);
    await this.#sysctl(lan, SYSCTLS.lan);
    for (const batch of rackBatches(this.#settings)) await applyBatch(batch);
    await this.#wholeFrames(lan, 'lan0');
  }

  /** A CoServer's namespace and NICs, without carrier. */
  async install(name: CoServerName): Promise<void> {
    const namespace = this.#settings.namespaces[name];
    await this.#add(namespace);
    await this.#sysctl(namespace, SYSCTLS.coServer);
    const [rack, own] = coServerBatches(this.#settings, name);
    if (rack === undefined || own === undefined) throw new Error('a CoServer has two batches');
    await applyBatch(rack);
    this.#present.add(name);
    await applyBatch(own);
    await this.#wholeFrames(namespace, 'lan0');
  }

  /** Power comes on: carrier. */
  async plugIn(name: CoServerName): Promise<void> {
    await this.#change({ ...this.#cables, powered: { ...this.#cables.powered, [name]: true } }).dark;
  }

  /**
   * Power fails, as fast as this machine can: no frame passes any of its cables from the moment `dead` resolves on; the carriers of both
   * ends are gone with `dark`.
   */
  unplug(name: CoServerName): { dead: Promise<void>; dark: Promise<void> } {
    return this.#change({ ...this.#cables, powered: { ...this.#cables.powered, [name]: false } });
  }

  /** Takes the NICs and the namespace of a CoServer without power away. Connections in it that wait for an answer never speak again. */
  async remove(name: CoServerName): Promise<void> {
    if (!this.#present.has(name)) return;
    await applyBatch({ namespace: this.#settings.namespaces.rack, lines: removalLines(name) });
    this.#present.delete(name);
    await run('ip', ['netns', 'del', this.#settings.namespaces[name]]);
  }

  async setLink(link: 1 | 2, whole: boolean): Promise<void> {
    await this.#change({ ...this.#cables, whole: { ...this.#cables.whole, [link]: whole } }).dark;
  }

  /** A BMC's own network cable. */
  async setBmcCable(name: CoServerName, plugged: boolean): Promise<void> {
    const lines = [`link set ${bmcEnd(name)} ${plugged ? 'up' : 'down'}`];
    await applyBatch({ namespace: this.#settings.namespaces.rack, lines });
  }

  async setLan(name: CoServerName, whole: boolean): Promise<void> {
    await this.#change({ ...this.#cables, lan: { ...this.#cables.lan, [name]: whole } }).dark;
  }

  /** Lets go of what waits for the next cut. */
  close(): void {
    for (const armed of this.#armed) armed.kill('SIGKILL');
    this.#armed = [];
    this.#closed = true;
  }

  #change(after: CableState): { dead: Promise<void>; dark: Promise<void> } {
    const present = [...this.#present];
    const dead = this.#inRack(muteLines(this.#cables, after, present));
    this.#cables = after;
    return { dead, dark: dead.then(() => this.#inRack(carrierLines(after, present))) };
  }

  #arm(): void {
    while (!this.#closed && this.#armed.length < ARMED) {
      const ip = `exec ip -n ${this.#settings.namespaces.rack} -batch -`;
      // Before all that runs at normal priority, where that is allowed: the guests keep every core busy.
      const armed = spawn('sh', ['-c', `chrt --fifo -p 1 $$ 2>/dev/null; ${ip}`], { stdio: ['pipe', 'ignore', 'pipe'] });
      armed.on('error', () => undefined);
      armed.stdin.on('error', () => undefined);
      this.#armed.push(armed);
    }
  }

  async #inRack(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const armed = this.#armed.shift();
    try {
      if (armed === undefined || armed.exitCode !== null || armed.stdin === null) {
        await applyBatch({ namespace: this.#settings.namespaces.rack, lines: [...lines] });
        return;
      }
      const ended = new Promise<void>((resolve, reject) => {
        let said = '';
        armed.stderr?.on('data', (d: Buffer) => {
          said += d;
        });
        armed.once('close', (code) => (code === 0 ? resolve() : reject(new LabError(`the cables could not be switched: ${said.trim()}`))));
      });
      armed.stdin.end(`${lines.join('\n')}\n`);
      await ended;
    } finally {
      this.#arm();
    }
  }

  async #add(namespace: string): Promise<void> {
    if (existsSync(join('/run/netns', namespace)))
      throw new LabError(`the network namespace ${namespace} exists already`, 'npm run lab -- down');
    await run('ip', ['netns', 'add', namespace]);
  }

  async #sysctl(namespace: string, values: Readonly<Record<string, number>>): Promise<void> {
    // A kernel without IPv6 lacks its settings, and needs none of them.
    const script = Object.entries(values).map(([key, value]) => `[ ! -e /proc/sys/net/${key} ] || echo ${value} > /proc/sys/net/${key}`);
    await run(...inNamespace(namespace, 'sh', ['-c', script.join('\n')]));
  }

  /** Frames on the LAN are as on a wire: at most 1514 bytes, checksums filled in by the sender. */
  async #wholeFrames(namespace: string, nic: string): Promise<void> {
    const [loader, args] = engineProgram(this.#engineRoot, 'usr/sbin/ethtool');
    await run(...inNamespace(namespace, loader, [...args, '-K', nic, 'tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off']));
  }
}
