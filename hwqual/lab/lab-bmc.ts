// The BMC of one CoServer in the lab: a real one (bmc.ts) on the management network, in a namespace and with power of its own. What it is
// told to do about power the lab does; what it says about power is the truth, unless it was broken.
import { type FSWatcher, mkdirSync, readFileSync, renameSync, rmSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { type Bmc, startBmc } from './bmc.ts';
import { BMC_USERNAME } from './configuration.ts';
import { LabError, messageOf } from './lab-error.ts';
import { ADDRESSES, bmcNamespace, coServerPaths, type LabSettings } from './settings.ts';

/**
 *  ok        does what it is told and says the truth
 *  lie       acknowledges, says that the power is off, and has not switched it
 *  hang      its processor stands still
 *  password  somebody gave it another password
 *  unplug    its network cable is pulled
 */
export const BMC_FAULTS = ['ok', 'lie', 'hang', 'password', 'unplug'] as const;
export type BmcFault = (typeof BMC_FAULTS)[number];

export function parseBmcFault(text: string): BmcFault {
  const found = BMC_FAULTS.find((f) => f === text);
  if (found === undefined) throw new LabError(`"${text}" is nothing that a BMC can be`, `give one of ${BMC_FAULTS.join(', ')}`);
  return found;
}

const ORDERS = ['on', 'off', 'reset', 'shutdown'] as const;
export type PowerOrder = (typeof ORDERS)[number];

export interface LabBmcOptions {
  settings: LabSettings;
  name: CoServerName;
  password: string;
  /** Pulls its network cable, or plugs it in again. */
  setCable: (plugged: boolean) => Promise<void>;
  /** Somebody orders power, and the BMC is not lying. */
  onOrder: (order: PowerOrder) => void;
}

export class LabBmc {
  readonly #options: LabBmcOptions;
  readonly #directory: string;
  readonly #watcher: FSWatcher;
  #bmc: Bmc;
  #fault: BmcFault = 'ok';
  #truth: 'on' | 'off' = 'off';
  #readBytes = 0;

  private constructor(options: LabBmcOptions, directory: string, bmc: Bmc) {
    this.#options = options;
    this.#directory = directory;
    this.#bmc = bmc;
    this.#watcher = watch(join(directory, 'orders'), () => this.#readOrders());
  }

  static async start(options: LabBmcOptions): Promise<LabBmc> {
    const directory = coServerPaths(options.settings, options.name).bmc;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, 'orders'), '');
    writeFileSync(join(directory, 'power'), 'off');
    return new LabBmc(options, directory, await simulate(options, directory, options.password));
  }

  get pid(): number {
    return this.#bmc.pid;
  }

  get fault(): BmcFault {
    return this.#fault;
  }

  /** What is true of the CoServer's power. */
  report(power: 'on' | 'off'): void {
    this.#truth = power;
    this.#say(power);
  }

  async break(fault: BmcFault): Promise<void> {
    await this.#mend();
    this.#fault = fault;
    switch (fault) {
      case 'ok':
      case 'lie':
        return;
      case 'hang':
        process.kill(this.#bmc.pid, 'SIGSTOP');
        return;
      case 'password':
        await this.#restart(`${this.#options.password.slice(0, -3)}---`);
        return;
      case 'unplug':
        await this.#options.setCable(false);
        return;
      default:
        fault satisfies never;
    }
  }

  async close(): Promise<void> {
    this.#watcher.close();
    await this.#bmc.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #mend(): Promise<void> {
    const was = this.#fault;
    this.#fault = 'ok';
    if (was === 'hang') process.kill(this.#bmc.pid, 'SIGCONT');
    if (was === 'password') await this.#restart(this.#options.password);
    if (was === 'unplug') await this.#options.setCable(true);
    this.#say(this.#truth);
  }

  async #restart(password: string): Promise<void> {
    await this.#bmc.stop();
    this.#bmc = await simulate(this.#options, this.#directory, password);
  }

  /** Whole or not at all: it may be read at any moment. */
  #say(power: 'on' | 'off'): void {
    writeFileSync(join(this.#directory, 'power.new'), power);
    renameSync(join(this.#directory, 'power.new'), join(this.#directory, 'power'));
  }

  #readOrders(): void {
    const text = readFileSync(join(this.#directory, 'orders'), 'utf8');
    const end = text.lastIndexOf('\n') + 1;
    const lines = text.slice(this.#readBytes, end).split('\n');
    this.#readBytes = Math.max(end, this.#readBytes);
    for (const line of lines) {
      const order = ORDERS.find((o) => o === line);
      if (order === undefined) continue;
      if (this.#fault !== 'lie') this.#options.onOrder(order);
      else this.#say(order === 'off' || order === 'shutdown' ? 'off' : 'on');
    }
  }
}

async function simulate({ settings, name, password }: LabBmcOptions, directory: string, as: string = password): Promise<Bmc> {
  try {
    return await startBmc({
      directory: join(directory, 'simulator'),
      address: ADDRESSES.bmc[name],
      port: ADDRESSES.bmcPort,
      username: BMC_USERNAME,
      password: as,
      power: { kind: 'commands', get: `cat '${directory}/power'`, set: `order() { echo "$1" >>'${directory}/orders'; }; order` },
      guid: `7477696e737465700000000000000${name === 'A' ? '00a' : '00b'}`,
      netns: settings.namespaces[bmcNamespace(name)],
    });
  } catch (error) {
    throw new LabError(`CoServer ${name} has no BMC: ${messageOf(error)}`);
  }
}
