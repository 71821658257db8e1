// The files of sysfs that count errors, as readings. Pure: a tree is a map from path (below the folder named) to what the file says.
//
// Sources, of the kernel: Documentation/ABI/testing/sysfs-devices-edac (mc, csrow, rank, dimm), sysfs-bus-pci-devices-aer_stats,
// arch/x86/kernel/cpu/mce/therm_throt.c (thermal_throttle).
// A memory controller shows its memory by DIMM or rank, or, in the older way, by row and channel; often both. One of them is counted.
import { EdacError, type MemoryReading } from './types.ts';

export type Tree = ReadonlyMap<string, string>;

/** The kernel's own label where the board's are not known: "mc#0csrow#2channel#1", "CPU_SrcID..." is one by the driver. */
const PLACEHOLDER = /^mc#\d+/;
const LABEL_MAX_CHARS = 64;

/** Throws EdacError (malformed) for anything that is no number. */
export function counter(text: string, file: string): number {
  const digits = /^\d{1,20}$/.exec(text.trim())?.[0];
  const value = Number(digits);
  if (digits === undefined || !Number.isSafeInteger(value)) throw new EdacError('malformed', `${file} is no count: "${printable(text)}"`);
  return value;
}

/** Short and without what moves a cursor. */
export function printable(text: string, maxChars = LABEL_MAX_CHARS): string {
  return text
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, maxChars)
    .trimEnd();
}

/**
 * Rows of /sys/devices/system/edac/mc, by controller, then place. Errors whose place the controller does not know are a row of their own,
 * when there are any. Throws EdacError: absent where there is no controller, malformed.
 */
export function decodeMemory(tree: Tree): MemoryReading[] {
  const controllers = children(tree, '').filter((name) => /^mc\d+$/.test(name));
  if (controllers.length === 0) {
    const why = 'no driver of the memory controller is loaded, or the memory has no ECC';
    throw new EdacError('absent', `the kernel counts no memory errors here: ${why} (see /sys/devices/system/edac/mc)`);
  }
  const rows = controllers.flatMap((mc) => {
    const dimms = children(tree, mc).filter((name) => /^(dimm|rank)\d+$/.test(name));
    const placed = dimms.length > 0 ? dimms.map((dimm) => dimmRow(tree, mc, dimm)) : rowsByChannel(tree, mc);
    const unplaced = {
      where: `${mc}, place not known`,
      corrected: read(tree, `${mc}/ce_noinfo_count`) ?? 0,
      uncorrected: read(tree, `${mc}/ue_noinfo_count`) ?? 0,
    };
    return unplaced.corrected + unplaced.uncorrected > 0 ? [...placed, unplaced] : placed;
  });
  return withDistinctPlaces(rows);
}

interface Row extends MemoryReading {
  /** When the label alone is not unique. */
  place?: string;
}

function dimmRow(tree: Tree, mc: string, dimm: string): Row {
  const place = `${mc}/${dimm}`;
  return {
    where: labelOr(tree.get(`${place}/dimm_label`), place),
    place,
    corrected: read(tree, `${place}/dimm_ce_count`) ?? 0,
    uncorrected: read(tree, `${place}/dimm_ue_count`) ?? 0,
  };
}

/** Corrected errors are counted by channel, uncorrected ones only for the row: they span its channels. */
function rowsByChannel(tree: Tree, mc: string): Row[] {
  return children(tree, mc)
    .filter((name) => /^csrow\d+$/.test(name))
    .flatMap((csrow) => {
      const place = `${mc}/${csrow}`;
      const channels = children(tree, place)
        .map((name) => /^ch(\d+)_ce_count$/.exec(name)?.[1])
        .filter((number) => number !== undefined)
        .map((number) => ({
          where: labelOr(tree.get(`${place}/ch${number}_dimm_label`), `${place}/ch${number}`),
          place: `${place}/ch${number}`,
          corrected: read(tree, `${place}/ch${number}_ce_count`) ?? 0,
          uncorrected: 0,
        }));
      const corrected = channels.length === 0 ? (read(tree, `${place}/ce_count`) ?? 0) : 0;
      return [...channels, { where: place, place, corrected, uncorrected: read(tree, `${place}/ue_count`) ?? 0 }];
    });
}

function labelOr(label: string | undefined, place: string): string {
  const text = printable(label ?? '');
  return text === '' || PLACEHOLDER.test(text) ? place : text;
}

function withDistinctPlaces(rows: readonly Row[]): MemoryReading[] {
  const times = new Map<string, number>();
  for (const { where } of rows) times.set(where, (times.get(where) ?? 0) + 1);
  return rows.map(({ where, place, corrected, uncorrected }) => ({
    where: place !== undefined && place !== where && (times.get(where) ?? 0) > 1 ? `${where} (${place})` : where,
    corrected,
    uncorrected,
  }));
}

function read(tree: Tree, path: string): number | null {
  const text = tree.get(path);
  return text === undefined ? null : counter(text, `edac/mc/${path}`);
}

/** Names directly below a folder, numbers in their natural order. */
function children(tree: Tree, folder: string): string[] {
  const prefix = folder === '' ? '' : `${folder}/`;
  const names = new Set<string>();
  for (const path of tree.keys()) if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split('/')[0] ?? '');
  return [...names].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

/**
 * The total of aer_dev_correctable, _nonfatal or _fatal: lines "RxErr 0" and, last, "TOTAL_ERR_COR 0". Where the total is missing, the sum.
 * Throws EdacError (malformed).
 */
export function decodeAer(text: string, file: string): number {
  let sum = 0;
  let lines = 0;
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const [, name, digits] = /^\s*(\S+)\s+(\d{1,20})\s*$/.exec(line) ?? [];
    if (name === undefined || digits === undefined)
      throw new EdacError('malformed', `${file} has a line that is no count: "${printable(line)}"`);
    const value = counter(digits, file);
    if (name.startsWith('TOTAL_ERR_')) return value;
    sum += value;
    lines += 1;
  }
  if (lines === 0 || !Number.isSafeInteger(sum)) throw new EdacError('malformed', `${file} holds no counts`);
  return sum;
}

export interface ThrottleCounts {
  /** "0": of this CPU; null where the file is missing. */
  packageId: string;
  core: number | null;
  package: number | null;
}

/** Every CPU of a package shows the package's count: it counts once. Null where no CPU tells. */
export function throttledTotal(cpus: readonly ThrottleCounts[]): number | null {
  const packages = new Map<string, number>();
  let cores: number | null = null;
  for (const cpu of cpus) {
    if (cpu.core !== null) cores = (cores ?? 0) + cpu.core;
    if (cpu.package !== null) packages.set(cpu.packageId, Math.max(packages.get(cpu.packageId) ?? 0, cpu.package));
  }
  if (cores === null && packages.size === 0) return null;
  return [...packages.values()].reduce((sum, value) => sum + value, cores ?? 0);
}
