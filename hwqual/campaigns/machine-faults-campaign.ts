// Makes every fault that a lab can make in whole servers, on either side, and sees what the pair makes of each: told, where, which row, how
// soon; then takes it back and sees it end. Of the world it knows the Lab and the servers' web consoles, so it runs on real ones too.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { messageOf } from '../lab/lab-error.ts';
import type { Injection, Lab } from '../lab/lab-interface.ts';
import {
  type FaultOutcome,
  falseAlarms,
  findTold,
  judgeFault,
  type Observation,
  partnerShows,
  partnersPicture,
} from './machine-faults-judge.ts';
import { EXPECTED, type FaultExpectation, type PlannedFault, type Stage } from './machine-faults-plan.ts';
import { concludeFaults, emptyFaultsReport, type MachineFaultsReport } from './machine-faults-report.ts';
import type { MachineWatch } from './machine-watch.ts';
import { partnerOf } from './pair-picture.ts';

/** Emulated servers on a busy machine start for minutes. */
const HEALTHY_LIMIT_MS = 900_000;
/** Twice what the slowest source but SMART takes when nothing else runs. */
const DETECT_LIMIT_MS = 240_000;
/** SMART is asked every two minutes; errors in the kernel's log count for five; nothing is over before it was calm for a minute. */
const SMART_LIMIT_MS = 900_000;
const CLEAR_LIMIT_MS = 420_000;
const RESTART_LIMIT_MS = 900_000;
/** Corrected errors are read each second; two of one bank within it are one. Bursts are made up for by more of them. */
const GAP_MS = 1_200;
const MANY_GAP_MS = 100;
const MANY = 50;
const INJECTIONS_MOST = 3;

export interface MachineFaultsParts {
  lab: Lab;
  watch: MachineWatch;
  stages: readonly Stage[];
  /** The operator's action that takes a disk back. */
  tryDisk(server: CoServerName): Promise<void>;
  onOutcome(outcome: FaultOutcome, soFar: MachineFaultsReport): Promise<void>;
  say(text: string): void;
  wasInterrupted(): boolean;
  sleep(ms: number): Promise<void>;
}

export async function runMachineFaults(parts: MachineFaultsParts): Promise<MachineFaultsReport> {
  const { lab, watch, stages, say } = parts;
  const report = emptyFaultsReport(lab.world, Date.now());
  const made: Parameters<typeof falseAlarms>[1][number][] = [];
  const startedMs = performance.now();
  if (!(await wellBoth(watch, say))) report.problems.push('the servers did not come to watch their hardware in good order');
  else {
    report.healthyAfterS = Math.round((performance.now() - startedMs) / 1000);
    const fromMs = performance.now();
    const lookForFalseAlarms = () => {
      const since = watch.told.filter(({ seenMs }) => seenMs >= fromMs);
      report.falseAlarms = falseAlarms(since, made).map(({ coServer, text }) => ({ server: coServer, text }));
    };
    for (const stage of stages) {
      say(`stage: ${stage.name}`);
      await Promise.all(stage.lanes.map((lane) => runLane(parts, lane, report, made, lookForFalseAlarms)));
    }
    lookForFalseAlarms();
  }
  report.endedAt = Date.now();
  concludeFaults(report);
  return report;
}

async function runLane(
  parts: MachineFaultsParts,
  lane: readonly PlannedFault[],
  report: MachineFaultsReport,
  made: Parameters<typeof falseAlarms>[1][number][],
  lookForFalseAlarms: () => void,
): Promise<void> {
  for (const planned of lane) {
    const expected = EXPECTED[planned.fault];
    if (expected === undefined || parts.wasInterrupted()) continue;
    const codes = [...(expected.code === null ? [] : [expected.code]), ...(expected.beside ?? [])];
    // What lasts for an hour may be told again by a process that was started again, and so may the rest of what it saw.
    const entry = {
      server: planned.server,
      codes,
      fromMs: performance.now(),
      toMs: Number.POSITIVE_INFINITY,
      both: expected.both === true,
    };
    made.push(entry);
    parts.say(`${planned.fault} on ${planned.server}`);
    const outcome = judgeFault(expected, await observe(parts, planned, expected));
    if (expected.ends === 'takenBack' && outcome.overS !== null) entry.toMs = performance.now();
    report.outcomes.push(outcome);
    // What is kept after each fault says all that is known then.
    lookForFalseAlarms();
    concludeFaults(report);
    await parts.onOutcome(outcome, report);
  }
}

async function observe(parts: MachineFaultsParts, planned: PlannedFault, expected: FaultExpectation): Promise<Observation> {
  const { lab, watch } = parts;
  const { fault, server } = planned;
  const seen: Observation = {
    fault,
    server,
    how: '',
    injections: 0,
    injectedMs: 0,
    detected: null,
    detectedByBothMs: null,
    startedAgain: null,
    clearedFromMs: null,
    overMs: null,
    role: watch.pictures[server]?.coServers.find(({ name }) => name === server)?.role ?? 'unknown',
    trouble: '',
  };
  const sinceMs = performance.now();
  try {
    const injection = await makeIt(parts, planned, expected, seen, sinceMs);
    if (expected.both && seen.detected) seen.detectedByBothMs = await detectedAtPartner(watch, expected, server, sinceMs);
    if (expected.action === 'endServer') seen.startedAgain = await startedAgain(watch, server, sinceMs);
    if (expected.ends === 'powerCycle') {
      await lab.clear(injection);
      seen.clearedFromMs = performance.now();
      await lab.power(server).off();
      await lab.power(server).on();
      seen.overMs = await wellSince(watch, server, seen.clearedFromMs);
    } else if (!injection.isEvent) {
      const clearedFromMs = performance.now();
      await lab.clear(injection);
      seen.clearedFromMs = performance.now();
      seen.overMs = seen.detected ? await over(watch, expected, server, clearedFromMs) : null;
      if (expected.action === 'detachDisk') await parts.tryDisk(server).catch((error: unknown) => parts.say(messageOf(error)));
    } else if (expected.ends === 'restart') {
      seen.clearedFromMs = seen.injectedMs;
      if (expected.shows) seen.overMs = await over(watch, expected, server, seen.injectedMs);
      if (!(await well(watch, server, HEALTHY_LIMIT_MS))) seen.trouble = 'it is not watched in good order again';
    }
  } catch (error) {
    seen.trouble = messageOf(error);
  }
  return seen;
}

/** Until it is told, or made often enough and long ago. */
async function makeIt(
  { lab, watch, wasInterrupted, sleep }: MachineFaultsParts,
  { fault, server }: PlannedFault,
  expected: FaultExpectation,
  seen: Observation,
  sinceMs: number,
): Promise<Injection> {
  // A person is asked once: whatever real.yaml tells them makes as many as it takes.
  const most = expected.times === 1 || lab.world === 'real' ? 1 : expected.times * INJECTIONS_MOST;
  const gapMs = expected.times >= MANY ? MANY_GAP_MS : GAP_MS;
  const look = () => detectedNow(watch, expected, server, sinceMs);
  let injection: Injection | null = null;
  while (injection === null || (seen.injections < most && look() === null && !wasInterrupted())) {
    if (injection !== null) await sleep(gapMs);
    injection = await lab.inject(fault, server);
    seen.injections++;
    // The first of many is not told yet: seconds count from the one that could be.
    if (seen.injections <= expected.times) seen.injectedMs = injection.atMs;
    seen.how = injection.how;
  }
  const limitMs = fault.startsWith('nvme') ? SMART_LIMIT_MS : DETECT_LIMIT_MS;
  seen.detected = await watch.until(look, limitMs);
  return injection;
}

function detectedNow(
  watch: MachineWatch,
  { code, where, shows }: FaultExpectation,
  server: CoServerName,
  sinceMs: number,
): Observation['detected'] {
  const partner = watch.pictures[partnerOf(server)];
  if (code === null) {
    const isShown = shows !== undefined && partnersPicture(partner, shows, server) === true;
    const text = shows === 'fencePath' ? 'the way to its BMC is not proven' : 'it is not heard';
    return isShown ? { atMs: performance.now(), row: null, text, by: 'partner' } : null;
  }
  const told = findTold(watch.told, { code, where, server, isOver: false, sinceMs });
  if (told) return { atMs: told.seenMs, row: told.row, text: told.text, by: 'itself' };
  // Its own console is cut off: the partner shows what it was told.
  const isCutOff = watch.pictures[server] === null;
  return isCutOff && partnerShows(partner, code, where, server)
    ? { atMs: performance.now(), row: null, text: `the partner shows it: ${code}`, by: 'partner' }
    : null;
}

function detectedAtPartner(watch: MachineWatch, { code, where }: FaultExpectation, server: CoServerName, sinceMs: number) {
  if (code === null) return null;
  const wanted = { code, where, server: partnerOf(server), isOver: false, sinceMs };
  return watch.until(() => findTold(watch.told, wanted)?.seenMs ?? null, DETECT_LIMIT_MS);
}

async function over(watch: MachineWatch, { code, where, shows }: FaultExpectation, server: CoServerName, sinceMs: number) {
  const limitMs =
    code === 'diskPreFail' || code === 'diskFailing' || code === 'diskReadErrors'
      ? SMART_LIMIT_MS
      : shows === 'hearing'
        ? RESTART_LIMIT_MS
        : CLEAR_LIMIT_MS;
  return watch.until(() => {
    if (code !== null) return findTold(watch.told, { code, where, server, isOver: true, sinceMs })?.seenMs ?? null;
    const isShown = shows === undefined ? null : partnersPicture(watch.pictures[partnerOf(server)], shows, server);
    return isShown === false ? performance.now() : null;
  }, limitMs);
}

const ENDED_ITSELF = /^This server had ended itself:/;

async function startedAgain(watch: MachineWatch, server: CoServerName, sinceMs: number): Promise<Observation['startedAgain']> {
  const found = await watch.until(() => {
    const isNew = (seenMs: number) => seenMs >= sinceMs;
    const why = watch.entries.find((e) => e.coServer === server && isNew(e.seenMs) && ENDED_ITSELF.test(e.text));
    const start = watch.entries.find((e) => e.coServer === server && isNew(e.seenMs) && e.text.startsWith(`CoServer ${server} started:`));
    return start ? { atMs: start.seenMs, knowsWhy: why !== undefined } : null;
  }, RESTART_LIMIT_MS);
  return found;
}

/** Well, and not by its last picture before it went. */
async function wellSince(watch: MachineWatch, server: CoServerName, sinceMs: number): Promise<number | null> {
  return watch.until(() => {
    const picture = watch.pictures[server];
    const startedMs = picture === null ? 0 : performance.now() - picture.uptimeMs;
    return startedMs > sinceMs && watch.isWatchedAndWell(server) ? performance.now() : null;
  }, HEALTHY_LIMIT_MS);
}

async function well(watch: MachineWatch, server: CoServerName, limitMs: number): Promise<boolean> {
  return (await watch.until(() => (watch.isWatchedAndWell(server) ? true : null), limitMs)) === true;
}

async function wellBoth(watch: MachineWatch, say: (text: string) => void): Promise<boolean> {
  say('waiting until both servers watch their hardware, and nothing is wrong with it');
  return (await watch.until(() => (watch.isWatchedAndWell('A') && watch.isWatchedAndWell('B') ? true : null), HEALTHY_LIMIT_MS)) === true;
}
