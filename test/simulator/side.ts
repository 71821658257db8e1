// One CoServer: a server that has power or not, a process on it that lives or not, the real core in that process, and the pump that
// feeds it (as appliance/runtime/pump.ts does: an event is stepped at once, the commands are obeyed in order behind barriers).
import { type Command, dueAt, type Event, initialState, type PartnerStatus, type State, statusOf } from '../../appliance/core/machine.ts';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { NewEvent } from '../../appliance/runtime/pump.ts';
import { Bmc } from './bmc.ts';
import { Disk } from './disk.ts';
import { Effect, obey } from './effects.ts';
import type { Gate, Replica } from './guests.ts';
import { Copy } from './mirror/copy.ts';
import { DiskGuest } from './mirror/guest.ts';
import type { World } from './world.ts';

const REMIND_EVERY_MS = 500;

export class CoServer {
  readonly name: CoServerName;
  readonly disk = new Disk();
  readonly bmc: Bmc;
  readonly copy: Copy;
  /** What the replica here does with its disk. */
  readonly diskGuest: DiskGuest;
  /** Switched on, with mains. */
  powered = true;
  acLost = false;
  /** The CoServer's process lives. */
  running = false;
  /** The whole server stands still: nothing runs, memory is kept. */
  asleep = false;
  /** Counts the lives of the process, and those of the server. */
  life = 0;
  boots = 0;
  state: State;
  /** What was last handed to the transport, and when it went out. */
  said: PartnerStatus;
  saidAt = 0;
  gate: Gate = 'closed';
  guest: Replica | null = null;
  /** Ends what a phase that is over still does. */
  aborts: (() => void)[] = [];
  /** What was ordered last of what takes its time. */
  effect = overEffect();
  /** An opening of the gate that was ordered before this changed has no effect. */
  openings = 0;
  /** The mirror's target is open; the engine waits for the guest's memory. */
  targetOpen = false;
  incomingOpen = false;
  watchdog = false;
  /** The partner as it was when it was last ordered to be switched off. */
  fencing = { boots: 0, powered: true };
  businessUp = true;
  /** Dies at this command (counted down), before or after it was begun. */
  crashIn: number | null = null;
  readonly #world: World;
  #pending: Command[] = [];
  #blocked = false;
  #deferred: (() => void)[] = [];
  #dueArmed = 0;

  constructor(world: World, name: CoServerName) {
    this.#world = world;
    this.name = name;
    this.bmc = new Bmc(world, this);
    this.copy = new Copy(world, this);
    this.diskGuest = new DiskGuest(world, this);
    this.state = this.#newState(false);
    this.said = statusOf(this.state);
  }

  get partner(): CoServer {
    return this.#world.sides[this.name === 'A' ? 'B' : 'A'];
  }

  get isAwake(): boolean {
    return this.running && !this.asleep;
  }

  // ---- power and life

  powerOff(why: string): void {
    if (!this.powered) return;
    this.#world.tell(() => `${this.name} loses its power: ${why} (${this.state.phase.kind})`);
    this.powered = false;
    this.asleep = false;
    this.boots++;
    this.#deferred = [];
    this.#endProcess();
    this.endGuest();
    this.watchdog = false;
    this.disk.powerLost(this.#world.random);
    this.copy.powerLost();
    this.#world.checkers.powerLost(this);
    this.#world.network.changed();
  }

  powerOn(): void {
    if (this.powered || this.acLost) return;
    this.#world.tell(() => `${this.name} is switched on`);
    this.powered = true;
    this.bmc.poweredOn();
    this.#world.network.changed();
    this.#bootLater(this.#world.random.between(300, 3_000));
  }

  /** The process ends, and systemd starts it again. The engine may outlive it; nothing leaves meanwhile. */
  crash(why: string): void {
    if (!this.isAwake) return;
    this.#world.tell(() => `the process of ${this.name} ends: ${why} (${this.state.phase.kind})`);
    this.#endProcess();
    this.disk.processEnded(this.#world.random);
    this.#world.network.changed();
    this.#bootLater(this.#world.random.between(200, 1_500));
  }

  endGuest(): void {
    this.guest = null;
    this.diskGuest.forget();
  }

  #endProcess(): void {
    this.#world.checkers.failed(this);
    this.running = false;
    this.life++;
    this.gate = 'closed';
    this.openings++;
    this.aborts = [];
    this.effect = overEffect();
    this.targetOpen = false;
    this.incomingOpen = false;
    this.crashIn = null;
    this.#pending = [];
    this.#blocked = false;
    this.#dueArmed = 0;
    // A replica's engine outlives it too, and is worth nothing without what this process knew of its disk.
    if (this.guest?.role === 'secondary') this.guest = null;
    if (!this.guest) this.diskGuest.forget();
    this.copy.ended();
    this.#world.witness.ended(this);
    this.#world.guests.ended(this);
    this.#world.network.reset();
  }

  #bootLater(ms: number): void {
    const { life } = this;
    this.#world.later(ms, () => {
      if (this.life === life && this.powered && !this.running) this.boot();
    });
  }

  boot(): void {
    const record = this.disk.failed ? null : this.disk.read();
    if (!record) {
      this.#world.tell(() => `${this.name} does not start: its record cannot be read`);
      this.#world.count('no start without a record');
      return;
    }
    const adoptable = this.guest !== null && (record.standing === 'simplex' || record.standing === 'duplexPrimary');
    if (!adoptable) this.endGuest();
    this.running = true;
    this.state = this.#newState(adoptable);
    this.#world.tell(() => `${this.name} starts (record ${record.standing} at ${record.generation}, ${record.arbiter})`);
    this.said = statusOf(this.state);
    this.saidAt = this.#world.now;
    this.businessUp = true;
    this.#world.checkers.booted(this);
    this.#tick();
    this.#fencePath();
    this.#world.network.changed();
    if (this.partner.running) {
      const { partner } = this;
      const { life } = partner;
      partner.at(this.#world.random.between(20, 300), () => {
        if (partner.life === life && this.#world.network.passes && partner.state.partnerHeard) partner.feed({ kind: 'partnerRestarted' });
      });
    }
  }

  #newState(adoptable: boolean): State {
    const world = this.#world;
    return initialState({
      me: this.name,
      incarnation: `${this.name}${++world.serial}`,
      pairId: 'p',
      version: world.versions[this.name],
      record: this.disk.durable,
      links: 2,
      now: world.now,
      adoptable,
      canCompare: world.canCompare,
      arbiters: world.arbiters,
      level: world.level,
      compatibleVersions: [],
      timing: world.timing,
    });
  }

  /** Stands still for a while: everything that comes waits. A watchdog that is armed ends it. */
  sleep(ms: number): void {
    if (!this.running || this.asleep) return;
    const world = this.#world;
    world.tell(() => `${this.name} stands still for ${ms.toFixed(0)} ms (${this.state.phase.kind})`);
    this.asleep = true;
    world.checkers.failed(this);
    world.network.changed();
    const { life } = this;
    if (this.watchdog && ms > world.watchdogMs)
      world.later(world.watchdogMs, () => {
        if (this.life !== life || !this.asleep) return;
        world.count('watchdog reset');
        this.powerOff('ended by its watchdog');
        this.powerOn();
      });
    world.later(ms, () => {
      if (this.life === life && this.asleep) this.#wake(ms);
    });
  }

  #wake(ms: number): void {
    this.#world.tell(() => `${this.name} wakes`);
    this.asleep = false;
    // Its guest goes on at once; the news of what happened meanwhile is read a moment later.
    this.#world.guests.wakes(this);
    const late = () => this.feed({ kind: 'lateTick', lateMs: ms });
    const first = this.#world.random.chance(0.5);
    if (first) late();
    const waiting = this.#deferred;
    this.#deferred = [];
    for (const run of waiting) {
      if (this.asleep) this.#deferred.push(run);
      else run();
    }
    if (!first) late();
    this.#world.network.changed();
  }

  // ---- time

  /** In this life of the process; when it stands still, as soon as it wakes. */
  at(ms: number, run: () => void): void {
    const { life } = this;
    const attempt = (): void => {
      if (this.life !== life || !this.running) return;
      if (this.asleep) this.#deferred.push(attempt);
      else run();
    };
    this.#world.later(ms, attempt);
  }

  #tick(): void {
    const world = this.#world;
    const again = (): void => {
      world.witness.tend(this);
      this.feed({ kind: 'tick' });
      if (this.running && world.now - this.saidAt >= REMIND_EVERY_MS - 1) world.network.say(this, !world.network.isConnected);
      this.at(world.tickMs, again);
    };
    this.at(world.random.between(0, world.tickMs), again);
  }

  /** The partner's BMC is read on a schedule, whatever else happens. */
  #fencePath(): void {
    const world = this.#world;
    if (!world.arbiters.fence) return;
    const again = (): void => {
      const { proven, reason } = this.partner.bmc.observe(this);
      if (this.state.fence.ok !== proven || this.state.fence.reason === 'not asked yet')
        this.feed({ kind: 'fencePathObserved', proven, reason });
      this.at(world.speeds.bmc * 5_000, again);
    };
    this.at(world.random.between(50, 1_000), again);
  }

  // ---- the pump

  feed(event: NewEvent): void {
    if (!this.running) return;
    if (this.asleep) {
      this.#deferred.push(() => this.feed(event));
      return;
    }
    const world = this.#world;
    const before = this.state;
    const { state, commands } = world.step(before, { ...event, at: world.now } as Event);
    world.steps++;
    this.state = state;
    if (before.phase.kind !== state.phase.kind)
      world.tell(() => `${this.name}: ${before.phase.kind} -> ${state.phase.kind}${state.phase.note ? ` (${state.phase.note})` : ''}`);
    world.checkers.stepped(this, before, event, commands);
    this.#armDue();
    if (before.record !== state.record || before.phase !== state.phase) world.witness.changed(this);
    if (commands.length > 0) {
      this.#pending.push(...commands);
      this.#obeyAll();
    }
  }

  /** Between two ticks, when the core waits for a moment. */
  #armDue(): void {
    const due = dueAt(this.state);
    if (due === null || due === this.#dueArmed) return;
    this.#dueArmed = due;
    this.at(Math.max(1, Math.ceil(due - this.#world.now)), () => {
      this.#dueArmed = 0;
      this.feed({ kind: 'tick' });
    });
  }

  #obeyAll(): void {
    while (!this.#blocked && this.#pending.length > 0) {
      const command = this.#pending.shift();
      if (!command || !this.running) return;
      const isLast = this.crashIn !== null && --this.crashIn <= 0;
      if (isLast && this.#world.random.chance(0.5)) {
        this.#die(command.kind, 'before');
        return;
      }
      const { life } = this;
      const blockedMs = obey(this.#world, this, command);
      if (this.life !== life) return;
      if (isLast) {
        const dieIn = this.#world.random.between(0, blockedMs || 5);
        this.at(dieIn, () => this.#die(command.kind, 'in'));
      }
      if (blockedMs > 0 && !(command.kind === 'persist' && this.#world.flaws.persistIsNoBarrier)) {
        this.#blocked = true;
        this.at(blockedMs, () => {
          this.#blocked = false;
          this.#obeyAll();
        });
      }
    }
  }

  #die(command: string, when: string): void {
    this.crashIn = null;
    this.#world.count('crash at a command');
    if (this.#world.random.chance(0.5)) this.powerOff(`${when} ${command}`);
    else this.crash(`${when} ${command}`);
  }
}

function overEffect(): Effect {
  const effect = new Effect();
  effect.end();
  return effect;
}
