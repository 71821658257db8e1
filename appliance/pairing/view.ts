// What an operator reads of a pairing: one phase, one sentence, the code. Pure.
import { PAIRING_VERSION } from '../wire/pairing.ts';
import { fingerprintOf } from './agreement.ts';
import type { Dropped, Outcome, PairingState, Trouble } from './state.ts';

export interface PairingView {
  coServer: 'A' | 'B';
  pairId: string;
  /** waiting: for the partner; code: it is shown; confirmed: here, not there; keeping: both confirmed; paused: too many attempts failed. */
  phase: 'waiting' | 'code' | 'confirmed' | 'keeping' | 'paired' | 'paused';
  /** Six digits while they are to be compared. */
  code: string | null;
  sentence: string;
  /** The latest thing that went wrong, as one sentence with its remedy; '': nothing. */
  trouble: string;
  /** Of the key, once it is the pair's; null before. */
  fingerprint: string | null;
  /** The partner is known to be finished too. */
  partnerDone: boolean;
  /** Messages that came and were dropped, by kind; none that are 0. */
  dropped: { kind: Dropped; count: number }[];
}

export const DIFFER_REMEDY =
  'Either something stands between the two CoServers, or one of them is being paired with a third. Check that the cable of every link runs directly from one CoServer to the other, then pair again.';

export function pairingView(state: PairingState, at: number): PairingView {
  const { session, key } = state;
  const other = state.me === 'A' ? 'B' : 'A';
  const base = {
    coServer: state.me,
    pairId: state.pairId,
    code: null,
    trouble: troubleText(state.trouble, state) || outcomeText(state.lastOutcome, other),
    fingerprint: null,
    partnerDone: state.partnerEstablished,
    dropped: (Object.entries(state.dropped) as [Dropped, number][]).flatMap(([kind, count]) => (count > 0 ? [{ kind, count }] : [])),
  };
  if (key?.stage === 'established') {
    const sentence = state.partnerEstablished
      ? 'Paired: both CoServers have the key.'
      : `Paired here: CoServer ${other} is being told; it goes on by itself when it hears this CoServer again.`;
    return { ...base, phase: 'paired', sentence, fingerprint: fingerprintOf(key.pairKey), trouble: troubleText(state.trouble, state) };
  }
  if (session?.kind === 'agreed') {
    const { code } = session.agreement;
    if (session.confirmed && session.partnerConfirmed)
      return { ...base, phase: 'keeping', sentence: 'Both operators have confirmed: the key is being kept.' };
    if (session.confirmed)
      return {
        ...base,
        phase: 'confirmed',
        code,
        sentence: `Confirmed here: waiting for the operator at CoServer ${other}, who must see ${code} too.`,
      };
    return {
      ...base,
      phase: 'code',
      code,
      sentence: `This CoServer shows the code ${code}. Look at the console of CoServer ${other}: confirm only if it shows the same.`,
    };
  }
  if (at < state.pausedUntilMs) {
    const seconds = Math.ceil((state.pausedUntilMs - at) / 1000);
    const sentence = `${state.failed} attempts have failed: paused for ${seconds} s, so that nobody can try codes one after the other.`;
    return { ...base, phase: 'paused', sentence };
  }
  const resumed = key
    ? ' An earlier pairing was interrupted after it was confirmed: it is completed as soon as the other one is heard.'
    : '';
  return {
    ...base,
    phase: 'waiting',
    sentence: `Waiting for CoServer ${other} on the links: start it unpaired, or run 'twinstep pair' there (with --again if it has a key).${resumed}`,
  };
}

function troubleText(trouble: Trouble | null, state: PairingState): string {
  const other = state.me === 'A' ? 'B' : 'A';
  switch (trouble?.kind) {
    case undefined:
      return '';
    case 'version':
      return trouble.version > PAIRING_VERSION
        ? `The partner speaks pairing version ${trouble.version}, this CoServer version ${PAIRING_VERSION}: update this CoServer.`
        : `The partner speaks pairing version ${trouble.version}, this CoServer version ${PAIRING_VERSION}: update the partner.`;
    case 'otherPair':
      return `The partner's configuration names the pair ${trouble.pairId}, this one ${state.pairId}: make pair.id the same in both.`;
    case 'sameSide':
      return `The partner says that it is CoServer ${state.me} too: set coServer to ${other} in one of the two configurations.`;
    case 'contradicting':
      return `Two different answers came for one attempt: is something else connected to a link? ${DIFFER_REMEDY}`;
    case 'partnerHasKey':
      return `CoServer ${other} has a key that this one does not have: run 'twinstep pair --again' there.`;
    case 'partnerHasNone':
      return `CoServer ${other} has no key, this one has: run 'twinstep pair --again' here to make a new one.`;
    case 'disk':
      return `The key could not be kept: ${trouble.reason}.`;
    default:
      return trouble satisfies never;
  }
}

export function outcomeText(outcome: Outcome | null, other: 'A' | 'B'): string {
  switch (outcome) {
    case null:
      return '';
    case 'differHere':
      return `The codes differ: nothing was kept. ${DIFFER_REMEDY}`;
    case 'differThere':
      return `The operator at CoServer ${other} says that the codes differ: nothing was kept. ${DIFFER_REMEDY}`;
    case 'stoppedThere':
      return `Pairing was stopped on CoServer ${other}.`;
    case 'diskThere':
      return `CoServer ${other} could not keep the key: its console says why.`;
    case 'diskHere':
      return 'This CoServer could not keep the key.';
    case 'silent':
      return `CoServer ${other} fell silent before both had the key: a new code follows when it is back.`;
    case 'timeout':
      return 'The code was not confirmed on both consoles in time: a new one follows.';
    case 'hostile':
      return `What answered sent a public key that no honest CoServer makes. ${DIFFER_REMEDY}`;
    default:
      return outcome satisfies never;
  }
}
