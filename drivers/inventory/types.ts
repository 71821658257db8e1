// What a server is made of, as plain JSON: what qualification compares, signs and keeps. Null: not known; never '' or 0 for that.

export interface Inventory {
  schema: 1;
  system: { vendor: string | null; product: string | null; version: string | null; serial: string | null; uuid: string | null };
  board: { vendor: string | null; product: string | null; version: string | null; serial: string | null };
  /** `date` as 2016-11-08. */
  bios: { vendor: string | null; version: string | null; date: string | null };
  cpu: CpuInventory;
  memory: MemoryInventory;
  /** Real ones, and those that were asked for by name. By bus, then name. */
  nics: NicInventory[];
  /** PCI class 01. By bus. */
  storageControllers: ControllerInventory[];
  /** Whole disks, by name. */
  disks: DiskInventory[];
  bmc: { vendor: string | null; product: string | null; firmware: string | null };
  watchdogs: { device: string; identity: string | null }[];
  tsc: TscInventory;
  /** Units that the kernel uses: none is 0, and a kernel that cannot tell is null. */
  iommu: { units: number | null };
  virtualization: VirtualizationInventory;
  kernel: { release: string | null };
  /** What could not be read, in sentences: why values are null. */
  unreadable: string[];
}

export interface CpuInventory {
  vendor: string | null;
  model: string | null;
  family: number | null;
  modelNumber: number | null;
  stepping: number | null;
  /** "0x2b000639". */
  microcode: string | null;
  /** Sorted. */
  flags: string[] | null;
  sockets: number | null;
  /** Of all sockets. */
  cores: number | null;
  threads: number | null;
  /** More threads than cores. */
  smt: boolean | null;
  /** Fields that differ between the CPUs of this one machine; their value is null then. */
  mixed: string[];
}

export interface MemoryInventory {
  /** What the kernel can use: less than is installed. */
  totalBytes: number | null;
  installedBytes: number | null;
  /** By the memory array; null: it does not tell. */
  ecc: boolean | null;
  slots: number | null;
  /** Those that are there, by slot. */
  dimms: DimmInventory[];
}

export interface DimmInventory {
  slot: string | null;
  bank: string | null;
  sizeBytes: number | null;
  /** "DDR4". */
  type: string | null;
  /** What it can, and what it is run at. */
  speedMtPerS: number | null;
  configuredMtPerS: number | null;
  /** It has bits for a check code. */
  ecc: boolean | null;
  ranks: number | null;
  vendor: string | null;
  partNumber: string | null;
  serial: string | null;
}

/** Four hexadecimal digits each. */
export interface PciIdentity {
  vendor: string | null;
  device: string | null;
  subsystemVendor: string | null;
  subsystemDevice: string | null;
  revision: string | null;
}

export interface NicInventory {
  name: string;
  mac: string | null;
  driver: string | null;
  driverVersion: string | null;
  firmware: string | null;
  /** "0000:01:00.0". */
  bus: string | null;
  pci: PciIdentity | null;
  /** Now; null without carrier. */
  speedMbps: number | null;
  mtuBytes: number | null;
}

export interface ControllerInventory {
  bus: string;
  /** "0106": SATA; "0108": NVMe; "0107": SAS; "0104": RAID. */
  class: string | null;
  pci: PciIdentity;
  driver: string | null;
}

export interface DiskInventory {
  /** "/dev/sda". */
  name: string;
  model: string | null;
  firmware: string | null;
  serial: string | null;
  sizeBytes: number | null;
  logicalBlockBytes: number | null;
  physicalBlockBytes: number | null;
  rotational: boolean | null;
  /** As the kernel treats it: with flushes, or without. */
  writeCache: 'write back' | 'write through' | null;
}

export interface TscInventory {
  constant: boolean | null;
  nonstop: boolean | null;
  clocksource: string | null;
  /** Both, and the kernel still takes its time from it: it turns away from one that it marks unstable. */
  stable: boolean | null;
}

export interface VirtualizationInventory {
  /** Of the CPU. */
  extension: 'vmx' | 'svm' | 'none' | null;
  kvmDevice: boolean | null;
  /** A guest was really started. */
  usable: boolean | null;
}

/** What others find out: the BMC's driver, ethtool's addon, a tiny guest. */
export interface GivenFacts {
  bmc?: Inventory['bmc'];
  kvmUsable?: boolean;
  nicDrivers?: ReadonlyMap<string, NicDriver>;
  /** NICs that count although they are no devices: the lab's. */
  nics?: readonly string[];
}

export interface NicDriver {
  driver: string | null;
  version: string | null;
  firmware: string | null;
  bus: string | null;
}

export class InventoryError extends Error {
  override readonly name = 'InventoryError';
}
