// What the two appliances of the lab are told: by their machines' host, NICs and a configuration each; or by their operator, who plugs in a stick
// with the answers of the first start. No key in either: they make it by pairing. The guest comes by the stick.
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { stringify } from 'yaml';
import type { CoServerConfig } from '../../../appliance/config.ts';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { fatFileSystem } from '../../../image/disk/fat.ts';
import { BMC_USERNAME, type PairSecrets } from '../configuration.ts';
import type { GuestImage } from '../guest/build.ts';
import { TINY_DISK_MIB, TINY_MEMORY_MIB, tinyAppend } from '../guest/tiny/build.ts';
import { machineConfig } from '../machines/configuration.ts';
import { BMC_ADDRESS, type MachinesSettings } from '../machines/settings.ts';
import { macOf, NIC_ROLES, type NicRole } from '../machines/spec.ts';
import { ADDRESSES, partnerOf } from '../settings.ts';

const STATE = '/var/lib/twinstep';
/** Files of the machine's host, as its kernel shows them. */
const GIVEN = '/sys/firmware/qemu_fw_cfg/by_name/opt/org.twinstep';
const STICK_BYTES = 160 << 20;
/** By this label the appliance knows a stick that is for it. */
const LABEL = 'TWINSTEP';

export type Level = 2 | 3;

export function applianceConfig(name: CoServerName, level: Level, secrets: PairSecrets, settings: MachinesSettings): CoServerConfig {
  const base = machineConfig(name, secrets, settings, { guest: 'tiny', level, policy: 'identical' });
  const { pair, fence, console: consoles, workload } = base;
  const url = (of: CoServerName) => `https://${ADDRESSES.management[of]}/`;
  return {
    ...base,
    pair: { ...pair, keyFile: `${STATE}/state/pair.key` },
    fence: { ...fence, passwordFile: `${GIVEN}/bmc/raw` },
    console: { ...consoles, urls: { A: url('A'), B: url('B') } },
    workload: {
      ...workload,
      kernel: `${STATE}/guest/kernel`,
      initrd: `${STATE}/guest/initrd`,
      disk: { ...workload.disk, path: `${STATE}/disks/guest` },
    },
  };
}

/** By name, as `-fw_cfg` gives them. */
export function givenFiles(name: CoServerName, level: Level, secrets: PairSecrets, settings: MachinesSettings): Record<string, string> {
  const address: Record<NicRole, string> = {
    link1: `${ADDRESSES.link(1, name)}/24`,
    link2: `${ADDRESSES.link(2, name)}/24`,
    mgmt0: `${ADDRESSES.management[name]}/24`,
    lan0: '-',
  };
  return {
    config: stringify(applianceConfig(name, level, secrets, settings)),
    nics: NIC_ROLES.map((role) => `${role} ${macOf(name, role)} ${address[role]}\n`).join(''),
    bmc: `${secrets.bmcPasswords[partnerOf(name)]}\n`,
  };
}

/** The answers of the first start, as an operator writes them, without a secret for the pairing: a person compares the code. */
function answersText(name: CoServerName, level: Level, secrets: PairSecrets): string {
  const partner = partnerOf(name);
  return stringify({
    coServer: name,
    ports: { link1: macOf(name, 'link1'), link2: macOf(name, 'link2'), guest: macOf(name, 'lan0'), management: macOf(name, 'mgmt0') },
    management: { address: `${ADDRESSES.management[name]}/24` },
    witness: { address: ADDRESSES.witness, port: ADDRESSES.witnessPort },
    fence: { address: BMC_ADDRESS[partner], username: BMC_USERNAME, password: secrets.bmcPasswords[partner], cipherSuite: 3 },
    password: secrets.password,
    guest: {
      name: 'records',
      level,
      memoryMiB: TINY_MEMORY_MIB,
      cpus: 1,
      diskMiB: TINY_DISK_MIB,
      kernel: 'kernel',
      initrd: 'initrd',
      append: tinyAppend(),
      readyMarker: 'GUEST READY',
    },
  });
}

/** Writes the stick as a sparse file: a FAT32 file system without partitions. `answers`: they are on it, and the guest beside them. */
export function writeStick(
  path: string,
  guest: GuestImage,
  answers: { name: CoServerName; level: Level; secrets: PairSecrets } | null,
): void {
  const folder = answers === null ? 'guest/' : '';
  const files = [
    { path: `${folder}kernel`, data: readFileSync(guest.kernel) },
    { path: `${folder}initrd`, data: readFileSync(guest.initrd) },
  ];
  if (answers !== null)
    files.push({ path: 'twinstep-answers.yaml', data: Buffer.from(answersText(answers.name, answers.level, answers.secrets)) });
  const fd = openSync(path, 'w', 0o600);
  try {
    ftruncateSync(fd, STICK_BYTES);
    for (const { offset, data } of fatFileSystem(files, STICK_BYTES, { volumeId: 0x7517a57f, label: LABEL }))
      for (let done = 0; done < data.length; ) done += writeSync(fd, data, done, data.length - done, offset + done);
  } finally {
    closeSync(fd);
  }
}
