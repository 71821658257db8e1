export { decodeInventory, type MachineFiles } from './codec.ts';
export { decodeCpuinfo } from './cpuinfo.ts';
export { type InventoryOptions, readInventory } from './device.ts';
export { parseInventory } from './parse.ts';
export { decodeEntryPoint, decodeSmbios, oemStrings, type Smbios } from './smbios.ts';
export { type MachineSummary, readSummary } from './summary.ts';
export {
  type ControllerInventory,
  type CpuInventory,
  type DimmInventory,
  type DiskInventory,
  type GivenFacts,
  type Inventory,
  InventoryError,
  type MemoryInventory,
  type NicDriver,
  type NicInventory,
  type PciIdentity,
  type TscInventory,
  type VirtualizationInventory,
} from './types.ts';
