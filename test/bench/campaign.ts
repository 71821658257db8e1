// Runs the plan: one variant at a time, each measure on it, and keeps everything that was seen.
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabParts } from '../../hwqual/lab/prepare.ts';
import type { LabSettings } from '../../hwqual/lab/settings.ts';
import type { BenchGuest } from './guest/build.ts';
import { MEASURE_COLUMNS, type MeasureName } from './measure.ts';
import type { BenchOptions } from './options.ts';
import { Clock, clockText, type Visit, visits } from './plan.ts';
import { isAlive, runMeasure, type SessionResult, type SessionSurroundings } from './session.ts';
import { startPair } from './variants/pair.ts';
import { startPlain } from './variants/plain.ts';
import { startStockColo } from './variants/stock-colo.ts';
import type { RunningVariant, VariantName } from './variants/variant.ts';

export interface Sample extends SessionResult {
  round: number;
  variant: VariantName;
  measure: MeasureName;
}

export interface CampaignParts {
  settings: LabSettings;
  /** Of the lab, for the product's own guest: guest and disk are replaced. */
  lab: LabParts;
  guest: BenchGuest;
  options: BenchOptions;
  signal: AbortSignal;
  say: (line: string) => void;
  onSample: (sample: Sample) => void;
}

/** A variant that keeps breaking: this many fresh starts in one visit, then what is left of it is written off. */
const STARTS_PER_VISIT = 3;

export async function runCampaign(parts: CampaignParts): Promise<void> {
  const clock = new Clock(parts.options);
  parts.say(`about ${clockText(clock.leftS)} if the machine has nothing else to do`);
  for (const visit of visits(parts.options)) {
    parts.signal.throwIfAborted();
    await runVisit(parts, visit, clock);
  }
}

async function runVisit(parts: CampaignParts, visit: Visit, clock: Clock): Promise<void> {
  const around: SessionSurroundings = {
    lanNamespace: parts.settings.namespaces.lan,
    tree: parts.guest.tree,
    seconds: parts.options.seconds,
    signal: parts.signal,
  };
  let starts = 0;
  let startSeconds = 0;
  let running: RunningVariant | null = null;
  let why = '';
  const timed = async <T>(act: () => Promise<T>): Promise<T> => {
    const beganMs = performance.now();
    try {
      return await act();
    } finally {
      startSeconds += (performance.now() - beganMs) / 1000;
    }
  };
  const stop = async () => {
    const variant = running;
    running = null;
    if (variant !== null) await timed(() => variant.stop());
  };
  try {
    for (const measure of parts.options.measures) {
      parts.signal.throwIfAborted();
      while (running === null && starts < STARTS_PER_VISIT) {
        starts++;
        parts.say(progress(visit, parts, clock, `starts${starts > 1 ? ' anew' : ''} ...`));
        try {
          running = await timed(() => startVariant(parts, visit.variant));
        } catch (error) {
          parts.signal.throwIfAborted();
          why = `did not start: ${error instanceof Error ? error.message : String(error)}`;
          parts.say(progress(visit, parts, clock, why));
        }
      }
      const beganMs = performance.now();
      const result = running === null ? unmeasured(why) : await measureOn(running, measure, around);
      clock.measured((performance.now() - beganMs) / 1000);
      parts.onSample({ ...visit, measure, ...result });
      parts.say(progress(visit, parts, clock, resultText(measure, result)));
      if (result.problem !== null && running !== null && !(await isAlive(around))) {
        why = 'did not answer any more, and fresh starts did not help';
        parts.say(progress(visit, parts, clock, 'the guest does not answer any more'));
        await stop();
      }
    }
  } finally {
    await stop();
    clock.started(startSeconds);
  }
}

async function measureOn(running: RunningVariant, measure: MeasureName, around: SessionSurroundings): Promise<SessionResult> {
  try {
    return await runMeasure(running, measure, around);
  } catch (error) {
    around.signal.throwIfAborted();
    return unmeasured(error instanceof Error ? error.message : String(error));
  }
}

function unmeasured(problem: string): SessionResult {
  return { values: {}, problem, usage: null, mode: null };
}

async function startVariant(parts: CampaignParts, variant: VariantName): Promise<RunningVariant> {
  const { settings, lab, guest, signal } = parts;
  const bridge = { settings, engineRoot: lab.engineRoot, guest, acceleration: lab.workload.acceleration };
  switch (variant) {
    case 'plain':
      return startPlain(bridge, signal);
    case 'stock':
      return startStockColo(bridge, signal);
    case 'gate':
    case 'lockstep':
    case 'passive':
      return startPair(settings, withGuest(lab, guest), variant, signal);
    default: {
      const unknown: never = variant;
      throw new Error(`unknown variant ${unknown}`);
    }
  }
}

/** The lab's parts with the benchmark's guest: its disk is copied instead of made. */
function withGuest(lab: LabParts, guest: BenchGuest): LabParts {
  return {
    ...lab,
    guest: guest.image,
    workload: { ...lab.workload, append: guest.image.append, diskMiB: guest.diskMiB },
    makeDisks: async (directories) => {
      for (const directory of directories) {
        await mkdir(directory, { recursive: true, mode: 0o700 });
        await rm(join(directory, 'disk0'), { force: true });
        await copyFile(guest.disk, join(directory, 'disk0'));
      }
    },
  };
}

function progress(visit: Visit, parts: CampaignParts, clock: Clock, what: string): string {
  return `${clockText(clock.leftS)} left, round ${visit.round}/${parts.options.rounds}, ${visit.variant}: ${what}`;
}

function resultText(measure: MeasureName, result: SessionResult): string {
  const figures = MEASURE_COLUMNS[measure].flatMap((column) => {
    const value = result.values[column.key];
    return value === undefined ? [] : [`${column.title} ${Number(value.toPrecision(3))} ${column.unit}`];
  });
  return [...figures, ...(result.problem === null ? [] : [`${figures.length === 0 ? `${measure}: ` : ''}${result.problem}`])].join(', ');
}
