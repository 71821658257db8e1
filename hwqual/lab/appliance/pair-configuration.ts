// What the two appliances of the lab are told by their machines' host: NICs and a configuration each. No key: they make it by pairing. And
// what their operator plugs in: a stick with the guest.
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { stringify } from 'yaml';
import type { CoServerConfig } from '../../../appliance/config.ts';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { fatFileSystem } from '../../../image/disk/fat.ts';
import type { PairSecrets } from '../configuration.ts';
import type { GuestImage } from '../guest/build.ts';
import { machineConfig } from '../machines/configuration.ts';
import type { MachinesSettings } from '../machines/settings.ts';
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

/** Writes the stick as a sparse file: a FAT32 file system without partitions. */
export function writeStick(path: string, guest: GuestImage): void {
  const files = [
    { path: 'guest/kernel', data: readFileSync(guest.kernel) },
    { path: 'guest/initrd', data: readFileSync(guest.initrd) },
  ];
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, STICK_BYTES);
    for (const { offset, data } of fatFileSystem(files, STICK_BYTES, { volumeId: 0x7517a57f, label: LABEL }))
      for (let done = 0; done < data.length; ) done += writeSync(fd, data, done, data.length - done, offset + done);
  } finally {
    closeSync(fd);
  }
}
