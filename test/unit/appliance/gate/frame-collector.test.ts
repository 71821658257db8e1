// Frames taken out of their batches one by one, and put together again.
import t from 'tap';
import { FrameCollector, forEachFrame } from '../../../../appliance/gate/frame-collector.ts';
import { framed } from './guest-frames.ts';

t.test('frames behind each other become one range; others begin a new one; a frame with a memory of its own is framed', async (t) => {
  const put: { hex: string; frames: number; shares: boolean }[] = [];
  const batch = framed(Buffer.alloc(14, 1), Buffer.alloc(15, 2), Buffer.alloc(16, 3));
  const collector = new FrameCollector((b, frames) => put.push({ hex: b.toString('hex'), frames, shares: b.buffer === batch.buffer }));
  const frames: Buffer[] = [];
  forEachFrame(batch, (f) => frames.push(f));
  const [one = batch, two = batch, three = batch] = frames;
  for (const f of [one, two, three]) collector.add(f);
  collector.flush();
  collector.flush();
  t.same(put.splice(0), [{ hex: batch.toString('hex'), frames: 3, shares: true }]);
  collector.add(one);
  collector.add(three);
  collector.add(Buffer.alloc(14, 9));
  collector.add(two);
  collector.flush();
  const own = `0000000e${'09'.repeat(14)}`;
  t.same(
    put.map((p) => [p.frames, p.hex]),
    [
      [1, `0000000e${'01'.repeat(14)}`],
      [1, `00000010${'03'.repeat(16)}`],
      [1, own],
      [1, `0000000f${'02'.repeat(15)}`],
    ],
  );
});
