// Two whole machines as a Lab: the virtual world of the hardware campaigns. Lives in the rack's namespace (enter.ts), where the BMCs are.
import type { Duplex } from 'node:stream';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import type { IpmiOptions } from '../../../drivers/ipmi/index.ts';
import { openSerialPort } from '../../../drivers/serial/index.ts';
import { BMC_USERNAME, makeSecrets, type PairSecrets } from '../configuration.ts';
import { LabError } from '../lab-error.ts';
import { type Injection, LAB_FAULT_NAMES, type Lab, type LabFault, type LabPower } from '../lab-interface.ts';
import { powerByBmc } from '../power-by-bmc.ts';
import { CO_SERVERS } from '../settings.ts';
import { BootLog } from './boot-log.ts';
import { allWhole, type CableState, carriers, withCable } from './cables.ts';
import { type FaultWorld, RECIPES } from './faults.ts';
import type { MachineImage } from './image.ts';
import { Machine } from './machine.ts';
import { Rack } from './rack.ts';
import { BMC_ADDRESS, BMC_PORT, type MachinesSettings, machinePaths } from './settings.ts';
import { type MachineSpec, NIC_ROLES, type NicRole } from './spec.ts';

export interface MachinesParts {
  settings: MachinesSettings;
  specs: Record<CoServerName, MachineSpec>;
  engineRoot: string;
  acceleration: 'kvm' | 'tcg';
  image: MachineImage;
  bundle: string;
}

export interface MachineStatus {
  power: 'on' | 'off';
  /** Seconds since power on until its init said that the product starts; null: not yet. */
  bootS: number | null;
  /** The last word of its init. */
  stage: string;
  carriers: Record<NicRole, boolean>;
  /** Resident memory of its QEMU. */
  residentMiB: number | null;
}

export class MachinesLab implements Lab {
  readonly world = 'virtual';
  readonly faults = LAB_FAULT_NAMES;
  readonly secrets: PairSecrets;
  readonly #rack: Rack;
  readonly #machines: Record<CoServerName, Machine>;
  readonly #boots: Record<CoServerName, BootLog>;
  readonly #tell: (text: string) => void;
  #cables: CableState = allWhole();
  #closing = false;

  private constructor(
    parts: MachinesParts,
    secrets: PairSecrets,
    rack: Rack,
    machines: Record<CoServerName, Machine>,
    tell: (text: string) => void,
  ) {
    this.secrets = secrets;
    this.#rack = rack;
    this.#machines = machines;
    this.#tell = tell;
    const boot = (name: CoServerName) => new BootLog(machinePaths(parts.settings, name).log, (said) => tell(`machine ${name}: ${said}`));
    this.#boots = { A: boot('A'), B: boot('B') };
    for (const name of CO_SERVERS) {
      machines[name].on('on', () => this.#powered(name, true));
      machines[name].on('off', () => this.#powered(name, false));
    }
  }

  /** Disks, images and BMCs are there; no machine has power. Must run in the rack's namespace. */
  static async make(parts: MachinesParts, tell: (text: string) => void): Promise<MachinesLab> {
    const secrets = await makeSecrets();
    const rack = new Rack(parts.settings);
    await rack.wire();
    const made: Machine[] = [];
    try {
      const machine = async (name: CoServerName) => {
        const { settings, engineRoot, acceleration, image, bundle, specs } = parts;
        const one = await Machine.make({ settings, name, spec: specs[name], engineRoot, acceleration, image, bundle, secrets });
        made.push(one);
        return one;
      };
      tell('making disks and images of both machines');
      const [A, B] = [await machine('A'), await machine('B')];
      return new MachinesLab(parts, secrets, rack, { A, B }, tell);
    } catch (error) {
      for (const one of made) await one.close();
      throw error;
    }
  }

  machine(name: CoServerName): Machine {
    return this.#machines[name];
  }

  power(server: CoServerName): LabPower {
    return powerByBmc(`machine ${server}`, this.bmcTarget(server));
  }

  /** How the BMC of a machine is reached, from the rack's namespace. */
  bmcTarget(server: CoServerName): IpmiOptions {
    // The simulator has no better cipher suite.
    return {
      address: BMC_ADDRESS[server],
      port: BMC_PORT,
      username: BMC_USERNAME,
      password: this.secrets.bmcPasswords[server],
      cipherSuite: 3,
    };
  }

  async console(server: CoServerName): Promise<Duplex> {
    return openSerialPort({ path: await this.#machines[server].serialDevice() });
  }

  /** Until the init of a machine that has power starts the product, or its next start after now. */
  booted(server: CoServerName, timeoutMs: number): Promise<number> {
    return this.#boots[server].booted(timeoutMs);
  }

  async inject(fault: LabFault, server: CoServerName): Promise<Injection> {
    const recipe = RECIPES[fault];
    const how = await recipe.inject(this.#world(server));
    return { fault, server, how, atMs: performance.now(), isEvent: recipe.clear === undefined };
  }

  async clear({ fault, server }: Pick<Injection, 'fault' | 'server'>): Promise<string> {
    const { clear } = RECIPES[fault];
    return clear === undefined ? 'an event: nothing to take back' : clear(this.#world(server));
  }

  async status(): Promise<Record<CoServerName, MachineStatus>> {
    const one = (name: CoServerName): MachineStatus => ({
      power: this.#machines[name].isOn ? 'on' : 'off',
      ...this.#boots[name].view(),
      carriers: carriers(this.#cables, name),
      residentMiB: this.#machines[name].residentMiB(),
    });
    return { A: one('A'), B: one('B') };
  }

  /** Both machines lose their power, the BMCs end. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const name of CO_SERVERS) this.#boots[name].close();
    await Promise.all(CO_SERVERS.map((name) => this.#machines[name].close()));
  }

  #world(name: CoServerName): FaultWorld {
    const machine = this.#machines[name];
    return {
      name,
      bmc: machine.bmc,
      get monitor() {
        return machine.monitor;
      },
      setCable: async (role, whole) => {
        this.#cables = withCable(this.#cables, name, role, whole);
        await this.#applyCarriers();
      },
      setBmcCable: (plugged) => this.#rack.setBmcCable(BMC_ADDRESS[name], plugged),
    };
  }

  #powered(name: CoServerName, on: boolean): void {
    if (this.#closing) return;
    this.#tell(`machine ${name}: power ${on ? 'on' : 'off'}`);
    this.#boots[name].power(on);
    this.#cables = { ...this.#cables, on: { ...this.#cables.on, [name]: on } };
    this.#applyCarriers().catch((error: unknown) => this.#tell(`carriers could not be set: ${String(error)}`));
  }

  async #applyCarriers(): Promise<void> {
    const set = async (name: CoServerName) => {
      const machine = this.#machines[name];
      if (!machine.isOn) return;
      const wanted = carriers(this.#cables, name);
      for (const role of NIC_ROLES) await machine.monitor.execute('set_link', { name: role, up: wanted[role] });
    };
    // Both ends at once: a cable has no order.
    const results = await Promise.allSettled(CO_SERVERS.map(set));
    for (const result of results)
      if (result.status === 'rejected' && !this.#closing) throw new LabError(`a carrier could not be set: ${String(result.reason)}`);
  }
}
