// Everything that goes wrong, one thing at a time. Which kinds a seed prefers, and how fast they follow each other, is drawn first:
// some lives see nothing but cut links, some everything at once.

import { ACTIONS } from '../../appliance/core/requests.ts';
import { someFault } from '../unit/appliance/some-fault.ts';
import { BLOCKS, offsetOf } from './mirror/medium.ts';
import type { CoServer } from './side.ts';
import type { World } from './world.ts';

type Fault = (world: World, s: CoServer) => void;

const FORCES: readonly string[] = ACTIONS.filter((a) => a.typed).map((a) => a.name);
const HARMLESS: readonly string[] = ACTIONS.filter((a) => !a.typed).map((a) => a.name);

const cutLinks: Fault = (world) => {
  const { links } = world.network;
  // Two liars at once are more than anybody promises: a cable that looks like a power-off beside a controller that lies about one.
  const mayPull = world.both.every((s) => s.bmc.mood !== 'lies' && !s.bmc.readsOff);
  const how = world.random.next();
  for (const l of world.random.chance(0.6) ? links : [world.random.pick(links)]) {
    if (how < 0.3 && mayPull) l.cable = false;
    else if (how < 0.6) l.fromA = false;
    else if (how < 0.9) l.fromB = false;
    if (how > 0.8) l.fromA = false;
  }
};

const mendLinks: Fault = (world) => {
  for (const l of world.random.chance(0.7) ? world.network.links : [world.random.pick(world.network.links)]) {
    l.cable = true;
    l.fromA = true;
    l.fromB = true;
  }
};

/** Both directions for a moment: shorter than a verdict, or just about as long. */
const blink: Fault = (world) => {
  const { network, random } = world;
  for (const l of network.links) l.fromA = false;
  world.later(random.between(5, 700), () => {
    for (const l of network.links) l.fromA = true;
    network.changed();
  });
};

const management: Fault = (world) => {
  const { network, random } = world;
  network.management = random.chance(0.6);
  network.loss = random.pick([0, 0.1, 0.5]);
  network.doubled = random.pick([0, 0.3]);
  network.lateMs = random.pick([10, 100, 2_000]);
};

const FAULTS: Record<string, readonly [weight: number, fault: Fault]> = {
  'loss of power': [6, (_, s) => s.powerOff('power button')],
  'loss of mains': [
    3,
    (_, s) => {
      s.acLost = true;
      s.powerOff('no mains');
    },
  ],
  'loss of power on both': [
    1.5,
    (world) => {
      for (const s of world.both) world.later(world.random.between(0, 400), () => world.isQuiet || s.powerOff('power cut'));
    },
  ],
  'power back': [
    10,
    (world, s) => {
      for (const side of world.random.chance(0.5) ? world.both : [s]) {
        side.acLost = false;
        side.powerOn();
      }
    },
  ],
  'crash of the process': [4, (_, s) => s.crash('killed')],
  'ended in order': [2, (_, s) => s.at(0, () => s.feed({ kind: 'stopRequested' }))],
  'crash at a command': [
    6,
    (world, s) => {
      s.crashIn = Math.floor(world.random.between(1, 9));
    },
  ],
  'links cut': [8, cutLinks],
  'links mended': [9, mendLinks],
  'links lost for a moment': [4, blink],
  'corrupt frames': [
    2,
    // A frame whose MAC does not fit is dropped: for a moment nothing valid comes from one side.
    (world) => {
      const { network, random } = world;
      const from = random.pick(['fromA', 'fromB'] as const);
      for (const l of network.links) l[from] = false;
      world.later(random.between(5, 400), () => {
        for (const l of network.links) l[from] = true;
        network.changed();
      });
    },
  ],
  'slow links': [
    2,
    (world) => {
      world.network.delayMs = world.random.pick([0, 0, 30, 250]);
    },
  ],
  standstill: [5, (world, s) => s.sleep(world.random.pick([50, 350, 700, 3_000, 6_000, 20_000]))],
  'engine death': [3, (world, s) => world.guests.engineDies(s, world.random.pick(['crash', 'crash', 'guestPanic', 'guestShutdown']))],
  'broken replica': [3, (world, s) => world.guests.breakReplica(s)],
  'stalled checkpoint': [2, (world, s) => world.guests.stall(s)],
  'management network': [3, management],
  'witness unreachable': [
    5,
    (world, s) => {
      world.witness.reach[s.name] = world.random.chance(0.4);
    },
  ],
  'witness off or on': [4, (world) => world.witness.setUp(world.random.chance(0.5))],
  'witness restarted': [2, (world) => world.witness.fault('restart')],
  'witness forgets': [1.5, (world) => world.witness.fault('forget')],
  'witness backed up': [1.5, (world) => world.witness.fault(world.random.pick(['backUp', 'image']))],
  'witness restored': [1.5, (world) => world.witness.fault(world.random.pick(['restoreDisk', 'restoreImage']))],
  'management controller': [
    4,
    (world, s) => {
      const mayLie = world.network.links.every((l) => l.cable);
      const mood = world.random.pick(['honest', 'honest', 'lies', 'hangs', 'unplugged'] as const);
      s.bmc.mood = mood === 'lies' && !mayLie ? 'hangs' : mood;
    },
  ],
  // One switch carried them all, and nobody gets an answer about anything.
  'links and controllers at once': [
    2,
    (world) => {
      if (!world.network.links.every((l) => l.cable)) return;
      for (const l of world.network.links) {
        l.fromA = world.random.chance(0.3);
        l.fromB = false;
      }
      for (const s of world.both) s.bmc.mood = world.random.pick(['honest', 'lies', 'lies', 'hangs', 'unplugged']);
    },
  ],
  'disk failed': [
    1.5,
    (world, s) => {
      if (!s.running || s.disk.failed) return;
      s.disk.failed = true;
      world.checkers.failed(s);
      s.at(world.random.between(0, 500), () => world.isQuiet || s.feed({ kind: 'diskFailed', reason: 'I/O error' }));
    },
  ],
  'slow disk': [
    2,
    (world, s) => {
      s.disk.slowMs = world.random.pick([0, 30, 400, 2_500]);
    },
  ],
  // It answers nothing for a while; longer than the mirror waits is a failure.
  'hung disk': [
    2,
    (world, s) => {
      s.copy.hangsUntil = world.now + world.random.pick([200, 1_500, 3_000, 10_000]);
    },
  ],
  // It answers a flush and does nothing. Only the other copy saves what it loses with the power.
  'lying disk': [
    1.5,
    (world, s) => {
      s.copy.medium.liesOnFlush = world.random.chance(0.5);
    },
  ],
  // Both slots of what the copy knows of itself: what it missed is not known any more.
  "copy's record lost": [
    0.4,
    (_, s) => {
      if (!s.running) s.copy.loseRecord();
    },
  ],
  'full disk': [
    1,
    (world, s) => {
      s.disk.full = true;
      world.later(world.random.between(100, 4_000), () => {
        s.disk.full = false;
      });
    },
  ],
  'slot damaged': [
    1,
    (world, s) => {
      if (s.disk.isMirrored) s.disk.slots[world.random.chance(0.5) ? 0 : 1] = 'damaged';
    },
  ],
  'record lost': [
    0.3,
    (world, s) => {
      if (s.powered) return;
      s.disk.slots[0] = 'damaged';
      s.disk.slots[1] = 'damaged';
      world.checkers.forced = true;
    },
  ],
  'misdirected write': [
    1,
    (world, s) => {
      if (world.random.chance(0.7)) s.copy.medium.misdirects = true;
      else if (world.random.chance(0.5) && s.copy.metadataMedium.isMirrored) s.copy.metadataMedium.damage(world.random.chance(0.5) ? 0 : 1);
      else if (s.disk.isMirrored) s.disk.slots[world.random.chance(0.5) ? 0 : 1] = 'damaged';
    },
  ],
  'software update': [
    1,
    (world, s) => {
      world.versions[s.name] = world.random.pick(['1', '2']);
      s.crash('new software');
    },
  ],
  'bit rot': [
    2,
    (world, s) => {
      const block = Math.floor(world.random.between(0, BLOCKS));
      s.copy.medium.rot(block);
      world.tell(() => `block ${block} of ${s.name} rots`);
      world.later(world.random.between(10, 3_000), () => scrub(world, block));
    },
  ],
  'clock jump': [1, (world, s) => s.at(0, () => s.feed({ kind: 'clockJumped', byMs: world.random.between(-1e6, 1e6) }))],
  'business network': [
    2,
    (world, s) => {
      const up = world.random.chance(0.4);
      s.businessUp = up;
      s.at(0, () => s.feed({ kind: 'businessNicObserved', up }));
    },
  ],
  'mains or battery': [
    2,
    (world, s) => {
      const onBattery = world.random.chance(0.5);
      const low = onBattery && world.random.chance(0.4);
      for (const side of world.random.chance(0.6) ? world.both : [s])
        side.at(world.random.between(0, 300), () => world.isQuiet || side.feed({ kind: 'upsObserved', onBattery, low }));
    },
  ],
  'early sign of failure': [
    1.5,
    (world, s) => {
      const faults = world.random.chance(0.5) ? [someFault('fanSlow', 'FAN1')] : [];
      s.at(0, () => s.feed({ kind: 'faultsObserved', faults }));
    },
  ],
  'uncorrectable error': [
    0.7,
    (_, s) => s.at(0, () => s.feed({ kind: 'faultsObserved', faults: [someFault('memoryUncorrected', 'DIMM 3')] })),
  ],
  operator: [3, (world, s) => request(world, s, world.random.pick(HARMLESS))],
  'operator uses force': [
    0,
    (world, s) => {
      for (const side of world.random.chance(0.4) ? world.both : [s]) request(world, side, world.random.pick(FORCES));
    },
  ],
  differences: [
    1,
    (world, s) => {
      const agreed = Math.floor(world.random.between(0, 60));
      for (let i = 0; i < 8; i++) s.at(i * 900, () => s.feed({ kind: 'comparisonObserved', agreed, waited: 20, asked: 10 }));
    },
  ],
};

function request(_world: World, s: CoServer, action: string): void {
  s.at(0, () => s.feed({ kind: 'operatorRequested', action }));
}

/** Both copies of a block are read and compared by the side that serves the guest. */
function scrub(world: World, block: number): void {
  const offset = offsetOf(block);
  const s = world.both.find((side) => side.isAwake && side.state.phase.kind === 'duplex');
  if (!s) return;
  const own = s.copy.isBad(block);
  const partner = s.partner.copy.isBad(block);
  if (own && partner) s.feed({ kind: 'copiesDiffer', offset, fits: 'neither' });
  else if (own || partner)
    s.feed(
      world.random.chance(0.5)
        ? { kind: 'copiesDiffer', offset, fits: own ? 'partner' : 'own' }
        : { kind: 'blockUnreadable', offset, side: own ? 'own' : 'partner' },
    );
}

/** What makes the arbiters come and go, and what makes the answers late. */
const CHURN: Readonly<Record<string, number>> = {
  'witness off or on': 8,
  'witness unreachable': 2,
  'management controller': 2,
  'slow disk': 3,
  'slow links': 1,
  'crash at a command': 0.3,
  'links cut': 0.3,
  'links mended': 1,
  'power back': 0.5,
};

const NAMES = Object.keys(FAULTS);
const BY_INDEX = Object.values(FAULTS);
const FORCE = NAMES.indexOf('operator uses force');

/** What this life suffers from: a few kinds more than the others. */
export function appetite(world: World, mayForce: boolean): () => void {
  const { random } = world;
  const focus = random.pick([1, 4, 10]);
  let total = 0;
  /** Where the share of each kind ends. */
  const ends = BY_INDEX.map(([plain], i) => {
    const weight = world.isChurn ? (CHURN[NAMES[i] ?? ''] ?? 0) : i === FORCE ? (mayForce ? 8 : 0) : plain;
    total += !world.isChurn && i !== FORCE && random.chance(0.3) ? weight * focus : weight;
    return total;
  });
  return () => {
    const at = random.between(0, total);
    const index = ends.findIndex((end) => at < end);
    const s = random.pick(world.both);
    world.tell(() => `fault: ${NAMES[index]} (${s.name})`);
    world.count(NAMES[index] ?? '');
    BY_INDEX[index]?.[1](world, s);
    world.network.changed();
  };
}
