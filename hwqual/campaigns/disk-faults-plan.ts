// Which faults a campaign against the mirror causes, in which order, when: drawn from a seed, so that the same seed gives the same
// campaign. Every kind comes as often as every other (they are drawn from a bag that is filled again when it is empty). Pure.
import { seededDice } from '../lab/power-loss.ts';
import type { LinkNumber } from './lab-control.ts';

/** `lost`: whoever does not run the workload at that moment. Only such a fault can come while one copy is not up to date. */
export type Side = 'primary' | 'secondary' | 'lost';

/** `hang` lasts until the pair has given the disk up, `pause` is over before; `rot` changes what was written, and nothing tells it. */
const DISK_TROUBLES = ['write-error', 'flush-error', 'hang', 'pause', 'full', 'slow', 'read-error', 'rot'] as const;
export type DiskTrouble = (typeof DISK_TROUBLES)[number];

export type DiskFault =
  | { kind: 'killProduct' | 'killEngine' | 'powerOff' | 'freeze' | 'freezeProduct'; side: Side }
  | { kind: 'cutLink'; link: LinkNumber }
  | { kind: 'cutBothLinks' }
  | { kind: 'disk'; trouble: DiskTrouble; side: Side };

export interface SecondFault {
  fault: DiskFault;
  /** Before the first one is mended, or while the pair makes itself whole again. */
  when: 'beforeRepair' | 'duringRepair';
  /** Behind the notice of the first, or behind its repair. */
  afterMs: number;
  holdMs: number;
}

export interface DisksRoundPlan {
  round: number;
  /** The load runs undisturbed for so long. */
  leadMs: number;
  fault: DiskFault;
  /** From the notice to the repair. */
  holdMs: number;
  second: SecondFault | null;
  /** What the disks lose at a power failure. */
  lossSeed: number;
  /** Whether the file systems are checked at the end of the round. */
  checksFileSystems: boolean;
}

/** As it is called in reports and counted. */
export function faultName(fault: DiskFault): string {
  switch (fault.kind) {
    case 'killProduct':
      return `kill the process, ${fault.side}`;
    case 'killEngine':
      return `kill the engine, ${fault.side}`;
    case 'powerOff':
      return `power off, ${fault.side}`;
    case 'freeze':
      return `freeze all, ${fault.side}`;
    case 'freezeProduct':
      return `freeze the process, ${fault.side}`;
    case 'cutLink':
      return 'cut one link';
    case 'cutBothLinks':
      return 'cut both links';
    case 'disk':
      return `disk ${fault.trouble}, ${fault.side}`;
    default: {
      const unknown: never = fault;
      throw new Error(`unknown fault ${JSON.stringify(unknown)}`);
    }
  }
}

const SIDES = ['primary', 'secondary'] as const;

/** Every kind once. */
export function allFaults(): DiskFault[] {
  const processes = ['killProduct', 'killEngine', 'powerOff', 'freeze', 'freezeProduct'] as const;
  return [
    ...processes.flatMap((kind) => SIDES.map((side): DiskFault => ({ kind, side }))),
    { kind: 'cutLink', link: 1 },
    { kind: 'cutLink', link: 2 },
    { kind: 'cutBothLinks' },
    ...DISK_TROUBLES.flatMap((trouble) => SIDES.map((side): DiskFault => ({ kind: 'disk', trouble, side }))),
  ];
}

/** Every so many rounds the file systems are checked. */
const CHECK_EVERY = 10;
/** One round in so many has a second fault. */
const SECOND_EVERY = 4;
const LEAD_MS = { least: 100, most: 1200 };
const HOLD_MS = { least: 50, most: 700 };
/** A resync takes about a second: the second fault comes within. */
const SECOND_AFTER_MS = { least: 20, most: 1200 };

/** `only`: names of faults (as faultName says) to which the campaign keeps; a part of the name suffices. Throws if none is meant. */
export function disksPlan(count: number, seed: number, only?: string): DisksRoundPlan[] {
  if (!Number.isInteger(count) || count < 1) throw new Error(`the number of rounds must be a whole number from 1, not ${count}`);
  const wanted = allFaults().filter((fault) => only === undefined || faultName(fault).includes(only));
  if (wanted.length === 0) throw new Error(`no fault is called "${only}": ${[...new Set(allFaults().map(faultName))].join('; ')}`);
  const dice = seededDice(seed);
  const random = (): number => dice(2 ** 31) / 2 ** 31;
  const between = ({ least, most }: { least: number; most: number }): number => Math.round(least + random() * (most - least));
  let bag: DiskFault[] = [];
  const draw = (): DiskFault => {
    if (bag.length === 0) bag = [...wanted];
    const [fault] = bag.splice(dice(bag.length), 1);
    if (fault === undefined) throw new Error('an empty bag was filled');
    return fault;
  };
  return Array.from({ length: count }, (_, i) => {
    const fault = draw();
    const leadMs = between(LEAD_MS);
    const holdMs = between(HOLD_MS);
    const hasSecond = random() < 1 / SECOND_EVERY;
    const choice = random();
    const afterMs = between(SECOND_AFTER_MS);
    const secondHoldMs = between(HOLD_MS);
    const second = secondOf(fault, choice);
    return {
      round: i + 1,
      leadMs,
      fault,
      holdMs,
      second: hasSecond ? { ...second, afterMs, holdMs: secondHoldMs } : null,
      lossSeed: dice(2 ** 31),
      checksFileSystems: (i + 1) % CHECK_EVERY === 0,
    };
  });
}

/** One that the pair must survive beside the first: never the only copy that is whole. */
function secondOf(first: DiskFault, choice: number): Pick<SecondFault, 'fault' | 'when'> {
  const lost = (kind: 'killProduct' | 'powerOff' | 'freeze') => ({ fault: { kind, side: 'lost' as const }, when: 'duringRepair' as const });
  const link = (n: LinkNumber, when: SecondFault['when']) => ({ fault: { kind: 'cutLink' as const, link: n }, when });
  const options: Pick<SecondFault, 'fault' | 'when'>[] =
    first.kind === 'cutLink'
      ? [
          link(first.link === 1 ? 2 : 1, 'beforeRepair'),
          { fault: { kind: 'powerOff', side: 'lost' }, when: 'beforeRepair' },
          { fault: { kind: 'killProduct', side: 'lost' }, when: 'beforeRepair' },
        ]
      : first.kind === 'cutBothLinks'
        ? [lost('powerOff'), lost('killProduct'), lost('freeze'), link(1, 'duringRepair')]
        : [
            lost('powerOff'),
            lost('killProduct'),
            lost('freeze'),
            link(1, 'beforeRepair'),
            link(1, 'duringRepair'),
            link(2, 'duringRepair'),
          ];
  const option = options[Math.floor(choice * options.length)] ?? options[0];
  if (option === undefined) throw new Error('there is always a second fault');
  return option;
}
