// When a change may be made: what a restart of this process costs the guest, and why the witness cannot be changed. Pure.
import { isProved } from '../core/audit.ts';
import type { State } from '../core/state.ts';

/**
 * What stands against a restart of this process now, a sentence that somebody may accept; null: nothing. A secondary's restart costs the guest
 * nothing, a proved primary hands its guest over first (decisions/0009).
 */
export function costOfRestart(s: State): string | null {
  const still = 'stands still for some seconds while this process starts again';
  switch (s.phase.kind) {
    case 'duplex':
      if (s.level === 3 && isProved(s)) return null;
      return s.level === 2
        ? `At protection level 2 the guest ${still}.`
        : `The other CoServer is not proven yet, so the guest ${still}: wait until it is.`;
    case 'starting':
    case 'running':
    case 'resyncing':
    case 'protecting':
    case 'committing':
    case 'steppingDown':
      return `The guest runs here alone, so it ${still}: wait until the pair is duplex.`;
    case 'acting':
    case 'claiming':
      return 'It is being decided just now who runs the guest: wait a moment.';
    default:
      return null;
  }
}

/**
 * '': it may be changed, as far as this side knows; the other one asks itself. While one side could be granted by the old witness and the other one by
 * the new one, both could go on: so not while the old one is in use, and on both at once.
 */
export function whyNotWitness(s: State): string {
  const other = s.me === 'A' ? 'B' : 'A';
  if (!s.partnerHeard || s.partner === null)
    return `CoServer ${other} is not heard: both change their witness together, or each could be granted by another one.`;
  if (s.witness.ok)
    return 'The present witness is in use. Take this pair out there first (twinstep witness remove), or switch it off, and wait until something else decides: two that could decide would let both CoServers go on.';
  return '';
}

/** What a change of the level costs, wherever the guest runs. */
export const LEVEL_COST =
  'Both processes start again, one after the other: meanwhile the guest runs on one CoServer alone, and stands still once for some seconds.';

/** '': it may be changed, as far as this side knows. */
export function whyNotLevel(s: State): string {
  const other = s.me === 'A' ? 'B' : 'A';
  return s.partnerHeard && s.partner !== null ? '' : `CoServer ${other} is not heard: both must run at the same level.`;
}

/** Of this level; null: nothing is against it. */
export function whyNotAtLevel(s: State, level: 2 | 3): string | null {
  if (level === 2 || !s.mustQualify || s.qualification?.verdict !== 'refused') return null;
  return `The two servers do not qualify for lockstep: ${s.qualification.sentence}`;
}

/**
 * Another level is configured than this process runs at: is it its turn to start again? The one without the guest goes first, so that the other
 * one comes back to a partner that fits (as in an update, update/rolling.ts).
 */
export function isTurnForLevel(s: State, configured: 2 | 3): boolean {
  if (s.level === configured || s.stop !== null) return false;
  switch (s.phase.kind) {
    case 'starting':
    case 'acting':
    case 'claiming':
    case 'committing':
    case 'steppingDown':
      return false;
    case 'running':
    case 'resyncing':
    case 'protecting':
    case 'duplex':
      return s.partnerHeard && s.partner?.level === configured;
    default:
      return true;
  }
}
