// What a copy knows of itself survives a loss of power at every request, damage and wrong disks, or is refused by name.
import fc from 'fast-check';
import t from 'tap';
import { settleAll } from '../../../../appliance/core/activity-log.ts';
import { becomingEqual, type CopyRecord, goneAlone } from '../../../../appliance/core/mirror.ts';
import { type DiskIdentity, METADATA_BYTES, Metadata, newGeneration } from '../../../../appliance/mirror/metadata.ts';
import {
  decodeCopy,
  decodeMapPage,
  decodeMetadataSlot,
  EXTENTS_PER_PAGE,
  encodeCopy,
  encodeMapPage,
  encodeMetadataSlot,
  extentBytesOf,
  MAP_PAGES,
  METADATA_PAGE_BYTES,
} from '../../../../appliance/mirror/metadata-codec.ts';
import { type BlockStore, StoreError } from '../../../../drivers/block/index.ts';
import { LosableStore, Power, random } from './losable-store.ts';

const MIB = 1024 * 1024;
const EXTENT = 4 * MIB;
const IDENTITY: DiskIdentity = { pair: 'a1a2a3a4a5a6a7a8', disk: new Uint8Array(32).fill(7), sizeBytes: 200 * 1024 * MIB };
const never = (): Power => new Power(Infinity, () => 0);
const blank = (power = never()): LosableStore => new LosableStore(power, Buffer.alloc(METADATA_BYTES));
const again = (bytes: Buffer, identity = IDENTITY): Promise<Metadata> => Metadata.open(new LosableStore(never(), bytes), identity);

const name = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((b) => Buffer.from(b).toString('hex'));
const record: fc.Arbitrary<CopyRecord> = fc
  .record({ pair: name, current: name, history: fc.array(name, { maxLength: 32 }), hasBase: fc.boolean(), inconsistent: fc.boolean() })
  .map(({ hasBase, ...r }) => ({ ...r, base: hasBase ? (r.history.at(-1) ?? null) : null }));

t.test('codecs: there and back', async (t) => {
  fc.assert(
    fc.property(record, fc.bigInt(0n, 2n ** 64n - 1n), fc.uniqueArray(fc.nat(999)), (r, n, suspects) => {
      const slot = { counter: n, life: n, sizeBytes: 4096, disk: new Uint8Array(32).fill(1), record: r };
      t.same(decodeMetadataSlot(encodeMetadataSlot(slot)), slot);
      const set = new Set(suspects);
      const sorted = [...set].sort((a, b) => a - b);
      t.same(decodeMapPage(encodeMapPage(0, n, set), 0, n), sorted);
      const copy = decodeCopy(encodeCopy(r, set, 1000), 1000);
      t.same(copy?.record, r);
      t.same([...(copy?.suspects ?? [])], sorted);
    }),
    { numRuns: 30 },
  );
});

t.test('codecs: any damage is refused, nothing throws', async () => {
  const slot = encodeMetadataSlot({
    counter: 1n,
    life: 2n,
    sizeBytes: 4096,
    disk: new Uint8Array(32),
    record: goneAlone({ pair: IDENTITY.pair, current: newGeneration(), base: null, history: [], inconsistent: false }, newGeneration()),
  });
  const page = encodeMapPage(
    3,
    2n,
    Array.from({ length: 5000 }, (_, i) => 3 * EXTENTS_PER_PAGE + 3 * i),
  );
  fc.assert(
    fc.property(fc.nat(METADATA_PAGE_BYTES - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = (b: Buffer): Buffer => {
        const copy = Buffer.from(b);
        copy.writeUInt8(copy.readUInt8(at) ^ flip, at);
        return copy;
      };
      return decodeMetadataSlot(damaged(slot)) === null && decodeMapPage(damaged(page), 3, 2n) === null;
    }),
    { numRuns: 1_000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => {
      const b = Buffer.from(bytes);
      const copy = decodeCopy(b, 1000);
      return (
        decodeMetadataSlot(b) === null && decodeMapPage(b, 0, 0n) === null && (copy === null || [...copy.suspects].every((e) => e < 1000))
      );
    }),
    { numRuns: 2_000 },
  );
  t.equal(decodeMapPage(page, 2, 2n), null, 'a page of another place');
  t.equal(decodeMapPage(page, 3, 9n), null, 'a page of another life');
});

t.test('the extents of a disk fit the map, whatever its size', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 50 }), (bytes) => Math.ceil(bytes / extentBytesOf(bytes)) <= MAP_PAGES * EXTENTS_PER_PAGE),
  );
  t.equal(extentBytesOf(2 ** 41), EXTENT);
});

t.test('a first write to an extent costs one flush, the next ones none; many at a time share', async (t) => {
  const store = blank();
  const m = await Metadata.create(store, IDENTITY);
  let flushes = 0;
  const flush = store.flush.bind(store);
  store.flush = () => {
    flushes++;
    return flush();
  };
  const cold = m.begin(0, 4096, 0);
  t.ok(cold, 'a cold extent waits');
  await cold;
  t.equal(flushes, 1);
  t.equal(m.begin(4096, 4096, 0), undefined, 'a hot one does not');
  await Promise.all(Array.from({ length: 100 }, (_, i) => m.begin((1 + i) * EXTENT - 512, 1024, 0)));
  t.ok(flushes <= 3, `${flushes - 1} flushes for 100 cold extents at a time`);
  t.equal(m.log.suspects.size, 101);
  t.same((await again(store.afterLoss(() => 0))).log.suspects, m.log.suspects, 'and all of them survive');
});

t.test('a takeover marks all that it merges with one flush', async (t) => {
  const store = blank();
  const m = await Metadata.create(store, IDENTITY);
  let flushes = 0;
  const flush = store.flush.bind(store);
  store.flush = () => {
    flushes++;
    return flush();
  };
  // Of all pages, one extent twice, one range over three of them.
  const ranges = Array.from({ length: 500 }, (_, i) => ({ start: 2 * i * 20 * EXTENT, end: 2 * i * 20 * EXTENT + 4096 }));
  ranges.push({ start: 8192, end: 12_288 }, { start: 7 * EXTENT - 1, end: 8 * EXTENT + 1 });
  await m.suspectRanges(ranges);
  t.equal(flushes, 1);
  t.equal(m.log.suspects.size, 503);
  t.same((await again(store.afterLoss(() => 0))).log.suspects, m.log.suspects);
});

t.test('whoever waited may wait for the next at once', async (t) => {
  const m = await Metadata.create(blank(), IDENTITY);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = 0; i < 50; i++) await m.begin(next++ * EXTENT, 1, 0);
  };
  await Promise.all(Array.from({ length: 7 }, worker));
  t.equal(m.log.suspects.size, 350);
});

t.test('power lost at any request: what may go out is suspect, and the record is the old or the new one', async (t) => {
  for (let seed = 1; seed <= 10; seed++) {
    for (let lossAt = 0; lossAt < 60; lossAt++) {
      const chance = random(seed * 1000 + lossAt);
      const start = blank();
      const first = await Metadata.create(start, IDENTITY);
      const power = new Power(lossAt, chance);
      const store = new LosableStore(power, start.content);
      const released = new Set<number>();
      const records = [first.record.current];
      let durable = 0;
      const run = async (): Promise<void> => {
        const m = await Metadata.open(store, IDENTITY);
        for (let i = 0; i < 8; i++) {
          const burst = Array.from({ length: 1 + Math.floor(chance() * 4) }, () => Math.floor(chance() * 50_000));
          await Promise.all(
            burst.map(async (e) => {
              await m.begin(e * EXTENT, 512, 0);
              released.add(e);
              m.end(e * EXTENT, 512);
            }),
          );
          if (chance() < 0.4) {
            const next = goneAlone(m.record, newGeneration());
            records.push(next.current);
            await m.setRecord(next);
            durable = records.length - 1;
          }
          if (chance() < 0.3) {
            // All is equal now: what is cleared is no longer expected.
            const cleared = settleAll(m.log, m.log.touches);
            for (const e of cleared) released.delete(e);
            void m.cleared(cleared).catch(() => undefined);
          }
        }
      };
      await Promise.race([run(), power.lost]);
      const found = await again(store.afterLoss(chance));
      const at = records.indexOf(found.record.current);
      if (at < durable) t.fail(`seed ${seed}, request ${lossAt}: record ${at}, ${durable} was durable`);
      for (const e of released)
        if (!found.log.suspects.has(e)) t.fail(`seed ${seed}, request ${lossAt}: extent ${e} was written to and is not suspect`);
    }
  }
  t.pass('600 losses');
});

t.test('damage: one slot is nothing, both are named, a page makes all its extents suspect', async (t) => {
  const store = blank();
  const m = await Metadata.create(store, IDENTITY);
  await m.setRecord(becomingEqual(goneAlone(m.record, newGeneration())));
  await m.begin(0, 1, 0);
  const bytes = Buffer.from(store.content);
  const hurt = (...at: number[]): Buffer => {
    const copy = Buffer.from(bytes);
    for (const a of at) copy.writeUInt8(copy.readUInt8(a) ^ 1, a);
    return copy;
  };
  t.same((await again(bytes)).record, m.record);
  t.same((await again(hurt(100))).record, m.record);
  t.same((await again(hurt(METADATA_PAGE_BYTES + 100))).record, m.record);
  await t.rejects(again(hurt(100, METADATA_PAGE_BYTES + 100)), { name: 'MetadataError', trouble: 'damaged' });
  const extents = Math.ceil(IDENTITY.sizeBytes / EXTENT);
  t.equal((await again(hurt(2 * METADATA_PAGE_BYTES + 100))).log.suspects.size, EXTENTS_PER_PAGE);
  t.equal((await again(hurt(3 * METADATA_PAGE_BYTES + 100))).log.suspects.size, extents - EXTENTS_PER_PAGE + 1);
});

t.test('a damaged slot is written again before anything else is: no loss of power after it leaves none', async (t) => {
  for (const slot of [0, 1]) {
    for (let lossAt = 0; lossAt < 12; lossAt++) {
      const store = blank();
      const made = await Metadata.create(store, IDENTITY);
      for (let i = 0; i < slot; i++) await made.change((r) => goneAlone(r, newGeneration()));
      await made.close();
      const hurt = Buffer.from(store.content);
      hurt.fill(0x55, slot * METADATA_PAGE_BYTES, slot * METADATA_PAGE_BYTES + 64);
      const chance = random(100 * slot + lossAt);
      const power = new Power(lossAt, chance);
      const damaged = new LosableStore(power, hurt);
      let mended: boolean | undefined;
      const life = async (): Promise<void> => {
        const m = await Metadata.open(damaged, IDENTITY);
        mended = await m.mend();
        await m.change((r) => goneAlone(r, newGeneration()));
        await m.change((r) => goneAlone(r, newGeneration()));
      };
      await Promise.race([life(), power.lost]);
      const after = damaged.afterLoss(chance);
      const found = await again(after);
      t.equal(found.record.pair, IDENTITY.pair, `slot ${slot}, power lost at ${lossAt}`);
      if (mended === undefined) continue;
      t.equal(mended, true);
    }
  }
  const whole = blank();
  await Metadata.create(whole, IDENTITY);
  t.equal(await (await Metadata.open(whole, IDENTITY)).mend(), false);
});

t.test('another disk is refused by name, and nothing is written', async (t) => {
  const store = blank();
  await Metadata.create(store, IDENTITY);
  const refused = async (identity: DiskIdentity, trouble: string): Promise<void> => {
    const before = Buffer.from(store.content);
    await t.rejects(Metadata.open(store, identity), { name: 'MetadataError', trouble });
    t.ok(store.content.equals(before));
  };
  await refused({ ...IDENTITY, pair: 'ffffffffffffffff' }, 'otherPair');
  await refused({ ...IDENTITY, disk: new Uint8Array(32).fill(8) }, 'otherDisk');
  await refused({ ...IDENTITY, sizeBytes: IDENTITY.sizeBytes - EXTENT }, 'smaller');
  await refused({ ...IDENTITY, sizeBytes: IDENTITY.sizeBytes + EXTENT }, 'larger');
  await refused({ ...IDENTITY, disk: null }, 'unnamed');
  await refused({ ...IDENTITY, pair: 'ffffffffffffffff', disk: null }, 'otherPair');
  await t.rejects(again(Buffer.alloc(METADATA_BYTES)), { name: 'MetadataError', trouble: 'blank' });
});

t.test('creation that is cut short is never a whole record', async (t) => {
  // Over the metadata of an earlier life, of which all was suspect.
  const old = blank();
  await (await Metadata.create(old, IDENTITY)).begin(0, 100 * EXTENT, 0);
  for (let lossAt = 0; lossAt < 40; lossAt++) {
    const chance = random(lossAt);
    const power = new Power(lossAt, chance);
    const store = new LosableStore(power, old.content);
    let made: Metadata | undefined;
    await Promise.race([Metadata.create(store, IDENTITY).then((m) => (made = m)), power.lost]);
    const found = await again(store.afterLoss(chance)).catch((e: { trouble?: string }) => e.trouble);
    if (made) t.ok(found instanceof Metadata, `${lossAt}: made`);
    else if (found instanceof Metadata)
      t.ok(found.log.suspects.size === 100 || found.log.suspects.size === 0 || found.log.suspects.size >= EXTENTS_PER_PAGE);
    else t.ok(found === 'blank' || found === 'damaged', `${lossAt}: ${found}`);
  }
});

t.test('a flush that failed: nothing cold may be written any more', async (t) => {
  const store = blank();
  const m = await Metadata.create(store, IDENTITY);
  await m.begin(0, 1, 0);
  let flushes = 0;
  store.flush = () => {
    flushes++;
    return Promise.reject(new Error('EIO'));
  };
  await t.rejects(Promise.resolve(m.begin(EXTENT, 1, 0)), /EIO/);
  await t.rejects(Promise.resolve(m.begin(2 * EXTENT, 1, 0)), /EIO/);
  await t.rejects(Promise.resolve(m.begin(EXTENT, 1, 0)), /EIO/, 'also the one that has failed before');
  t.equal(flushes, 1, 'it is not tried again');
  t.equal(m.begin(0, 1, 0), undefined, 'what is hot is');
});

t.test('after a flush that failed its cache shows what the medium lacks: written again as a whole, that is there too', async (t) => {
  const cache = Buffer.alloc(METADATA_BYTES);
  const medium = Buffer.alloc(METADATA_BYTES);
  let dirty: { at: number; bytes: Buffer }[] = [];
  let fails = false;
  const store: BlockStore = {
    sizeBytes: METADATA_BYTES,
    read: async (at, length) => Buffer.from(cache.subarray(at, at + length)),
    write: async (at, ...parts) => {
      const bytes = Buffer.concat(parts);
      bytes.copy(cache, at);
      dirty.push({ at, bytes });
    },
    zero: (at, length) => store.write(at, Buffer.alloc(length)),
    flush: async () => {
      const all = dirty;
      // As an operating system does: what could not be written counts as written.
      dirty = [];
      if (fails) throw new StoreError('io', 'flush', 0, 'flush failed');
      for (const { at, bytes } of all) bytes.copy(medium, at);
    },
    close: async () => undefined,
  };
  const first = await Metadata.create(store, IDENTITY);
  fails = true;
  await t.rejects(first.suspect([5]), /flush failed/);
  await t.rejects(
    first.change((r) => ({ ...r, inconsistent: true })),
    /flush failed/,
  );
  fails = false;
  const found = await Metadata.open(store, IDENTITY);
  t.same([[...found.log.suspects], found.record.inconsistent], [[5], true], 'the cache has it');
  const lost = await again(medium);
  t.same([[...lost.log.suspects], lost.record.inconsistent], [[], false], 'the medium has not');
  await found.rewrite();
  const kept = await again(medium);
  t.same([[...kept.log.suspects], kept.record.inconsistent], [[5], true]);
});
