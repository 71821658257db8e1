// What each command of the core does to the models: how long it takes, when it fails, what it leaves behind when it is cut short.
// Which may run beside which is as in appliance/runtime/effects/obey.ts.
import type { Command } from '../../appliance/core/machine.ts';
import type { Ended } from './mirror/copy.ts';
import { blockAt } from './mirror/medium.ts';
import type { CoServer } from './side.ts';
import type { World } from './world.ts';

/** Obeys one command; the ms for which what stands behind it must wait. */
export function obey(world: World, s: CoServer, c: Command): number {
  const { random, speeds } = world;
  const p = s.partner;
  switch (c.kind) {
    case 'record':
      if (c.row !== null) world.count(rowName(c.row));
      world.tell(() => `${s.name} notes: ${c.row ? `[${c.row}] ` : ''}${c.text}`);
      return 0;
    case 'persist':
      return persist(world, s, c.record);
    case 'freeze':
      s.openings++;
      if (!world.flaws.freezeDoesNothing && s.gate !== 'closed') s.gate = 'frozen';
      return random.chance(0.5) ? 0 : random.between(0.1, 2);
    case 'say':
      s.said = c.status;
      world.checkers.said(s, c.status);
      world.network.say(s, true);
      return 0;
    case 'incident':
      world.tell(() => `${s.name} found: ${c.sentence}`);
      return 0;
    case 'claim':
      world.witness.claim(s, c.generation);
      return 0;
    case 'fence':
      fence(s);
      return 0;
    case 'powerOnPartner':
      p.bmc.switchOn(s, (ok, reason) => s.feed({ kind: 'commandFinished', command: 'powerOnPartner', ok, reason }));
      return 0;
    case 'armWatchdog':
      s.watchdog = c.armed && !world.flaws.watchdogNotArmed;
      return 0;
    case 'startGuest':
    case 'adoptGuest': {
      const isAdopted = c.kind === 'adoptGuest';
      const opening = s.openings;
      const ms = isAdopted ? 40 : random.between(300, 3_000) * speeds.guest;
      const serve = (ended: Ended): void => s.copy.serveSolo(ended);
      const steps: Step[] = isAdopted ? [serve] : [(ended) => s.copy.close(ended), serve];
      phaseSteps(world, s, c, ms, steps, () => {
        if (s.disk.failed || s.openings !== opening) return false;
        if (isAdopted && !s.guest) return false;
        if (!isAdopted && random.chance(speeds.failure)) return false;
        if (isAdopted && s.guest) {
          s.guest.role = 'alone';
          s.guest.paused = false;
          world.checkers.served(s, s.guest.deed);
        } else {
          world.checkers.started(s);
          world.checkers.mirror.started(s);
          s.guest = { role: 'alone', deed: s.disk.content, paused: false, brokenAt: null };
        }
        open(world, s);
        if (isAdopted) s.diskGuest.resumes();
        return true;
      });
      return 0;
    }
    case 'openTarget':
      phaseSteps(world, s, c, random.between(20, 200), [(ended) => s.copy.startTarget(ended)], () => {
        if (s.disk.failed || random.chance(speeds.failure)) return false;
        s.targetOpen = true;
        s.endGuest();
        return true;
      });
      return 0;
    case 'resync':
      resync(world, s, p, c);
      return 0;
    case 'openIncoming':
      phaseSteps(world, s, c, random.between(20, 200), [(ended) => s.copy.startReplica(ended)], () => {
        s.incomingOpen = s.targetOpen && !random.chance(speeds.failure);
        return s.incomingOpen;
      });
      return 0;
    case 'protect':
      protect(world, s, p, c);
      return 0;
    case 'confirmCopy': {
      const { session } = world.guests;
      phaseWork(world, s, c, random.between(1, 20), () => {
        const isEqual = s.copy.mode === 'target' && s.copy.opened?.isEqual === true;
        return isEqual && session !== null && world.guests.session === session && session.secondary === s;
      });
      return 0;
    }
    case 'releaseReady':
      phaseWork(world, s, c, random.between(5, 60), () => {
        if (!world.network.isConnected || world.network.connection !== world.guests.copiedOver) return false;
        if (!s.guest || p.guest?.role !== 'secondary') return false;
        s.guest.paused = false;
        s.gate = 'holding';
        world.guests.begin(s, p);
        world.network.send(s, () => p.feed({ kind: 'intervalsStarted' }));
        return true;
      });
      return 0;
    case 'takeOver':
      world.checkers.takesOver(s);
      exclusive(world, s, c, random.between(5, 120), [(ended) => s.copy.takeOver(ended)], (isVoid) => {
        if (isVoid || s.guest?.role !== 'secondary' || random.chance(speeds.failure)) return false;
        s.guest.role = 'alone';
        world.checkers.mirror.tookOver(s);
        s.guest.paused = false;
        s.disk.content = s.guest.deed;
        world.checkers.served(s, s.guest.deed);
        open(world, s);
        return true;
      });
      return 0;
    case 'continueAlone':
    case 'abandonPartner':
      exclusive(world, s, c, random.between(5, 120), [(ended, isVoid) => goSolo(s, ended, isVoid)], (isVoid) => {
        if (isVoid || !s.guest) return false;
        s.guest.role = 'alone';
        s.guest.paused = false;
        if (c.kind === 'continueAlone') world.checkers.served(s, s.guest.deed);
        open(world, s);
        return true;
      });
      return 0;
    case 'stopAll':
      s.endGuest();
      s.targetOpen = false;
      s.incomingOpen = false;
      exclusive(world, s, c, random.between(5, 120), [(ended) => s.copy.close(ended)], () => {
        s.endGuest();
        s.gate = 'closed';
        return !random.chance(speeds.failure);
      });
      return 0;
    case 'leaveLockstep':
      world.guests.end();
      p.copy.interval = 0;
      phaseSteps(
        world,
        s,
        c,
        random.between(10, 100),
        [(ended) => (s.copy.mode === 'replica' ? s.copy.collapse(ended) : ended(true))],
        () => {
          if (!world.network.isConnected) return false;
          s.endGuest();
          s.gate = 'closed';
          s.disk.content = p.disk.content;
          s.disk.flushed = p.disk.flushed;
          return true;
        },
      );
      return 0;
    case 'shutDownGuest':
      phaseWork(world, s, c, random.between(300, 2_000), () => {
        if (!s.guest || random.chance(speeds.failure)) return false;
        s.disk.flushed = s.disk.content;
        world.guests.engineDies(s, 'guestShutdown');
        return true;
      });
      return 0;
    case 'keepHistory':
      phaseSteps(
        world,
        s,
        c,
        random.between(50, 1_500) * speeds.copy,
        [(ended) => s.copy.open(ended), (ended) => s.copy.close(ended)],
        () => {
          if (s.disk.failed || random.chance(speeds.failure)) return false;
          world.checkers.kept(s);
          return true;
        },
      );
      return 0;
    case 'repairBlock':
      world.checkers.repairs(s, c.offset, c.from);
      s.copy.repair(blockAt(c.offset), c.from);
      return 0;
    case 'quarantineBlock':
      world.checkers.quarantines(c.offset);
      return 0;
    case 'adoptDisk':
      phaseWork(world, s, c, 10, () => true);
      return 0;
    case 'chooseBlock':
    case 'scrub':
    case 'redirectNetwork':
      return 0;
    case 'lendNetwork':
      return 0;
    case 'setMode':
      return 0;
    case 'endProcess':
      s.crash('as it was asked to');
      return 0;
    case 'endServer':
      s.powerOff('it ends itself');
      s.powerOn();
      return 0;
    default:
      c satisfies never;
      return 0;
  }
}

const ROW_NAMES = new Map<string, string>();

function rowName(row: string): string {
  let name = ROW_NAMES.get(row);
  if (name === undefined) {
    name = `row ${row} applied`;
    ROW_NAMES.set(row, name);
  }
  return name;
}

/** As the record's store does: one slot, flushed; then it counts; then the other slot. */
function persist(world: World, s: CoServer, record: World['sides']['A']['state']['record']): number {
  const { random } = world;
  const { disk } = s;
  if (disk.full || disk.failed) {
    s.at(1, () => s.crash('its record cannot be written'));
    return 1_000;
  }
  const ms = random.between(0.5, 20) + disk.slowMs;
  if (record.generation < disk.durable.generation) {
    s.at(1, () => s.crash('a generation would shrink'));
    world.checkers.shrank(s, record);
    return 1_000;
  }
  disk.beginWrite();
  const { life } = s;
  // The disk does what it was told, also when the process that told it stands still.
  world.later(ms * 0.9, () => {
    if (s.life !== life) return;
    const before = disk.durable;
    disk.endWrite(record);
    world.checkers.recorded(s, before, record);
    world.later(random.between(0.5, 10) + disk.slowMs / 2, () => {
      if (s.life === life && !disk.full && disk.durable === record) disk.copySlot(record);
    });
  });
  return ms;
}

/** What is under way: the next work of a phase begins when it is over. */
export class Effect {
  #isOver = false;
  readonly #waiting: (() => void)[] = [];

  whenOver(run: () => void): void {
    if (this.#isOver) run();
    else this.#waiting.push(run);
  }

  end(): void {
    this.#isOver = true;
    for (const run of this.#waiting.splice(0)) run();
  }
}

/** A command of the mirror, or of what else takes its time. */
type Step = (ended: Ended, isVoid: () => boolean) => void;

function phaseWork(world: World, s: CoServer, c: Command, ms: number, work: () => boolean): void {
  phaseSteps(world, s, c, ms, [], work);
}

/** Work that belongs to a phase: cut short when something exclusive begins. What the mirror has begun by then it ends. */
function phaseSteps(world: World, s: CoServer, c: Command, ms: number, steps: readonly Step[], work: () => boolean): void {
  let isOver = false;
  const end = (ok: boolean, reason: string): void => {
    isOver = true;
    s.feed({ kind: 'commandFinished', command: c.kind, ok, reason });
  };
  const before = s.effect;
  const own = new Effect();
  s.effect = own;
  before.whenOver(() => {
    if (isOver) {
      own.end();
      return;
    }
    s.at(ms, () => {
      const isVoid = (): boolean => isOver;
      oneByOne(steps, isVoid, (isDone) => {
        own.end();
        if (isOver) return;
        const ok = isDone && work();
        if (s.running && !isOver) end(ok, ok ? '' : 'simulated failure');
      });
    });
  });
  s.aborts.push(() => {
    if (isOver) return;
    isOver = true;
    s.at(world.random.between(0, 40), () => end(false, 'overtaken by events'));
  });
  if (s.aborts.length > 8) s.aborts.shift();
}

/** Survival: waits for nothing that is under way. `isVoid`: output was withheld since, and must not be let out by this. */
function exclusive(world: World, s: CoServer, c: Command, ms: number, steps: readonly Step[], work: (isVoid: boolean) => boolean): void {
  for (const abort of s.aborts) abort();
  s.aborts = [];
  world.guests.leave(s);
  const opening = ++s.openings;
  const isVoid = (): boolean => s.openings !== opening;
  const own = new Effect();
  s.effect = own;
  s.at(ms, () => {
    oneByOne(
      steps,
      () => false,
      (isDone) => {
        own.end();
        const ok = isDone && work(isVoid());
        if (s.running) s.feed({ kind: 'commandFinished', command: c.kind, ok, reason: ok ? '' : 'simulated failure' });
      },
      isVoid,
    );
  });
}

/** Until one fails, or what they are for is over. */
function oneByOne(steps: readonly Step[], isOver: () => boolean, ended: Ended, isVoid = isOver): void {
  let i = 0;
  const next = (ok: boolean): void => {
    const step = ok && !isOver() ? steps[i++] : undefined;
    if (step) step(next, isVoid);
    else ended(ok);
  };
  next(true);
}

/** Nothing of the disk is released when output was withheld again since. */
function goSolo(s: CoServer, ended: Ended, isVoid: () => boolean): void {
  if (isVoid()) ended(false);
  else if (s.copy.mode === 'source') s.copy.goSolo(ended);
  else ended(true);
}

/** The gate lets everything out, unless something was withheld since. */
function open(world: World, s: CoServer): void {
  s.gate = 'solo';
  world.checkers.opened(s);
  s.diskGuest.opened();
}

function resync(world: World, s: CoServer, p: CoServer, c: Command): void {
  const { random, speeds, network } = world;
  const { connection } = network;
  world.checkers.resyncs(s);
  const target = p.life;
  const steps: Step[] = [(ended) => s.copy.startSource(ended), (ended) => s.copy.resync(ended)];
  phaseSteps(world, s, c, random.between(20, 200) * speeds.copy, steps, () => {
    if (!network.isConnected || network.connection !== connection || p.life !== target || !p.targetOpen || p.disk.whole) return false;
    if (s.disk.failed || p.disk.failed || random.chance(speeds.failure)) return false;
    p.disk.content = s.disk.content;
    p.disk.flushed = s.disk.content;
    p.disk.whole = true;
    if (world.level === 3) return true;
    // Every write goes to both from here on. The partner has no guest: what stands for one is what it would be started from.
    if (!s.guest) return false;
    p.disk.content = s.guest.deed;
    p.guest = { role: 'secondary', deed: s.guest.deed, paused: false, brokenAt: null };
    s.guest.role = 'primary';
    s.gate = 'holding';
    world.guests.begin(s, p);
    return true;
  });
}

/** Both hold the whole state of the guest at the end, which stands still from here to the first interval. */
function protect(world: World, s: CoServer, p: CoServer, c: Command): void {
  const { random, speeds, network } = world;
  const { connection } = network;
  const target = p.life;
  phaseWork(world, s, c, random.between(100, 2_500) * speeds.copy, () => {
    if (!network.isConnected || network.connection !== connection || p.life !== target || !p.incomingOpen || !s.guest) return false;
    if (s.disk.failed || p.disk.failed || random.chance(speeds.failure)) return false;
    s.guest.paused = true;
    s.guest.role = 'primary';
    s.gate = 'frozen';
    p.disk.content = s.disk.content;
    p.disk.flushed = s.disk.flushed;
    world.guests.copiedOver = connection;
    p.guest = { role: 'secondary', deed: s.guest.deed, paused: false, brokenAt: null };
    network.send(s, () => p.feed({ kind: 'readyHeld' }));
    s.feed({ kind: 'readyHeld' });
    return s.running;
  });
}

/** The partner's BMC is asked, and what it says is verified: also after this side has stopped to care. */
function fence(s: CoServer): void {
  const p = s.partner;
  s.fencing = { boots: p.boots, powered: p.powered };
  p.bmc.fence(s, (ok, reason) => s.feed({ kind: 'commandFinished', command: 'fence', ok, reason }));
}
