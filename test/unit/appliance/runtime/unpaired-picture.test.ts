// An unpaired CoServer on the consoles: the code and the question are there, and nothing says that something runs.
import t from 'tap';
import { statusText } from '../../../../appliance/console/cli/status.ts';
import { consoleModel } from '../../../../appliance/console/model.ts';
import { actionLines, overviewLines, pageText } from '../../../../appliance/console/serial/pages.ts';
import { pairingStep } from '../../../../appliance/pairing/protocol.ts';
import { pairingStart } from '../../../../appliance/pairing/state.ts';
import { type PairingView, pairingView } from '../../../../appliance/pairing/view.ts';
import { unpairedSnapshot } from '../../../../appliance/runtime/unpaired-picture.ts';
import { coServerConfig } from '../../../../hwqual/lab/configuration.ts';
import { PAIR_ID, randomFrom, run, Side } from '../pairing/simulated-pair.ts';

const config = coServerConfig(
  'A',
  { pairId: PAIR_ID, pairKey: '', password: '', passwordHash: '', bmcPasswords: { A: '', B: '' } },
  {
    acceleration: 'kvm',
    append: '',
    mode: 'lockstep',
    idleMs: 500,
    diskMiB: 16,
    rejoin: { losses: 3, windowMinutes: 60, quarantineMinutes: 120 },
    watchdogS: 30,
  },
  { A: 1, B: 2 },
);
const facts = { config, version: '9.9.9', startedAt: 1000 };
const overview = (view: PairingView, problems: string[] = []) => {
  const model = consoleModel(unpairedSnapshot(view, problems, facts, 61_000));
  return {
    text: pageText(overviewLines(model, 79)).replace(/\s+/g, ' '),
    actions: pageText(actionLines(model.actions, 79, false)).replace(/\s+/g, ' '),
  };
};

t.test('waiting, and links that are not there', async (t) => {
  const { text, actions } = overview(pairingView(pairingStart('A', PAIR_ID, null), 0), ["link0: no such NIC 'link0'"]);
  t.match(text, /ISOLATED Not paired: Waiting for CoServer B on the links: start it unpaired, or run 'twinstep pair' there/);
  t.match(text, /Not started: it needs the key of the pair/);
  t.match(actions, /- Confirm the code not now: No code is shown now/);
});

t.test('the code, the question, and the answer of the operator', async (t) => {
  const sides: [Side, Side] = [new Side('A', 'shown'), new Side('B', 'shown')];
  const at = run(sides, 0, 3);
  const code = sides[0].code ?? '';
  const view = pairingView(sides[0].state, at);
  const { text, actions } = overview(view);
  t.match(text, new RegExp(`This CoServer shows the code ${code}\\. Look at the console of CoServer B: confirm only if it shows the same`));
  t.match(actions, new RegExp(`1 CoServer B shows ${code} too: confirm 2 The codes differ: stop`));
  const snapshot = unpairedSnapshot(view, [], facts, 61_000);
  t.match(snapshot.actions[0], { name: `confirm-code-${code}`, allowed: true });
  t.match(statusText(snapshot, 80), new RegExp(`code ${code}`));
  const confirmed = pairingStep(sides[0].state, { kind: 'confirm', at, code }, randomFrom('x')).state;
  t.match(overview(pairingView(confirmed, at)).actions, /not now: It was confirmed here/);
});

t.test('why it did not work is said there, too', async (t) => {
  const sides: [Side, Side] = [new Side('A', 'differ'), new Side('B', 'differ')];
  const at = run(sides, 0, 3);
  const { state } = pairingStep(sides[0].state, { kind: 'differ', at }, randomFrom('x'));
  t.match(overview(pairingView(state, at)).text, /The codes differ: nothing was kept\. .*cable of every link runs directly/);
});
