// What this server is made of, for a comparison: read from the kernel, the BMC, the ports' drivers, and by a trial guest.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { CoServerConfig } from '../../appliance/config.ts';
import { nicDriver } from '../../drivers/ethernet/index.ts';
import { type Inventory, type NicDriver, readInventory } from '../../drivers/inventory/index.ts';
import { type DeviceId, openLocalIpmi } from '../../drivers/ipmi/index.ts';
import type { Facts } from '../checks/index.ts';
import { diskOf } from './disk-of.ts';
import { type KvmTrial, tryKvm } from './kvm-trial.ts';

const MIB = 1 << 20;
/** It prints its version and ends. */
const ENGINE_TIMEOUT_MS = 10_000;
/** Nothing but the comparison waits for it. One that starts itself anew takes longer: it is asked again. */
const BMC_TIMEOUT_MS = 30_000;

/** What is asked of the world; each is replaced in tests. */
export interface FactSources {
  inventory: typeof readInventory;
  nicDriver: (nic: string) => NicDriver;
  bmc: (device: string, signal: AbortSignal) => Promise<DeviceId>;
  engineVersion: (binary: string) => Promise<string>;
  kvm: (config: CoServerConfig, signal?: AbortSignal) => Promise<KvmTrial | null>;
  disk: (path: string) => Promise<string | null>;
}

export const REAL_SOURCES: FactSources = {
  inventory: readInventory,
  nicDriver,
  bmc: async (device, signal) => {
    const bmc = await openLocalIpmi(device, { signal });
    try {
      return await bmc.deviceId();
    } finally {
      await bmc.close();
    }
  },
  engineVersion: async (binary) =>
    (await promisify(execFile)(binary, ['--version'], { timeout: ENGINE_TIMEOUT_MS, encoding: 'utf8' })).stdout,
  kvm: ({ engine, workload, runDir }, signal) =>
    tryKvm({ binary: engine.binary, kernel: workload.kernel, cacheDirectory: runDir, ...(signal ? { signal } : {}) }),
  disk: diskOf,
};

/** What cannot be read is null in them; it does not reject. A trial guest is started the first time after a boot: some seconds. */
export async function readFacts(
  config: CoServerConfig,
  version: string,
  sources: FactSources = REAL_SOURCES,
  signal?: AbortSignal,
): Promise<Facts> {
  const { links, business, management, workload, hardware } = config;
  const nics = [
    ...links.map(({ nic }, i) => ({ role: `link${i + 1}`, nic })),
    { role: 'business', nic: business.nic },
    { role: 'management', nic: management.nic },
  ];
  const unreadable: string[] = [];
  const attempt = async <T>(what: string, read: () => Promise<T>): Promise<T | null> => {
    try {
      return await read();
    } catch (e) {
      unreadable.push(`${what}: ${(e as Error).message}`);
      return null;
    }
  };
  const nicDrivers = new Map<string, NicDriver>();
  for (const { nic } of nics) {
    const driver = await attempt(nic, async () => sources.nicDriver(nic));
    if (driver) nicDrivers.set(nic, driver);
  }
  const device = hardware.bmc === '' ? null : await attempt('BMC', () => sources.bmc(hardware.bmc, AbortSignal.timeout(BMC_TIMEOUT_MS)));
  const kvm = await attempt('KVM', () => sources.kvm(config, signal));
  const engine = await attempt('engine', () => sources.engineVersion(config.engine.binary));
  const disk = await attempt('disk', () => sources.disk(workload.disk.path));
  const inventory = await sources.inventory({
    nicDrivers,
    nics: nics.map(({ nic }) => nic),
    ...(device ? { bmc: bmcOf(device) } : {}),
    ...(kvm ? { kvmUsable: kvm.usable } : {}),
  });
  if (kvm && !kvm.usable) unreadable.push(`virtualization: ${kvm.reason}`);
  return {
    coServer: config.coServer,
    inventory: { ...inventory, unreadable: [...inventory.unreadable, ...unreadable] },
    version,
    engine: engineName(engine),
    nics,
    guestMemoryBytes: workload.memoryMiB * MIB,
    guestDiskBytes: workload.disk.sizeMiB * MIB,
    disk,
  };
}

/** "QEMU 11.1.3"; empty: not known. */
function engineName(said: string | null): string {
  const version = /version (\d+\.\d+\.\d+)/.exec(said ?? '')?.[1];
  return version === undefined ? '' : `QEMU ${version}`;
}

/** An IANA enterprise number is what a BMC knows of its maker. 0: it does not tell. */
function bmcOf(device: DeviceId): Inventory['bmc'] {
  return {
    vendor: device.manufacturerId === 0 ? null : `IANA ${device.manufacturerId}`,
    product: String(device.productId),
    firmware: device.firmware,
  };
}
