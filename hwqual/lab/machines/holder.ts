// Holds both machines in this process, in the rack's namespace: answers the control socket, ends them on a signal or on request.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { ControlSocket, type LabRequest } from '../control-socket.ts';
import { TinyClient } from '../guest/tiny/client.ts';
import { parseCoServer } from '../holder.ts';
import { LabError } from '../lab-error.ts';
import { LAB_FAULT_NAMES, type LabFault } from '../lab-interface.ts';
import { CO_SERVERS } from '../settings.ts';
import type { MachinesWorkload } from './configuration.ts';
import { MachinesLab } from './lab.ts';
import { prepareMachines } from './prepare.ts';
import { prove } from './prove.ts';
import { type MachinesSettings, machinePaths } from './settings.ts';
import { type MachineSpec, mismatched, parseMismatch, TWIN } from './spec.ts';

/** Both at once on two busy cores, all emulated: 40 to 60 s here. */
export const BOOT_TIMEOUT_MS = 600_000;
const EXEC_TIMEOUT_MS = 120_000;
const GUEST_TIMEOUT_MS = 60_000;

export interface HeldMachines {
  lab: MachinesLab;
  /** Resolves when they are gone. */
  gone: Promise<void>;
  takeDown(): Promise<void>;
}

export function controlPath(settings: MachinesSettings): string {
  return join(settings.directory, 'lab.sock');
}

/** Resolves when both have booted (or are made, without power). Must run inside the rack (enter.ts). */
export async function holdMachines(
  settings: MachinesSettings,
  specs: Record<CoServerName, MachineSpec>,
  options: { power: boolean; runsProduct: boolean; workload: MachinesWorkload },
  tell: (text: string) => void,
): Promise<HeldMachines> {
  const ended = Promise.withResolvers<void>();
  let lab: MachinesLab | undefined;
  let control: ControlSocket | undefined;
  let going: Promise<void> | undefined;
  const takeDown = () => {
    going ??= (async () => {
      await lab?.close();
      await control?.close();
      ended.resolve();
    })();
    return going;
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void takeDown());
  // What an earlier lab left: its disks would be refused.
  for (const name of CO_SERVERS) rmSync(machinePaths(settings, name).directory, { recursive: true, force: true });
  lab = await MachinesLab.make(await prepareMachines(settings, specs, options, tell), tell);
  const held = lab;
  try {
    control = await ControlSocket.listen(controlPath(settings), (request) => obey(held, request, takeDown));
    if (options.power) {
      for (const name of CO_SERVERS) await held.power(name).on();
      await Promise.race([Promise.all(CO_SERVERS.map((name) => held.booted(name, BOOT_TIMEOUT_MS))), ended.promise]);
    }
  } catch (error) {
    await takeDown();
    throw error;
  }
  return { lab: held, gone: ended.promise, takeDown };
}

export function parseLabFault(text: string): LabFault {
  const found = LAB_FAULT_NAMES.find((fault) => fault === text);
  if (found === undefined) throw new LabError(`"${text}" is no fault that can be made here`, `give one of ${LAB_FAULT_NAMES.join(', ')}`);
  return found;
}

async function obey(lab: MachinesLab, request: LabRequest, takeDown: () => Promise<void>): Promise<unknown> {
  const [first = '', second = ''] = request.target.split(' ');
  switch (request.action) {
    case 'status':
      return lab.status();
    case 'power': {
      const power = lab.power(parseCoServer(second));
      if (first === 'status') return power.status();
      if (first === 'on') return power.on().then(() => 'on');
      if (first === 'off') return power.off().then(({ secondOffMs }) => `off, verified after ${secondOffMs} ms`);
      throw new LabError(`"${first}" is nothing that power can be`, 'give on, off or status');
    }
    case 'replace': {
      const name = parseCoServer(first);
      await lab.replace(name, second === 'twin' ? TWIN : mismatched(TWIN, parseMismatch(second)));
      await lab.power(name).on();
      return lab.booted(name, BOOT_TIMEOUT_MS);
    }
    case 'wait':
      return lab.booted(parseCoServer(first), Number(second) * 1000);
    case 'serial':
      return lab.machine(parseCoServer(first)).serialDevice();
    case 'inject':
      return (await lab.inject(parseLabFault(first), parseCoServer(second))).how;
    case 'clear':
      return lab.clear({ fault: parseLabFault(first), server: parseCoServer(second) });
    case 'prove':
      return prove(lab, parseLabFault(first), parseCoServer(second));
    case 'monitor':
      return lab
        .machine(parseCoServer(first))
        .monitor.execute('human-monitor-command', { 'command-line': request.target.slice(first.length + 1) });
    case 'exec':
      return lab.machine(parseCoServer(first)).hands.ask(request.target.slice(first.length + 1), EXEC_TIMEOUT_MS);
    case 'guest': {
      const client = new TinyClient();
      if (first === 'status') return client.status(GUEST_TIMEOUT_MS);
      if (first !== 'append' || !/^\d{1,9}$/.test(second))
        throw new LabError(
          `"${request.target}" is nothing that the tiny guest understands`,
          'give status, or append and a number of up to nine digits',
        );
      return client.append(Number(second), GUEST_TIMEOUT_MS).then(() => `ok ${second}`);
    }
    case 'down':
      void takeDown();
      return null;
    default:
      throw new LabError(`the lab does not know "${request.action}"`);
  }
}
