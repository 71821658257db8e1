// A program in a machine of the lab: reads once what the product reads all the time, through the product's own drivers, and prints it as one
// JSON object: inventory, sensors, SEL, SMART, memory, PCIe, machine checks, NICs, disks, CPU. What cannot be read is {"error": sentence}.
import { readDisks, readNics } from '../../../drivers/counters/index.ts';
import { Edac, openKernelLog } from '../../../drivers/edac/index.ts';
import { nicDriver } from '../../../drivers/ethernet/index.ts';
import { readInventory } from '../../../drivers/inventory/index.ts';
import { openLocalIpmi } from '../../../drivers/ipmi/index.ts';
import { Smart } from '../../../drivers/smart/index.ts';

const DISKS = ['/dev/nvme0', '/dev/sda'];
const NICS = [
  { nic: 'link1', role: 'link' },
  { nic: 'link2', role: 'link' },
  { nic: 'mgmt0', role: 'management' },
  { nic: 'lan0', role: 'business' },
] as const;
/** smartctl under emulation, on a disk that answers slowly. */
const SMART_TIMEOUT_MS = 120_000;

async function attempt<T>(read: () => Promise<T>): Promise<T | { error: string }> {
  try {
    return await read();
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

async function bmc() {
  const local = await openLocalIpmi();
  try {
    const entries = [];
    for await (const entry of local.selEntries()) entries.push(entry);
    const device = await local.deviceId();
    return { device, sensors: await local.sensorReadings(), sel: await local.selReadings(entries) };
  } finally {
    await local.close();
  }
}

async function kernelLog() {
  const log = await openKernelLog({ from: 'boot' });
  try {
    const checks = [];
    for (;;) {
      const news = log.poll();
      checks.push(...news.checks);
      if (!news.more) return checks;
    }
  } finally {
    log.close();
  }
}

/** What the inventory cannot read from files. KVM does not work under emulation. */
async function inventory() {
  const device = await attempt(async () => {
    const local = await openLocalIpmi();
    try {
      return await local.deviceId();
    } finally {
      await local.close();
    }
  });
  const bmc =
    'error' in device
      ? {}
      : { bmc: { vendor: String(device.manufacturerId), product: String(device.productId), firmware: device.firmware } };
  return readInventory({ kvmUsable: false, nicDrivers: new Map(NICS.map(({ nic }) => [nic, nicDriver(nic)])), ...bmc });
}

const [edac, smart] = [new Edac(), new Smart({ timeoutMs: SMART_TIMEOUT_MS })];
const found = {
  inventory: await attempt(inventory),
  bmc: await attempt(bmc),
  smart: await Promise.all(DISKS.map((path) => attempt(() => smart.read({ path })))),
  memory: await attempt(() => edac.memory()),
  pcie: await attempt(() => edac.pcie()),
  machineChecks: await attempt(kernelLog),
  nics: await attempt(() => readNics(NICS)),
  disks: await attempt(readDisks),
  cpu: await attempt(() => edac.cpu()),
};
process.stdout.write(`${JSON.stringify(found)}\n`);
