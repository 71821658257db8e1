// Which faults there are now, and since when: findings of all sources, made calm.
//
//     absent --said so many times in a row--> raised --not said by any reading for a while--> cleared
//                (confirmReadings)               ^                    |       (calmMs)
//                                                +---- said again ----+
//
// A fault is its code and its place. Two sources may say the same one: it is over when neither says it.
import { CALM_MS, CATALOGUE, type CatalogueEntry, CONFIRM_READINGS, type FaultCode } from './catalogue.ts';
import { diagnoseDiskErrors, FRESH_DISK_ERRORS } from './disk-errors.ts';
import { diagnoseDiskLatency, FRESH_DISK_LATENCY } from './disk-latency.ts';
import { diagnoseEventLog, FRESH_EVENT_LOG } from './event-log.ts';
import { diagnoseMachineChecks, FRESH_MACHINE_CHECKS } from './machine-checks.ts';
import { diagnoseMemory, FRESH_MEMORY } from './memory.ts';
import { diagnoseNics, FRESH_NICS } from './nics.ts';
import { diagnosePcie, FRESH_PCIE } from './pcie.ts';
import { diagnoseProcessor, FRESH_PROCESSOR } from './processor.ts';
import { diagnoseRoom, FRESH_ROOM } from './room.ts';
import { diagnoseSensors, FRESH_SENSORS } from './sensors.ts';
import { diagnoseSmart, FRESH_SMART } from './smart.ts';
import type { Fault, Finding, Reading, ReadingSource } from './types.ts';

/** Of a fault: what it began with, and the latest. Whoever wants all reads the history. */
export const EVIDENCE_LIMIT = 8;
/** Told at once. More than any server has parts that break together. */
export const FAULT_LIMIT = 64;

const FRESH = {
  sensors: FRESH_SENSORS,
  sel: FRESH_EVENT_LOG,
  smart: FRESH_SMART,
  memory: FRESH_MEMORY,
  machineChecks: FRESH_MACHINE_CHECKS,
  pcie: FRESH_PCIE,
  nics: FRESH_NICS,
  disks: FRESH_DISK_LATENCY,
  diskErrors: FRESH_DISK_ERRORS,
  cpu: FRESH_PROCESSOR,
  room: FRESH_ROOM,
};

interface Said {
  finding: Finding;
  /** Readings in a row. */
  times: number;
  lastAt: number;
  sources: readonly ReadingSource[];
}

export interface Ledger {
  memories: typeof FRESH;
  /** By code and place; raised or on the way to it. */
  said: Readonly<Record<string, Said>>;
  /** By code and place. */
  faults: Readonly<Record<string, Fault>>;
}

export const FRESH_LEDGER: Ledger = { memories: FRESH, said: {}, faults: {} };

export interface Judged {
  ledger: Ledger;
  raised: Fault[];
  cleared: Fault[];
}

/** `at`: monotonic ms of the reading. */
export function judge(ledger: Ledger, reading: Reading, at: number): Judged {
  const { source, findings, memories } = diagnose(ledger, reading, at);
  const said = { ...ledger.said };
  const faults = { ...ledger.faults };
  const raised: Fault[] = [];
  const cleared: Fault[] = [];
  const now = new Map(findings.map((f) => [keyOf(f), f]));
  for (const [key, finding] of now) {
    const before = said[key];
    const sources = before ? [...new Set([...before.sources, source])] : [source];
    said[key] = { finding, times: (before?.times ?? 0) + 1, lastAt: at, sources };
    const fault = faults[key];
    if (fault) faults[key] = { ...fault, detail: finding.detail, evidence: withEvidence(fault.evidence, finding.detail) };
    else if (
      (said[key]?.times ?? 0) >= (entryOf(finding.code).confirmReadings ?? CONFIRM_READINGS) &&
      Object.keys(faults).length < FAULT_LIMIT
    ) {
      const one: Fault = { ...finding, raisedAt: at, clearedAt: null, evidence: [finding.detail] };
      faults[key] = one;
      raised.push(one);
    }
  }
  for (const [key, one] of Object.entries(said)) {
    if (now.has(key) || !one.sources.includes(source)) continue;
    // Not seen: the next time is the first again. A raised one waits until it has been calm for a while.
    if (one.times > 0) said[key] = { ...one, times: 0 };
    const fault = faults[key];
    if (!fault) delete said[key];
    else if (at - one.lastAt >= (entryOf(one.finding.code).calmMs ?? CALM_MS)) {
      delete said[key];
      delete faults[key];
      cleared.push({ ...fault, clearedAt: at });
    }
  }
  return { ledger: { memories, said, faults }, raised, cleared };
}

export function faultsOf(ledger: Ledger): Fault[] {
  return Object.values(ledger.faults).sort((a, b) => rankOf(b) - rankOf(a) || a.raisedAt - b.raisedAt || keyOf(a).localeCompare(keyOf(b)));
}

export function entryOf(code: FaultCode): CatalogueEntry {
  return CATALOGUE[code];
}

/** Worst first: what ends the server, what detaches a disk, what moves the role, what is critical, the rest. */
function rankOf(fault: Fault): number {
  const { effect, severity } = entryOf(fault.code);
  return { uncorrectable: 8, detachDisk: 6, preFail: 4, none: 0 }[effect] + (severity === 'critical' ? 1 : 0);
}

function keyOf(f: Finding): string {
  return `${f.code} ${f.where}`;
}

function withEvidence(evidence: readonly string[], detail: string): readonly string[] {
  if (evidence.at(-1) === detail) return evidence;
  const [first = detail, ...later] = evidence;
  return [first, ...later.slice(-(EVIDENCE_LIMIT - 2)), detail];
}

function diagnose(ledger: Ledger, r: Reading, at: number): { source: ReadingSource; findings: Finding[]; memories: typeof FRESH } {
  const m = ledger.memories;
  switch (r.source) {
    case 'sensors': {
      const d = diagnoseSensors(m.sensors, r.sensors);
      return { source: r.source, findings: d.findings, memories: { ...m, sensors: d.memory } };
    }
    case 'sel': {
      const d = diagnoseEventLog(m.sel, r.entries, at);
      return { source: r.source, findings: d.findings, memories: { ...m, sel: d.memory } };
    }
    case 'smart': {
      const d = diagnoseSmart(m.smart, r, at);
      return { source: r.source, findings: d.findings, memories: { ...m, smart: d.memory } };
    }
    case 'memory': {
      const d = diagnoseMemory(m.memory, r.rows, at);
      return { source: r.source, findings: d.findings, memories: { ...m, memory: d.memory } };
    }
    case 'machineChecks': {
      const d = diagnoseMachineChecks(m.machineChecks, r.checks, at);
      return { source: r.source, findings: d.findings, memories: { ...m, machineChecks: d.memory } };
    }
    case 'pcie': {
      const d = diagnosePcie(m.pcie, r.devices, at);
      return { source: r.source, findings: d.findings, memories: { ...m, pcie: d.memory } };
    }
    case 'nics': {
      const d = diagnoseNics(m.nics, r.nics, at);
      return { source: r.source, findings: d.findings, memories: { ...m, nics: d.memory } };
    }
    case 'disks': {
      const d = diagnoseDiskLatency(m.disks, r, at);
      return { source: r.source, findings: d.findings, memories: { ...m, disks: d.memory } };
    }
    case 'diskErrors': {
      const d = diagnoseDiskErrors(m.diskErrors, r, at);
      return { source: r.source, findings: d.findings, memories: { ...m, diskErrors: d.memory } };
    }
    case 'cpu': {
      const d = diagnoseProcessor(m.cpu, r.cpu, at);
      return { source: r.source, findings: d.findings, memories: { ...m, cpu: d.memory } };
    }
    case 'room': {
      const d = diagnoseRoom(m.room, r.room);
      return { source: r.source, findings: d.findings, memories: { ...m, room: d.memory } };
    }
    case 'unreadable': {
      const isBmc = r.of === 'sensors' || r.of === 'sel';
      const finding: Finding = isBmc
        ? { code: 'bmcSilent', where: '', detail: r.reason }
        : { code: 'sourceUnreadable', where: SOURCE_WORDS[r.of], detail: r.reason };
      // What it said before stands, and ends neither: who cannot see does not know.
      return { source: r.of, findings: [finding, ...lastSaid(ledger, r.of)], memories: m };
    }
    default:
      return r satisfies never;
  }
}

const SOURCE_WORDS: Record<ReadingSource, string> = {
  sensors: 'the sensors',
  sel: 'the event log',
  smart: 'SMART',
  memory: 'the memory controllers',
  machineChecks: 'machine checks',
  pcie: 'PCIe errors',
  nics: 'network ports',
  disks: 'disk latency',
  diskErrors: "the kernel's log of disks",
  cpu: 'the processor',
  room: 'the room on the state partition',
};

/** What is raised only: a first sign is not confirmed by silence. */
function lastSaid(ledger: Ledger, source: ReadingSource): Finding[] {
  return Object.entries(ledger.said)
    .filter(
      ([key, s]) =>
        s.sources.includes(source) && ledger.faults[key] && s.finding.code !== 'bmcSilent' && s.finding.code !== 'sourceUnreadable',
    )
    .map(([, s]) => s.finding);
}
