// What is said of the two copies and seldom done: space that the guest gives back is given back on both; a disk that is not this pair's
// is refused by name, not written to, and made whole once the operator says so; past the page cache, or with every write durable by
// itself, a pair lives as otherwise. Each step ends with copies that are equal byte for byte and file systems that are clean.
import { open, stat } from 'node:fs/promises';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { diskDigest } from '../lab/swap-disk.ts';
import type { Clock } from './clock.ts';
import { resyncOf } from './disks-report.ts';
import { checkFileSystems } from './disks-round.ts';
import type { FillingLoad } from './guest-load.ts';
import type { DiskSwap, LabControl, PairStatus } from './lab-control.ts';
import { isDuplex, isRunningAlone, partnerOf, primaryOf, timelineSince } from './pair-picture.ts';

const MIB = 2 ** 20;
const LOOK_EVERY_MS = 100;
const DUPLEX_WITHIN_S = 180;
const NOTICE_WITHIN_MS = 20_000;
/** Until a copy shows what the guest did: the secondary's follows with its next checkpoint. */
const SHOWN_WITHIN_MS = 30_000;
/** A disk that is not taken is tried again within some seconds. */
const REFUSED_WITHIN_MS = 60_000;
/** On each of two file systems. */
const FILLED_MIB = 12;
const FILLED_BYTES = 2 * FILLED_MIB * MIB;
/** Of what was filled. fio's files, of which the first passes are still being made, take some of it again. */
const SHARE = 0.7;
const BLOCK_BYTES = 512;
/** fio is heard of again: it runs, and finds nothing wrong. */
const PASS_WITHIN_MS = 180_000;

export interface CopiesStep {
  name: string;
  /** What was found, with its figures. */
  found: string[];
  problems: string[];
  durationMs: number;
}

export interface CopiesSetup {
  lab: LabControl;
  load: FillingLoad;
  clock: Clock;
}

export type Work = (step: CopiesStep) => Promise<void>;

export class CopiesRun {
  readonly #lab: LabControl;
  readonly #load: FillingLoad;
  readonly #clock: Clock;

  constructor({ lab, load, clock }: CopiesSetup) {
    this.#lab = lab;
    this.#load = load;
    this.#clock = clock;
  }

  /** What fails is in the step's problems. */
  async step(name: string, work: Work): Promise<CopiesStep> {
    const step: CopiesStep = { name, found: [], problems: [], durationMs: 0 };
    const began = this.#clock.now();
    try {
      await work(step);
      await this.#quiet(step);
    } catch (error) {
      step.problems.push(error instanceof Error ? error.message : String(error));
    }
    step.durationMs = Math.round(this.#clock.now() - began);
    return step;
  }

  /** fstrim while both follow. */
  trim: Work = async (step) => {
    const before = await this.#space();
    await this.#load.fill(FILLED_MIB);
    const full = await this.#until('what was written takes space on both copies', ({ A, B }) =>
      [A - before.A, B - before.B].every((more) => more > FILLED_BYTES * SHARE),
    );
    const trimmed = await this.#load.trim();
    const after = await this.#until('both copies have given space back', ({ A, B }) =>
      [full.A - A, full.B - B].every((less) => less > FILLED_BYTES * SHARE),
    );
    step.found.push(`the guest trimmed ${mib(trimmed)}`, spaceText(before, full, after));
  };

  /** fstrim while one copy is away: it learns of it by the resync. */
  trimDuringOutage: Work = async (step) => {
    const before = await this.#space();
    await this.#load.fill(FILLED_MIB);
    const full = await this.#until('what was written takes space on both copies', ({ A, B }) =>
      [A - before.A, B - before.B].every((more) => more > FILLED_BYTES * SHARE),
    );
    const primary = await this.#primary();
    const away = partnerOf(primary);
    const since = this.#clock.now();
    await this.#powerOff(away);
    const trimmed = await this.#load.trim();
    const alone = await this.#until('the copy in use has given space back', (now) => full[primary] - now[primary] > FILLED_BYTES * SHARE);
    if (full[away] - alone[away] > 0) throw new Error(`the copy of ${away}, which has no power, has changed`);
    await this.#back(away);
    const after = await this.#until('the other copy has, too', (now) => full[away] - now[away] > FILLED_BYTES * SHARE);
    step.found.push(
      `the guest trimmed ${mib(trimmed)} while ${away} was away`,
      spaceText(before, full, after),
      await this.#resynced(since),
    );
  };

  /** A disk that is not this pair's: refused by name, untouched, then adopted by a word that is typed. */
  adopt =
    (how: DiskSwap, refusal: RegExp): Work =>
    async (step) => {
      const lab = this.#lab;
      if (lab.act === undefined || lab.swapDisk === undefined) throw new Error('this lab cannot put another disk in');
      const server = partnerOf(await this.#primary());
      await this.#powerOff(server);
      step.found.push(`${server} has ${await lab.swapDisk(server, how)}`);
      const digest = await this.#digest(server);
      await lab.powerOn(server);
      step.found.push(await this.#refused(server, refusal));
      if ((await this.#digest(server)) !== digest) throw new Error(`the disk of ${server} was refused, and has changed`);
      for (const typed of [undefined, 'yes'])
        if (await accepted(lab.act(server, 'adopt-disk', typed)))
          throw new Error(`adopt-disk was accepted with ${typed ?? 'nothing'} typed`);
      const since = this.#clock.now();
      await lab.act(server, 'adopt-disk', 'adopt');
      await lab.waitDuplex(DUPLEX_WITHIN_S);
      step.found.push('adopted', await this.#resynced(since, 'whole'));
    };

  /** Too small: refused, and no word of the operator makes it larger. What it lost is copied again once it is large enough. */
  shrunk: Work = async (step) => {
    const lab = this.#lab;
    if (lab.swapDisk === undefined) throw new Error('this lab cannot put another disk in');
    const server = partnerOf(await this.#primary());
    await this.#powerOff(server);
    step.found.push(`${server}: ${await lab.swapDisk(server, 'shrunk')}`);
    const digest = await this.#digest(server);
    await this.#lab.powerOn(server);
    step.found.push(await this.#refused(server, /bytes.*needed/));
    const askedAt = this.#clock.now();
    await this.#lab.act?.(server, 'adopt-disk', 'adopt');
    const isTold = (status: PairStatus) => timelineSince(status, askedAt).some(({ text }) => /could not be adopted.*needed/.test(text));
    await this.#see(isTold, NOTICE_WITHIN_MS, 'nobody says that it could not be adopted');
    if ((await this.#digest(server)) !== digest) throw new Error(`the disk of ${server} was refused, and has changed`);
    await this.#lab.powerOff(server);
    step.found.push(`${server}: ${await lab.swapDisk(server, 'grown')}`);
    const since = this.#clock.now();
    await this.#back(server);
    step.found.push(await this.#resynced(since, 'whole'));
  };

  /** A power failure of each, with work in between. `isDirect`: what is said of how the disk is opened must be so. */
  powerFailures =
    (isDirect: boolean): Work =>
    async (step) => {
      for (const server of ['A', 'B'] as const) {
        const flags = await this.#openFlags(server);
        step.found.push(`${server} has its disk open ${flags.direct ? 'past' : 'through'} the page cache`);
        if (flags.direct !== isDirect) throw new Error(`${server} has its disk open with flags ${flags.text}`);
      }
      for (const side of ['secondary', 'primary'] as const) {
        await this.#worked();
        const primary = await this.#primary();
        const lost = side === 'primary' ? primary : partnerOf(primary);
        const since = this.#clock.now();
        await this.#powerOff(lost);
        await this.#worked();
        await this.#back(lost);
        step.found.push(`${side} ${lost} lost its power; ${await this.#resynced(since)}`);
        await this.#compare(step);
      }
    };

  /** Both copies, while nothing is written; and that nobody in the guest has seen anything wrong. */
  async #quiet(step: CopiesStep): Promise<void> {
    await this.#worked();
    await this.#compare(step);
    const { jobs, complaintCount, complaints } = await this.#load.status();
    for (const { name, failure } of jobs) if (failure !== '') step.problems.push(`fio ${name}: ${failure}`);
    if (complaintCount > 0) step.problems.push(`the guest's kernel complains: ${complaints.slice(0, 3).join(' | ')}`);
  }

  async #compare(step: CopiesStep): Promise<void> {
    await this.#load.rest();
    try {
      // This answer differs between the replicas, so that it leaves with a checkpoint: the rest is in it.
      await this.#load.status();
      const end = this.#clock.now() + SHOWN_WITHIN_MS;
      let comparison = await this.#lab.compareCopies();
      while (!comparison.identical && this.#clock.now() < end) {
        await this.#clock.sleep(LOOK_EVERY_MS);
        comparison = await this.#lab.compareCopies();
      }
      step.found.push(comparison.detail);
      if (!comparison.identical) step.problems.push(`the copies differ: ${comparison.detail}`);
      const clean = await checkFileSystems(this.#lab, step.problems);
      if (clean === null) step.problems.push('the file systems were not checked');
      else if (clean) step.found.push('e2fsck and xfs_repair find nothing on either');
    } finally {
      await this.#load.thaw();
    }
  }

  /** Until every job of fio has ended a pass: it wrote, and what it read back was right. */
  async #worked(): Promise<void> {
    const { jobs: before } = await this.#load.status();
    const end = this.#clock.now() + PASS_WITHIN_MS;
    for (;;) {
      const { jobs } = await this.#load.status();
      if (jobs.every(({ passes, failure }, i) => failure !== '' || passes > (before[i]?.passes ?? 0))) return;
      if (this.#clock.now() > end) throw new Error(`fio has not ended a pass within ${PASS_WITHIN_MS / 1000} s`);
      await this.#clock.sleep(LOOK_EVERY_MS);
    }
  }

  async #primary(): Promise<CoServerName> {
    await this.#lab.waitDuplex(DUPLEX_WITHIN_S);
    const primary = primaryOf(await this.#lab.status());
    if (primary === null) throw new Error('no CoServer says that it runs the guest');
    return primary;
  }

  async #powerOff(server: CoServerName): Promise<void> {
    await this.#lab.powerOff(server);
    await this.#see(isRunningAlone, NOTICE_WITHIN_MS, 'nobody runs alone');
  }

  async #back(server: CoServerName): Promise<void> {
    await this.#lab.powerOn(server);
    await this.#see((status) => status[server] !== null, NOTICE_WITHIN_MS, `${server} does not answer`);
    await this.#see(isDuplex, DUPLEX_WITHIN_S * 1000, 'no duplex');
  }

  async #see(holds: (status: PairStatus) => boolean, withinMs: number, complaint: string): Promise<PairStatus> {
    const end = this.#clock.now() + withinMs;
    for (;;) {
      const status = await this.#lab.status();
      if (holds(status)) return status;
      if (this.#clock.now() > end) throw new Error(`${complaint} after ${withinMs / 1000} s`);
      await this.#clock.sleep(LOOK_EVERY_MS);
    }
  }

  async #refused(server: CoServerName, refusal: RegExp): Promise<string> {
    const sentenceOf = (status: PairStatus) => status[server]?.attention.find(({ kind }) => kind === 'diskRefused')?.sentence;
    const status = await this.#see(
      (now) => sentenceOf(now) !== undefined,
      REFUSED_WITHIN_MS,
      `${server} does not say that its disk is refused`,
    );
    const sentence = sentenceOf(status) ?? '';
    if (!refusal.test(sentence)) throw new Error(`${server} refuses its disk for another reason: ${sentence}`);
    return `refused: ${sentence}`;
  }

  /** The last resync since then. whole: it must have looked at all of the disk. */
  async #resynced(since: number, whole?: 'whole'): Promise<string> {
    const found = timelineSince(await this.#lab.status(), since).flatMap(({ text }) => resyncOf(text) ?? []);
    const last = found.at(-1);
    if (last === undefined) throw new Error('no resync was told of');
    const { sizeBytes } = (await this.#lab.status()).A?.disk ?? {};
    // What is told is rounded.
    if (whole && last.comparedBytes < (sizeBytes ?? Number.POSITIVE_INFINITY) * 0.99)
      throw new Error(`only ${mib(last.comparedBytes)} were compared of a disk that must be looked at as a whole`);
    return `resync: ${mib(last.comparedBytes)} compared, ${mib(last.copiedBytes)} copied`;
  }

  #path(server: CoServerName): string {
    const path = this.#lab.copyPath?.(server);
    if (path === undefined) throw new Error('this lab does not show the files of the copies');
    return path;
  }

  #digest(server: CoServerName): Promise<string> {
    return diskDigest(this.#path(server));
  }

  async #space(): Promise<Record<CoServerName, number>> {
    const of = async (server: CoServerName): Promise<number> => {
      // What is allocated ahead of being written is not settled before.
      const file = await open(this.#path(server), 'r');
      await file.datasync().finally(() => file.close());
      return (await stat(this.#path(server))).blocks * BLOCK_BYTES;
    };
    const [A, B] = await Promise.all([of('A'), of('B')]);
    return { A, B };
  }

  async #until(what: string, holds: (space: Record<CoServerName, number>) => boolean): Promise<Record<CoServerName, number>> {
    const end = this.#clock.now() + SHOWN_WITHIN_MS;
    for (;;) {
      const space = await this.#space();
      if (holds(space)) return space;
      if (this.#clock.now() > end)
        throw new Error(
          `not so within ${SHOWN_WITHIN_MS / 1000} s: ${what} (A takes ${mib(space.A)}, B ${mib(space.B)}; ${mib(FILLED_BYTES)} were filled)`,
        );
      await this.#clock.sleep(LOOK_EVERY_MS);
    }
  }

  /** How the product has the disk open there. */
  async #openFlags(server: CoServerName): Promise<{ text: string; direct: boolean }> {
    const script = `p=$(cat /run/twinstep/product.pid); for f in /proc/$p/fd/*; do [ "$(readlink $f)" = /var/lib/twinstep/disks/disk0 ] && sed -n 's/^flags:[^0-9]*//p' /proc/$p/fdinfo/\${f##*/}; done; true`;
    const { stdout = '', stderr = '' } = (await this.#lab.execOn?.(server, ['sh', '-c', script])) ?? {};
    const flags = stdout.split('\n').filter((line) => line !== '');
    if (flags.length === 0) throw new Error(`the disk of ${server} is not open: ${stderr}`);
    return { text: flags.join(' '), direct: flags.some((octal) => (Number.parseInt(octal, 8) & O_DIRECT) !== 0) };
  }
}

/** Of x86: asm-generic/fcntl.h. */
const O_DIRECT = 0o40000;

function accepted(asked: Promise<void>): Promise<boolean> {
  return asked.then(
    () => true,
    () => false,
  );
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}

function spaceText(...steps: Record<CoServerName, number>[]): string {
  const of = (server: CoServerName) => `${server} ${steps.map((space) => mib(space[server])).join(' -> ')}`;
  return `space taken before, filled, trimmed: ${of('A')}; ${of('B')}`;
}
