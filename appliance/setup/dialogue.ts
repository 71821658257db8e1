// The first start as a conversation: (state, what happened, what is around) -> state and duties. Pure: no device, no clock, no chance.
//
//   server -> ports -> cables -> pairing -> qualification -> management -> helpers -> password -> clock -> guest -> summary -> done
//
// Every page may be gone back to. Pairing comes early: what follows is told to one server and taken over by the other. With an answer file
// the pages answer themselves, by the same rules, until one cannot: there it stops, says why, and a person may go on.
import { answerProblem, firstProblem, parseCidr, parseClock, passwordProblem, QUESTIONS, type Question, SHARED } from './answers.ts';
import { CODE_FIELD, diskOf, fieldsOf, USE_WORD } from './fields.ts';
import { formInput, type Input, keyInput, roleOf, withinFields } from './input.ts';
import { planFiles } from './plan.ts';
import { ROLE_TEXT, type Role, type Roles, roleProblem } from './roles.ts';
import {
  answersOf,
  cablingOf,
  PAGES,
  type Page,
  type SetupDuty,
  type SetupEvent,
  type SetupFacts,
  type SetupState,
  type SetupStep,
} from './state.ts';

/** Asked where the other server runs already and is to know them. */
const OWN_BMC: readonly Question[] = ['bmc.address', 'bmc.username', 'bmc.password', 'bmc.cipherSuite'];

export function setupStep(state: SetupState, event: SetupEvent, facts: SetupFacts): SetupStep {
  switch (event.kind) {
    case 'key':
      if (event.key.kind === 'redraw') return stay(state, { kind: 'redraw' });
      return isWaiting(state) ? stay(state) : onInput(keyInput(state, event.key, facts), facts);
    case 'form':
      // Of a page that has been left meanwhile: not for this one.
      return isWaiting(state) || event.form.page !== state.page ? stay(state) : onInput(formInput(state, event.form, facts), facts);
    case 'looked':
      return state.isAgreed ? write(state, facts) : byItself(withoutOld(withinFields(state, facts), facts), facts);
    case 'file':
      return byItself(withFile(state, event.file), facts);
    case 'hashed': {
      // The password itself is forgotten as soon as its hash is there.
      const { password1: _1, password2: _2, ...typed } = state.typed;
      const told = { ...state, busy: null, typed, values: { ...state.values, password: event.hash } };
      const file = state.file ? { ...state.file, password: '' } : null;
      return byItself(state.page === 'password' ? turn({ ...told, file }, 1) : { ...told, file }, facts);
    }
    case 'clockSet': {
      const told = { ...state, busy: null };
      if (event.problem !== null) return stay({ ...told, message: event.problem });
      return byItself(turn({ ...told, values: { ...state.values, clock: '' } }, 1), facts);
    }
    case 'written':
      if (event.problem === null) return stay({ ...state, busy: null, isAgreed: false, page: 'done', message: '' });
      // Not again and again by itself: somebody has to do something about it.
      return stay({ ...withoutFile(state), busy: null, isAgreed: false, page: 'summary', message: event.problem });
    default:
      return event satisfies never;
  }
}

const stay = (state: SetupState, ...duties: SetupDuty[]): SetupStep => ({ state, duties });
const say = (state: SetupState, message: string): SetupStep => stay({ ...state, message });

function turn(state: SetupState, by: 1 | -1): SetupState {
  const page = PAGES[PAGES.indexOf(state.page) + by] ?? state.page;
  // From the last page nothing leads back: what is written counts.
  return state.page === 'done' ? state : { ...state, page, cursor: 0, message: '', typed: {}, isAgreed: false };
}

// ---- what a person does --------------------------------------------------------------------------------------------------------

const isWaiting = (state: SetupState): boolean => state.busy !== null || state.page === 'done';

function onInput({ state, turn: way }: Input, facts: SetupFacts): SetupStep {
  switch (way) {
    case 'stay':
      return stay(state);
    case 'on':
      return advance(state, facts);
    case 'back':
      return stay(turn(withoutFile(state), -1));
    default:
      return way satisfies never;
  }
}

/** A person who goes back wants to answer by hand. */
const withoutFile = (state: SetupState): SetupState => ({ ...state, file: null });

// ---- forward -------------------------------------------------------------------------------------------------------------------

/** The page is answered, as far as who answers is concerned: on to the next, or what is wrong. */
function advance(state: SetupState, facts: SetupFacts): SetupStep {
  switch (state.page) {
    case 'server': {
      const { coServer } = answersOf(state, facts);
      const problem = answerProblem('coServer', answersOf(state, facts));
      return problem ? say(state, problem) : stay(turn({ ...state, values: { ...state.values, coServer }, isServerChosen: true }, 1));
    }
    case 'ports': {
      const { roles } = cablingOf(state, facts);
      const problem = roleProblem(facts.nics, roles);
      return problem ? say(state, problem) : stay(turn({ ...state, roles }, 1));
    }
    case 'cables':
      return cablesDone(state, facts);
    case 'pairing':
      return pairingDone(state, facts);
    case 'qualification':
      return stay(turn(state, 1));
    case 'management':
      return checked(state, facts, ['management.address', 'management.gateway']);
    case 'helpers':
      return checked(state, facts, [
        'witness.address',
        'witness.port',
        'fence.address',
        'fence.username',
        'fence.password',
        'fence.cipherSuite',
        ...(facts.partner?.handOver ? OWN_BMC : []),
      ]);
    case 'password':
      return passwordDone(state, facts);
    case 'clock': {
      const step = checked(state, facts, ['clock']);
      const atMs = parseClock(answersOf(state, facts).clock);
      return atMs === null || step.state.page === 'clock' ? step : stay({ ...state, busy: 'clock' }, { kind: 'setClock', atMs });
    }
    case 'guest':
      return guestDone(state, facts);
    case 'summary':
      return agree(state, facts);
    case 'done':
      return stay(state);
    default:
      return state.page satisfies never;
  }
}

function checked(state: SetupState, facts: SetupFacts, questions: readonly Question[]): SetupStep {
  const answers = answersOf(state, facts);
  const found = firstProblem(questions, answers);
  if (!found) {
    // Seen and agreed to: from now on it is this server's answer too.
    const seen = Object.fromEntries(questions.map((q) => [q, answers[q]]));
    return stay(turn({ ...state, values: { ...state.values, ...seen } }, 1));
  }
  const at = fieldsOf(state, facts).findIndex((f) => f.question === found.question);
  return say({ ...state, cursor: Math.max(0, at) }, found.problem);
}

const CABLES_WRONG = "Not yet: put right what is marked, or answer 'Go on with them as they are' with yes.";

const areCablesWrong = (state: SetupState, facts: SetupFacts): boolean =>
  cablingOf(state, facts).cables.findings.some((f) => f.kind === 'wrong');

function cablesDone(state: SetupState, facts: SetupFacts): SetupStep {
  if (!areCablesWrong(state, facts) || state.typed['anyway'] === 'yes') return stay(turn(state, 1));
  return say(state, CABLES_WRONG);
}

/** What was said of cables that are right by now. */
const withoutOld = (state: SetupState, facts: SetupFacts): SetupState =>
  state.message === CABLES_WRONG && !areCablesWrong(state, facts) ? { ...state, message: '' } : state;

function pairingDone(state: SetupState, facts: SetupFacts): SetupStep {
  const { pairing } = facts;
  if (pairing?.phase === 'paired') {
    if (state.typed['again'] !== 'yes') return stay(turn(state, 1));
    return stay({ ...state, typed: {}, message: 'The key is given up: a new code follows.' }, { kind: 'forgetKey' });
  }
  const said = state.typed[`${CODE_FIELD}${pairing?.code ?? ''}`] ?? '';
  if (pairing?.phase === 'code' && pairing.code !== null && said !== '')
    return said === 'yes'
      ? stay({ ...state, typed: {} }, { kind: 'confirm', code: pairing.code })
      : stay({ ...state, typed: {} }, { kind: 'differ' });
  if (pairing?.phase === 'code') return say(state, "Look at the other server's screen, then answer.");
  return say(state, pairing?.sentence ?? 'No other server is heard yet: start its setup too.');
}

function passwordDone(state: SetupState, facts: SetupFacts): SetupStep {
  const theirs = facts.partner?.answers.password;
  const wantsTheirs = theirs !== undefined && (state.typed['same'] ?? 'yes') === 'yes' && (state.typed['password1'] ?? '') === '';
  if (wantsTheirs && state.values.password === undefined) return stay(turn({ ...state, values: { ...state.values, password: theirs } }, 1));
  const first = state.typed['password1'] ?? '';
  // Set before, and nothing typed now: it stays.
  if (first === '' && state.values.password !== undefined) return stay(turn(state, 1));
  const problem = passwordProblem(first);
  const again = { ...state, typed: { ...state.typed, password1: '', password2: '' }, cursor: theirs === undefined ? 0 : 1 };
  if (problem) return say(again, problem);
  if (first !== state.typed['password2']) return say(again, 'The two were not the same: type both again.');
  return stay({ ...state, busy: 'password' }, { kind: 'hash', password: first });
}

function guestDone(state: SetupState, facts: SetupFacts): SetupStep {
  const step = checked(
    state,
    facts,
    QUESTIONS.filter((q) => q.startsWith('guest.')),
  );
  if (step.state.page === 'guest') return step;
  const answers = answersOf(state, facts);
  const disk = diskOf(facts, answers['guest.disk']);
  const path = answers['guest.disk'];
  if (facts.disks.length === 0) return say(state, LOOKING_AT_DISKS);
  if (!disk) return say(state, `${path} is no place for it on this server: choose one of ${facts.disks.map((d) => d.path).join(', ')}.`);
  if (disk.mib < Number(answers['guest.diskMiB']))
    return say(state, `There is room for ${disk.mib} MiB on ${disk.path}: make the guest's disk smaller, or choose another place.`);
  const mayUse = state.typed['word'] === USE_WORD || state.file?.useDiskAsItIs === true;
  if (disk.holds !== '' && !mayUse)
    return say({ ...state, cursor: fieldsOf(state, facts).length - 1 }, `${disk.holds} Choose another place, or type '${USE_WORD}'.`);
  return step;
}

const LOOKING_AT_DISKS = 'The disks of this server are being looked at.';

/** Questions whose answers must be the same on both, and are not. */
export function differences(state: SetupState, facts: SetupFacts): { question: Question; here: string; there: string }[] {
  const answers = answersOf(state, facts);
  return SHARED.flatMap((question) => {
    const there = facts.partner?.answers[question];
    return there === undefined || there === answers[question] ? [] : [{ question, here: answers[question], there }];
  });
}

/** Why the answers cannot be written yet; null: they can. */
export function whyNotWritten(state: SetupState, facts: SetupFacts): string | null {
  const [different] = differences(state, facts);
  if (different)
    return `${different.question} is '${different.here}' here and '${different.there}' on the other server: it must be the same.`;
  const found = firstProblem(QUESTIONS, answersOf(state, facts));
  if (found) return `${found.question}: ${found.problem}`;
  const problem = roleProblem(facts.nics, cablingOf(state, facts).roles);
  if (problem) return problem;
  if (facts.pairing?.phase !== 'paired') return 'The two servers are no longer paired: go back to the pairing.';
  const own = parseCidr(answersOf(state, facts)['management.address'])?.address;
  if (facts.partner === null) return "Nothing is known of the other server's answers yet: it says them by itself once the two are paired.";
  if (facts.partner?.managementAddress === own) return `Both servers have the address ${own}: each needs its own.`;
  return null;
}

/** Once: it is agreed. Once more: written, though the other server is not ready. */
function agree(state: SetupState, facts: SetupFacts): SetupStep {
  const problem = whyNotWritten(state, facts);
  if (problem !== null) return say({ ...state, isAgreed: false }, problem);
  // A server that replaces another one waits for the one that runs: it goes over to the new key first.
  const mayForce = state.file === null && !facts.partner?.handOver;
  return state.isAgreed && mayForce ? writeNow(state, facts) : write({ ...state, isAgreed: true }, facts);
}

/** Both at once: so neither starts with what the other one still changes. */
function write(state: SetupState, facts: SetupFacts): SetupStep {
  if (state.busy !== null || state.page !== 'summary') return stay(state);
  const problem = whyNotWritten(state, facts);
  if (problem !== null) return say({ ...state, isAgreed: false }, problem);
  if (facts.partner?.isReady) return writeNow(state, facts);
  return say(state, 'Agreed. It starts as soon as the other server is as far: go on there.');
}

function writeNow(state: SetupState, facts: SetupFacts): SetupStep {
  const { machine, nics, stateFolder, runFolder, partner } = facts;
  const files = planFiles({
    answers: answersOf(state, facts),
    nics,
    roles: cablingOf(state, facts).roles,
    pairId: facts.pairing?.pairId ?? '',
    machine,
    partner: { managementAddress: partner?.managementAddress ?? '', handOver: partner?.handOver ?? null },
    stateFolder,
    runFolder,
  });
  return stay({ ...state, busy: 'write', message: '' }, { kind: 'write', files });
}

// ---- an answer file ------------------------------------------------------------------------------------------------------------

function withFile(state: SetupState, file: NonNullable<SetupState['file']>): SetupState {
  return { ...state, page: 'server', cursor: 0, message: '', file, roles: null, values: { ...state.values, ...file.answers } };
}

/** The ports that the file names, once all of them are there: drivers take their time. */
function namedPorts(file: NonNullable<SetupState['file']>, facts: SetupFacts): { roles: Roles } | { missing: string } | null {
  const roles: Record<string, Role> = {};
  for (const [role, port] of Object.entries(file.ports)) {
    const nic = facts.nics.find((n) => n.name === port || n.mac === port.toLowerCase());
    if (!nic)
      return {
        missing: `The answer file names the port '${port}' for '${ROLE_TEXT[roleOf(role)]}': this server has none of that name or MAC address.`,
      };
    roles[nic.mac] = roleOf(role);
  }
  return Object.keys(roles).length === 0 ? null : { roles };
}

/** As far as the file's answers lead. Pages that show something wait for it; a page that is in the way says why. */
function byItself(before: SetupState, facts: SetupFacts): SetupStep {
  const { file } = before;
  const ports = file && before.page === 'ports' ? namedPorts(file, facts) : null;
  if (ports && 'missing' in ports) return say(before, ports.missing);
  const state = ports ? { ...before, roles: ports.roles } : before;
  if (!file || state.busy !== null || state.isAgreed || state.page === 'done') return stay(state);
  if (file.password !== '' && state.values.password === undefined)
    return stay({ ...state, busy: 'password' }, { kind: 'hash', password: file.password });
  const waits = waitsFor(state, facts);
  if (waits !== null) return stay({ ...state, message: waits });
  const step = advance(state, facts);
  if (step.state.page === state.page || step.duties.length > 0) return step;
  const next = byItself(step.state, facts);
  return { state: next.state, duties: [...step.duties, ...next.duties] };
}

/** What an unattended page waits for, before it is tried: not an error, and gone by itself. */
function waitsFor(state: SetupState, facts: SetupFacts): string | null {
  const page: Page = state.page;
  if (page === 'ports' && state.roles === null) return waitsForPorts(state, facts);
  if (page === 'pairing' && facts.pairing?.phase !== 'paired')
    return facts.pairing?.phase === 'code' && !state.file?.secret
      ? 'The answer file has no pairing.secret: compare the codes and answer here.'
      : (facts.pairing?.sentence ?? 'Waiting for the other server.');
  if (page === 'qualification' && facts.qualification === null) return 'Waiting for what the other server is made of.';
  if (page === 'guest' && facts.disks.length === 0) return LOOKING_AT_DISKS;
  if (page === 'summary' && facts.partner === null) return 'Waiting for the answers of the other server.';
  return null;
}

/** The cables decide: first they must be heard, and one of the two servers has to begin. */
function waitsForPorts(state: SetupState, facts: SetupFacts): string | null {
  const { cables } = cablingOf(state, facts);
  const heard = cables.ports.flatMap((p) => (p.state.kind === 'partner' ? [p.state] : []));
  if (heard.length < 2)
    return 'Waiting to hear the other server on two ports: then they become the links. Name the ports in the answer file not to wait.';
  return cables.partnerLeads && heard.every((h) => h.role === 'none')
    ? 'Waiting for the other server to say what its ports are for.'
    : null;
}
