// What the two whole machines are told: the configuration of the lab of namespaces, with the devices of a real server.
import { stringify } from 'yaml';
import type { CoServerConfig } from '../../../appliance/config.ts';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { coServerConfig, type LabWorkload, type PairSecrets } from '../configuration.ts';
import { GUEST_APPEND } from '../guest/build.ts';
import { ADDRESSES, partnerOf } from '../settings.ts';
import { BMC_ADDRESS, BMC_PORT, type MachinesSettings } from './settings.ts';
import { macOf, NIC_ROLES, type NicRole } from './spec.ts';

/** The mirrored disk in it leaves room for the file system's own. */
export const WORKLOAD_MIB = 64;

const WORKLOAD: LabWorkload = {
  acceleration: 'tcg',
  append: GUEST_APPEND,
  mode: 'lockstep',
  idleMs: 1000,
  diskMiB: WORKLOAD_MIB,
  rejoin: { losses: 1000, windowMinutes: 60, quarantineMinutes: 120 },
  // Two emulated machines on the cores of one: either may wait for many seconds.
  watchdogS: 60,
};

export type Policy = CoServerConfig['qualification']['policy'];

export function machineConfig(name: CoServerName, secrets: PairSecrets, settings: MachinesSettings, policy: Policy): CoServerConfig {
  const base = coServerConfig(name, secrets, WORKLOAD, settings.webPorts);
  const { fence, watchdog, console: consoles, heartbeat, disk, engine, workload } = base;
  const { labSocket: _, ...rest } = base;
  return {
    ...rest,
    labSocket: '',
    fence: { ...fence, address: BMC_ADDRESS[partnerOf(name)], port: BMC_PORT },
    watchdog: { ...watchdog, device: '/dev/watchdog' },
    heartbeat: { ...heartbeat, intervalMs: 100, timeoutMs: 3_000 },
    disk: { ...disk, timeoutMs: 20_000 },
    hardware: { watch: 'on', bmc: '/dev/ipmi0' },
    qualification: { policy },
    stateDir: '/var/lib/twinstep/state',
    console: { ...consoles, serial: '/dev/ttyS0' },
    engine: { ...engine, logDir: '/var/lib/twinstep/log' },
    // An engine under emulation inside emulation: minutes until its guest is ready.
    workload: { ...workload, bootTimeoutS: 3600, disk: { ...workload.disk, path: '/var/lib/twinstep/disks/disk0' } },
  };
}

/** The files that make a machine of the image this one. */
export function machineFiles(
  name: CoServerName,
  secrets: PairSecrets,
  settings: MachinesSettings,
  options: { runsProduct: boolean; policy: Policy },
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
    'etc/twinstep/config.yaml': stringify(machineConfig(name, secrets, settings, options.policy)),
    'etc/twinstep/pair.key': `${secrets.pairKey}\n`,
    'etc/twinstep/bmc.password': `${secrets.bmcPasswords[partnerOf(name)]}\n`,
  };
}
