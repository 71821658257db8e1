// What the two whole machines are told: the configuration of the lab of namespaces, with the devices of a real server.
import { stringify } from 'yaml';
import type { CoServerConfig } from '../../../appliance/config.ts';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { coServerConfig, type LabWorkload, type PairSecrets } from '../configuration.ts';
import { GUEST_APPEND } from '../guest/build.ts';
import { TINY_DISK_MIB, TINY_MEMORY_MIB, tinyAppend } from '../guest/tiny/build.ts';
import type { GuestKind } from '../prepare.ts';
import { ADDRESSES, partnerOf } from '../settings.ts';
import { BMC_ADDRESS, BMC_PORT, type MachinesSettings } from './settings.ts';
import { macOf, NIC_ROLES, type NicRole } from './spec.ts';

export type Policy = CoServerConfig['qualification']['policy'];

/** What the machines do. */
export interface MachinesWorkload {
  /** linux: what the lab of namespaces runs; an engine under emulation inside emulation needs many minutes until it is ready. */
  guest: GuestKind;
  level: 2 | 3;
  policy: Policy;
}

export const DEFAULT_WORKLOAD: MachinesWorkload = { guest: 'tiny', level: 3, policy: 'identical' };

/** The mirrored disk; in the data disk it leaves room for the file system's own. */
export function workloadDiskMiB(guest: GuestKind): number {
  return guest === 'tiny' ? TINY_DISK_MIB : 64;
}

/** Two emulated machines on the cores of one: either may wait for many seconds. */
const WATCHDOG_S = 180;
/** Each checkpoint takes the CPU's time of both machines, and an idle guest needs none for long. */
const IDLE_MS = 5_000;
/** A replica inside emulation is slower than what a client waits for; a checkpoint for each late frame would make it slower yet. */
const HOLD = { dataMs: 500, ackMs: 500 };

function labWorkload({ guest, level }: MachinesWorkload): LabWorkload {
  return {
    acceleration: 'tcg',
    append: guest === 'tiny' ? tinyAppend() : GUEST_APPEND,
    ...(guest === 'tiny' ? { memoryMiB: TINY_MEMORY_MIB } : {}),
    mode: 'lockstep',
    idleMs: IDLE_MS,
    diskMiB: workloadDiskMiB(guest),
    rejoin: { losses: 1000, windowMinutes: 60, quarantineMinutes: 120 },
    watchdogS: WATCHDOG_S,
    level,
  };
}

export function machineConfig(
  name: CoServerName,
  secrets: PairSecrets,
  settings: MachinesSettings,
  machines: MachinesWorkload,
): CoServerConfig {
  const base = coServerConfig(name, secrets, labWorkload(machines), settings.webPorts);
  const { fence, watchdog, console: consoles, heartbeat, checkpoint, disk, engine, workload } = base;
  const { labSocket: _, ...rest } = base;
  return {
    ...rest,
    labSocket: '',
    fence: { ...fence, address: BMC_ADDRESS[partnerOf(name)], port: BMC_PORT },
    watchdog: { ...watchdog, device: '/dev/watchdog' },
    // Emulated machines on a busy one stand still for seconds, and each frame costs them much; the time-out also tells the product that engines and threads are as slow.
    heartbeat: { ...heartbeat, intervalMs: 1_000, timeoutMs: 10_000 },
    disk: { ...disk, timeoutMs: 60_000, acknowledgeMs: 30_000 },
    hardware: { watch: 'on', bmc: '/dev/ipmi0' },
    qualification: { policy: machines.policy },
    checkpoint: { ...checkpoint, hold: HOLD },
    stateDir: '/var/lib/twinstep/state',
    console: { ...consoles, serial: '/dev/ttyS0' },
    engine: { ...engine, logDir: '/var/lib/twinstep/log' },
    workload: {
      ...workload,
      bootTimeoutS: machines.guest === 'tiny' ? 600 : 3600,
      disk: { ...workload.disk, path: '/var/lib/twinstep/disks/disk0' },
    },
  };
}

/** The files that make a machine of the image this one. */
export function machineFiles(
  name: CoServerName,
  secrets: PairSecrets,
  settings: MachinesSettings,
  options: { runsProduct: boolean; workload: MachinesWorkload },
): Record<string, string> {
  const address: Record<NicRole, string> = {
    link1: ADDRESSES.link(1, name),
    link2: ADDRESSES.link(2, name),
    mgmt0: ADDRESSES.management[name],
    lan0: '-',
  };
  return {
    'etc/machine/product': options.runsProduct ? 'yes\n' : 'no\n',
    'etc/machine/name': `${name.toLowerCase()}\n`,
    'etc/machine/nics': NIC_ROLES.map((role) => `${role} ${macOf(name, role)} ${address[role]}\n`).join(''),
    'etc/twinstep/config.yaml': stringify(machineConfig(name, secrets, settings, options.workload)),
    'etc/twinstep/pair.key': `${secrets.pairKey}\n`,
    'etc/twinstep/bmc.password': `${secrets.bmcPasswords[partnerOf(name)]}\n`,
  };
}
