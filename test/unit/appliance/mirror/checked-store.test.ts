// Checksums of one copy: what rots, is misdirected, torn or unreadable is found; a crash makes nothing wrong.
import fc from 'fast-check';
import t from 'tap';
import { blockSums, firstMisfit, SUM_BLOCK_BYTES, ZERO_SUM } from '../../../../appliance/mirror/block-sums.ts';
import { CheckedStore } from '../../../../appliance/mirror/checked-store.ts';
import { KeptSums, sumsFileBytes } from '../../../../appliance/mirror/kept-sums.ts';
import type { DiskIdentity } from '../../../../appliance/mirror/metadata.ts';
import { decodeSumsPage, encodeSumsPage, sumsPageBytes } from '../../../../appliance/mirror/sums-codec.ts';
import type { Flight } from '../../../../appliance/mirror/sums-pages.ts';
import { SilentDiskError } from '../../../../appliance/mirror/watched-store.ts';
import { type BlockStore, StoreError } from '../../../../drivers/block/index.ts';
import { LosableStore, Power, random } from './losable-store.ts';

const BLOCK = SUM_BLOCK_BYTES;
/** The last block is short, as is the last extent. */
const SIZE_BYTES = 75 * BLOCK + 512;
const IDENTITY: DiskIdentity = {
  pair: 'a1a2a3a4a5a6a7a8',
  disk: new Uint8Array(32).fill(7),
  sizeBytes: SIZE_BYTES,
  scale: { extentBytes: 4 * BLOCK, hot: { most: 5, kept: 3 }, settlePauseMs: 0 },
};
const never = (): Power => new Power(Infinity, () => 0);

interface Bench {
  medium: LosableStore;
  file: LosableStore;
  disk: CheckedStore;
  sums: KeptSums;
  unknown: string | null;
  off: string[];
}

async function open(
  medium = new LosableStore(never(), Buffer.alloc(SIZE_BYTES)),
  file = new LosableStore(never(), Buffer.alloc(sumsFileBytes(IDENTITY))),
  identity = IDENTITY,
): Promise<Bench> {
  const off: string[] = [];
  const { sums, unknown } = await KeptSums.open(file, identity, { flushDisk: () => medium.flush(), onOff: (r) => off.push(r) });
  return { medium, file, disk: new CheckedStore(medium, sums), sums, unknown, off };
}

async function conditions(disk: CheckedStore): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const c of (await disk.check(0, SIZE_BYTES)).blocks) found[c] = (found[c] ?? 0) + 1;
  return found;
}

const bytes = (length: number, value: number): Buffer => Buffer.alloc(length, value);

t.test('sums of a write, whatever its parts', async (t) => {
  t.same([...blockSums(0, bytes(BLOCK, 0))], [ZERO_SUM]);
  fc.assert(
    fc.property(fc.nat(20_000), fc.uint8Array({ maxLength: 20_000 }), fc.nat(20_000), fc.nat(19_999), (offset, data, cut, at) => {
      const whole = blockSums(offset, data);
      t.same(blockSums(offset, data.subarray(0, cut), data.subarray(cut)), whole);
      t.equal(firstMisfit(offset, data, whole), undefined);
      if (at >= data.length) return;
      const rotten = Uint8Array.from(data);
      rotten[at] = (rotten[at] ?? 0) ^ 4;
      t.equal(firstMisfit(offset, rotten, whole), Math.max(offset, Math.floor((offset + at) / BLOCK) * BLOCK));
    }),
    { numRuns: 50 },
  );
});

t.test('several writes to an extent under way: each has its sums when it ends; a block of two of them has none', async (t) => {
  const { disk, sums } = await open();
  await disk.write(0, bytes(3 * BLOCK, 1));
  const begin = (block: number, blocks: number): Flight => {
    t.equal(sums.enter(block * BLOCK, blocks * BLOCK), undefined);
    return sums.take(block * BLOCK, blocks * BLOCK);
  };
  for (const ends of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 0, 2],
  ]) {
    const flights = [0, 1, 2].map((block) => begin(block, 1));
    for (const i of ends) {
      const flight = flights[i];
      if (flight) sums.end(flight, Uint32Array.of(100 + i));
    }
    t.same(sums.settled(sums.look(0, 3)), [100, 101, 102]);
  }
  const [early, late] = [begin(0, 2), begin(1, 2)];
  sums.end(early, Uint32Array.of(1, 2));
  sums.end(late, Uint32Array.of(3, 4));
  t.same(sums.settled(sums.look(0, 3)), [1, undefined, 4]);
});

t.test('pages: there and back, any damage is nothing known', async (t) => {
  const page = {
    crcs: Uint32Array.from({ length: 1024 }, (_, i) => i * 4_000_000),
    known: Uint8Array.from({ length: 1024 }, (_, i) => (i % 3 === 0 ? 1 : 0)),
  };
  const encoded = encodeSumsPage(page, 9, 77n);
  t.equal(encoded.length, sumsPageBytes(1024));
  const blank = () => ({ crcs: new Uint32Array(1024), known: new Uint8Array(1024) });
  const back = blank();
  t.ok(decodeSumsPage(Buffer.from(encoded), 9, 77n, back));
  t.same(back.known, page.known);
  for (const [i, k] of page.known.entries()) if (k) t.equal(back.crcs[i], page.crcs[i]);
  t.notOk(decodeSumsPage(Buffer.from(encoded), 8, 77n, blank()), 'of another place');
  t.notOk(decodeSumsPage(Buffer.from(encoded), 9, 78n, blank()), 'of another life');
  fc.assert(
    fc.property(fc.nat(encoded.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = Buffer.from(encoded);
      damaged.writeUInt8(damaged.readUInt8(at) ^ flip, at);
      const into = blank();
      return !decodeSumsPage(damaged, 9, 77n, into) && into.known.every((k) => k === 0);
    }),
    { numRuns: 500 },
  );
});

t.test('rot is found, at its block; a write over it heals', async (t) => {
  const { disk, medium } = await open();
  await disk.write(0, bytes(10 * BLOCK, 1));
  t.same(await conditions(disk), { fits: 10, unknown: 66 });
  medium.content.writeUInt8(9, 3 * BLOCK + 77);
  await t.rejects(disk.read(0, 10 * BLOCK), { name: 'StoreError', kind: 'io', operation: 'read', offset: 3 * BLOCK, code: 'EIO' });
  // Also of a part that has not rotted.
  await t.rejects(disk.read(3 * BLOCK + 1024, 512), { name: 'StoreError', offset: 3 * BLOCK });
  t.ok((await disk.read(4 * BLOCK, BLOCK)).equals(bytes(BLOCK, 1)));
  await disk.write(3 * BLOCK, bytes(BLOCK, 2));
  t.ok((await disk.read(3 * BLOCK, BLOCK)).equals(bytes(BLOCK, 2)));
  t.same(await conditions(disk), { fits: 10, unknown: 66 });
});

t.test('a write to a part of a block joins its sum; of a rotten one makes nothing good', async (t) => {
  const { disk, medium } = await open();
  await disk.write(0, bytes(4 * BLOCK, 1));
  await disk.write(512, bytes(BLOCK, 2), bytes(700, 3));
  t.ok((await disk.read(511, 2 + BLOCK)).equals(Buffer.concat([bytes(1, 1), bytes(BLOCK, 2), bytes(1, 3)])));
  await disk.zero(3 * BLOCK - 100, 200);
  t.same(await conditions(disk), { fits: 4, unknown: 72 });
  medium.content.writeUInt8(9, 5);
  await disk.write(2048, bytes(512, 4));
  t.same((await disk.check(0, BLOCK)).blocks, ['wrong']);
  await disk.write(100, bytes(10, 4));
  t.same((await disk.check(0, BLOCK)).blocks, ['wrong'], 'however often');
  await disk.zero(0, BLOCK, { space: 'release' });
  t.same((await disk.check(0, BLOCK)).blocks, ['fits']);
});

t.test('a write that lands elsewhere, a write that is lost: both blocks are found', async (t) => {
  const { disk, medium } = await open();
  await disk.write(0, bytes(20 * BLOCK, 1));
  const write = medium.write.bind(medium);
  medium.write = (_offset, ...parts) => write(13 * BLOCK, ...parts);
  await disk.write(2 * BLOCK, bytes(BLOCK, 5));
  medium.write = write;
  const { blocks } = await disk.check(0, 20 * BLOCK);
  t.same(
    blocks.flatMap((c, i) => (c === 'wrong' ? [i] : [])),
    [2, 13],
  );
});

t.test('what the medium does not give back is unreadable, its neighbours are not', async (t) => {
  const { disk, medium } = await open();
  await disk.write(0, bytes(8 * BLOCK, 1));
  const read = medium.read.bind(medium);
  medium.read = (offset, length) =>
    offset <= 5 * BLOCK && offset + length > 5 * BLOCK
      ? Promise.reject(new StoreError('io', 'read', 5 * BLOCK, 'EIO'))
      : read(offset, length);
  const { data, blocks } = await disk.check(4 * BLOCK, 4 * BLOCK);
  t.same(blocks, ['fits', 'unreadable', 'fits', 'fits']);
  t.equal(data[0], 1);
  await disk.write(5 * BLOCK + 512, bytes(512, 7));
  medium.read = read;
  t.same((await disk.check(5 * BLOCK, BLOCK)).blocks, ['wrong'], 'a part written over what could not be read is not good');
  t.same(await disk.rewrite(5 * BLOCK, bytes(BLOCK, 1)), ['fits']);
});

t.test(
  'a lost block has no sum that other bytes must fit, stays lost over a restart, and is good when it is written as a whole',
  async (t) => {
    const { disk, medium, file } = await open();
    await disk.write(0, bytes(6 * BLOCK, 1));
    const found: number[] = [];
    disk.onHalfLost = (offset) => found.push(offset / BLOCK);
    const { read, write } = medium;
    medium.read = () => Promise.reject(new StoreError('io', 'read', 0, 'EIO'));
    await disk.write(2 * BLOCK + 512, bytes(BLOCK, 2));
    medium.read = read;
    medium.content.writeUInt8(9, 4 * BLOCK);
    await disk.write(4 * BLOCK + 512, bytes(512, 2));
    t.same(found, [2, 3, 4]);
    medium.write = () => Promise.reject(new StoreError('io', 'write', 0, 'EIO'));
    await t.rejects(disk.write(4 * BLOCK + 512, bytes(512, 3)), /EIO/);
    medium.write = write;
    await disk.learn(2 * BLOCK, bytes(BLOCK, 1));
    const first = ['fits', 'fits', 'wrong', 'wrong', 'wrong', 'fits'];
    t.same((await disk.check(0, 6 * BLOCK)).blocks, first);
    t.same(
      (await disk.sums(0, 6 * BLOCK)).map((sum) => sum !== undefined),
      [true, true, false, false, false, true],
    );
    await t.rejects(disk.read(3 * BLOCK, 1), { name: 'StoreError', kind: 'io', offset: 3 * BLOCK });
    await disk.close();
    const power = (b: Buffer): LosableStore => new LosableStore(never(), b);
    const again = await open(power(medium.afterLoss(() => 0)), power(file.afterLoss(() => 0)));
    t.same((await again.disk.check(0, 6 * BLOCK)).blocks, first);
    t.equal((await again.disk.sums(3 * BLOCK, BLOCK))[0], undefined);
    t.same(await again.disk.rewrite(2 * BLOCK, bytes(2 * BLOCK, 5)), ['fits', 'fits']);
    await again.disk.zero(4 * BLOCK, BLOCK);
    t.same(await conditions(again.disk), { fits: 6, unknown: 70 });
  },
);

t.test('two writes to parts of a block at the same time: it is not taken for lost, and one that is lost stays so', async (t) => {
  const { disk, medium } = await open();
  const found: number[] = [];
  disk.onHalfLost = (offset) => found.push(offset / BLOCK);
  await disk.write(0, bytes(4 * BLOCK, 1));
  // What the one reads has what the other one wrote meanwhile.
  const both = async (block: number): Promise<void> => {
    const { read } = medium;
    const other: Promise<void>[] = [];
    medium.read = async (...a) => {
      medium.read = read;
      other.push(disk.write(block * BLOCK, bytes(1024, 7)));
      await other[0];
      return await read.apply(medium, a);
    };
    await disk.write(block * BLOCK + 2048, bytes(1024, 8));
    medium.read = read;
    if (other.length === 0)
      await Promise.all([disk.write(block * BLOCK + 2048, bytes(1024, 8)), disk.write(block * BLOCK, bytes(1024, 7))]);
  };
  await both(1);
  t.same([found, (await disk.check(BLOCK, BLOCK)).blocks], [[], ['unknown']]);
  medium.content.writeUInt8(9, 2 * BLOCK);
  await disk.write(2 * BLOCK + 512, bytes(1, 2));
  await both(2);
  t.same((await disk.check(2 * BLOCK, BLOCK)).blocks, ['wrong']);
  t.ok(found.length > 1 && found.every((b) => b === 2), 'and each of them tells it');
});

t.test('a write that failed leaves nothing known; one that was not done changes nothing', async (t) => {
  const { disk, medium } = await open();
  await disk.write(0, bytes(4 * BLOCK, 1));
  const { write, zero } = medium;
  medium.write = () => Promise.reject(new StoreError('io', 'write', 0, 'EIO'));
  await t.rejects(disk.write(0, bytes(2 * BLOCK, 2)), /EIO/);
  medium.write = write;
  t.same((await disk.check(0, 4 * BLOCK)).blocks, ['unknown', 'unknown', 'fits', 'fits']);
  medium.zero = () => Promise.reject(new StoreError('unsupported', 'write', 0, 'no fast way', 'ENOTSUP'));
  await t.rejects(disk.zero(0, 4 * BLOCK, { fast: true }), { code: 'ENOTSUP' });
  medium.zero = zero;
  t.same((await disk.check(0, 4 * BLOCK)).blocks, ['unknown', 'unknown', 'fits', 'fits']);
});

t.test('known after a clean end; and what was learned from reading', async (t) => {
  const first = await open();
  await first.disk.write(0, bytes(40 * BLOCK, 1));
  await first.disk.learn(50 * BLOCK, bytes(2 * BLOCK, 0));
  await first.disk.learn(0, bytes(2 * BLOCK, 3));
  const all = { fits: 42, unknown: 34 };
  t.same(await conditions(first.disk), all);
  await first.disk.close();
  const power = (b: Buffer): LosableStore => new LosableStore(never(), b);
  const again = await open(power(first.medium.afterLoss(() => 0)), power(first.file.afterLoss(() => 0)));
  t.equal(again.unknown, null);
  t.same(await conditions(again.disk), all);
});

t.test('a file that is damaged, foreign or new: everything is unknown, said, and known again by and by', async (t) => {
  const first = await open();
  t.equal(first.unknown, null, 'a new one is nothing to speak of');
  await first.disk.write(0, bytes(SIZE_BYTES, 1));
  await first.disk.close();
  const file = (): LosableStore => new LosableStore(never(), Buffer.from(first.file.content));
  const from = async (f: LosableStore, identity = IDENTITY): Promise<string> => {
    const bench = await open(new LosableStore(never(), Buffer.from(first.medium.content)), f, identity);
    t.same(await conditions(bench.disk), { unknown: 76 });
    await bench.disk.write(0, bytes(BLOCK, 2));
    t.same(await conditions(bench.disk), { fits: 1, unknown: 75 });
    return String(bench.unknown);
  };
  const damaged = file();
  damaged.content.fill(1, 0, 8192);
  t.match(await from(damaged), /damaged/);
  t.match(await from(file(), { ...IDENTITY, disk: new Uint8Array(32).fill(8) }), /another/);
  t.match(await from(file(), { ...IDENTITY, pair: 'ffffffffffffffff' }), /another pair/);
  t.equal(await from(new LosableStore(never(), Buffer.alloc(sumsFileBytes(IDENTITY)))), 'null');
  const rotten = file();
  for (let at = 77_824; at < rotten.sizeBytes; at += 100) rotten.content.writeUInt8(rotten.content.readUInt8(at) ^ 1, at);
  t.equal(await from(rotten), 'null', 'rotten pages say nothing, and nothing wrong');
});

t.test('the file fails: the guest sees nothing of it, nothing is known, and that is said once', async (t) => {
  const { disk, file, off, medium } = await open();
  await disk.write(0, bytes(4 * BLOCK, 1));
  file.write = () => Promise.reject(new StoreError('io', 'write', 0, 'the sums are gone'));
  await disk.write(20 * BLOCK, bytes(4 * BLOCK, 2));
  await disk.write(60 * BLOCK, bytes(4 * BLOCK, 2));
  t.same(off, ['the sums are gone']);
  t.same(await conditions(disk), { unknown: 76 });
  medium.content.writeUInt8(9, 0);
  t.equal((await disk.read(0, BLOCK))[0], 9);
  await disk.close();
});

t.test('memory is bounded: extents become clean, and what they know is still known', async (t) => {
  const { disk, sums } = await open();
  for (let round = 1; round < 5; round++) {
    for (let b = 0; b < 75; b++) {
      await disk.write(b * BLOCK, bytes(BLOCK, round));
      if (sums.dirtyExtents > 12) t.fail(`${sums.dirtyExtents} dirty extents`);
    }
  }
  t.same(await conditions(disk), { fits: 75, unknown: 1 });
});

t.test('readers and writers at a time: never a false alarm, and nothing is missed at the end', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const chance = random(seed);
    const below = (n: number): number => Math.floor(chance() * n);
    const power = new Power(Infinity, random(seed + 99));
    const { disk, medium } = await open(
      new LosableStore(power, Buffer.alloc(SIZE_BYTES)),
      new LosableStore(power, Buffer.alloc(sumsFileBytes(IDENTITY))),
    );
    await disk.write(0, bytes(SIZE_BYTES, 200));
    const under = new Set<{ start: number; end: number }>();
    let left = 400;
    const writer = async (): Promise<void> => {
      while (left-- > 0) {
        const length = 1 + below(chance() < 0.5 ? 600 : 20_000);
        const start = below(SIZE_BYTES - length);
        const range = { start, end: start + length };
        if ([...under].some((u) => u.start < range.end && u.end > start)) {
          await undefined;
          continue;
        }
        under.add(range);
        if (chance() < 0.2) await disk.zero(start, length);
        else await disk.write(start, bytes(length, below(256)));
        under.delete(range);
      }
    };
    const reader = async (): Promise<void> => {
      while (left > 0) {
        const length = 1 + below(20_000);
        await disk.read(below(SIZE_BYTES - length), length);
      }
    };
    await Promise.all([writer(), writer(), writer(), writer(), reader(), reader()]);
    const { wrong, fits } = await conditions(disk);
    t.equal(wrong, undefined);
    t.ok((fits ?? 0) > 40, `seed ${seed}: ${fits} blocks are known`);
    medium.content.writeUInt8(medium.content.readUInt8(BLOCK * 7) ^ 1, BLOCK * 7);
    t.not((await disk.check(7 * BLOCK, BLOCK)).blocks[0], 'fits');
  }
});

/** Nothing that a process has under way goes on when it has ended. */
function mortal(store: LosableStore, process: { ended: boolean }): LosableStore {
  const alive = async <T>(request: () => Promise<T>): Promise<T> => {
    if (process.ended) await new Promise(() => {});
    return await request();
  };
  return Object.assign(Object.create(store) as LosableStore, {
    sizeBytes: store.sizeBytes,
    read: (...a: Parameters<BlockStore['read']>) => alive(() => store.read(...a)),
    write: (...a: Parameters<BlockStore['write']>) => alive(() => store.write(...a)),
    zero: (offset: number, length: number) => alive(() => store.zero(offset, length)),
    flush: () => alive(() => store.flush()),
    close: () => store.close(),
  });
}

/** Random writes until power is lost; what a start finds then. */
async function lose(
  seed: number,
  lossAt: number,
  lie: 'none' | 'disk' | 'file',
): Promise<{ requests: number; wrong: number; known: number }> {
  const chance = random(seed);
  const below = (n: number): number => Math.floor(chance() * n);
  const power = new Power(lossAt, random(seed + 1));
  const medium = new LosableStore(power, Buffer.alloc(SIZE_BYTES), lie === 'disk');
  const file = new LosableStore(power, Buffer.alloc(sumsFileBytes(IDENTITY)), lie === 'file');
  const life = async (): Promise<void> => {
    for (let lives = 0; lives < 2; lives++) {
      const process = { ended: false };
      const { disk } = await open(mortal(medium, process), mortal(file, process));
      for (let step = 0; step < 12; step++) {
        const burst: Promise<void>[] = [];
        const zone = below(8);
        for (let i = 0; i < 3; i++) {
          // Bursts in different blocks, sometimes in the same one.
          const start = (zone * 9 + i * 3) * BLOCK + (chance() < 0.3 ? below(BLOCK) : 0);
          const length = chance() < 0.5 ? BLOCK : 1 + below(2 * BLOCK);
          burst.push(chance() < 0.2 ? disk.zero(start, length) : disk.write(start, bytes(length, below(256))));
        }
        await Promise.all(burst);
        if (chance() < 0.1) await disk.flush();
        if (chance() < 0.1) await disk.learn(0, (await disk.check(0, 8 * BLOCK)).data);
      }
      if (chance() < 0.7) await disk.close();
      process.ended = true;
    }
  };
  await Promise.race([life(), power.lost]);
  const dice = random(seed * 31 + (Number.isFinite(lossAt) ? lossAt : 0));
  const found = await open(new LosableStore(never(), medium.afterLoss(dice)), new LosableStore(never(), file.afterLoss(dice)));
  const c = await conditions(found.disk);
  // Once more, and without a crash: what it found is what it keeps.
  await found.disk.close();
  const again = await open(found.medium, found.file);
  const d = await conditions(again.disk);
  return { requests: power.requests, wrong: (c.wrong ?? 0) + (d.wrong ?? 0), known: c.fits ?? 0 };
}

const SEEDS = Number(process.env.MIRROR_SEEDS ?? 2);
t.setTimeout(60_000 + SEEDS * 10_000);

t.test('power lost at every request: no sum is wrong because of it', async (t) => {
  let runs = 0;
  let known = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { requests, wrong } = await lose(seed, Infinity, 'none');
    t.equal(wrong, 0, `seed ${seed}`);
    for (let at = 0; at < requests; at++) {
      const r = await lose(seed, at, 'none');
      runs++;
      known += r.known;
      if (r.wrong > 0) t.fail(`seed ${seed}, loss at request ${at}: ${r.wrong} wrong sums`);
    }
  }
  t.ok(known / runs > 5, `${runs} losses of power, ${(known / runs).toFixed(1)} blocks known after one`);
});

for (const lie of ['disk', 'file'] as const) {
  t.test(`the test notices flushes of the ${lie} that do nothing`, async (t) => {
    let wrong = 0;
    for (let seed = 1; seed <= 2; seed++) {
      const { requests } = await lose(seed, Infinity, lie);
      for (let at = 0; at < requests; at += 7) wrong += (await lose(seed, at, lie)).wrong;
    }
    t.ok(wrong > 0, `${wrong} wrong sums`);
  });
}

t.test('the store below is asked for what it was asked', async (t) => {
  const { disk, medium } = await open();
  await t.rejects(disk.read(SIZE_BYTES, 1), /read/);
  await t.rejects(disk.write(SIZE_BYTES - 1, bytes(2, 0)), /write/);
  t.equal(await disk.canRelease(), false);
  t.same(await disk.extents(0, 100), [{ lengthBytes: 100, hole: false, zero: false }]);
  const asked: unknown[] = [];
  (medium as BlockStore).zero = async (...a) => void asked.push(a);
  await disk.zero(0, 10, { space: 'release' });
  t.same(asked, [[0, 10, { space: 'release' }]]);
});

t.test('a file that does not answer is not given up: what it says stays true, so no clean extent is written to', async (t) => {
  const { medium, file } = await open();
  let isSilent = false;
  const silent = new SilentDiskError('io', 'write', 0, 'it does not answer');
  const write = file.write.bind(file);
  file.write = (at, ...parts) => (isSilent ? Promise.reject(silent) : write(at, ...parts));
  const { disk, sums, off } = await open(medium, file);
  for (let extent = 0; extent < 5; extent++) await disk.write(extent * 4 * BLOCK, bytes(BLOCK, 1));
  // More than may be dirty: the coldest would become clean.
  const enter = sums.enter(20 * BLOCK, BLOCK);
  await enter;
  sums.take(20 * BLOCK, BLOCK);
  isSilent = true;
  await disk.write(0, bytes(BLOCK, 2));
  await t.rejects(disk.write(60 * BLOCK, bytes(BLOCK, 2)), SilentDiskError);
  await disk.write(4 * BLOCK, bytes(BLOCK, 2));
  await sums.close();
  t.same([off, sums.isOff], [[], false]);
  await t.rejects(disk.write(64 * BLOCK, bytes(BLOCK, 2)), SilentDiskError, 'also after it was told so while pages were written');
  isSilent = false;
  const again = await open(medium, file);
  t.same((await conditions(again.disk)).wrong, undefined);
});
