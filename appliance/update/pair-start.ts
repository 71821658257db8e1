// May an update of the pair begin? Pure: what is here and there in, a reason or what it is out.
import type { Manifest } from './bundle.ts';
import type { PairWish } from './pair-wish.ts';
import { has, type RollingSide } from './rolling.ts';
import { compareVersions } from './version.ts';

export interface BeginPicture {
  wish: PairWish | null;
  me: RollingSide | null;
  /** null: not heard. */
  partner: RollingSide | null;
  /** Of what was received here last. */
  manifest: Manifest | null;
  /** As configured. */
  level: 2 | 3;
  hasWatchdog: boolean;
}

export function whyNotBegin(p: BeginPicture): { reason: string } | { manifest: Manifest; from: string[] } {
  const { wish, me, partner, manifest, level } = p;
  if (wish && !wish.end) return no(`The update of the pair to ${wish.target} is going on: wait for it, or stop it first.`);
  if (!me) return no('The versions here are not known yet: ask again in a moment.');
  if (!partner)
    return no(
      'The other CoServer is not heard, or runs a version that cannot be updated together with this one: the links and both servers must be well.',
    );
  const target = me.received ?? (compareVersions(me.version, partner.version) > 0 ? me.version : null);
  if (target === null) return no('No update waits here: upload one on this CoServer first (twinstep update install FILE --pair).');
  if (manifest?.version !== target || !has(me, target))
    return no(`Version ${target} cannot be sent from here: what was signed of it was not kept. Install it here again.`);
  for (const [side, who] of [[me, 'this CoServer'] as const, [partner, 'the other CoServer'] as const]) {
    if (compareVersions(side.version, target) > 0)
      return no(`Version ${target} is older than ${side.version}, which runs on ${who}: a pair goes back one CoServer at a time, by hand.`);
    if (compareVersions(side.version, manifest.minimumFrom) < 0)
      return no(
        `Version ${target} runs beside ${manifest.minimumFrom} and newer ones, on ${who} runs ${side.version}: install ${manifest.minimumFrom} first.`,
      );
    if (side.onTrial) return no(`Version ${side.version} on ${who} is still being tried: wait until it has been found healthy.`);
  }
  if (partner.givenUp === target)
    return no(
      `Version ${target} was given up on the other CoServer. Install a corrected version; or to try it once more, install it there by hand first.`,
    );
  if (level === 3 && manifest.engine !== me.engine && !p.hasWatchdog)
    return no(
      `Version ${target} brings engine ${manifest.engine}, here runs ${me.engine}: the pair would have to run at protection level 2 meanwhile, which needs a watchdog (watchdog.device).`,
    );
  return { manifest, from: [...new Set([me.version, partner.version])] };
}

const no = (reason: string) => ({ reason });
