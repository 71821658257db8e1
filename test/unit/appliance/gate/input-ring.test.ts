import fc from 'fast-check';
import t from 'tap';
import { InputRing } from '../../../../appliance/gate/input-ring.ts';

t.test('keeps the interval of the commit itself, forgets the ones before', async (t) => {
  const ring = new InputRing();
  for (let i = 1; i <= 4; i++) ring.record(i, Buffer.alloc(10, i), i);
  ring.forgetBefore(3);
  t.equal(ring.frames, 7);
  t.equal(ring.bytes, 20);
  t.same(
    ring.takeAll().map((r) => r.interval),
    [3, 4],
  );
  t.equal(ring.frames, 0);
  t.same(ring.takeAll(), []);
});

t.test('property: order kept, within both limits, every frame kept or counted', async () => {
  const op = fc.oneof(
    fc.record({ frames: fc.integer({ min: 1, max: 5 }), bytes: fc.integer({ min: 1, max: 40 }), bump: fc.boolean() }),
    fc.record({ forgetBack: fc.nat({ max: 3 }) }),
  );
  fc.assert(
    fc.property(fc.array(op, { maxLength: 200 }), (ops) => {
      const ring = new InputRing(100, 12);
      let interval = 1;
      let model: { label: number; interval: number; frames: number }[] = [];
      let recorded = 0;
      let overflowed = 0;
      let forgotten = 0;
      for (const [i, o] of ops.entries()) {
        if ('forgetBack' in o) {
          const n = interval - o.forgetBack;
          ring.forgetBefore(n);
          const stay = model.filter((m) => m.interval >= n);
          forgotten += model.reduce((s, m) => s + m.frames, 0) - stay.reduce((s, m) => s + m.frames, 0);
          model = stay;
          continue;
        }
        if (o.bump) interval++;
        const batch = Buffer.alloc(o.bytes + 4);
        batch.writeUInt32BE(i);
        let lost = ring.record(interval, batch, o.frames);
        recorded += o.frames;
        overflowed += lost;
        model.push({ label: i, interval, frames: o.frames });
        while (lost > 0) lost -= model.shift()?.frames ?? Number.POSITIVE_INFINITY;
        if (lost !== 0 || ring.bytes > 100 || ring.frames > 12) return false;
        if (recorded !== overflowed + forgotten + ring.frames) return false;
      }
      return JSON.stringify(ring.takeAll().map((r) => r.batch.readUInt32BE(0))) === JSON.stringify(model.map((m) => m.label));
    }),
    { numRuns: 1000 },
  );
});
