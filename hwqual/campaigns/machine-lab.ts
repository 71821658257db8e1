// The world of a hardware campaign: two whole machines of its own under QEMU, two that are up already (`lab:machines -- up`), or the two real
// servers of a real.yaml. In each a Lab, and the servers' web consoles.
import { readFileSync } from 'node:fs';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { askLab } from '../lab/control-socket.ts';
import { LabError } from '../lab/lab-error.ts';
import { LAB_FAULT_NAMES, type Lab } from '../lab/lab-interface.ts';
import { DEFAULT_WORKLOAD } from '../lab/machines/configuration.ts';
import { insideRack } from '../lab/machines/enter.ts';
import { RECIPES } from '../lab/machines/faults.ts';
import type { HandsAnswer } from '../lab/machines/hands.ts';
import { controlPath, holdMachines } from '../lab/machines/holder.ts';
import { Rack } from '../lab/machines/rack.ts';
import { type MachinesSettings, machinesSettings } from '../lab/machines/settings.ts';
import { TWIN } from '../lab/machines/spec.ts';
import { requireRoot } from '../lab/prepare.ts';
import { openRealLab } from '../lab/real-lab.ts';
import { ADDRESSES } from '../lab/settings.ts';
import { ConsoleClient } from './console-client.ts';

const WEB_PORT = 443;
const HANDS_TIMEOUT_MS = 300_000;
/** Set for the part of this program that runs inside the rack. */
const INSIDE = 'TWINSTEP_MACHINES_INSIDE';

export interface MachineWorld {
  lab: Lab;
  /** A shell command in a machine, its output; null: real servers have no such hands. */
  hands: ((server: CoServerName, command: string) => Promise<string>) | null;
  consoles: Record<CoServerName, ConsoleClient>;
  wasInterrupted(): boolean;
  /** Resolves then. */
  interrupted: Promise<void>;
}

export interface WorldFlags {
  instance: string;
  port?: string | undefined;
  /** Path of a real.yaml. */
  real?: string | undefined;
  /** Path of a file with the password of the consoles of machines that are up already. */
  held?: string | undefined;
}

/** Runs `work` with two servers, and ends them if they are this program's own. Answers its exit code; null: it ran in the rack, and set ours. */
export async function withMachines(
  flags: WorldFlags,
  say: (text: string) => void,
  work: (world: MachineWorld) => Promise<number>,
): Promise<number | null> {
  if (flags.real !== undefined) return withReal(flags.real, say, work);
  requireRoot();
  const settings = machinesSettings({ instance: flags.instance, ...(flags.port === undefined ? {} : { webPort: Number(flags.port) }) });
  if (flags.held !== undefined) return withHeld(settings, flags.held, work);
  if (process.env[INSIDE] !== settings.instance) {
    await new Rack(settings).sweep();
    process.env[INSIDE] = settings.instance;
  }
  if (!(await insideRack(settings, engineRootPath()))) return null;
  const options = { power: true, runsProduct: true, workload: { ...DEFAULT_WORKLOAD, policy: 'none' } as const };
  const held = await holdMachines(settings, { A: TWIN, B: TWIN }, options, say);
  let interrupted = false;
  void held.gone.then(() => {
    interrupted = true;
  });
  const at = (server: CoServerName) =>
    new ConsoleClient({ address: ADDRESSES.management[server], port: WEB_PORT, password: held.lab.secrets.password });
  try {
    return await work({
      lab: held.lab,
      hands: async (server, command) => (await held.lab.machine(server).hands.ask(command, HANDS_TIMEOUT_MS)).output,
      consoles: { A: at('A'), B: at('B') },
      wasInterrupted: () => interrupted,
      interrupted: held.gone,
    });
  } finally {
    await held.takeDown();
  }
}

/** Asks whoever holds them. They stay up. */
async function withHeld(settings: MachinesSettings, passwordFile: string, work: (world: MachineWorld) => Promise<number>): Promise<number> {
  const ask = async (action: string, ...words: string[]): Promise<unknown> => {
    const { result, close } = await askLab(controlPath(settings), { action, target: words.join(' ') });
    close();
    return result;
  };
  const refuse = (what: string) => new LabError(`${what} is not asked of machines that somebody else holds`);
  const lab: Lab = {
    world: 'virtual',
    faults: LAB_FAULT_NAMES,
    power: () => {
      throw refuse('power');
    },
    console: () => Promise.reject(refuse('a serial console')),
    inject: async (fault, server) => {
      const how = String(await ask('inject', fault, server));
      return { fault, server, how, atMs: performance.now(), isEvent: RECIPES[fault].clear === undefined };
    },
    clear: async ({ fault, server }) => String(await ask('clear', fault, server)),
    close: async () => undefined,
  };
  const password = readFileSync(passwordFile, 'utf8').trim();
  const at = (server: CoServerName) => new ConsoleClient({ address: '127.0.0.1', port: settings.webPorts[server], password });
  return work({
    lab,
    hands: async (server, command) => ((await ask('exec', server, command)) as HandsAnswer).output,
    consoles: { A: at('A'), B: at('B') },
    ...byKeyboard(),
  });
}

function byKeyboard(): Pick<MachineWorld, 'wasInterrupted' | 'interrupted'> {
  let was = false;
  const interrupted = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        was = true;
        resolve();
      });
  });
  return { wasInterrupted: () => was, interrupted };
}

async function withReal(path: string, say: (text: string) => void, work: (world: MachineWorld) => Promise<number>): Promise<number> {
  const lab = openRealLab(path, say);
  const { consoles } = lab;
  if (consoles === null)
    throw new LabError(`${path} has no web consoles`, 'give servers.A.console and servers.B.console an address and a passwordFile');
  try {
    const clients = { A: new ConsoleClient(consoles.A), B: new ConsoleClient(consoles.B) };
    return await work({ lab, hands: null, consoles: clients, ...byKeyboard() });
  } finally {
    await lab.close();
  }
}
