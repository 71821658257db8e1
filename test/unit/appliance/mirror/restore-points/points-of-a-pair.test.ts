// Random lives of a pair with restore points: every one that is listed reads, on each CoServer that has it, exactly as the disk was at
// its cut, through checkpoints, losses, takeovers, returns and roll-backs. One seed replays one life.
import t from 'tap';
import { NbdClient } from '../../../../../drivers/nbd/index.ts';
import { random } from '../losable-store.ts';
import { MirrorPair, type Side, until } from '../mirror-pair.ts';

const SIZE_BYTES = 640 * 1024 + 512;
const SCALE = { extentBytes: 16 * 1024, hot: { most: 8, kept: 4 }, settlePauseMs: 0 };
const SEEDS = Number(process.env.MIRROR_SEEDS ?? 3);
t.setTimeout(60_000 + SEEDS * 20_000);

async function contentOf(side: Side, name: string): Promise<Buffer> {
  const { socketPath, exportName } = await side.mirror.call('exportPoint', { name });
  const client = await NbdClient.connect(socketPath, exportName);
  try {
    return await client.read(0, SIZE_BYTES);
  } finally {
    client.destroy();
    await side.mirror.call('endPointExport', { name });
  }
}

async function life(seed: number, t: Tap): Promise<void> {
  const chance = random(seed);
  const below = (n: number): number => Math.floor(chance() * n);
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, scale: SCALE, points: { directory: '', maximumBytes: 1 << 30, reserveBytes: 0 } });
  const seen = { shared: 0, alone: 0, lockstep: 0, rolledBack: 0, takenOver: 0 };
  try {
    await pair.protect();
    let [source, other]: [Side, Side] = [pair.a, pair.b];
    let primary = await source.connect();
    let secondary = await other.connect();
    let model: Buffer = Buffer.alloc(SIZE_BYTES);
    let view: Buffer = Buffer.from(model);
    /** Of the interval that is over. */
    const ends = new Map<number, Buffer>();
    /** By name. Null: writes were under way, so whatever the first look finds. */
    const truth = new Map<string, Buffer | null>();
    let mark = 1;
    let takes = 0;

    const write = (client: NbdClient, content: Buffer): Promise<void> => {
      const length = chance() < 0.3 ? 1 + below(150_000) : 512 * (1 + below(16));
      const offset = below(SIZE_BYTES - length);
      const byte = chance() < 0.1 ? 0 : mark++ % 256;
      content.fill(byte, offset, offset + length);
      return byte === 0 ? client.writeZeroes(offset, length) : client.write(offset, Buffer.alloc(length, byte));
    };
    const writes = async (client: NbdClient, content: Buffer): Promise<void> => {
      for (let i = 1 + below(5); i > 0; i--) await write(client, content);
    };
    const checkpoint = async (): Promise<void> => {
      const n = source.interval.current;
      ends.set(n, Buffer.from(model));
      source.interval.current = n + 1;
      const decided = other.commit.call('decide', { interval: n });
      // A primary that does not wait is in the next interval already.
      if (chance() < 0.5) await writes(primary, model);
      await decided;
      await other.commit.call('apply', { interval: n });
      view = Buffer.from(ends.get(n) ?? view);
    };
    const check = async (): Promise<void> => {
      for (const side of [pair.a, pair.b]) {
        await side.mirror.call('open', {});
        const status = await side.mirror.call('listPoints', {});
        for (const p of status?.points ?? []) {
          if (p.trouble !== '') throw new Error(`seed ${seed}: ${p.name} is in trouble: ${p.trouble}`);
          if (!p.here) continue;
          const want = truth.get(p.name);
          const got = await contentOf(side, p.name);
          if (want === undefined) throw new Error(`seed ${seed}: ${p.name} is listed on ${side.setup.channel.side}, and should not be`);
          if (want === null) truth.set(p.name, got);
          else if (!want.equals(got)) throw new Error(`seed ${seed}: ${p.name} is not as it was cut, on ${side.setup.channel.side}`);
        }
      }
    };
    const take = async (isShared: boolean): Promise<void> => {
      const name = `p${++takes}`;
      const busy = chance() < 0.5;
      const interval = source.interval.current;
      const before = Buffer.from(model);
      truth.set(name, interval === 0 && !busy ? before : null);
      const taking = source.mirror.call('takePoint', { name, kind: 'operator', takenAt: takes });
      const during = busy ? Promise.all([1, 2, 3, 4].map(() => writes(primary, model))) : Promise.resolve([]);
      await during;
      // Overlapping writes were under way: what the disk says now is what it must go on saying.
      (await primary.read(0, SIZE_BYTES)).copy(model);
      let isOver = false;
      const over = (): void => {
        isOver = true;
      };
      taking.then(over, over);
      while (interval > 0 && !isOver) {
        await checkpoint();
        await writes(primary, model);
      }
      const done = await taking;
      t.equal(done.alone === '', isShared, `seed ${seed}: ${name}: ${done.alone}`);
      if (done.at > 0) {
        const end = ends.get(done.at);
        if (!end) throw new Error(`seed ${seed}: ${name} was cut at the end of interval ${done.at}, which is not over`);
        truth.set(name, end);
        seen.lockstep++;
      }
      seen[isShared ? 'shared' : 'alone']++;
      if (interval === 0) view = Buffer.from(model);
      await check();
    };
    const rejoin = async (): Promise<void> => {
      await other.mirror.call('close', {});
      source.interval.current = 0;
      other.interval.current = 0;
      ends.clear();
      pair.fake.mend();
      await other.mirror.call('startTarget', {});
      await source.mirror.call('startSource', {});
      const resync = source.mirror.call('resync', {});
      await writes(primary, model);
      await resync;
      if (!source.disk().equals(other.disk())) throw new Error(`seed ${seed}: the copies differ after a resync`);
      if (chance() < 0.3) await take(true);
      await other.mirror.call('startReplica', {});
      secondary = await other.connect();
      view = Buffer.from(model);
    };
    /** The workload is shut down, the disk rolled back, and the workload started again. */
    const rollBack = async (): Promise<void> => {
      pair.fake.cut();
      await source.mirror.call('goSolo', {});
      await source.mirror.call('close', {});
      await source.mirror.call('open', {});
      const points = (await source.mirror.call('listPoints', {}))?.points.filter((p) => p.here) ?? [];
      const to = points[below(points.length)];
      if (to) {
        const want = truth.get(to.name) ?? (await contentOf(source, to.name));
        const rolling = source.mirror.call('rollBack', { name: to.name, takenAt: 1_000 + takes });
        // Or it is cut short by a close, and finished by the start.
        const cutShort = chance() < 0.5;
        if (cutShort) await source.mirror.call('close', {});
        const done = await rolling.catch(() => null);
        if (done) truth.set(done.before, Buffer.from(model));
        else {
          t.ok(cutShort);
          for (const p of (await source.mirror.call('listPoints', {}))?.points ?? [])
            if (p.kind === 'rollback') truth.set(p.name, truth.get(p.name) ?? Buffer.from(model));
        }
        const status = await source.mirror.call('listPoints', {});
        if (done || status?.rollingBack) model = Buffer.from(want);
        seen.rolledBack++;
      }
      await source.mirror.call('serveSolo', {});
      primary = await source.connect();
      const now = await primary.read(0, SIZE_BYTES);
      if (!now.equals(model)) throw new Error(`seed ${seed}: the disk is not as the restore point '${to?.name}' says`);
      await check();
      await rejoin();
    };

    for (let step = 0; step < 40; step++) {
      if (chance() < 0.12 && source.interval.current === 0) source.interval.current = 1;
      const journaling = source.interval.current > 0;
      const x = chance();
      if (x < 0.3) {
        await writes(primary, model);
        if (!journaling) view = Buffer.from(model);
      } else if (x < 0.4 && journaling) await writes(secondary, view);
      else if (x < 0.6) await take(true);
      else if (x < 0.7) await check();
      else if (x < 0.8 && journaling) await checkpoint();
      else if (x < 0.84) {
        const names = (await source.mirror.call('listPoints', {}))?.points.map((p) => p.name) ?? [];
        const name = names[below(names.length)];
        if (name === undefined) continue;
        await source.mirror.call('removePoint', { name });
        for (const side of [source, other]) {
          const left = (await side.mirror.call('listPoints', {}))?.points ?? [];
          if (left.some((p) => p.name === name && p.here)) throw new Error(`seed ${seed}: ${name} was removed, and is there`);
        }
        truth.delete(name);
      } else if (x < 0.9 && journaling) {
        // The primary dies while a point waits for its interval: the secondary must not have it.
        const waits = chance() < 0.5;
        if (waits) {
          const name = `p${++takes}`;
          const taking = source.mirror.call('takePoint', { name, kind: 'operator', takenAt: takes });
          taking.catch(() => undefined);
          truth.set(name, null);
          await writes(primary, model);
          await new Promise((resolve) => setTimeout(resolve, below(20)));
        }
        pair.fake.cut();
        await other.mirror.call('takeOver', {});
        if (!other.disk().equals(view)) throw new Error(`seed ${seed}: the copy differs from what was taken over`);
        const dead = source;
        [source, other] = [other, source];
        [primary, model] = [secondary, view];
        if (waits && (await source.mirror.call('listPoints', {}))?.points.some((p) => p.name === `p${takes}` && p.here))
          throw new Error(`seed ${seed}: a point of an interval that was never committed is on the survivor`);
        await dead.mirror.call('close', {});
        seen.takenOver++;
        await writes(primary, model);
        await check();
        await rejoin();
      } else if (x < 0.92) {
        pair.fake.cut();
        const held = write(primary, model);
        await until(() => source.lost.length >= 0, 'the loss');
        await source.mirror.call('goSolo', {});
        await held;
        source.interval.current = 0;
        await take(false);
        await check();
        await rejoin();
      } else if (!journaling) await rollBack();
    }
    await check();
    if (source.interval.current > 0) {
      await other.mirror.call('collapse', {});
      source.interval.current = 0;
    }
    await writes(primary, model);
    await primary.flush();
    t.ok(source.disk().equals(other.disk()), `seed ${seed}: identical at the end`);
    t.ok(source.disk().equals(model), `seed ${seed}: as the model says`);
    t.same([pair.a.diskErrors, pair.b.diskErrors], [[], []]);
    t.comment(`seed ${seed}: ${JSON.stringify(seen)}`);
  } finally {
    await pair.end();
  }
}

type Tap = Pick<typeof t, 'ok' | 'equal' | 'same' | 'comment'>;

for (let seed = 1; seed <= SEEDS; seed++) t.test(`life ${seed}`, async (t) => life(seed, t));
