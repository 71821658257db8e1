// Many power failures of the primary's and the secondary's server, aimed at every phase of a checkpoint in turn and at random moments,
// on a pair that was just protected again.
import { type CampaignOptions, runCampaign } from './campaign.ts';
import { connectionLines, phaseLines } from './kill-table.ts';
import { CHECKPOINT_PHASES } from './lab-control.ts';
import type { Distribution, Report } from './report.ts';
import type { RoundPlan } from './round.ts';

/** Soon after duplex too: what was just protected is the most fragile. */
const LEAD_MS = { least: 20, most: 2000 };
/** Long enough for every kind of client to show that it is served; repairing is not what is tried here. */
const ALONE_MS = 1500;

/** `canTarget`: whether the lab offers killAtPhase. Every third is the secondary's: only the primary's is a takeover. */
export function killsPlan(count: number, canTarget: boolean): RoundPlan[] {
  if (!Number.isInteger(count) || count < 1) throw new Error(`the number of kills must be a whole number from 1, not ${count}`);
  const turns: Record<string, number> = {};
  return Array.from({ length: count }, (_, i) => {
    const action = i % 3 === 2 ? 'powerOffSecondary' : 'powerOffPrimary';
    // For each server: every phase in turn, and once at a random moment.
    const turn = turns[action] ?? 0;
    turns[action] = turn + 1;
    const phase = CHECKPOINT_PHASES[turn % (CHECKPOINT_PHASES.length + 1)] ?? null;
    return { round: i + 1, action, phase: canTarget ? phase : null };
  });
}

export interface KillsOptions extends Omit<CampaignOptions, 'name' | 'plan'> {
  count: number;
}

export function runKills(options: KillsOptions): Promise<Report> {
  const { count, ...rest } = options;
  return runCampaign({
    leadMs: LEAD_MS,
    settleMs: 0,
    aloneMs: ALONE_MS,
    openInRounds: true,
    ...rest,
    name: `${count} power failures`,
    plan: killsPlan(count, options.lab.killAtPhase !== undefined),
  });
}

/** The secondary's guest is broken in each way in turn: the pair must find it, say it and mend it by itself. */
export function incidentsPlan(count: number): RoundPlan[] {
  const order = ['breakGarbage', 'breakStuck', 'breakByte'] as const;
  return Array.from({ length: count }, (_, i) => ({ round: i + 1, action: order[i % order.length] ?? 'breakGarbage', phase: null }));
}

export function runIncidents(options: KillsOptions): Promise<Report> {
  const { count, ...rest } = options;
  return runCampaign({ settleMs: 0, aloneMs: ALONE_MS, ...rest, name: `${count} broken replicas`, plan: incidentsPlan(count) });
}

/** "12 of 100, 14.2 s each, about 21 min left". */
export function progressText(report: Report, count: number, roundsBefore: number): string {
  const done = report.rounds.length;
  // The pair's start and first protection are no part of a round.
  const began = report.markers.find(({ text }) => text === 'duplex')?.at ?? report.startedAt;
  const eachS = (report.endedAt - began) / 1000 / Math.max(1, done - roundsBefore);
  const bad = report.rounds.filter((round) => round.problems.length > 0).length;
  return `${done} of ${count}, ${eachS.toFixed(1)} s each, about ${Math.ceil(((count - done) * eachS) / 60)} min left; ${bad} rounds with problems`;
}

/** The summary as a table of text, for a terminal. */
export function summaryTable(report: Report): string {
  const { summary } = report;
  const row = (name: string, d: Distribution): string =>
    `  ${name.padEnd(26)}${[d.count, d.p50, d.p99, d.max].map((value) => String(Math.round(value)).padStart(9)).join('')}`;
  const copies = report.copiesIdentical === null ? 'not compared' : report.copiesIdentical ? 'identical' : 'DIFFERENT';
  const stalls = (title: string, kinds: Partial<Record<string, Distribution>>): string[] =>
    Object.entries(kinds).map(([kind, d]) => (d === undefined ? '' : row(`${title} ${kind}`, d)));
  return [
    `${report.name}, ${report.mode ?? 'mode unknown'}: ${report.ok ? 'all as it must be' : 'FAILED'}`,
    `  rounds ${summary.rounds}, hung ${summary.hungConnections}, broken ${summary.brokenConnections}, wrong ${summary.wrongChecksums}, lost ${summary.lostAcknowledged} of ${summary.acknowledged} acknowledged, copies ${copies}`,
    `  takeovers ${summary.takeovers}, of them met a broken secondary ${summary.metBrokenSecondary}; replicas found broken by the pair ${summary.brokenReplicas}`,
    '',
    `  ${'ms'.padEnd(26)}${['count', 'p50', 'p99', 'max'].map((title) => title.padStart(9)).join('')}`,
    ...stalls('stall', summary.stallMs),
    row('stall, worst of TCP', summary.worstStallMs),
    ...stalls('takeover', summary.takeoverStallsMs),
    row('takeover, worst of TCP', summary.takeoverStallMs),
    row('detection', summary.detectionMs),
    row('time to duplex', summary.timeToDuplexMs),
    row('stall at the fault', summary.faultStallMs),
    row('pause at rejoin', summary.rejoinPauseMs),
    '',
    ...phaseLines(report.rounds),
    ...duringLines(report),
    ...connectionLines(report),
    ...report.problems.map((problem) => `  PROBLEM ${problem}`),
  ].join('\n');
}

/** How the faults were spread over the phases of a checkpoint. */
function duringLines(report: Report): string[] {
  const counts = new Map<string, number>();
  for (const { during } of report.rounds) if (during) counts.set(during, (counts.get(during) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([phase, count]) => `  ${String(count).padStart(3)} losses during: ${phase}`);
}
