import fc from 'fast-check';
import t from 'tap';
import {
  afterWindow,
  charged,
  pieceCharge,
  piecesAtOnce,
  RESYNC_FLOOR,
  RESYNC_PIECE_BYTES,
  RESYNC_WINDOW_MS,
  type ResyncRate,
  type ResyncWindow,
  refilled,
  startResyncRate,
  waitMs,
} from '../../../../appliance/core/resync-rate.ts';

/** A window in which all of the rate was used. */
function used(rate: ResyncRate, guest: { writes?: number; p95Ms?: number } = {}): ResyncWindow {
  const { writes = 0, p95Ms = 0 } = guest;
  return { ms: RESYNC_WINDOW_MS, writes, p95Ms, chargedBytes: rate.listens ? 0 : (rate.bytesPerS * RESYNC_WINDOW_MS) / 1000 };
}

t.test('with a guest that does not write it doubles each second, as far as it is used, up to the ceiling', async (t) => {
  let rate = startResyncRate(null);
  const start = rate.bytesPerS;
  for (let i = 0; i < 4; i++) rate = afterWindow(rate, used(rate));
  t.ok(Math.abs(rate.bytesPerS - 4 * start) < 1);
  t.equal(piecesAtOnce(rate), 4);
  const unused = afterWindow(rate, { ...used(rate), chargedBytes: 1 });
  t.equal(unused.bytesPerS, rate.bytesPerS, 'equal blocks need no rate');
  let capped = startResyncRate(50_000_000);
  for (let i = 0; i < 20; i++) capped = afterWindow(capped, used(capped));
  t.equal(capped.bytesPerS, 50_000_000);
});

t.test('a guest that writes is listened to first, then its p95 decides', async (t) => {
  let rate = startResyncRate(null);
  rate = afterWindow(rate, used(rate, { writes: 100, p95Ms: 30 }));
  t.ok(rate.listens, 'what its writes take by themselves is not known yet');
  rate = afterWindow(rate, used(rate, { writes: 100, p95Ms: 4 }));
  t.match(rate, { listens: false, quietP95Ms: 4 });
  t.equal(piecesAtOnce(rate), 1);
  const before = rate.bytesPerS;
  rate = afterWindow(rate, used(rate, { writes: 100, p95Ms: 7.9 }));
  rate = afterWindow(rate, used(rate, { writes: 100, p95Ms: 7.9 }));
  t.ok(Math.abs(rate.bytesPerS / before - 1.05) < 1e-9, '5 % in a second');
  const high = rate.bytesPerS;
  rate = afterWindow(rate, used(rate, { writes: 100, p95Ms: 8.1 }));
  t.equal(rate.bytesPerS, high / 2);
  for (let i = 0; i < 10; i++) rate = afterWindow(rate, used(rate, { writes: 100, p95Ms: 900 }));
  t.equal(rate.bytesPerS, RESYNC_FLOOR);
});

t.test('a piece of the resync on the link is no reason to slow down', async (t) => {
  const quiet: ResyncRate = { ...startResyncRate(null), quietP95Ms: 0.2 };
  t.ok(afterWindow(quiet, used(quiet, { writes: 50, p95Ms: 1.9 })).bytesPerS > quiet.bytesPerS);
  t.ok(afterWindow(quiet, used(quiet, { writes: 50, p95Ms: 2.1 })).bytesPerS < quiet.bytesPerS);
});

t.test('where even the floor does not help, it listens again: the guest may do something else now', async (t) => {
  let rate: ResyncRate = { ...startResyncRate(null), bytesPerS: RESYNC_FLOOR, quietP95Ms: 1 };
  let windows = 0;
  for (; !rate.listens; windows++) rate = afterWindow(rate, used(rate, { writes: 50, p95Ms: 40 }));
  t.equal(windows * RESYNC_WINDOW_MS, 10_000);
  rate = afterWindow(rate, used(rate, { writes: 50, p95Ms: 35 }));
  t.match(rate, { listens: false, quietP95Ms: 35 });
  rate = afterWindow(rate, used(rate, { writes: 50, p95Ms: 40 }));
  t.ok(rate.bytesPerS > RESYNC_FLOOR);
});

t.test('whatever the guest does: never above the ceiling, never below the lower of floor and ceiling', async () => {
  const window = fc.record({
    ms: fc.double({ min: RESYNC_WINDOW_MS, max: 5_000, noNaN: true }),
    writes: fc.nat(10_000),
    p95Ms: fc.double({ min: 0, max: 10_000, noNaN: true }),
    chargedBytes: fc.nat(2 ** 31 - 1),
  });
  fc.assert(
    fc.property(fc.option(fc.integer({ min: 1, max: 2 ** 31 - 1 })), fc.array(window, { maxLength: 60 }), (ceiling, windows) => {
      let rate = startResyncRate(ceiling);
      let listened = false;
      for (const w of windows) {
        rate = afterWindow(rate, w);
        if (ceiling !== null && rate.bytesPerS > ceiling) return false;
        if (rate.bytesPerS < Math.min(RESYNC_FLOOR, ceiling ?? RESYNC_FLOOR)) return false;
        // It never listens twice in a row: the resync goes on.
        if (listened && rate.listens) return false;
        listened = rate.listens;
      }
      return true;
    }),
  );
});

t.test('the bucket: what is sent is the rate, over any time, but for one burst and one debt', async (t) => {
  const step = fc.record({ ms: fc.nat(400), copied: fc.nat(RESYNC_PIECE_BYTES) });
  fc.assert(
    fc.property(fc.integer({ min: 1_000_000, max: 1_000_000_000 }), fc.array(step, { minLength: 1, maxLength: 200 }), (rate, steps) => {
      let bucket = { allowance: 0, atMs: 0 };
      let nowMs = 0;
      let sent = 0;
      for (const { ms, copied } of steps) {
        nowMs += ms;
        bucket = refilled(bucket, rate, nowMs);
        const wait = waitMs(bucket, rate);
        nowMs += wait;
        bucket = refilled(bucket, rate, nowMs);
        const bytes = pieceCharge(RESYNC_PIECE_BYTES, copied);
        bucket = charged(bucket, bytes);
        sent += bytes;
        if (sent > (rate * (nowMs + 100)) / 1000 + RESYNC_PIECE_BYTES + 1) return false;
      }
      return true;
    }),
  );
  t.equal(pieceCharge(RESYNC_PIECE_BYTES, 0), RESYNC_PIECE_BYTES / 8, 'equal blocks load no link');
  t.equal(pieceCharge(RESYNC_PIECE_BYTES, RESYNC_PIECE_BYTES), RESYNC_PIECE_BYTES);
});
