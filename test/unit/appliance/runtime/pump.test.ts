// The pump's own clock: where the core waits for a moment, it is woken then and not at the next tick.
import t from 'tap';
import {
  type Command,
  DEFAULT_TIMING,
  dueAt,
  type Event,
  FRESH_RECORD,
  initialState,
  type State,
} from '../../../../appliance/core/machine.ts';
import { Pump } from '../../../../appliance/runtime/pump.ts';

function secondary(): State {
  const s = initialState({
    me: 'B',
    incarnation: 'b',
    pairId: 'p',
    version: '1',
    record: { ...FRESH_RECORD, generation: 3, standing: 'duplexSecondary' },
    links: 1,
    now: performance.now(),
    adoptable: false,
    canCompare: true,
  });
  return { ...s, phase: { ...s.phase, kind: 'secondary' } };
}

t.test('a secondary that lost its partner asks the witness when its bias is over, without any tick', async (t) => {
  const obeyed: Command['kind'][] = [];
  let asked: (atMs: number) => void = () => undefined;
  const claimed = new Promise<number>((resolve) => {
    asked = resolve;
  });
  const events: Event[] = [];
  const pump = new Pump({
    state: secondary(),
    effects: {
      obey: async (command) => {
        obeyed.push(command.kind);
        if (command.kind === 'claim') asked(performance.now());
        return '';
      },
    },
    now: () => performance.now(),
    journal: { log: ({ event }) => events.push(event), threw: () => t.fail('the core threw') },
    onState: () => undefined,
    onFatal: (e) => t.fail(e.message),
  });
  pump.start();
  t.equal(dueAt(pump.state), null);
  const before = performance.now();
  pump.feed({ kind: 'partnerRestarted' });
  const due = dueAt(pump.state);
  t.ok(due !== null && due >= before + DEFAULT_TIMING.secondaryBiasMs, 'not before its bias');
  t.ok((await claimed) >= (due ?? 0));
  t.ok(obeyed.indexOf('freeze') < obeyed.indexOf('claim'), 'output is withheld first');
  t.equal(dueAt(pump.state), null, 'asked once');
  pump.stop();
});
