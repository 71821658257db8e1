// Many power failures, alternating between the primary's and the secondary's server, spread over the phases of a checkpoint:
// every other one at a random moment, the others right after a phase of the stream where the lab can do that.
import { type CampaignOptions, runCampaign } from './campaign.ts';
import { CHECKPOINT_PHASES } from './lab-control.ts';
import type { Distribution, Report } from './report.ts';
import type { RoundPlan } from './round.ts';

/** Soon after duplex too: what was just protected is the most fragile. */
const LEAD_MS = { least: 20, most: 2000 };

/** `canTarget`: whether the lab offers killAtPhase. */
export function killsPlan(count: number, canTarget: boolean): RoundPlan[] {
  if (!Number.isInteger(count) || count < 1) throw new Error(`the number of kills must be a whole number from 1, not ${count}`);
  return Array.from({ length: count }, (_, i) => {
    // Four in a row: primary at random, secondary at random, primary at a phase, secondary at that phase.
    const targeted = canTarget && i % 4 >= 2;
    const phase = CHECKPOINT_PHASES[Math.floor(i / 4) % CHECKPOINT_PHASES.length] ?? null;
    return { round: i + 1, action: i % 2 === 0 ? 'powerOffPrimary' : 'powerOffSecondary', phase: targeted ? phase : null };
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
    ...rest,
    name: `${count} power failures`,
    plan: killsPlan(count, options.lab.killAtPhase !== undefined),
  });
}

/** The summary as a table of text, for a terminal. */
export function summaryTable(report: Report): string {
  const { summary } = report;
  const row = (name: string, d: Distribution): string =>
    `  ${name.padEnd(22)}${[d.count, d.p50, d.p99, d.max].map((value) => String(Math.round(value)).padStart(9)).join('')}`;
  const copies = report.copiesIdentical === null ? 'not compared' : report.copiesIdentical ? 'identical' : 'DIFFERENT';
  return [
    `${report.name}: ${report.ok ? 'all as it must be' : 'FAILED'}`,
    `  rounds ${summary.rounds}, hung ${summary.hungConnections}, broken ${summary.brokenConnections}, wrong ${summary.wrongChecksums}, lost ${summary.lostAcknowledged} of ${summary.acknowledged} acknowledged, copies ${copies}`,
    '',
    `  ${'ms'.padEnd(22)}${['count', 'p50', 'p99', 'max'].map((title) => title.padStart(9)).join('')}`,
    ...Object.entries(summary.stallMs).map(([kind, d]) => row(`stall ${kind}`, d)),
    row('stall, worst of TCP', summary.worstStallMs),
    row('detection', summary.detectionMs),
    row('time to duplex', summary.timeToDuplexMs),
    row('stall at the fault', summary.faultStallMs),
    row('pause at rejoin', summary.rejoinPauseMs),
    ...duringLines(report),
    ...report.problems.map((problem) => `  PROBLEM ${problem}`),
  ].join('\n');
}

/** How the faults were spread over the phases of a checkpoint. */
function duringLines(report: Report): string[] {
  const counts = new Map<string, number>();
  for (const { during } of report.rounds) if (during) counts.set(during, (counts.get(during) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([phase, count]) => `  ${String(count).padStart(3)} losses during: ${phase}`);
}
