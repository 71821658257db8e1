// The window in which a new server may take the lost partner's place: may it be opened, what the consoles show of it, what may be asked. Pure.
//
//   closed --operator: the old one is off--> open --codes alike on both--> agreed --answers there--> committed --restart--> telling --heard--> closed
//
// Who may run is not decided here. Only the owner of the present generation, recorded as running alone, may take somebody new in: by an arbiter's
// grant, the old partner's own yield, or the operator's force the old partner is excluded from this generation already (core/arbitration.ts).
import type { ActionView, AttentionView } from '../core/snapshot.ts';
import type { State } from '../core/state.ts';
import type { PairingView } from '../pairing/view.ts';

/** For finding the new server on the cables and for comparing six digits. */
export const OPEN_MS = 15 * 60_000;
/** For the questions that are left at the new server. */
export const ANSWERS_MS = 60 * 60_000;

export const ACCEPT = 'accept-replacement';
export const END = 'end-replacement';
export const CONFIRM = 'confirm-replacement-';
export const DIFFER = 'replacement-codes-differ';
export const OFF_WORD = 'off';
/** How the history's sentence begins when it came to nothing, and ends when it came to its end. */
export const GIVEN_UP = 'No replacement is accepted any more';
export const TAKEN_IN = "has taken the old one's place.";
/** Of the process (runtime/witness-key.ts). */
const WITNESS_KEY = 'show-witness-key';

export type WindowStage = 'closed' | 'open' | 'agreed' | 'committed' | 'telling';

export interface WindowFacts {
  stage: WindowStage;
  leftMs: number;
  view: PairingView | null;
  /** Sentences about links that cannot be used. */
  problems: readonly string[];
}

/** Null: it may be opened, and may stay open. Else why not, with the remedy. */
export function whyNotReplace(s: State): string | null {
  const other = s.me === 'A' ? 'B' : 'A';
  if (s.partnerHeard || s.partner !== null) return `CoServer ${other} is heard: only one that is gone is replaced. Switch it off first.`;
  if (s.otherPathUp) return `CoServer ${other} is heard over the management network: it lives. Switch it off first.`;
  if (s.record.standing !== 'simplex')
    return `This CoServer does not know whether it may run, so it takes nobody in. When you have seen that CoServer ${other} is off, start here by force first.`;
  if (s.record.maintenance) return 'This CoServer is out for maintenance: bring it back first.';
  if (s.phase.kind === 'diverged') return `There are two histories: choose one first.`;
  if (s.phase.kind !== 'running' && s.phase.kind !== 'off')
    return 'Possible while the guest runs here, or is switched off, and no change is under way.';
  return null;
}

export function replacementActions(f: WindowFacts, s: State): ActionView[] {
  const other = s.me === 'A' ? 'B' : 'A';
  const isOpen = f.stage === 'open' || f.stage === 'agreed';
  const why = f.stage === 'committed' ? 'A replacement is being taken in.' : isOpen ? 'It is open already.' : (whyNotReplace(s) ?? '');
  const accept: ActionView = {
    name: ACCEPT,
    label: `Accept a replacement for CoServer ${other}`,
    allowed: why === '',
    reason: why,
    typed: {
      word: OFF_WORD,
      meaning: `CoServer ${other} must be off and stay away. Its key opens nothing any more, it never joins again, and what only it has written is lost. Should it run on unseen, two speak for the guest.`,
    },
  };
  if (!isOpen) return [accept];
  const code = f.view?.phase === 'code' ? f.view.code : null;
  const answers: ActionView[] =
    code === null
      ? []
      : [
          { name: `${CONFIRM}${code}`, label: `The new server shows ${code} too: confirm`, allowed: true, reason: '' },
          { name: DIFFER, label: 'The new server shows another code: stop', allowed: true, reason: '' },
        ];
  return [accept, ...answers, { name: END, label: 'No longer accept a replacement', allowed: true, reason: '' }];
}

export function replacementAttention(f: WindowFacts, s: State): AttentionView[] {
  const other = s.me === 'A' ? 'B' : 'A';
  const base = { kind: 'replacement' as const, row: null, leftMs: null, endsWhen: [], ways: [] };
  switch (f.stage) {
    case 'closed':
      return [];
    case 'open': {
      const code = f.view?.phase === 'code' ? f.view.code : null;
      const told = [
        pairingSentence(f.view, other),
        inReplacement(f.view?.trouble ?? '', other),
        ...f.problems.map((p) => `Link ${p}.`),
      ].filter((t) => t !== '');
      return [
        {
          ...base,
          severity: 'warning',
          title: `A new server may take the place of CoServer ${other}`,
          sentence: told.join(' '),
          leftMs: f.leftMs,
          endsWhen: ['nobody comes in time', `CoServer ${other} is heard again`],
          ways: [
            ...(code === null
              ? []
              : [
                  { text: `Its screen shows ${code}, too:`, action: `${CONFIRM}${code}` },
                  { text: 'It shows another code:', action: DIFFER },
                ]),
            { text: 'Nobody is to come:', action: END },
          ],
        },
      ];
    }
    case 'agreed':
      return [
        {
          ...base,
          severity: 'warning',
          title: `A new server is being set up as CoServer ${other}`,
          sentence: 'The new key is agreed. What is known here of the pair was told: answer the rest on its screen.',
          leftMs: f.leftMs,
          endsWhen: ['it is answered there', `CoServer ${other} is heard again`],
          ways: [{ text: 'Give it up: nothing has changed here yet.', action: END }],
        },
      ];
    case 'committed':
    case 'telling':
      return [
        {
          ...base,
          severity: 'warning',
          title: `A new server takes the place of CoServer ${other}`,
          sentence: `The new key counts, and the old server's is worth nothing any more. The new one starts now; its copy is then made equal. The witness knows the old key only: remove the pair there, and enrol it again.`,
          endsWhen: [`the new CoServer ${other} is heard`],
          ways: [
            { text: 'What the witness needs:', action: WITNESS_KEY },
            { text: 'If the new one is lost before it starts, another one can be taken in:', action: ACCEPT },
          ],
        },
      ];
    default:
      return f.stage satisfies never;
  }
}

/** The words of a pairing, for a new server that is being set up. */
function pairingSentence(view: PairingView | null, other: 'A' | 'B'): string {
  if (view?.phase === 'waiting' || view === null)
    return `Start the new server with the cables of the old one. Its first screens ask which server it is (${other}), and its ports; then both show a code.`;
  return inReplacement(view.sentence, other);
}

function inReplacement(sentence: string, other: 'A' | 'B'): string {
  return sentence
    .replaceAll(`the console of CoServer ${other}`, "the new server's screen")
    .replaceAll(`the operator at CoServer ${other}`, 'whoever is at the new server')
    .replace(/run 'twinstep pair --again' (there|here to make a new one)/, "answer 'Pair anew' with yes on its page 'pairing'");
}
