// After the faults everything is mended, and a sensible operator looks at the pair now and then: he ends what he began (maintenance,
// a guest that is off), lets a partner rejoin, and chooses where the rules leave the choice to him. How often is counted.
import { mayRequest } from '../../appliance/core/requests.ts';
import type { CoServer } from './side.ts';
import type { World } from './world.ts';

/** He waits for so long before he uses force. */
const PATIENCE_MS = 45_000;

export function mend(world: World): void {
  world.isQuiet = true;
  if (world.versions.A !== world.versions.B) {
    world.versions.A = '2';
    world.versions.B = '2';
  }
  const { network, witness } = world;
  for (const l of network.links) {
    l.cable = true;
    l.fromA = true;
    l.fromB = true;
  }
  network.delayMs = 0;
  network.management = true;
  network.loss = 0;
  witness.reach.A = true;
  witness.reach.B = true;
  witness.setUp(true);
  for (const s of world.both) {
    s.crashIn = null;
    s.acLost = false;
    s.bmc.mood = 'honest';
    s.disk.failed = false;
    s.disk.full = false;
    s.disk.slowMs = 0;
    s.copy.medium.liesOnFlush = false;
    s.copy.medium.misdirects = false;
    s.copy.hangsUntil = 0;
    // A controller that lied still says off: it is set right by switching off and on.
    if (s.powered && s.bmc.readsOff) s.bmc.poweredOn();
    s.powerOn();
    s.at(0, () => s.feed({ kind: 'businessNicObserved', up: true }));
    s.at(0, () => s.feed({ kind: 'upsObserved', onBattery: false, low: false }));
    s.at(0, () => s.feed({ kind: 'faultsObserved', faults: [] }));
  }
  network.changed();
}

/** Looks every two seconds. */
export function attend(world: World): void {
  const began = world.now;
  const look = (): void => {
    for (const s of world.both) help(world, s);
    if (world.now - began > PATIENCE_MS) choose(world);
    world.later(2_000, look);
  };
  world.later(2_000, look);
}

function help(world: World, s: CoServer): void {
  const { disk } = s;
  s.powerOn();
  if (s.powered && !s.running && disk.read() === null && !disk.failed) {
    world.tell(() => `the operator moves the record of ${s.name} away`);
    world.count('operator: record moved away');
    disk.replace();
    world.checkers.replaced(s);
    s.boot();
    return;
  }
  if (s.powered && !s.running && s.life === world.lastLife[s.name]) s.boot();
  world.lastLife[s.name] = s.life;
  if (!s.isAwake) return;
  const { phase, record } = s.state;
  // The older one is updated.
  if (s.state.version !== world.versions[s.name]) {
    s.crash('new software');
    return;
  }
  if (record.maintenance) request(world, s, 'end-maintenance');
  else if (phase.kind === 'off' || phase.kind === 'failed' || phase.kind === 'frozen') request(world, s, 'start-guest');
  else if (s.state.quarantinedUntil !== null) request(world, s, 'let-rejoin');
  else if (s.state.diskFailed !== null && !s.disk.failed) request(world, s, 'try-disk');
}

/** Where the rules leave it to him: two histories, or two that wait. */
function choose(world: World): void {
  const { A, B } = world.sides;
  if (!A.isAwake || !B.isAwake) return;
  if (A.state.record.standing === 'simplex' && B.state.record.standing === 'simplex') {
    const loser = A.guest && !B.guest ? B : B.guest && !A.guest ? A : A.state.record.generation >= B.state.record.generation ? B : A;
    request(world, loser, 'give-up-history');
    return;
  }
  if (world.isDuplex || A.gate === 'solo' || B.gate === 'solo') return;
  const best = rank(A) >= rank(B) ? A : B;
  const action = best.state.record.standing === 'outdated' ? 'force-older-copy' : 'force-start';
  if (!mayRequest(best.state, action).allowed) return;
  if (!world.checkers.forced) {
    world.count('operator: force that no earlier force explains');
    world.needed = true;
  }
  request(world, best, action);
}

/** The newest generation, and in it the one that could have gone furthest. */
function rank(s: CoServer): number {
  const { generation, standing, wasPrimary } = s.state.record;
  const order = ['inconsistent', 'fresh', 'outdated', 'duplexSecondary', 'duplexPrimary', 'simplex'].indexOf(standing);
  return order <= 1 ? order - 10 : generation * 10 + order + (wasPrimary ? 0.5 : 0);
}

function request(world: World, s: CoServer, action: string): void {
  world.tell(() => `the operator asks ${s.name}: ${action}`);
  world.count(`operator: ${action}`);
  s.feed({ kind: 'operatorRequested', action });
}
