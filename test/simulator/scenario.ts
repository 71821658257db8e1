// One seed, one life of a pair: faults of every kind at random moments, then quiet. In the quiet duplex must return.

import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { type Mutant, Violation, World } from './world.ts';

export interface Outcome {
  seed: number;
  violation: string | null;
  story: string[];
}

const FAULTS_UNTIL_MS = 90_000;
const QUIET_MS = 180_000;
const NAMES = ['A', 'B'] as const;

export function runSeed(seed: number, mutant?: Mutant, keepStory = false): Outcome {
  const world = new World(seed, mutant, keepStory);
  const { random } = world;
  try {
    world.runUntil(random.between(500, 20_000));
    // Seeds differ in how much goes wrong at once: calm ones reach duplex before the fault that matters.
    const pause = random.pick([150, 1_500, 6_000, 15_000]);
    while (world.now < FAULTS_UNTIL_MS) {
      fault(world);
      world.runUntil(world.now + random.between(1, pause));
    }
    world.tell('--- quiet');
    for (const name of NAMES) {
      world.setWitness(name, true);
      world.powerOn(name);
    }
    for (const link of [0, 1]) world.setLink(link, true);
    world.runUntil(world.now + QUIET_MS, () => world.isDuplex);
    if (!world.isDuplex)
      throw new Violation(
        `no duplex ${QUIET_MS / 1000} s after the last fault: A ${world.sides.A.state.phase.kind}, B ${world.sides.B.state.phase.kind}`,
      );
    world.runUntil(world.now + 2_000);
    return { seed, violation: null, story: world.story };
  } catch (e) {
    if (!(e instanceof Violation)) throw e;
    world.tell(`VIOLATION: ${e.message}`);
    return { seed, violation: e.message, story: world.story };
  }
}

function fault(world: World): void {
  const { random } = world;
  const name: CoServerName = random.pick(NAMES);
  const kind = random.next();
  if (kind < 0.18) world.powerOff(name);
  else if (kind < 0.4) world.powerOn(name);
  else if (kind < 0.55) world.setLink(random.pick([0, 1]), random.chance(0.6));
  else if (kind < 0.62) for (const link of [0, 1]) world.setLink(link, false);
  else if (kind < 0.75) for (const link of [0, 1]) world.setLink(link, true);
  else if (kind < 0.83) world.freeze(name, random.pick([50, 400, 3_000]));
  else if (kind < 0.86) world.engineDies(name);
  else if (kind < 0.89) world.breakReplica(name);
  else world.setWitness(name, random.chance(0.7));
}
