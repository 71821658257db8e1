// One pair on this machine, held by this process: made whole, then told what breaks, then removed without a trace.
// Everything that changes it goes through one queue: a power failure during a start is the next thing that happens, not both at once.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { appendFileSync, closeSync, copyFileSync, cpSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { deriveKey } from '../../appliance/wire/keys.ts';
import { formatEnrolment } from '../../appliance/witness/enrolment.ts';
import type { Break } from '../campaigns/lab-control.ts';
import { type Broken, breakGuest, engineOf } from './break-secondary.ts';
import { makeSecrets, type PairSecrets, writeConfiguration } from './configuration.ts';
import { CoServer, type Frozen } from './coserver.ts';
import { breakDisk, DISK_FAULTS_FILE, type DiskAction, diskFaults } from './disk-faults.ts';
import { Guard } from './guard.ts';
import { type BmcFault, LabBmc, type PowerOrder } from './lab-bmc.ts';
import { LabError, messageOf } from './lab-error.ts';
import { inNamespace, LabNetwork } from './network.ts';
import { applyPowerLoss, type FileLoss } from './power-loss.ts';
import { awaitTrap, type TrapHit, type TrapOrder } from './power-trap.ts';
import type { LabParts } from './prepare.ts';
import { claimLab, recordProcesses } from './record.ts';
import { SerialLine } from './serial-line.ts';
import { ADDRESSES, CO_SERVERS, coServerPaths, type LabSettings, type LinkNumber, labPaths, watchdogSocketName } from './settings.ts';
import { PLAIN_ENVIRONMENT, Supervised } from './supervised.ts';
import { sweep } from './sweep.ts';
import { LabWatchdog } from './watchdog.ts';
import { WebForward } from './web-forward.ts';

/** Those without which the disk's copy cannot go on. */
const FILES_BESIDE_DISK = /^intervals\.journal\.(0|1|regions|sums|points)$/;

export interface PowerOffReport {
  /** Processes that were stopped at the first moment. */
  processes: number;
  /** From the first stopped process: until the last of them stood still, until no frame passed its cables, until all were gone and its partner without carrier. */
  stoppedMs: number;
  cablesDeadMs: number;
  endedMs: number;
  /** What the disks lost with their write cache, and the seed that decides it. */
  seed: number;
  files: FileLoss[];
}

export interface LabView {
  instance: string;
  pid: number;
  /** Wall clock, ms. */
  since: number;
  coServers: Record<CoServerName, { powered: boolean; frozen: Frozen; web: string; bmc: BmcFault; disk: string }>;
  links: Record<LinkNumber, 'up' | 'down'>;
  lastPowerOff: PowerOffReport | null;
}

interface LabEvents {
  event: [text: string];
}

export class Lab extends EventEmitter<LabEvents> {
  readonly settings: LabSettings;
  readonly password: string;
  readonly #parts: LabParts;
  readonly #network: LabNetwork;
  readonly #running: Partial<Record<CoServerName, CoServer>> = {};
  readonly #watchdogs: Partial<Record<CoServerName, LabWatchdog>> = {};
  readonly #bmcs: Partial<Record<CoServerName, LabBmc>> = {};
  readonly #serial: Partial<Record<CoServerName, SerialLine>> = {};
  readonly #forwards: WebForward[] = [];
  readonly #since = Date.now();
  /** Held threads are let go at the end, so that nothing waits for them. */
  readonly #broken: Broken[] = [];
  #witness: Supervised | null = null;
  #guard: Guard | null = null;
  #lastPowerOff: PowerOffReport | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | null = null;

  private constructor(settings: LabSettings, parts: LabParts, secrets: PairSecrets) {
    super();
    this.settings = settings;
    this.password = secrets.password;
    this.#parts = parts;
    this.#network = new LabNetwork(settings, parts.engineRoot);
  }

  /** Removes what a killed lab left, then starts both CoServers. Leaves nothing behind when it fails. */
  static async up(settings: LabSettings, parts: LabParts, tell: (text: string) => void): Promise<Lab> {
    const leftovers = await sweep(settings);
    if (leftovers.length > 0) tell(`removed what an earlier lab left behind: ${leftovers.length} things`);
    claimLab(settings);
    const secrets = await makeSecrets();
    const lab = new Lab(settings, parts, secrets);
    lab.on('event', tell);
    try {
      lab.#guard = new Guard(settings);
      await lab.#build(secrets);
    } catch (error) {
      await lab.down();
      throw error;
    }
    lab.off('event', tell);
    return lab;
  }

  async #build(secrets: PairSecrets): Promise<void> {
    const { settings } = this;
    const { engineRoot } = this.#parts;
    const paths = labPaths(settings);
    for (const name of CO_SERVERS) this.#forwards.push(await WebForward.listen(settings.webPorts[name]));
    rmSync(paths.log, { force: true });
    for (const name of CO_SERVERS) rmSync(coServerPaths(settings, name).log, { recursive: true, force: true });
    rmSync(paths.witness.log, { recursive: true, force: true });
    for (const directory of [paths.control, paths.guest, paths.tools, paths.forward])
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#installSoftware();
    writeConfiguration(settings, secrets, this.#parts.workload);
    this.#say('the disks of both servers are made');
    await this.#parts.makeDisks(CO_SERVERS.map((name) => coServerPaths(settings, name).disks));
    this.#say('two links, a LAN, a management network and a witness are laid');
    await this.#network.up();
    for (const name of CO_SERVERS) this.#serial[name] = await SerialLine.open(coServerPaths(settings, name).serial, engineRoot);
    this.#startWitness(secrets);
    for (const name of CO_SERVERS)
      this.#bmcs[name] = await LabBmc.start({
        settings,
        name,
        password: secrets.bmcPasswords[name],
        setCable: (plugged) => this.#network.setBmcCable(name, plugged),
        onOrder: (order) => this.#obeyBmc(name, order),
      });
    for (const [i, name] of CO_SERVERS.entries())
      this.#forwards[i]?.start(
        engineRoot,
        settings.namespaces.witness,
        `${ADDRESSES.management[name]}:443`,
        join(paths.forward, `${name}.sock`),
      );
    for (const name of CO_SERVERS) await this.#powerOn(name);
  }

  /** What both servers run: copies, so that a build in the tree changes nothing under a running pair. */
  #installSoftware(): void {
    const paths = labPaths(this.settings);
    cpSync(this.#parts.bundle, paths.bundle, { recursive: true });
    closeSync(openSync(join(paths.bundle, 'node'), 'w'));
    for (const file of [this.#parts.guest.kernel, this.#parts.guest.initrd])
      copyFileSync(file, join(paths.guest, file.endsWith('.gz') ? 'initrd.gz' : 'kernel'));
    copyFileSync(this.#parts.volatileCache, join(paths.tools, 'volatile-cache.so'));
    for (const script of ['mount.sh', 'supervisor.sh'])
      copyFileSync(join(import.meta.dirname, 'coserver', script), join(paths.tools, script));
  }

  /** As an operator does it: the enrolment made from a CoServer's key, fed to the witness; then the witness itself. */
  #startWitness(secrets: PairSecrets): void {
    const { witness, bundle } = labPaths(this.settings);
    const program = ['--enable-source-maps', join(bundle, 'twinstep.mjs'), 'witness'];
    const enrolment = formatEnrolment({ pairId: secrets.pairId, key: deriveKey(Buffer.from(secrets.pairKey, 'hex'), 'witness') });
    const enrolled = spawnSync(this.#parts.nodeBinary, [...program, 'enrol', '--state', witness.state], {
      input: enrolment,
      encoding: 'utf8',
      env: PLAIN_ENVIRONMENT,
    });
    if (enrolled.status !== 0) throw new LabError(`the witness does not take the pair: ${enrolled.stdout}${enrolled.stderr}`);
    const args = [...program, '--listen', `${ADDRESSES.witness}:${ADDRESSES.witnessPort}`, '--state', witness.state];
    const [command, all] = inNamespace(this.settings.namespaces.witness, this.#parts.nodeBinary, args);
    this.#witness = new Supervised(command, all, join(witness.log, 'witness.log'));
  }

  #say(text: string): void {
    appendFileSync(labPaths(this.settings).log, `${new Date().toISOString()} ${text}\n`);
    this.emit('event', text);
  }

  #exclusive<T>(act: () => Promise<T>): Promise<T> {
    if (this.#closing !== null) return Promise.reject(new LabError('the lab is being taken down'));
    const next = this.#queue.then(act);
    this.#queue = next.catch(() => undefined);
    return next;
  }

  #record(): void {
    // Not the guard: it is what sweeps.
    const pids = [
      this.#witness?.pid,
      ...Object.values(this.#running).flatMap((c) => [c.holderPid, c.pid1]),
      ...[...Object.values(this.#watchdogs), ...Object.values(this.#bmcs)].map((helper) => helper.pid),
    ];
    recordProcesses(
      this.settings,
      pids.filter((pid): pid is number => pid !== undefined),
    );
  }

  #powered(name: CoServerName): CoServer {
    const coServer = this.#running[name];
    if (coServer === undefined) throw new LabError(`CoServer ${name} has no power`, `npm run lab -- power-on ${name}`);
    return coServer;
  }

  powerOn(name: CoServerName): Promise<void> {
    return this.#exclusive(async () => {
      if (this.#running[name] !== undefined) throw new LabError(`CoServer ${name} has power already`);
      await this.#powerOn(name);
    });
  }

  async #powerOn(name: CoServerName): Promise<void> {
    const serial = this.#serial[name];
    if (serial === undefined) throw new Error(`CoServer ${name} has no serial line`);
    const { engineRoot, nodeBinary } = this.#parts;
    const started = performance.now();
    this.#bmcs[name]?.report('on');
    await this.#network.install(name);
    await this.#network.plugIn(name);
    // Like a board's, the watchdog has power and a clock of its own before the first program runs.
    const watchdog = await LabWatchdog.start(join(labPaths(this.settings).control, watchdogSocketName(name)), (text) =>
      this.#say(`CoServer ${name}: reset by its watchdog: ${text}`),
    );
    this.#watchdogs[name] = watchdog;
    const coServer = await CoServer.start({ settings: this.settings, name, engineRoot, nodeBinary, serial: serial.coServerEnd });
    this.#running[name] = coServer;
    watchdog.guard(coServer.pid1);
    this.#record();
    void coServer.ended.then(() => {
      if (this.#running[name] === coServer) void this.#exclusive(() => this.#endedByItself(name, coServer)).catch(() => undefined);
    });
    this.#say(`CoServer ${name}: power on (${Math.round(performance.now() - started)} ms)`);
  }

  async #endedByItself(name: CoServerName, coServer: CoServer): Promise<void> {
    if (this.#running[name] !== coServer) return;
    delete this.#running[name];
    await this.#network.unplug(name).dark;
    await this.#network.remove(name);
    const wasReset = await this.#stopWatchdog(name);
    this.#loseCache(name, randomInt(2 ** 31));
    this.#record();
    if (wasReset) {
      // A reset, not a power-off: the machine starts again by itself.
      await this.#powerOn(name);
      return;
    }
    this.#bmcs[name]?.report('off');
    this.#say(`CoServer ${name}: its pid 1 was killed by someone else; it counts as a power failure`);
  }

  powerOff(name: CoServerName, seed: number = randomInt(2 ** 31)): Promise<PowerOffReport> {
    return this.#exclusive(() => this.#powerOff(this.#powered(name), seed));
  }

  /** A power failure when the CoServer comes to a point of a checkpoint. The lab can be asked for other things meanwhile. */
  async powerOffAt(name: CoServerName, order: TrapOrder): Promise<TrapHit> {
    const coServer = this.#powered(name);
    const hit = await awaitTrap(labPaths(this.settings).control, name, order);
    await this.#exclusive(() => this.#powerOff(coServer, randomInt(2 ** 31)));
    return hit;
  }

  async #powerOff(coServer: CoServer, seed: number): Promise<PowerOffReport> {
    const { name } = coServer;
    delete this.#running[name];
    const start = performance.now();
    // Stopped first: no process may see its cables die, nor write one more word. Killed last: what the kernel says for a dead
    // process (FIN, RST) finds no cable.
    const processes = coServer.stopAll();
    const stopped = performance.now();
    const { dead, dark } = this.#network.unplug(name);
    await dead;
    const cut = performance.now();
    await Promise.all([coServer.kill(), dark]);
    const ended = performance.now();
    this.#bmcs[name]?.report('off');
    await this.#network.remove(name);
    await this.#stopWatchdog(name);
    const files = this.#loseCache(name, seed);
    const report = { processes, stoppedMs: stopped - start, cablesDeadMs: cut - start, endedMs: ended - start, seed, files };
    this.#lastPowerOff = report;
    this.#record();
    const lost = files.reduce((sum, f) => sum + f.lostSectors, 0);
    const unflushed = files.reduce((sum, f) => sum + f.unflushedSectors, 0);
    this.#say(
      `CoServer ${name}: power failure; ${processes} processes stood still after ${report.stoppedMs.toFixed(1)} ms, cables dead after ${report.cablesDeadMs.toFixed(1)} ms; ` +
        `${lost} of ${unflushed} unflushed sectors lost (seed ${seed})`,
    );
    return report;
  }

  #obeyBmc(name: CoServerName, order: PowerOrder): void {
    this.#say(`CoServer ${name}: its BMC is told: ${order}`);
    const failed = (error: unknown) => this.#say(`CoServer ${name}: its BMC could not do it: ${messageOf(error)}`);
    void this.#exclusive(async () => {
      const coServer = this.#running[name];
      if (order !== 'on' && coServer !== undefined) await this.#powerOff(coServer, randomInt(2 ** 31));
      if ((order === 'on' && coServer === undefined) || (order === 'reset' && coServer !== undefined)) await this.#powerOn(name);
    }).catch(failed);
  }

  breakBmc(name: CoServerName, fault: BmcFault): Promise<void> {
    return this.#exclusive(async () => {
      const bmc = this.#bmcs[name];
      if (bmc === undefined) throw new LabError(`CoServer ${name} has no BMC`);
      await bmc.break(fault);
      this.#record();
      this.#say(`CoServer ${name}: its BMC: ${fault}`);
    });
  }

  /** Without power too: a disk may be found broken at the next start. Answers what it does now. */
  breakDisk(name: CoServerName, action: DiskAction): Promise<string> {
    return this.#exclusive(async () => {
      const { undo, disks, state } = coServerPaths(this.settings, name);
      const files = readdirSync(state).filter((file) => FILES_BESIDE_DISK.test(file));
      const said = breakDisk(
        join(undo, DISK_FAULTS_FILE),
        join(disks, 'disk0'),
        action,
        files.map((file) => join(state, file)),
      );
      this.#say(`CoServer ${name}: its disk ${said}`);
      return said;
    });
  }

  /** Answers whether it had reset the CoServer. */
  async #stopWatchdog(name: CoServerName): Promise<boolean> {
    const watchdog = this.#watchdogs[name];
    delete this.#watchdogs[name];
    return (await watchdog?.close()) ?? false;
  }

  #loseCache(name: CoServerName, seed: number): FileLoss[] {
    const { undo, state, disks } = coServerPaths(this.settings, name);
    return applyPowerLoss(undo, [state, disks], seed);
  }

  setLink(link: LinkNumber, state: 'up' | 'down'): Promise<void> {
    return this.#exclusive(async () => {
      if (this.#network.whole[link] === (state === 'up')) throw new LabError(`link ${link} is ${state} already`);
      await this.#network.setLink(link, state === 'up');
      this.#say(`link ${link}: ${state === 'up' ? 'mended' : 'cut'}`);
    });
  }

  /** A CoServer's cable to the business LAN. */
  setLan(name: CoServerName, state: 'up' | 'down'): Promise<void> {
    return this.#exclusive(async () => {
      if (this.#network.lan[name] === (state === 'up')) throw new LabError(`the LAN cable of CoServer ${name} is ${state} already`);
      await this.#network.setLan(name, state === 'up');
      this.#say(`CoServer ${name}: LAN cable ${state === 'up' ? 'mended' : 'cut'}`);
    });
  }

  freeze(name: CoServerName, what: 'process' | 'all'): Promise<void> {
    return this.#exclusive(async () => {
      const coServer = this.#powered(name);
      if (coServer.frozen !== 'no') throw new LabError(`CoServer ${name} is frozen already`, `npm run lab -- thaw ${name}`);
      coServer.freeze(what);
      this.#say(`CoServer ${name}: ${what === 'all' ? 'all processes' : "the product's process"} frozen`);
    });
  }

  thaw(name: CoServerName): Promise<void> {
    return this.#exclusive(async () => {
      const coServer = this.#powered(name);
      if (coServer.frozen === 'no') throw new LabError(`CoServer ${name} is not frozen`);
      coServer.thaw();
      this.#say(`CoServer ${name}: thawed`);
    });
  }

  /** Kills our process on a CoServer, or asks it to end as an update does, and nothing else: its engine runs on, pid 1 starts it again. */
  killProduct(name: CoServerName, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): void {
    const pid = this.#powered(name).product();
    if (pid === undefined) throw new LabError(`the product's process on ${name} does not run now`, `npm run lab -- logs ${name}`);
    process.kill(pid, signal);
    this.#say(`CoServer ${name}: the product's process ${signal === 'SIGKILL' ? 'killed' : 'asked to end'}`);
  }

  /** Kills the engine on a CoServer, and nothing else: the guest there is gone without a word. */
  killEngine(name: CoServerName): void {
    process.kill(engineOf(this.#powered(name).pid1), 'SIGKILL');
    this.#say(`CoServer ${name}: the engine killed`);
  }

  /** Breaks the guest on this CoServer, not its engine. Which of the two is the secondary the caller knows. */
  breakGuest(name: CoServerName, how: Break): Promise<string> {
    return this.#exclusive(async () => {
      const broken = await breakGuest(engineOf(this.#powered(name).pid1), how, this.settings.cacheDirectory);
      this.#broken.push(broken);
      this.#say(`CoServer ${name}: its guest is broken: ${broken.detail}`);
      return broken.detail;
    });
  }

  /** Where to run a command: arguments for nsenter. */
  whereIs(place: 'lan' | 'witness' | CoServerName): string[] {
    if (place === 'lan' || place === 'witness') return [`--net=/run/netns/${this.settings.namespaces[place]}`, '--'];
    return CoServer.enter(this.#powered(place).pid1);
  }

  /** The operator's end of a CoServer's serial line, and what to call when he leaves. */
  attachSerial(name: CoServerName): { device: string; leave: () => void } {
    const serial = this.#serial[name];
    if (serial === undefined) throw new LabError(`CoServer ${name} has no serial line`);
    return { device: serial.operatorEnd, leave: serial.attach() };
  }

  view(): LabView {
    const coServer = (name: CoServerName) => ({
      powered: this.#running[name] !== undefined,
      frozen: this.#running[name]?.frozen ?? ('no' as const),
      web: `https://127.0.0.1:${this.settings.webPorts[name]}/`,
      bmc: this.#bmcs[name]?.fault ?? ('ok' as const),
      disk: diskFaults(join(coServerPaths(this.settings, name).undo, DISK_FAULTS_FILE)),
    });
    const link = (l: LinkNumber) => (this.#network.whole[l] ? ('up' as const) : ('down' as const));
    return {
      instance: this.settings.instance,
      pid: process.pid,
      since: this.#since,
      coServers: { A: coServer('A'), B: coServer('B') },
      links: { 1: link(1), 2: link(2) },
      lastPowerOff: this.#lastPowerOff,
    };
  }

  /** Removes everything. Can be called again, and while something else is under way: that ends first. */
  down(): Promise<void> {
    this.#closing ??= this.#queue.then(() => this.#down());
    return this.#closing;
  }

  async #down(): Promise<void> {
    for (const broken of this.#broken) broken.release();
    const problems: string[] = [];
    const attempt = async (act: () => unknown) => {
      try {
        await act();
      } catch (error) {
        problems.push(messageOf(error));
      }
    };
    for (const coServer of Object.values(this.#running)) {
      delete this.#running[coServer.name];
      await attempt(() => coServer.kill());
    }
    for (const name of CO_SERVERS) await attempt(() => this.#stopWatchdog(name));
    for (const bmc of Object.values(this.#bmcs)) await attempt(() => bmc.close());
    for (const forward of this.#forwards) await attempt(() => forward.close());
    for (const line of Object.values(this.#serial)) await attempt(() => line.close());
    await attempt(() => this.#witness?.close());
    this.#network.close();
    // The rest by name: also what a start that failed half-way has made.
    await attempt(() => sweep(this.settings));
    await this.#guard?.dismiss();
    if (problems.length > 0) throw new LabError(`the lab could not be removed completely: ${problems.join('; ')}`, 'npm run lab -- down');
  }
}
