// The processes that are measured: each in the network of its CoServer, all at the priority that the product gives itself.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommitCommands, MirrorCommands, MirrorEvents } from '../../../appliance/mirror/api.ts';
import { PROCESS_PRIORITY } from '../../../appliance/runtime/priority.ts';
import { Caller, type Port } from '../../../appliance/wire/rpc.ts';
import { inNamespace } from '../../../hwqual/lab/network.ts';
import { type BenchNetwork, type BenchSide, linkAddress } from './network.ts';
import type { SideMessage, SideSetup } from './side.ts';

const START_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 20;
/** What the product sets for its own process, too: the disks' requests run in parallel. */
const THREADS = '24';

export interface Place {
  network: BenchNetwork;
  /** With both disks, journals and sockets in it. */
  folder: string;
  engineRoot: string;
}

export class Server {
  readonly child: ChildProcess;
  readonly #name: string;
  #said = '';

  constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.child = child;
    child.stderr?.setEncoding('utf8').on('data', (s: string) => {
      this.#said = `${this.#said}${s}`.slice(-2000);
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Its socket is there, or it said why not. */
  async listening(socketPath: string): Promise<void> {
    const until = performance.now() + START_WITHIN_MS;
    while (!existsSync(socketPath)) {
      if (this.child.exitCode !== null) throw new Error(`${this.#name} ended: ${this.#said.trim()}`);
      if (performance.now() > until) throw new Error(`${this.#name} does not listen on ${socketPath}: ${this.#said.trim()}`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), 2_000);
    await gone;
    clearTimeout(late);
  }
}

/** On this machine as it is installed. */
export function startHost(place: Place, side: BenchSide, command: string, args: readonly string[]): Server {
  const [program, rest] = inNamespace(place.network.namespace(side), 'nice', ['-n', `${PROCESS_PRIORITY}`, command, ...args]);
  return new Server(command, spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] }));
}

/** A program of the engine's release, with the bench's folder at /mnt. */
export function startEngineTool(place: Place, side: BenchSide, command: string, args: readonly string[]): Server {
  const script = 'mount --bind "$1" "$2/mnt" && root=$2 && shift 2 && exec chroot "$root" "$@"';
  return startHost(place, side, 'unshare', [
    ...['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'],
    ...[place.folder, place.engineRoot, command, ...args],
  ]);
}

/** One CoServer's mirror in a process of its own. */
export class MirrorSide {
  readonly server: Server;
  readonly mirror: Caller<MirrorCommands, MirrorEvents>;
  readonly commit: Caller<CommitCommands, Record<string, never>>;
  readonly socketPath: string;
  readonly diskPath: string;
  readonly metadataPath: string;

  constructor(
    place: Place,
    side: BenchSide,
    options: { links: readonly number[]; encrypted: boolean; sizeBytes: number; pairKey: Uint8Array },
  ) {
    const other = side === 'A' ? 'B' : 'A';
    const file = join(import.meta.dirname, 'side.ts');
    const [program, args] = inNamespace(place.network.namespace(side), process.execPath, [
      ...profiling(side),
      ...(process.env.BENCH_NODE ?? '').split(' ').filter((x) => x !== ''),
      '--no-warnings',
      file,
    ]);
    const child = spawn(program, args, {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      serialization: 'advanced',
      env: { ...process.env, UV_THREADPOOL_SIZE: THREADS },
    });
    this.server = new Server(`the mirror of ${side}`, child);
    this.socketPath = join(place.folder, `nbd-${side}`);
    this.diskPath = join(place.folder, `disk-${side}`);
    const journalPath = join(place.folder, `journal-${side}`);
    this.metadataPath = `${journalPath}.regions`;
    const setup: SideSetup = {
      channel: {
        stream: 'disk',
        side,
        links: options.links.map((link) => ({ localAddress: linkAddress(side, link), remoteAddress: linkAddress(other, link) })),
        pairKey: options.pairKey,
      },
      diskPath: this.diskPath,
      sizeBytes: options.sizeBytes,
      journalPath,
      socketPath: this.socketPath,
      encrypted: options.encrypted,
    };
    this.mirror = new Caller(`mirror ${side}`, portOf(child, 'mirror'));
    this.commit = new Caller(`commit ${side}`, portOf(child, 'commit'));
    send(child, { to: 'setup', setup });
  }

  setInterval(value: number): void {
    send(this.server.child, { to: 'interval', value });
  }
}

/** For whoever looks for what takes the time: BENCH_PROFILE=<folder>. */
function profiling(side: BenchSide): string[] {
  const folder = process.env.BENCH_PROFILE;
  return folder ? ['--cpu-prof', `--cpu-prof-dir=${join(folder, side)}`] : [];
}

function send(child: ChildProcess, m: SideMessage): void {
  if (child.connected) child.send(m, () => undefined);
}

function portOf(child: ChildProcess, to: 'mirror' | 'commit'): Port {
  return {
    postMessage: (message) => send(child, { to, message }),
    on: (_event, listener) =>
      child.on('message', (m: SideMessage) => {
        if (m.to === to) listener(m.message);
      }),
  };
}
