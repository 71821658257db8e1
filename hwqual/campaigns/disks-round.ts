// One round against the mirror: a fault at a random moment under load, perhaps a second one, the repair, duplex again; then a quiet
// moment, in which both copies must be the same, byte for byte.
//
//   load -> mark -> fault -> [noticed] -> [hold] -> repair -> mark -> [second fault, repair] -> duplex -> mark -> freeze -> compare -> thaw
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { Clients } from '../lab/clients/controller.ts';
import type { WindowReport } from '../lab/clients/protocol.ts';
import type { Clock } from './clock.ts';
import { type DiskFault, type DisksRoundPlan, type DiskTrouble, faultName, type Side } from './disk-faults-plan.ts';
import { type DiskProgress, longestStandstill } from './disk-progress.ts';
import { type DisksRound, resyncOf } from './disks-report.ts';
import type { GuestLoad, LoadStatus } from './guest-load.ts';
import type { LabControl, PairStatus } from './lab-control.ts';
import {
  areLinksUp,
  describeStatus,
  isDuplex,
  isLinkDown,
  isRunningAlone,
  isSplit,
  partnerOf,
  primaryOf,
  saysNotDuplex,
  takeoversSince,
  timelineSince,
} from './pair-picture.ts';
import { total } from './statistics.ts';

const LOOK_EVERY_MS = 50;
/** As long as a connection may be silent. */
const NOTICE_TIMEOUT_MS = 20_000;
/** What need not be noticed is repaired after so long. */
const UNNOTICED_MS = 1_000;
/** A killed process whose pair goes on: duplex that was never left is told from duplex not left yet. */
const LEAVING_MS = 1_500;
/** After a checkpoint the secondary writes its journal back. */
const EQUAL_TIMEOUT_MS = 20_000;
const COMPARE_AGAIN_MS = 150;
const LINKS_TIMEOUT_MS = 15_000;
const TRY_DISK = 'try-disk';
const START_SCRUB = 'start-scrub';
/** Every request of a slow disk. Longer would be a disk that hangs. */
const SLOW_MS = 60;
/** 32 blocks: of more than 64 a scrub says that not single blocks have rotted. */
const ROTTEN_BYTES = 2 ** 17;
/** The comparison of both copies, unhurried beside a guest. */
const SCRUB_TIMEOUT_MS = 120_000;
/** Unreadable until it is written: all that fio has. */
const UNREADABLE = { offset: 32 * 2 ** 20, length: 112 * 2 ** 20 };

export interface DisksRoundSetup {
  lab: LabControl;
  clients: Clients;
  load: GuestLoad;
  clock: Clock;
  duplexTimeoutS: number;
  /** Null: this lab does not show the guests' serial ports. */
  progress: DiskProgress | null;
  /** Told what the load answers. */
  onLoad: (status: LoadStatus) => void;
}

interface Caused {
  text: string;
  target: CoServerName | null;
  /** Undefined: nothing is to be mended, the pair does it. */
  repair?: () => Promise<void>;
  isNoticed: (status: PairStatus) => boolean;
  /** The pair must show that it noticed. */
  mustBeNoticed: boolean;
}

/** As behind `lab disk A`. */
function diskWords(trouble: DiskTrouble, seed: number): string[] {
  switch (trouble) {
    case 'slow':
      return ['slow', String(SLOW_MS)];
    case 'read-error':
      return ['read-error', String(UNREADABLE.offset), String(UNREADABLE.length)];
    case 'pause':
      return ['hang'];
    case 'rot': {
      const place = seed % (UNREADABLE.length / ROTTEN_BYTES);
      return ['rot', String(UNREADABLE.offset + place * ROTTEN_BYTES), String(ROTTEN_BYTES)];
    }
    default:
      return [trouble];
  }
}

class RoundRun {
  readonly #setup: DisksRoundSetup;
  readonly #plan: DisksRoundPlan;
  readonly problems: string[] = [];
  readonly remarks: string[] = [];
  readonly done: DisksRound['done'] = [];
  faultAt = 0;
  leftDuplex = false;
  #splitBefore = false;
  /** CoServers whose disk is well again. */
  readonly #mended = new Set<CoServerName>();

  constructor(setup: DisksRoundSetup, plan: DisksRoundPlan) {
    this.#setup = setup;
    this.#plan = plan;
  }

  note(text: string): void {
    const { lab, clock } = this.#setup;
    this.done.push({ atMs: Math.round(clock.now() - this.faultAt), text });
    lab.log(text);
  }

  async look(): Promise<PairStatus> {
    const status = await this.#setup.lab.status();
    // Two pictures are not of the same instant: one look may catch a handover, two in a row may not.
    const split = isSplit(status);
    if (split && this.#splitBefore && !this.problems.some((text) => text.startsWith('both')))
      this.problems.push('both servers say that they run the workload');
    this.#splitBefore = split;
    if (saysNotDuplex(status)) this.leftDuplex = true;
    return status;
  }

  /** Both copies are compared by the pair itself: what has rotted is found and mended, whoever has it. */
  async #scrub(): Promise<void> {
    const { lab, clock } = this.#setup;
    if (!(await this.until(isDuplex, this.#setup.duplexTimeoutS * 1000))) return;
    const primary = primaryOf(await this.look());
    if (primary === null) return;
    const before = (await this.look())[primary]?.disk?.scrub?.startedAt ?? 0;
    const refused = (await lab.act?.(primary, START_SCRUB).then(() => null, messageOf)) ?? null;
    if (refused !== null) this.problems.push(refused);
    const began = clock.now();
    let said = 'nothing';
    const ended = await this.until((status) => {
      const scrub = status[primary]?.disk?.scrub;
      if (!scrub || scrub.startedAt <= before) return false;
      said = `${scrub.state}: ${scrub.differed} differed, ${scrub.repaired} repaired of ${scrub.checkedBytes} bytes ${scrub.reason}`;
      return scrub.state === 'done' || scrub.state === 'cutShort';
    }, SCRUB_TIMEOUT_MS);
    this.note(`scrub after ${Math.round(clock.now() - began)} ms, ${said}`);
    if (!ended || !said.startsWith('done')) this.problems.push(`the copies were not scrubbed: ${said}`);
    const quarantined = (await this.look())[primary]?.disk?.quarantined ?? [];
    if (quarantined.length > 0)
      this.problems.push(`nobody knows which copy is right of ${quarantined.length} blocks, the first at ${quarantined[0]}`);
  }

  /** As an operator who has mended a disk: says so to whoever has given it up. */
  async pressTryDisk(status: PairStatus): Promise<void> {
    const { lab } = this.#setup;
    for (const server of ['A', 'B'] as const) {
      if (!this.#mended.has(server) || !status[server]?.actions.some(({ name, allowed }) => name === TRY_DISK && allowed)) continue;
      // It may be refused a moment later: the next look finds out.
      const refused = await lab.act?.(server, TRY_DISK).then(
        () => false,
        () => true,
      );
      if (!refused) this.note(`${server} is told to use its disk again`);
    }
  }

  async until(holds: (status: PairStatus) => boolean, timeoutMs: number): Promise<boolean> {
    const { clock } = this.#setup;
    const end = clock.now() + timeoutMs;
    for (;;) {
      const status = await this.look();
      if (holds(status)) return true;
      await this.pressTryDisk(status);
      if (clock.now() >= end) return false;
      await clock.sleep(LOOK_EVERY_MS);
    }
  }

  /** Who is meant. Waits until somebody runs the workload: during a takeover nobody says so. */
  async #who(side: Side): Promise<CoServerName> {
    let primary: CoServerName | null = null;
    await this.until((status) => {
      primary = primaryOf(status);
      return primary !== null;
    }, NOTICE_TIMEOUT_MS);
    if (primary === null) throw new Error(`nobody runs the workload (${describeStatus(await this.#setup.lab.status())})`);
    return side === 'primary' ? primary : partnerOf(primary);
  }

  async cause(fault: DiskFault): Promise<Caused> {
    const { lab } = this.#setup;
    const alone = { isNoticed: isRunningAlone, mustBeNoticed: true };
    if (fault.kind === 'cutLink') {
      await lab.link(fault.link, 'down');
      const repair = () => lab.link(fault.link, 'up');
      return {
        text: `link ${fault.link} cut`,
        target: null,
        repair,
        isNoticed: (status) => isLinkDown(status, fault.link),
        mustBeNoticed: true,
      };
    }
    if (fault.kind === 'cutBothLinks') {
      const both = async (state: 'up' | 'down') => void (await Promise.all([lab.link(1, state), lab.link(2, state)]));
      await both('down');
      return { text: 'both links cut', target: null, repair: () => both('up'), ...alone };
    }
    const target = await this.#who(fault.side);
    switch (fault.kind) {
      case 'powerOff':
        await lab.powerOff(target, this.#plan.lossSeed);
        return { text: `${target} off`, target, repair: () => lab.powerOn(target), ...alone };
      case 'freeze':
      case 'freezeProduct':
        await lab.freeze(target, fault.kind === 'freeze' ? 'all' : 'process');
        return { text: `${target} frozen`, target, repair: () => this.#thaw(target), ...alone };
      case 'killProduct':
      case 'killEngine':
        if (lab.kill === undefined) throw new Error('this lab cannot kill processes');
        await lab.kill(target, fault.kind === 'killProduct' ? 'product' : 'engine');
        return { text: `${fault.kind} ${target}`, target, isNoticed: saysNotDuplex, mustBeNoticed: false };
      case 'disk': {
        if (lab.disk === undefined) throw new Error('this lab cannot break disks');
        // After a crash or a new disk checksums are unknown until the next scrub: without one nobody could say which copy is right.
        if (fault.trouble === 'rot') await this.#scrub();
        await lab.disk(target, ...diskWords(fault.trouble, this.#plan.lossSeed));
        const repair = async () => {
          if (fault.trouble === 'rot') return this.#scrub();
          await lab.disk?.(target, 'ok');
          this.#mended.add(target);
        };
        return {
          text: `disk of ${target}: ${fault.trouble}`,
          target,
          repair,
          isNoticed: saysNotDuplex,
          mustBeNoticed: fault.trouble === 'hang',
        };
      }
      default: {
        const unknown: never = fault;
        throw new Error(`unknown fault ${JSON.stringify(unknown)}`);
      }
    }
  }

  /** Its partner may have switched off what does not answer. */
  async #thaw(server: CoServerName): Promise<void> {
    const { lab } = this.#setup;
    await lab.thaw(server);
    if ((await lab.isPowered?.(server)) === false) {
      this.remarks.push(`${server} had been switched off`);
      await lab.powerOn(server);
    }
  }

  async awaitNotice({ text, isNoticed, mustBeNoticed }: Caused): Promise<number | null> {
    const { clock, lab } = this.#setup;
    const began = clock.now();
    const timeoutMs = mustBeNoticed ? NOTICE_TIMEOUT_MS : UNNOTICED_MS;
    if (await this.until(isNoticed, timeoutMs)) return Math.round(clock.now() - began);
    const sentence = `${text}: not noticed within ${timeoutMs / 1000} s (${describeStatus(await lab.status())})`;
    if (mustBeNoticed) this.problems.push(sentence);
    else this.remarks.push(sentence);
    return null;
  }

  async repair(caused: Caused): Promise<void> {
    if (caused.repair === undefined) return;
    await caused.repair();
    this.note(`mended: ${caused.text}`);
  }

  async second(caused: Caused | null): Promise<Caused[]> {
    const { second } = this.#plan;
    const { clock } = this.#setup;
    if (second === null) return [];
    const when = caused === null ? 'duringRepair' : 'beforeRepair';
    if (second.when !== when) return [];
    await clock.sleep(second.afterMs);
    const next = await this.cause(second.fault);
    this.note(`${next.text} (${second.when})`);
    await clock.sleep(second.holdMs);
    return [next];
  }
}

/** Throws only when the lab or the clients themselves fail: everything else is in the result. */
export async function runDisksRound(setup: DisksRoundSetup, plan: DisksRoundPlan): Promise<DisksRound> {
  const { lab, clients, clock, duplexTimeoutS } = setup;
  const run = new RoundRun(setup, plan);
  const { problems, remarks } = run;
  const startedAt = clock.now();
  await clock.sleep(plan.leadMs);
  const runsAtFirst = primaryOf(await run.look());
  run.leftDuplex = false;
  setup.progress?.forget();
  const leadWindow = await clients.mark(`round ${plan.round} fault`);
  run.faultAt = clock.now();
  const first = await run.cause(plan.fault);
  run.note(first.text);
  const noticedMs = await run.awaitNotice(first);
  await clock.sleep(plan.holdMs);
  const more = await run.second(first);
  const faultWindow = await clients.mark(`round ${plan.round} repair`);
  for (const caused of [...more, first]) await run.repair(caused);
  for (const caused of await run.second(null)) await run.repair(caused);

  const repairedAt = clock.now();
  if (!run.leftDuplex) await run.until(() => run.leftDuplex, LEAVING_MS);
  const isWhole = (status: PairStatus) => isDuplex(status) && primaryOf(status) !== null;
  const duplex = await run.until(isWhole, duplexTimeoutS * 1000);
  const timeToDuplexMs = !duplex ? null : run.leftDuplex ? Math.round(clock.now() - repairedAt) : 0;
  if (!duplex) problems.push(`no duplex within ${duplexTimeoutS} s (${describeStatus(await lab.status())})`);
  else if (!(await run.until(areLinksUp, LINKS_TIMEOUT_MS)))
    problems.push(`not all links are up ${LINKS_TIMEOUT_MS / 1000} s after duplex`);
  const rejoinWindow = await clients.mark(`round ${plan.round} quiet`);

  const wholeAt = clock.now();
  const takeovers = takeoversSince(await run.look(), run.faultAt);
  const standstill = (from: number, to: number): number => {
    if (setup.progress === null || runsAtFirst === null) return 0;
    // Who runs it at `from`: after the takeovers before.
    const first = takeovers.filter(({ at, kind }) => kind === 'takeover' && at < from).at(-1)?.coServer ?? runsAtFirst;
    return longestStandstill(setup.progress.points, { from, to, first, takeovers });
  };
  const quietAt = clock.now();
  const quiet = duplex ? await lookQuietly(setup, plan, problems) : NOT_QUIET;
  const quietWindow = await clients.mark(`round ${plan.round + 1}`);
  const timeline = timelineSince(await run.look(), run.faultAt);
  const resyncs = timeline.flatMap(({ text }) => resyncOf(text) ?? []);
  const windows = [leadWindow, faultWindow, rejoinWindow, quietWindow];
  const counts = {
    hungConnections: total(windows, (kind) => kind.hung),
    brokenConnections: total(windows, (kind) => kind.broken),
    wrongChecksums: total(windows, (kind) => kind.wrong),
  };
  if (counts.hungConnections > 0) problems.push(`${counts.hungConnections} connections hung`);
  if (counts.brokenConnections > 0) problems.push(`${counts.brokenConnections} connections broken`);
  if (counts.wrongChecksums > 0) problems.push(`${counts.wrongChecksums} wrong checksums`);
  const stall = (window: WindowReport, kind: 'record' | 'echoTcp') => Math.round(window.kinds[kind]?.stallMs ?? 0);
  return {
    round: plan.round,
    fault: faultName(plan.fault),
    second: plan.second === null ? null : `${faultName(plan.second.fault)} (${plan.second.when})`,
    done: run.done,
    at: run.faultAt,
    noticedMs,
    timeToDuplexMs,
    quietMs: Math.round(clock.now() - quietAt),
    recordStallMs: stall(faultWindow, 'record'),
    rejoinStallMs: stall(rejoinWindow, 'record'),
    echoStallMs: Math.max(stall(faultWindow, 'echoTcp'), stall(rejoinWindow, 'echoTcp')),
    resyncs: resyncs.length,
    comparedBytes: resyncs.reduce((sum, { comparedBytes }) => sum + comparedBytes, 0),
    copiedBytes: resyncs.reduce((sum, { copiedBytes }) => sum + copiedBytes, 0),
    ioStallMs: standstill(run.faultAt, repairedAt),
    ioRejoinStallMs: standstill(repairedAt, wholeAt),
    ...quiet,
    ...counts,
    timeline,
    problems,
    remarks,
    durationMs: Math.round(clock.now() - startedAt),
  };
}

type Quiet = Pick<
  DisksRound,
  'copiesIdentical' | 'copiesDetail' | 'fileSystemsClean' | 'passes' | 'checkedKiB' | 'ioErrors' | 'verificationErrors'
>;
const NOT_QUIET: Quiet = {
  copiesIdentical: null,
  copiesDetail: 'not compared',
  fileSystemsClean: null,
  passes: 0,
  checkedKiB: 0,
  ioErrors: 0,
  verificationErrors: 0,
};

/** While the guest's disk is frozen: its copies, its file systems, what fio and the kernel have found. */
async function lookQuietly(setup: DisksRoundSetup, plan: DisksRoundPlan, problems: string[]): Promise<Quiet> {
  const { lab, load, clock } = setup;
  const askedAt = clock.now();
  try {
    await (plan.checksFileSystems ? load.rest() : load.freeze());
  } catch (error) {
    problems.push(messageOf(error));
    return NOT_QUIET;
  }
  try {
    // This answer differs between the replicas, so that it leaves with a checkpoint: the freeze is in it.
    const status = await load.status();
    setup.onLoad(status);
    const verificationErrors = status.jobs.filter(({ failure }) => failure !== '').length;
    for (const { name, failure } of status.jobs) if (failure !== '') problems.push(`fio ${name}: ${failure}`);
    if (status.complaintCount > 0)
      problems.push(`the guest's kernel complains ${status.complaintCount} times: ${status.complaints.slice(0, 3).join(' | ')}`);
    const began = clock.now();
    let comparison = await lab.compareCopies();
    while (!comparison.identical && clock.now() - began < EQUAL_TIMEOUT_MS) {
      await clock.sleep(COMPARE_AGAIN_MS);
      comparison = await lab.compareCopies();
    }
    const equalAt = clock.now();
    if (!comparison.identical) problems.push(`the copies differ: ${comparison.detail}`);
    const clean = plan.checksFileSystems ? await checkFileSystems(lab, problems) : null;
    return {
      copiesIdentical: comparison.identical,
      copiesDetail: `${comparison.detail}; frozen after ${Math.round(began - askedAt)} ms, compared after ${Math.round(equalAt - began)} ms more`,
      fileSystemsClean: clean,
      passes: status.jobs.reduce((sum, { passes }) => sum + passes, 0),
      checkedKiB: status.jobs.reduce((sum, { checkedKiB }) => sum + checkedKiB, 0),
      ioErrors: status.complaintCount,
      verificationErrors,
    };
  } catch (error) {
    problems.push(messageOf(error));
    return NOT_QUIET;
  } finally {
    await load.thaw().catch((error: unknown) => problems.push(messageOf(error)));
  }
}

/** Of both copies. Null: this lab cannot. */
export async function checkFileSystems(lab: LabControl, problems: string[]): Promise<boolean | null> {
  if (lab.checkDisk === undefined) return null;
  let clean = true;
  for (const server of ['A', 'B'] as const) {
    const checked = await lab.checkDisk(server);
    if (!checked.clean) problems.push(`the file systems on the copy of ${server} are damaged: ${checked.detail}`);
    clean &&= checked.clean;
  }
  return clean;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
