// Collects the files that the inventory is made of: one after the other, off the event loop. Read once at boot and when something is
// plugged in, not every few seconds.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { decodeInventory, type MachineFiles } from './codec.ts';
import type { GivenFacts, Inventory } from './types.ts';

export interface InventoryOptions extends GivenFacts {
  /** Default "/". */
  root?: string;
}

const FILES = [
  'proc/cpuinfo',
  'proc/meminfo',
  'proc/sys/kernel/osrelease',
  'sys/devices/system/clocksource/clocksource0/current_clocksource',
];
const FOLDERS = ['sys/class/net', 'sys/block', 'sys/bus/pci/devices', 'sys/class/watchdog', 'sys/class/iommu'];
const PCI_FILES = ['class', 'vendor', 'device', 'subsystem_vendor', 'subsystem_device', 'revision'];
const NIC_FILES = ['address', 'carrier', 'speed', 'mtu', ...PCI_FILES.map((file) => `device/${file}`)];
const DISK_FILES = [
  'size',
  'serial',
  'queue/logical_block_size',
  'queue/physical_block_size',
  'queue/rotational',
  'queue/write_cache',
  ...['vendor', 'model', 'rev', 'firmware_rev', 'serial', 'vpd_pg80', 'vpd_pg89'].map((file) => `device/${file}`),
];

/** Whatever cannot be read is null in it; it does not reject. */
export async function readInventory({ root = '/', ...given }: InventoryOptions = {}): Promise<Inventory> {
  return decodeInventory(await collect(root), given);
}

async function collect(root: string): Promise<MachineFiles> {
  const files = new Map<string, string>();
  const links = new Map<string, string>();
  const folders = new Map<string, readonly string[]>();
  const file = async (path: string): Promise<void> => {
    const text = await readFile(join(root, path), 'latin1').catch(() => null);
    if (text !== null) files.set(path, text);
  };
  const link = async (path: string): Promise<void> => {
    const target = await readlink(join(root, path)).catch(() => null);
    if (target !== null) links.set(path, basename(target));
  };
  const folder = async (path: string): Promise<readonly string[]> => {
    const names = await readdir(join(root, path)).catch(() => null);
    if (names !== null) folders.set(path, names);
    return names ?? [];
  };

  for (const path of FILES) await file(path);
  for (const path of FOLDERS) await folder(path);
  // Of /dev, only this: its list is long and changes.
  const hasKvm = (await readdir(join(root, 'dev')).catch(() => null))?.includes('kvm');
  if (hasKvm !== undefined) folders.set('dev', hasKvm ? ['kvm'] : []);
  for (const name of folders.get('sys/class/watchdog') ?? []) await file(`sys/class/watchdog/${name}/identity`);
  for (const name of folders.get('sys/class/net') ?? []) {
    await folder(`sys/class/net/${name}/device`);
    for (const path of NIC_FILES) await file(`sys/class/net/${name}/${path}`);
    await link(`sys/class/net/${name}/device`);
    await link(`sys/class/net/${name}/device/driver`);
  }
  for (const name of folders.get('sys/block') ?? []) {
    if ((await folder(`sys/block/${name}/device`)).length === 0) continue;
    for (const path of DISK_FILES) await file(`sys/block/${name}/${path}`);
  }
  for (const name of folders.get('sys/bus/pci/devices') ?? []) {
    for (const path of PCI_FILES) await file(`sys/bus/pci/devices/${name}/${path}`);
    await link(`sys/bus/pci/devices/${name}/driver`);
  }
  const table = async (name: string) => readFile(join(root, 'sys/firmware/dmi/tables', name)).catch(() => null);
  return { files, links, folders, smbiosTable: await table('DMI'), smbiosEntryPoint: await table('smbios_entry_point') };
}
