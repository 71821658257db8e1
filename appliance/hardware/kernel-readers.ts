// What the kernel counts and tells: memory controllers, machine checks, PCIe, the processor, network ports.
import { readNics } from '../../drivers/counters/index.ts';
import { Edac, EdacError, openKernelLog } from '../../drivers/edac/index.ts';
import type { HardwareSetup } from './api.ts';
import { type OpenLog, SharedLog } from './kernel-log.ts';
import { Absent, type Reader } from './reader.ts';

const COUNTERS_EVERY_MS = 5_000;
/** The kernel keeps some thousands of records. */
const LOG_EVERY_MS = 1_000;

export function kernelReaders(nics: HardwareSetup['nics'], edac = new Edac(), openLog: OpenLog = openKernelLog): Reader[] {
  const log = new SharedLog(openLog);
  return [
    { source: 'memory', everyMs: COUNTERS_EVERY_MS, read: async () => ({ source: 'memory', rows: await orAbsent(edac.memory()) }) },
    { source: 'pcie', everyMs: COUNTERS_EVERY_MS, read: async () => ({ source: 'pcie', devices: await orAbsent(edac.pcie()) }) },
    { source: 'cpu', everyMs: COUNTERS_EVERY_MS, read: async () => ({ source: 'cpu', cpu: await orAbsent(edac.cpu()) }) },
    {
      source: 'machineChecks',
      everyMs: LOG_EVERY_MS,
      read: async () => ({ source: 'machineChecks', checks: await log.checks() }),
      close: () => log.close(),
    },
    { source: 'diskErrors', everyMs: LOG_EVERY_MS, read: async () => ({ source: 'diskErrors', ...(await log.disks()) }) },
    {
      source: 'nics',
      everyMs: COUNTERS_EVERY_MS,
      read: async () => {
        const read = await readNics(nics);
        // A port that is gone has no carrier.
        const gone = read.missing.flatMap((nic) => nics.filter((n) => n.nic === nic).map((n) => ({ ...GONE, ...n })));
        return { source: 'nics', nics: [...read.nics, ...gone] };
      },
    },
  ];
}

const GONE = {
  carrier: false,
  speedMbps: null,
  fullDuplex: null,
  frames: 0,
  receiveErrors: 0,
  transmitErrors: 0,
  carrierChanges: 0,
};

async function orAbsent<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (e) {
    throw e instanceof EdacError && e.kind === 'absent' ? new Absent(e.message) : e;
  }
}
