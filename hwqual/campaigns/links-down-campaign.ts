// Both links cut at once, again and again, both servers and the witness alive: how long until one of them runs alone, with the
// grant durable and the withheld output released; and whether exactly one did. Without clients: they are the other campaigns' matter.
import type { CoServerName, TakeoverView } from '../../appliance/core/snapshot.ts';
import type { Clock } from './clock.ts';
import type { LabControl, PairStatus } from './lab-control.ts';
import { areLinksUp, isDuplex, isSplit, noticedAt, partnerOf, primaryOf, takeoverSince } from './pair-picture.ts';
import type { Distribution } from './report.ts';
import { distribution } from './statistics.ts';

/** A pair that does not come to terms within this time will not. */
const DECIDED_WITHIN_MS = 20_000;
const DUPLEX_WITHIN_S = 180;
const LOOK_EVERY_MS = 100;
/** Cut soon after duplex, or late in an interval. */
const LEAD_MS = { least: 50, most: 2_000 };

export interface LinksDownTrial {
  trial: number;
  /** Who runs alone, and whether it was the primary before. */
  winner: CoServerName;
  kind: TakeoverView['kind'];
  row: string;
  /** ms from just before the command that cuts the first link. */
  noticedMs: number;
  simplexMs: number;
  problems: string[];
}

export interface LinksDownReport {
  trials: LinksDownTrial[];
  noticedMs: Distribution;
  simplexMs: Distribution;
  ok: boolean;
}

export async function runLinksDown(a: {
  count: number;
  lab: LabControl;
  clock: Clock;
  onTrial?: (trial: LinksDownTrial) => Promise<void> | void;
}): Promise<LinksDownReport> {
  const { count, lab, clock } = a;
  const trials: LinksDownTrial[] = [];
  for (let trial = 1; trial <= count; trial++) {
    await lab.waitDuplex(DUPLEX_WITHIN_S);
    await clock.sleep(LEAD_MS.least + clock.random() * (LEAD_MS.most - LEAD_MS.least));
    const result = await cutOnce(trial, lab, clock);
    trials.push(result);
    await a.onTrial?.(result);
    await Promise.all([lab.link(1, 'up'), lab.link(2, 'up')]);
    await until(lab, clock, areLinksUp, 'the links are not up again');
  }
  return {
    trials,
    noticedMs: distribution(trials.map((t) => t.noticedMs)),
    simplexMs: distribution(trials.map((t) => t.simplexMs)),
    ok: trials.every((t) => t.problems.length === 0),
  };
}

async function cutOnce(trial: number, lab: LabControl, clock: Clock): Promise<LinksDownTrial> {
  const problems: string[] = [];
  const before = primaryOf(await lab.status());
  const cutAt = clock.now();
  await Promise.all([lab.link(1, 'down'), lab.link(2, 'down')]);
  const after = await until(
    lab,
    clock,
    (status) => {
      if (isSplit(status)) problems.push('both CoServers run the workload');
      return isSplit(status) || (takeoverSince(status, cutAt) !== null && isSettled(status));
    },
    'nobody runs alone',
  );
  const takeover = takeoverSince(after, cutAt);
  if (!takeover) throw new Error(`trial ${trial}: no takeover was recorded`);
  const other = after[partnerOf(takeover.coServer)];
  const standing = other?.coServers.find((c) => c.name === other.coServer);
  if (standing?.copy !== 'outdated') problems.push(`the other CoServer's copy is ${standing?.copy ?? 'unknown'}, not outdated`);
  const noticed = noticedAt(takeover);
  return {
    trial,
    winner: takeover.coServer,
    kind: takeover.kind,
    row: takeover.row,
    noticedMs: noticed - cutAt,
    simplexMs: noticed - cutAt + (takeover.steps.at(-1)?.atMs ?? 0),
    problems:
      before === takeover.coServer || takeover.kind === 'takeover' ? problems : [...problems, 'a CoServer went on that did not run'],
  };
}

/** One runs alone, the other has stopped. */
function isSettled(status: PairStatus): boolean {
  const winner = primaryOf(status);
  if (winner === null || isDuplex(status)) return false;
  const loser = status[partnerOf(winner)];
  return loser?.coServers.find((c) => c.name === loser.coServer)?.phase === 'standby';
}

async function until(lab: LabControl, clock: Clock, holds: (status: PairStatus) => boolean, complaint: string): Promise<PairStatus> {
  const deadline = clock.now() + DECIDED_WITHIN_MS;
  for (;;) {
    const status = await lab.status();
    if (holds(status)) return status;
    if (clock.now() > deadline) throw new Error(`${complaint} after ${DECIDED_WITHIN_MS / 1000} s`);
    await clock.sleep(LOOK_EVERY_MS);
  }
}

export function linksDownTable({ trials, noticedMs, simplexMs }: LinksDownReport): string {
  const cell = (value: number | string): string => String(typeof value === 'number' ? Math.round(value) : value).padStart(9);
  const row = (name: string, d: Distribution) => `  ${name.padEnd(34)}${[d.count, d.p50, d.p99, d.max].map(cell).join('')}`;
  const ofKind = (kind: LinksDownTrial['kind']) => distribution(trials.filter((t) => t.kind === kind).map((t) => t.simplexMs));
  return [
    `  ${'both links cut, ms'.padEnd(34)}${['count', 'p50', 'p99', 'max'].map(cell).join('')}`,
    row('until noticed', noticedMs),
    row('until one runs alone', simplexMs),
    row('  the primary went on', ofKind('continue')),
    row('  the secondary took over', ofKind('takeover')),
    `  trials with a problem: ${trials.filter((t) => t.problems.length > 0).length}`,
  ].join('\n');
}
