// What enrols this pair at a witness, for the administrator, on any console: so that a witness can be set up without a shell of this server.
// It stands in an answer to whoever asked, and nowhere else: no picture, no log and no history has it.
import type { CoServerConfig } from '../config.ts';
import type { RequestAnswer } from '../console/api/index.ts';
import type { ActionView } from '../core/snapshot.ts';
import { deriveKey } from '../wire/keys.ts';
import { formatEnrolment } from '../witness/enrolment.ts';
import type { History } from './history.ts';
import type { ActionDoer } from './operator-requests.ts';

export const WITNESS_KEY_ACTION = 'show-witness-key';

export const witnessKeyAction: ActionView = {
  name: WITNESS_KEY_ACTION,
  label: 'Show what enrols this pair at a witness',
  allowed: true,
  reason: '',
};

/** `detail.show`: four lines, to be treated as a password. That somebody has seen them is recorded. */
export function showWitnessKey(
  { pair }: Pick<CoServerConfig, 'pair'>,
  pairKey: Uint8Array,
  history: Pick<History, 'add'>,
  by: string,
): RequestAnswer {
  history.add({ severity: 'info', row: null, text: `What enrols this pair at a witness was shown, asked at ${by}.` });
  return { accepted: true, detail: { show: formatEnrolment({ pairId: pair.id, key: deriveKey(pairKey, 'witness') }) } };
}

export function doesWitnessKey(config: Pick<CoServerConfig, 'pair'>, pairKey: Uint8Array, history: Pick<History, 'add'>): ActionDoer {
  return (action, by) => (action === WITNESS_KEY_ACTION ? showWitnessKey(config, pairKey, history, by) : null);
}
