// What smartctl --json printed about one disk, as a reading. Pure.
//
// Sources: smartctl(8) of smartmontools 7.3 (exit status, options; JSON format 1.0), ACS-4 for ATA attributes' meaning as its makers use
// them, SPC-5 and SBC-4 for SCSI log pages, NVM Express base specification 2.0, figure 207 (SMART / health information log).
// The exit status has a bit for each thing that may be wrong; only the first two mean that there is nothing to read.
import { asObject, at, count, type Json, objects, text, truth } from './json.ts';
import { SmartError, type SmartReading } from './types.ts';

/** EXIT STATUS in smartctl(8). */
const EXIT_COMMAND_LINE = 1 << 0;
const EXIT_OPEN_FAILED = 1 << 1;
const EXIT_DISK_FAILING = 1 << 3;

const PATH = /^\/dev\/[A-Za-z0-9][A-Za-z0-9/._-]{0,120}$/;
const TYPE = /^[a-z0-9][a-z0-9,+/_]{0,40}$/i;

/** Its whole answer is a few ten kB; a log of errors that is full is the longest. */
export const OUTPUT_MAX_BYTES = 1_048_576;

/** `type`: what stands between, as smartctl names it ("megaraid,3"). Throws SmartError for what is no path or type. */
export function smartctlArguments(disk: string, type: string | null): string[] {
  if (!PATH.test(disk)) throw new SmartError('refused', `"${text(disk)}" is not the path of a disk: give one as /dev/sda`);
  if (type !== null && !TYPE.test(type))
    throw new SmartError('refused', `"${text(type)}" is no device type of smartctl's: see smartctl -d`);
  return [
    '--json=c',
    '--info',
    '--health',
    '--attributes',
    '--log=error',
    '--log=selftest',
    ...(type === null ? [] : [`--device=${type}`]),
    disk,
  ];
}

/** Throws SmartError, nothing else: unsupported, refused, unreadable or garbage. */
export function decodeSmart(output: string, disk: string): SmartReading {
  const root = parse(output, disk);
  const exit = count(at(root, 'smartctl', 'exit_status'));
  if (exit === null) throw garbage(disk, 'it has no smartctl.exit_status');
  if ((exit & (EXIT_COMMAND_LINE | EXIT_OPEN_FAILED)) !== 0) throw notOpened(root, disk);
  const kind = kindOf(root, disk);
  const passed = truth(at(root, 'smart_status', 'passed'));
  const reading: SmartReading = {
    disk,
    model: modelOf(root),
    serial: text(at(root, 'serial_number')),
    kind,
    passed: (exit & EXIT_DISK_FAILING) !== 0 ? false : passed,
    temperatureC: temperature(at(root, 'temperature', 'current'), kind),
    reallocatedSectors: null,
    pendingSectors: null,
    uncorrectedErrors: null,
    interfaceErrors: null,
    percentUsed: count(at(root, 'endurance_used', 'current_percent')),
    availableSparePercent: null,
    spareThresholdPercent: null,
    criticalWarnings: [],
    failingAttributes: [],
    selfTestFailed: null,
    powerOnHours: count(at(root, 'power_on_time', 'hours')),
  };
  switch (kind) {
    case 'ata':
      return { ...reading, ...ata(root, reading) };
    case 'scsi':
      return { ...reading, ...scsi(root, reading) };
    case 'nvme':
      return { ...reading, ...nvme(root, reading) };
    default:
      return kind satisfies never;
  }
}

function parse(output: string, disk: string): Json {
  if (output.trim() === '') throw garbage(disk, 'it printed nothing');
  let parsed: unknown;
  try {
    parsed = JSON.parse(output);
  } catch (cause) {
    throw garbage(disk, `that is not JSON: "${text(output, 80)}"`, cause);
  }
  const root = asObject(parsed);
  if (root === null || asObject(root.smartctl) === null) throw garbage(disk, 'that is JSON, but not its own');
  return root;
}

function garbage(disk: string, what: string, cause?: unknown): SmartError {
  const remedy = 'version 7.0 or newer of smartmontools is needed; look at: smartctl --json -a';
  return new SmartError('garbage', `smartctl's answer about ${disk} cannot be read: ${what}. ${remedy} ${disk}`, { cause });
}

function notOpened(root: Json, disk: string): SmartError {
  const said = objects(at(root, 'smartctl', 'messages'))
    .map((message) => text(message.string, 160))
    .filter((line) => line !== '')
    .join('; ');
  const says = `${disk} cannot be asked for its health: smartctl says "${said || 'nothing'}"`;
  if (/permission denied|operation not permitted/i.test(said)) return new SmartError('refused', `${says}. It needs root (CAP_SYS_RAWIO)`);
  if (/unable to detect device type|unknown usb bridge/i.test(said))
    return new SmartError('unsupported', `${says}. A virtual disk has none; behind a RAID controller give the type (smartctl -d)`);
  if (/no such (file|device)/i.test(said)) return new SmartError('unreadable', `${says}. The disk is gone: is it plugged in?`);
  return new SmartError('unreadable', `${says}. The disk does not answer: look at its cable and the kernel's log`);
}

function kindOf(root: Json, disk: string): SmartReading['kind'] {
  switch (at(root, 'device', 'protocol')) {
    case 'ATA':
      return 'ata';
    case 'SCSI':
      if (at(root, 'smart_support', 'available') === false || !tellsSomething(root))
        throw new SmartError('unsupported', `${disk} (${modelOf(root)}) says that it has no SMART: a virtual disk or a RAID volume`);
      return 'scsi';
    case 'NVMe':
      return 'nvme';
    default: {
      const protocol = text(at(root, 'device', 'protocol')) || 'unknown';
      throw new SmartError('unsupported', `${disk} is of a kind that has no SMART (protocol ${protocol}): give smartctl's type for it`);
    }
  }
}

/** A RAID volume looks like a SCSI disk that answers none of the questions. */
function tellsSomething(root: Json): boolean {
  return ['smart_status', 'temperature', 'scsi_grown_defect_list', 'scsi_error_counter_log', 'power_on_time'].some(
    (key) => at(root, key) !== null,
  );
}

function modelOf(root: Json): string {
  const named = text(root.model_name) || text(root.scsi_model_name);
  if (named !== '') return named;
  return text(`${text(root.scsi_vendor) || text(root.vendor)} ${text(root.scsi_product) || text(root.product)}`);
}

/** A SCSI disk without the sensor says 0; 255 and 32768 are other ways of saying nothing. */
function temperature(value: unknown, kind: SmartReading['kind']): number | null {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < -60 || value > 200) return null;
  return kind === 'scsi' && value === 0 ? null : value;
}

// ---- ATA ---------------------------------------------------------------------------------------------------------------------

interface Attribute {
  id: number;
  name: string;
  value: number | null;
  raw: number | null;
  failsNow: boolean;
}

/** An id means what its name says, as smartctl's database has it for this model: makers reuse ids. */
const REALLOCATED = { id: 5, name: /realloc|retired/i };
const PENDING = { id: 197, name: /pending/i };
const REPORTED_UNCORRECTED = { id: 187, name: /uncorr/i };
const OFFLINE_UNCORRECTED = { id: 198, name: /uncorr/i };
const INTERFACE_ERRORS = { id: 199, name: /crc/i };
/** Their normalised value goes from 100 (new) to 0 (used up). */
const LIFE_LEFT = [
  { id: 231, name: /life_left/i },
  { id: 169, name: /remain.*life/i },
  { id: 202, name: /lifetime_remain/i },
  { id: 233, name: /wearout_indicator/i },
  { id: 177, name: /wear_leveling_count/i },
];

function ata(root: Json, { percentUsed }: SmartReading): Partial<SmartReading> {
  const table = objects(at(root, 'ata_smart_attributes', 'table')).map(attribute);
  const find = ({ id, name }: { id: number; name: RegExp }) => table.find((entry) => entry.id === id && name.test(entry.name));
  const raw = (which: { id: number; name: RegExp }) => find(which)?.raw ?? null;
  const left = LIFE_LEFT.map((which) => find(which)?.value ?? null).find((value) => value !== null && value <= 100) ?? null;
  return {
    reallocatedSectors: raw(REALLOCATED),
    pendingSectors: raw(PENDING),
    uncorrectedErrors: sum([raw(REPORTED_UNCORRECTED), raw(OFFLINE_UNCORRECTED)]),
    interfaceErrors: raw(INTERFACE_ERRORS),
    percentUsed: percentUsed ?? (left === null ? null : 100 - left),
    failingAttributes: table.filter(({ failsNow }) => failsNow).map(({ id, name }) => `${id} ${name}`),
    selfTestFailed: ataSelfTest(root),
  };
}

function attribute(entry: Json): Attribute {
  // "8 (0 3)": several numbers in one; smartctl puts the count first. The value alone would be all of them as one large number.
  const leading = /^(\d{1,15})(?![\d.hx])/.exec(text(at(entry, 'raw', 'string')))?.[1];
  return {
    id: count(entry.id) ?? 0,
    name: text(entry.name),
    value: count(entry.value),
    raw: leading === undefined ? count(at(entry, 'raw', 'value')) : Number(leading),
    failsNow: entry.when_failed === 'now',
  };
}

/** Newest first. Tests that were aborted or still run have no "passed". */
function ataSelfTest(root: Json): boolean | null {
  const log = at(root, 'ata_smart_self_test_log');
  const entries = [...objects(at(log, 'extended', 'table')), ...objects(at(log, 'standard', 'table'))];
  const results = [...entries.map((entry) => at(entry, 'status', 'passed')), at(root, 'ata_smart_data', 'self_test', 'status', 'passed')];
  const last = results.find((passed) => typeof passed === 'boolean');
  return last === undefined ? null : last === false;
}

// ---- SCSI --------------------------------------------------------------------------------------------------------------------

/** The self-test results log has 20 entries (SPC-5, 7.3.22). */
const SCSI_SELF_TESTS = 20;
/** SPC-5, table 461: 0 passed; 3 to 7 failed; the rest was aborted or runs. */
const SCSI_PASSED = 0;
const SCSI_FAILED = [3, 4, 5, 6, 7];

function scsi(root: Json, { percentUsed }: SmartReading): Partial<SmartReading> {
  const log = at(root, 'scsi_error_counter_log');
  const results = Array.from({ length: SCSI_SELF_TESTS }, (_, i) => count(at(root, `scsi_self_test_${i}`, 'result', 'value')));
  const last = results.find((value) => value !== null && (value === SCSI_PASSED || SCSI_FAILED.includes(value))) ?? null;
  return {
    reallocatedSectors: count(root.scsi_grown_defect_list),
    pendingSectors: count(at(root, 'scsi_pending_defects', 'count')),
    uncorrectedErrors: sum(['read', 'write', 'verify'].map((what) => count(at(log, what, 'total_uncorrected_errors')))),
    percentUsed: percentUsed ?? count(root.scsi_percentage_used_endurance_indicator),
    selfTestFailed: last === null ? null : last !== SCSI_PASSED,
  };
}

// ---- NVMe --------------------------------------------------------------------------------------------------------------------

/** Critical warning, by bit. */
const CRITICAL_WARNINGS = [
  'spare blocks are below the threshold',
  'temperature is outside its limits',
  'reliability is degraded by media or internal errors',
  'media is read-only',
  'backup of the volatile memory failed',
  'persistent memory region is read-only or unreliable',
  'reserved bit 6',
  'reserved bit 7',
];
const SPARE_LOW = 1;
/** Figure 215, device self-test result: 0 passed; 5 to 7 failed; the rest was aborted. */
const NVME_PASSED = 0;
const NVME_FAILED = [5, 6, 7];

function nvme(root: Json, reading: SmartReading): Partial<SmartReading> {
  const log = at(root, 'nvme_smart_health_information_log');
  const warning = count(at(log, 'critical_warning')) ?? count(at(root, 'smart_status', 'nvme', 'value')) ?? 0;
  const spare = count(at(log, 'available_spare'));
  const threshold = count(at(log, 'available_spare_threshold'));
  // A virtual controller fills in neither. No spare at all would set the warning's bit.
  const tells = spare !== 0 || threshold !== 0 || (warning & SPARE_LOW) !== 0;
  const results = objects(at(root, 'nvme_self_test_log', 'table')).map((entry) => count(at(entry, 'self_test_result', 'value')));
  const last = results.find((value) => value !== null && (value === NVME_PASSED || NVME_FAILED.includes(value))) ?? null;
  return {
    temperatureC: reading.temperatureC ?? temperature(at(log, 'temperature'), 'nvme'),
    uncorrectedErrors: count(at(log, 'media_errors')),
    percentUsed: count(at(log, 'percentage_used')) ?? reading.percentUsed,
    availableSparePercent: tells ? spare : null,
    spareThresholdPercent: tells ? threshold : null,
    criticalWarnings: CRITICAL_WARNINGS.filter((_, bit) => (warning & (1 << bit)) !== 0),
    selfTestFailed: last === null ? null : last !== NVME_PASSED,
    powerOnHours: reading.powerOnHours ?? count(at(log, 'power_on_hours')),
  };
}

/** Null when none of them is known. */
function sum(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}
