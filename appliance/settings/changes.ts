// What an operator may change after the first start: what is shown of it, and what of what was typed is refused. Pure. The rules of an answer are
// those of the first start (setup/answers.ts).
import type { CoServerConfig } from '../config.ts';
import type { SettingField, SettingGroup } from '../console/settings-state.ts';
import { type Answers, firstProblem, PROPOSED, parseCidr, passwordProblem, type Question } from '../setup/answers.ts';
import { managementOf } from './nics.ts';

export const SETTINGS = ['password', 'management', 'fence', 'witness', 'level'] as const;
export type Setting = (typeof SETTINGS)[number];

/** Of an old password that is shown nowhere: it is none of the answers. */
const KEPT = 'kept';

export interface Known {
  /** As it is in the file. */
  config: CoServerConfig;
  /** The file `nics` beside it; null: this machine's addresses are not ours. */
  nics: string | null;
  /** Why nothing at all may be changed now; '': it may. */
  whyNothing: string;
  /** Why the witness may not be changed now; ''. */
  whyNotWitness: string;
  /** As configured, and as this process runs: another one until it was started again. */
  level: 2 | 3;
  runsAtLevel: 2 | 3;
  /** Why the level may not be changed now; ''. */
  whyNotLevel: string;
}

export type Change =
  | { kind: 'password'; old: string; password: string }
  | { kind: 'management'; address: string; gateway: string }
  /** `password` null: as it is. */
  | { kind: 'fence'; address: string; username: string; password: string | null; cipherSuite: 3 | 17 }
  | { kind: 'witness'; address: string; port: number }
  | { kind: 'level'; level: 2 | 3 };

const field = (id: string, label: string, value: string): SettingField => ({ id, label, kind: 'text', value, choices: [] });
const secret = (id: string, label: string): SettingField => ({ id, label, kind: 'secret', value: '', choices: [] });

const RESTARTS = 'This process then starts again; the guest runs on.';

export function groupsOf(known: Known): SettingGroup[] {
  return SETTINGS.map((name) => {
    const group = groupOf(name, known);
    return { ...group, name, whyNot: known.whyNothing || group.whyNot };
  });
}

function groupOf(name: Setting, known: Known): Omit<SettingGroup, 'name'> {
  const { config } = known;
  const other = config.coServer === 'A' ? 'B' : 'A';
  switch (name) {
    case 'password': {
      const isSet = config.console.passwordHash !== '';
      return {
        title: "The administrator's password",
        now: isSet ? 'It is set.' : 'None is set: nobody can sign in at the web and serial consoles.',
        effect: `Whoever is signed in elsewhere is signed out. Where CoServer ${other} has the same one, it takes the new one too.`,
        fields: [
          ...(isSet ? [secret('old', 'The present password')] : []),
          secret('new', 'The new one'),
          secret('again', 'The new one again'),
        ],
        whyNot: '',
      };
    }
    case 'management': {
      const now = managementOf(known.nics, config);
      return {
        title: 'Address in the network of the operators',
        now: `${now?.address ?? config.management.address}${now?.gateway ? `, router ${now.gateway}` : ''}.`,
        effect: `${RESTARTS} Asked for at the web console, the old address comes back by itself unless somebody says at the new one that it is to stay.`,
        fields: [
          field('address', 'Address of this server', now?.address ?? config.management.address),
          field('gateway', 'Router (may be empty)', now?.gateway ?? ''),
        ],
        whyNot: now
          ? ''
          : "The addresses of this machine are not Twinstep's own: whoever installed it sets them, and management.address in the configuration.",
      };
    }
    case 'fence': {
      const { address, username, cipherSuite } = config.fence;
      return {
        title: `BMC of CoServer ${other}, which switches it off`,
        now: address === '' ? 'None is configured.' : `${address}, user ${username}, cipher suite ${cipherSuite}.`,
        effect: `It is asked first whether it answers. ${RESTARTS} An empty address: none.`,
        fields: [
          field('address', 'Its address', address),
          field('username', 'Its user', username),
          secret('password', address === '' ? 'Its password' : 'Its password (empty: as it is)'),
          {
            ...field('cipherSuite', 'Its cipher suite', `${cipherSuite}`),
            kind: 'choice',
            choices: [
              { value: '17', text: '17' },
              { value: '3', text: '3 (older BMCs)' },
            ],
          },
        ],
        whyNot: '',
      };
    }
    case 'witness': {
      const { address, port } = config.witness;
      return {
        title: 'Witness',
        now: `${address}, port ${port}.`,
        effect: 'Both CoServers take it, at once. The pair must be enrolled there.',
        fields: [field('address', 'Its address', address), field('port', 'Its port', `${port}`)],
        whyNot: known.whyNotWitness,
      };
    }
    case 'level': {
      const { level, runsAtLevel } = known;
      return {
        title: 'Protection level of the pair',
        now: `${LEVELS[level]}.${level === runsAtLevel ? '' : ` This process still runs at level ${runsAtLevel}: it starts again in its turn.`}`,
        effect:
          'Both processes start again, the one without the guest first. Level 2 needs a watchdog, level 3 two servers that qualify for lockstep.',
        fields: [
          {
            ...field('level', 'Level', `${level}`),
            kind: 'choice',
            choices: [
              { value: '3', text: LEVELS[3] },
              { value: '2', text: LEVELS[2] },
            ],
          },
        ],
        whyNot: known.whyNotLevel,
      };
    }
    default:
      return name satisfies never;
  }
}

const LEVELS: Readonly<Record<2 | 3, string>> = { 3: 'Level 3: nobody notices a loss', 2: 'Level 2: a loss restarts the guest' };

/** What is wanted; or what is wrong with it, a sentence with its remedy that never repeats a secret. */
export function changeOf(name: Setting, values: Readonly<Record<string, string>>, known: Known): Change | { problem: string } {
  const { config } = known;
  if (Object.values(values).some((v) => /[^\P{Cc}]/u.test(v))) return { problem: 'There is a control character in it: type it anew.' };
  const value = (id: string): string => values[id] ?? '';
  switch (name) {
    case 'password': {
      const problem = passwordProblem(value('new'));
      if (problem !== null) return { problem };
      if (value('new') !== value('again')) return { problem: 'The two were not the same: type both again.' };
      if (value('new') === value('old')) return { problem: 'That is the password that there is already.' };
      return { kind: 'password', old: value('old'), password: value('new') };
    }
    case 'management': {
      const [address, gateway] = [value('address').trim(), value('gateway').trim()];
      const problem = problemOf({ 'management.address': address, 'management.gateway': gateway });
      if (problem !== null) return { problem };
      const own = parseCidr(address)?.address;
      if (own === config.management.peer) return { problem: `CoServer ${otherOf(config)} has the address ${own}: each needs its own.` };
      const now = managementOf(known.nics, config);
      if (now?.address === address && now.gateway === gateway) return { problem: UNCHANGED };
      return { kind: 'management', address, gateway };
    }
    case 'fence':
      return fenceOf(value, config);
    case 'witness': {
      const [address, port] = [value('address').trim(), value('port').trim()];
      const problem = problemOf({ 'witness.address': address, 'witness.port': port });
      if (problem !== null) return { problem };
      if (address === config.witness.address && Number(port) === config.witness.port) return { problem: UNCHANGED };
      return { kind: 'witness', address, port: Number(port) };
    }
    case 'level': {
      const level = value('level') === '2' ? 2 : 3;
      if (value('level') !== `${level}`) return { problem: '2 or 3 is needed.' };
      return level === known.level ? { problem: UNCHANGED } : { kind: 'level', level };
    }
    default:
      return name satisfies never;
  }
}

const UNCHANGED = 'It is so already: nothing was changed.';

function fenceOf(value: (id: string) => string, { fence }: CoServerConfig): Change | { problem: string } {
  const address = value('address').trim();
  const [username, typed, cipherSuite] = [value('username'), value('password'), value('cipherSuite')];
  const isKept = typed === '' && fence.address !== '' && fence.passwordFile !== '';
  const problem = problemOf({
    'fence.address': address,
    'fence.username': username,
    'fence.password': isKept ? KEPT : typed,
    'fence.cipherSuite': cipherSuite,
  });
  if (problem !== null) return { problem };
  const suite = cipherSuite === '3' ? 3 : 17;
  const isSame = address === fence.address && (address === '' || (username === fence.username && suite === fence.cipherSuite && isKept));
  if (isSame) return { problem: UNCHANGED };
  return { kind: 'fence', address, username, password: isKept ? null : typed, cipherSuite: suite };
}

function problemOf(given: Partial<Answers>): string | null {
  return firstProblem(Object.keys(given) as Question[], { ...PROPOSED, ...given })?.problem ?? null;
}

export const otherOf = ({ coServer }: Pick<CoServerConfig, 'coServer'>): 'A' | 'B' => (coServer === 'A' ? 'B' : 'A');
