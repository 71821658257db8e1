// Two whole machines with a guest, from power on to what hardware.md promises of them, as both web consoles tell it: twins qualify while the
// product runs, become duplex, a part that is about to fail moves the role, one that has failed takes the server out; another machine in its
// place that differs is refused by name with both values, and the pair goes on at level 2. Each step is seen in the product's own pictures,
// and asked of the guest.
import type { CoServerName, Snapshot } from '../../appliance/core/snapshot.ts';
import type { TinyStatus } from '../lab/guest/tiny/client.ts';
import type { LabFault } from '../lab/lab-interface.ts';
import type { Mismatch } from '../lab/machines/spec.ts';
import type { MachineWatch } from './machine-watch.ts';
import { isDuplex, partnerOf, primaryOf, runsWorkload } from './pair-picture.ts';

export interface LiveTwinsParts {
  watch: MachineWatch;
  guest: { status(withinMs: number): Promise<TinyStatus>; append(n: number, withinMs: number): Promise<void> };
  inject(fault: LabFault, server: CoServerName): Promise<void>;
  clear(fault: LabFault, server: CoServerName): Promise<void>;
  /** Another machine in its place, as new and with power. */
  replaceByMismatch(server: CoServerName, what: Mismatch): Promise<void>;
  /** Another level in its configuration, and its process started again. */
  setLevel(server: CoServerName, level: 2 | 3): Promise<void>;
  say(text: string): void;
  limitMs: number;
}

export interface LiveStep {
  step: string;
  /** Null: not within the limit. */
  seconds: number | null;
  /** What was read. */
  seen: string;
}

export type LiveStage = 'qualify' | 'duplex' | 'roleMove' | 'serverOut' | 'mismatch';
export const LIVE_STAGES: readonly LiveStage[] = ['qualify', 'duplex', 'roleMove', 'serverOut', 'mismatch'];

const GUEST_WITHIN_MS = 120_000;
const PRE_FAIL: LabFault = 'fanSlow';
const UNCORRECTED: LabFault = 'machineCheckUncorrected';
const LEVEL_WORDS = { 2: 'highlyAvailable', 3: 'faultTolerant' } as const;
const MISMATCH: Mismatch = 'biosVersion';
const MISMATCH_ITEM = 'bios.version';

type Pictures = MachineWatch['pictures'];

export class LiveTwins {
  readonly steps: LiveStep[] = [];
  readonly #p: LiveTwinsParts;
  #record = 0;

  constructor(parts: LiveTwinsParts) {
    this.#p = parts;
  }

  get isWhole(): boolean {
    return this.steps.length > 0 && this.steps.every(({ seconds }) => seconds !== null);
  }

  /** In this order; ends at the first that is not seen. */
  async run(stages: readonly LiveStage[], level: 2 | 3): Promise<void> {
    const work: Record<LiveStage, () => Promise<boolean>> = {
      qualify: () => this.#qualify(),
      duplex: () => this.#duplex(level),
      roleMove: () => this.#roleMove(level),
      serverOut: () => this.#serverOut(level),
      mismatch: () => this.#mismatch(level),
    };
    for (const stage of LIVE_STAGES) if (stages.includes(stage) && !(await work[stage]())) return;
  }

  // ---- stages ----------------------------------------------------------------------------------------------------------------

  #qualify(): Promise<boolean> {
    return this.#see('both consoles say that the servers qualify', (p) => {
      const [a, b] = [qualificationOf(p.A), qualificationOf(p.B)];
      return a?.verdict === 'passed' && b?.verdict === 'passed' ? a.sentence : null;
    });
  }

  async #duplex(level: 2 | 3): Promise<boolean> {
    return (
      (await this.#see('the guest runs', (p) => {
        const server = primaryOf(p);
        return server && `on ${server}`;
      })) &&
      (await this.#isProtected(level)) &&
      (await this.#ask('a record is on both copies'))
    );
  }

  #isProtected(level: 2 | 3): Promise<boolean> {
    return this.#see(`the pair is duplex at level ${level}`, (p) => {
      const picture = isDuplex(p) ? p[primaryOf(p) ?? 'A'] : null;
      if (picture?.workload.level !== LEVEL_WORDS[level]) return null;
      // At level 3 it is only said when the secondary has answered as the primary does.
      if (level === 3 && picture.audit?.state === 'broken') return null;
      return picture.redundancySentence;
    });
  }

  /** Row 16: nothing is lost, the guest does not start anew at level 3. */
  async #roleMove(level: 2 | 3): Promise<boolean> {
    const from = this.#primary();
    if (from === null) return false;
    const before = await this.#p.guest.status(GUEST_WITHIN_MS);
    const sinceMs = performance.now();
    await this.#p.inject(PRE_FAIL, from);
    const moved =
      (await this.#see(`${PRE_FAIL} on ${from}, the primary, is told`, (p) => faultText(p[from], from))) &&
      (await this.#see('row 16: the role moves to the partner', (p) =>
        primaryOf(p) === partnerOf(from) ? this.#rowText('16', sinceMs) : null,
      )) &&
      (await this.#ask('the guest goes on', before, level));
    await this.#p.clear(PRE_FAIL, from);
    return (
      moved &&
      (await this.#see('the fault is over', (p) => (p[from] && faultText(p[from], from) === null ? 'no fault is told' : null))) &&
      (await this.#isProtected(level))
    );
  }

  /** Row 17: the server goes, the partner has the guest. */
  async #serverOut(level: 2 | 3): Promise<boolean> {
    const from = this.#primary();
    if (from === null) return false;
    const before = await this.#p.guest.status(GUEST_WITHIN_MS);
    await this.#p.inject(UNCORRECTED, from);
    const rest = partnerOf(from);
    return (
      (await this.#see(`${UNCORRECTED} on ${from}: ${rest} runs the guest`, ({ [rest]: picture }) =>
        picture && runsWorkload(picture) ? picture.redundancySentence : null,
      )) &&
      (await this.#ask('the guest goes on', before, level)) &&
      (await this.#isProtected(level))
    );
  }

  /** The partner of the primary is replaced by a machine that differs. */
  async #mismatch(level: 2 | 3): Promise<boolean> {
    const stays = this.#primary();
    if (stays === null) return false;
    await this.#p.replaceByMismatch(partnerOf(stays), MISMATCH);
    const refused =
      (await this.#see('the consoles name what differs, with both values', ({ [stays]: picture }) => {
        const found = qualificationOf(picture);
        const item = found?.sentence.includes(`(${MISMATCH_ITEM})`) ? found.items?.find(({ verdict }) => verdict === 'refused') : undefined;
        return item === undefined ? null : `${item.item}: ${item.a} on A, ${item.b} on B`;
      })) &&
      (level === 2 ||
        (await this.#see('there is no lockstep, and it says why', ({ [stays]: picture }) =>
          picture?.redundancy === 'duplex' ? null : (picture?.attention.find(({ kind }) => kind === 'qualification')?.sentence ?? null),
        )));
    if (!refused) return false;
    // The one that has nothing to lose first.
    if (level === 3) for (const server of [partnerOf(stays), stays]) await this.#p.setLevel(server, 2);
    return (await this.#isProtected(2)) && this.#ask('a record is on both copies');
  }

  // ---- seeing ----------------------------------------------------------------------------------------------------------------

  /** @param look What was seen in the latest pictures; null: not yet. */
  async #see(step: string, look: (p: Pictures) => string | null): Promise<boolean> {
    const { watch, limitMs } = this.#p;
    const fromMs = performance.now();
    return this.#done(step, fromMs, await watch.until(() => look(watch.pictures), limitMs));
  }

  /** A record is written, and the guest is the same as before, or started once more. */
  async #ask(step: string, before?: TinyStatus, level?: 2 | 3): Promise<boolean> {
    const fromMs = performance.now();
    try {
      const now = await this.#p.guest.status(this.#p.limitMs);
      this.#record = Math.max(this.#record, now.last) + 1;
      await this.#p.guest.append(this.#record, this.#p.limitMs);
      const expected = before === undefined ? now.starts : before.starts + (level === 2 ? 1 : 0);
      const text = `start ${now.starts} of this disk, record ${this.#record}, up ${Math.round(now.upMs / 1000)} s`;
      if (now.starts !== expected) throw new Error(`${text}; start ${expected} was expected`);
      if (before !== undefined && now.records < before.records)
        throw new Error(`${text}; ${before.records - now.records} records are lost`);
      return this.#done(step, fromMs, text);
    } catch (error) {
      this.#p.say((error as Error).message);
      return this.#done(step, fromMs, null);
    }
  }

  #done(step: string, fromMs: number, seen: string | null): boolean {
    const seconds = seen === null ? null : Math.round((performance.now() - fromMs) / 1000);
    this.steps.push({ step, seconds, seen: seen ?? '' });
    this.#p.say(seconds === null ? `NOT SEEN: ${step}` : `${step} (${seconds} s): ${seen}`);
    return seen !== null;
  }

  #primary(): CoServerName | null {
    return primaryOf(this.#p.watch.pictures);
  }

  /** What was told since. */
  #rowText(row: string, sinceMs: number): string | null {
    return this.#p.watch.entries.find((entry) => entry.row === row && entry.seenMs >= sinceMs)?.text ?? null;
  }
}

function qualificationOf(picture: Snapshot | null) {
  return picture?.hardware?.qualification;
}

function faultText(picture: Snapshot | null, server: CoServerName): string | null {
  const fault = picture?.hardware?.faults.find(({ coServer }) => coServer === server);
  return fault === undefined ? null : `${fault.sentence} (${fault.where}): ${fault.effect}`;
}
