// Two whole machines as a Lab: the virtual world of the hardware campaigns. Lives in the rack's namespace (enter.ts), where the BMCs are.
import { rmSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import type { IpmiOptions } from '../../../drivers/ipmi/index.ts';
import { openSerialPort } from '../../../drivers/serial/index.ts';
import { BMC_USERNAME, makeSecrets, type PairSecrets } from '../configuration.ts';
import { LabError } from '../lab-error.ts';
import { type Injection, LAB_FAULT_NAMES, type Lab, type LabFault, type LabPower } from '../lab-interface.ts';
import { powerByBmc } from '../power-by-bmc.ts';
import { CO_SERVERS } from '../settings.ts';
import type { MachineBoot } from './boot.ts';
import { BootLog } from './boot-log.ts';
import { allWhole, type CableState, carriers, withCable } from './cables.ts';
import { type FaultWorld, RECIPES } from './faults.ts';
import { Machine } from './machine.ts';
import { Rack } from './rack.ts';
import { BMC_ADDRESS, BMC_PORT, type MachinesSettings, machinePaths } from './settings.ts';
import { type MachineSpec, NIC_ROLES, type NicRole } from './spec.ts';

export interface MachinesParts {
  settings: MachinesSettings;
  specs: Record<CoServerName, MachineSpec>;
  engineRoot: string;
  acceleration: 'kvm' | 'tcg';
  boot: MachineBoot;
}

export interface MachineStatus {
  power: 'on' | 'off';
  /** Seconds from power on until its init was through; null: not yet. */
  bootS: number | null;
  /** Times that its kernel started anew since power on. */
  restarts: number;
  /** The last word of its init. */
  stage: string;
  carriers: Record<NicRole, boolean>;
  /** Resident memory of its QEMU. */
  residentMiB: number | null;
}

interface Place {
  machine: Machine;
  boot: BootLog;
}

export class MachinesLab implements Lab {
  readonly world = 'virtual';
  readonly faults = LAB_FAULT_NAMES;
  readonly secrets: PairSecrets;
  readonly #parts: MachinesParts;
  readonly #rack: Rack;
  readonly #places: Partial<Record<CoServerName, Place>> = {};
  readonly #tell: (text: string) => void;
  #cables: CableState = allWhole();
  #closing = false;

  private constructor(parts: MachinesParts, secrets: PairSecrets, tell: (text: string) => void) {
    this.#parts = parts;
    this.secrets = secrets;
    this.#rack = new Rack(parts.settings);
    this.#tell = tell;
  }

  /** Disks, images and BMCs are there; no machine has power. Must run in the rack's namespace. */
  static async make(parts: MachinesParts, tell: (text: string) => void): Promise<MachinesLab> {
    const lab = new MachinesLab(parts, await makeSecrets(), tell);
    await lab.#rack.wire();
    tell('making disks and images of both machines');
    try {
      for (const name of CO_SERVERS) await lab.#install(name, parts.specs[name]);
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  /** Another machine in the place of this one, as new: empty disks, no power. */
  async replace(name: CoServerName, spec: MachineSpec): Promise<void> {
    await this.#remove(name);
    await this.#install(name, spec);
  }

  async #install(name: CoServerName, spec: MachineSpec): Promise<void> {
    const { specs: _, ...common } = this.#parts;
    const machine = await Machine.make({ ...common, name, spec, secrets: this.secrets });
    const boot = new BootLog(machinePaths(this.#parts.settings, name).log, (said) => this.#tell(`machine ${name}: ${said}`));
    machine.on('on', () => this.#powered(name, true));
    machine.on('off', () => this.#powered(name, false));
    this.#places[name] = { machine, boot };
  }

  async #remove(name: CoServerName): Promise<void> {
    const place = this.#places[name];
    if (place === undefined) return;
    await place.machine.close();
    place.boot.close();
    delete this.#places[name];
    rmSync(machinePaths(this.#parts.settings, name).directory, { recursive: true, force: true });
  }

  #place(name: CoServerName): Place {
    const place = this.#places[name];
    if (place === undefined) throw new LabError(`machine ${name} is being replaced`);
    return place;
  }

  machine(name: CoServerName): Machine {
    return this.#place(name).machine;
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
    return openSerialPort({ path: await this.machine(server).serialDevice() });
  }

  /** Until the init of a machine is through and starts the product; answers the seconds since power on. */
  booted(server: CoServerName, timeoutMs: number): Promise<number> {
    return this.#place(server).boot.booted(timeoutMs);
  }

  async inject(fault: LabFault, server: CoServerName): Promise<Injection> {
    const recipe = RECIPES[fault];
    const how = await recipe.inject(this.#world(server));
    return { fault, server, how, atMs: performance.now(), isEvent: this.isEvent(fault) };
  }

  async clear({ fault, server }: Pick<Injection, 'fault' | 'server'>): Promise<string> {
    const { clear } = RECIPES[fault];
    return clear === undefined ? 'an event: nothing to take back' : clear(this.#world(server));
  }

  isEvent(fault: LabFault): boolean {
    return RECIPES[fault].clear === undefined;
  }

  status(): Record<CoServerName, MachineStatus> {
    const one = (name: CoServerName): MachineStatus => ({
      power: this.machine(name).isOn ? 'on' : 'off',
      ...this.#place(name).boot.view(),
      carriers: carriers(this.#cables, name),
      residentMiB: this.machine(name).residentMiB(),
    });
    return { A: one('A'), B: one('B') };
  }

  /** Both machines lose their power, the BMCs end. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(CO_SERVERS.map((name) => this.#remove(name)));
  }

  #world(name: CoServerName): FaultWorld {
    const { machine } = this.#place(name);
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
    this.#places[name]?.boot.power(on);
    this.#cables = { ...this.#cables, on: { ...this.#cables.on, [name]: on } };
    this.#applyCarriers().catch((error: unknown) => this.#tell(`carriers could not be set: ${String(error)}`));
  }

  async #applyCarriers(): Promise<void> {
    const set = async (name: CoServerName) => {
      const machine = this.#places[name]?.machine;
      if (machine === undefined || !machine.isOn) return;
      const wanted = carriers(this.#cables, name);
      for (const role of NIC_ROLES) await machine.monitor.execute('set_link', { name: role, up: wanted[role] });
    };
    // Both ends at once: a cable has no order.
    const results = await Promise.allSettled(CO_SERVERS.map(set));
    for (const result of results)
      if (result.status === 'rejected' && !this.#closing) throw new LabError(`a carrier could not be set: ${String(result.reason)}`);
  }
}
