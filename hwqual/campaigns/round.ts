// One round of a campaign: a fault, the survivor goes on, the repair, duplex again; and what the clients saw of it.
//
//   mark -> [lead] -> fault -> [until someone runs alone, and a while longer] -> mark -> repair -> [until duplex, settle] -> mark -> list
//
// The windows of the clients meet without a gap: nothing that happens is in no round.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { Clients } from '../lab/clients/controller.ts';
import type { RecordsReport, WindowReport } from '../lab/clients/protocol.ts';
import type { Clock } from './clock.ts';
import type { CheckpointPhase, LabControl, PairStatus } from './lab-control.ts';
import {
  areLinksUp,
  describeStatus,
  isDuplex,
  isLinkDown,
  isRunningAlone,
  isSplit,
  noticedAt,
  partnerOf,
  primaryOf,
  saysNotDuplex,
  takeoverSince,
  timelineSince,
} from './pair-picture.ts';
import type { Action, Marker, Round } from './report.ts';
import { countKinds, longestStalls, total, worstTcpStall } from './statistics.ts';

/** The fault comes at a random moment of this long: many checkpoints. */
export const LEAD_MS = { least: 500, most: 2500 };
/** How long the survivor may take before the round says that nobody took over: as long as a connection may be silent. */
const ALONE_TIMEOUT_MS = 20_000;
/** How long a survivor works alone before the repair: enough for clients to show that they go on. */
const ALONE_MS = 4_000;
/** After duplex: retransmissions that the last pause caused still belong to this round. */
export const SETTLE_MS = 1_500;
/** A mended link is used again within seconds. */
const LINKS_TIMEOUT_MS = 15_000;
const POLL_MS = 250;

export interface RoundSetup {
  lab: LabControl;
  clients: Clients;
  clock: Clock;
  /** How long a CoServer may take from its repair to duplex. */
  duplexTimeoutS: number;
  /** Bounds of the random time before the fault, and the time after duplex before the next round. */
  leadMs: { least: number; most: number };
  settleMs: number;
  /** Told when something is done, for the plots. */
  mark: (marker: Marker) => void;
}

export interface RoundPlan {
  round: number;
  action: Action;
  /** Null: at a random moment. */
  phase: CheckpointPhase | null;
}

interface Fault {
  target: CoServerName | null;
  text: string;
  cause: () => Promise<void>;
  repairText: string;
  repair: () => Promise<void>;
  /** What the pair shows when it has noticed. */
  isNoticed: (status: PairStatus) => boolean;
}

function faultOf(plan: RoundPlan, lab: LabControl, primary: CoServerName): Fault {
  const { action, phase } = plan;
  switch (action) {
    case 'powerOffPrimary':
    case 'powerOffSecondary': {
      const target = action === 'powerOffPrimary' ? primary : partnerOf(primary);
      const cause = () => (phase === null || lab.killAtPhase === undefined ? lab.powerOff(target) : lab.killAtPhase(target, phase));
      const repair = () => lab.powerOn(target);
      return { target, text: `power off ${target}`, cause, repairText: `power on ${target}`, repair, isNoticed: isRunningAlone };
    }
    case 'freezePrimary':
    case 'freezeSecondary': {
      const target = action === 'freezePrimary' ? primary : partnerOf(primary);
      return {
        target,
        text: `freeze ${target}`,
        cause: () => lab.freeze(target),
        repairText: `thaw ${target}`,
        repair: () => lab.thaw(target),
        isNoticed: isRunningAlone,
      };
    }
    case 'cutLink1':
    case 'cutLink2': {
      const link = action === 'cutLink1' ? 1 : 2;
      const isNoticed = (status: PairStatus) => isLinkDown(status, link);
      return {
        target: null,
        text: `cut link ${link}`,
        cause: () => lab.link(link, 'down'),
        repairText: `mend link ${link}`,
        repair: () => lab.link(link, 'up'),
        isNoticed,
      };
    }
    case 'cutBothLinks': {
      const both = async (state: 'up' | 'down'): Promise<void> => {
        await Promise.all([lab.link(1, state), lab.link(2, state)]);
      };
      return {
        target: null,
        text: 'cut both links',
        cause: () => both('down'),
        repairText: 'mend both links',
        repair: () => both('up'),
        isNoticed: isRunningAlone,
      };
    }
    default: {
      const unknown: never = action;
      throw new Error(`unknown action ${unknown}`);
    }
  }
}

/** Watches the pair until `isDone`, and for both servers running the workload at once. */
class Watch {
  readonly #setup: RoundSetup;
  readonly problems: string[] = [];
  leftDuplex = false;
  #splitBefore = false;

  constructor(setup: RoundSetup) {
    this.#setup = setup;
  }

  /** True: `isDone` became true within `timeoutMs`. */
  async until(isDone: (status: PairStatus) => boolean, timeoutMs: number): Promise<boolean> {
    const { clock } = this.#setup;
    const end = clock.now() + timeoutMs;
    for (;;) {
      const status = await this.look();
      if (isDone(status)) return true;
      if (clock.now() >= end) return false;
      await clock.sleep(POLL_MS);
    }
  }

  async look(): Promise<PairStatus> {
    const status = await this.#setup.lab.status();
    // The two pictures are not taken in the same instant: one look may catch a handover, two in a row may not.
    const split = isSplit(status);
    if (split && this.#splitBefore && this.problems.length === 0) this.problems.push('both servers say that they run the workload');
    this.#splitBefore = split;
    if (saysNotDuplex(status)) this.leftDuplex = true;
    return status;
  }
}

/** Runs one round. Throws only when the lab or the clients themselves fail: everything else is in the result. */
export async function runRound(setup: RoundSetup, plan: RoundPlan): Promise<Round> {
  const { lab, clients, clock, leadMs } = setup;
  const watch = new Watch(setup);
  const problems: string[] = [];
  const primary = primaryOf(await watch.look());
  if (primary === null) throw new Error(`round ${plan.round}: no single primary (${describeStatus(await lab.status())})`);
  const fault = faultOf(plan, lab, primary);
  const roundAt = clock.now();
  lab.log(`round ${plan.round}: primary is ${primary}; ${fault.text}${plan.phase === null ? '' : ` at ${plan.phase}`}`);

  await clock.sleep(leadMs.least + clock.random() * (leadMs.most - leadMs.least));
  watch.leftDuplex = false;
  // What the clients still suffer from the round before is not this fault's.
  const leadWindow = await clients.mark(`round ${plan.round} fault`);
  const askedAt = clock.now();
  await fault.cause();
  // The lab's own milliseconds count as detection: rather too much than too little. At a phase the lab waits for its moment.
  const faultAt = plan.phase === null ? askedAt : clock.now();
  setup.mark({ at: faultAt, text: fault.text });
  const noticed = await watch.until(fault.isNoticed, ALONE_TIMEOUT_MS);
  if (!noticed) problems.push(`${fault.text}: not noticed within ${ALONE_TIMEOUT_MS / 1000} s (${describeStatus(await lab.status())})`);
  await clock.sleep(ALONE_MS);
  const aloneStatus = await watch.look();
  const takeover = takeoverSince(aloneStatus, faultAt);
  const faultWindow = await clients.mark(`round ${plan.round} repair`);

  await fault.repair();
  const repairAt = clock.now();
  setup.mark({ at: repairAt, text: fault.repairText });
  const duplexAt = await reachDuplex(setup, watch, problems);
  if (duplexAt !== null && watch.leftDuplex) setup.mark({ at: duplexAt, text: 'duplex' });
  await clock.sleep(setup.settleMs);
  const rejoinWindow = await clients.mark(`round ${plan.round + 1}`);
  const records = await verify(clients, problems);
  const timeline = timelineSince(await watch.look(), roundAt);
  problems.push(...watch.problems);

  const expectsTakeover = fault.isNoticed === isRunningAlone;
  const facts = countFacts([leadWindow, faultWindow, rejoinWindow], records);
  problems.push(...problemsOf(facts, records));
  const reason = takeover?.reason ?? (expectsTakeover || watch.leftDuplex ? null : 'duplex went on over the other link');
  return {
    round: plan.round,
    action: plan.action,
    target: fault.target,
    moment: plan.phase === null || lab.killAtPhase === undefined ? 'random moment' : plan.phase,
    at: faultAt,
    ...facts,
    timeToDuplexMs: duplexAt === null ? null : watch.leftDuplex ? Math.round(duplexAt - repairAt) : 0,
    faultStallMs: worstTcpStall(longestStalls([faultWindow])),
    rejoinPauseMs: worstTcpStall(longestStalls([rejoinWindow])),
    detectionMs: takeover === null ? null : Math.round(noticedAt(takeover) - faultAt),
    aloneAfterMs: takeover === null ? null : Math.round(noticedAt(takeover) - faultAt + (takeover.steps.at(-1)?.atMs ?? 0)),
    reason,
    row: takeover?.row ?? null,
    steps: takeover?.steps ?? [],
    ...(takeover?.during ? { during: takeover.during } : {}),
    timeline,
    problems,
    remarks: reason === null && noticed ? ['no reason was recorded for the survivor to run'] : [],
  };
}

/** When duplex was reached, or null with the problem said. */
async function reachDuplex(setup: RoundSetup, watch: Watch, problems: string[]): Promise<number | null> {
  const { lab, clock, duplexTimeoutS } = setup;
  // Looks meanwhile: a split would show itself here.
  if (!(await watch.until(isDuplex, duplexTimeoutS * 1000))) {
    problems.push(`no duplex within ${duplexTimeoutS} s (${describeStatus(await lab.status())})`);
    return null;
  }
  const duplexAt = clock.now();
  if (!(await watch.until(areLinksUp, LINKS_TIMEOUT_MS))) problems.push(`not all links are up ${LINKS_TIMEOUT_MS / 1000} s after duplex`);
  return duplexAt;
}

async function verify(clients: Clients, problems: string[]): Promise<RecordsReport | null> {
  try {
    return await clients.verifyRecords();
  } catch (error) {
    problems.push(`records not verified: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

type Facts = Pick<
  Round,
  'hungConnections' | 'brokenConnections' | 'wrongChecksums' | 'lostAcknowledged' | 'acknowledged' | 'stallMs' | 'clientLagMs' | 'kinds'
>;

function countFacts(windows: readonly WindowReport[], records: RecordsReport | null): Facts {
  return {
    hungConnections: total(windows, (kind) => kind.hung),
    brokenConnections: total(windows, (kind) => kind.broken),
    wrongChecksums: total(windows, (kind) => kind.wrong),
    lostAcknowledged: records?.lostCount ?? 0,
    acknowledged: records?.acknowledged ?? 0,
    stallMs: longestStalls(windows),
    clientLagMs: Math.max(...windows.map((window) => window.lagMs)),
    kinds: countKinds(windows),
  };
}

function problemsOf(facts: Facts, records: RecordsReport | null): string[] {
  const problems: string[] = [];
  if (facts.hungConnections > 0) problems.push(`${facts.hungConnections} connections hung`);
  if (facts.brokenConnections > 0) problems.push(`${facts.brokenConnections} connections broken`);
  if (facts.wrongChecksums > 0) problems.push(`${facts.wrongChecksums} wrong checksums`);
  if (facts.lostAcknowledged > 0)
    problems.push(`${facts.lostAcknowledged} acknowledged records lost, the first: ${records?.lost.slice(0, 5).join(', ')}`);
  if ((records?.unknownCount ?? 0) > 0) problems.push(`${records?.unknownCount} records on the disk that nobody wrote`);
  for (const [kind, count] of Object.entries(facts.kinds))
    if (count.operations === 0 && count.bytes === 0) problems.push(`${kind} clients made no progress at all`);
  return problems;
}
