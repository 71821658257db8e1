// Random lives of a pair against a simple model: writes (overlapping ones too, many at a time), checkpoints, losses,
// takeovers, returns. The disks take their time, in random order. One seed replays one life.
import t from 'tap';
import { type BlockStore, FileStore, type FileStoreOptions } from '../../../../drivers/block/index.ts';
import type { NbdClient } from '../../../../drivers/nbd/index.ts';
import { random } from './losable-store.ts';
import { MirrorPair, type Side } from './mirror-pair.ts';

const SIZE_BYTES = 256 * 1024;
/** Small enough that a resync has something to leave out, and extents cool down all the time. */
const SCALE = { extentBytes: 1024, hot: { most: 8, kept: 4 }, settlePauseMs: 0 };
const SEEDS = Number(process.env.MIRROR_SEEDS ?? 5);
t.setTimeout(60_000 + SEEDS * 5_000);

function slow(chance: () => number): (o: FileStoreOptions) => Promise<BlockStore> {
  return async (o) => {
    const store = await FileStore.open(o);
    const write = store.write.bind(store);
    store.write = async (offset, ...parts) => {
      for (let n = Math.floor(chance() * 6); n > 0; n--) await new Promise((resolve) => setImmediate(resolve));
      await write(offset, ...parts);
    };
    return store;
  };
}

async function life(seed: number, t: Tap): Promise<void> {
  const chance = random(seed);
  const below = (n: number): number => Math.floor(chance() * n);
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, openStore: slow(random(seed + 1000)), scale: SCALE });
  // Dissimilar copies: one past the page cache.
  if (seed % 2 === 1) pair.b.setup.cache = 'direct';
  try {
    await pair.protect();
    let [source, other]: [Side, Side] = [pair.a, pair.b];
    let primary = await source.connect();
    let secondary = await other.connect();
    let model: Buffer = Buffer.alloc(SIZE_BYTES);
    let view = Buffer.from(model);
    let mark = 1;
    let left = 0;

    /** A burst of writes at a time; they do not overlap each other, unless `wild`: then the model is read back. */
    const burst = async (client: NbdClient, content: Buffer, wild: boolean): Promise<void> => {
      const under: { offset: number; end: number }[] = [];
      const writes: Promise<void>[] = [];
      for (let i = 1 + below(12); i > 0; i--) {
        const length = chance() < 0.3 ? 1 + below(20_000) : 512 * (1 + below(16));
        const offset = below(SIZE_BYTES - length);
        if (!wild && under.some((u) => u.offset < offset + length && u.end > offset)) continue;
        under.push({ offset, end: offset + length });
        const byte = mark++ % 256;
        content.fill(chance() < 0.1 ? 0 : byte, offset, offset + length);
        writes.push(chance() < 0.1 ? client.writeZeroes(offset, length) : client.write(offset, Buffer.alloc(length, byte), chance() < 0.1));
        if (chance() < 0.1) writes.push(client.flush());
      }
      await Promise.all(writes);
      // Zeroes and bytes were mixed up on purpose above: what the disk says now is what it must go on saying.
      (await client.read(0, SIZE_BYTES)).copy(content);
    };
    const check = async (client: NbdClient, content: Buffer, what: string): Promise<void> => {
      const got = await client.read(0, SIZE_BYTES);
      if (!got.equals(content)) throw new Error(`seed ${seed}: ${what}`);
    };
    const checkpoint = async (): Promise<void> => {
      const n = source.interval.current;
      source.interval.current = n + 1;
      await other.commit.call('decide', { interval: n });
      await other.commit.call('apply', { interval: n });
      view = Buffer.from(model);
    };
    /** The one that is gone comes back as target, and follows again. */
    const rejoin = async (): Promise<void> => {
      await other.mirror.call('close', {});
      source.interval.current = 0;
      other.interval.current = 0;
      pair.fake.mend();
      await other.mirror.call('startTarget', {});
      await source.mirror.call('startSource', {});
      const resync = source.mirror.call('resync', {});
      await burst(primary, model, true);
      const done = await resync;
      t.match(done.why, /^what either copy wrote/);
      left += SIZE_BYTES - done.comparedBytes;
      if (!source.disk().equals(other.disk()))
        throw new Error(`seed ${seed}: the copies differ after a resync of ${done.comparedBytes} bytes`);
      if (chance() < 0.5) await burst(primary, model, true);
      await source.mirror.call('startReplica', {}).then(
        () => t.fail('a source became a replica'),
        () => undefined,
      );
      await other.mirror.call('startReplica', {});
      secondary = await other.connect();
      view = Buffer.from(model);
      await check(secondary, view, 'a fresh replica differs');
    };

    for (let step = 0; step < 60; step++) {
      if (chance() < 0.3 && source.interval.current === 0) source.interval.current = 1;
      const journaling = source.interval.current > 0;
      const x = chance();
      if (x < 0.35) {
        await burst(primary, model, chance() < 0.5);
        if (!journaling) view = Buffer.from(model);
      } else if (x < 0.55 && journaling) await burst(secondary, view, false);
      else if (x < 0.65) await check(primary, model, `step ${step}: the primary's view`);
      else if (x < 0.75 && journaling) await check(secondary, view, `step ${step}: the secondary's view`);
      else if (x < 0.9 && journaling) await checkpoint();
      else if (x < 0.93 && journaling) {
        // The primary dies with writes under way.
        const writes = [primary.write(0, Buffer.alloc(5000, 1)), primary.write(3000, Buffer.alloc(5000, 2))];
        for (const w of writes) w.catch(() => {});
        pair.fake.cut();
        const during = secondary.write(100_000, Buffer.alloc(3000, 0xaa));
        await other.mirror.call('takeOver', {});
        await during;
        view.fill(0xaa, 100_000, 103_000);
        if (!other.disk().equals(view)) throw new Error(`seed ${seed}, step ${step}: the copy differs from what was taken over`);
        [source, other] = [other, source];
        [primary, model] = [secondary, view];
        await burst(primary, model, true);
        await rejoin();
      } else if (x < 0.96) {
        // The secondary dies with writes under way.
        pair.fake.cut();
        const held = burst(primary, model, true);
        while ((await source.mirror.call('status', {})).pendingWrites === 0) await new Promise((resolve) => setImmediate(resolve));
        await source.mirror.call('goSolo', {});
        await held;
        if (!source.disk().equals(model)) throw new Error(`seed ${seed}, step ${step}: the copy of the survivor`);
        await rejoin();
      }
    }
    if (source.interval.current > 0) {
      await burst(primary, model, true);
      await other.mirror.call('collapse', {});
      source.interval.current = 0;
    }
    await burst(primary, model, true);
    await primary.flush();
    t.ok(source.disk().equals(other.disk()), `seed ${seed}: identical at the end`);
    t.ok(source.disk().equals(model), `seed ${seed}: as the model says`);
    t.ok(left > 0, `${left} bytes needed no comparison`);
    t.same([pair.a.diskErrors, pair.b.diskErrors], [[], []]);
  } finally {
    await pair.end();
  }
}

type Tap = Pick<typeof t, 'ok' | 'fail' | 'same' | 'match'>;

for (let seed = 1; seed <= SEEDS; seed++) t.test(`life ${seed}`, async (t) => life(seed, t));
