// Reads the counters from sysfs. They are numbers in the kernel's memory, no device is asked: reading one takes 10 us, and five to ten times that
// through the pool of threads. So they are read in place, some at a time, and other work has its turn in between.
// A device that goes away between the list and the reading is left out.
import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { counter, decodeAer, decodeMemory, printable, type ThrottleCounts, throttledTotal } from './codec.ts';
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

/** A quarter of a millisecond of the event loop. */
const FILES_AT_ONCE = 24;
/** sysfs gives at most a page. */
const PAGE_BYTES = 4_096;

export class Edac {
  readonly #sysfs: string;
  readonly #page = Buffer.alloc(PAGE_BYTES);
  #filesRead = 0;
  /** What sits at an address does not change while the address is there; null: it has no error reporting. */
  #pciNames = new Map<string, string | null>();
  readonly #packageIds = new Map<string, string>();

  constructor({ sysfs = '/sys' }: EdacOptions = {}) {
    this.#sysfs = sysfs;
  }

  /** Totals. Rejects with EdacError: absent where no memory controller driver is loaded. */
  async memory(): Promise<MemoryReading[]> {
    const top = join(this.#sysfs, 'devices/system/edac/mc');
    const tree = new Map<string, string>();
    for (const mc of list(top).filter((name) => /^mc\d+$/.test(name))) {
      const names = list(join(top, mc));
      const folders = ['', ...names.filter((name) => MC_FOLDERS.test(name))];
      for (const folder of folders) {
        const files = folder === '' ? names : list(join(top, mc, folder));
        for (const file of files.filter((name) => MC_FILES.test(name))) {
          const text = await this.#contents(join(top, mc, folder, file));
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
    const present = list(top).sort();
    const names = new Map<string, string | null>();
    for (const address of present) {
      const known = this.#pciNames.get(address);
      const counts = known === null ? null : await this.#aerCounts(top, address);
      const where = counts === null ? null : (known ?? (await this.#pciName(top, address)));
      names.set(address, where);
      if (counts !== null && where !== null) readings.push({ where, ...counts });
    }
    // Only those that are there: another device may come to the same address.
    this.#pciNames = names;
    return readings;
  }

  /** Rejects with EdacError (malformed, unreadable). */
  async cpu(): Promise<CpuReading> {
    const top = join(this.#sysfs, 'devices/system/cpu');
    const counts: ThrottleCounts[] = [];
    for (const cpu of list(top).filter((name) => /^cpu\d+$/.test(name))) {
      const core = await this.#count(join(top, cpu, 'thermal_throttle/core_throttle_count'));
      const whole = await this.#count(join(top, cpu, 'thermal_throttle/package_throttle_count'));
      // All CPUs of a machine are alike: where the first has no such counter, none has.
      if (core === null && whole === null) break;
      const packageId = this.#packageIds.get(cpu) ?? (await this.#contents(join(top, cpu, 'topology/physical_package_id')))?.trim() ?? '0';
      this.#packageIds.set(cpu, packageId);
      counts.push({ packageId, core, package: whole });
    }
    const clocksource = await this.#contents(join(this.#sysfs, 'devices/system/clocksource/clocksource0/current_clocksource'));
    return { throttled: throttledTotal(counts), clocksource: printable(clocksource ?? '') };
  }

  /** Null: it has no error reporting, or went away. */
  async #aerCounts(top: string, address: string): Promise<Omit<PcieReading, 'where'> | null> {
    const totals: number[] = [];
    for (const file of AER_FILES) {
      const text = await this.#contents(join(top, address, file));
      if (text === null) return null;
      totals.push(decodeAer(text, `${address}/${file}`));
    }
    const [corrected = 0, nonFatal = 0, fatal = 0] = totals;
    return { corrected, nonFatal, fatal };
  }

  async #count(path: string): Promise<number | null> {
    const text = await this.#contents(path);
    return text === null ? null : counter(text, path);
  }

  async #pciName(top: string, address: string): Promise<string> {
    const read = async (file: string) => printable((await this.#contents(join(top, address, file))) ?? '');
    const [code, vendor, device] = [await read('class'), await read('vendor'), await read('device')];
    const kind = PCI_CLASSES.get(code.slice(2, 4)) ?? 'device';
    const driver = printable(linkedName(join(top, address, 'driver')));
    const nics = list(join(top, address, 'net'));
    const ids = vendor === '' || device === '' ? '' : ` ${vendor.slice(2)}:${device.slice(2)}`;
    return `${address} (${kind}${ids}${driver === '' ? '' : ` ${driver}`}${nics.length === 0 ? '' : `, ${nics.join(', ')}`})`;
  }

  async #contents(file: string): Promise<string | null> {
    this.#filesRead += 1;
    if (this.#filesRead % FILES_AT_ONCE === 0) await nextTurn();
    return orNothing(file, null, () => {
      const descriptor = openSync(file, 'r');
      try {
        return this.#page.toString('latin1', 0, readSync(descriptor, this.#page, 0, PAGE_BYTES, null));
      } finally {
        closeSync(descriptor);
      }
    });
  }
}

function list(folder: string): string[] {
  return orNothing(folder, [], () => readdirSync(folder));
}

function linkedName(link: string): string {
  return orNothing(link, '', () => basename(readlinkSync(link)));
}

function orNothing<T>(path: string, nothing: T, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (GONE.has(code ?? '')) return nothing;
    throw new EdacError('unreadable', `${path} cannot be read: ${message}; it needs root`, { cause: error });
  }
}
