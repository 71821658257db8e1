// Power is lost at every single request of scripted runs with restore points: each point that is listed afterwards reads exactly
// as the disk was when it was cut, and each that was answered is listed; so it stays while the disk is written on.
import t from 'tap';
import type { PointStore } from '../../../../../appliance/mirror/restore-points/point-store.ts';
import { Power, random } from '../losable-store.ts';
import { blankImages, contentOf, DISK_BYTES, idOf, type Lie, type PointImages, PointMachine } from './point-disks.ts';

interface Truth {
  contents: Map<string, Buffer>;
  /** `keep` was answered, and no removal begun since. */
  answered: Set<string>;
}

/** The same seed does the same things. Ends when they end. */
async function script(seed: number, m: PointMachine, truth: Truth): Promise<void> {
  const chance = random(seed);
  const below = (n: number): number => Math.floor(chance() * n);
  const points = await m.open();
  const model = Buffer.from(m.disk.content);
  let mark = 1;
  let taken = 0;
  const burst = async (): Promise<void> => {
    const under: { offset: number; end: number }[] = [];
    const all: Promise<void>[] = [];
    for (let n = 1 + below(5); n > 0; n--) {
      const length = chance() < 0.2 ? 1 + below(100_000) : 1 + below(9_000);
      const offset = below(DISK_BYTES - length + 1);
      if (under.some((u) => u.offset < offset + length && u.end > offset)) continue;
      under.push({ offset, end: offset + length });
      const byte = chance() < 0.2 ? 0 : mark++ % 256;
      model.fill(byte, offset, offset + length);
      all.push(byte === 0 ? points.zero(offset, length) : points.write(offset, Buffer.alloc(length, byte)));
      if (chance() < 0.2) all.push(points.flush());
    }
    await Promise.all(all);
  };
  for (let step = 0; step < 18; step++) {
    const x = chance();
    if (x < 0.6) await burst();
    else if (x < 0.8 || taken === 0) {
      const id = idOf(++taken);
      await points.begin({ id, name: `p${taken}`, kind: 'operator', takenAt: taken });
      if (chance() < 0.3) await burst();
      if (chance() < 0.15) {
        await points.remove(id).catch(() => undefined);
        continue;
      }
      await points.cut(id, 10_000);
      truth.contents.set(id, Buffer.from(model));
      if (chance() < 0.5) await burst();
      await points.keep(id);
      truth.answered.add(id);
    } else if (x < 0.9) {
      const id = [...truth.answered][below(truth.answered.size)];
      if (id === undefined) continue;
      truth.answered.delete(id);
      await points.remove(id);
    } else await check(points, truth, 'in the script');
  }
  await check(points, truth, 'at the end of the script');
  if (!m.disk.content.equals(model)) throw new Error('the live disk is not what was written');
}

async function check(points: PointStore, { contents, answered }: Truth, when: string): Promise<void> {
  for (const id of answered) if (!points.points.some((p) => p.id === id)) throw new Error(`${when}: ${id} is not listed`);
  for (const p of points.points) {
    if (p.state !== 'kept' || p.trouble !== '') throw new Error(`${when}: ${p.name} is ${p.state}: ${p.trouble}`);
    const want = contents.get(p.id);
    if (!want || !(await contentOf(points, p.id)).equals(want)) throw new Error(`${when}: ${p.name} is not as it was cut`);
  }
}

async function afterwards(truth: Truth, images: PointImages, chance: () => number): Promise<string | undefined> {
  let found = images;
  try {
    for (let attempt = 0; attempt < 2; attempt++) {
      // The next start may lose power as well.
      const m = new PointMachine(found, new Power(attempt === 0 ? Math.floor(chance() * 12) : Number.POSITIVE_INFINITY, chance));
      const points = await Promise.race([m.open(), m.power.lost]);
      if (!points) {
        found = m.afterLoss(chance);
        continue;
      }
      if (attempt === 0) continue;
      await check(points, truth, 'after the loss');
      const over = points.write(0, Buffer.alloc(DISK_BYTES, 0x55));
      for (const p of points.points) {
        const read = await contentOf(points, p.id);
        if (!truth.contents.get(p.id)?.equals(read)) return `${p.name} changed while it was written over`;
      }
      await over;
      await check(points, truth, 'after all was written over');
    }
  } catch (e) {
    return (e as Error).message;
  }
  return undefined;
}

async function run(seed: number, lossAt: number, lie: Lie): Promise<{ requests: number; wrong: string | undefined }> {
  const m = new PointMachine(blankImages(), new Power(lossAt, random(seed * 7919 + 1)), lie);
  const truth: Truth = { contents: new Map(), answered: new Set() };
  try {
    await Promise.race([script(seed, m, truth), m.power.lost]);
  } catch (e) {
    return { requests: m.power.requests, wrong: (e as Error).message };
  }
  const dice = random(seed * 31 + (Number.isFinite(lossAt) ? lossAt : 0));
  return { requests: m.power.requests, wrong: await afterwards(truth, m.afterLoss(dice), dice) };
}

const SEEDS = Number(process.env.MIRROR_SEEDS ?? 3);
t.setTimeout(120_000 + SEEDS * 20_000);

t.test('power lost at every request', async (t) => {
  let runs = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { requests, wrong } = await run(seed, Number.POSITIVE_INFINITY, 'none');
    t.equal(wrong, undefined, `seed ${seed}, ${requests} requests, no loss before the end`);
    for (let at = 0; at < requests; at++) {
      const r = await run(seed, at, 'none');
      runs++;
      if (r.wrong) t.fail(`seed ${seed}, loss at request ${at}: ${r.wrong}`);
    }
  }
  t.comment(`${runs} losses of power`);
});

for (const lie of ['disk', 'files', 'catalogue'] as const) {
  t.test(`the test notices flushes of the ${lie} that do nothing`, async (t) => {
    let wrong = 0;
    for (let seed = 1; seed <= 4 && wrong === 0; seed++) {
      const { requests } = await run(seed, Number.POSITIVE_INFINITY, lie);
      for (let at = 0; at < requests && wrong === 0; at++) if ((await run(seed, at, lie)).wrong) wrong++;
    }
    t.ok(wrong > 0, `${wrong} wrong points`);
  });
}
