// A LAN of two network namespaces for the gate: a client's NIC and a CoServer's business NIC, joined by a cable; the gate in a
// process in the CoServer's namespace; the lab's guest under the real engine behind it.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CutCommands, GateCommands, GateEvents } from '../../appliance/gate/api.ts';
import { Caller, type Port } from '../../appliance/wire/rpc.ts';
import { engineArguments } from '../../drivers/qemu/arguments.ts';
import { buildGuest } from '../../hwqual/lab/guest/build.ts';
import { createDataDisk } from '../../hwqual/lab/guest/data-disk.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import type { GateHostMessage } from './gate-host.ts';

/** The pinned engine's root; TWINSTEP_ENGINE_ROOT names another one. */
export const ENGINE_ROOT = process.env.TWINSTEP_ENGINE_ROOT ?? engineRootPath();
export const isRoot = process.getuid?.() === 0;
export const hasEngine = existsSync(join(ENGINE_ROOT, 'usr/bin/qemu-system-x86_64')) && isRoot;

export const GUEST_MAC = '52:54:00:77:00:1a';
export const GUEST_IPV4 = '10.77.0.10';
export const GUEST_IPV6 = 'fd77::10';
const CLIENT_MAC = '02:67:61:00:00:01';

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

class IpcPort extends EventEmitter implements Port {
  readonly #child: ChildProcess;
  readonly #name: 'gate' | 'memory';
  constructor(child: ChildProcess, name: 'gate' | 'memory') {
    super();
    this.#child = child;
    this.#name = name;
    child.on('message', (m: GateHostMessage) => {
      if (m.to === name) this.emit('message', m.message);
    });
  }
  postMessage(message: unknown): void {
    this.#child.send({ to: this.#name, message } satisfies GateHostMessage);
  }
}

export class GateLab {
  readonly directory = mkdtempSync('/tmp/ga-');
  readonly client = `ga-${process.pid}-c`;
  readonly server = `ga-${process.pid}-s`;
  readonly socketPath = join(this.directory, 'engine.sock');
  readonly clientMac = CLIENT_MAC;
  readonly #children: ChildProcess[] = [];
  readonly #gate: ChildProcess;
  readonly gate: Caller<GateCommands, GateEvents>;
  readonly memory: Caller<CutCommands, Record<string, never>>;

  /** @param learn The gate is not told the guest's MAC. */
  constructor(options: { learn?: boolean } = {}) {
    for (const ns of [this.client, this.server]) ip('netns', 'add', ns);
    // A CoServer's business NIC has no address of its own, not even a link-local one; the client does not look for duplicates.
    this.#sysctl(this.server, 'net/ipv6/conf/default/disable_ipv6', '1');
    this.#sysctl(this.client, 'net/ipv6/conf/default/accept_dad', '0');
    ip('-n', this.client, 'link', 'add', 'lan0', 'address', CLIENT_MAC, 'type', 'veth', 'peer', 'name', 'lan0', 'netns', this.server);
    ip('-n', this.client, 'addr', 'add', '10.77.0.1/24', 'dev', 'lan0');
    ip('-n', this.client, 'addr', 'add', 'fd77::1/64', 'dev', 'lan0', 'nodad');
    for (const ns of [this.client, this.server]) ip('-n', ns, 'link', 'set', 'lan0', 'up');
    this.#gate = spawn('ip', ['netns', 'exec', this.server, process.execPath, '--no-warnings', join(import.meta.dirname, 'gate-host.ts')], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    this.#children.push(this.#gate);
    const setup = {
      channel: {
        stream: 'network',
        side: 'A',
        links: [{ localAddress: '127.0.0.1', remoteAddress: '127.0.0.2' }],
        pairKey: new Uint8Array(32),
      },
      nic: 'lan0',
      socketPath: this.socketPath,
      ...(options.learn ? {} : { guestMac: GUEST_MAC }),
    } as const;
    this.#send({ to: 'setup', setup: { ...setup, channel: { ...setup.channel, links: [...setup.channel.links] } } });
    this.gate = new Caller('gate', new IpcPort(this.#gate, 'gate'));
    this.memory = new Caller('gate', new IpcPort(this.#gate, 'memory'));
  }

  setInterval(value: number): void {
    this.#send({ to: 'interval', value });
  }

  /** The gate's CPU time so far, ms. */
  async cpuMs(): Promise<number> {
    const answer = new Promise<number>((resolve) => {
      const listener = (m: GateHostMessage): void => {
        if (m.to !== 'cpu') return;
        this.#gate.off('message', listener);
        resolve(m.userMs + m.systemMs);
      };
      this.#gate.on('message', listener);
    });
    this.#send({ to: 'cpu', userMs: 0, systemMs: 0 });
    return answer;
  }

  event<K extends keyof GateEvents>(name: K, wanted: (data: GateEvents[K]) => boolean = () => true): Promise<GateEvents[K]> {
    return new Promise((resolve) => {
      this.gate.on(name, (data) => {
        if (wanted(data)) resolve(data);
      });
    });
  }

  /** Waits until the gate's status fits; looks some times per second. */
  async until(what: string, wanted: (s: GateEvents['status']) => boolean, timeoutMs = 5000): Promise<GateEvents['status']> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const status = await this.gate.call('status', {});
      if (wanted(status)) return status;
      if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}; ${JSON.stringify(status)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** A program of this machine in the client's namespace; its output in lines. */
  run(
    program: string,
    ...args: string[]
  ): { child: ChildProcess; lines: string[]; line(n: number): Promise<string>; end: Promise<number | null> } {
    const child = spawn('ip', ['netns', 'exec', this.client, program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.push(child);
    const lines: string[] = [];
    const news = new EventEmitter();
    let rest = '';
    child.stdout?.on('data', (d: Buffer) => {
      const parts = (rest + d).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts);
      news.emit('line');
    });
    const end = new Promise<number | null>((resolve) =>
      child.on('close', (code) => {
        resolve(code);
        news.emit('line');
      }),
    );
    const line = async (n: number): Promise<string> => {
      for (;;) {
        const l = lines[n];
        if (l !== undefined) return l;
        if (child.exitCode !== null)
          throw new Error(`${program} ${args.join(' ')} ended with ${child.exitCode} after ${lines.length} lines`);
        await once(news, 'line');
      }
    };
    return { child, lines, line, end };
  }

  /** One answer of gate-client.ts. */
  async ask(...args: string[]): Promise<Record<string, unknown>> {
    const c = this.run(process.execPath, '--no-warnings', join(import.meta.dirname, 'gate-client.ts'), ...args);
    return JSON.parse(await c.line(0));
  }

  ethtool(namespace: string, ...args: string[]): string {
    return execFileSync('ip', ['netns', 'exec', namespace, 'chroot', ENGINE_ROOT, 'ethtool', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Frames that the client's NIC has received. */
  received(): number {
    const [link] = JSON.parse(ip('-n', this.client, '-s', '-j', 'link', 'show', 'dev', 'lan0'));
    return link.stats64.rx.packets;
  }

  /** What the client believes to be an address's MAC; empty: nothing. */
  neighbour(address: string): string {
    const [entry] = JSON.parse(ip('-n', this.client, '-j', 'neigh', 'show', address, 'dev', 'lan0'));
    return entry?.lladdr ?? '';
  }

  setNeighbour(address: string, mac: string): void {
    ip('-n', this.client, 'neigh', 'replace', address, 'lladdr', mac, 'nud', 'stale', 'dev', 'lan0');
  }

  /** The lab's guest; answers when it serves. */
  async boot(): Promise<void> {
    const image = await buildGuest({ root: ENGINE_ROOT });
    const disk = join(this.directory, 'disk');
    const serial = join(this.directory, 'serial');
    await createDataDisk({ root: ENGINE_ROOT, path: disk, sizeMiB: 32 });
    const guest = { kernel: join(this.directory, 'kernel'), initrd: join(this.directory, 'initrd') };
    execFileSync('cp', ['--', image.kernel, guest.kernel]);
    execFileSync('cp', ['--', image.initrd, guest.initrd]);
    const args = engineArguments({
      name: 'gate-test',
      machine: 'pc-i440fx-11.1',
      acceleration: 'tcg',
      memoryMiB: 192,
      cpus: 1,
      boot: { ...guest, append: image.append },
      serial: { kind: 'file', path: serial },
      network: { socketPath: this.socketPath, mac: GUEST_MAC },
      monitors: [],
      incoming: false,
      extra: ['-drive', `file=${disk},format=raw,if=virtio,cache=unsafe`],
    });
    const script =
      'mount --bind "$1" "$2/tmp" && mount --rbind /dev "$2/dev" && root=$2 && shift 2 && exec chroot "$root" qemu-system-x86_64 "$@"';
    const log = openSync(join(this.directory, 'engine.log'), 'w');
    const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', '/tmp', ENGINE_ROOT, ...args], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#children.push(child);
    const deadline = performance.now() + 120_000;
    for (;;) {
      const said = existsSync(serial) ? readFileSync(serial, 'utf8') : '';
      if (said.includes('GUEST READY')) return;
      const why = `${said.slice(-500)} ${readFileSync(join(this.directory, 'engine.log'), 'utf8').slice(-500)}`;
      if (said.includes('GUEST FAILED') || child.exitCode !== null) throw new Error(`the guest does not start: ${why}`);
      if (performance.now() > deadline) throw new Error(`the guest is not up within 120 s: ${why}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Ends everything: by process, never by name. */
  async close(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const closed = once(child, 'exit');
        child.kill('SIGKILL');
        await closed;
      }),
    );
    for (const ns of [this.client, this.server]) ip('netns', 'del', ns);
    rmSync(this.directory, { recursive: true });
  }

  #send(message: GateHostMessage): void {
    this.#gate.send(message);
  }

  #sysctl(namespace: string, key: string, value: string): void {
    execFileSync('ip', ['netns', 'exec', namespace, 'sh', '-c', `echo ${value} > /proc/sys/${key}`]);
  }
}
