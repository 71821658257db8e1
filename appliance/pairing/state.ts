// The state of a pairing on one side, what happens to it, and what is to be done: the words of protocol.ts. Pure.
import type { PairingMessage } from '../wire/pairing.ts';
import type { Agreement, Offer, OwnKeys } from './agreement.ts';

export interface KeptKey {
  /** Hex. */
  pairKey: string;
  /** pending: durable, but not yet known to be the partner's too. */
  stage: 'pending' | 'established';
}

export type Session =
  | { kind: 'calling'; id: string; own: OwnKeys }
  | { kind: 'answered'; id: string; own: OwnKeys; commitment: string; heardAtMs: number }
  | {
      kind: 'agreed';
      id: string;
      offer: Offer;
      answer: { publicKey: string; nonce: string };
      agreement: Agreement;
      confirmed: boolean;
      partnerConfirmed: boolean;
      sinceMs: number;
      heardAtMs: number;
    };

/** What came and was dropped. */
export const DROPPED = [
  'malformed',
  'version',
  'otherPair',
  'reflected',
  'sameSide',
  'otherSession',
  'forged',
  'contradicting',
  'paused',
] as const;
export type Dropped = (typeof DROPPED)[number];

/** What is wrong, seen from here; for the view. */
export type Trouble =
  | { kind: 'version'; version: number }
  | { kind: 'otherPair'; pairId: string }
  | { kind: 'sameSide' }
  | { kind: 'contradicting' }
  | { kind: 'partnerHasKey' }
  | { kind: 'partnerHasNone' }
  | { kind: 'disk'; reason: string };

export type Outcome = 'differHere' | 'differThere' | 'stoppedThere' | 'diskThere' | 'diskHere' | 'silent' | 'timeout' | 'hostile';

export interface PairingState {
  readonly me: 'A' | 'B';
  readonly pairId: string;
  readonly session: Session | null;
  /** Durable on this side. */
  readonly key: KeptKey | null;
  /** The partner has shown that it has this key, and that it is its key now. */
  readonly partnerKept: boolean;
  readonly partnerEstablished: boolean;
  readonly failed: number;
  readonly pausedUntilMs: number;
  readonly trouble: Trouble | null;
  readonly lastOutcome: Outcome | null;
  readonly dropped: Readonly<Record<Dropped, number>>;
}

export type PairingEvent =
  | { kind: 'received'; at: number; bytes: Buffer }
  | { kind: 'tick'; at: number }
  /** The operator has seen this code on the other console. */
  | { kind: 'confirm'; at: number; code: string }
  | { kind: 'differ'; at: number }
  | { kind: 'stop'; at: number }
  /** `keep` was done: the key is durable as pending. */
  | { kind: 'kept'; at: number; pairKey: string }
  | { kind: 'established'; at: number; pairKey: string }
  | { kind: 'diskFailed'; at: number; reason: string }
  /** Something authentic under the pending key was heard outside of pairing: a heartbeat. */
  | { kind: 'partnerProved'; at: number };

export type Duty =
  | { kind: 'send'; message: PairingMessage }
  /** Make it durable as pending, then say `kept`. Replaces an older pending key. */
  | { kind: 'keep'; pairKey: string }
  /** Make the pending key the key, then say `established`. */
  | { kind: 'establish'; pairKey: string }
  /** An attempt ended without a key. */
  | { kind: 'ended'; outcome: Outcome };

export interface PairingStep {
  state: PairingState;
  duties: Duty[];
}

export type RandomBytes = (bytes: number) => Uint8Array;

export function pairingStart(me: 'A' | 'B', pairId: string, key: KeptKey | null): PairingState {
  const dropped = Object.fromEntries(DROPPED.map((kind) => [kind, 0])) as Record<Dropped, number>;
  return {
    me,
    pairId,
    session: null,
    key,
    partnerKept: false,
    partnerEstablished: false,
    failed: 0,
    pausedUntilMs: Number.NEGATIVE_INFINITY,
    trouble: null,
    lastOutcome: null,
    dropped,
  };
}
