// What smartctl printed for real disks (testdata/real), through the reader: each value as a person reads it there.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeSmart, type SmartReading } from '../../../../drivers/smart/index.ts';

const FOLDER = join(import.meta.dirname, '../../../../drivers/smart/testdata/real');

/** What does not tell is null; `kind`, `passed` and what is left out here: as in `expected`. */
const SILENT: Omit<SmartReading, 'model' | 'kind' | 'temperatureC' | 'powerOnHours'> = {
  disk: '/dev/sda',
  serial: 'REDACTED',
  passed: true,
  reallocatedSectors: null,
  pendingSectors: null,
  uncorrectedErrors: 0,
  interfaceErrors: null,
  percentUsed: null,
  availableSparePercent: null,
  spareThresholdPercent: null,
  criticalWarnings: [],
  failingAttributes: [],
  selfTestFailed: null,
};

const DISKS: Record<string, Pick<SmartReading, 'model' | 'kind' | 'temperatureC' | 'powerOnHours'> & Partial<SmartReading>> = {
  'hgst-hus724020ale640': {
    model: 'HGST HUS724020ALE640',
    kind: 'ata',
    temperatureC: 26,
    powerOnHours: 83_425,
    reallocatedSectors: 0,
    pendingSectors: 0,
    interfaceErrors: 12,
  },
  'hitachi-h109060sesun600g': {
    model: 'HITACHI H109060SESUN600G',
    kind: 'scsi',
    temperatureC: 26,
    powerOnHours: 22_364,
    reallocatedSectors: 0,
  },
  'intel-mempek1w032ga': {
    model: 'INTEL MEMPEK1W032GA',
    kind: 'nvme',
    temperatureC: 31,
    powerOnHours: 41_159,
    percentUsed: 1,
    availableSparePercent: 100,
    spareThresholdPercent: 0,
  },
  'intel-ssdpe2kx020t7': {
    model: 'INTEL SSDPE2KX020T7',
    kind: 'nvme',
    temperatureC: 19,
    powerOnHours: 49_441,
    percentUsed: 75,
    availableSparePercent: 99,
    spareThresholdPercent: 10,
  },
  'samsung-mz7wd240hafv': {
    model: 'SAMSUNG MZ7WD240HAFV-00003',
    kind: 'ata',
    temperatureC: 27,
    powerOnHours: 84_619,
    reallocatedSectors: 0,
    interfaceErrors: 0,
    percentUsed: 9,
  },
  'samsung-mzwll3t2hajq': {
    model: 'SAMSUNG MZWLL3T2HAJQ-00005',
    kind: 'nvme',
    passed: false,
    temperatureC: 40,
    powerOnHours: 18_376,
    percentUsed: 0,
    availableSparePercent: 100,
    spareThresholdPercent: 10,
    criticalWarnings: ['backup of the volatile memory failed'],
  },
  'seagate-st3500418as': {
    model: 'ST3500418AS',
    kind: 'ata',
    temperatureC: 33,
    powerOnHours: 44_668,
    reallocatedSectors: 304,
    pendingSectors: 0,
    interfaceErrors: 0,
  },
  'seagate-st373453lc': {
    model: 'SEAGATE ST373453LC',
    kind: 'scsi',
    temperatureC: 33,
    powerOnHours: 102_880,
    reallocatedSectors: 260,
    uncorrectedErrors: 536,
  },
};

t.same(
  readdirSync(FOLDER).sort(),
  Object.keys(DISKS).map((name) => `${name}.json`),
  'each is asserted',
);
for (const [name, expected] of Object.entries(DISKS)) {
  const printed = readFileSync(join(FOLDER, `${name}.json`), 'utf8');
  t.same(decodeSmart(printed, '/dev/sda'), { ...SILENT, ...expected }, name);
  t.equal(Buffer.byteLength(printed) < 100_000, true);
}
