// Every fault that a CoServer can find in its own hardware: one line each. What it is, how bad, what it does to the pair, what to do.
import type { FaultEffect } from './types.ts';

export type ComponentKind =
  | 'processor'
  | 'memory'
  | 'disk'
  | 'nic'
  | 'fan'
  | 'powerSupply'
  | 'temperature'
  | 'voltage'
  | 'pcie'
  | 'bmc'
  | 'clock'
  | 'state'
  | 'monitoring';

export interface CatalogueEntry {
  component: ComponentKind;
  severity: 'warning' | 'critical';
  effect: FaultEffect;
  /** What is wrong, `where` put behind it: "A disk says that it will fail soon". */
  sentence: string;
  /** What the operator does: what to replace, where it sits. */
  remedy: string;
  /** Raised when so many readings in a row say it; left out: CONFIRM_READINGS. One reading may be a slip of the BMC. */
  confirmReadings?: number;
  /** Cleared when no reading has said it for so long; left out: CALM_MS. What flickers at its threshold stays one fault. */
  calmMs?: number;
}

export const CONFIRM_READINGS = 2;
/** A minute: longer than a fan takes to change its speed, short enough that whoever repaired it sees it end. */
export const CALM_MS = 60_000;

const entry = (
  component: ComponentKind,
  severity: CatalogueEntry['severity'],
  effect: FaultEffect,
  sentence: string,
  remedy: string,
  calm: Pick<CatalogueEntry, 'confirmReadings' | 'calmMs'> = {},
): CatalogueEntry => ({
  component,
  severity,
  effect,
  sentence,
  remedy,
  ...calm,
});

/** It happened, and one is enough. */
const AT_ONCE = { confirmReadings: 1 };
/** Of a disk, asked seldom: one reading counts, and it is calm when the next one says so. */
const BY_VERDICT = { confirmReadings: 1, calmMs: 0 };
/** Sensors and log are two sources of one BMC, which rests for some seconds when it has other work: together they say it so often in half a minute. */
const PATIENTLY = { confirmReadings: 12 };

export const CATALOGUE = {
  temperatureHigh: entry(
    'temperature',
    'warning',
    'none',
    'It gets too warm',
    'See that fans turn, filters are clean, and the room is cool.',
  ),
  temperatureCritical: entry(
    'temperature',
    'critical',
    'preFail',
    'It is too hot to go on for long',
    'See that fans turn, filters are clean, and the room is cool.',
  ),
  fanSlow: entry('fan', 'warning', 'preFail', 'A fan turns slower and slower', 'Replace the fan.'),
  fanFailed: entry('fan', 'critical', 'preFail', 'A fan has failed', 'Replace the fan.'),
  powerSupplyFailed: entry('powerSupply', 'critical', 'preFail', 'A power supply has failed', 'Replace the power supply unit.'),
  powerSupplyInputLost: entry(
    'powerSupply',
    'warning',
    'none',
    'A power supply has no mains',
    'Look at its cable, its fuse and the socket.',
  ),
  powerSupplyPreFail: entry('powerSupply', 'warning', 'preFail', 'A power supply expects to fail', 'Replace the power supply unit.'),
  voltageOutOfRange: entry(
    'voltage',
    'critical',
    'preFail',
    'A voltage is out of its range',
    'Replace the power supply unit; if it stays, the board.',
  ),
  memoryCorrectedRate: entry('memory', 'warning', 'preFail', 'Memory has to be corrected again and again', 'Replace the module.', AT_ONCE),
  memoryUncorrected: entry(
    'memory',
    'critical',
    'uncorrectable',
    'Memory has lost data',
    'Replace the module before the server is used again.',
    AT_ONCE,
  ),
  processorCorrectedRate: entry(
    'processor',
    'warning',
    'preFail',
    'A processor corrects errors again and again',
    'Replace the processor, or the module that the text names.',
    AT_ONCE,
  ),
  processorUncorrected: entry(
    'processor',
    'critical',
    'uncorrectable',
    'A processor has met an error that it cannot correct',
    'Replace the processor, or the module that the text names.',
    AT_ONCE,
  ),
  processorThrottled: entry(
    'processor',
    'warning',
    'none',
    'The processor slows down because of its heat',
    'See to fans, filters, and the heat sink.',
    AT_ONCE,
  ),
  diskPreFail: entry(
    'disk',
    'warning',
    'preFail',
    'A disk says that it will fail soon',
    'Replace the disk; take its CoServer out first.',
    BY_VERDICT,
  ),
  diskFailing: entry('disk', 'critical', 'detachDisk', 'A disk says that it has failed', 'Replace the disk.', BY_VERDICT),
  diskGrowingDefects: entry(
    'disk',
    'warning',
    'preFail',
    'A disk finds more and more bad sectors',
    'Replace the disk; take its CoServer out first.',
    BY_VERDICT,
  ),
  diskWorn: entry('disk', 'warning', 'none', 'A disk is nearly worn out', 'Order another one.', BY_VERDICT),
  diskHot: entry('disk', 'warning', 'none', 'A disk is too warm', 'See to fans and filters.', BY_VERDICT),
  diskCable: entry('disk', 'warning', 'none', 'Transfers to a disk fail on their way', 'Replace its cable, or seat it anew.', BY_VERDICT),
  diskSlow: entry(
    'disk',
    'warning',
    'preFail',
    'A disk answers far slower than it did',
    'Replace the disk if it stays; take its CoServer out first.',
    AT_ONCE,
  ),
  diskReadErrors: entry(
    'disk',
    'warning',
    'preFail',
    'A disk cannot read what it holds',
    'Replace the disk; take its CoServer out first.',
    AT_ONCE,
  ),
  diskWriteErrors: entry('disk', 'critical', 'detachDisk', 'A disk does not take what is written to it', 'Replace the disk.', AT_ONCE),
  fileSystemErrors: entry(
    'disk',
    'critical',
    'preFail',
    'A file system of this server has errors',
    'Look at the disk that it is on, and replace that if it has errors too; then start this CoServer anew.',
    AT_ONCE,
  ),
  pcieCorrectedRate: entry(
    'pcie',
    'warning',
    'none',
    'A card repeats transfers again and again',
    'Seat the card anew; then replace it.',
    AT_ONCE,
  ),
  pcieUncorrected: entry(
    'pcie',
    'critical',
    'preFail',
    'A card has lost transfers',
    'Replace the card; then the slot is suspect.',
    AT_ONCE,
  ),
  nicErrors: entry(
    'nic',
    'warning',
    'none',
    'A network port receives damaged frames',
    'Replace the cable; then the port on either side is suspect.',
  ),
  nicSlow: entry(
    'nic',
    'warning',
    'none',
    'A network port runs slower than it can',
    'Replace the cable; see what the other end is set to.',
  ),
  nicFlapping: entry(
    'nic',
    'warning',
    'none',
    'A network port loses its carrier again and again',
    'Replace the cable; then the port on either side is suspect.',
    AT_ONCE,
  ),
  nicDown: entry('nic', 'warning', 'none', 'A network port has no carrier', 'Plug the cable in; see that the other end is on.'),
  bmcSilent: entry('bmc', 'warning', 'none', 'The BMC does not answer', 'Reset the BMC; sensors and fencing depend on it.', PATIENTLY),
  selFull: entry('bmc', 'warning', 'none', "The BMC's event log has lost entries", 'Save the log and clear it.'),
  clockUnstable: entry(
    'clock',
    'warning',
    'none',
    "The kernel does not trust the processor's clock any more",
    'Update the BIOS; if it stays, replace the board.',
  ),
  stateFull: entry(
    'state',
    'warning',
    'none',
    'The state partition is full, or nearly',
    'Remove restore points. If there are none, install this server anew (erase) on a larger disk: its partner has all of the guest. Until then the guest goes on; logs, restore points and answers are not kept.',
    BY_VERDICT,
  ),
  sourceUnreadable: entry(
    'monitoring',
    'warning',
    'none',
    'A part of the server cannot be watched',
    'Mend what the text names: until then nothing more is known of it.',
  ),
} as const satisfies Record<string, CatalogueEntry>;

export type FaultCode = keyof typeof CATALOGUE;
