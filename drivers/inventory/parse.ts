// An inventory that comes from outside, a file or the partner: taken field by field, and nothing else of it. Pure.
//
// What is left out is an error, not null: an inventory that was cut must not look like a server that does not know itself.
import { type Inventory, InventoryError } from './types.ts';

/** Longer than any name, and than the list of any part, of a server that is qualified. */
const TEXT_MAX_CHARS = 256;
const LIST_MAX = 512;
/** Of them a processor has some hundreds. */
const FLAGS_MAX = 1_024;

type Parse<T> = (value: unknown, at: string) => T;
type Fields<T> = { [K in keyof T]-?: Parse<T[K]> };

const shown = (value: unknown): string => (value === undefined ? 'missing' : (JSON.stringify(value) ?? 'nothing').slice(0, 40));

function wrong(at: string, value: unknown, needed: string): never {
  throw new InventoryError(`${at} is ${shown(value)}: ${needed} is needed`);
}

const text: Parse<string> = (value, at) =>
  typeof value === 'string' && value.length <= TEXT_MAX_CHARS && !/[\p{Cc}\p{Cs}]/u.test(value)
    ? value
    : wrong(at, value, `text of one line, at most ${TEXT_MAX_CHARS} characters,`);
const whole: Parse<number> = (value, at) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : wrong(at, value, 'a whole number');
const yes: Parse<boolean> = (value, at) => (typeof value === 'boolean' ? value : wrong(at, value, 'true or false'));

function oneOf<T extends string | number>(...choices: readonly T[]): Parse<T> {
  return (value, at) => choices.find((c) => c === value) ?? wrong(at, value, choices.join(' or '));
}

function orNull<T>(parse: Parse<T>): Parse<T | null> {
  return (value, at) => (value === null ? null : parse(value, at));
}

function listOf<T>(parse: Parse<T>, limit = LIST_MAX): Parse<T[]> {
  return (value, at) =>
    Array.isArray(value) && value.length <= limit
      ? value.map((one, i) => parse(one, `${at}[${i}]`))
      : wrong(at, value, `a list of at most ${limit}`);
}

function objectOf<T>(fields: Fields<T>): Parse<T> {
  return (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong(at, value, 'an object');
    const found: Record<string, unknown> = {};
    for (const name of Object.keys(fields) as (keyof T & string)[])
      found[name] = fields[name](Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined, `${at}.${name}`);
    return found as T;
  };
}

const name = orNull(text);
const count = orNull(whole);
const maybe = orNull(yes);

const pci = objectOf<NonNullable<Inventory['nics'][number]['pci']>>({
  vendor: name,
  device: name,
  subsystemVendor: name,
  subsystemDevice: name,
  revision: name,
});

const inventory = objectOf<Inventory>({
  schema: oneOf(1),
  system: objectOf<Inventory['system']>({ vendor: name, product: name, version: name, serial: name, uuid: name }),
  board: objectOf<Inventory['board']>({ vendor: name, product: name, version: name, serial: name }),
  bios: objectOf<Inventory['bios']>({ vendor: name, version: name, date: name }),
  cpu: objectOf<Inventory['cpu']>({
    vendor: name,
    model: name,
    family: count,
    modelNumber: count,
    stepping: count,
    microcode: name,
    flags: orNull(listOf(text, FLAGS_MAX)),
    sockets: count,
    cores: count,
    threads: count,
    smt: maybe,
    mixed: listOf(text),
  }),
  memory: objectOf<Inventory['memory']>({
    totalBytes: count,
    installedBytes: count,
    ecc: maybe,
    slots: count,
    dimms: listOf(
      objectOf<Inventory['memory']['dimms'][number]>({
        slot: name,
        bank: name,
        sizeBytes: count,
        type: name,
        speedMtPerS: count,
        configuredMtPerS: count,
        ecc: maybe,
        ranks: count,
        vendor: name,
        partNumber: name,
        serial: name,
      }),
    ),
  }),
  nics: listOf(
    objectOf<Inventory['nics'][number]>({
      name: text,
      mac: name,
      driver: name,
      driverVersion: name,
      firmware: name,
      bus: name,
      pci: orNull(pci),
      speedMbps: count,
      mtuBytes: count,
    }),
  ),
  storageControllers: listOf(objectOf<Inventory['storageControllers'][number]>({ bus: text, class: name, pci, driver: name })),
  disks: listOf(
    objectOf<Inventory['disks'][number]>({
      name: text,
      model: name,
      firmware: name,
      serial: name,
      sizeBytes: count,
      logicalBlockBytes: count,
      physicalBlockBytes: count,
      rotational: maybe,
      writeCache: orNull(oneOf('write back', 'write through')),
    }),
  ),
  bmc: objectOf<Inventory['bmc']>({ vendor: name, product: name, firmware: name }),
  watchdogs: listOf(objectOf<Inventory['watchdogs'][number]>({ device: text, identity: name })),
  tsc: objectOf<Inventory['tsc']>({ constant: maybe, nonstop: maybe, clocksource: name, stable: maybe }),
  iommu: objectOf<Inventory['iommu']>({ units: count }),
  virtualization: objectOf<Inventory['virtualization']>({
    extension: orNull(oneOf('vmx', 'svm', 'none')),
    kvmDevice: maybe,
    usable: maybe,
  }),
  kernel: objectOf<Inventory['kernel']>({ release: name }),
  unreadable: listOf((value, at) => (typeof value === 'string' ? value.slice(0, TEXT_MAX_CHARS) : wrong(at, value, 'text'))),
});

/** @param at What the value is called in an error. Throws InventoryError, which names the field. Fields that are not known are left out. */
export function parseInventory(value: unknown, at = 'inventory'): Inventory {
  return inventory(value, at);
}
