// What this CoServer does next while a pair is updated. Pure: what is seen of both sides in, one order about this side out. Both run the same
// rule; nobody conducts (decisions/0011).
//
//   both have it -> the secondary starts again with it -> duplex -> the primary hands over -> it is the secondary now -> duplex: done
//                        \-- given up on either side, or not back in time: stop, and say so
import { compareVersions } from './version.ts';

/** A start, a trial without a partner, three times, and what a slow server takes: after that nobody believes that it comes back. */
export const RETURN_MS = 3_600_000;

export interface RollingSide {
  /** What runs there. */
  version: string;
  /** Counted by the boot loader, not yet marked as good. */
  onTrial: boolean;
  /** Whole in the other slot, and not yet tried. */
  received: string | null;
  /** Tried there and left again, or damaged there. */
  givenUp: string | null;
  role: 'primary' | 'secondary' | 'none';
}

export interface RollingPicture {
  /** The version that both are to run. */
  target: string;
  me: RollingSide;
  /** null: not heard. */
  partner: RollingSide | null;
  /** Since the partner is not heard; 0 while it is. */
  partnerSilentMs: number;
  /** Either server may fail now. */
  isDuplex: boolean;
  /** The core would accept `move-workload`. */
  mayMove: boolean;
  /** The operator said that a restart of the guest is all right: at level 2 a move is one. */
  mayRestartGuest: boolean;
  /** A move costs the guest a restart: level 2. */
  moveRestarts: boolean;
}

export type RollingOrder =
  | { kind: 'wait'; text: string }
  /** Activate what was received, leave the pair in order, start this server again. */
  | { kind: 'restartSelf'; text: string }
  /** Hand the workload over. */
  | { kind: 'moveWorkload'; text: string }
  | { kind: 'done'; text: string }
  /** Nothing more happens by itself. */
  | { kind: 'stop'; text: string };

export function rollingOrder(p: RollingPicture): RollingOrder {
  const { target, me, partner } = p;
  if (me.givenUp === target)
    return stop(`Version ${target} did not become healthy on this CoServer, which is back on ${me.version}. ${afterwards(p)}`);
  if (partner?.givenUp === target)
    return stop(`Version ${target} did not become healthy on the other CoServer, which is back on ${partner.version}. ${afterwards(p)}`);
  if (partner === null) return withoutPartner(p);
  if (me.version === target) return updated(p, partner);
  if (me.received !== target) return wait(`The update to ${target} is on its way to this CoServer.`);
  if (partner.version !== target && partner.received !== target)
    return wait(`The update to ${target} is on its way to the other CoServer.`);
  if (partner.version === target && partner.onTrial) return wait(`The other CoServer runs ${target} and is being watched.`);
  if (!p.isDuplex)
    return wait(`Waits until either server may fail: then ${me.role === 'primary' ? 'the workload moves' : 'this CoServer starts again'}.`);
  return me.role === 'primary' ? primary(p, partner) : secondary(p);
}

/** The old version still runs here, and the guest with it. */
function primary(p: RollingPicture, partner: RollingSide): RollingOrder {
  const { target } = p;
  if (partner.version !== target) return wait(`The other CoServer starts again first, with ${target}; the workload stays here meanwhile.`);
  if (p.moveRestarts && !p.mayRestartGuest)
    return wait(
      `The other CoServer runs ${target}. The workload moves there when you say so: at this protection level it is restarted by that.`,
    );
  if (!p.mayMove) return wait('The workload moves to the other CoServer as soon as that is possible.');
  return { kind: 'moveWorkload', text: `The other CoServer runs ${target} and is well: the workload moves there.` };
}

function secondary({ target, me }: RollingPicture): RollingOrder {
  if (me.onTrial) return wait(`Version ${me.version} here is still being watched itself.`);
  return { kind: 'restartSelf', text: `This CoServer starts again with ${target}; the workload goes on on the other one.` };
}

function updated({ target, me, isDuplex }: RollingPicture, partner: RollingSide): RollingOrder {
  if (me.onTrial) return wait(`Version ${target} runs here and is being watched.`);
  if (partner.version !== target)
    return compareVersions(partner.version, target) > 0
      ? stop(`The other CoServer runs ${partner.version}, which is newer than ${target}.`)
      : wait(`This CoServer runs ${target}; the other one follows.`);
  if (partner.onTrial) return wait(`The other CoServer runs ${target} and is being watched.`);
  if (!isDuplex) return wait(`Both CoServers run ${target}; the pair becomes duplex.`);
  return { kind: 'done', text: `Both CoServers run ${target}, and either may fail.` };
}

/** It restarts, or it is lost: this side does nothing that needs it. */
function withoutPartner({ target, me, partnerSilentMs }: RollingPicture): RollingOrder {
  if (partnerSilentMs < RETURN_MS) return wait(`The other CoServer is not heard: it may be starting again with ${target}.`);
  const minutes = Math.round(RETURN_MS / 60_000);
  return stop(
    `The other CoServer has not come back for ${minutes} minutes: the update to ${target} does not go on. This CoServer runs ${me.version}.`,
  );
}

function afterwards({ target, me, partner }: RollingPicture): string {
  const isMixed = me.version === target || partner?.version === target;
  return isMixed
    ? `The pair runs with two versions now: install a newer one, or go back on the CoServer that runs ${target} (twinstep update rollback).`
    : 'The update is over; both CoServers run what they ran before.';
}

const wait = (text: string): RollingOrder => ({ kind: 'wait', text });
const stop = (text: string): RollingOrder => ({ kind: 'stop', text });
