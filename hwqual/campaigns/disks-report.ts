// The report of a campaign against the mirror: what `--report FILE.json` holds. Times in ms, wall clock where absolute. Pure.
import type { LoadStatus } from './guest-load.ts';
import type { Distribution, Round } from './report.ts';
import { distribution } from './statistics.ts';

export interface DisksRound {
  round: number;
  /** As faultName says; the second one with its moment. Null: there was none. */
  fault: string;
  second: string | null;
  /** What was done, and to whom, with the time since the fault. */
  done: { atMs: number; text: string }[];
  at: number;
  /** From the start of the round to its end, and the parts of it. */
  durationMs: number;
  noticedMs: number | null;
  /** From the last repair to duplex. Null: not reached. 0: it was never left. */
  timeToDuplexMs: number | null;
  quietMs: number;
  /** Longest time without an acknowledged append, outside, from the fault to the repair, and from the repair to duplex. */
  recordStallMs: number;
  rejoinStallMs: number;
  /** The same of the echo, which needs no disk. */
  echoStallMs: number;
  /** Longest time in which no write of the guest's (fio's and others) ended, to some 100 ms: from the fault to the repair, from there to duplex. */
  ioStallMs: number;
  ioRejoinStallMs: number;
  /** Of all resyncs of the round, as the CoServers told them. */
  resyncs: number;
  comparedBytes: number;
  copiedBytes: number;
  copiesIdentical: boolean | null;
  /** Where they differ; how long it took until they did not. */
  copiesDetail: string;
  /** Null: not looked at in this round. */
  fileSystemsClean: boolean | null;
  /** fio's passes in all, and what it had found. */
  passes: number;
  checkedKiB: number;
  ioErrors: number;
  verificationErrors: number;
  hungConnections: number;
  brokenConnections: number;
  wrongChecksums: number;
  timeline: Round['timeline'];
  problems: string[];
  remarks: string[];
}

export interface KindSummary {
  fault: string;
  rounds: number;
  problems: number;
  ioStallMs: Distribution;
  ioRejoinStallMs: Distribution;
  recordStallMs: Distribution;
  rejoinStallMs: Distribution;
  timeToDuplexMs: Distribution;
  comparedBytes: Distribution;
  copiedBytes: Distribution;
}

export interface DisksReport {
  format: 'twinstep-disks/1';
  name: string;
  seed: number;
  startedAt: number;
  endedAt: number;
  machine: { cpus: number; memoryGiB: number; system: string; acceleration: string };
  rounds: DisksRound[];
  kinds: KindSummary[];
  faults: number;
  ioErrors: number;
  verificationErrors: number;
  lostAcknowledged: number;
  acknowledged: number;
  compared: number;
  identical: number;
  fileSystemChecks: number;
  fileSystemChecksClean: number;
  /** Mean of the rounds. */
  roundMs: number;
  load: LoadStatus | null;
  guestShutDown: boolean;
  /** After the shutdown. Null: it did not come to that. */
  endIdentical: boolean | null;
  endClean: boolean | null;
  ok: boolean;
  problems: string[];
}

/** "44.1 MB compared, 12.4 MB copied": what a CoServer's timeline says of a resync. */
export function resyncOf(text: string): { comparedBytes: number; copiedBytes: number } | null {
  const found = /([\d.]+) (\w+) compared, ([\d.]+) (\w+) copied/.exec(text);
  if (found === null) return null;
  const units: Record<string, number> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };
  const bytes = (number: string | undefined, unit: string | undefined) => Math.round(Number(number) * (units[unit ?? ''] ?? Number.NaN));
  return { comparedBytes: bytes(found[1], found[2]), copiedBytes: bytes(found[3], found[4]) };
}

function summarizeKinds(rounds: readonly DisksRound[]): KindSummary[] {
  const names = [...new Set(rounds.map(({ fault }) => fault))].sort();
  return names.map((fault) => {
    const own = rounds.filter((round) => round.fault === fault);
    // A second fault's stall is not this kind's.
    const alone = own.filter(({ second }) => second === null);
    const of = (some: readonly DisksRound[], read: (round: DisksRound) => number | null) =>
      distribution(some.flatMap((round) => read(round) ?? []));
    const resynced = own.filter(({ resyncs }) => resyncs > 0);
    return {
      fault,
      rounds: own.length,
      problems: own.filter(({ problems }) => problems.length > 0).length,
      ioStallMs: of(alone, (round) => round.ioStallMs),
      ioRejoinStallMs: of(own, (round) => round.ioRejoinStallMs),
      recordStallMs: of(alone, (round) => round.recordStallMs),
      rejoinStallMs: of(own, (round) => round.rejoinStallMs),
      timeToDuplexMs: of(own, (round) => round.timeToDuplexMs),
      comparedBytes: of(resynced, (round) => round.comparedBytes),
      copiedBytes: of(resynced, (round) => round.copiedBytes),
    };
  });
}

/** Sums and the judgement; the report's own problems stay, those of the rounds are added. */
export function concludeDisks(report: DisksReport): void {
  const { rounds } = report;
  const sum = (read: (round: DisksRound) => number) => rounds.reduce((total, round) => total + read(round), 0);
  report.kinds = summarizeKinds(rounds);
  report.faults = sum(({ second }) => (second === null ? 1 : 2));
  report.ioErrors = Math.max(0, ...rounds.map(({ ioErrors }) => ioErrors), report.load?.complaintCount ?? 0);
  report.verificationErrors = Math.max(0, ...rounds.map(({ verificationErrors }) => verificationErrors));
  report.compared = rounds.filter(({ copiesIdentical }) => copiesIdentical !== null).length;
  report.identical = rounds.filter(({ copiesIdentical }) => copiesIdentical).length;
  const clean = [...rounds.map(({ fileSystemsClean }) => fileSystemsClean), report.endClean].filter((value) => value !== null);
  report.fileSystemChecks = clean.length;
  report.fileSystemChecksClean = clean.filter((value) => value).length;
  if (report.endIdentical !== null) report.compared++;
  if (report.endIdentical) report.identical++;
  report.roundMs = rounds.length === 0 ? 0 : Math.round(sum(({ durationMs }) => durationMs) / rounds.length);
}

const MIB = 2 ** 20;

/** For a terminal. */
export function disksTable(report: DisksReport): string {
  const cell = (value: number | string, width = 8): string => String(typeof value === 'number' ? Math.round(value) : value).padStart(width);
  const pair = (d: Distribution, scale = 1): string =>
    d.count === 0 ? cell('-', 14) : cell(`${Math.round(d.p50 / scale)} / ${Math.round(d.max / scale)}`, 14);
  const seconds = (at: number) => (at / 1000).toFixed(1);
  return [
    `${report.name}, seed ${report.seed}: ${report.ok ? 'all as it must be' : 'FAILED'}`,
    `  rounds ${report.rounds.length}, ${seconds(report.roundMs)} s each; faults ${report.faults}; in the guest: I/O errors ${report.ioErrors}, verification errors ${report.verificationErrors}`,
    `  lost ${report.lostAcknowledged} of ${report.acknowledged} acknowledged appends; copies identical ${report.identical} of ${report.compared}; file systems clean ${report.fileSystemChecksClean} of ${report.fileSystemChecks}`,
    `  fio: ${(report.load?.jobs ?? []).map((job) => `${job.name} ${job.passes} passes, ${Math.round(job.checkedKiB / 1024)} MiB checked`).join('; ')}`,
    '',
    `  ${'p50 / max; ms, MiB'.padEnd(28)}${cell('rounds', 7)}${cell('bad', 5)}${['I/O stall', 'append stall', 'I/O at rejoin', 'append at rej.', 'to duplex', 'compared', 'copied'].map((text) => cell(text, 14)).join('')}`,
    ...report.kinds.map(
      (k) =>
        `  ${k.fault.padEnd(28)}${cell(k.rounds, 7)}${cell(k.problems, 5)}${pair(k.ioStallMs)}${pair(k.recordStallMs)}${pair(k.ioRejoinStallMs)}${pair(k.rejoinStallMs)}${pair(k.timeToDuplexMs)}${pair(k.comparedBytes, MIB)}${pair(k.copiedBytes, MIB)}`,
    ),
    '',
    ...report.problems.map((problem) => `  PROBLEM ${problem}`),
  ].join('\n');
}

/** One line of progress. */
export function roundText(round: DisksRound, count: number): string {
  const s = (ms: number | null) => (ms === null ? 'never' : `${(ms / 1000).toFixed(1)} s`);
  const second = round.second === null ? '' : ` + ${round.second}`;
  const copies = round.copiesIdentical === null ? 'not compared' : round.copiesIdentical ? 'identical' : 'DIFFERENT';
  return [
    `round ${round.round} of ${count}: ${round.fault}${second}: noticed ${s(round.noticedMs)}, duplex ${s(round.timeToDuplexMs)}, quiet ${s(round.quietMs)}, all ${s(round.durationMs)}`,
    `I/O stall ${round.ioStallMs} / ${round.ioRejoinStallMs} ms, append stall ${Math.round(round.recordStallMs)} / ${Math.round(round.rejoinStallMs)} ms, ${round.passes} passes, ${(round.copiedBytes / MIB).toFixed(1)} of ${(round.comparedBytes / MIB).toFixed(0)} MiB, copies ${copies}`,
    ...round.problems.map((problem) => `PROBLEM ${problem}`),
  ].join('; ');
}
