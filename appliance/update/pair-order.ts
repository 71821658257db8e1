// From what a CoServer knows to what the rule is asked: while an update goes on, and after it, while the two may still differ. Pure.
import type { PairWish } from './pair-wish.ts';
import { levelOrder, type RollingOrder, type RollingSide, rollingOrder } from './rolling.ts';

/** What the pair is now, as the core knows it. */
export interface PairNow {
  role: RollingSide['role'];
  /** Either server may fail. */
  isDuplex: boolean;
  mayMove: boolean;
  whyNotLockstep: string | null;
}

/** What the partner says of itself. */
export interface Heard {
  side: RollingSide;
  wish: PairWish | null;
}

export interface PairFacts {
  coServer: 'A' | 'B';
  wish: PairWish;
  me: RollingSide;
  /** null: not heard now. */
  heard: Heard | null;
  silentMs: number;
  /** As configured. */
  level: 2 | 3;
  hasWatchdog: boolean;
  now: PairNow;
}

/** null: there is nothing to do. */
export function pairOrder({ coServer, wish, me, heard, silentMs, level, hasWatchdog, now }: PairFacts): RollingOrder | null {
  const { isDuplex, mayMove, whyNotLockstep } = now;
  const common = { coServer, me, level, hasWatchdog, whyNotLockstep, mayRestartGuest: wish.mayRestartGuest };
  if (wish.end) {
    if (!heard || me.onTrial || heard.side.onTrial) return null;
    const order = levelOrder({ ...common, partner: heard.side });
    return order?.kind === 'restartProcess' ? order : null;
  }
  return rollingOrder({
    ...common,
    target: wish.target,
    engine: wish.engine,
    partner: heard?.side ?? null,
    partnerKnows: heard?.wish?.number === wish.number && heard.wish.target === wish.target,
    partnerSilentMs: silentMs,
    isDuplex,
    mayMove,
  });
}
