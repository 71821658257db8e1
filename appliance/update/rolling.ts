// What a CoServer does next while a pair is updated. Pure: what is seen of both sides in, one order about this side out. Both run the same
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
  /** Of QEMU, as it runs there. */
  engine: string;
  /** The protection level of its process: 2 also where 3 is configured, while the two servers may not run in lockstep. */
  level: 2 | 3;
}

/** How the two run together; also when no update is going on. */
export interface LevelPicture {
  /** This side. */
  coServer: 'A' | 'B';
  me: RollingSide;
  partner: RollingSide;
  /** As it is configured. */
  level: 2 | 3;
  /** Why these two servers may not run in lockstep, as qualification says; null: they may, or it is not known. */
  whyNotLockstep: string | null;
  /** Level 2 needs one (decisions/0009). */
  hasWatchdog: boolean;
  /** The operator said that a restart of the guest is all right: at level 2 a move is one. */
  mayRestartGuest: boolean;
}

export interface RollingPicture extends Omit<LevelPicture, 'partner'> {
  /** The version that both are to run, and the engine that it brings. */
  target: string;
  engine: string;
  /** null: not heard. */
  partner: RollingSide | null;
  /** It has told this wish back: it will do its part. */
  partnerKnows: boolean;
  /** Since the partner is not heard; 0 while it is. */
  partnerSilentMs: number;
  /** Either server may fail now. */
  isDuplex: boolean;
  /** The core would accept `move-workload`. */
  mayMove: boolean;
}

export type RollingOrder =
  /** `asks`: for the operator's word that the guest may be restarted. */
  | { kind: 'wait'; text: string; asks?: true }
  /** Activate what was received, leave the pair in order, start this server again; its process runs at that level then. */
  | { kind: 'restartSelf'; level: 2 | 3; text: string }
  /** Hand the workload over. */
  | { kind: 'moveWorkload'; text: string }
  /** Leave the pair in order and start this process again, at that level; the server and its guest run on. */
  | { kind: 'restartProcess'; level: 2 | 3; text: string }
  | { kind: 'done'; text: string }
  /** Nothing more happens by itself. */
  | { kind: 'stop'; text: string };

export function rollingOrder(p: RollingPicture): RollingOrder {
  const { target, me, partner } = p;
  if (me.givenUp === target)
    return stop(`Version ${target} did not become healthy on ${here(p)}, which is back on ${me.version}. ${afterwards(p)}`);
  if (partner?.givenUp === target)
    return stop(`Version ${target} did not become healthy on ${there(p)}, which is back on ${partner.version}. ${afterwards(p)}`);
  if (partner === null) return withoutPartner(p);
  if (!p.partnerKnows) return wait(`The other CoServer is being told of the update to ${target}.`);
  for (const [side, who] of [[me, here(p)] as const, [partner, there(p)] as const])
    if (compareVersions(side.version, target) > 0) return stop(`${who} runs ${side.version}, which is newer than ${target}.`);
  const isHere = has(me, target);
  const isThere = has(partner, target);
  if (!isHere && !isThere) return stop(`Neither CoServer has the update to ${target} any more: install it again.`);
  const asked = consent(p, partner);
  if (asked) return asked;
  if (!isHere) return wait(`The update to ${target} is on its way to this CoServer.`);
  if (!isThere) return wait(`The update to ${target} is on its way to the other CoServer.`);
  if (me.onTrial) return wait(`Version ${me.version} runs here and is being watched.`);
  if (partner.onTrial) return wait(`The other CoServer runs ${partner.version} and is being watched.`);
  const level = levelOrder({ ...p, partner });
  if (level) return level;
  if (me.version === target) return updated(p, partner);
  if (!p.isDuplex)
    return wait(`Waits until either server may fail: then ${me.role === 'primary' ? 'the workload moves' : 'this CoServer starts again'}.`);
  switch (me.role) {
    case 'primary':
      return primary(p, partner);
    case 'secondary':
      return {
        kind: 'restartSelf',
        level: levelAfterStart(p, partner),
        text: `This CoServer starts again with ${target}; the workload goes on on the other one.`,
      };
    default:
      return wait('Waits until the workload runs on both CoServers.');
  }
}

/**
 * At which level this process has to run; null: as it does. With other engines, or another microcode, two replicas are not compared: level 2
 * until both are the same again. The one with the guest goes last, so that it finds a partner that fits.
 */
export function levelOrder(p: LevelPicture): RollingOrder | null {
  const { me, partner } = p;
  const wanted = wantedLevel(p);
  if (me.level === wanted) {
    if (partner.level === wanted) return null;
    return wait(`The other CoServer's process starts again, to run at protection level ${wanted}.`);
  }
  if (wanted === 2 && !p.hasWatchdog)
    return stop(
      `The two CoServers may not run in lockstep (${whyLevel2(p)}), and protection level 2 needs a watchdog, which is not configured.`,
    );
  if (wanted === 2 && !p.mayRestartGuest)
    return asks(`The two CoServers may not run in lockstep (${whyLevel2(p)}): until both run the same, the pair can run at level 2 only.`);
  if (me.role === 'primary' && partner.level !== wanted)
    return wait(`The other CoServer's process starts again first, to run at protection level ${wanted}.`);
  const why = wanted === 2 ? `: ${whyLevel2(p)}` : '; both are the same again';
  return { kind: 'restartProcess', level: wanted, text: `The process here starts again to run at protection level ${wanted}${why}.` };
}

function wantedLevel(p: LevelPicture): 2 | 3 {
  return p.level === 3 && whyLevel2(p) !== null ? 2 : p.level;
}

function whyLevel2(p: LevelPicture): string | null {
  const { me, partner, whyNotLockstep } = p;
  if (me.version === partner.version) return null;
  if (me.engine !== partner.engine) return `engine ${me.engine} on ${here(p)}, ${partner.engine} on ${there(p)}`;
  return whyNotLockstep;
}

/** With the new version here. An engine that is another one than the partner's must not even try to load a checkpoint of it. */
function levelAfterStart({ level, target, engine }: RollingPicture, partner: RollingSide): 2 | 3 {
  return partner.version !== target && partner.engine !== engine ? 2 : level;
}

/** Before anything has begun. */
function consent(p: RollingPicture, partner: RollingSide): RollingOrder | null {
  const { me, target } = p;
  if (p.mayRestartGuest || me.version === target || partner.version === target) return null;
  if (p.level !== 3 || p.engine === me.engine) return null;
  return asks(
    `Version ${target} brings engine ${p.engine}, here runs ${me.engine}: the pair runs at protection level 2 meanwhile, and the guest is restarted once when it moves.`,
  );
}

/** The old version still runs here, and the guest with it. */
function primary(p: RollingPicture, partner: RollingSide): RollingOrder {
  const { target } = p;
  if (partner.version !== target) return wait(`The other CoServer starts again first, with ${target}; the workload stays here meanwhile.`);
  if (p.me.level === 2 && !p.mayRestartGuest)
    return asks(`The other CoServer runs ${target}. At this protection level the guest is restarted when it moves there.`);
  if (!p.mayMove) return wait('The workload moves to the other CoServer as soon as that is possible.');
  return { kind: 'moveWorkload', text: `The other CoServer runs ${target} and is well: the workload moves there.` };
}

function updated({ target, isDuplex }: RollingPicture, partner: RollingSide): RollingOrder {
  if (partner.version !== target) return wait(`This CoServer runs ${target}; the other one follows.`);
  if (!isDuplex) return wait(`Both CoServers run ${target}; the pair becomes duplex.`);
  return { kind: 'done', text: `Both CoServers run ${target}, and either may fail.` };
}

/** It restarts, or it is lost: this side does nothing that needs it. */
function withoutPartner(p: RollingPicture): RollingOrder {
  const { target, me, partnerSilentMs } = p;
  if (partnerSilentMs < RETURN_MS) return wait(`The other CoServer is not heard: it may be starting again with ${target}.`);
  const minutes = Math.round(RETURN_MS / 60_000);
  return stop(
    `${there(p)} has not come back for ${minutes} minutes: the update to ${target} does not go on. ${here(p)} runs ${me.version}.`,
  );
}

function afterwards({ target, me, partner }: RollingPicture): string {
  const isMixed = me.version === target || partner?.version === target;
  return isMixed
    ? `The pair runs with two versions now: install a newer one, or go back on the one that runs ${target} (twinstep update rollback).`
    : 'The update is over; both CoServers run what they ran before.';
}

/** Runs there, or waits there whole. */
export function has({ version, received }: Pick<RollingSide, 'version' | 'received'>, target: string): boolean {
  return version === target || received === target;
}

// What ends an update is shown on both, in the same words: servers have their names in it.
const here = ({ coServer }: LevelPicture | RollingPicture): string => `CoServer ${coServer}`;
const there = ({ coServer }: LevelPicture | RollingPicture): string => `CoServer ${coServer === 'A' ? 'B' : 'A'}`;
const wait = (text: string): RollingOrder => ({ kind: 'wait', text });
const asks = (text: string): RollingOrder => ({
  kind: 'wait',
  text: `${text} Waits for your word that the guest may be restarted.`,
  asks: true,
});
const stop = (text: string): RollingOrder => ({ kind: 'stop', text });
