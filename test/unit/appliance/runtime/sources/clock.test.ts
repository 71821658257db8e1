import t from 'tap';
import { initialState, step } from '../../../../../appliance/core/machine.ts';
import { FRESH_RECORD } from '../../../../../appliance/core/record.ts';
import { ClockSource, isSynchronised } from '../../../../../appliance/runtime/sources/clock.ts';

function makeSource() {
  const clock = { wall: 1_800_000_000_000, monotonic: 5_000, readMs: 0, synchronised: null as boolean | null };
  const jumps: number[] = [];
  const sync: boolean[] = [];
  const source = new ClockSource(
    { jumped: (by) => jumps.push(by), synchronised: (is) => sync.push(is) },
    {
      wallMs: () => clock.wall,
      monotonicMs: () => {
        const now = clock.monotonic;
        clock.monotonic += clock.readMs;
        return now;
      },
    },
    () => clock.synchronised,
  );
  const pass = (wallMs: number, monotonicMs = 1_000) => {
    clock.wall += wallMs;
    clock.monotonic += monotonicMs;
    source.look();
  };
  source.look();
  return { clock, jumps, sync, pass };
}

t.test('a step of more than a second is told, in both directions, once', async (t) => {
  const s = makeSource();
  s.pass(1_000);
  s.pass(3_600_000 + 1_000);
  s.pass(1_000);
  s.pass(-86_400_000);
  s.pass(1_000);
  t.same(s.jumps, [3_600_000, -86_401_000]);
});

t.test('slewing is no jump, however far it leads; neither is a process that was asleep', async (t) => {
  const s = makeSource();
  for (let i = 0; i < 100; i++) s.pass(1_100);
  s.pass(120_000, 120_000);
  t.same(s.jumps, []);
});

t.test('a look that was interrupted between the two clocks tells nothing; the next one does', async (t) => {
  const s = makeSource();
  s.clock.readMs = 5_000;
  s.pass(1_000);
  s.clock.readMs = 0;
  s.clock.wall += 10_000;
  s.pass(1_000);
  t.same(s.jumps, []);
  s.clock.readMs = 5_000;
  s.pass(61_000);
  s.clock.readMs = 0;
  s.clock.wall += 10_000;
  s.pass(1_000);
  t.same(s.jumps, [60_000]);
});

t.test('the time service: its changes are told, not its state at the start', async (t) => {
  const s = makeSource();
  s.clock.synchronised = false;
  s.pass(1_000);
  s.clock.synchronised = true;
  s.pass(1_000);
  s.pass(1_000);
  s.clock.synchronised = false;
  s.pass(1_000);
  t.same(s.sync, [true, false]);
  t.equal(
    isSynchronised(() => false),
    null,
    'no time service that can be asked',
  );
  t.equal(
    isSynchronised((path) => path === '/run/systemd/timesync'),
    false,
  );
  t.equal(
    isSynchronised(() => true),
    true,
  );
});

t.test('the core says it (row 30), and decides nothing on it', async (t) => {
  const record = { ...FRESH_RECORD, generation: 3, standing: 'simplex' as const };
  const options = {
    me: 'A' as const,
    incarnation: 'i',
    pairId: 'p',
    version: '1',
    record,
    links: 2,
    now: 0,
    adoptable: false,
    canCompare: true,
  };
  const state = initialState(options);
  const { commands, state: after } = step(state, { at: 1, kind: 'clockJumped', byMs: -86_400_000 });
  t.match(commands, [{ kind: 'record', row: '30', text: /jumped by -86400\.0 s/ }]);
  t.equal(commands.length, 1);
  t.same({ ...after, now: 0 }, state);
});
