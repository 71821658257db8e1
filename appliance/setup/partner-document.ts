// What one server tells the other while both are set up, and what is believed of it. Pure. It came under the pair's key, so from the partner; it
// is still looked at before it is used.
import { type Answers, answerProblem, PROPOSED, parseCidr, type Question, SHARED } from './answers.ts';
import { PAGES, type Page, type PartnerFacts, type SetupState } from './state.ts';

/** Where each shared question is asked: it is told when that page has been left. */
const ASKED_ON = (question: Question): Page => (question.startsWith('guest.') ? 'guest' : 'helpers');

/** JSON. @param hardware What this server is made of; null: not read yet. */
export function ownDocument(state: SetupState, answers: Answers, hardware: object | null): object {
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
  };
}

/** Null: it says nothing that can be used. */
export function partnerFacts(value: unknown, partner: 'A' | 'B'): PartnerFacts | null {
  if (!isRecord(value) || value['coServer'] !== partner || !isRecord(value['answers'])) return null;
  const { managementAddress, isReady, hardware, answers } = value;
  if (typeof managementAddress !== 'string' || typeof isReady !== 'boolean') return null;
  if (managementAddress !== '' && parseCidr(`${managementAddress}/32`) === null) return null;
  const told: Partial<Record<Question, string>> = {};
  for (const question of [...SHARED, 'password' as const]) {
    const text = (answers as Record<string, unknown>)[question];
    if (typeof text === 'string' && answerProblem(question, { ...PROPOSED, [question]: text }) === null) told[question] = text;
  }
  return { coServer: partner, managementAddress, answers: told, isReady, hardware: hardware ?? null };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
