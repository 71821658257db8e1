// Which arbiter is valid, and how both CoServers change it together while duplex. Never two kinds at once: if one side could be
// granted by the witness while the other shoots it, acknowledged writes would be lost.
//
// Every change goes over `named(primary)`, where the secondary has no right at all:
//
//   witness --secondary gives up first--> named(primary) --primary gives up first--> fence        (and back the same way)
//
// Towards the hub the secondary records first (it loses its right), then the primary (it gains the right to go at once). Away
// from the hub the primary records first (it needs a grant from now on), then the secondary (it may be granted too). So at every
// moment, and after a power loss at any moment, either both hold the same kind or the secondary holds none.
//
// The primary's wish is numbered and the secondary's answer names the number: an answer to an earlier wish, still on its way while
// the wish went back and forth, would otherwise be taken for one to the latest.
import { type Arbiter, type ArbiterSight, named, type PartnerStatus, persist, type State, type Work } from './state.ts';

/** The kinds, best first: the witness needs nobody's BMC, fencing restarts nobody who is named away. */
export function bestArbiter(s: State, held: Arbiter): Arbiter {
  const { partner } = s;
  const own = has(s, s.witness, held === 'witness');
  // While one side reaches it, it still decides (row 3); a side that comes to it anew needs it on both.
  if (held === 'witness' ? own || partner?.arbiters.witness : own && partner?.arbiters.witness) return 'witness';
  if (has(s, s.fence, held === 'fence') && partner?.arbiters.fence) return 'fence';
  return named(s.me);
}

/** Held: good until it has been lost for a while. Not held: only when it has been back for a while. */
function has(s: State, sight: ArbiterSight, isHeld: boolean): boolean {
  if (!sight.configured) return false;
  if (isHeld) return sight.ok || !lost(s, sight);
  return sight.ok && s.now - sight.since >= s.timing.arbiterBackMs;
}

function lost(s: State, sight: ArbiterSight): boolean {
  return !sight.ok && s.now - sight.since >= s.timing.arbiterLostMs;
}

/** The arbiter a pair begins its duplex life with: what is usable now, without any wait. */
export function firstArbiter(s: State): Arbiter {
  if (s.witness.ok && s.partner?.arbiters.witness) return 'witness';
  if (s.fence.ok && s.partner?.arbiters.fence) return 'fence';
  return named(s.me);
}

export function onArbiterSight(work: Work, which: 'witness' | 'fence', ok: boolean, reason: string): void {
  const { state, commands } = work;
  const before = state[which];
  if (before.ok === ok && before.reason === reason) return;
  const isFirst = before.reason === 'not asked yet';
  const after: ArbiterSight = { ...before, ok, reason, since: before.ok === ok && !isFirst ? before.since : state.now };
  if (which === 'witness') state.witness = after;
  else state.fence = after;
  if (before.ok === ok && !isFirst) return;
  state.revision++;
  const bothWell = state.phase.kind === 'duplex' || state.phase.kind === 'secondary';
  const outlook = !bothWell
    ? ''
    : ` The pair stays as it is${state.record.arbiter === which ? ' and changes its arbiter if this lasts' : ''}.`;
  if (which === 'witness')
    commands.push(
      ok
        ? { kind: 'record', severity: 'info', row: isFirst ? null : '10', text: 'The witness answers and would decide.' }
        : { kind: 'record', severity: 'warning', row: bothWell ? '8' : null, text: `The witness does not help: ${reason}.${outlook}` },
    );
  else
    commands.push(
      ok
        ? { kind: 'record', severity: 'info', row: null, text: "The way to the partner's management controller is proven." }
        : {
            kind: 'record',
            severity: 'warning',
            row: bothWell ? '11' : null,
            text: `The way to the partner's management controller is not proven: ${reason}.${outlook}`,
          },
    );
}

/** Level-driven: one step of the change each time the partner's record allows it. */
export function tickArbiters(work: Work): void {
  const { state } = work;
  const { phase, partner } = state;
  if (phase.kind === 'duplex' && partner && isShared(state)) lead(work, partner);
  else if (phase.kind === 'secondary' && partner?.phase === 'duplex' && isShared(state)) follow(work, partner);
  else if (state.wish !== null) state.wish = null;
}

function lead(work: Work, partner: PartnerStatus): void {
  const { state } = work;
  const { record } = state;
  const best = bestArbiter(state, record.arbiter);
  const hub = named(state.me);
  const next = record.arbiter === best || record.arbiter === hub ? best : hub;
  if (state.wish?.arbiter !== next) {
    state.wish = { arbiter: next, number: ++state.wishes };
    state.revision++;
  }
  if (next === record.arbiter) return;
  // At the hub the secondary is at the hub too, and leaves it only after this side.
  const hasGivenUp = partner.record.arbiter === hub && partner.wishSeen === state.wish.number;
  if (record.arbiter === hub || hasGivenUp) change(work, next);
}

function follow(work: Work, partner: PartnerStatus): void {
  const { state } = work;
  const { wish } = partner;
  if (!wish) return;
  const hub = named(partner.coServer);
  const mayFollow = wish.arbiter === hub || (state.record.arbiter === hub && partner.record.arbiter === wish.arbiter);
  if (wish.arbiter !== state.record.arbiter) {
    if (!mayFollow) return;
    change(work, wish.arbiter);
  }
  if (state.wishSeen === wish.number) return;
  state.wishSeen = wish.number;
  state.revision++;
}

function isShared({ partner, record }: State): boolean {
  if (!partner || partner.record.generation !== record.generation) return false;
  return (
    (record.standing === 'duplexPrimary' && partner.record.standing === 'duplexSecondary') ||
    (record.standing === 'duplexSecondary' && partner.record.standing === 'duplexPrimary')
  );
}

function change(work: Work, to: Arbiter): void {
  const { state, commands } = work;
  const from = state.record.arbiter;
  persist(work, { arbiter: to });
  commands.push({
    kind: 'record',
    severity: to === 'witness' ? 'info' : 'warning',
    row: rowOf(state, from, to),
    text: `If the partner is lost now: ${arbiterSentence(to)}`,
  });
}

/** The row that a change belongs to: the witness is back (10), lost (8), or only the fence path has changed (11). */
function rowOf({ witness, partner }: State, from: Arbiter, to: Arbiter): string {
  const witnessDecides = witness.ok && partner?.arbiters.witness === true;
  if (to === 'witness' || (from !== 'witness' && witnessDecides)) return '10';
  return from === 'witness' || (witness.configured && !witness.ok) ? '8' : '11';
}

/** What decides when the partner is lost. */
export function arbiterSentence(arbiter: Arbiter): string {
  switch (arbiter) {
    case 'witness':
      return 'the witness decides who goes on.';
    case 'fence':
      return 'whoever remains switches the other off through its management controller, and goes on.';
    case 'namedA':
      return 'CoServer A goes on; if A is the one that is lost, B freezes until A or the operator is back.';
    case 'namedB':
      return 'CoServer B goes on; if B is the one that is lost, A freezes until B or the operator is back.';
  }
}
