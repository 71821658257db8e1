// What a whole machine of the lab is made of. Two machines of one spec are twins; `mismatched` changes one thing of it, for the
// qualification to find. All of it is what QEMU can show to the kernel: SMBIOS, CPU, memory, NICs, disks.
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { LabError } from '../lab-error.ts';

export type NicModel = 'e1000e' | 'igb';
export const NIC_ROLES = ['link1', 'link2', 'mgmt0', 'lan0'] as const;
export type NicRole = (typeof NIC_ROLES)[number];

export interface MachineSpec {
  board: { vendor: string; product: string };
  bios: { vendor: string; version: string; date: string };
  cpu: {
    /** QEMU's name of a CPU model: family, model, stepping and flags come with it. */
    model: string;
    /** What the CPU calls itself. */
    name: string;
    /** Hex, as /proc/cpuinfo shows it: "0x5003605". */
    microcode: string;
    cores: number;
  };
  memory: { sizeMiB: number; module: { vendor: string; part: string; speedMTs: number } };
  nics: Record<NicRole, NicModel>;
  disks: {
    /** The system's: state, logs. */
    nvme: { sizeMiB: number };
    /** The workload's copy. */
    sata: { model: string; firmware: string; sizeMiB: number };
  };
  bmc: { firmware: { major: number; minor: number } };
}

export const TWIN: MachineSpec = {
  board: { vendor: 'Example Systems', product: 'X1000' },
  bios: { vendor: 'Example Firmware', version: '2.19.1', date: '06/04/2024' },
  cpu: { model: 'Skylake-Server-v4', name: 'Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz', microcode: '0x2007006', cores: 2 },
  memory: { sizeMiB: 1536, module: { vendor: 'Example Memory', part: 'EM8G2666', speedMTs: 2666 } },
  nics: { link1: 'igb', link2: 'igb', mgmt0: 'e1000e', lan0: 'e1000e' },
  disks: { nvme: { sizeMiB: 512 }, sata: { model: 'EXAMPLE DISK 4000', firmware: 'EX01', sizeMiB: 256 } },
  bmc: { firmware: { major: 9, minor: 8 } },
};

const MISMATCH_CHANGES = {
  biosVersion: (s) => ({ ...s, bios: { ...s.bios, version: '2.21.0' } }),
  biosDate: (s) => ({ ...s, bios: { ...s.bios, date: '12/19/2024' } }),
  board: (s) => ({ ...s, board: { ...s.board, product: 'X1001' } }),
  // Another stepping and other flags of the same family, as two batches of one server may have.
  cpuModel: (s) => ({ ...s, cpu: { ...s.cpu, model: 'Cascadelake-Server-v4', name: 'Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz' } }),
  microcode: (s) => ({ ...s, cpu: { ...s.cpu, microcode: '0x2006e05' } }),
  cores: (s) => ({ ...s, cpu: { ...s.cpu, cores: 1 } }),
  nicModel: (s) => ({ ...s, nics: { ...s.nics, link2: 'e1000e' } }),
  memorySize: (s) => ({ ...s, memory: { ...s.memory, sizeMiB: 1280 } }),
  memoryModule: (s) => ({ ...s, memory: { ...s.memory, module: { ...s.memory.module, part: 'EM8G2400', speedMTs: 2400 } } }),
  diskSize: (s) => ({ ...s, disks: { ...s.disks, sata: { ...s.disks.sata, sizeMiB: 192 } } }),
  diskFirmware: (s) => ({ ...s, disks: { ...s.disks, sata: { ...s.disks.sata, firmware: 'EX02' } } }),
  bmcFirmware: (s) => ({ ...s, bmc: { firmware: { major: 9, minor: 6 } } }),
} satisfies Record<string, (spec: MachineSpec) => MachineSpec>;

export type Mismatch = keyof typeof MISMATCH_CHANGES;
export const MISMATCHES = Object.keys(MISMATCH_CHANGES) as Mismatch[];

/** `spec` with one thing changed. */
export function mismatched(spec: MachineSpec, what: Mismatch): MachineSpec {
  return MISMATCH_CHANGES[what](spec);
}

export function parseMismatch(text: string): Mismatch {
  const found = MISMATCHES.find((m) => m === text);
  if (found === undefined)
    throw new LabError(`"${text}" is nothing in which two machines can differ here`, `give one of ${MISMATCHES.join(', ')}`);
  return found;
}

/** Each NIC has one of its own: "52:54:00:76:0a:01" is A's first. */
export function macOf(server: CoServerName, role: NicRole): string {
  return `52:54:00:76:0${server.toLowerCase()}:0${NIC_ROLES.indexOf(role) + 1}`;
}
