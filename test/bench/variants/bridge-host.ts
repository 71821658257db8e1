// The lab's wiring without the product: the same rack, links and LAN, and on each server a bridge with a tap for an engine. What the
// variants without Twinstep stand on, so that a frame of theirs takes the same way up to the server's NIC.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { DEFAULT_MACHINE, engineArguments, QmpClient } from '../../../drivers/qemu/index.ts';
import { run } from '../../../hwqual/lab/command.ts';
import { LabError } from '../../../hwqual/lab/lab-error.ts';
import { LabNetwork } from '../../../hwqual/lab/network.ts';
import { claimLab } from '../../../hwqual/lab/record.ts';
import { CO_SERVERS, type LabSettings } from '../../../hwqual/lab/settings.ts';
import { sweep } from '../../../hwqual/lab/sweep.ts';
import type { BenchGuest } from '../guest/build.ts';

const GUEST_MAC = '52:54:00:77:00:0a';
/** As the lab's pairs have it. */
const MEMORY_MIB = 256;
const MONITOR_TIMEOUT_MS = 20_000;
const BOOT_TIMEOUT_MS = 120_000;
const LOOK_EVERY_MS = 100;
/** The folder of a server, as its engine sees it. */
export const INSIDE = '/mnt';

export interface BridgeHostParts {
  settings: LabSettings;
  engineRoot: string;
  guest: BenchGuest;
  acceleration: 'kvm' | 'tcg';
}

export interface BridgeEngine {
  process: ChildProcess;
  monitor: QmpClient;
}

export class BridgeHost {
  readonly #parts: BridgeHostParts;
  readonly #network: LabNetwork;
  readonly #engines: BridgeEngine[] = [];

  private constructor(parts: BridgeHostParts) {
    this.#parts = parts;
    this.#network = new LabNetwork(parts.settings, parts.engineRoot);
  }

  static async up(parts: BridgeHostParts, servers: readonly CoServerName[]): Promise<BridgeHost> {
    await sweep(parts.settings);
    claimLab(parts.settings);
    const host = new BridgeHost(parts);
    try {
      await host.#network.up();
      // All are there before the first gets power: a link has carrier only with power at both ends.
      for (const name of servers) await host.#network.install(name);
      for (const name of servers) await host.#network.plugIn(name);
      for (const name of servers) await host.#makeTap(name);
    } catch (error) {
      await host.down();
      throw error;
    }
    return host;
  }

  folder(name: CoServerName): string {
    return join(this.#parts.settings.directory, name, 'disks');
  }

  async #makeTap(name: CoServerName): Promise<void> {
    rmSync(this.folder(name), { recursive: true, force: true });
    mkdirSync(this.folder(name), { recursive: true, mode: 0o700 });
    await copyFile(this.#parts.guest.disk, join(this.folder(name), 'disk0'));
    await copyFile(this.#parts.guest.image.kernel, join(this.folder(name), 'kernel'));
    await copyFile(this.#parts.guest.image.initrd, join(this.folder(name), 'initrd.gz'));
    const lines = [
      'link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
      'tuntap add tap0 mode tap',
      'link set lan0 master br0',
      'link set tap0 up',
      'link set br0 up',
    ];
    await this.#ip(name, lines);
  }

  async #ip(name: CoServerName, lines: readonly string[]): Promise<void> {
    await run('ip', ['-n', this.#parts.settings.namespaces[name], '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  /** Whether frames pass between a server's tap and the LAN. */
  async joinLan(name: CoServerName): Promise<void> {
    await this.#ip(name, ['link set tap0 master br0']);
  }

  /** An engine built like the product's (machine, CPU, memory, NIC), with a tap; its disk is the caller's business. */
  async startEngine(name: CoServerName, extra: readonly string[]): Promise<BridgeEngine> {
    const { settings, engineRoot, acceleration, guest } = this.#parts;
    const folder = this.folder(name);
    const args = engineArguments({
      name: 'bench',
      machine: DEFAULT_MACHINE,
      acceleration,
      memoryMiB: MEMORY_MIB,
      cpus: 1,
      boot: { kernel: `${INSIDE}/kernel`, initrd: `${INSIDE}/initrd.gz`, append: guest.image.append },
      serial: { kind: 'file', path: `${INSIDE}/serial.log` },
      monitors: [`${INSIDE}/monitor.sock`],
      incoming: false,
      extra: [
        ...['-netdev', 'tap,id=hn0,ifname=tap0,script=no,downscript=no,vhost=off,vnet_hdr=off'],
        ...['-device', `virtio-net-pci,id=nic0,netdev=hn0,mac=${GUEST_MAC},romfile=`],
        ...extra,
      ],
    });
    const script = `mount --bind "$1" "$2${INSIDE}" && mount --rbind /dev "$2/dev" && mount --rbind /proc "$2/proc" && root=$2 && shift 2 && exec chroot "$root" qemu-system-x86_64 "$@"`;
    const log = openSync(join(folder, 'engine.log'), 'w');
    const command = ['--pdeathsig', 'KILL', '--', 'nsenter', `--net=/run/netns/${settings.namespaces[name]}`, '--'];
    const inside = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', folder, engineRoot, ...args];
    const child = spawn('setpriv', [...command, ...inside], { stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    const died = new Promise<never>((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) =>
        reject(new LabError(`the engine on ${name} ended (${signal ?? `code ${code}`}): ${this.#lastWords(name, 'engine.log')}`)),
      );
    });
    died.catch(() => undefined);
    const socket = join(folder, 'monitor.sock');
    const connecting = QmpClient.connect({ path: socket, name: `engine ${name}`, timeoutMs: MONITOR_TIMEOUT_MS });
    connecting.catch(() => undefined);
    try {
      const monitor = await Promise.race([connecting, died]);
      const engine = { process: child, monitor };
      this.#engines.push(engine);
      return engine;
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  async waitReady(name: CoServerName, signal: AbortSignal): Promise<void> {
    const end = performance.now() + BOOT_TIMEOUT_MS;
    for (;;) {
      signal.throwIfAborted();
      const said = this.#read(name, 'serial.log');
      if (said.includes('GUEST READY')) return;
      const failure = /GUEST FAILED.*|Kernel panic.*/.exec(said)?.[0];
      if (failure !== undefined || performance.now() > end)
        throw new LabError(`the guest on ${name} did not start: ${failure ?? this.#lastWords(name, 'serial.log')}`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  #read(name: CoServerName, file: string): string {
    try {
      return readFileSync(join(this.folder(name), file), 'latin1');
    } catch {
      return '';
    }
  }

  #lastWords(name: CoServerName, file: string): string {
    return this.#read(name, file).trimEnd().split('\n').slice(-4).join(' | ') || '(nothing)';
  }

  async down(): Promise<void> {
    for (const engine of this.#engines.splice(0)) {
      engine.monitor.close();
      const ended = new Promise((resolve) => engine.process.once('exit', resolve));
      if (engine.process.exitCode === null && engine.process.signalCode === null) {
        engine.process.kill('SIGKILL');
        await ended;
      }
    }
    this.#network.close();
    await sweep(this.#parts.settings);
    for (const name of CO_SERVERS) rmSync(this.folder(name), { recursive: true, force: true });
  }
}
