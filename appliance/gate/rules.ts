// What each mode of the gate lets through. Pure: the table behind GateMode's words, and nothing else.
import type { GateMode } from './api.ts';

export interface GateRules {
  /** guest -> LAN */
  output: 'pass' | 'hold' | 'freeze' | 'drop';
  /** LAN -> guest */
  input: 'pass' | 'passAndRecord' | 'drop';
  /** Inputs that the partner recorded for us. */
  partner: 'record' | 'ignore';
  /** Frames that speak for the guest (announcements) may be sent. */
  mayAnnounce: boolean;
}

export function rulesOf(mode: GateMode): GateRules {
  switch (mode) {
    case 'closed':
      return { output: 'drop', input: 'drop', partner: 'ignore', mayAnnounce: false };
    case 'solo':
      return { output: 'pass', input: 'pass', partner: 'ignore', mayAnnounce: true };
    case 'holding':
    case 'lockstep':
      return { output: 'hold', input: 'passAndRecord', partner: 'ignore', mayAnnounce: true };
    case 'frozen':
      return { output: 'freeze', input: 'passAndRecord', partner: 'ignore', mayAnnounce: false };
    case 'standby':
      return { output: 'drop', input: 'drop', partner: 'record', mayAnnounce: false };
    default:
      return mode satisfies never;
  }
}

/**
 * May `setMode` go from one mode to another while frames are held? null: yes. What is held may leave only by releaseAll
 * (after the arbiter's grant); going to closed or standby drops it, because this side does not own the LAN any more.
 */
export function refusalOf(from: GateMode, to: GateMode, heldFrames: number): string | null {
  if (heldFrames === 0) return null;
  if (to === 'solo') return `${heldFrames} frames are held: releaseAll lets them out, dropAll drops them; setMode does neither`;
  const isHolding = (mode: GateMode): boolean => mode === 'frozen' || mode === 'holding' || mode === 'lockstep';
  if ((to === 'holding' || to === 'lockstep') && !isHolding(from))
    return `${heldFrames} frames of an earlier protection are held: release or drop them first`;
  return null;
}
