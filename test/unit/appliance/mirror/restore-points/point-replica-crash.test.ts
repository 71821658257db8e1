// A replica in lockstep with restore points loses power at every single request: each point that is listed after the journal was
// replayed is the end of the interval it was asked for, whole, with nothing newer; each that was answered is listed.
import t from 'tap';
import { Journal } from '../../../../../appliance/mirror/journal.ts';
import { Replica } from '../../../../../appliance/mirror/replica.ts';
import type { PointStore } from '../../../../../appliance/mirror/restore-points/point-store.ts';
import { writeRuns } from '../../../../../appliance/mirror/write-runs.ts';
import { LosableStore, Power, random } from '../losable-store.ts';
import { blankImages, contentOf, DISK_BYTES, idOf, type PointImages, PointMachine } from './point-disks.ts';

const SEGMENT_BYTES = 512 * 1024;
const SWITCH_BYTES = 48 * 1024;

interface Images extends PointImages {
  segments: [Buffer, Buffer];
}

class ReplicaMachine extends PointMachine {
  readonly segments: [LosableStore, LosableStore];

  constructor(images: Images, power: Power) {
    super(images, power);
    const [a, b] = images.segments;
    this.segments = [new LosableStore(power, a), new LosableStore(power, b)];
  }

  /** As the mirror does. */
  async start(): Promise<{ points: PointStore; journal: Journal }> {
    const points = await this.open();
    const { journal, recovered } = await Journal.open(this.segments, DISK_BYTES, SWITCH_BYTES);
    await writeRuns(points, recovered.patches.runs());
    await points.flush();
    await journal.reset();
    return { points, journal };
  }

  images(chance: () => number): Images {
    return { ...this.afterLoss(chance), segments: [this.segments[0].afterLoss(chance), this.segments[1].afterLoss(chance)] };
  }
}

interface Truth {
  contents: Map<string, Buffer>;
  answered: Set<string>;
}

async function script(seed: number, m: ReplicaMachine, truth: Truth): Promise<void> {
  const chance = random(seed);
  const below = (n: number): number => Math.floor(chance() * n);
  const { points, journal } = await m.start();
  const scratch = new LosableStore(m.power, Buffer.alloc(1024 * 1024));
  const replica = new Replica({ disk: points, journal, openScratch: async () => scratch, onError: () => {} });
  const primary = Buffer.from(m.disk.content);
  let view = Buffer.from(primary);
  let interval = 1;
  let mark = 1;
  let taken = 0;
  let waiting: { id: string; at: number; done: Promise<void> } | undefined;
  const write = async (): Promise<void> => {
    const length = chance() < 0.2 ? 1 + below(70_000) : 512 * (1 + below(16));
    const offset = below(DISK_BYTES - length);
    const byte = mark++ % 256;
    primary.fill(byte, offset, offset + length);
    await (byte % 7 === 0
      ? (primary.fill(0, offset, offset + length), replica.zero(interval, offset, length, false))
      : replica.write(interval, offset, Buffer.alloc(length, byte), false));
  };
  for (let step = 0; step < 26; step++) {
    const x = chance();
    if (x < 0.45) await write();
    else if (x < 0.55) {
      const length = 512 * (1 + below(8));
      const offset = below(DISK_BYTES - length);
      view.fill(0xaa, offset, offset + length);
      await replica.guestWrite(offset, Buffer.alloc(length, 0xaa));
    } else if (x < 0.7 && !waiting) {
      const id = idOf(++taken);
      await points.begin({ id, name: `p${taken}`, kind: 'operator', takenAt: taken });
      const at = interval + below(2);
      const done = replica.cutAfter(at, () => points.cut(id, 10_000));
      done.catch(() => undefined);
      waiting = { id, at, done };
    } else {
      const n = interval;
      const content = Buffer.from(primary);
      if (waiting?.at === n) truth.contents.set(waiting.id, content);
      const decided = replica.decide(n);
      interval++;
      if (chance() < 0.5) await write();
      await decided;
      await replica.apply(n);
      view = Buffer.from(content);
      if (chance() < 0.5) await write();
      if (waiting && waiting.at <= n) {
        const { id, done } = waiting;
        waiting = undefined;
        await done;
        // The partner's word comes some time.
        if (chance() < 0.4) {
          await write();
          await write();
        }
        await points.keep(id);
        truth.answered.add(id);
      }
    }
  }
  await replica.takeOver();
  if (waiting) {
    const dropped = await waiting.done.then(
      () => false,
      () => true,
    );
    if (!dropped) throw new Error('a point of an interval that was never committed was cut');
    await points.dropCutting(waiting.id);
  }
  await check(points, truth, 'after the takeover');
  if (!m.disk.content.equals(view)) throw new Error('the copy is not what was taken over');
}

async function check(points: PointStore, { contents, answered }: Truth, when: string): Promise<void> {
  for (const id of answered) if (!points.points.some((p) => p.id === id)) throw new Error(`${when}: ${id} is not listed`);
  for (const p of points.points) {
    if (p.state !== 'kept' || p.trouble !== '') throw new Error(`${when}: ${p.name} is ${p.state}: ${p.trouble}`);
    if (!contents.get(p.id)?.equals(await contentOf(points, p.id))) throw new Error(`${when}: ${p.name} is not the end of its interval`);
  }
}

async function run(seed: number, lossAt: number): Promise<{ requests: number; wrong: string | undefined }> {
  const images: Images = { ...blankImages(), segments: [Buffer.alloc(SEGMENT_BYTES), Buffer.alloc(SEGMENT_BYTES)] };
  const m = new ReplicaMachine(images, new Power(lossAt, random(seed * 7919 + 1)));
  const truth: Truth = { contents: new Map(), answered: new Set() };
  try {
    await Promise.race([script(seed, m, truth), m.power.lost]);
    const dice = random(seed * 31 + (Number.isFinite(lossAt) ? lossAt : 0));
    let found = m.images(dice);
    // The next start may lose power, too.
    const second = new ReplicaMachine(found, new Power(Math.floor(dice() * 30), dice));
    if (!(await Promise.race([second.start(), second.power.lost]))) found = second.images(dice);
    else found = second.images(() => 0);
    const { points } = await new ReplicaMachine(found, new Power(Number.POSITIVE_INFINITY, () => 0)).start();
    await check(points, truth, 'after the loss');
  } catch (e) {
    return { requests: m.power.requests, wrong: (e as Error).message };
  }
  return { requests: m.power.requests, wrong: undefined };
}

const SEEDS = Number(process.env.MIRROR_SEEDS ?? 2);
t.setTimeout(120_000 + SEEDS * 20_000);

t.test('power lost at every request of a replica with restore points', async (t) => {
  let runs = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { requests, wrong } = await run(seed, Number.POSITIVE_INFINITY);
    t.equal(wrong, undefined, `seed ${seed}, ${requests} requests, no loss before the end`);
    for (let at = 0; at < requests; at++) {
      const r = await run(seed, at);
      runs++;
      if (r.wrong) t.fail(`seed ${seed}, loss at request ${at}: ${r.wrong}`);
    }
  }
  t.comment(`${runs} losses of power`);
});
