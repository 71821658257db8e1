// What the cores did, as the lines of a golden block. Steps that ordered nothing and changed no phase are left out, and so are words
// to the partner: every change is followed by one.

import { causeOf } from '../../appliance/core/evidence.ts';
import { type Command, never } from '../../appliance/core/machine.ts';
import type { Fact, Pair } from './pair.ts';

export function tell(facts: readonly Fact[], pair: Pair, from: number): string {
  const told = facts.flatMap((fact): Told[] => {
    if ('said' in fact) return [{ at: fact.at, who: '  ', lines: [fact.said], again: 0, last: fact.at }];
    const { before, after, side, event, commands, at } = fact;
    const moved = before.phase.kind !== after.phase.kind ? [`${before.phase.kind} -> ${after.phase.kind}`] : [];
    const done = [...moved, ...commands.flatMap((c) => commandLines(c))];
    return done.length === 0 ? [] : [{ at, who: side, lines: [causeOf(event), ...done], again: 0, last: at }];
  });
  const lines = folded(told).flatMap(({ at, who, lines: [first = '', ...more], again, last }) => [
    `${seconds(at - from)} ${who}  ${first}`,
    ...more.map((line) => `            ${line}`),
    ...(again > 0 ? [`            (${again} times more, the last at ${seconds(last - from).trim()})`] : []),
  ]);
  return [...lines, `A: ${pair.describe('A')}`, `B: ${pair.describe('B')}`].join('\n');
}

/** One thing that happened, and how often the same side did the same right after it. */
interface Told {
  at: number;
  who: string;
  lines: string[];
  again: number;
  last: number;
}

function folded(told: readonly Told[]): Told[] {
  const result: Told[] = [];
  for (const one of told) {
    const before = result.findLast(({ who }) => who === one.who);
    if (before?.lines.join('\n') === one.lines.join('\n')) {
      before.again++;
      before.last = one.at;
    } else result.push({ ...one });
  }
  return result;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3).padStart(8);
}

function commandLines(c: Command): string[] {
  switch (c.kind) {
    case 'say':
      return [];
    case 'record':
      return [`${c.row === null ? '' : `[${c.row}] `}${c.severity}: ${c.text}`];
    case 'persist': {
      const { generation, standing, arbiter, workloadOff, forced, maintenance } = c.record;
      const marks = [workloadOff ? ', workload off' : '', forced ? ', forced' : '', maintenance ? ', maintenance' : ''].join('');
      return [`persist: generation ${generation}, ${standing}, arbiter ${arbiter}${marks}`];
    }
    case 'claim':
    case 'fence':
    case 'startGuest':
    case 'adoptGuest':
    case 'keepHistory':
    case 'takeOver':
    case 'continueAlone':
      return [`${c.kind}: generation ${c.generation}`];
    case 'armWatchdog':
      return [`armWatchdog: ${c.armed ? 'on' : 'off'}`];
    case 'setMode':
      return [`setMode: ${c.mode}`];
    case 'incident':
      return [`incident: ${c.sentence}`];
    case 'redirectNetwork':
      return [`redirectNetwork: through the ${c.through === 'own' ? 'own NIC' : "partner's NIC"}`];
    case 'lendNetwork':
      return [`lendNetwork: ${c.lend ? 'on' : 'off'}`];
    case 'repairBlock':
      return [`repairBlock: ${c.offset} from ${c.from === 'own' ? 'the own copy' : "the partner's copy"}`];
    case 'quarantineBlock':
      return [`quarantineBlock: ${c.offset}`];
    case 'chooseBlock':
      return [`chooseBlock: ${c.offset}, ${c.keep === 'own' ? 'the own copy' : "the partner's copy"} is right`];
    case 'scrub':
      return [`scrub: ${c.run ? 'start' : 'stop'}`];
    case 'freeze':
    case 'resync':
    case 'protect':
    case 'releaseReady':
    case 'openTarget':
    case 'openIncoming':
    case 'confirmCopy':
    case 'abandonPartner':
    case 'stopAll':
    case 'shutDownGuest':
    case 'leaveLockstep':
    case 'endServer':
    case 'adoptDisk':
    case 'endProcess':
    case 'powerOnPartner':
      return [c.kind];
    default:
      return never(c);
  }
}
