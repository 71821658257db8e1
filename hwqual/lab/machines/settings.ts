// Where a lab of whole machines keeps its things, and what they are called. Its instance name keeps it apart from other labs.
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { LabError } from '../lab-error.ts';

const FIRST_WEB_PORT = 8643;

export interface MachinesSettings {
  instance: string;
  directory: string;
  namespace: string;
  /** On 127.0.0.1 of this machine. */
  webPorts: Record<CoServerName, number>;
}

export function machinesSettings(options: { instance?: string; webPort?: number } = {}): MachinesSettings {
  const instance = options.instance ?? process.env.TWINSTEP_LAB_INSTANCE ?? '0';
  if (!/^[a-z0-9]{1,4}$/.test(instance))
    throw new LabError(`"${instance}" cannot name a lab`, 'give one to four small letters or digits: --instance 1');
  const webPort = options.webPort ?? FIRST_WEB_PORT;
  if (!Number.isInteger(webPort) || webPort < 1 || webPort > 65534)
    throw new LabError(`${webPort} is not a port`, 'give one from 1 to 65534: --port 9643');
  return {
    instance,
    directory: join(process.env.TWINSTEP_LAB_DIR ?? '/var/lib/twinstep-lab', `machines-${instance}`),
    namespace: `tsm${instance}-rack`,
    webPorts: { A: webPort, B: webPort + 1 },
  };
}

/** Paths of one machine below the lab's directory. */
export function machinePaths(settings: MachinesSettings, name: CoServerName) {
  const own = (what: string) => join(settings.directory, name, what);
  return {
    directory: join(settings.directory, name),
    initrd: own('initrd.cpio'),
    nvme: own('nvme.img'),
    sata: own('sata.img'),
    /** Of its UEFI. */
    variables: own('variables.fd'),
    bmc: own('bmc'),
    start: own('start.sh'),
    qmp: own('qmp.sock'),
    hands: own('hands.sock'),
    /** What its kernel and its init say. */
    log: own('machine.log'),
    engineLog: own('qemu.log'),
  };
}

/** In the lab's namespace; the machines' own are those of the lab of namespaces. */
export const LAB_ADDRESS = '10.78.0.254';
/** TCP on loopback of the lab's namespace: where a machine's KCS meets its BMC. */
export const KCS_PORT: Record<CoServerName, number> = { A: 9801, B: 9802 };
export const BMC_ADDRESS: Record<CoServerName, string> = { A: '10.78.0.11', B: '10.78.0.12' };
export const BMC_PORT = 623;
