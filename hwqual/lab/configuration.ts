// What a pair is told before its first start: the configuration of each CoServer, the pair's key, the console's password.
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hash } from '@node-rs/argon2';
import { stringify } from 'yaml';
import type { CoServerConfig } from '../../appliance/config.ts';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import {
  ADDRESSES,
  CO_SERVERS,
  coServerPaths,
  INSIDE,
  type LabSettings,
  LINKS,
  labPaths,
  partnerOf,
  watchdogSocketName,
} from './settings.ts';

export interface LabWorkload {
  acceleration: 'kvm' | 'tcg';
  append: string;
  mode: 'passive' | 'lockstep';
  /** The longest time without a checkpoint. */
  idleMs: number;
  diskMiB: number;
  /** Of the guest; 256 when it is left out. */
  memoryMiB?: number;
  rejoin: { losses: number; windowMinutes: number; quarantineMinutes: number };
  /** Not renewed for so long, a CoServer is reset. */
  watchdogS: number;
  /** The protection level; 3 when it is left out. */
  level?: 2 | 3;
  /** How the disk is used; left out as the product does by itself. */
  disk?: Partial<DiskUse>;
}

export type DiskUse = Pick<CoServerConfig['workload']['disk'], 'cache' | 'durability'>;

/** The guest's own address; the clients in the LAN namespace reach it there. */
const GUEST_MAC = '52:54:00:77:00:0a';
/** Without the characters that look alike. */
const PASSWORD_ALPHABET = 'abcdefghjkmnpqrstuvwxyz23456789';
const PASSWORD_CHARACTERS = 16;
export const BMC_USERNAME = 'twinstep';

export interface PairSecrets {
  pairId: string;
  pairKey: string;
  password: string;
  passwordHash: string;
  /** Of each CoServer's own BMC; the partner is told it. */
  bmcPasswords: Record<CoServerName, string>;
}

export async function makeSecrets(): Promise<PairSecrets> {
  const password = makePassword();
  return {
    pairId: randomBytes(16).toString('hex'),
    pairKey: randomBytes(32).toString('hex'),
    password,
    passwordHash: await hash(password),
    bmcPasswords: { A: makePassword(), B: makePassword() },
  };
}

function makePassword(): string {
  // Bytes beyond the last whole alphabet are dropped: every character is equally likely.
  const usable = [...randomBytes(8 * PASSWORD_CHARACTERS)].filter((b) => b < 256 - (256 % PASSWORD_ALPHABET.length));
  return usable
    .slice(0, PASSWORD_CHARACTERS)
    .map((b) => PASSWORD_ALPHABET[b % PASSWORD_ALPHABET.length])
    .join('');
}

export function coServerConfig(
  name: CoServerName,
  secrets: PairSecrets,
  workload: LabWorkload,
  webPorts: LabSettings['webPorts'],
): CoServerConfig {
  return {
    coServer: name,
    pair: { id: secrets.pairId, keyFile: `${INSIDE.etc}/pair.key` },
    links: LINKS.map((l) => ({ nic: `link${l}`, address: ADDRESSES.link(l, name), peer: ADDRESSES.link(l, partnerOf(name)) })),
    business: { nic: 'lan0' },
    management: { nic: 'mgmt0', address: ADDRESSES.management[name], peer: ADDRESSES.management[partnerOf(name)] },
    witness: { address: ADDRESSES.witness, port: ADDRESSES.witnessPort },
    rejoin: { ...workload.rejoin, compatibleVersions: [] },
    resync: { maximumMiBPerS: 0 },
    // Both CoServers are on one machine, and neither has hardware of its own.
    hardware: { watch: 'off', bmc: '' },
    qualification: { policy: 'none' },
    fence: {
      address: ADDRESSES.bmc[partnerOf(name)],
      port: ADDRESSES.bmcPort,
      username: BMC_USERNAME,
      passwordFile: `${INSIDE.etc}/bmc.password`,
      // The simulator has no other that is good.
      cipherSuite: 3,
    },
    watchdog: { device: `unix:${INSIDE.control}/${watchdogSocketName(name)}`, timeoutS: workload.watchdogS },
    ups: { address: '', port: 3493, name: 'ups' },
    // Both CoServers share the cores of one machine with their guests: silence of a third of a second may still be the scheduler's.
    heartbeat: { intervalMs: 20, timeoutMs: 400 },
    checkpoint: {
      mode: workload.mode,
      hold: workload.acceleration === 'tcg' ? { dataMs: 60, ackMs: 120 } : { dataMs: 25, ackMs: 100 },
      outputDelayMs: 5,
      idleMs: workload.idleMs,
      minimumMs: 20,
    },
    restorePoints: { directory: '', maximumMiB: 0, reserveMiB: 64, everyMinutes: 0, keep: 24 },
    // A hung disk is injected, not slow: two seconds are enough to tell, on a machine where everything is slow.
    disk: { timeoutMs: 2_000, acknowledgeMs: 1_500 },
    scrub: { rateMiBPerS: 50, everyHours: 168 },
    console: {
      port: 443,
      passwordHash: secrets.passwordHash,
      socket: `${INSIDE.run}/console.sock`,
      serial: INSIDE.serial,
      urls: { A: `https://127.0.0.1:${webPorts.A}/`, B: `https://127.0.0.1:${webPorts.B}/` },
    },
    stateDir: INSIDE.state,
    runDir: INSIDE.run,
    labSocket: `${INSIDE.control}/lab.sock`,
    engine: { binary: '/usr/bin/qemu-system-x86_64', version: '11.1', acceleration: workload.acceleration, logDir: INSIDE.log },
    workload: {
      name: 'records',
      level: workload.level ?? 3,
      memoryMiB: workload.memoryMiB ?? 256,
      cpus: 1,
      mac: GUEST_MAC,
      disk: { path: `${INSIDE.disks}/disk0`, sizeMiB: workload.diskMiB, cache: 'buffered', durability: 'flushed', ...workload.disk },
      keepDir: '',
      kernel: `${INSIDE.guest}/kernel`,
      initrd: `${INSIDE.guest}/initrd.gz`,
      append: workload.append,
      readyMarker: 'GUEST READY',
      bootTimeoutS: 120,
    },
  };
}

/** Writes both CoServers' configuration folders. Secrets get mode 0600. */
export function writeConfiguration(settings: LabSettings, secrets: PairSecrets, workload: LabWorkload): void {
  for (const name of CO_SERVERS) {
    const { etc } = coServerPaths(settings, name);
    mkdirSync(etc, { recursive: true, mode: 0o700 });
    writeFileSync(join(etc, 'config.yaml'), stringify(coServerConfig(name, secrets, workload, settings.webPorts)), { mode: 0o600 });
    writeFileSync(join(etc, 'pair.key'), `${secrets.pairKey}\n`, { mode: 0o600 });
    writeFileSync(join(etc, 'bmc.password'), `${secrets.bmcPasswords[partnerOf(name)]}\n`, { mode: 0o600 });
  }
  const { witness } = labPaths(settings);
  mkdirSync(witness.state, { recursive: true, mode: 0o700 });
  mkdirSync(witness.log, { recursive: true });
}
