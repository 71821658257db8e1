// The enrolment at a witness, for whoever asked: the witness takes it, and the history has only that it was shown.
import t from 'tap';
import { showWitnessKey, WITNESS_KEY_ACTION, witnessKeyAction } from '../../../../appliance/runtime/witness-key.ts';
import { deriveKey } from '../../../../appliance/wire/keys.ts';
import { parseEnrolment } from '../../../../appliance/witness/enrolment.ts';

t.test('what is shown enrols the pair', async (t) => {
  const pairKey = Buffer.alloc(32, 7);
  const id = '3c'.repeat(16);
  const told: string[] = [];
  const pair = { id, keyFile: '/nowhere' };
  const answer = showWitnessKey({ pair }, pairKey, { add: (entry) => void told.push(JSON.stringify(entry)) }, 'the serial console');
  const show = String(answer.accepted ? answer.detail?.['show'] : '');
  t.strictSame(parseEnrolment(show), { pairId: id, key: deriveKey(pairKey, 'witness') });
  t.notOk(show.includes(pairKey.toString('hex')), "the pair's key itself stays here");
  t.match(told.join(), /was shown, asked at the serial console/);
  t.notOk(told.join().includes(deriveKey(pairKey, 'witness').toString('hex')));
  t.match(witnessKeyAction, { name: WITNESS_KEY_ACTION, allowed: true });
  t.match(WITNESS_KEY_ACTION, /^[a-z][a-zA-Z0-9-]{0,63}$/);
});
