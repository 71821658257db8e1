// The files of a machine, as its inventory. Pure: paths are from the root without the first slash ("proc/cpuinfo"), as the device module
// collected them; what is missing there is null here.
//
// Sources, of the kernel: Documentation/ABI/testing/sysfs-class-net, sysfs-bus-pci, sysfs-block, sysfs-class-watchdog, sysfs-class-iommu;
// SAT-4 12.4.2 (page 89h: the ATA disk's own identification behind SCSI), SPC-5 7.7.16 (page 80h: serial number).
import { decodeCpuinfo } from './cpuinfo.ts';
import { decodeSmbios, type Smbios } from './smbios.ts';
import { byName, known, positive, said, whole } from './text.ts';
import {
  type ControllerInventory,
  type CpuInventory,
  type DiskInventory,
  type GivenFacts,
  type Inventory,
  InventoryError,
  type NicInventory,
  type PciIdentity,
  type TscInventory,
} from './types.ts';

export interface MachineFiles {
  /** Bytes as latin1. */
  files: ReadonlyMap<string, string>;
  /** Symbolic links: the last part of where they lead. */
  links: ReadonlyMap<string, string>;
  /** Names in a folder. */
  folders: ReadonlyMap<string, readonly string[]>;
  smbiosTable: Uint8Array | null;
  smbiosEntryPoint: Uint8Array | null;
}

const NO_SMBIOS: Smbios = {
  version: null,
  system: { vendor: null, product: null, version: null, serial: null, uuid: null },
  board: { vendor: null, product: null, version: null, serial: null },
  bios: { vendor: null, version: null, date: null },
  processors: [],
  memory: { ecc: null, slots: null, installedBytes: null, dimms: [] },
  damage: null,
};
const NO_CPU: CpuInventory = {
  vendor: null,
  model: null,
  family: null,
  modelNumber: null,
  stepping: null,
  microcode: null,
  flags: null,
  sockets: null,
  cores: null,
  threads: null,
  smt: null,
  mixed: [],
};
const SECTOR_BYTES = 512; // what "size" counts, whatever the disk's blocks are
const PCI_STORAGE = '01';

/** Never throws for what the machine says: what is damaged is null, and named in `unreadable`. */
export function decodeInventory(machine: MachineFiles, given: GivenFacts = {}): Inventory {
  const unreadable: string[] = [];
  const attempt = <T>(read: () => T, otherwise: T): T => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof InventoryError)) throw error;
      unreadable.push(error.message);
      return otherwise;
    }
  };
  const { files, folders } = machine;
  const smbios = attempt(() => {
    if (machine.smbiosTable === null)
      throw new InventoryError('SMBIOS: /sys/firmware/dmi/tables/DMI cannot be read: it needs root, and firmware that has it');
    return decodeSmbios(machine.smbiosTable, null);
  }, NO_SMBIOS);
  if (smbios.damage !== null) unreadable.push(smbios.damage);
  const cpu = attempt(() => decodeCpuinfo(files.get('proc/cpuinfo') ?? ''), NO_CPU);
  const total = whole(/^MemTotal:\s+(\d{1,15}) kB$/m.exec(files.get('proc/meminfo') ?? '')?.[1]);
  const iommu = folders.get('sys/class/iommu');
  return {
    schema: 1,
    system: smbios.system,
    board: smbios.board,
    bios: smbios.bios,
    cpu,
    memory: { totalBytes: total === null ? null : positive(total * 1024), ...smbios.memory },
    nics: nics(machine, given),
    storageControllers: controllers(machine),
    disks: (folders.get('sys/block') ?? [])
      .filter((name) => folders.has(`sys/block/${name}/device`))
      .map((name) => disk(machine, name))
      .sort((a, b) => byName(a.name, b.name)),
    bmc: given.bmc ?? { vendor: null, product: null, firmware: null },
    watchdogs: [...(folders.get('sys/class/watchdog') ?? [])]
      .sort(byName)
      .map((name) => ({ device: `/dev/${name}`, identity: said(files.get(`sys/class/watchdog/${name}/identity`)) })),
    tsc: tsc(cpu.flags, said(files.get('sys/devices/system/clocksource/clocksource0/current_clocksource'))),
    iommu: { units: iommu === undefined ? null : iommu.length },
    virtualization: {
      extension: cpu.flags === null ? null : cpu.flags.includes('vmx') ? 'vmx' : cpu.flags.includes('svm') ? 'svm' : 'none',
      kvmDevice: folders.get('dev')?.includes('kvm') ?? null,
      usable: given.kvmUsable ?? null,
    },
    kernel: { release: said(files.get('proc/sys/kernel/osrelease')) },
    unreadable,
  };
}

function tsc(flags: readonly string[] | null, clocksource: string | null): TscInventory {
  const [constant, nonstop] = [flags?.includes('constant_tsc') ?? null, flags?.includes('nonstop_tsc') ?? null];
  const unknown = constant === null || nonstop === null || clocksource === null;
  return { constant, nonstop, clocksource, stable: unknown ? null : constant && nonstop && clocksource === 'tsc' };
}

// ---- PCI ---------------------------------------------------------------------------------------------------------------------

function pciIdentity({ files }: MachineFiles, folder: string): PciIdentity {
  const id = (file: string) => /^0x([0-9a-f]{2,4})$/i.exec(files.get(`${folder}/${file}`)?.trim() ?? '')?.[1]?.toLowerCase() ?? null;
  return {
    vendor: id('vendor'),
    device: id('device'),
    subsystemVendor: id('subsystem_vendor'),
    subsystemDevice: id('subsystem_device'),
    revision: id('revision'),
  };
}

function controllers(machine: MachineFiles): ControllerInventory[] {
  const top = 'sys/bus/pci/devices';
  return [...(machine.folders.get(top) ?? [])].sort().flatMap((bus) => {
    const code = /^0x([0-9a-f]{4})[0-9a-f]{2}$/i.exec(machine.files.get(`${top}/${bus}/class`)?.trim() ?? '')?.[1]?.toLowerCase() ?? null;
    if (code === null || !code.startsWith(PCI_STORAGE)) return [];
    return [{ bus, class: code, pci: pciIdentity(machine, `${top}/${bus}`), driver: said(machine.links.get(`${top}/${bus}/driver`)) }];
  });
}

// ---- NICs --------------------------------------------------------------------------------------------------------------------

const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i;

function nics(machine: MachineFiles, given: GivenFacts): NicInventory[] {
  const wanted = new Set(given.nics ?? []);
  return (machine.folders.get('sys/class/net') ?? [])
    .filter((name) => wanted.has(name) || machine.folders.has(`sys/class/net/${name}/device`))
    .map((name) => nic(machine, name, given))
    .sort((a, b) => byBus(a.bus, b.bus) || byName(a.name, b.name));
}

/** Hexadecimal digits, as many in each: as text. Those without a bus come last. */
function byBus(a: string | null, b: string | null): number {
  if (a === b) return 0;
  return (a ?? '~') < (b ?? '~') ? -1 : 1;
}

function nic(machine: MachineFiles, name: string, given: GivenFacts): NicInventory {
  const { files, links } = machine;
  const folder = `sys/class/net/${name}`;
  const asked = given.nicDrivers?.get(name);
  const device = links.get(`${folder}/device`) ?? null;
  const identity = pciIdentity(machine, `${folder}/device`);
  const mac = files.get(`${folder}/address`)?.trim().toLowerCase() ?? '';
  const isPci = device !== null && PCI_ADDRESS.test(device);
  return {
    name,
    mac: /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) && mac !== '00:00:00:00:00:00' ? mac : null,
    driver: known(asked?.driver) ?? said(links.get(`${folder}/device/driver`)),
    driverVersion: known(asked?.version),
    firmware: known(asked?.firmware),
    bus: isPci ? device : known(asked?.bus),
    pci: isPci ? identity : null,
    speedMbps: files.get(`${folder}/carrier`)?.trim() === '1' ? speed(files.get(`${folder}/speed`)) : null,
    mtuBytes: positive(whole(files.get(`${folder}/mtu`))),
  };
}

/** 4294967295 is -1, in older kernels. */
function speed(text: string | undefined): number | null {
  const value = positive(whole(text));
  return value === null || value === 0xffffffff ? null : value;
}

// ---- disks -------------------------------------------------------------------------------------------------------------------

function disk({ files }: MachineFiles, name: string): DiskInventory {
  const folder = `sys/block/${name}`;
  const file = (path: string) => files.get(`${folder}/${path}`);
  const ata = ataIdentity(file('device/vpd_pg89'));
  const rotational = file('queue/rotational')?.trim();
  const cache = file('queue/write_cache')?.trim();
  const sectors = whole(file('size'));
  // The SCSI layer cuts a model to 16 characters and calls every ATA disk's vendor "ATA".
  const vendor = known(file('device/vendor'));
  const model = known(file('device/model'));
  const scsiModel = vendor === null || vendor === 'ATA' || vendor.startsWith('0x') ? model : model === null ? null : `${vendor} ${model}`;
  return {
    name: `/dev/${name.replaceAll('!', '/')}`,
    model: ata?.model ?? scsiModel,
    firmware: ata?.firmware ?? known(file('device/firmware_rev')) ?? known(file('device/rev')),
    serial: ata?.serial ?? known(file('device/serial')) ?? known(file('serial')) ?? known(file('device/vpd_pg80')?.slice(4)),
    sizeBytes: sectors === null ? null : positive(sectors * SECTOR_BYTES),
    logicalBlockBytes: positive(whole(file('queue/logical_block_size'))),
    physicalBlockBytes: positive(whole(file('queue/physical_block_size'))),
    rotational: rotational === '1' ? true : rotational === '0' ? false : null,
    writeCache: cache === 'write back' || cache === 'write through' ? cache : null,
  };
}

/** Page 89h: IDENTIFY DEVICE from byte 60; its strings have the bytes of each word swapped (ACS-4, 3.4.9). */
const ATA_IDENTIFY_AT = 60;
const ATA_IDENTIFY_BYTES = 512;

function ataIdentity(page: string | undefined): Pick<DiskInventory, 'model' | 'firmware' | 'serial'> | null {
  if (page === undefined || page.charCodeAt(1) !== 0x89 || page.length < ATA_IDENTIFY_AT + ATA_IDENTIFY_BYTES) return null;
  const words = (from: number, to: number) =>
    page.slice(ATA_IDENTIFY_AT + from * 2, ATA_IDENTIFY_AT + (to + 1) * 2).replace(/([\s\S])([\s\S])/g, '$2$1');
  return { serial: known(words(10, 19)), firmware: known(words(23, 26)), model: known(words(27, 46)) };
}
