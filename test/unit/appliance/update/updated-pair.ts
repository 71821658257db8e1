// Two servers with disks in memory, each with the driver of the pair's update over a joined pair of channels, and what stands in for the core: where the
// guest is, and whether the pair is duplex. A restart of a server asks the boot loader's rule what starts.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PairUpdater } from '../../../../appliance/update/pair-updater.ts';
import { readLevel } from '../../../../appliance/update/pair-wish.ts';
import { type FakeChannel, fakePair } from '../../../../drivers/link/fake.ts';
import { seededDice } from '../../../../hwqual/lab/power-loss.ts';
import { Machine, type Version } from './machine.ts';
import { Power } from './volatile-disk.ts';

type Name = 'A' | 'B';

export interface SideOptions {
  level?: 2 | 3;
  engineOf?: (version: string) => string;
  /** Versions that never become healthy, by server. */
  bad?: Partial<Record<Name, string>>;
  rateBytesPerS?: number;
}

export class UpdatedPair {
  readonly sides: Record<Name, Side>;
  readonly told: string[] = [];
  readonly options: Required<SideOptions>;
  readonly links = fakePair();
  guestAt: Name = 'A';
  guestRestarts = 0;
  nowMs = 0;
  /** The pair is not duplex, whatever else is so. */
  isBroken = false;
  afterActivate = () => {};
  /** While what was activated is put back: the disk takes its time. */
  duringHold: () => Promise<void> = async () => {};

  constructor(versions: readonly Version[], folder: string, options: SideOptions = {}) {
    this.options = { level: 3, engineOf: () => '11.1.3', bad: {}, rateBytesPerS: 1 << 30, ...options };
    this.sides = { A: new Side(this, 'A', versions, folder), B: new Side(this, 'B', versions, folder) };
    this.sides.A.startProcess();
    this.sides.B.startProcess();
  }

  get isDuplex(): boolean {
    const { A, B } = this.sides;
    return !this.isBroken && A.updater !== null && B.updater !== null && A.level === B.level && (A.level === 2 || A.engine === B.engine);
  }

  /** Whoever is down starts, who is up looks, until `fits` or too long. */
  async until(what: string, fits: () => boolean, each: () => void | Promise<void> = () => {}): Promise<void> {
    for (let step = 0; step < 3_000; ) {
      if (fits()) return;
      // What travels is limited by the real clock: it is waited for, however fast the steps are.
      if (!Object.values(this.sides).some((side) => side.updater?.status().pair?.sent)) step++;
      this.nowMs += 1_000;
      for (const side of Object.values(this.sides)) await side.live();
      await each();
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    throw new Error(
      `${what}: not reached\n${this.told.join('\n')}\n${JSON.stringify([this.sides.A.updater?.status(), this.sides.B.updater?.status()])}`,
    );
  }

  versions(): string {
    return `${this.sides.A.machine.running.version} ${this.sides.B.machine.running.version}`;
  }
}

/** A server whose power fails says nothing any more. */
class CutPower extends Power {
  readonly #cut: () => void;

  constructor(operations: number, cut: () => void) {
    super(operations);
    this.#cut = cut;
  }

  override use(): void {
    if (this.left <= 0) this.#cut();
    super.use();
  }
}

class Side {
  readonly machine: Machine;
  readonly name: Name;
  readonly #pair: UpdatedPair;
  updater: PairUpdater | null = null;
  level: 2 | 3 = 3;
  /** What it does next, when it is down. */
  #comesBack: (() => Promise<void>) | null = null;
  restarts = 0;
  #isNew = true;

  constructor(pair: UpdatedPair, name: Name, versions: readonly Version[], folder: string) {
    this.#pair = pair;
    this.name = name;
    const own = join(folder, name);
    mkdirSync(own);
    this.machine = Machine.make(versions, own);
  }

  get #channel(): FakeChannel {
    return this.name === 'A' ? this.#pair.links.a : this.#pair.links.b;
  }

  get other(): Side {
    return this.#pair.sides[this.name === 'A' ? 'B' : 'A'];
  }

  get engine(): string {
    return this.#pair.options.engineOf(this.machine.running.version);
  }

  startProcess(): void {
    const { options, told } = this.#pair;
    this.#isNew = true;
    const { recordFile } = this.machine.place;
    this.level = readLevel(recordFile) ?? options.level;
    const store = this.machine.store();
    const activate = store.activate.bind(store);
    store.activate = async () => {
      const version = await activate();
      this.#pair.afterActivate();
      return version;
    };
    const hold = store.hold.bind(store);
    store.hold = async () => {
      await hold();
      await this.#pair.duringHold();
    };
    this.updater = new PairUpdater({
      coServer: this.name,
      store,
      recordFile,
      channel: this.#channel,
      engine: this.engine,
      runsAtLevel: this.level,
      level: options.level,
      hasWatchdog: true,
      now: () => {
        const { isDuplex, guestAt } = this.#pair;
        const role = guestAt === this.name ? 'primary' : isDuplex ? 'secondary' : 'none';
        return { role, isDuplex, mayMove: isDuplex && role === 'primary', whyNotLockstep: null };
      },
      moveWorkload: () => {
        this.#pair.guestAt = this.other.name;
        if (this.level === 2) this.#pair.guestRestarts += 1;
      },
      whyNotRestart: () => (this.#pair.guestAt === this.name ? 'the workload runs here' : null),
      restartServer: () => this.down(),
      restartProcess: () => this.down(async () => {}),
      tell: ({ severity, text }) => told.push(`${this.name} ${severity}: ${text}`),
      clock: () => this.#pair.nowMs,
      rateBytesPerS: options.rateBytesPerS,
    });
    this.#channel.setUp(this.other.updater !== null, 'it is down');
    this.other.#channel.setUp(this.other.updater !== null, 'it is down');
  }

  /** Its power fails at so many writes and flushes from now on. */
  cutAfter(operations: number): void {
    this.machine.power = new CutPower(operations, () => this.down());
  }

  /** Its power fails, or it starts again. */
  down(comesBack = () => this.#boot()): void {
    if (!this.updater) return;
    this.restarts += 1;
    const wasDuplex = this.#pair.isDuplex;
    void this.updater.stop();
    this.updater = null;
    this.machine.power.left = 0;
    rmSync(this.machine.place.lockFile, { force: true });
    this.#channel.removeAllListeners();
    for (const channel of [this.#channel, this.other.#channel]) channel.setUp(false, 'it is down');
    this.#channel.reset();
    if (this.#pair.guestAt === this.name && wasDuplex) this.#pair.guestAt = this.other.name;
    this.#comesBack = comesBack;
  }

  /** What was not flushed may be lost. */
  async #boot(): Promise<void> {
    const dice = seededDice(this.#pair.nowMs);
    for (const disk of [this.machine.esp, this.machine.slots.a, this.machine.slots.b]) disk.loseUnflushed(dice);
    await this.machine.start();
  }

  /** False: somebody else's change goes on. */
  #mark(): Promise<boolean> {
    return this.machine
      .store()
      .markHealthy()
      .then(
        () => true,
        () => false,
      );
  }

  async live(): Promise<void> {
    if (this.updater) {
      await this.updater.tick();
      if (!this.updater) return;
      if (this.#pair.options.bad[this.name] === this.machine.running.version) this.down();
      else if (this.#isNew) this.#isNew = !(await this.#mark());
      return;
    }
    const comesBack = this.#comesBack;
    this.#comesBack = null;
    if (!comesBack) return;
    // Whoever had the power, has none: its last steps fail before the disk is used again.
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    rmSync(this.machine.place.lockFile, { force: true });
    this.machine.power = new Power();
    await comesBack();
    this.startProcess();
  }
}
