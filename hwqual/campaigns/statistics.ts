// Distributions and sums over the rounds of a campaign. Pure.
import { CLIENT_KINDS, type ClientKind, type KindReport, type WindowReport } from '../lab/clients/protocol.ts';
import type { Distribution, KindCount, Round, StallMs, Summary } from './report.ts';

/** Nearest-rank percentiles: with few values the p99 is the largest one. */
export function distribution(values: readonly number[]): Distribution {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number): number => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 };
}

/** The kinds whose silence is a connection's silence. */
export function isTcp(kind: ClientKind): boolean {
  return kind !== 'echoUdp';
}

/** The longest stall of each kind over several windows. */
export function longestStalls(windows: readonly WindowReport[]): StallMs {
  const stalls: StallMs = {};
  for (const kind of CLIENT_KINDS) {
    const values = windows.flatMap((window) => window.kinds[kind]?.stallMs ?? []);
    if (values.length > 0) stalls[kind] = Math.max(...values);
  }
  return stalls;
}

export function worstTcpStall(stalls: StallMs): number {
  return Math.max(0, ...CLIENT_KINDS.filter(isTcp).map((kind) => stalls[kind] ?? 0));
}

/** Sum of one count over all kinds and windows. */
export function total(windows: readonly WindowReport[], read: (kind: KindReport) => number): number {
  return windows.flatMap((window) => Object.values(window.kinds)).reduce((sum, kind) => sum + read(kind), 0);
}

/** Counts per kind. Percentiles cannot be added: the worst window stands for all. */
export function countKinds(windows: readonly WindowReport[]): Partial<Record<ClientKind, KindCount>> {
  const counts: Partial<Record<ClientKind, KindCount>> = {};
  for (const kind of CLIENT_KINDS) {
    const parts = windows.flatMap((window) => window.kinds[kind] ?? []);
    if (parts.length === 0) continue;
    counts[kind] = {
      operations: parts.reduce((sum, part) => sum + part.operations, 0),
      bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
      latencyMs: {
        count: parts.reduce((sum, part) => sum + part.latencyMs.count, 0),
        p50: Math.max(...parts.map((part) => part.latencyMs.p50)),
        p99: Math.max(...parts.map((part) => part.latencyMs.p99)),
        max: Math.max(...parts.map((part) => part.latencyMs.max)),
      },
    };
  }
  return counts;
}

function perKind(rounds: readonly Round[], read: (round: Round) => StallMs): Partial<Record<ClientKind, Distribution>> {
  const found: Partial<Record<ClientKind, Distribution>> = {};
  for (const kind of CLIENT_KINDS) {
    const values = rounds.flatMap((round) => read(round)[kind] ?? []);
    if (values.length > 0) found[kind] = distribution(values);
  }
  return found;
}

export function summarize(rounds: readonly Round[]): Summary {
  const sum = (read: (round: Round) => number): number => rounds.reduce((value, round) => value + read(round), 0);
  const takeovers = rounds.filter(({ action }) => action === 'powerOffPrimary' || action === 'freezePrimary');
  return {
    rounds: rounds.length,
    takeovers: takeovers.length,
    takeoverStallMs: distribution(takeovers.map((round) => round.faultStallMs)),
    takeoverStallsMs: perKind(takeovers, (round) => round.faultStallsMs ?? {}),
    metBrokenSecondary: rounds.filter((round) => round.metBrokenSecondary).length,
    brokenReplicas: sum((round) => round.brokenReplicas?.length ?? 0),
    hungConnections: sum((round) => round.hungConnections),
    brokenConnections: sum((round) => round.brokenConnections),
    wrongChecksums: sum((round) => round.wrongChecksums),
    lostAcknowledged: sum((round) => round.lostAcknowledged),
    acknowledged: rounds.at(-1)?.acknowledged ?? 0,
    stallMs: perKind(rounds, (round) => round.stallMs),
    worstStallMs: distribution(rounds.map((round) => worstTcpStall(round.stallMs))),
    timeToDuplexMs: distribution(rounds.flatMap((round) => round.timeToDuplexMs ?? [])),
    faultStallMs: distribution(rounds.map((round) => round.faultStallMs)),
    rejoinPauseMs: distribution(rounds.map((round) => round.rejoinPauseMs)),
    detectionMs: distribution(rounds.flatMap((round) => round.detectionMs ?? [])),
  };
}
