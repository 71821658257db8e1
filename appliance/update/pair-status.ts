// How the update of a pair is shown: GET /api/update, and the command line.
import type { Progress } from './pair-transfer.ts';
import type { PairWish } from './pair-wish.ts';
import { has, type RollingOrder, type RollingSide } from './rolling.ts';

export interface PartnerVersions {
  version: string;
  onTrial: boolean;
  received: string | null;
  givenUp: string | null;
  /** Of QEMU. */
  engine: string;
}

export interface PairUpdateStatus {
  target: string;
  state: 'sending' | 'rolling' | 'stopped' | 'done';
  /** One sentence: what happens now, or what became of it. */
  text: string;
  mayRestartGuest: boolean;
  /** It waits for the operator's word that the guest may be restarted. */
  asksRestartGuest: boolean;
  /** Of what is on its way between the two. */
  sent: Progress | null;
  /** null: not heard now. */
  partner: PartnerVersions | null;
}

export interface PairFacts {
  wish: PairWish;
  order: RollingOrder | null;
  progress: Progress | null;
  me: RollingSide | null;
  partner: RollingSide | null;
  /** Why what is sent does not arrive; it is tried again. */
  trouble: string | null;
}

export function pairStatus({ wish, order, progress, me, partner, trouble }: PairFacts): PairUpdateStatus {
  const { target, mayRestartGuest, end } = wish;
  const asksRestartGuest = end === null && order?.kind === 'wait' && order.asks === true;
  const isOnItsWay = progress !== null || (me !== null && partner !== null && !(has(me, target) && has(partner, target)));
  return {
    target,
    state: end?.kind ?? (isOnItsWay ? 'sending' : 'rolling'),
    // A question comes before all else: nothing but the answer to it helps.
    text: end?.text ?? (asksRestartGuest ? order.text : nowText(target, progress, trouble, order)),
    mayRestartGuest,
    asksRestartGuest,
    sent: progress,
    partner: partnerVersions(partner),
  };
}

function nowText(target: string, progress: Progress | null, trouble: string | null, order: RollingOrder | null): string {
  return progress ? progressText(target, progress) : (trouble ?? order?.text ?? 'The update is being looked at.');
}

export function partnerVersions(side: RollingSide | null): PartnerVersions | null {
  if (side === null) return null;
  const { version, onTrial, received, givenUp, engine } = side;
  return { version, onTrial, received, givenUp, engine };
}

export function progressText(target: string, { bytes, of, bytesPerSecond }: Progress): string {
  const left = bytesPerSecond > 0 ? `, ${Math.ceil((of - bytes) / bytesPerSecond)} s left` : '';
  return `The update to ${target} goes over the links: ${megabytes(bytes)} of ${megabytes(of)} MB, ${megabytes(bytesPerSecond)} MB/s${left}.`;
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
