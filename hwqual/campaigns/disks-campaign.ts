// Random faults against the mirror of a guest that writes and verifies all the time (fio on ext4 and xfs, and appends that clients
// count): from a protected guest to its clean shutdown, with both copies compared after every heal.
import { cpus, release, totalmem } from 'node:os';
import type { Clients } from '../lab/clients/controller.ts';
import type { ClientSpec } from '../lab/clients/protocol.ts';
import { type Clock, systemClock } from './clock.ts';
import type { DisksRoundPlan } from './disk-faults-plan.ts';
import { DiskProgress } from './disk-progress.ts';
import { concludeDisks, type DisksReport, type DisksRound } from './disks-report.ts';
import { checkFileSystems, runDisksRound } from './disks-round.ts';
import type { GuestLoad, LoadStatus } from './guest-load.ts';
import type { LabControl } from './lab-control.ts';

/** From power-on to duplex under emulation, with the whole disk to copy. */
const DUPLEX_TIMEOUT_S = 180;
/** The list of all records grows: it is asked for every so many rounds. */
const RECORDS_EVERY = 10;
/** A pass takes some seconds, on a busy machine many. */
const PASS_TIMEOUT_MS = 180_000;
const LOAD_EVERY_MS = 500;

export interface DisksOptions {
  plan: readonly DisksRoundPlan[];
  /** What the plan was drawn from. */
  seed: number;
  lab: LabControl;
  clients: Clients;
  /** Connects to the load: when the guest runs. */
  connect: () => GuestLoad;
  clock?: Clock;
  duplexTimeoutS?: number;
  /** No further round begins after so long. Not reaching the end of the plan is then no failure. */
  limitMs?: number;
  onRound?: (round: DisksRound, report: DisksReport) => Promise<void>;
}

/** Appends show what was acknowledged and how long it took; the echo shows what is not the disk's. */
function disksClients(): ClientSpec[] {
  return [
    { kind: 'record', family: 4, everyMs: 50 },
    { kind: 'record', family: 6, everyMs: 100 },
    { kind: 'echoTcp', family: 4, everyMs: 50 },
  ];
}

/** Never throws: what went wrong is in the report's problems, and the report is not ok. */
export async function runDisks(options: DisksOptions): Promise<DisksReport> {
  const { plan, seed, lab, clients, clock = systemClock, duplexTimeoutS = DUPLEX_TIMEOUT_S } = options;
  const { limitMs = Number.POSITIVE_INFINITY } = options;
  const count = plan.length;
  const report = emptyReport(`${count} faults under fio`, seed, clock);
  let load: GuestLoad | null = null;
  const began = clock.now();
  const consoles = lab.guestConsole === undefined ? null : { A: lab.guestConsole('A'), B: lab.guestConsole('B') };
  const progress = consoles === null ? null : new DiskProgress(consoles, () => clock.now());
  const onLoad = (status: LoadStatus): void => {
    report.load = status;
  };
  try {
    // The guest serves before the pair is protected.
    await lab.waitDuplex(duplexTimeoutS);
    await clients.open(disksClients());
    const { A, B } = await lab.status();
    report.machine.acceleration = (A ?? B)?.workload.acceleration ?? 'unknown';
    load = options.connect();
    onLoad(await load.status());
    progress?.start();
    await clients.mark('round 1');
    for (const next of plan) {
      if (clock.now() - began >= limitMs) break;
      const round = await runDisksRound({ lab, clients, load, clock, duplexTimeoutS, progress, onLoad }, next);
      report.rounds.push(round);
      if (next.round % RECORDS_EVERY === 0) await verifyRecords(report, clients, round.problems);
      report.endedAt = clock.now();
      concludeDisks(report);
      await options.onRound?.(round, report);
      if (isLost(round)) break;
    }
    if (report.rounds.length < count && clock.now() - began < limitMs)
      report.problems.push(`ended after round ${report.rounds.length} of ${count}`);
  } catch (error) {
    report.problems.push(messageOf(error));
  }
  progress?.stop();
  await finish(report, options, load);
  report.endedAt = clock.now();
  concludeDisks(report);
  judge(report);
  return report;
}

/** What follows would only tell the same again, or nothing. */
function isLost(round: DisksRound): boolean {
  return round.timeToDuplexMs === null || round.copiesIdentical !== true || round.ioErrors > 0 || round.verificationErrors > 0;
}

async function verifyRecords(report: DisksReport, clients: Clients, problems: string[]): Promise<void> {
  const { acknowledged, lostCount, lost, unknownCount } = await clients.verifyRecords();
  report.acknowledged = acknowledged;
  report.lostAcknowledged = Math.max(report.lostAcknowledged, lostCount);
  if (lostCount > 0) problems.push(`${lostCount} acknowledged records lost, the first: ${lost.slice(0, 5).join(', ')}`);
  if (unknownCount > 0) problems.push(`${unknownCount} records on the disk that nobody wrote`);
}

/** Each step is tried, what fails is said. */
async function finish(report: DisksReport, { lab, clients, clock = systemClock }: DisksOptions, load: GuestLoad | null): Promise<void> {
  const attempt = async (what: string, step: () => Promise<void>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      report.problems.push(`${what}: ${messageOf(error)}`);
    }
  };
  let acknowledged: number[] = [];
  await attempt('last look at the load', async () => {
    if (load !== null) report.load = await verifiedAgain(load, clock);
    await load?.close();
  });
  await attempt('last check of the records', () => verifyRecords(report, clients, report.problems));
  await attempt('stopping the clients', async () => {
    await clients.stop();
    acknowledged = await clients.acknowledged();
  });
  await attempt('duplex before the end', () => lab.waitDuplex(DUPLEX_TIMEOUT_S));
  await attempt('shutdown of the guest', async () => {
    await lab.shutdownGuest();
    report.guestShutDown = true;
  });
  if (!report.guestShutDown) return;
  await attempt('comparison of the copies', async () => {
    const { identical, detail } = await lab.compareCopies();
    report.endIdentical = identical;
    if (!identical) report.problems.push(`after the shutdown the copies differ: ${detail}`);
  });
  await attempt('check of the file systems', async () => {
    report.endClean = await checkFileSystems(lab, report.problems);
  });
  for (const server of ['A', 'B'] as const)
    await attempt(`records on the cold copy of ${server}`, async () => {
      const cold = await lab.coldRecords?.(server);
      const present = new Set(cold?.records ?? acknowledged);
      const lost = acknowledged.filter((number) => !present.has(number)).length;
      report.lostAcknowledged = Math.max(report.lostAcknowledged, lost);
      if (lost > 0) report.problems.push(`${lost} acknowledged records are not on the cold copy of ${server}`);
    });
}

/** Waits until every job has ended a pass behind the last fault. Throws with the first that does not. */
async function verifiedAgain(load: GuestLoad, clock: Clock): Promise<LoadStatus> {
  const end = clock.now() + PASS_TIMEOUT_MS;
  const { jobs: before } = await load.status();
  for (;;) {
    const status = await load.status();
    // The pass that was under way may have read back before the fault.
    const behind = status.jobs.find(({ passes, failure }, i) => failure === '' && passes < (before[i]?.passes ?? 0) + 2);
    if (behind === undefined) return status;
    if (clock.now() > end) throw new Error(`fio ${behind.name} has not ended two passes within ${PASS_TIMEOUT_MS / 1000} s`);
    await clock.sleep(LOAD_EVERY_MS);
  }
}

function judge(report: DisksReport): void {
  for (const round of report.rounds) for (const problem of round.problems) report.problems.push(`round ${round.round}: ${problem}`);
  for (const job of report.load?.jobs ?? []) {
    if (job.failure !== '') report.problems.push(`fio ${job.name}: ${job.failure}`);
    else if (job.passes === 0) report.problems.push(`fio ${job.name} has ended no pass: nothing was verified`);
  }
  if (!report.guestShutDown) report.problems.push('the guest was not shut down cleanly');
  if (report.endIdentical === null) report.problems.push('the copies were not compared at the end');
  if (report.endClean === null) report.problems.push('the file systems were not checked at the end');
  if (report.rounds.length === 0) report.problems.push('no round was run');
  report.ok = report.problems.length === 0;
}

function emptyReport(name: string, seed: number, clock: Clock): DisksReport {
  return {
    format: 'twinstep-disks/1',
    name,
    seed,
    startedAt: clock.now(),
    endedAt: clock.now(),
    machine: { cpus: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30), system: `Linux ${release()}`, acceleration: 'unknown' },
    rounds: [],
    kinds: [],
    faults: 0,
    ioErrors: 0,
    verificationErrors: 0,
    lostAcknowledged: 0,
    acknowledged: 0,
    compared: 0,
    identical: 0,
    fileSystemChecks: 0,
    fileSystemChecksClean: 0,
    roundMs: 0,
    load: null,
    guestShutDown: false,
    endIdentical: null,
    endClean: null,
    ok: false,
    problems: [],
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
