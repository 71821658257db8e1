// One seed, one life of a pair: faults of every kind at random moments, then quiet. In the quiet duplex must return.
import { Violation } from './checkers.ts';
import { appetite } from './faults.ts';
import { attend, mend } from './operator.ts';
import { type Mutant, World } from './world.ts';

export interface Outcome {
  seed: number;
  violation: string | null;
  story: string[];
  /** Of faults, of the operator's help, of what was observed. */
  counts: ReadonlyMap<string, number>;
  /** The operator had to force a start, and had done no harm before. */
  needed: boolean;
  faults: number;
  steps: number;
  simulatedMs: number;
}

/** More in one life would only take longer. */
const FAULTS_LIMIT = 100;
const QUIET_MS = 240_000;
/** For the writes that are under way, and a checkpoint. */
const SETTLE_MS = 10_000;

export function runSeed(seed: number, mutant?: Mutant, keepStory = false): Outcome {
  const world = new World(seed, mutant, keepStory);
  const { random } = world;
  let violation: string | null = null;
  let faults = 0;
  try {
    // Most lives begin well; some never get that far before the first fault.
    if (random.chance(0.75)) world.runUntil(30_000, () => world.isDuplex);
    else world.runUntil(random.between(0, 8_000));
    const fault = appetite(world, random.chance(0.12));
    const pause = world.isChurn ? random.pick([500, 1_000, 2_000]) : random.pick([100, 500, 2_000, 6_000]);
    const end = world.now + random.pick([3_000, 8_000, 20_000, 60_000]);
    while (world.now < end && faults < FAULTS_LIMIT) {
      fault();
      faults++;
      world.runUntil(world.now + random.between(1, pause));
    }
    world.tell(() => '--- quiet: everything is mended');
    mend(world);
    attend(world);
    world.runUntil(world.now + QUIET_MS, () => world.isDuplex);
    if (world.checkers.isAllLost) world.count('no copy left');
    else if (!world.isDuplex) {
      const { A, B } = world.sides;
      throw new Violation(`no duplex ${QUIET_MS / 1000} s after the last fault: A ${A.state.phase.kind}, B ${B.state.phase.kind}`);
    }
    world.runUntil(world.now + 1_500);
    if (world.isDuplex) settle(world);
  } catch (e) {
    // Whatever the core throws ends the process in the product: here it is found.
    violation = e instanceof Violation ? e.message : `thrown: ${(e as Error).stack ?? String(e)}`;
    world.tell(() => `VIOLATION: ${violation}`);
  }
  return {
    seed,
    violation,
    story: world.story,
    counts: world.counts,
    needed: world.needed,
    faults,
    steps: world.steps,
    simulatedMs: world.now,
  };
}

/** The guest writes no more: everything is answered, and both copies are equal. */
function settle(world: World): void {
  world.isIdle = true;
  const { A, B } = world.sides;
  world.runUntil(world.now + SETTLE_MS, () => A.diskGuest.isIdle && B.diskGuest.isIdle);
  if (!world.isDuplex) return;
  if (!A.diskGuest.isIdle || !B.diskGuest.isIdle)
    throw new Violation(`mirror: the guest has waited for its disk for ${SETTLE_MS / 1000} s`);
  world.checkers.mirror.equal(A.state.phase.kind === 'duplex' ? A : B);
}
