// What a campaign of power failures tells beyond its rounds, as lines of text: where they fell, and what connections outlived. Pure.
import type { Action, Report, Round } from './report.ts';
import { distribution } from './statistics.ts';

const PLACES: Partial<Record<Action, string>> = { powerOffPrimary: 'primary', powerOffSecondary: 'secondary' };

/** Kills by the phase they were aimed at. */
export function phaseLines(rounds: readonly Round[]): string[] {
  const groups = new Map<string, Round[]>();
  for (const round of rounds) {
    const name = `${PLACES[round.action] ?? round.action}, ${round.moment}`;
    groups.set(name, [...(groups.get(name) ?? []), round]);
  }
  const heads = ['kills', 'good', 'hung', 'broken', 'lost', 'p50 ms', 'max ms'].map((title) => title.padStart(8)).join('');
  const lines = [...groups].sort(([a], [b]) => a.localeCompare(b, 'en')).map(([name, of]) => phaseLine(name, of));
  return [`  ${'killed, where'.padEnd(26)}${heads}  bytes`, ...lines];
}

function phaseLine(name: string, rounds: readonly Round[]): string {
  const sum = (read: (round: Round) => number): number => rounds.reduce((total, round) => total + read(round), 0);
  const stall = distribution(rounds.map((round) => round.faultStallMs));
  const cells = [
    rounds.length,
    rounds.filter((round) => round.problems.length === 0).length,
    sum((round) => round.hungConnections),
    sum((round) => round.brokenConnections + round.wrongChecksums),
    sum((round) => round.lostAcknowledged),
    Math.round(stall.p50),
    Math.round(stall.max),
  ];
  const bytes = rounds.flatMap((round) => round.byte ?? []);
  return `  ${name.padEnd(26)}${cells.map((value) => String(value).padStart(8)).join('')}  ${bytes.join(' ')}`;
}

/** How old the connections became, by when they were opened. */
export function connectionLines(report: Report): string[] {
  const connections = report.connections ?? [];
  const lines = ['first', 'rejoining', 'duplex'].flatMap((when) => {
    const of = connections.filter(({ cohort }) => cohort.split(' ')[0] === when);
    if (of.length === 0) return [];
    const most = Math.max(...of.map(({ takeovers }) => takeovers));
    const several = of.filter(({ takeovers }) => takeovers > 1).length;
    const oldestS = Math.round(Math.max(...of.map(({ ageMs }) => ageMs)) / 1000);
    return [
      `  opened ${when}: ${of.length} connections; outlived takeovers: most ${most}, more than one: ${several}; the oldest ${oldestS} s`,
    ];
  });
  return lines;
}
