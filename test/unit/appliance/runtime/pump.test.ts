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
  statusOf,
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

t.test('what came during the boot is told the partner only when it is recorded; what it is by its record is told before', async (t) => {
  const obeyed: string[] = [];
  let over: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => {
    over = resolve;
  });
  const a = secondary();
  const asking = {
    ...statusOf(a),
    coServer: 'A' as const,
    incarnation: 'a',
    record: { ...a.record, standing: 'duplexPrimary' as const },
    phase: 'claiming' as const,
    asksYield: true,
  };
  const pump = new Pump({
    state: { ...a, phase: { ...a.phase, kind: 'isolated' } },
    effects: {
      obey: async (command) => {
        if (command.kind === 'persist') obeyed.push(`persist ${command.record.standing}`);
        else if (command.kind === 'say') obeyed.push(`say ${command.status.record.standing}`);
        else if (command.kind === 'stopAll') over();
        return '';
      },
    },
    now: () => performance.now(),
    journal: { log: () => undefined, threw: () => t.fail('the core threw') },
    onState: () => undefined,
    onFatal: (e) => t.fail(e.message),
  });
  pump.feed({ kind: 'linkObserved', link: 0, up: true, silentMs: 0 });
  pump.feed({ kind: 'partnerSaid', status: asking, path: 'link' });
  pump.start();
  t.equal(pump.state.record.standing, 'outdated', 'it yields in its first moment');
  await stopped;
  t.same(obeyed, ['say duplexSecondary', 'persist outdated', 'say outdated']);
  pump.stop();
});
