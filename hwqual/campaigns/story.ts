// The story: the main job on real input. Clients of every kind run without a break; the primary's server loses its power, later
// the secondary's; a link is cut, then both; a process is frozen. Whatever happens, clients must notice nothing but a pause.
import type { Clients } from '../lab/clients/controller.ts';
import { type CampaignOptions, runCampaign } from './campaign.ts';
import type { LabControl } from './lab-control.ts';
import type { Action, Report } from './report.ts';
import type { RoundPlan } from './round.ts';

/** Every kind of fault as early as possible, for a short story. */
const SHORT: readonly Action[] = ['powerOffPrimary', 'powerOffSecondary', 'cutLink1', 'cutBothLinks', 'freezePrimary', 'freezeSecondary'];

/** Power failures alternate, the other faults in between. */
const LONG: readonly Action[] = [
  'powerOffPrimary',
  'powerOffSecondary',
  'cutLink1',
  'powerOffPrimary',
  'powerOffSecondary',
  'cutBothLinks',
  'powerOffPrimary',
  'powerOffSecondary',
  'freezePrimary',
  'powerOffPrimary',
  'powerOffSecondary',
  'cutLink2',
  'powerOffPrimary',
  'powerOffSecondary',
  'cutBothLinks',
  'powerOffPrimary',
  'powerOffSecondary',
  'freezeSecondary',
];

/** From this many rounds on the long order has every kind of fault in it. */
const LONG_FROM_ROUNDS = 9;

/** The faults of a story of `rounds` rounds, in order. */
export function storyPlan(rounds: number): RoundPlan[] {
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds needs a whole number from 1, not ${rounds}`);
  const order = rounds >= LONG_FROM_ROUNDS ? LONG : SHORT;
  return Array.from({ length: rounds }, (_, i) => ({ round: i + 1, action: order[i % order.length] ?? 'powerOffPrimary', phase: null }));
}

export interface StoryOptions extends Omit<CampaignOptions, 'name' | 'plan'> {
  rounds: number;
  lab: LabControl;
  clients: Clients;
}

/** Runs the story on a lab whose guest is up (protected or not yet). Exit status of the caller: 0 if and only if `report.ok`. */
export function runStory(options: StoryOptions): Promise<Report> {
  const { rounds, ...rest } = options;
  return runCampaign({ ...rest, name: `Story of ${rounds} rounds`, plan: storyPlan(rounds) });
}
