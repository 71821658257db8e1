// From the answers to the files that a CoServer starts with. Pure: what stands in them follows from the answers and from what was found.
import { createHash } from 'node:crypto';
import { stringify } from 'yaml';
import type { CoServerConfig } from '../config.ts';
import { type Answers, LINK_NETWORKS, parseCidr } from './answers.ts';
import { type HandOver, withHandOver } from './hand-over.ts';
import type { NicFact, Role, Roles } from './roles.ts';

/** What this server has. */
export interface Machine {
  kvm: boolean;
  /** '' : none. */
  watchdog: string;
  bmc: string;
  /** The line of the serial console; '': none. */
  serial: string;
}

export interface Partner {
  /** Without the length of its network; '': not known. */
  managementAddress: string;
  /** Of a pair that runs, whose lost CoServer this one replaces; null: the pair is new. */
  handOver: HandOver | null;
}

export interface PlanInput {
  answers: Answers;
  nics: readonly NicFact[];
  roles: Roles;
  pairId: string;
  machine: Machine;
  partner: Partner;
  stateFolder: string;
  runFolder: string;
}

export interface PlannedFile {
  /** Relative to the state folder. */
  path: string;
  text: string;
}

/** In the order in which they are put in place: the configuration last, because it is what makes the CoServer start. */
export function planFiles(input: PlanInput): PlannedFile[] {
  const config = planConfig(input);
  const files: PlannedFile[] = [{ path: 'nics', text: nicsText(input, config) }];
  if (config.fence.address !== '') files.push({ path: 'state/bmc.password', text: `${input.answers['fence.password']}\n` });
  return [...files, { path: 'config.yaml', text: `# Written by the setup of this CoServer.\n${stringify(config)}` }];
}

const linksOf = ({ nics, roles }: PlanInput): Role[] =>
  (['link1', 'link2'] as const).filter((role) => nics.some((n) => roles[n.mac] === role));

const linkAddress = (role: Role, coServer: 'A' | 'B'): string => `${LINK_NETWORKS[role === 'link1' ? 0 : 1]}.${coServer === 'A' ? 1 : 2}`;

/** Lines of name, MAC address, address/prefix or "-", and a router where there is one: what init of the image reads. */
function nicsText(input: PlanInput, { links }: CoServerConfig): string {
  const lines = input.nics.flatMap((nic) => {
    const role = input.roles[nic.mac] ?? 'none';
    switch (role) {
      case 'none':
        return [];
      case 'link1':
      case 'link2':
        return links.flatMap(({ nic: name, address }, i) =>
          name === role ? [`${role} ${nic.mac} ${address}/${input.partner.handOver?.links[i]?.bits ?? 30}`] : [],
        );
      case 'lan0':
        return [`${role} ${nic.mac} -`];
      case 'mgmt0':
        return [`${role} ${nic.mac} ${input.answers['management.address']} ${input.answers['management.gateway']}`.trimEnd()];
      default:
        return role satisfies never;
    }
  });
  return `${lines.join('\n')}\n`;
}

/** The guest's NIC is the same on both: made from what both know. 52:54:00 is what virtual machines have. */
export function guestMac(pairId: string): string {
  const digest = createHash('sha256').update(`guest ${pairId}`).digest();
  return ['52', '54', '00', ...[0, 1, 2].map((i) => digest.toString('hex', i, i + 1))].join(':');
}

export function planConfig(input: PlanInput): CoServerConfig {
  const planned = newConfig(input);
  const { handOver } = input.partner;
  return handOver ? withHandOver(planned, handOver) : planned;
}

function newConfig(input: PlanInput): CoServerConfig {
  const { answers, machine, pairId, stateFolder, runFolder } = input;
  const coServer = answers.coServer === 'B' ? 'B' : 'A';
  const other = coServer === 'A' ? 'B' : 'A';
  const own = parseCidr(answers['management.address'])?.address ?? '';
  const partner = input.partner.managementAddress;
  const url = (address: string): string => (address === '' ? '' : `https://${address}/`);
  const state = `${stateFolder}/state`;
  // Without KVM everything is emulated, this server too: it stands still for seconds, and its engines and threads are as late.
  const isSlow = !machine.kvm;
  const watchdogS = answers['guest.level'] === '2' ? 3 : 10;
  return {
    coServer,
    pair: { id: pairId, keyFile: `${state}/pair.key` },
    links: linksOf(input).map((role) => ({ nic: role, address: linkAddress(role, coServer), peer: linkAddress(role, other) })),
    business: { nic: 'lan0' },
    management: { nic: 'mgmt0', address: own, peer: partner },
    witness: { address: answers['witness.address'], port: Number(answers['witness.port']) },
    rejoin: { losses: 3, windowMinutes: 60, quarantineMinutes: 120, compatibleVersions: [] },
    hardware: { watch: 'on', bmc: machine.bmc },
    qualification: { policy: 'identical' },
    fence: {
      address: answers['fence.address'],
      port: 623,
      username: answers['fence.address'] === '' ? '' : answers['fence.username'],
      passwordFile: answers['fence.address'] === '' ? '' : `${state}/bmc.password`,
      cipherSuite: answers['fence.cipherSuite'] === '3' ? 3 : 17,
    },
    watchdog: { device: machine.watchdog, timeoutS: isSlow ? 60 : watchdogS },
    ups: { address: '', port: 3493, name: 'ups' },
    heartbeat: isSlow ? { intervalMs: 1_000, timeoutMs: 10_000 } : { intervalMs: 20, timeoutMs: 400 },
    resync: { maximumMiBPerS: 0 },
    checkpoint: {
      mode: 'lockstep',
      hold: isSlow ? { dataMs: 500, ackMs: 500 } : { dataMs: 25, ackMs: 100 },
      outputDelayMs: 5,
      idleMs: isSlow ? 5_000 : 1_000,
      minimumMs: 20,
    },
    restorePoints: { directory: '', maximumMiB: 0, reserveMiB: 1_024, everyMinutes: 0, keep: 24 },
    disk: isSlow ? { timeoutMs: 60_000, acknowledgeMs: 30_000 } : { timeoutMs: 8_000, acknowledgeMs: 4_000 },
    scrub: { rateMiBPerS: 20, everyHours: 168 },
    console: {
      port: 443,
      passwordHash: answers.password,
      socket: `${runFolder}/console.sock`,
      serial: machine.serial,
      urls: { A: url(coServer === 'A' ? own : partner), B: url(coServer === 'B' ? own : partner) },
    },
    stateDir: state,
    runDir: runFolder,
    labSocket: '',
    engine: {
      binary: '/usr/bin/qemu-system-x86_64',
      // The next version of the image may bring another one.
      version: 'image',
      acceleration: machine.kvm ? 'kvm' : 'tcg',
      logDir: `${stateFolder}/log`,
    },
    workload: {
      name: answers['guest.name'],
      level: answers['guest.level'] === '2' ? 2 : 3,
      memoryMiB: Number(answers['guest.memoryMiB']),
      cpus: Number(answers['guest.cpus']),
      mac: guestMac(pairId),
      disk: { path: answers['guest.disk'], sizeMiB: Number(answers['guest.diskMiB']), cache: 'buffered', durability: 'flushed' },
      // Beside the disk where it is a file; a device has no folder.
      keepDir: answers['guest.disk'].startsWith('/dev/') ? `${stateFolder}/disks` : '',
      kernel: answers['guest.kernel'],
      initrd: answers['guest.initrd'],
      append: answers['guest.append'],
      readyMarker: answers['guest.readyMarker'],
      bootTimeoutS: isSlow ? 900 : 120,
    },
  };
}
