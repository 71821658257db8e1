// What one server tells the other while both are set up, and what is believed of it. Pure. It came under the pair's key, so from the partner; it
// is still looked at before it is used.
import { type Answers, answerProblem, PROPOSED, parseCidr, type Question, SHARED } from './answers.ts';
import type { HandOver } from './hand-over.ts';
import { PAGES, type Page, type PartnerFacts, type SetupState } from './state.ts';

/** Where each shared question is asked: it is told when that page has been left. */
const ASKED_ON = (question: Question): Page => (question.startsWith('guest.') ? 'guest' : 'helpers');

/** JSON. @param hardware What this server is made of; null: not read yet. @param isReplacement The other one runs: it is told this server's BMC. */
export function ownDocument(state: SetupState, answers: Answers, hardware: object | null, isReplacement = false): object {
  const isPast = (page: Page): boolean => PAGES.indexOf(state.page) > PAGES.indexOf(page);
  const told: Partial<Record<Question, string>> = {};
  for (const question of SHARED) if (isPast(ASKED_ON(question))) told[question] = answers[question];
  if (state.values.password !== undefined) told.password = state.values.password;
  return {
    coServer: answers.coServer,
    managementAddress: isPast('management') ? (parseCidr(answers['management.address'])?.address ?? '') : '',
    answers: told,
    isReady: state.isAgreed || state.page === 'done',
    hardware,
    bmc: isReplacement && isPast('helpers') ? bmcOf(answers) : null,
  };
}

function bmcOf(answers: Answers): PartnerFacts['bmc'] {
  const address = answers['bmc.address'];
  if (address === '') return { address, username: '', password: '', cipherSuite: 17 };
  const cipherSuite = answers['bmc.cipherSuite'] === '3' ? 3 : 17;
  return { address, username: answers['bmc.username'], password: answers['bmc.password'], cipherSuite };
}

/** Null: it says nothing that can be used. @param parse Of what a CoServer that runs hands over; null: it is none that this version knows. */
export function partnerFacts(
  value: unknown,
  partner: 'A' | 'B',
  parse: (value: unknown) => HandOver | null = () => null,
): PartnerFacts | null {
  if (!isRecord(value) || value['coServer'] !== partner || !isRecord(value['answers'])) return null;
  const { managementAddress, isReady, hardware, answers } = value;
  if (typeof managementAddress !== 'string' || typeof isReady !== 'boolean') return null;
  if (managementAddress !== '' && parseCidr(`${managementAddress}/32`) === null) return null;
  const told: Partial<Record<Question, string>> = {};
  for (const question of [...SHARED, 'password' as const]) {
    const text = (answers as Record<string, unknown>)[question];
    if (typeof text === 'string' && answerProblem(question, { ...PROPOSED, [question]: text }) === null) told[question] = text;
  }
  const given = value['handOver'];
  const handOver = given === undefined || given === null ? null : parse(given);
  // Of another version: nothing is begun with half of it.
  if (given !== undefined && given !== null && handOver === null) return null;
  return {
    coServer: partner,
    managementAddress,
    answers: told,
    isReady,
    hardware: hardware ?? null,
    handOver,
    bmc: partnerBmc(value['bmc']),
  };
}

function partnerBmc(value: unknown): PartnerFacts['bmc'] {
  if (!isRecord(value)) return null;
  const { address, username, password, cipherSuite } = value;
  if (typeof address !== 'string' || typeof username !== 'string' || typeof password !== 'string') return null;
  const asked: Answers = { ...PROPOSED, 'bmc.address': address, 'bmc.username': username, 'bmc.password': password };
  const isWrong = (['bmc.address', 'bmc.username', 'bmc.password'] as const).some((question) => answerProblem(question, asked) !== null);
  return isWrong ? null : { address, username, password, cipherSuite: cipherSuite === 3 ? 3 : 17 };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
