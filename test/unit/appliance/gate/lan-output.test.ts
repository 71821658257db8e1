import fc from 'fast-check';
import t from 'tap';
import { LanOutput } from '../../../../appliance/gate/lan-output.ts';
import { framed, unframed } from './guest-frames.ts';

t.test('property: order kept, every frame sent, waiting or refused; the count of waiting bytes is right', async () => {
  const op = fc.oneof(
    fc.record({ send: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ room: fc.nat({ max: 200 }) }),
    fc.constant('clear' as const),
  );
  fc.assert(
    fc.property(fc.array(op, { maxLength: 120 }), (ops) => {
      let room = 0;
      let writable = () => {};
      const sent: number[] = [];
      const output = new LanOutput({
        send: (batch) => {
          let taken = 0;
          for (const f of unframed(batch)) {
            if (room < f.length + 4) break;
            room -= f.length + 4;
            taken += f.length + 4;
            sent.push(f.readUInt32BE(0));
          }
          return taken;
        },
        onFrames: () => {},
        onWritable: (callback) => {
          writable = callback;
        },
        health: () => ({ sendLost: 0, receiveLost: 0, problem: '' }),
        close: () => {},
      });
      let next = 0;
      let lost = 0;
      for (const o of ops) {
        if (o === 'clear') lost += output.clear();
        else if ('room' in o) {
          room = o.room;
          writable();
        } else {
          const frames = Array.from({ length: o.send }, () => {
            const f = Buffer.alloc(14);
            f.writeUInt32BE(next++);
            return f;
          });
          if (!output.send(framed(...frames), 180)) lost += o.send;
        }
        if (output.queuedBytes !== (next - lost - sent.length) * 18) return false;
        if (output.queuedBytes > 180) return false;
        if (sent.some((n, i) => i > 0 && n <= (sent[i - 1] ?? -1))) return false;
      }
      return true;
    }),
    { numRuns: 2000 },
  );
});
