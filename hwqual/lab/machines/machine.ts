// One whole machine of the lab: its files, its BMC, and QEMU, which the BMC starts and ends as a real one switches a server. The lab itself
// only watches: a monitor (QMP) that is there while the machine has power.
import { EventEmitter } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { QmpClient } from '../../../drivers/qemu/index.ts';
import { type Bmc, startBmc } from '../bmc.ts';
import { BMC_USERNAME, type PairSecrets } from '../configuration.ts';
import { LabError } from '../lab-error.ts';
import { engineProgram } from '../network.ts';
import { processTree } from '../processes.ts';
import { machineArguments } from './arguments.ts';
import { bootArguments, type MachineBoot, makeBoot } from './boot.ts';
import { Hands } from './hands.ts';
import { bmcEmulation } from './sensors.ts';
import { BMC_ADDRESS, BMC_PORT, KCS_PORT, type MachinesSettings, machinePaths } from './settings.ts';
import type { MachineSpec } from './spec.ts';

/** QEMU makes its monitor within a second; two of them on two busy cores take longer. */
const MONITOR_TIMEOUT_MS = 60_000;
/** Between two looks whether the BMC has started it. */
const LOOK_MS = 100;

export interface MachineParts {
  settings: MachinesSettings;
  name: CoServerName;
  spec: MachineSpec;
  engineRoot: string;
  acceleration: 'kvm' | 'tcg';
  boot: MachineBoot;
  secrets: PairSecrets;
}

interface MachineEvents {
  /** It has power: its monitor answers. */
  on: [QmpClient];
  off: [];
}

export class Machine extends EventEmitter<MachineEvents> {
  readonly name: CoServerName;
  readonly spec: MachineSpec;
  readonly hands: Hands;
  readonly #parts: MachineParts;
  #bmc: Bmc | null = null;
  #monitor: QmpClient | null = null;
  #closed = false;
  #watching: Promise<void> = Promise.resolve();

  private constructor(parts: MachineParts) {
    super();
    this.#parts = parts;
    this.name = parts.name;
    this.spec = parts.spec;
    this.hands = new Hands(parts.name, machinePaths(parts.settings, parts.name).hands);
  }

  /** Its disks, its image, its BMC; no power yet. */
  static async make(parts: MachineParts): Promise<Machine> {
    const { settings, name } = parts;
    const paths = machinePaths(settings, name);
    mkdirSync(paths.directory, { recursive: true, mode: 0o700 });
    await makeBoot(parts.boot, parts);
    writeFileSync(paths.start, startScript(parts), { mode: 0o700 });
    chmodSync(paths.start, 0o700);
    const machine = new Machine(parts);
    await machine.plugIn();
    return machine;
  }

  /** Its BMC runs from here on, with this password. */
  async plugIn(password: string = this.#parts.secrets.bmcPasswords[this.name]): Promise<void> {
    const { settings, name, spec } = this.#parts;
    const paths = machinePaths(settings, name);
    this.#bmc = await startBmc({
      directory: paths.bmc,
      address: BMC_ADDRESS[name],
      port: BMC_PORT,
      username: BMC_USERNAME,
      password,
      power: { kind: 'program', start: paths.start, startNow: false, vmPort: KCS_PORT[name], vmAddress: '127.0.0.1' },
      guid: `7477696e737465700000000000000${name === 'A' ? '00a' : '00b'}`,
      netns: settings.namespace,
      emulation: bmcEmulation(spec.bmc.firmware),
    });
    this.#watching = this.#watch();
  }

  get bmc(): Bmc {
    if (this.#bmc === null) throw new LabError(`machine ${this.name} has no BMC`);
    return this.#bmc;
  }

  get monitor(): QmpClient {
    if (this.#monitor === null) throw new LabError(`machine ${this.name} has no power`, `npm run lab:machines -- power on ${this.name}`);
    return this.#monitor;
  }

  get isOn(): boolean {
    return this.#monitor !== null;
  }

  /** Of its QEMU, as the host's kernel counts; null: no power. */
  residentMiB(): number | null {
    if (this.#bmc === null || !this.isOn) return null;
    const sizes = processTree(this.#bmc.pid).map((pid) => {
      try {
        return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
      } catch {
        return 0;
      }
    });
    return Math.round(Math.max(...sizes) / 1024);
  }

  /** The pts at the other end of its console. */
  async serialDevice(): Promise<string> {
    const ports = (await this.monitor.execute('query-chardev')) as { label: string; filename: string }[];
    const device = /^pty:(\/dev\/pts\/\d+)/.exec(ports.find((p) => p.label === 'console')?.filename ?? '')?.[1];
    if (device === undefined) throw new LabError(`machine ${this.name} has no serial console`);
    return device;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#monitor?.close();
    await this.#bmc?.stop();
    await this.#watching;
  }

  /** Until it is closed: a monitor as long as there is power. */
  async #watch(): Promise<void> {
    const { qmp } = machinePaths(this.#parts.settings, this.name);
    while (!this.#closed) {
      const monitor = existsSync(qmp) ? await this.#connect(qmp) : null;
      if (monitor === null) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        continue;
      }
      const gone = new Promise((resolve) => monitor.once('close', resolve));
      this.#monitor = monitor;
      this.emit('on', monitor);
      await gone;
      this.#monitor = null;
      this.emit('off');
    }
  }

  async #connect(path: string): Promise<QmpClient | null> {
    try {
      return await QmpClient.connect({ path, name: `machine ${this.name}`, timeoutMs: MONITOR_TIMEOUT_MS });
    } catch {
      // The socket of a QEMU that was killed: the next start makes a new one.
      rmSync(path, { force: true });
      return null;
    }
  }
}

/** What its BMC runs to give it power. */
function startScript(parts: MachineParts): string {
  const { settings, name, engineRoot } = parts;
  const paths = machinePaths(settings, name);
  const [loader, before] = engineProgram(engineRoot, 'usr/bin/qemu-system-x86_64');
  const args = machineArguments({
    name,
    spec: parts.spec,
    acceleration: parts.acceleration,
    boot: bootArguments(parts.boot, parts),
    nvme: paths.nvme,
    sata: paths.sata,
    kcsPort: KCS_PORT[name],
    qmp: paths.qmp,
    hands: paths.hands,
    log: paths.log,
    firmware: ['usr/share/qemu', 'usr/share/seabios'].map((folder) => join(engineRoot, folder)),
  });
  const words = ['setpriv', '--pdeathsig', 'KILL', '--', loader, ...before, ...args];
  return `#!/bin/sh\nrm -f ${quote(paths.qmp)} ${quote(paths.hands)}\nexec ${words.map(quote).join(' ')} >>${quote(paths.engineLog)} 2>&1 </dev/null\n`;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
