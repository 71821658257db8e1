// One engine at a time on this CoServer: started, adopted, watched, spoken to over three monitors (control, checkpoint
// trigger, emergency), killed. What the engine's end means is the core's business; what is expected is known here.
import { mkdirSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ANSWER_WITHIN_MS,
  checkVersion,
  DEFAULT_MACHINE,
  describeExit,
  EngineProcess,
  engineArguments,
  findGuestMemory,
  formatVersion,
  type GuestMemory,
  QmpClient,
  quitEngine,
  setShutdownAction,
  tellPanicOnly,
} from '../../../drivers/qemu/index.ts';
import type { CoServerConfig } from '../../config.ts';
import { PROCESS_PRIORITY } from '../priority.ts';
import { slownessOf } from '../slowness.ts';
import { type EngineExitNews, exitNews, panicLine } from './exit-news.ts';

interface EngineLife {
  isReplica: boolean;
  /** Where in the guest's console file its own words begin. */
  serialFrom: number;
}

export interface EngineEvents {
  exited: (news: EngineExitNews) => void;
  /** The guest of a secondary's engine wants to reset itself, and its console tells of a panic. */
  replicaPanicked: (line: string) => void;
  doesNotEnd: (text: string) => void;
}

/** The engine's three monitors: what must not wait behind another command has its own. */
interface Monitors {
  control: QmpClient;
  trigger: QmpClient;
  emergency: QmpClient;
}

const MONITOR_WITHIN_MS = 20_000;
/** After the guest switched off, the engine needs this long at most to end. */
const END_WITHIN_MS = 10_000;
const KILLED_WITHIN_MS = 10_000;
const SERIAL_POLL_MS = 200;
const SWITCHED_OFF = 'the guest switched itself off';

export class Engine {
  readonly #config: CoServerConfig;
  readonly #sockets: { gate: string; mirror: string };
  readonly #on: EngineEvents;
  #process: EngineProcess | null = null;
  #monitors: Monitors | null = null;
  /** The engine has ended, and the core was told. */
  #ended: Promise<void> = Promise.resolve();
  #expected = false;
  #guestShutdown = false;
  #serialFrom = 0;
  /** It was started for the partner's stream, and has not taken over. */
  #isReplica = false;
  /** Why the guest is at its end, though its engine lives on. */
  #panic: string | null = null;
  version = '';

  constructor(config: CoServerConfig, sockets: { gate: string; mirror: string }, on: EngineEvents) {
    this.#config = config;
    this.#sockets = sockets;
    this.#on = on;
  }

  get isRunning(): boolean {
    return this.#process !== null && this.#process.exit === undefined;
  }

  /** The guest panicked, the core was told, and the engine is kept as it is until `kill`. */
  get hasPanickedGuest(): boolean {
    return this.#panic !== null && this.#monitors !== null;
  }

  /** A secondary's engine that takes over: from here on the end of its guest is the end of the guest. Its disk is whole by now. */
  async promote(): Promise<{ hadShutDown: boolean }> {
    this.#isReplica = false;
    await this.#noteLife();
    return { hadShutDown: this.#guestShutdown };
  }

  /** Its guest had shut itself down before it was promoted: it runs on into nothing, and says so no second time. */
  async endShutDown(): Promise<void> {
    await this.#over(this.control, { cause: 'guestShutdown', reason: SWITCHED_OFF });
  }

  get control(): QmpClient {
    return this.#need().control;
  }

  /** The monitor on which checkpoints are asked for; null while no engine runs. */
  get trigger(): QmpClient | null {
    return this.#monitors?.trigger ?? null;
  }

  get emergency(): QmpClient {
    return this.#need().emergency;
  }

  get serialPath(): string {
    return join(this.#config.engine.logDir, 'guest-console.log');
  }

  /** Where the guest's RAM can be read; undefined for an engine whose RAM is no file. Throws when no engine runs. */
  async guestMemory(): Promise<GuestMemory | undefined> {
    if (!this.#process) throw new Error('no engine runs on this CoServer');
    return findGuestMemory(this.#process.pid);
  }

  #need(): Monitors {
    if (!this.#monitors) throw new Error('no engine runs on this CoServer');
    return this.#monitors;
  }

  get #pidFile(): string {
    return join(this.#config.runDir, 'engine.pid');
  }

  /** What the next life of this process has to know of the engine, beside its pid. In the same folder: gone with it at a power loss. */
  get #lifeFile(): string {
    return join(this.#config.runDir, 'engine-life.json');
  }

  async #noteLife(): Promise<void> {
    const life: EngineLife = { isReplica: this.#isReplica, serialFrom: this.#serialFrom };
    const part = `${this.#lifeFile}.part`;
    await writeFile(part, JSON.stringify(life));
    await rename(part, this.#lifeFile);
  }

  /** An engine of an earlier release left no word; it was not asked to be a replica's then. */
  async #readLife(): Promise<EngineLife> {
    try {
      const { isReplica, serialFrom } = JSON.parse(await readFile(this.#lifeFile, 'utf8')) as Partial<EngineLife>;
      return { isReplica: isReplica === true, serialFrom: typeof serialFrom === 'number' ? serialFrom : 0 };
    } catch {
      return { isReplica: false, serialFrom: 0 };
    }
  }

  #monitorPath(name: string): string {
    return join(this.#config.runDir, `engine-${name}.sock`);
  }

  /** Starts the engine; with `incoming` it waits for a checkpoint stream. An engine that runs already is ended first. */
  async start(incoming: boolean): Promise<void> {
    await this.kill();
    const { engine, workload, runDir } = this.#config;
    mkdirSync(engine.logDir, { recursive: true });
    mkdirSync(runDir, { recursive: true });
    for (const m of ['control', 'trigger', 'emergency']) await rm(this.#monitorPath(m), { force: true });
    this.#serialFrom = (await this.serialText()).length;
    this.#expected = false;
    this.#guestShutdown = false;
    this.#isReplica = incoming;
    await this.#noteLife();
    const started = await EngineProcess.start({
      // The engine must not inherit our priority: its CPUs would starve the heartbeat.
      command: ['nice', '-n', String(-PROCESS_PRIORITY), engine.binary],
      args: engineArguments({
        name: workload.name,
        machine: DEFAULT_MACHINE,
        acceleration: engine.acceleration,
        memoryMiB: workload.memoryMiB,
        cpus: workload.cpus,
        // A secondary's engine loads what it boots from into the guest's memory again at every checkpoint, over the guest's own, and
        // what it translated of it is lost: everything it needs comes with the stream (decision 0006).
        ...(incoming ? {} : { boot: { kernel: workload.kernel, initrd: workload.initrd, append: workload.append } }),
        serial: { kind: 'file', path: this.serialPath },
        network: { socketPath: this.#sockets.gate, mac: workload.mac },
        disk: { socketPath: this.#sockets.mirror, exportName: 'disk0' },
        monitors: ['control', 'trigger', 'emergency'].map((m) => this.#monitorPath(m)),
        incoming,
        panicDevice: true,
      }),
      pidFile: this.#pidFile,
      logPath: join(engine.logDir, 'engine.log'),
    });
    this.#watch(started);
    try {
      await this.#connect(started);
      if (engine.version !== 'image') checkVersion(this.control.version, engine.version);
    } catch (e) {
      await this.kill();
      throw e;
    }
    this.version = formatVersion(this.control.version);
  }

  /** Takes up the engine that an earlier life of this process left running. False when there is none. */
  async adopt(): Promise<boolean> {
    const found = await EngineProcess.adopt(this.#pidFile);
    if (!found) return false;
    this.#expected = false;
    this.#isReplica = false;
    this.#serialFrom = (await this.#readLife()).serialFrom;
    this.#watch(found);
    await this.#connect(found);
    this.version = formatVersion(this.control.version);
    return true;
  }

  /**
   * Is there an engine of an earlier life with the guest of this CoServer? Nothing is connected yet. Not a replica's: what it wrote since
   * the last commit was in this process alone.
   */
  async isAdoptable(): Promise<boolean> {
    return (await EngineProcess.adopt(this.#pidFile)) !== undefined && !(await this.#readLife()).isReplica;
  }

  async kill(): Promise<void> {
    this.#expected = true;
    this.#panic = null;
    this.#closeMonitors();
    const engine = this.#process ?? (await EngineProcess.adopt(this.#pidFile)) ?? null;
    this.#process = null;
    if (!engine) return;
    const late = setTimeout(() => {
      this.#on.doesNotEnd(
        `The engine (process ${engine.pid}) was killed and does not end: the kernel holds it, in its disk or memory. If this stays, switch this CoServer off and on.`,
      );
    }, KILLED_WITHIN_MS);
    await engine.kill().finally(() => clearTimeout(late));
  }

  async serialText(): Promise<string> {
    return readFile(this.serialPath, 'latin1').catch(() => '');
  }

  /** Waits for the marker on the guest's serial port. Throws with its last lines when it does not come. */
  async waitReady(marker: string, timeoutS: number, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + timeoutS * 1000;
    for (;;) {
      signal.throwIfAborted();
      const text = await this.guestConsole();
      if (text.includes(marker)) return;
      const tail = telling(text);
      if (this.#panic) throw new Error(`the guest panicked while it booted: ${this.#panic}`);
      const exit = this.#process?.exit;
      if (exit) throw new Error(`the engine ended while the guest booted: ${describeExit(exit)}; the guest's console said: ${tail}`);
      if (!this.#process) throw new Error(`the engine ended while the guest booted; the guest's console said: ${tail}`);
      if (performance.now() > deadline)
        throw new Error(
          `the guest did not say '${marker}' within ${timeoutS} s: check its kernel, initrd and disk. Its console said last: ${tail}`,
        );
      await new Promise((resolve) => setTimeout(resolve, SERIAL_POLL_MS));
    }
  }

  async #connect(engine: EngineProcess): Promise<void> {
    // An engine that cannot even start ends at once: its own words are a better error than a missing monitor.
    const died = engine.exited.then((exit) => {
      throw new Error(`the engine did not start: ${describeExit(exit)}`);
    });
    const slowness = slownessOf(this.#config);
    const open = (name: string) =>
      QmpClient.connect({
        path: this.#monitorPath(name),
        name: `engine ${name}`,
        timeoutMs: MONITOR_WITHIN_MS * slowness,
        answerWithinMs: ANSWER_WITHIN_MS * slowness,
      });
    const all = Promise.all([open('control'), open('trigger'), open('emergency')]);
    all.catch(() => undefined);
    const [control, trigger, emergency] = await Promise.race([all, died]);
    died.catch(() => undefined);
    this.#monitors = { control, trigger, emergency };
    // A replica that ran ahead into a shutdown, and was set right.
    control.on('RESUME', () => {
      this.#guestShutdown = false;
    });
    control.on('SHUTDOWN', (e) => {
      // The last one counts: a replica that ran ahead into a shutdown was revived since, and may panic now.
      if (e.data['guest'] === true) this.#guestShutdown = e.data['reason'] === 'guest-shutdown';
      if (e.data['guest'] === true) void this.#guestEnds(control, e.data['reason'] === 'guest-reset');
    });
    control.on('GUEST_PANICKED', () => void this.#panicked(control, 'the guest reported a panic'));
    // What the guest did last is to be seen before its engine is gone; so it does not end with it.
    await setShutdownAction(control, 'pause');
    await tellPanicOnly(control);
  }

  /** The guest switched itself off, or resets itself: its engine keeps it, stopped. */
  async #guestEnds(control: QmpClient, isReset: boolean): Promise<void> {
    if (isReset) {
      const line = panicLine(await this.guestConsole());
      if (line) {
        await this.#panicked(control, line);
        return;
      }
    }
    // A replica that ran ahead is set right by the next checkpoint.
    if (this.#isReplica || this.#panic) return;
    await this.#over(
      control,
      isReset ? { cause: 'crash', reason: 'the guest reset itself' } : { cause: 'guestShutdown', reason: SWITCHED_OFF },
    );
  }

  /** Told before the engine goes: whoever still speaks to it should not have to guess why it does not answer. */
  async #over(control: QmpClient, news: EngineExitNews): Promise<void> {
    if (this.#monitors?.control !== control || this.#expected) return;
    this.#expected = true;
    this.#on.exited(news);
    await quitEngine(control).catch(() => undefined);
  }

  async #panicked(control: QmpClient, line: string): Promise<void> {
    if (this.#monitors?.control !== control) return;
    if (this.#isReplica) {
      this.#on.replicaPanicked(panicLine(await this.guestConsole()) ?? line);
      return;
    }
    if (this.#panic) return;
    this.#panic = line;
    // Told once: the engine's end, later, is ours.
    this.#expected = true;
    const said = panicLine(await this.guestConsole()) ?? line;
    this.#panic = said;
    this.#on.exited({ cause: 'guestPanic', reason: `the guest's console said: ${said}` });
  }

  #watch(engine: EngineProcess): void {
    this.#process = engine;
    this.#ended = engine.exited.then((exit) => {
      if (this.#process !== engine) return;
      this.#process = null;
      this.#closeMonitors();
      return this.#expected ? undefined : this.#tellExit(describeExit(exit));
    });
  }

  async #tellExit(reason: string): Promise<void> {
    this.#on.exited(exitNews(this.#guestShutdown, await this.guestConsole(), reason));
  }

  /** What the guest said on its serial port since its engine was started. */
  async guestConsole(): Promise<string> {
    return (await this.serialText()).slice(this.#serialFrom);
  }

  #closeMonitors(): void {
    const monitors = this.#monitors;
    this.#monitors = null;
    if (monitors) for (const m of Object.values(monitors) as QmpClient[]) m.close();
  }

  /** Resolves when the engine has ended by itself and the core knows. Rejects after `timeoutS`. */
  async waitEnd(timeoutS: number): Promise<void> {
    const engine = this.#process;
    if (!engine) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`the guest did not switch itself off within ${timeoutS} s`)),
        timeoutS * 1000 + END_WITHIN_MS,
      );
    });
    try {
      await Promise.race([this.#ended, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The lines of a guest's console that say most: why it gave up, or the last ones. */
function telling(text: string): string {
  const lines = text.replaceAll('\r', '').trimEnd().split('\n');
  const fatal = lines.findLast((line) => /Kernel panic|GUEST FAILED/.test(line));
  return fatal ?? (lines.slice(-4).join(' | ') || '(nothing)');
}
