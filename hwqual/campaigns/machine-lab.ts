// The world of a hardware campaign: two whole machines of its own under QEMU, or the two real servers of a real.yaml. Either way a Lab, and
// the addresses of the servers' web consoles.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { LabError } from '../lab/lab-error.ts';
import type { Lab } from '../lab/lab-interface.ts';
import { insideRack } from '../lab/machines/enter.ts';
import { holdMachines } from '../lab/machines/holder.ts';
import type { MachinesLab } from '../lab/machines/lab.ts';
import { Rack } from '../lab/machines/rack.ts';
import { machinesSettings } from '../lab/machines/settings.ts';
import { TWIN } from '../lab/machines/spec.ts';
import { requireRoot } from '../lab/prepare.ts';
import { openRealLab } from '../lab/real-lab.ts';
import { ADDRESSES } from '../lab/settings.ts';
import { ConsoleClient } from './console-client.ts';

const WEB_PORT = 443;
/** Set for the part of this program that runs inside the rack. */
const INSIDE = 'TWINSTEP_MACHINES_INSIDE';

export interface MachineWorld {
  lab: Lab;
  /** Null: real servers, which have no such hands. */
  machines: MachinesLab | null;
  consoles: Record<CoServerName, ConsoleClient>;
  wasInterrupted(): boolean;
}

export interface WorldFlags {
  instance: string;
  port?: string | undefined;
  /** Path of a real.yaml. */
  real?: string | undefined;
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
  if (process.env[INSIDE] !== settings.instance) {
    await new Rack(settings).sweep();
    process.env[INSIDE] = settings.instance;
  }
  if (!(await insideRack(settings, engineRootPath()))) return null;
  const options = { power: true, runsProduct: true, policy: 'none' } as const;
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
      machines: held.lab,
      consoles: { A: at('A'), B: at('B') },
      wasInterrupted: () => interrupted,
    });
  } finally {
    await held.takeDown();
  }
}

async function withReal(path: string, say: (text: string) => void, work: (world: MachineWorld) => Promise<number>): Promise<number> {
  const lab = openRealLab(path, say);
  const { consoles } = lab;
  if (consoles === null)
    throw new LabError(`${path} has no web consoles`, 'give servers.A.console and servers.B.console an address and a passwordFile');
  let interrupted = false;
  process.once('SIGINT', () => {
    interrupted = true;
  });
  try {
    const clients = { A: new ConsoleClient(consoles.A), B: new ConsoleClient(consoles.B) };
    return await work({ lab, machines: null, consoles: clients, wasInterrupted: () => interrupted });
  } finally {
    await lab.close();
  }
}
