// Makes and removes the namespaces and cables that topology.ts describes.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { run } from './command.ts';
import { LabError } from './lab-error.ts';
import type { LabSettings } from './settings.ts';
import { type Batch, type CableState, carrierLines, coServerBatches, rackBatches, removalLines } from './topology.ts';

/** `ip` takes some ms per line; a machine that needs this long is not working. */
const BATCH_TIMEOUT_MS = 20_000;

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
  readonly #cables: CableState = { powered: { A: false, B: false }, whole: { 1: true, 2: true } };
  readonly #present = new Set<CoServerName>();
  #armed: ChildProcess | null = null;

  constructor(settings: LabSettings, engineRoot: string) {
    this.#settings = settings;
    this.#engineRoot = engineRoot;
  }

  get whole(): Readonly<CableState['whole']> {
    return this.#cables.whole;
  }

  async up(): Promise<void> {
    const { rack, lan, witness } = this.#settings.namespaces;
    for (const namespace of [rack, lan, witness]) await this.#add(namespace);
    await this.#sysctl(rack, SYSCTLS.silent);
    await this.#sysctl(witness, SYSCTLS.silent);
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
    this.#cables.powered[name] = true;
    await this.#carrier();
    this.#arm();
  }

  /** Power fails: the cables of this CoServer are dead when the promise resolves. As fast as this machine can. */
  async unplug(name: CoServerName): Promise<void> {
    this.#cables.powered[name] = false;
    await this.#carrier();
    this.#arm();
  }

  /** Takes the NICs and the namespace of a CoServer without power away. Connections in it that wait for an answer never speak again. */
  async remove(name: CoServerName): Promise<void> {
    if (!this.#present.has(name)) return;
    await applyBatch({ namespace: this.#settings.namespaces.rack, lines: removalLines(name) });
    this.#present.delete(name);
    await run('ip', ['netns', 'del', this.#settings.namespaces[name]]);
  }

  async setLink(link: 1 | 2, whole: boolean): Promise<void> {
    this.#cables.whole[link] = whole;
    await this.#carrier();
    this.#arm();
  }

  /** Lets go of what waits for the next cut. */
  close(): void {
    this.#armed?.kill('SIGKILL');
    this.#armed = null;
  }

  /** A process that is already in the rack and waits for lines: a power failure must not wait for a start. */
  #arm(): void {
    if (this.#armed !== null) return;
    this.#armed = spawn('ip', ['-n', this.#settings.namespaces.rack, '-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
    this.#armed.on('error', () => {
      this.#armed = null;
    });
  }

  async #carrier(): Promise<void> {
    const lines = carrierLines(this.#cables, [...this.#present]);
    const armed = this.#armed;
    this.#armed = null;
    if (armed === null || armed.exitCode !== null || armed.stdin === null)
      return applyBatch({ namespace: this.#settings.namespaces.rack, lines });
    const ended = new Promise<void>((resolve, reject) => {
      let said = '';
      armed.stderr?.on('data', (d: Buffer) => {
        said += d;
      });
      armed.once('close', (code) => (code === 0 ? resolve() : reject(new LabError(`the cables could not be switched: ${said.trim()}`))));
    });
    armed.stdin.end(`${lines.join('\n')}\n`);
    await ended;
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
