// One round of a campaign: a fault, the survivor goes on, the repair, duplex again; and what the clients saw of it.
//
//   mark -> [lead] -> mark -> fault -> [until someone runs alone] -> mark -> [a while longer] -> mark -> repair -> [until duplex, settle] -> mark -> list
//
// The windows of the clients meet without a gap: nothing that happens is in no round.
import type { CoServerName, IncidentView } from '../../appliance/core/snapshot.ts';
import type { Clients } from '../lab/clients/controller.ts';
import { CLIENT_KINDS, type RecordsReport, type WindowReport } from '../lab/clients/protocol.ts';
import type { Clock } from './clock.ts';
import type { Cohorts } from './cohorts.ts';
import type { CheckpointPhase, LabControl, PairStatus } from './lab-control.ts';
import {
  areLinksUp,
  describeStatus,
  incidentsOf,
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
import { countKinds, isTcp, longestStalls, total, worstTcpStall } from './statistics.ts';

/** The fault comes at a random moment of this long: many checkpoints. */
export const LEAD_MS = { least: 500, most: 2500 };
/** How long the survivor may take before the round says that nobody took over: as long as a connection may be silent. */
const ALONE_TIMEOUT_MS = 20_000;
/** How long a survivor works alone before the repair: enough for clients to show that they go on. */
export const ALONE_MS = 4_000;
/** After duplex: retransmissions that the last pause caused still belong to this round. */
export const SETTLE_MS = 1_500;
/** How long a power failure at a phase may wait for the other threads of that server: they act on what they were told. */
const MOST_DELAY_MS = 4;
/** A mended link is used again within seconds. */
const LINKS_TIMEOUT_MS = 15_000;
const POLL_MS = 100;
/** One changed page among all is found when its turn to be compared comes. */
const SEARCH_TIMEOUT_MS = 300_000;
const BREAK_OF = { breakGarbage: 'garbage', breakByte: 'byte', breakStuck: 'stuck' } as const;

export interface RoundSetup {
  lab: LabControl;
  clients: Clients;
  clock: Clock;
  /** How long a CoServer may take from its repair to duplex. */
  duplexTimeoutS: number;
  /** Bounds of the random time before the fault, and the time after duplex before the next round. */
  leadMs: { least: number; most: number };
  settleMs: number;
  /** How long a survivor works alone before the repair. */
  aloneMs: number;
  /** Opens connections between the repair and duplex. */
  cohorts: Cohorts | null;
  /** Told when something is done, for the plots. */
  mark: (marker: Marker) => void;
}

export interface RoundPlan {
  round: number;
  action: Action;
  /** Null: at a random moment. */
  phase: CheckpointPhase | null;
}

/** Null: not cut at a byte. */
type Cut = { byte: number | null; at: number } | null;

interface Fault {
  target: CoServerName | null;
  text: string;
  /** Answers the byte at which the stream was cut, where one was. */
  cause: () => Promise<Cut>;
  repairText: string;
  /** What nobody noticed must be mended by force: the pair does not mend itself then. */
  repair: (noticed: boolean) => Promise<void>;
  /** What the pair shows when it has noticed. */
  isNoticed: (status: PairStatus) => boolean;
  /** Longer than the default, where noticing takes a search. */
  noticeTimeoutMs?: number;
  /** The pair must tell what it found, with evidence; as this, where nothing else can have shown it. */
  needsIncident?: IncidentView['kind'] | 'any';
}

async function uncut(done: Promise<void>): Promise<null> {
  await done;
  return null;
}

function faultOf(plan: RoundPlan, { lab, clock }: RoundSetup, primary: CoServerName): Fault {
  const { action, phase } = plan;
  switch (action) {
    case 'powerOffPrimary':
    case 'powerOffSecondary': {
      const target = action === 'powerOffPrimary' ? primary : partnerOf(primary);
      const cause = async (): Promise<Cut> => {
        if (phase === null || lab.killAtPhase === undefined) return uncut(lab.powerOff(target));
        // Half of them in the very instant.
        const delayMs = Math.max(0, (2 * clock.random() - 1) * MOST_DELAY_MS);
        return lab.killAtPhase(target, phase, clock.random(), delayMs);
      };
      const repair = () => lab.powerOn(target);
      return { target, text: `power off ${target}`, cause, repairText: `power on ${target}`, repair, isNoticed: isRunningAlone };
    }
    case 'freezePrimary':
    case 'freezeSecondary': {
      const target = action === 'freezePrimary' ? primary : partnerOf(primary);
      return {
        target,
        text: `freeze ${target}`,
        cause: () => uncut(lab.freeze(target)),
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
        cause: () => uncut(lab.link(link, 'down')),
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
        cause: () => uncut(both('down')),
        repairText: 'mend both links',
        repair: () => both('up'),
        isNoticed: isRunningAlone,
      };
    }
    case 'breakGarbage':
    case 'breakByte':
    case 'breakStuck': {
      const target = partnerOf(primary);
      const how = BREAK_OF[action];
      return {
        target,
        text: `break the guest of ${target}: ${how}`,
        cause: async () => {
          if (lab.breakGuest === undefined) throw new Error('this lab cannot break a guest');
          lab.log(await lab.breakGuest(target, how));
          return null;
        },
        repairText: 'left to the pair',
        repair: async (noticed) => {
          if (noticed) return;
          await lab.powerOff(target);
          await lab.powerOn(target);
        },
        isNoticed: saysNotDuplex,
        ...(how === 'byte' ? { noticeTimeoutMs: SEARCH_TIMEOUT_MS } : {}),
        needsIncident: how === 'byte' ? 'pageDiffers' : 'any',
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
  readonly incidents = new Map<string, IncidentView>();
  #splitBefore = false;

  constructor(setup: RoundSetup) {
    this.#setup = setup;
  }

  /** True: `isDone` became true within `timeoutMs`. */
  async until(isDone: (status: PairStatus) => boolean, timeoutMs: number, meanwhile?: () => Promise<void> | undefined): Promise<boolean> {
    const { clock } = this.#setup;
    const end = clock.now() + timeoutMs;
    for (;;) {
      const status = await this.look();
      if (isDone(status)) return true;
      if (clock.now() >= end) return false;
      await meanwhile?.();
      await clock.sleep(POLL_MS);
    }
  }

  async look(): Promise<PairStatus> {
    const status = await this.#setup.lab.status();
    // The two pictures are not taken in the same instant: one look may catch a handover, two in a row may not.
    const split = isSplit(status);
    if (split && this.#splitBefore && this.problems.length === 0) this.problems.push('both servers say that they run the workload');
    this.#splitBefore = split;
    for (const incident of incidentsOf(status)) this.incidents.set(`${incident.at} ${incident.coServer} ${incident.kind}`, incident);
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
  const fault = faultOf(plan, setup, primary);
  const roundAt = clock.now();
  lab.log(`round ${plan.round}: primary is ${primary}; ${fault.text}${plan.phase === null ? '' : ` at ${plan.phase}`}`);

  await clock.sleep(leadMs.least + clock.random() * (leadMs.most - leadMs.least));
  watch.leftDuplex = false;
  // What the clients still suffer from the round before is not this fault's.
  const leadWindow = await clients.mark(`round ${plan.round} fault`);
  const askedAt = clock.now();
  const cut = await fault.cause();
  // The lab's own milliseconds count as detection: rather too much than too little. At a phase the lab waits for its moment.
  const faultAt = cut?.at ?? askedAt;
  setup.mark({ at: faultAt, text: fault.text });
  const noticeMs = fault.noticeTimeoutMs ?? ALONE_TIMEOUT_MS;
  const noticed = await watch.until(fault.isNoticed, noticeMs);
  if (!noticed) problems.push(`${fault.text}: not noticed within ${noticeMs / 1000} s (${describeStatus(await lab.status())})`);
  // From here on the survivor serves, or it does not.
  const noticedWindow = await clients.mark(`round ${plan.round} alone`);
  const primaryLost = fault.target === primary;
  if (primaryLost && noticed) await clients.takeover(faultAt);
  await clock.sleep(setup.aloneMs);
  const aloneStatus = await watch.look();
  const takeover = takeoverSince(aloneStatus, faultAt);
  const aloneWindow = await clients.mark(`round ${plan.round} repair`);
  const faultWindows = [noticedWindow, aloneWindow];
  const metBroken = primaryLost && (takeover?.kind !== 'takeover' || !servedTcp(aloneWindow));
  if (metBroken)
    problems.push(
      takeover === null ? 'nobody took over' : `${takeover.coServer} went on (${takeover.kind}), and no TCP client was served by it`,
    );

  await fault.repair(noticed);
  const repairAt = clock.now();
  setup.mark({ at: repairAt, text: fault.repairText });
  const duplexAt = await reachDuplex(setup, watch, problems, plan.round);
  if (duplexAt !== null && watch.leftDuplex) setup.mark({ at: duplexAt, text: 'duplex' });
  await clock.sleep(setup.settleMs);
  const rejoinWindow = await clients.mark(`round ${plan.round + 1}`);
  const records = await verify(clients, problems);
  const timeline = timelineSince(await watch.look(), roundAt);
  problems.push(...watch.problems);
  const brokenReplicas = [...watch.incidents.values()].filter(({ at }) => at >= faultAt);
  problems.push(...incidentProblems(fault, brokenReplicas));

  const detected = fault.needsIncident ? (brokenReplicas[0]?.at ?? null) : takeover === null ? null : noticedAt(takeover);
  const expectsTakeover = fault.isNoticed === isRunningAlone;
  const facts = countFacts([leadWindow, ...faultWindows, rejoinWindow], records);
  problems.push(...problemsOf(facts, records));
  const reason = takeover?.reason ?? (expectsTakeover || watch.leftDuplex ? null : 'duplex went on over the other link');
  return {
    round: plan.round,
    action: plan.action,
    target: fault.target,
    moment: plan.phase === null || lab.killAtPhase === undefined ? 'random moment' : plan.phase,
    ...(cut ? { byte: cut.byte } : {}),
    at: faultAt,
    metBrokenSecondary: metBroken,
    brokenReplicas,
    faultStallsMs: longestStalls(faultWindows),
    ...facts,
    timeToDuplexMs: duplexAt === null ? null : watch.leftDuplex ? Math.round(duplexAt - repairAt) : 0,
    faultStallMs: worstTcpStall(longestStalls(faultWindows)),
    rejoinPauseMs: worstTcpStall(longestStalls([rejoinWindow])),
    detectionMs: detected === null ? null : Math.round(detected - faultAt),
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
async function reachDuplex(setup: RoundSetup, watch: Watch, problems: string[], round: number): Promise<number | null> {
  const { lab, clock, duplexTimeoutS, cohorts } = setup;
  // Looks meanwhile: a split would show itself here.
  if (!(await watch.until(isDuplex, duplexTimeoutS * 1000, () => cohorts?.rejoining(round)))) {
    problems.push(`no duplex within ${duplexTimeoutS} s (${describeStatus(await lab.status())})`);
    return null;
  }
  const duplexAt = clock.now();
  await cohorts?.duplex(round);
  if (!(await watch.until(areLinksUp, LINKS_TIMEOUT_MS))) problems.push(`not all links are up ${LINKS_TIMEOUT_MS / 1000} s after duplex`);
  return duplexAt;
}

/** One break, one incident: others are false alarms, for which a good replica was given up. */
function incidentProblems({ needsIncident, text }: Fault, told: readonly IncidentView[]): string[] {
  if (needsIncident === undefined) return [];
  const problems: string[] = [];
  if (!told.some(({ evidence }) => evidence.length > 0)) problems.push(`${text}: no incident with evidence was told`);
  else if (needsIncident !== 'any' && !told.some(({ kind }) => kind === needsIncident))
    problems.push(`${text}: told as ${[...new Set(told.map(({ kind }) => kind))].join(', ')}, not as ${needsIncident}`);
  if (told.length > 1) problems.push(`${text}: ${told.length} incidents for one break`);
  return problems;
}

/** Whether any TCP client got anything in this window. */
function servedTcp(window: WindowReport): boolean {
  return CLIENT_KINDS.some((kind) => isTcp(kind) && (window.kinds[kind]?.operations ?? 0) > 0);
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
