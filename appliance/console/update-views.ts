// The software in words: what runs on both CoServers, what the next start takes, how an update of the pair goes, and what may be asked for.
// It is no part of the picture: whoever shows it asks `GET /api/update` (api/update-routes.ts). Pure.
import type { CoServerName, Snapshot } from '../core/snapshot.ts';
import { ageText, printable, rateText, sizeText } from './format.ts';
import { isRolling, type UpdatePicture, type UpdateState, type UpdateVerb } from './update-state.ts';
import { type ActionModel, type Fact, fact, type ProgressModel, type Tone } from './view-models.ts';

export interface SoftwareModel {
  tone: Tone;
  /** In a few words. */
  word: string;
  sentence: string;
  servers: { name: CoServerName; here: boolean; facts: Fact[] }[];
  pair: { tone: Tone; title: string; text: string; progress: ProgressModel | null } | null;
  /** Of an upload that somebody makes now. */
  upload: ProgressModel | null;
  /** Why none can be begun now; empty: one can. null: there are none here. */
  whyNoUpload: string | null;
  actions: ActionModel[];
}

/** Names of the actions, as the consoles know them. */
export const UPDATE_VERBS: Readonly<Record<string, UpdateVerb>> = {
  'update-pair': 'start',
  'allow-guest-restart': 'allowRestart',
  'stop-pair-update': 'stop',
  'restart-server': 'restart',
  'go-back': 'rollback',
};

const NO_IMAGE =
  "This CoServer was not started from an appliance image, so it cannot update itself: its software is updated by whoever installed it. Where a server is started from Twinstep's image, updates are uploaded here.";

export function softwareModel(s: Snapshot, state: UpdateState): SoftwareModel {
  const nothing = { servers: [], pair: null, upload: null, whyNoUpload: null, actions: [] };
  switch (state.kind) {
    case 'none':
      return { ...nothing, tone: 'info', word: `version ${ownVersion(s)}`, sentence: NO_IMAGE };
    case 'unknown':
      return { ...nothing, tone: 'unknown', word: 'not known now', sentence: printable(state.reason) };
    case 'known': {
      const { picture: p } = state;
      return {
        ...headOf(s, p),
        servers: (['A', 'B'] as const).map((name) =>
          name === s.coServer ? { name, here: true, facts: ownFacts(p) } : { name, here: false, facts: partnerFacts(s, p) },
        ),
        pair: pairOf(p),
        upload: p.upload ? transferModel('Upload', p.upload.received, p.upload.bytes, null) : null,
        whyNoUpload: whyNoUpload(p),
        actions: actionsOf(s, p, state.forcible),
      };
    }
    default:
      throw new Error(`unknown state ${String(state satisfies never)}`);
  }
}

function headOf(s: Snapshot, p: UpdatePicture): Pick<SoftwareModel, 'tone' | 'word' | 'sentence'> {
  const { version, trial, received, next } = p;
  if (trial)
    return {
      tone: 'warning',
      word: `version ${version}, on trial`,
      sentence: `This version has not been found healthy yet. If that does not come about, this CoServer goes back by itself; ${startsText(trial.triesLeft)}.`,
    };
  if (next !== version)
    return { tone: 'info', word: `version ${version}, then ${next}`, sentence: `The next start of this CoServer takes version ${next}.` };
  const waits = received === null ? '' : ` Version ${received} is here and waits to be told to the boot.`;
  const other = p.partner?.version ?? heardVersion(s);
  if (other !== null && other !== version)
    return {
      tone: isRolling(p) ? 'info' : 'warning',
      word: `version ${version}`,
      sentence: printable(`The CoServers run different versions: this one ${version}, the other one ${other}.${waits}`),
    };
  return { tone: 'good', word: `version ${version}`, sentence: `This version was found healthy.${waits}` };
}

function ownFacts({ version, slot, trial, other, received, next, engine, partner }: UpdatePicture): Fact[] {
  return [
    fact('Runs', `${version}, from slot ${slot}`),
    ...engineFact(engine, partner?.engine),
    trial ? fact('State', `on trial, ${startsText(trial.triesLeft)}`, 'warning') : fact('State', 'found healthy', 'good'),
    fact('Other slot', otherText(other, received), other && !other.isUsable ? 'warning' : 'info'),
    fact('Next start', next === version ? `${next} again` : next),
  ];
}

function otherText(other: UpdatePicture['other'], received: string | null): string {
  if (received !== null) return `${received}: received, not told to the boot yet`;
  return other ? `${other.version}: ${other.text}` : 'no version to go back to';
}

const startsText = (left: number): string => (left === 0 ? 'no more start is left' : `${left} more start${left === 1 ? '' : 's'} left`);

/** Two that differ are not compared: the pair runs at protection level 2 then. */
function engineFact(engine: string | undefined, other: string | undefined): Fact[] {
  if (!engine) return [];
  return [fact('Engine', printable(`QEMU ${engine}`), other && other !== engine ? 'warning' : 'info')];
}

function partnerFacts(s: Snapshot, { partner, version, engine }: UpdatePicture): Fact[] {
  if (!partner) {
    const heard = heardVersion(s);
    return [
      heard === null ? fact('Runs', 'not known: it is not heard', 'unknown') : fact('Runs', heard, heard === version ? 'info' : 'warning'),
    ];
  }
  return [
    fact('Runs', partner.version, partner.version === version ? 'info' : 'warning'),
    ...engineFact(partner.engine, engine),
    partner.onTrial ? fact('State', 'on trial', 'warning') : fact('State', 'found healthy', 'good'),
    ...(partner.received ? [fact('Received', partner.received)] : []),
    ...(partner.givenUp ? [fact('Given up', `${partner.givenUp}: tried there, not healthy`, 'warning')] : []),
  ];
}

/** What the partner says of itself at every heartbeat; its slots are not known by that. */
function heardVersion(s: Snapshot): string | null {
  return s.coServers.find((c) => c.name !== s.coServer && c.present)?.version ?? null;
}

const PAIR_STATES: Readonly<Record<NonNullable<UpdatePicture['pair']>['state'], { tone: Tone; word: string }>> = {
  sending: { tone: 'info', word: 'is being sent to the other CoServer' },
  rolling: { tone: 'info', word: 'rolls across the pair' },
  stopped: { tone: 'warning', word: 'has stopped' },
  done: { tone: 'good', word: 'is done' },
};

function pairOf({ pair }: UpdatePicture): SoftwareModel['pair'] {
  if (!pair) return null;
  const { tone, word } = PAIR_STATES[pair.state];
  return {
    tone: pair.asksRestartGuest ? 'warning' : tone,
    title: `The update of the pair to ${printable(pair.target)} ${pair.asksRestartGuest ? 'waits for a decision' : word}`,
    text: printable(pair.text),
    progress: pair.sent ? transferModel('Sent', pair.sent.bytes, pair.sent.of, pair.sent.bytesPerSecond) : null,
  };
}

function whyNoUpload(p: UpdatePicture): string {
  if (p.trial)
    return `Version ${p.version} is on trial: what it would go back to must not be overwritten. It can be uploaded once this one was found healthy.`;
  if (isRolling(p)) return 'The pair is being updated: stop that first, or wait for its end.';
  if (p.upload) return `Another upload goes on, from ${printable(p.upload.by)}: wait for its end.`;
  return p.isBusy ? 'Another update is being written here: wait for its end.' : '';
}

function actionsOf(s: Snapshot, p: UpdatePicture, forcible: Partial<Record<UpdateVerb, string>>): ActionModel[] {
  const waiting = p.received ?? (p.next === p.version ? null : p.next);
  const force = (verb: UpdateVerb): ActionModel['typed'] => {
    const reason = forcible[verb];
    return reason === undefined
      ? null
      : { word: 'force', meaning: printable(`It was refused: ${reason} By force it is done all the same.`) };
  };
  const actions: Omit<ActionModel, 'group' | 'number'>[] = [
    ...pairActions(s, p, waiting),
    {
      name: 'restart-server',
      label: `Restart this server (${s.coServer})`,
      allowed: true,
      reason: forcible.restart ?? (waiting === null ? '' : `it then tries version ${p.next}`),
      typed: force('restart'),
    },
    // The one that the next start takes anyway is nothing to ask for.
    ...(p.other && p.next !== p.other.version
      ? [
          {
            name: 'go-back',
            label: backLabel(p.other.version, p.version),
            allowed: true,
            reason: forcible.rollback ?? 'from the next start of this server on',
            typed: force('rollback'),
          },
        ]
      : []),
  ];
  let number = 0;
  return actions.map((a) => ({
    ...a,
    label: printable(a.label),
    reason: printable(a.reason),
    group: 'software',
    number: a.allowed ? ++number : null,
  }));
}

function backLabel(other: string, running: string): string {
  const isNewer = other.localeCompare(running, 'en', { numeric: true }) > 0;
  return isNewer ? `Take version ${other} again` : `Go back to ${other}`;
}

/** Empty: it may begin, as far as can be seen from here. */
function whyNoPairUpdate({ partner }: UpdatePicture, target: string | null): string {
  if (target === null) return 'upload an update first';
  if (!partner) return 'the other CoServer is not heard: both take part in it';
  return partner?.givenUp === target ? 'it was given up on the other CoServer: upload a corrected version' : '';
}

function pairActions(s: Snapshot, p: UpdatePicture, waiting: string | null): Omit<ActionModel, 'group' | 'number'>[] {
  // Missing: this CoServer does not know how; null: nothing goes on.
  if (p.pair === undefined) return [];
  const guest = s.workload.name;
  const target = waiting ?? (p.pair?.state === 'stopped' && p.pair.target === p.version ? p.version : null);
  const whyNot = whyNoPairUpdate(p, target);
  return [
    ...(isRolling(p)
      ? []
      : [
          {
            name: 'update-pair',
            label: target === null ? 'Update the pair' : `Update the pair to ${target}`,
            allowed: whyNot === '',
            reason: whyNot || 'one CoServer after the other; the guest goes on',
            typed: null,
          },
        ]),
    ...(p.pair?.asksRestartGuest
      ? [
          {
            name: 'allow-guest-restart',
            label: `Let ${guest} restart`,
            allowed: true,
            reason: `the update cannot go on otherwise: ${guest} is shut down and starts again`,
            typed: {
              word: 'restart',
              meaning: `The guest ${guest} is shut down and started again, once, and its clients notice. Nothing that it has written is lost.`,
            },
          },
        ]
      : []),
    ...(isRolling(p) || p.pair?.asksRestartGuest
      ? [
          {
            name: 'stop-pair-update',
            label: 'Stop the update of the pair',
            allowed: true,
            reason: 'each CoServer stays as it is',
            typed: null,
          },
        ]
      : []),
  ];
}

/** `bytesPerSecond` null: nobody measured it. */
export function transferModel(what: string, done: number, of: number, bytesPerSecond: number | null): ProgressModel {
  const fraction = of > 0 ? Math.min(1, Math.max(0, done / of)) : 0;
  const parts = [`${sizeText(done)} of ${sizeText(of)}`];
  if (bytesPerSecond !== null && bytesPerSecond > 0) {
    parts.push(rateText(bytesPerSecond));
    if (fraction < 1) parts.push(`${ageText(Math.max(1, Math.round((of - done) / bytesPerSecond)) * 1000)} left`);
  }
  return { what, fraction, percent: `${Math.floor(fraction * 100)} %`, detail: parts.join(', ') };
}

function ownVersion(s: Snapshot): string {
  return printable(s.coServers.find((c) => c.name === s.coServer)?.version ?? 'not known');
}
