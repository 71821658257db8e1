import fc from 'fast-check';
import t from 'tap';
import { countFrames, FrameSplitter, FramingError, MAXIMUM_FRAME_BYTES, toBatch } from '../../../../appliance/gate/frames.ts';
import { framed, unframed } from './guest-frames.ts';

function collect(): { splitter: FrameSplitter; frames: Buffer[]; seen: Buffer[]; counts: number[]; runts: () => number } {
  const frames: Buffer[] = [];
  const seen: Buffer[] = [];
  const counts: number[] = [];
  let runts = 0;
  const splitter = new FrameSplitter({
    frame: (bytes, offset, length) => seen.push(bytes.subarray(offset, offset + length)),
    batch: (batch, n) => {
      const list = unframed(batch);
      counts.push(list.length - n);
      frames.push(...list);
    },
    runt: () => runts++,
  });
  return { splitter, frames, seen, counts, runts: () => runts };
}

t.test('any cut of the stream gives the same frames', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 0, maxLength: 80 }), { maxLength: 20 }),
      fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 60 }),
      (list, cuts) => {
        const stream = framed(...list);
        const c = collect();
        let at = 0;
        for (let i = 0; at < stream.length; i++) {
          const n = (cuts[i % cuts.length] ?? 0) + 1;
          c.splitter.push(stream.subarray(at, at + n));
          at += n;
        }
        const wanted = list.filter((f) => f.length >= 14).map((f) => Buffer.from(f).toString('hex'));
        const hex = (l: Buffer[]) => l.map((f) => f.toString('hex'));
        return (
          JSON.stringify(hex(c.frames)) === JSON.stringify(wanted) &&
          JSON.stringify(hex(c.seen)) === JSON.stringify(wanted) &&
          c.counts.every((d) => d === 0) &&
          c.runts() === list.length - wanted.length
        );
      },
    ),
    { numRuns: 500 },
  );
});

t.test('whole frames are not copied', async (t) => {
  const chunk = framed(Buffer.alloc(60, 1), Buffer.alloc(60, 2));
  let got: Buffer | null = null;
  new FrameSplitter({ frame: () => {}, batch: (b) => (got = b), runt: () => {} }).push(chunk);
  t.equal(got, chunk);
});

t.test('a length that no engine sends ends the stream', async (t) => {
  const c = collect();
  const bad = Buffer.alloc(8);
  bad.writeUInt32BE(MAXIMUM_FRAME_BYTES + 1);
  t.throws(() => c.splitter.push(bad), FramingError);
  const split = collect();
  split.splitter.push(bad.subarray(0, 3));
  t.throws(() => split.splitter.push(bad.subarray(3)), FramingError);
  const late = collect();
  t.throws(() => late.splitter.push(Buffer.concat([framed(Buffer.alloc(60)), bad])), FramingError);
  t.equal(late.frames.length, 0, 'nothing of a broken chunk is reported');
});

t.test('countFrames and toBatch', async (t) => {
  const batch = toBatch([Buffer.alloc(60), Buffer.alloc(14), Buffer.alloc(1514)]);
  t.equal(countFrames(batch), 3);
  t.same(batch, framed(Buffer.alloc(60), Buffer.alloc(14), Buffer.alloc(1514)));
  t.equal(countFrames(Buffer.alloc(0)), 0);
  t.throws(() => countFrames(batch.subarray(0, batch.length - 1)), FramingError);
  t.throws(() => countFrames(Buffer.alloc(3)), FramingError);
});
