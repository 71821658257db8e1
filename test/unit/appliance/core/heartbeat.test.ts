import fc from 'fast-check';
import t from 'tap';
import {
  allowedLatenessMs,
  type HeartbeatInput,
  type HeartbeatLimits,
  type HeartbeatState,
  type HeartbeatVerdict,
  heartbeatStart,
  heartbeatStep,
} from '../../../../appliance/core/heartbeat.ts';

const LIMITS: HeartbeatLimits = { intervalMs: 10, timeoutMs: 100, allowedLatenessMs: allowedLatenessMs(100) };

/** Feeds inputs and remembers what came out. */
function feeder(links = 2) {
  let state: HeartbeatState = heartbeatStart(links);
  const verdicts: (HeartbeatVerdict & { at: number })[] = [];
  const late: { at: number; lateMs: number }[] = [];
  const feed = (input: HeartbeatInput) => {
    const step = heartbeatStep(state, input, LIMITS);
    state = step.state;
    for (const verdict of step.verdicts) verdicts.push({ ...verdict, at: input.at });
    if (step.lateMs !== null) late.push({ at: input.at, lateMs: step.lateMs });
  };
  const frame = (at: number, link = 0, echoSentMs: number | null = at - 5, path: 'ethernet' | 'ip' = 'ethernet') =>
    feed({ kind: 'frame', at, link, path, echoSentMs });
  const tick = (at: number, due = at) => feed({ kind: 'tick', at, lateMs: at - due });
  const carrier = (at: number, up: boolean, link = 0) => feed({ kind: 'carrier', at, link, carrier: up });
  /** Ticks every 10 ms from..to, with frames on the given links. */
  const run = (from: number, to: number, heard: number[]) => {
    for (let at = from; at <= to; at += 10) {
      for (const link of heard) frame(at, link);
      tick(at);
    }
  };
  return { feed, frame, tick, carrier, run, verdicts, late, state: () => state };
}

t.test('three exchanges make a link, frames that do not name ours do not', async (t) => {
  const f = feeder();
  f.carrier(0, true);
  for (let at = 0; at < 200; at += 10) f.frame(at, 0, null);
  for (let at = 200; at < 400; at += 10) f.frame(at, 0, at - 101);
  t.same(f.verdicts, []);
  f.frame(400);
  f.frame(410);
  f.frame(420, 0, null);
  f.frame(430);
  f.frame(440);
  t.same(f.verdicts, []);
  f.frame(450, 0, 445, 'ip');
  t.same(f.verdicts, [{ link: 0, up: true, silentMs: 0, reason: 'heard', at: 450 }]);
});

t.test('silence: down after the time-out, not before, and each link for itself', async (t) => {
  const f = feeder();
  f.carrier(0, true, 0);
  f.carrier(0, true, 1);
  f.run(0, 100, [0, 1]);
  f.run(110, 300, [1]);
  t.same(f.verdicts.slice(2), [{ link: 0, up: false, silentMs: 110, reason: 'silent', at: 210 }]);
});

t.test('one path is enough', async (t) => {
  const f = feeder(1);
  f.carrier(0, true);
  f.run(0, 100, [0]);
  for (let at = 110; at < 500; at += 10) {
    f.frame(at, 0, at - 5, 'ip');
    f.tick(at);
  }
  t.equal(f.verdicts.length, 1);
});

t.test('a dead carrier speeds it up, but only in silence', async (t) => {
  const f = feeder(1);
  f.carrier(0, true);
  f.run(0, 100, [0]);
  f.carrier(101, false);
  f.run(110, 200, [0]);
  t.equal(f.verdicts.length, 1, 'still heard: a carrier that lies decides nothing');
  f.tick(210);
  f.tick(220);
  t.equal(f.verdicts.length, 1);
  f.tick(230);
  t.same(f.verdicts[1], { link: 0, up: false, silentMs: 30, reason: 'carrier', at: 230 });
});

t.test('heard, but not hearing us: down as well', async (t) => {
  const f = feeder(1);
  f.carrier(0, true);
  f.run(0, 100, [0]);
  for (let at = 110; f.verdicts.length < 2 && at < 1000; at += 10) {
    f.frame(at, 0, 95);
    f.tick(at);
  }
  t.match(f.verdicts[1], { up: false, reason: 'silent', silentMs: 0, at: 300 });
});

t.test('a late tick suspects this CoServer, not the partner', async (t) => {
  const f = feeder(1);
  f.carrier(0, true);
  f.run(0, 100, [0]);
  // Frozen for a second; the partner's frames wait in the socket.
  f.tick(1100, 110);
  t.same(f.late, [{ at: 1100, lateMs: 990 }]);
  f.frame(1101, 0, 95);
  f.frame(1102, 0, 1100);
  f.tick(1110);
  f.run(1120, 1400, [0]);
  t.equal(f.verdicts.length, 1, 'never down');
  // And when nobody is there after the sleep: two intervals of grace, then down.
  f.tick(3000, 1410);
  f.tick(3010);
  t.equal(f.verdicts.length, 1);
  f.tick(3020);
  t.match(f.verdicts[1], { up: false, at: 3020 });
});

t.test('ordinary jitter is not reported', async (t) => {
  const f = feeder(1);
  f.tick(50, 0);
  t.same(f.late, []);
  f.tick(110, 59);
  t.same(f.late, [{ at: 110, lateMs: 51 }]);
});

t.test('whatever happens: verdicts alternate per link, down only for a reason, and a heard link is never down for silence', async () => {
  const event = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('frame' as const),
        link: fc.nat(1),
        ip: fc.boolean(),
        echo: fc.option(fc.nat(150)),
        pass: fc.nat(15),
      }),
    },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('tick' as const), late: fc.nat(80), pass: fc.nat(15) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('carrier' as const), link: fc.nat(1), carrier: fc.boolean(), pass: fc.nat(5) }) },
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const f = feeder(2);
      let at = 0;
      const up = [false, false];
      for (const e of events) {
        at += e.pass;
        const seen = f.verdicts.length;
        if (e.kind === 'frame') f.frame(at, e.link, e.echo === null ? null : at - e.echo, e.ip ? 'ip' : 'ethernet');
        else if (e.kind === 'carrier') f.carrier(at, e.carrier, e.link);
        else f.tick(at, at - e.late);
        for (const v of f.verdicts.slice(seen)) {
          if (up[v.link] === v.up) throw new Error('the same verdict twice');
          up[v.link] = v.up;
          if (v.up && e.kind !== 'frame') throw new Error('up without a frame');
          if (!v.up && e.kind !== 'tick') throw new Error('down outside a tick');
          if (!v.up && e.kind === 'tick' && e.late > LIMITS.intervalMs) throw new Error('down in a late tick');
          if (v.reason === 'carrier' && v.silentMs <= 20) throw new Error('carrier while heard');
        }
      }
    }),
    { numRuns: 1000 },
  );
});
