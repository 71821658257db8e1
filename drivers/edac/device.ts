// Reads the counters from sysfs. One file after the other, each off the event loop: a driver that hangs in its firmware holds one thread of
// the pool, not all of them. A device that goes away between the list and the reading is left out.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { counter, decodeAer, decodeMemory, printable, throttledTotal } from './codec.ts';
import { type CpuReading, EdacError, type MemoryReading, type PcieReading } from './types.ts';

export interface EdacOptions {
  /** Default "/sys". */
  sysfs?: string;
}

/** Gone, or never there. EINVAL, EIO, ENXIO: what a driver says that goes away while it is asked. */
const GONE = new Set(['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'EINVAL', 'EIO']);
const MC_FILES =
  /^(ce_count|ue_count|ce_noinfo_count|ue_noinfo_count|dimm_label|dimm_ce_count|dimm_ue_count|ch\d+_ce_count|ch\d+_dimm_label)$/;
const MC_FOLDERS = /^(dimm|rank|csrow)\d+$/;
const AER_FILES = ['aer_dev_correctable', 'aer_dev_nonfatal', 'aer_dev_fatal'] as const;
/** PCI class, upper byte: PCI Code and ID Assignment Specification 1.15. */
const PCI_CLASSES = new Map([
  ['01', 'storage'],
  ['02', 'network'],
  ['03', 'display'],
  ['06', 'bridge'],
  ['0c', 'serial bus'],
  ['12', 'accelerator'],
]);

export class Edac {
  readonly #sysfs: string;
  /** What sits at an address does not change while the address is there. */
  readonly #pciNames = new Map<string, string>();

  constructor({ sysfs = '/sys' }: EdacOptions = {}) {
    this.#sysfs = sysfs;
  }

  /** Totals. Rejects with EdacError: absent where no memory controller driver is loaded. */
  async memory(): Promise<MemoryReading[]> {
    const top = join(this.#sysfs, 'devices/system/edac/mc');
    const tree = new Map<string, string>();
    for (const mc of (await list(top)).filter((name) => /^mc\d+$/.test(name))) {
      const names = await list(join(top, mc));
      const folders = ['', ...names.filter((name) => MC_FOLDERS.test(name))];
      for (const folder of folders) {
        const files = folder === '' ? names : await list(join(top, mc, folder));
        for (const file of files.filter((name) => MC_FILES.test(name))) {
          const text = await contents(join(top, mc, folder, file));
          if (text !== null) tree.set(join(mc, folder, file), text);
        }
      }
    }
    return decodeMemory(tree);
  }

  /** Devices that have error reporting; empty where the firmware keeps it to itself. Rejects with EdacError (malformed, unreadable). */
  async pcie(): Promise<PcieReading[]> {
    const top = join(this.#sysfs, 'bus/pci/devices');
    const readings: PcieReading[] = [];
    for (const address of (await list(top)).sort()) {
      const counts: number[] = [];
      for (const file of AER_FILES) {
        const text = await contents(join(top, address, file));
        if (text === null) break;
        counts.push(decodeAer(text, `${address}/${file}`));
      }
      const [corrected, nonFatal, fatal] = counts;
      if (corrected === undefined || nonFatal === undefined || fatal === undefined) this.#pciNames.delete(address);
      else readings.push({ where: await this.#pciName(top, address), corrected, nonFatal, fatal });
    }
    return readings;
  }

  /** Rejects with EdacError (malformed, unreadable). */
  async cpu(): Promise<CpuReading> {
    const top = join(this.#sysfs, 'devices/system/cpu');
    const cpus = (await list(top)).filter((name) => /^cpu\d+$/.test(name));
    const counts = [];
    for (const cpu of cpus) {
      const core = await this.#count(join(top, cpu, 'thermal_throttle/core_throttle_count'));
      const whole = await this.#count(join(top, cpu, 'thermal_throttle/package_throttle_count'));
      // All CPUs of a machine are alike: where the first has no such counter, none has.
      if (core === null && whole === null) break;
      const packageId = (await contents(join(top, cpu, 'topology/physical_package_id')))?.trim() ?? '0';
      counts.push({ packageId, core, package: whole });
    }
    const clocksource = await contents(join(this.#sysfs, 'devices/system/clocksource/clocksource0/current_clocksource'));
    return { throttled: throttledTotal(counts), clocksource: printable(clocksource ?? '') };
  }

  async #count(path: string): Promise<number | null> {
    const text = await contents(path);
    return text === null ? null : counter(text, path);
  }

  async #pciName(top: string, address: string): Promise<string> {
    const known = this.#pciNames.get(address);
    if (known !== undefined) return known;
    const read = async (file: string) => printable((await contents(join(top, address, file))) ?? '');
    const [code, vendor, device] = [await read('class'), await read('vendor'), await read('device')];
    const kind = PCI_CLASSES.get(code.slice(2, 4)) ?? 'device';
    const driver = await readlink(join(top, address, 'driver')).then(basename, () => '');
    const nics = await list(join(top, address, 'net'));
    const ids = vendor === '' || device === '' ? '' : ` ${vendor.slice(2)}:${device.slice(2)}`;
    const name = `${address} (${kind}${ids}${driver === '' ? '' : ` ${printable(driver)}`}${nics.length === 0 ? '' : `, ${nics.join(', ')}`})`;
    this.#pciNames.set(address, name);
    return name;
  }
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    return nothingWhenGone(error, folder, []);
  }
}

async function contents(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'latin1');
  } catch (error) {
    return nothingWhenGone(error, file, null);
  }
}

function nothingWhenGone<T>(error: unknown, path: string, nothing: T): T {
  const { code, message } = error as NodeJS.ErrnoException;
  if (GONE.has(code ?? '')) return nothing;
  throw new EdacError('unreadable', `${path} cannot be read: ${message}; it needs root`, { cause: error });
}
