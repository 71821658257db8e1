// Two replicas of a tiny guest under the real engine, two real memory workers, and in place of gate and mirror a log.
//
// The guest counts on its serial port, changes memory as it goes, and says BAD should its own memory be wrong.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import type { CutCommands } from '../../appliance/gate/api.ts';
import type { CheckpointReport, MemoryCommands, MemoryEvents, MemorySetup, SessionStart } from '../../appliance/memory/api.ts';
import type { CommitCommands } from '../../appliance/mirror/api.ts';
import { IntervalCounter } from '../../appliance/wire/interval.ts';
import { Caller, serve } from '../../appliance/wire/rpc.ts';
import * as qemu from '../../drivers/qemu/index.ts';
import { cpioArchive } from '../../hwqual/lab/guest/cpio.ts';
import { elfKernel } from '../../hwqual/lab/guest/kernel-image.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import type { MemoryWorkerData } from './memory-worker.ts';

/** The pinned engine's root; TWINSTEP_ENGINE_ROOT names another one. */
export const ENGINE_ROOT = process.env.TWINSTEP_ENGINE_ROOT ?? engineRootPath();
export const hasEngine = existsSync(join(ENGINE_ROOT, 'usr/bin/qemu-system-x86_64')) && process.getuid?.() === 0;

/** The engine in its root, in a mount namespace of its own: the root stays as it is, /tmp is ours on both sides. */
export const ENGINE_COMMAND = [
  'unshare',
  '--mount',
  '--propagation',
  'private',
  'sh',
  '-c',
  `mount --bind /tmp '${ENGINE_ROOT}/tmp' && mount --rbind /dev '${ENGINE_ROOT}/dev' && exec chroot '${ENGINE_ROOT}' qemu-system-x86_64 "$@"`,
  'sh',
];

/** On the kernel's command line: end=N how=poweroff|reboot: what the guest does at count N; bulk: it changes memory as fast as it can. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t tmpfs none /m
dd if=/dev/urandom of=/m/static bs=4k count=32 2>/dev/null
dd if=/dev/zero of=/m/busy bs=4k count=256 2>/dev/null
end=$(sed -n 's/.*end=\\([0-9]*\\).*/\\1/p' /proc/cmdline); how=$(sed -n 's/.*how=\\([a-z]*\\).*/\\1/p' /proc/cmdline)
sum=$(md5sum < /m/static)
if grep -q bulk /proc/cmdline; then
  while :; do dd if=/m/static of=/m/bulk bs=128k count=1 seek=$((j%64)) conv=notrunc 2>/dev/null; j=$((j+1)); done &
  while :; do (sort /m/static >/dev/null; head -c 500000 /dev/urandom | md5sum >/dev/null) 2>/dev/null; done &
fi
i=0
while :; do
  i=$((i+1)); echo "count $i"
  dd if=/dev/urandom of=/m/busy bs=4k count=32 seek=$((i%8*32)) conv=notrunc 2>/dev/null
  [ "$sum" = "$(md5sum < /m/static)" ] || echo BAD
  [ $i = 1 ] && echo READY
  [ "$i" = "$end" ] && $how -f
  usleep 30000
done
`;

/** Checkpoints are made on demand. */
const CHECKPOINT_DELAY_MS = 60_000;
/** A live synchronisation that ends also under bulk dirtying: its last, stopped part may take this long. */
const LIVE_PARAMETERS = { 'downtime-limit': 300, 'avail-switchover-bandwidth': 100_000_000 };

export interface LabOptions {
  memoryMiB?: number;
  append?: string;
  cpus?: number;
  earlyAcknowledge?: boolean;
  /** Compares this much of the memory at each stop (ms); without it nothing is audited. */
  auditMs?: number;
}

/** What gate and mirror were asked, in order, on both sides; and the interval counter of that side at that moment. */
export interface LogEntry {
  side: 'A' | 'B';
  what: 'cut' | 'commitOutput' | 'decide' | 'decided' | 'apply' | 'applied';
  interval: number;
  counter: number;
}

export class Side {
  readonly name: 'A' | 'B';
  readonly #lab: MemoryLab;
  readonly interval = new IntervalCounter();
  readonly reports: CheckpointReport[] = [];
  readonly events: { name: string; data: unknown }[] = [];
  readonly qmpEvents: { name: string; data: unknown; atMs: number }[] = [];
  #worker: Worker;
  readonly memory: Caller<MemoryCommands, MemoryEvents>;
  #engine: qemu.EngineProcess | undefined;
  #control: qemu.QmpClient | undefined;
  #trigger: qemu.QmpClient | undefined;
  #generation = 0;
  #waiting: (() => void)[] = [];

  constructor(name: 'A' | 'B', lab: MemoryLab) {
    this.name = name;
    this.#lab = lab;
    const main = new MessageChannel();
    const cut = new MessageChannel();
    const commit = new MessageChannel();
    const log = (what: LogEntry['what'], interval: number) => {
      lab.log.push({ side: name, what, interval, counter: this.interval.current });
    };
    serve<CutCommands, Record<string, never>>(cut.port1, {
      replied: async () => {},
      ready: async () => {},
      async cut(a) {
        log('cut', a.interval);
        await new Promise((resolve) => setImmediate(resolve));
        return { heldFrames: 0 };
      },
      commit: (a) => log('commitOutput', a.interval),
    });
    serve<CommitCommands, Record<string, never>>(commit.port1, {
      async decide(a) {
        log('decide', a.interval);
        await lab.decideDelay();
        log('decided', a.interval);
      },
      async apply(a) {
        log('apply', a.interval);
        await new Promise((resolve) => setImmediate(resolve));
        log('applied', a.interval);
      },
    });
    const setup: MemorySetup = {
      channel: { stream: 'memory', side: name, links: lab.links(name), pairKey: lab.pairKey },
      interval: this.interval.buffer as SharedArrayBuffer,
      sourceSocketPath: join(lab.directory, `${name}.source`),
      incomingSocketPath: join(lab.directory, `${name}.incoming`),
      ...(lab.options.earlyAcknowledge === undefined ? {} : { earlyAcknowledge: lab.options.earlyAcknowledge }),
    };
    this.setup = setup;
    const workerData: MemoryWorkerData = { setup, port: main.port2, cutPort: cut.port2, commitPort: commit.port2 };
    this.#worker = new Worker(new URL('./memory-worker.ts', import.meta.url), {
      workerData,
      transferList: [main.port2, cut.port2, commit.port2],
    });
    this.#worker.on('error', (error) => lab.failures.push(`${name}: ${error.stack ?? error.message}`));
    this.memory = new Caller(`memory ${name}`, main.port1);
    for (const event of ['phase', 'readyHeld', 'started', 'committed', 'lost', 'checkpoint', 'pageDiffers'] as const) {
      this.memory.on(event, (data) => {
        if (event === 'checkpoint') this.reports.push(data as CheckpointReport);
        else this.events.push({ name: event, data });
        for (const wake of this.#waiting.splice(0)) wake();
      });
    }
  }

  readonly setup: MemorySetup;

  get engine(): qemu.EngineProcess {
    if (!this.#engine) throw new Error(`${this.name}: no engine`);
    return this.#engine;
  }
  get control(): qemu.QmpClient {
    if (!this.#control) throw new Error(`${this.name}: no engine`);
    return this.#control;
  }
  get trigger(): qemu.QmpClient {
    if (!this.#trigger) throw new Error(`${this.name}: no engine`);
    return this.#trigger;
  }
  get serial(): string {
    try {
      return readFileSync(this.#path('serial'), 'utf8');
    } catch {
      return '';
    }
  }
  /** The last number the guest printed here. */
  get count(): number {
    return Number([...this.serial.matchAll(/count (\d+)/g)].at(-1)?.[1] ?? 0);
  }

  #path(what: string): string {
    return join(this.#lab.directory, `${this.name}${this.#generation}.${what}`);
  }

  async startEngine(incoming: boolean): Promise<void> {
    this.#generation++;
    const monitors = ['control', 'trigger'].map((m) => this.#path(m)) as [string, string];
    const args = qemu.engineArguments({
      name: this.name,
      machine: qemu.DEFAULT_MACHINE,
      acceleration: 'tcg',
      memoryMiB: this.#lab.options.memoryMiB ?? 96,
      cpus: this.#lab.options.cpus ?? 1,
      boot: {
        kernel: this.#lab.kernel,
        initrd: this.#lab.initrd,
        append: `console=ttyS0 quiet panic=-1 ${this.#lab.options.append ?? ''}`,
      },
      serial: { kind: 'file', path: this.#path('serial') },
      network: { socketPath: this.#path('network'), mac: '52:54:00:77:00:1a' },
      monitors,
      incoming,
    });
    const engine = await qemu.EngineProcess.start({
      command: ENGINE_COMMAND,
      args,
      pidFile: this.#path('pid'),
      logPath: this.#path('log'),
    });
    this.#engine = engine;
    const died = engine.exited.then((exit) => {
      throw new Error(`${this.name}: the engine ended: ${qemu.describeExit(exit)}`);
    });
    died.catch(() => {});
    const connect = (path: string, name: string) => qemu.QmpClient.connect({ path, name: `${this.name} ${name}`, timeoutMs: 15_000 });
    this.#control = await Promise.race([connect(monitors[0], 'control'), died]);
    this.#trigger = await Promise.race([connect(monitors[1], 'trigger'), died]);
    this.#control.on('event', (e) => {
      this.qmpEvents.push({ name: e.name, data: e.data, atMs: performance.now() });
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  /** Until `test` says true; looked at when something happens here, and every 20 ms for what comes by a file. */
  async until(what: string, test: () => boolean, timeoutMs = 30_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!test()) {
      if (performance.now() > deadline) {
        const state = { events: this.events.slice(-6), qmp: this.qmpEvents.slice(-6), exit: this.#engine?.exit };
        throw new Error(`${this.name}: not within ${timeoutMs} ms: ${what}; ${JSON.stringify(state)}; ${this.#lab.failures.join('; ')}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 20);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  has(name: string): boolean {
    return this.events.some((e) => e.name === name);
  }

  /** Power failure: the engine and the worker at once. */
  async powerOff(): Promise<void> {
    const stopped = this.#worker.terminate();
    process.kill(this.engine.pid, 'SIGKILL');
    await Promise.all([stopped, this.engine.exited]);
  }

  async end(): Promise<void> {
    this.#control?.close();
    this.#trigger?.close();
    await this.#engine?.kill();
    await this.#worker.terminate();
  }
}

export class MemoryLab {
  readonly options: LabOptions;
  readonly directory: string;
  readonly pairKey = randomBytes(32);
  readonly log: LogEntry[] = [];
  readonly failures: string[] = [];
  readonly kernel: string;
  readonly initrd: string;
  /** As long as the mirror's flush. */
  decideDelay: () => Promise<void> = () => new Promise((resolve) => setImmediate(resolve));
  readonly #subnet = 1 + ((randomBytes(1)[0] ?? 0) % 250);
  a: Side;
  b: Side;

  constructor(options: LabOptions = {}) {
    this.options = options;
    this.directory = mkdtempSync('/tmp/twinstep-memory-');
    ({ kernel: this.kernel, initrd: this.initrd } = buildGuest(this.directory));
    this.a = new Side('A', this);
    this.b = new Side('B', this);
  }

  links(side: 'A' | 'B'): { localAddress: string; remoteAddress: string }[] {
    return [1, 2].map((link) => {
      const [a, b] = [`127.${this.#subnet}.${link}.1`, `127.${this.#subnet}.${link}.2`];
      return side === 'A' ? { localAddress: a, remoteAddress: b } : { localAddress: b, remoteAddress: a };
    });
  }

  /** A server that was replaced or switched on again: nothing running, a new process. */
  replace(name: 'A' | 'B'): Side {
    const side = new Side(name, this);
    if (name === 'A') this.a = side;
    else this.b = side;
    return side;
  }

  async boot(side: Side = this.a): Promise<void> {
    await side.startEngine(false);
    await side.until('the guest is up', () => side.serial.includes('READY'), 60_000);
  }

  /** The sequence of appliance/memory/README.md. Answers how long the guest stood still. */
  async protect(primary: Side, secondary: Side, { live = false } = {}): Promise<{ pauseMs: number; totalMs: number }> {
    const start = performance.now();
    await secondary.startEngine(true);
    await secondary.memory.call('startTarget', await this.#audited(secondary));
    await primary.memory.call('startSource', await this.#audited(primary));
    await qemu.setColoCapabilities(secondary.control);
    await qemu.setShutdownAction(secondary.control, 'pause');
    await qemu.migrateIncoming(secondary.control, secondary.setup.incomingSocketPath);
    await qemu.setColoCapabilities(primary.control);
    await qemu.setMigrationParameters(primary.control, CHECKPOINT_DELAY_MS);
    if (live) await primary.control.execute('migrate-set-parameters', LIVE_PARAMETERS);
    primary.events.length = 0;
    secondary.events.length = 0;
    const stopped = performance.now();
    if (!live) await qemu.stopGuest(primary.control);
    await qemu.migrate(primary.control, primary.setup.sourceSocketPath);
    await primary.until('READY is held', () => primary.has('readyHeld') || primary.has('lost'), 60_000);
    if (primary.has('lost')) throw new Error(`not protected: ${JSON.stringify([primary.events, secondary.events])}`);
    const resumed = primary.control.waitEvent('RESUME', { timeoutMs: 10_000 });
    resumed.catch(() => {});
    await primary.memory.call('releaseReady', {});
    await resumed;
    const end = performance.now();
    await secondary.until('the secondary knows', () => secondary.has('started'));
    return { pauseMs: end - stopped, totalMs: end - start };
  }

  async #audited(side: Side): Promise<SessionStart> {
    const sampleMs = this.options.auditMs;
    const guestMemory = sampleMs === undefined ? undefined : await qemu.findGuestMemory(side.engine.pid);
    return guestMemory && sampleMs !== undefined ? { guestMemory, sampleMs } : {};
  }

  /** One checkpoint on demand, until the secondary has loaded it. */
  async checkpoint(primary: Side): Promise<CheckpointReport> {
    const before = primary.reports.length;
    // The engine forgets a trigger that comes before it has resumed the guest.
    const resumes = () => primary.qmpEvents.filter((e) => e.name === 'RESUME').length;
    const resumed = resumes();
    await qemu.triggerCheckpoint(primary.trigger, 60_000);
    const done = () => primary.reports.length > before && resumes() > resumed;
    await primary.until('a checkpoint', () => done() || primary.has('lost'), 20_000);
    const report = primary.reports[before];
    if (!report) throw new Error(`no checkpoint: ${JSON.stringify(primary.events)}`);
    return report;
  }

  /** The takeover of README.md, after the arbiter's grant. */
  async takeOver(side: Side): Promise<{ committed: number; loaded: number; waitedMs: number; totalMs: number }> {
    const start = performance.now();
    const rolled = await side.memory.call('rollForward', {});
    const exit = qemu.waitColoExit(side.control, 5_000);
    await side.memory.call('detach', {});
    await exit;
    await qemu.failOver(side.control, 5_000);
    const totalMs = performance.now() - start;
    await qemu.setShutdownAction(side.control, 'poweroff');
    await side.memory.call('stop', {});
    return { ...rolled, totalMs };
  }

  /** The secondary is lost: the primary goes on alone. */
  async goOnAlone(side: Side): Promise<number> {
    const start = performance.now();
    const exit = qemu.waitColoExit(side.control, 5_000);
    await qemu.yankMigration(side.trigger);
    // A primary between two checkpoints notices the yank only by this.
    await qemu.failOver(side.control, 5_000);
    const totalMs = performance.now() - start;
    await exit;
    await side.memory.call('stop', {});
    return totalMs;
  }

  async end(): Promise<void> {
    await Promise.all([this.a.end(), this.b.end()]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function buildGuest(directory: string): { kernel: string; initrd: string } {
  const name = readdirSync(join(ENGINE_ROOT, 'boot')).find((n) => n.startsWith('vmlinuz-'));
  if (name === undefined) throw new Error(`no kernel in ${ENGINE_ROOT}/boot`);
  const image = readFileSync(join(ENGINE_ROOT, 'boot', name));
  const kernel = join(directory, 'kernel');
  writeFileSync(kernel, elfKernel(image) ?? image);
  const initrd = join(directory, 'initrd');
  const directories = ['bin', 'dev', 'proc', 'm'].map((path) => ({ kind: 'directory', path, mode: 0o755 }) as const);
  const archive = cpioArchive([
    ...directories,
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, data: readFileSync(join(ENGINE_ROOT, 'usr/bin/busybox')) },
    { kind: 'file', path: 'init', mode: 0o755, data: Buffer.from(INIT) },
  ]);
  mkdirSync(directory, { recursive: true });
  writeFileSync(initrd, gzipSync(archive, { level: 1 }));
  return { kernel, initrd };
}
