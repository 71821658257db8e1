// Runs the protocol on this machine: the links' sockets, the clock, randomness, the key file. One per CoServer at a time; consoles and
// the command line look at its view and speak to it.
import { randomBytes } from 'node:crypto';
import { decodeHeartbeat, heartbeatKey } from '../wire/heartbeat.ts';
import { encodePairing } from '../wire/pairing.ts';
import { establishPending, keepPending, loadPending } from './key-file.ts';
import { LinkPort } from './link-port.ts';
import { pairingStep, TICK_MS } from './protocol.ts';
import { type Duty, type KeptKey, type Outcome, type PairingEvent, type PairingState, pairingStart } from './state.ts';
import { type PairingView, pairingView } from './view.ts';

/** After this side has the key it goes on telling its partner, until that one has said that it has it too: so long at most. */
const LINGER_MS = 10_000;
/** A flood must not take the process: a second has four ticks with a few messages each on every link. */
const MESSAGES_PER_TICK = 64;

export interface PairingSetup {
  coServer: 'A' | 'B';
  pairId: string;
  keyFile: string;
  nics: string[];
  /** Established here already (hex): it only helps the partner to finish. Null: a key is wanted. */
  pairKey: string | null;
}

export type Reply = { accepted: true } | { accepted: false; reason: string };

export interface PairingHost {
  view(): PairingView;
  /** Sentences about links that cannot be used now. */
  linkProblems(): string[];
  /** Answers the function that ends the listening. */
  onChange(listener: () => void): () => void;
  /** An attempt ended without a key. */
  onEnded(listener: (outcome: Outcome) => void): void;
  /** The operator says: the other console shows `code`. Another one than this console's ends the attempt on both sides. */
  confirm(code: string): Reply;
  /** The operator says: it shows another code. */
  differ(): Reply;
  /** The key file is there, and the partner has it too or was told for long enough. */
  readonly paired: Promise<PairingView>;
  close(): void;
}

export function startPairing(setup: PairingSetup): PairingHost {
  const now = () => performance.now();
  const pending = setup.pairKey === null ? loadPending(setup.keyFile, setup.pairId) : null;
  const kept: KeptKey | null = setup.pairKey
    ? { pairKey: setup.pairKey, stage: 'established' }
    : pending
      ? { pairKey: pending, stage: 'pending' }
      : null;
  let state: PairingState = pairingStart(setup.coServer, setup.pairId, kept);
  let shown = '';
  let budget = MESSAGES_PER_TICK;
  let establishedAt = kept?.stage === 'established' ? now() : null;
  let closed = false;
  const listeners = new Set<() => void>();
  const endListeners = new Set<(outcome: Outcome) => void>();
  let resolvePaired: (view: PairingView) => void = () => undefined;
  const paired = new Promise<PairingView>((resolve) => {
    resolvePaired = resolve;
  });

  const feed = (event: PairingEvent): void => {
    if (closed) return;
    const step = pairingStep(state, event, randomBytes);
    state = step.state;
    for (const duty of step.duties) obey(duty);
    const view = pairingView(state, now());
    const picture = JSON.stringify(view);
    if (picture === shown) return;
    shown = picture;
    for (const listener of listeners) listener();
  };
  const durable = (work: () => void, done: (at: number) => PairingEvent): void => {
    try {
      work();
    } catch (error) {
      feed({ kind: 'diskFailed', at: now(), reason: (error as Error).message });
      return;
    }
    feed(done(now()));
  };
  const obey = (duty: Duty): void => {
    switch (duty.kind) {
      case 'send': {
        const bytes = encodePairing(duty.message);
        for (const link of links) link.send(bytes);
        return;
      }
      case 'keep': {
        const { pairKey } = duty;
        durable(
          () => keepPending(setup.keyFile, pairKey, setup.pairId),
          (at) => ({ kind: 'kept', at, pairKey }),
        );
        return;
      }
      case 'establish': {
        const { pairKey } = duty;
        durable(
          () => establishPending(setup.keyFile, pairKey),
          (at) => ({ kind: 'established', at, pairKey }),
        );
        return;
      }
      case 'ended':
        for (const listener of endListeners) listener(duty.outcome);
        return;
      default:
        duty satisfies never;
    }
  };
  const heard = (bytes: Buffer): void => {
    if (budget <= 0) return;
    budget--;
    feed({ kind: 'received', at: now(), bytes });
  };
  const heardHeartbeat = (bytes: Buffer): void => {
    const { key } = state;
    if (key?.stage !== 'pending' || budget <= 0) return;
    budget--;
    const reading = decodeHeartbeat(bytes, heartbeatKey(Buffer.from(setup.pairId, 'hex'), Buffer.from(key.pairKey, 'hex')));
    if (reading.kind === 'frame' && reading.frame.sender !== setup.coServer) feed({ kind: 'partnerProved', at: now() });
  };
  const links = setup.nics.map((nic) => new LinkPort(nic, { pairing: heard, heartbeat: heardHeartbeat }));

  const tick = (): void => {
    budget = MESSAGES_PER_TICK;
    for (const link of links) link.look(state.key?.stage === 'pending');
    feed({ kind: 'tick', at: now() });
    if (state.key?.stage !== 'established') return;
    establishedAt ??= now();
    if (state.partnerEstablished || now() - establishedAt > LINGER_MS) resolvePaired(pairingView(state, now()));
  };
  const timer = setInterval(tick, TICK_MS);
  tick();

  return {
    view: () => pairingView(state, now()),
    linkProblems: () => links.flatMap((link) => (link.problem ? [`${link.nic}: ${link.problem}`] : [])),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onEnded: (listener) => endListeners.add(listener),
    confirm: (code) => {
      const reply = mayConfirm(pairingView(state, now()), code);
      if (reply.accepted) feed({ kind: 'confirm', at: now(), code: reply.code });
      else if (reply.differs) feed({ kind: 'differ', at: now() });
      return reply.accepted ? { accepted: true } : { accepted: false, reason: reply.reason };
    },
    differ: () => {
      if (pairingView(state, now()).code === null) return { accepted: false, reason: 'No code is shown now.' };
      feed({ kind: 'differ', at: now() });
      return { accepted: true };
    },
    paired,
    close: () => {
      if (closed) return;
      clearInterval(timer);
      feed({ kind: 'stop', at: now() });
      closed = true;
      for (const link of links) link.close();
    },
  };
}

type Verdict = { accepted: true; code: string } | { accepted: false; differs: boolean; reason: string };

function mayConfirm({ code, phase }: PairingView, typed: string): Verdict {
  if (phase === 'keeping' || phase === 'paired')
    return { accepted: false, differs: false, reason: 'Both operators have confirmed already.' };
  if (code === null) return { accepted: false, differs: false, reason: 'No code is shown now: wait until both consoles show one.' };
  // People write it as two groups.
  if (typed.replace(/[\s-]/g, '') === code) return { accepted: true, code };
  return { accepted: false, differs: true, reason: `This console shows ${code}, not ${typed}: the codes differ, nothing was kept.` };
}
