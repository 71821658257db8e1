// The words of the dialogue: what it has been told, what it sees around it, what happens, and what is to be done. Pure.
import type { Key } from '../console/serial/keys.ts';
import type { PairingView } from '../pairing/view.ts';
import { type Answers, PROPOSED, type Question, SHARED } from './answers.ts';
import { type CableReport, diagnoseCables, type Heard } from './cables.ts';
import type { HandOver } from './hand-over.ts';
import type { Machine, PlannedFile } from './plan.ts';
import { type NicFact, proposeRoles, type Role, type Roles } from './roles.ts';

export const PAGES = [
  'server',
  'ports',
  'cables',
  'pairing',
  'qualification',
  'management',
  'helpers',
  'password',
  'clock',
  'guest',
  'summary',
  'done',
] as const;
export type Page = (typeof PAGES)[number];

/** A place for the guest's copy. */
export interface DiskFact {
  /** A device, or a file on the state partition. */
  path: string;
  /** 'INTEL SSDPE2KX010T8, serial PHLJ..., 931 GiB' */
  text: string;
  mib: number;
  /** What it holds already, a sentence; '': nothing. */
  holds: string;
}

export interface QualificationFact {
  verdict: string;
  sentence: string;
  /** What differs, or is not known, worst first. */
  items: { item: string; a: string; b: string; rule: string }[];
}

/** What the other server was told, once the two are paired. */
export interface PartnerFacts {
  coServer: 'A' | 'B';
  managementAddress: string;
  /** Of the questions in SHARED, those that a person (or a file) has answered; and `password`: its hash. */
  answers: Partial<Record<Question, string>>;
  /** Its summary was agreed to: both write together. */
  isReady: boolean;
  /** JSON for the qualification. */
  hardware: unknown;
  /** It runs already, and this server takes its lost partner's place; null: it is set up, too. */
  handOver: HandOver | null;
  /** Of a server that replaces another one: its own BMC, for the other one's `fence`; address '': it has none. Null: not said. */
  bmc: { address: string; username: string; password: string; cipherSuite: 3 | 17 } | null;
}

/** Where a browser reaches the first start, and what it is let in by: said on the consoles only. */
export interface WebAccess {
  /** 'https://192.0.2.77/': one for each address; empty: no port has one yet. */
  urls: readonly string[];
  code: string;
  /** SHA-256 of its certificate, 'AB:CD:...'. */
  fingerprint: string;
}

/** What is around: read anew whenever something changes. */
export interface SetupFacts {
  version: string;
  identity: string;
  nowMs: number;
  /** ms since 1970. */
  clockMs: number;
  nics: readonly NicFact[];
  heard: readonly Heard[];
  /** Null: not begun. */
  pairing: PairingView | null;
  /** Of the pair whose key is kept here already; null: none. */
  keptPairId: string | null;
  partner: PartnerFacts | null;
  /** Null: not known yet. */
  qualification: QualificationFact | null;
  disks: readonly DiskFact[];
  /** Paths of what the guest boots from that are not there. */
  missing: readonly string[];
  machine: Machine;
  /** Null: consoles only. */
  web: WebAccess | null;
  stateFolder: string;
  runFolder: string;
}

/** What an answer file said (`answer-file.ts`). */
export interface FileAnswers {
  answers: Partial<Record<Question, string>>;
  /** Name or MAC address of the port for each use. */
  ports: Partial<Record<Exclude<Role, 'none'>, string>>;
  /** For the pairing without people; '': a person compares the code. */
  secret: string;
  /** Plain: hashed as soon as it is read; '' : none, or answers.password has its hash. */
  password: string;
  /** The disk may hold something already. */
  useDiskAsItIs: boolean;
  /** Asked before the state partition is made (appliance/encryption). */
  stateEncryption: 'none' | 'tpm2';
  /** Files beside the answer file that are copied to this server. */
  copies: Partial<Record<'guest.kernel' | 'guest.initrd', string>>;
}

export interface SetupState {
  page: Page;
  cursor: number;
  /** What a person or a file has answered. */
  values: Partial<Record<Question, string>>;
  /** Fields that are no answers: passwords while they are typed, words, confirmations. */
  typed: Readonly<Record<string, string>>;
  /** Null: as proposed. */
  roles: Roles | null;
  /** Said to the other server. */
  isServerChosen: boolean;
  /** The summary was agreed to; written as soon as the other server is ready too. */
  isAgreed: boolean;
  /** The latest thing to be read by who answers; '': nothing. */
  message: string;
  /** Being done: keys wait. */
  busy: 'password' | 'clock' | 'write' | null;
  /** Not null: the pages answer themselves as far as they can. */
  file: FileAnswers | null;
}

/** What a browser's page sends. */
export interface SetupForm {
  /** Of a page that is no longer there nothing counts. */
  page: Page;
  /** By id of the field; only what was changed. */
  values: Readonly<Record<string, string>>;
  turn: 'stay' | 'on' | 'back';
}

export type SetupEvent =
  | { kind: 'key'; key: Key }
  | { kind: 'form'; form: SetupForm }
  /** Something around has changed. */
  | { kind: 'looked' }
  | { kind: 'file'; file: FileAnswers }
  | { kind: 'hashed'; hash: string }
  /** null: done. */
  | { kind: 'clockSet'; problem: string | null }
  | { kind: 'written'; problem: string | null };

export type SetupDuty =
  | { kind: 'redraw' }
  | { kind: 'hash'; password: string }
  | { kind: 'setClock'; atMs: number }
  | { kind: 'confirm'; code: string }
  | { kind: 'differ' }
  /** The key that is kept here is given up: a new one is made. */
  | { kind: 'forgetKey' }
  | { kind: 'write'; files: PlannedFile[] };

export interface SetupStep {
  state: SetupState;
  duties: SetupDuty[];
}

export const setupStart = (): SetupState => ({
  page: 'server',
  cursor: 0,
  values: {},
  typed: {},
  roles: null,
  isServerChosen: false,
  isAgreed: false,
  message: '',
  busy: null,
  file: null,
});

export interface Cabling {
  roles: Roles;
  cables: CableReport;
}

/** The uses of the ports, chosen or proposed, and where the cables run. */
export function cablingOf(state: SetupState, facts: SetupFacts): Cabling {
  const coServer = state.isServerChosen ? sideOf(state.values.coServer) : null;
  const here = { identity: facts.identity, coServer, nics: facts.nics, areRolesChosen: state.roles !== null };
  const chosen = state.roles;
  const roles = chosen
    ? Object.fromEntries(facts.nics.map((n) => [n.mac, chosen[n.mac] ?? 'none']))
    : proposeRoles(facts.nics, diagnoseCables({ ...here, roles: {} }, facts.heard, facts.nowMs));
  return { roles, cables: diagnoseCables({ ...here, roles }, facts.heard, facts.nowMs) };
}

export const sideOf = (text: string | undefined): 'A' | 'B' | null => (text === 'A' || text === 'B' ? text : null);

/** What would be written now: told here, else told to the other server, else proposed. */
export function answersOf(state: SetupState, facts: SetupFacts): Answers {
  const theirs: Partial<Record<Question, string>> = {};
  for (const question of SHARED) {
    const said = facts.partner?.answers[question];
    if (said !== undefined) theirs[question] = said;
  }
  const place = facts.partner?.handOver?.management;
  const own = {
    ...(place ? { 'management.address': place.address, 'management.gateway': place.gateway } : {}),
    coServer: proposedSide(facts),
    'guest.disk': `${facts.stateFolder}/disks/guest`,
    'guest.kernel': `${facts.stateFolder}/guest/kernel`,
    'guest.initrd': `${facts.stateFolder}/guest/initrd`,
  };
  return { ...PROPOSED, ...own, ...theirs, ...state.values };
}

/** The letter that the other one does not have; without one, the lower identity begins. */
function proposedSide(facts: SetupFacts): string {
  const other = facts.heard.find((h) => h.beacon.identity !== facts.identity)?.beacon;
  if (!other) return 'A';
  if (other.coServer !== null) return other.coServer === 'A' ? 'B' : 'A';
  return facts.identity < other.identity ? 'A' : 'B';
}
