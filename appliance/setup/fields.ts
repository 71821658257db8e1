// The fields of each page: what is asked there, with what is in it now. Pure.
import type { Answers, Question } from './answers.ts';
import { ROLE_TEXT, ROLES } from './roles.ts';
import { answersOf, cablingOf, type SetupFacts, type SetupState } from './state.ts';

export interface Choice {
  value: string;
  text: string;
}

export interface Field {
  id: string;
  label: string;
  kind: 'text' | 'secret' | 'choice';
  value: string;
  /** Of a choice, in the order in which the space bar goes through them. */
  choices: readonly Choice[];
  /** The question that it answers; null: it is none of the questions (`state.typed`). */
  question: Question | null;
}

const NO_YES: readonly Choice[] = [
  { value: 'no', text: 'no' },
  { value: 'yes', text: 'yes' },
];

/** Behind it the code: what was said of one says nothing of the next. */
export const CODE_FIELD = 'code:';
export const PORT_FIELD = 'port:';
/** Typed to use a disk with something on it. */
export const USE_WORD = 'use';

export function fieldsOf(state: SetupState, facts: SetupFacts): Field[] {
  const answers = answersOf(state, facts);
  const text = (question: Question, label: string): Field => ({
    id: question,
    label,
    kind: 'text',
    value: answers[question],
    choices: [],
    question,
  });
  const secret = (id: string, label: string, question: Question | null = null): Field => ({
    id,
    label,
    kind: 'secret',
    value: question === null ? (state.typed[id] ?? '') : answers[question],
    choices: [],
    question,
  });
  const choice = (question: Question, label: string, choices: readonly Choice[]): Field => ({
    id: question,
    label,
    kind: 'choice',
    value: answers[question],
    choices,
    question,
  });
  const asked = (id: string, label: string, choices: readonly Choice[] = NO_YES): Field => ({
    id,
    label,
    kind: 'choice',
    value: state.typed[id] ?? choices[0]?.value ?? '',
    choices,
    question: null,
  });
  switch (state.page) {
    case 'server':
      return [
        choice('coServer', 'This server is', [
          { value: 'A', text: 'CoServer A' },
          { value: 'B', text: 'CoServer B' },
        ]),
      ];
    case 'ports': {
      const { roles } = cablingOf(state, facts);
      const choices = ROLES.map((value) => ({ value, text: ROLE_TEXT[value] }));
      return facts.nics.map((nic) => ({
        id: `${PORT_FIELD}${nic.mac}`,
        label: `${nic.number}`,
        kind: 'choice',
        value: roles[nic.mac] ?? 'none',
        choices,
        question: null,
      }));
    }
    case 'cables':
      return cablingOf(state, facts).cables.findings.some((f) => f.kind === 'wrong')
        ? [asked('anyway', 'Go on with them as they are')]
        : [];
    case 'pairing':
      return pairingFields(facts, asked);
    case 'qualification':
      return [];
    case 'management':
      return [text('management.address', 'Address of this server'), text('management.gateway', 'Router (may be empty)')];
    case 'helpers':
      return [
        text('witness.address', 'Address of the witness'),
        text('witness.port', 'Its port'),
        text('fence.address', "The other server's BMC"),
        ...(answers['fence.address'] === ''
          ? []
          : [
              text('fence.username', 'Its user'),
              secret('fence.password', 'Its password', 'fence.password'),
              text('fence.cipherSuite', 'Its cipher suite (17, older ones 3)'),
            ]),
        ...(facts.partner?.handOver ? ownBmcFields(answers, text, secret) : []),
      ];
    case 'password':
      return passwordFields(facts, asked, secret);
    case 'clock':
      return [text('clock', 'Right time, in UTC')];
    case 'guest':
      return guestFields(state, facts, answers, text, choice);
    case 'summary':
    case 'done':
      return [];
    default:
      return state.page satisfies never;
  }
}

/** The one that runs knows the BMC of the server that was replaced. */
function ownBmcFields(
  answers: Answers,
  text: (question: Question, label: string) => Field,
  secret: (id: string, label: string, question: Question | null) => Field,
): Field[] {
  const address = text('bmc.address', "This server's own BMC");
  if (answers['bmc.address'] === '') return [address];
  return [
    address,
    text('bmc.username', 'Its user'),
    secret('bmc.password', 'Its password', 'bmc.password'),
    text('bmc.cipherSuite', 'Its cipher suite (17, older ones 3)'),
  ];
}

type Asked = (id: string, label: string, choices?: readonly Choice[]) => Field;

function pairingFields({ pairing }: SetupFacts, asked: Asked): Field[] {
  switch (pairing?.phase) {
    case 'code':
      return [
        asked(`${CODE_FIELD}${pairing.code ?? ''}`, `The other one shows ${pairing.code ?? ''}`, [
          { value: '', text: '-' },
          { value: 'yes', text: 'yes, the same' },
          { value: 'no', text: 'no, another one' },
        ]),
      ];
    case 'paired':
      return [asked('again', 'Pair anew, with a new key')];
    case 'waiting':
    case 'confirmed':
    case 'keeping':
    case 'paused':
      return [];
    default:
      pairing?.phase satisfies undefined;
      return [];
  }
}

function passwordFields(facts: SetupFacts, asked: Asked, secret: (id: string, label: string) => Field): Field[] {
  const own = [secret('password1', 'Password'), secret('password2', 'The same again')];
  if (facts.partner?.answers.password === undefined) return own;
  const same = asked('same', 'As on the other server', [...NO_YES].reverse());
  return [same, ...(same.value === 'yes' ? [] : own)];
}

function guestFields(
  state: SetupState,
  facts: SetupFacts,
  answers: Answers,
  text: (question: Question, label: string) => Field,
  choice: (question: Question, label: string, choices: readonly Choice[]) => Field,
): Field[] {
  const path = answers['guest.disk'];
  const choices = facts.disks.map((d) => ({ value: d.path, text: !d.path.startsWith('/dev/') ? 'a file on the system disk' : d.path }));
  if (!choices.some((c) => c.value === path)) choices.push({ value: path, text: path });
  return [
    text('guest.name', 'Name'),
    choice('guest.level', 'Protection', [
      { value: '3', text: 'level 3: nobody notices a loss' },
      { value: '2', text: 'level 2: a loss restarts it' },
    ]),
    text('guest.memoryMiB', 'Memory, MiB'),
    text('guest.cpus', 'Processors'),
    text('guest.diskMiB', 'Disk, MiB'),
    choice('guest.disk', 'Its copy here lies on', choices),
    ...(diskOf(facts, path)?.holds
      ? [
          {
            id: 'word',
            label: `Type '${USE_WORD}' to use it`,
            kind: 'text' as const,
            value: state.typed['word'] ?? '',
            choices: [],
            question: null,
          },
        ]
      : []),
  ];
}

export const diskOf = (facts: SetupFacts, path: string) => facts.disks.find((d) => d.path === path);
