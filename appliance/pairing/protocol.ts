// Decides when two CoServers have the same key. Pure: (state, event, random) -> state and duties; time comes in as an argument.
//
//   A: calling --answer--> agreed --both operators confirm--> keeping --durable--> pending --partner has it--> established
//   B: (idle) --commit--> answered --reveal--> agreed --> ... the same
//
// Every message is repeated with every tick until the partner's next one shows that it came: loss, copies and order do not matter.
// The last message of any agreement may be lost, so the key is first kept as `pending`; it becomes the key when the partner proves
// that it has it too. A side that was stopped in between goes on there, whenever it comes back: it is never the only one with the key.
import { type AbortReason, decodePairing, NO_SESSION, type PairingBody, type PairingMessage } from '../wire/pairing.ts';
import { agree, commitmentOf, isSignedBy, keptKeyOf, macOf, type Offer, type OwnKeys, ownKeys, SECRET_BYTES } from './agreement.ts';
import type { Dropped, Duty, Outcome, PairingEvent, PairingState, PairingStep, RandomBytes, Session, Trouble } from './state.ts';

/** Soon for people, nothing for a link. */
export const TICK_MS = 250;
/** Twenty messages in a row that did not come: the partner's process is gone. */
export const SILENT_MS = 5_000;
/** Time for two people to compare six digits, over the telephone. */
export const CONFIRM_MS = 5 * 60_000;
/** Who stands between the CoServers has one guess in a million per attempt. So many attempts may fail in a row, then there is a pause ... */
export const ATTEMPTS_IN_A_ROW = 5;
/** ... that doubles to an hour: 125 guesses a day. */
export const PAUSE_MS = 60_000;
const PAUSE_MAX_MS = 60 * 60_000;

export function pairingStep(state: PairingState, event: PairingEvent, random: RandomBytes): PairingStep {
  switch (event.kind) {
    case 'received':
      return received(state, event.at, event.bytes, random);
    case 'tick':
      return tick(state, event.at, random);
    case 'confirm':
      return state.session?.kind === 'agreed' && state.session.agreement.code === event.code
        ? progress({ ...state, session: { ...state.session, confirmed: true } })
        : stay(state);
    case 'differ':
      return giveUp(state, event.at, 'differHere', 'differ');
    case 'stop':
      return { state: { ...state, session: null }, duties: state.session ? [send(abortOf(state, state.session.id, 'stopped'))] : [] };
    case 'kept':
      return repeat({ ...state, key: { pairKey: event.pairKey, stage: 'pending' }, partnerKept: false, trouble: null });
    case 'established':
      return repeat({ ...state, key: { pairKey: event.pairKey, stage: 'established' }, session: null, failed: 0, trouble: null });
    case 'diskFailed': {
      const step = giveUp(state, event.at, 'diskHere', 'disk');
      return { ...step, state: { ...step.state, trouble: { kind: 'disk', reason: event.reason } } };
    }
    case 'partnerProved':
      return establish(state);
    default:
      return event satisfies never;
  }
}

const stay = (state: PairingState): PairingStep => ({ state, duties: [] });
const send = (message: PairingMessage): Duty => ({ kind: 'send', message });

/** A key that is known to be the partner's too is not talked away again: pairing anew begins with forgetting it here. */
function takesPart(state: PairingState): boolean {
  return state.key?.stage !== 'established';
}

function messageOf(state: PairingState, session: string, body: PairingBody): PairingMessage {
  return { sender: state.me, session, pairId: state.pairId, body };
}

function abortOf(state: PairingState, session: string, reason: AbortReason): PairingMessage {
  return messageOf(state, session, { kind: 'abort', reason });
}

/** The bodies with a MAC in them. */
type Signed = PairingBody & { kind: 'confirm' | 'kept' };

function signed(state: PairingState, session: string, key: string, body: Signed): PairingMessage {
  return messageOf(state, session, { ...body, mac: macOf(key, { ...messageOf(state, session, body), body }) });
}

const NO_MAC = '00'.repeat(32);

/** All that the partner may lack, in the order in which it needs it. */
function repeat(state: PairingState): PairingStep {
  const messages: PairingMessage[] = [];
  const { key, session } = state;
  if (key) messages.push(signed(state, NO_SESSION, keptKeyOf(key.pairKey), { kind: 'kept', stage: key.stage, mac: NO_MAC }));
  switch (session?.kind) {
    case undefined:
      break;
    case 'calling': {
      const { publicKey, nonce } = session.own;
      const commitment = commitmentOf({ session: session.id, pairId: state.pairId, publicKey, nonce });
      messages.push(messageOf(state, session.id, { kind: 'commit', commitment }));
      break;
    }
    case 'answered':
      messages.push(messageOf(state, session.id, { kind: 'answer', publicKey: session.own.publicKey, nonce: session.own.nonce }));
      break;
    case 'agreed': {
      const { offer, answer, agreement } = session;
      messages.push(
        state.me === 'A'
          ? messageOf(state, session.id, { kind: 'reveal', publicKey: offer.publicKey, nonce: offer.nonce })
          : messageOf(state, session.id, { kind: 'answer', ...answer }),
      );
      if (session.confirmed) messages.push(signed(state, session.id, agreement.confirmKeys[state.me], { kind: 'confirm', mac: NO_MAC }));
      break;
    }
    default:
      session satisfies never;
  }
  return { state, duties: messages.map((message) => send(message)) };
}

/** After a confirmation: the key is kept when both are there, and not before. */
function progress(state: PairingState): PairingStep {
  const { session } = state;
  const step = repeat(state);
  if (session?.kind === 'agreed' && session.confirmed && session.partnerConfirmed && state.key?.pairKey !== session.agreement.pairKey)
    step.duties.push({ kind: 'keep', pairKey: session.agreement.pairKey });
  return step;
}

function establish(state: PairingState): PairingStep {
  return state.key?.stage === 'pending' ? { state, duties: [{ kind: 'establish', pairKey: state.key.pairKey }] } : stay(state);
}

function tick(state: PairingState, at: number, random: RandomBytes): PairingStep {
  const { session } = state;
  if (session && session.kind !== 'calling' && at - session.heardAtMs > SILENT_MS) return giveUp(state, at, 'silent', 'timeout');
  if (session?.kind === 'agreed' && !(session.confirmed && session.partnerConfirmed) && at - session.sinceMs > CONFIRM_MS)
    return giveUp(state, at, 'timeout', 'timeout');
  if (!session && state.me === 'A' && takesPart(state) && at >= state.pausedUntilMs) {
    const id = Buffer.from(random(16)).toString('hex');
    return repeat({ ...state, session: { kind: 'calling', id, own: ownKeys(random(SECRET_BYTES)) } });
  }
  return repeat(state);
}

/** Ends the attempt; tells the partner, whose operator should not wait. Calling alone was no attempt: nobody has seen anything yet. */
function giveUp(state: PairingState, at: number, outcome: Outcome, reason: AbortReason | null): PairingStep {
  const { session } = state;
  if (!session) return stay(state);
  const failed = state.failed + (session.kind === 'calling' ? 0 : 1);
  const row = Math.floor(failed / ATTEMPTS_IN_A_ROW);
  const pauses = session.kind !== 'calling' && failed % ATTEMPTS_IN_A_ROW === 0;
  const pausedUntilMs = pauses ? at + Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** (row - 1)) : state.pausedUntilMs;
  const duties: Duty[] = reason ? [send(abortOf(state, session.id, reason))] : [];
  return {
    state: { ...state, session: null, failed, pausedUntilMs, lastOutcome: outcome },
    duties: [...duties, { kind: 'ended', outcome }],
  };
}

function drop(state: PairingState, kind: Dropped, trouble: Trouble | null = state.trouble): PairingStep {
  return stay({ ...state, trouble, dropped: { ...state.dropped, [kind]: state.dropped[kind] + 1 } });
}

function received(state: PairingState, at: number, bytes: Buffer, random: RandomBytes): PairingStep {
  const reading = decodePairing(bytes);
  switch (reading.kind) {
    case 'malformed':
      return drop(state, 'malformed');
    case 'version':
      return drop(state, 'version', { kind: 'version', version: reading.version });
    case 'message':
      break;
    default:
      return reading satisfies never;
  }
  const { message } = reading;
  if (message.sender === state.me)
    return message.session === state.session?.id || message.session === NO_SESSION
      ? drop(state, 'reflected')
      : drop(state, 'sameSide', { kind: 'sameSide' });
  if (message.pairId !== state.pairId) return drop(state, 'otherPair', { kind: 'otherPair', pairId: message.pairId });
  const { body } = message;
  if (body.kind === 'kept') return heardKept(state, { ...message, body });
  if (!takesPart(state)) {
    // It begins anew, so it has no key; one that only lost this attempt's last message has shown that it has it.
    return body.kind === 'commit' && !state.partnerKept
      ? drop(state, 'otherSession', { kind: 'partnerHasNone' })
      : drop(state, 'otherSession');
  }
  if (body.kind === 'commit') return heardCommit(state, at, message.session, body.commitment, random);
  const { session } = state;
  if (!session || message.session !== session.id) return drop(state, 'otherSession');
  switch (body.kind) {
    case 'answer':
      return heardAnswer(state, session, at, body);
    case 'reveal':
      return heardReveal(state, session, at, body);
    case 'confirm': {
      // Before the reveal it cannot be checked: it comes again.
      if (session.kind !== 'agreed') return drop(state, 'otherSession');
      const partner = state.me === 'A' ? 'B' : 'A';
      if (!isSignedBy(session.agreement.confirmKeys[partner], { ...message, body })) return drop(state, 'forged');
      return progressOnce(state, { ...session, partnerConfirmed: true, heardAtMs: at });
    }
    case 'abort':
      return giveUp(state, at, THERE[body.reason], null);
    default:
      return body satisfies never;
  }
}

const THERE: Readonly<Record<AbortReason, Outcome>> = {
  differ: 'differThere',
  stopped: 'stoppedThere',
  timeout: 'timeout',
  disk: 'diskThere',
};

/** A repeated confirmation is no reason to answer: two sides would talk without end. */
function progressOnce(state: PairingState, session: Session & { kind: 'agreed' }): PairingStep {
  const isNew = state.session?.kind === 'agreed' && !state.session.partnerConfirmed;
  return isNew ? progress({ ...state, session }) : stay({ ...state, session });
}

function heardKept(state: PairingState, message: PairingMessage & { body: PairingBody & { kind: 'kept' } }): PairingStep {
  const { key } = state;
  if (!key)
    return message.body.stage === 'established' ? drop(state, 'otherSession', { kind: 'partnerHasKey' }) : drop(state, 'otherSession');
  if (!isSignedBy(keptKeyOf(key.pairKey), message)) return drop(state, 'forged');
  const isEstablished = message.body.stage === 'established';
  // The partner has it durably, and so has this side: from here neither can be left alone with it.
  return establish({ ...state, trouble: null, partnerKept: true, partnerEstablished: state.partnerEstablished || isEstablished });
}

/** Only B takes commits. The first caller holds the attempt until it falls silent: another one cannot push it away. */
function heardCommit(state: PairingState, at: number, id: string, commitment: string, random: RandomBytes): PairingStep {
  const { session } = state;
  if (state.me === 'A') return drop(state, 'forged');
  if (at < state.pausedUntilMs) return drop(state, 'paused');
  if (session?.id === id) {
    if (session.kind !== 'answered') return drop(state, 'otherSession');
    if (session.commitment !== commitment) return drop(state, 'contradicting', { kind: 'contradicting' });
    return stay({ ...state, session: { ...session, heardAtMs: at } });
  }
  if (session) return drop(state, 'otherSession');
  return repeat({
    ...state,
    trouble: lasting(state.trouble),
    session: { kind: 'answered', id, own: ownKeys(random(SECRET_BYTES)), commitment, heardAtMs: at },
  });
}

interface Opened {
  publicKey: string;
  nonce: string;
}

function heardAnswer(state: PairingState, session: Session, at: number, { publicKey, nonce }: Opened): PairingStep {
  if (state.me === 'B' || session.kind === 'answered') return drop(state, 'forged');
  if (session.kind === 'agreed') return heardAgain(state, session, at, session.answer, { publicKey, nonce });
  const { own, id } = session;
  const offer: Offer = { session: id, pairId: state.pairId, publicKey: own.publicKey, nonce: own.nonce };
  return agreed(state, at, own, offer, { publicKey, nonce });
}

function heardReveal(state: PairingState, session: Session, at: number, { publicKey, nonce }: Opened): PairingStep {
  if (state.me === 'A' || session.kind === 'calling') return drop(state, 'forged');
  if (session.kind === 'agreed') return heardAgain(state, session, at, session.offer, { publicKey, nonce });
  const { own, id } = session;
  const offer: Offer = { session: id, pairId: state.pairId, publicKey, nonce };
  if (commitmentOf(offer) !== session.commitment) return drop(state, 'contradicting', { kind: 'contradicting' });
  return agreed(state, at, own, offer, { publicKey: own.publicKey, nonce: own.nonce });
}

function heardAgain(state: PairingState, session: Session & { kind: 'agreed' }, at: number, known: Opened, heard: Opened): PairingStep {
  if (known.publicKey !== heard.publicKey || known.nonce !== heard.nonce) return drop(state, 'contradicting', { kind: 'contradicting' });
  return stay({ ...state, session: { ...session, heardAtMs: at } });
}

/** A new attempt answers what stood in the way of hearing each other; not a disk that cannot be written. */
function lasting(trouble: Trouble | null): Trouble | null {
  return trouble?.kind === 'disk' ? trouble : null;
}

function agreed(state: PairingState, at: number, own: OwnKeys, offer: Offer, answer: Opened): PairingStep {
  const agreement = agree(own, state.me, offer, answer);
  if (!agreement) {
    const step = giveUp(
      { ...state, session: { kind: 'answered', id: offer.session, own, commitment: '', heardAtMs: at } },
      at,
      'hostile',
      null,
    );
    return { ...step, state: drop(step.state, 'forged').state };
  }
  return repeat({
    ...state,
    trouble: lasting(state.trouble),
    session: {
      kind: 'agreed',
      id: offer.session,
      offer,
      answer,
      agreement,
      confirmed: false,
      partnerConfirmed: false,
      sinceMs: at,
      heardAtMs: at,
    },
  });
}
