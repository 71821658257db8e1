// Level 2: the primary loses its power, again and again, and the guest is started on the other CoServer. How long until its engine runs
// there, counted from the loss itself, and where that time goes; with the consent of the witness, or without one by the BMC.
import type { CoServerName, TakeoverView } from '../../appliance/core/snapshot.ts';
import type { Clock } from './clock.ts';
import type { LabControl, PairStatus } from './lab-control.ts';
import { isDuplex, noticedAt, partnerOf, primaryOf, takeoverSince } from './pair-picture.ts';
import type { Distribution } from './report.ts';
import { distribution } from './statistics.ts';

const DUPLEX_WITHIN_S = 180;
const LOOK_EVERY_MS = 100;
/** The guest boots under emulation; by the BMC it begins 15 s later. */
const STARTED_WITHIN_MS = 120_000;
/** Lost at any moment of what repeats each second or seldomer. */
const LEAD_MS = 1_500;
/** The witness away, both agree on the BMC within some seconds. */
const ARBITER_WITHIN_MS = 60_000;
/** Long enough for a fencing that fails to have been tried, and for one that comes late to be seen. */
const HELD_MS = 30_000;
/** What is promised of level 2, with the witness. */
export const RESTART_WITHIN_MS = 5_000;
const ENGINE_STARTED = 'engine started: the guest boots';

/** witness: its consent. fence: it is away, the BMC answers. hold: neither; nobody may start the guest. */
export const ARBITERS = ['witness', 'fence', 'hold'] as const;
export type Level2Arbiter = (typeof ARBITERS)[number];

export interface Level2Trial {
  trial: number;
  lost: CoServerName;
  /** ms from the power failure: the partner noticed, its steps, each until it was done. Held: none. */
  steps: { step: string; atMs: number }[];
  /** Until the engine runs on the other; null: it was held, as it must be. */
  restartMs: number | null;
  problems: string[];
}

export interface Level2Report {
  arbiter: Level2Arbiter;
  trials: Level2Trial[];
  ok: boolean;
}

export async function runLevel2(a: {
  count: number;
  arbiter: Level2Arbiter;
  lab: LabControl;
  clock: Clock;
  onTrial?: (trial: Level2Trial) => Promise<void> | void;
}): Promise<Level2Report> {
  const { count, arbiter, lab, clock } = a;
  const trials: Level2Trial[] = [];
  for (let trial = 1; trial <= count; trial++) {
    await lab.waitDuplex(DUPLEX_WITHIN_S);
    await agree(arbiter, lab, clock);
    await clock.sleep(clock.random() * LEAD_MS);
    const result = await loseOnce(trial, arbiter, lab, clock);
    trials.push(result);
    await a.onTrial?.(result);
    await lab.powerOn(result.lost);
  }
  await lab.waitDuplex(DUPLEX_WITHIN_S);
  return { arbiter, trials, ok: trials.length > 0 && trials.every(({ problems }) => problems.length === 0) };
}

/** The pair stands on this arbiter, both CoServers. */
async function agree(arbiter: Level2Arbiter, lab: LabControl, clock: Clock): Promise<void> {
  if (arbiter === 'witness') return;
  const isAgreed = (status: PairStatus) => isDuplex(status) && status.A?.arbiter.kind === 'fence' && status.B?.arbiter.kind === 'fence';
  if (isAgreed(await lab.status())) return;
  await lab.witness?.('down');
  await until(lab, clock, isAgreed, ARBITER_WITHIN_MS, 'the pair does not agree on the BMC');
}

async function loseOnce(trial: number, arbiter: Level2Arbiter, lab: LabControl, clock: Clock): Promise<Level2Trial> {
  const lost = primaryOf(await lab.status());
  if (lost === null) throw new Error(`trial ${trial}: no CoServer says that it runs the guest`);
  const other = partnerOf(lost);
  const problems: string[] = [];
  const lostAt = clock.now();
  if (arbiter === 'hold') await lab.bmc?.(lost, 'hang');
  await lab.powerOff(lost);
  if (arbiter === 'hold') {
    const end = clock.now() + HELD_MS;
    while (clock.now() < end) {
      if (primaryOf(await lab.status()) !== null) throw new Error(`${other} started the guest, and nobody had allowed it`);
      await clock.sleep(LOOK_EVERY_MS);
    }
    await lab.bmc?.(lost, 'ok');
  }
  const after = await until(lab, clock, (status) => primaryOf(status) === other, STARTED_WITHIN_MS, `${other} does not start the guest`);
  const takeover = takeoverSince(after, lostAt);
  if (takeover === null) return { trial, lost, steps: [], restartMs: null, problems: ['no takeover was recorded'] };
  const steps = stepsSince(takeover, lostAt);
  const restartMs = steps.find(({ step }) => step === ENGINE_STARTED)?.atMs ?? null;
  if (restartMs === null) problems.push(`no step "${ENGINE_STARTED}"`);
  else if (arbiter === 'witness' && restartMs > RESTART_WITHIN_MS) problems.push(`restarted after ${Math.round(restartMs)} ms`);
  return { trial, lost, steps, restartMs, problems };
}

/** From the loss itself: the steps are told from the moment at which it was noticed. */
export function stepsSince(takeover: TakeoverView, lostAt: number): Level2Trial['steps'] {
  const noticedMs = noticedAt(takeover) - lostAt;
  return takeover.steps.map(({ step, atMs }) => ({ step, atMs: noticedMs + atMs }));
}

async function until(
  lab: LabControl,
  clock: Clock,
  holds: (status: PairStatus) => boolean,
  withinMs: number,
  complaint: string,
): Promise<PairStatus> {
  const end = clock.now() + withinMs;
  for (;;) {
    const status = await lab.status();
    if (holds(status)) return status;
    if (clock.now() > end) throw new Error(`${complaint} within ${withinMs / 1000} s`);
    await clock.sleep(LOOK_EVERY_MS);
  }
}

/** Each step by what it took, and the whole until the engine runs. */
export function level2Table({ arbiter, trials }: Level2Report): string {
  const cell = (value: number | string): string => String(typeof value === 'number' ? Math.round(value) : value).padStart(9);
  const row = (name: string, d: Distribution) => `  ${name.padEnd(42)}${[d.count, d.p50, d.max].map(cell).join('')}`;
  const names = [...new Set(trials.flatMap(({ steps }) => steps.map(({ step }) => step)))];
  const took = (name: string) =>
    trials.flatMap(({ steps }) => {
      const at = steps.findIndex(({ step }) => step === name);
      const found = steps[at];
      return found === undefined ? [] : [found.atMs - (steps[at - 1]?.atMs ?? 0)];
    });
  return [
    `  ${`level 2 by ${arbiter}: each step took, ms`.padEnd(42)}${['count', 'p50', 'max'].map(cell).join('')}`,
    ...names.map((name) => row(name, distribution(took(name)))),
    row('from the loss until the engine runs', distribution(trials.flatMap(({ restartMs }) => restartMs ?? []))),
    `  trials with a problem: ${trials.filter(({ problems }) => problems.length > 0).length}`,
  ].join('\n');
}
