// Where everything of one lab is and what it is called. An instance name keeps two labs on a machine apart; their addresses
// are the same, because each lab's networks exist in its own namespaces only.
import { join } from 'node:path';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { LabError } from './lab-error.ts';

export const CO_SERVERS: readonly CoServerName[] = ['A', 'B'];
export const LINKS = [1, 2] as const;
export type LinkNumber = (typeof LINKS)[number];

/** Instances whose web consoles get ports of their own by counting up from 8443: more would meet other well-known ports. */
const PORT_STEP = 10;
const FIRST_WEB_PORT = 8443;

export interface LabSettings {
  instance: string;
  /** Everything of this lab on the host's disk. */
  directory: string;
  /** Outlives the lab: what was built for it. */
  cacheDirectory: string;
  /** On 127.0.0.1 of the host. */
  webPorts: Record<CoServerName, number>;
  namespaces: { rack: string; lan: string; witness: string; A: string; B: string; bmcA: string; bmcB: string };
}

export function labSettings(options: { instance?: string; root?: string; webPort?: number } = {}): LabSettings {
  const instance = options.instance ?? process.env.TWINSTEP_LAB_INSTANCE ?? '0';
  if (!/^[a-z0-9]{1,4}$/.test(instance))
    throw new LabError(`"${instance}" cannot name a lab`, 'give one to four small letters or digits: --instance 1');
  const number = /^\d{1,2}$/.test(instance) ? Number(instance) : 0;
  const webPort = options.webPort ?? FIRST_WEB_PORT + PORT_STEP * number;
  if (!Number.isInteger(webPort) || webPort < 1 || webPort > 65534)
    throw new LabError(`${webPort} is not a port`, 'give one from 1 to 65534: --port 9443');
  const root = options.root ?? process.env.TWINSTEP_LAB_DIR ?? '/var/lib/twinstep-lab';
  const name = (what: string) => `ts${instance}-${what}`;
  return {
    instance,
    directory: join(root, instance),
    cacheDirectory: join(root, 'cache'),
    webPorts: { A: webPort, B: webPort + 1 },
    namespaces: {
      rack: name('rack'),
      lan: name('lan'),
      witness: name('witness'),
      A: name('a'),
      B: name('b'),
      bmcA: name('bmc-a'),
      bmcB: name('bmc-b'),
    },
  };
}

/** Paths of one CoServer: on the host, and where they are mounted in the CoServer. */
export function coServerPaths(settings: LabSettings, name: CoServerName) {
  const own = (what: string) => join(settings.directory, name, what);
  return {
    /** Empty on the host: the mount point of the CoServer's root in its own mount namespace. */
    root: own('root'),
    state: own('state'),
    disks: own('disks'),
    log: own('log'),
    run: own('run'),
    etc: own('etc'),
    undo: own('undo'),
    serial: own('serial'),
    bmc: own('bmc'),
    consoleSocket: join(own('run'), 'console.sock'),
  };
}

/** The same places as the CoServer sees them. */
export const INSIDE = {
  state: '/var/lib/twinstep/state',
  disks: '/var/lib/twinstep/disks',
  log: '/var/log/twinstep',
  run: '/run/twinstep',
  etc: '/etc/twinstep',
  undo: '/run/volatile-cache',
  bundle: '/opt/twinstep',
  guest: '/opt/guest',
  tools: '/opt/lab',
  control: '/run/lab',
  serial: '/dev/ttyTwinstep',
} as const;

export function labPaths(settings: LabSettings) {
  const at = (what: string) => join(settings.directory, what);
  return {
    record: at('lab.json'),
    control: at('control'),
    controlSocket: at('control/lab.sock'),
    log: at('lab.log'),
    bundle: at('bundle'),
    guest: at('guest'),
    tools: at('tools'),
    forward: at('forward'),
    witness: { state: at('witness/state'), log: at('witness/log') },
  };
}

export const ADDRESSES = {
  lan: { ipv4: '10.77.0.1/24', ipv6: 'fd77::1/64' },
  witness: '10.78.0.100',
  witnessPort: 7410,
  management: { A: '10.78.0.1', B: '10.78.0.2' },
  bmc: { A: '10.78.0.11', B: '10.78.0.12' },
  bmcPort: 623,
  link: (link: LinkNumber, name: CoServerName) => `10.76.${link}.${name === 'A' ? 1 : 2}`,
  linkNetwork: (link: LinkNumber) => `10.76.${link}.0/24`,
} as const;

export function bmcNamespace(name: CoServerName): 'bmcA' | 'bmcB' {
  return name === 'A' ? 'bmcA' : 'bmcB';
}

/** In the lab's control folder, which every CoServer sees. */
export function watchdogSocketName(name: CoServerName): string {
  return `watchdog-${name.toLowerCase()}.sock`;
}

export function partnerOf(name: CoServerName): CoServerName {
  return name === 'A' ? 'B' : 'A';
}
