// Runs a list of rounds from a protected guest to its clean shutdown, and judges the whole: the story and the kills are such lists.
import { cpus, release, totalmem } from 'node:os';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { Clients } from '../lab/clients/controller.ts';
import { defaultClients } from '../lab/clients/controller.ts';
import { HUNG_MS } from '../lab/clients/progress-meter.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { Cohorts } from './cohorts.ts';
import type { LabControl } from './lab-control.ts';
import { modeOf } from './pair-picture.ts';
import type { Marker, Report, Round } from './report.ts';
import { ALONE_MS, LEAD_MS, type RoundPlan, runRound, SETTLE_MS } from './round.ts';
import { summarize } from './statistics.ts';

/** From power-on to duplex under emulation, with the whole disk to copy. */
const DUPLEX_TIMEOUT_S = 300;

/** The clients look for hung connections ten times a second. */
const HUNG_MARGIN_MS = 500;
/** Duplex was there after the last round; it may have been left since. */
const END_DUPLEX_TIMEOUT_S = 60;

export interface CampaignOptions {
  name: string;
  plan: readonly RoundPlan[];
  lab: LabControl;
  clients: Clients;
  clock?: Clock;
  duplexTimeoutS?: number;
  leadMs?: { least: number; most: number };
  settleMs?: number;
  aloneMs?: number;
  /** No further round begins after so long. Not reaching the end of the plan is then no failure. */
  limitMs?: number;
  /** The report of a campaign that was ended: its rounds count, the plan goes on behind them. */
  earlier?: Report | undefined;
  /** Connections opened and ended in every round. */
  openInRounds?: boolean;
  /** Called after each round, for progress and for keeping evidence. */
  onRound?: (round: Round, report: Report) => Promise<void>;
}

function emptyReport(name: string, clock: Clock): Report {
  return {
    format: 'twinstep-campaign/1',
    name,
    startedAt: clock.now(),
    endedAt: clock.now(),
    machine: { cpus: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30), system: `Linux ${release()}`, acceleration: 'unknown' },
    rounds: [],
    summary: summarize([]),
    copiesIdentical: null,
    copiesDetail: 'not compared',
    lostOnColdDisk: { A: null, B: null },
    guestShutDown: false,
    ok: false,
    problems: [],
    incidents: [],
    markers: [],
    samples: [],
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Never throws: what went wrong is in the report's problems, and the report is not ok. */
export async function runCampaign(options: CampaignOptions): Promise<Report> {
  const { lab, clients, clock = systemClock, duplexTimeoutS = DUPLEX_TIMEOUT_S } = options;
  const { leadMs = LEAD_MS, settleMs = SETTLE_MS, aloneMs = ALONE_MS, limitMs = Number.POSITIVE_INFINITY, earlier } = options;
  const report = emptyReport(options.name, clock);
  if (earlier !== undefined) {
    report.rounds.push(...earlier.rounds);
    report.startedAt = earlier.startedAt;
    report.connections = [...(earlier.connections ?? [])];
  }
  const plan = options.plan.slice(report.rounds.length);
  const cohorts = options.openInRounds ? new Cohorts(clients, clock) : null;
  const began = clock.now();
  const mark = (marker: Marker): void => {
    report.markers.push(marker);
    lab.log(marker.text);
  };
  const summarizeNow = (): void => {
    report.summary = summarize(report.rounds);
    report.endedAt = clock.now();
    report.samples = [...clients.samples];
    report.incidents = [...(earlier?.incidents ?? []), ...clients.incidents];
    report.connections = [...(earlier?.connections ?? []), ...(cohorts?.ended ?? [])];
  };
  try {
    // Before the pair is protected: connections from before must survive like all others.
    await clients.open(defaultClients());
    mark({ at: clock.now(), text: 'clients open' });
    await lab.waitDuplex(duplexTimeoutS);
    mark({ at: clock.now(), text: 'duplex' });
    const status = await lab.status();
    report.mode = modeOf(status);
    const { A, B } = status;
    report.machine.acceleration = (A ?? B)?.workload.acceleration ?? 'unknown';
    await clients.mark('round 1');
    for (const next of plan) {
      if (clock.now() - began >= limitMs) {
        lab.log(`ended by its limit of time after round ${report.rounds.length} of ${options.plan.length}`);
        break;
      }
      const round = await runRound({ lab, clients, clock, duplexTimeoutS, leadMs, settleMs, aloneMs, cohorts, mark }, next);
      report.rounds.push(round);
      summarizeNow();
      await options.onRound?.(round, report);
      // Without redundancy the next fault would be the second one: nothing to learn from it.
      if (round.timeToDuplexMs === null) break;
    }
    if (report.rounds.length < options.plan.length && clock.now() - began < limitMs)
      report.problems.push(`ended after round ${report.rounds.length} of ${options.plan.length}`);
  } catch (error) {
    report.problems.push(messageOf(error));
  }
  await finish(report, lab, clients, mark, clock, cohorts);
  summarizeNow();
  judge(report);
  return report;
}

/** The end of every campaign, also of a failed one: each step is tried, what fails is said. */
async function finish(
  report: Report,
  lab: LabControl,
  clients: Clients,
  mark: (marker: Marker) => void,
  clock: Clock,
  cohorts: Cohorts | null,
): Promise<void> {
  let acknowledged: number[] = [];
  const attempt = async (what: string, step: () => Promise<void>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      report.problems.push(`${what}: ${messageOf(error)}`);
    }
  };
  await attempt('last check of the records', async () => {
    // What hangs since the last fault shows itself as hung only now.
    await clock.sleep(HUNG_MS + HUNG_MARGIN_MS);
    await cohorts?.end();
    const records = await clients.verifyRecords();
    if (records.lostCount > 0) report.problems.push(`at the end ${records.lostCount} acknowledged records are not in the list`);
    const window = await clients.mark('end');
    const hung = Object.values(window.kinds).reduce((sum, kind) => sum + kind.hung + kind.broken + kind.wrong, 0);
    if (hung > 0) report.problems.push(`${hung} connections hung, broken or wrong after the last round`);
  });
  await attempt('stopping the clients', async () => {
    await clients.stop();
    acknowledged = await clients.acknowledged();
  });
  // The copies are compared: an unprotected pair has only one.
  await attempt('duplex before the end', () => lab.waitDuplex(END_DUPLEX_TIMEOUT_S));
  await attempt('shutdown of the guest', async () => {
    await lab.shutdownGuest();
    report.guestShutDown = true;
    mark({ at: clock.now(), text: 'guest shut down' });
  });
  if (!report.guestShutDown) return;
  await attempt('comparison of the copies', async () => {
    const { identical, detail } = await lab.compareCopies();
    report.copiesIdentical = identical;
    report.copiesDetail = detail;
  });
  for (const server of ['A', 'B'] as const) {
    await attempt(`records on the cold copy of ${server}`, () => readCold(report, lab, server, acknowledged));
  }
}

async function readCold(report: Report, lab: LabControl, server: CoServerName, acknowledged: readonly number[]): Promise<void> {
  const cold = await lab.coldRecords?.(server);
  if (cold === undefined) return;
  const present = new Set(cold.records);
  const lost = acknowledged.filter((number) => !present.has(number)).length;
  report.lostOnColdDisk[server] = lost;
  if (lost > 0) report.problems.push(`${lost} acknowledged records are not on the cold copy of ${server}`);
  if (!cold.clean) report.problems.push(`the file system on the cold copy of ${server} is damaged: ${cold.detail}`);
}

function judge(report: Report): void {
  for (const round of report.rounds) for (const problem of round.problems) report.problems.push(`round ${round.round}: ${problem}`);
  if (!report.guestShutDown) report.problems.push('the guest was not shut down cleanly');
  if (report.copiesIdentical === false) report.problems.push(`the copies differ: ${report.copiesDetail}`);
  else if (report.copiesIdentical === null) report.problems.push('the copies were not compared');
  if (report.rounds.length === 0) report.problems.push('no round was run');
  report.ok = report.problems.length === 0;
}
