// Past the page cache: any borders, any neighbours, short transfers; and what becomes of a medium that refuses it.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { DirectIo } from '../../../../drivers/block/direct.ts';
import { FileStore } from '../../../../drivers/block/index.ts';
import { random } from '../../appliance/mirror/losable-store.ts';

const MIB = 1024 * 1024;
const dir = mkdtempSync(join(tmpdir(), 'direct-'));
t.teardown(() => rmSync(dir, { recursive: true }));

/** A medium in memory that refuses what is not at its borders, takes its time, and moves less than it is asked to. */
function medium(unitBytes: number, content: Buffer, seed: number) {
  const chance = random(seed);
  const check = (length: number, position: number): void => {
    if (length % unitBytes !== 0 || position % unitBytes !== 0) throw new Error(`EINVAL: ${length} at ${position}`);
  };
  const moment = async (): Promise<void> => {
    for (let n = Math.floor(chance() * 10); n > 0; n--) await undefined;
  };
  /** Not always at a border: a signal may cut a transfer anywhere. */
  const part = (length: number): number => (chance() < 0.2 ? Math.min(length, unitBytes + Math.floor(chance() * length)) : length);
  return new DirectIo(unitBytes, 16, {
    pread: async (buffer, at, length, position) => {
      check(length, position);
      await moment();
      return content.copy(buffer, at, position, position + part(length));
    },
    pwrite: async (buffer, at, length, position) => {
      check(length, position);
      const bytes = part(length);
      // The bytes are taken at some time while it runs.
      await moment();
      buffer.copy(content, position, at, at + bytes);
      await moment();
      return bytes;
    },
    ended: (operation, position) => new Error(`${operation} ends at ${position}`),
  });
}

/** Disjoint pieces of a disk, next to each other. */
const cuts = fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 2, maxLength: 16 });

t.test('pieces that share blocks and no byte, written all at once: each is there', async () => {
  await fc.assert(
    fc.asyncProperty(cuts, fc.constantFrom(512, 4096), fc.nat(), async (lengths, unitBytes, seed) => {
      const content = randomBytes(256 * 1024);
      const expected = Buffer.from(content);
      const direct = medium(unitBytes, content, seed);
      let at = seed % 5000;
      const writes = lengths.map((length) => {
        const data = randomBytes(length);
        data.copy(expected, at);
        const write = { at, data };
        at += length;
        return write;
      });
      const chance = random(seed);
      writes.sort(() => chance() - 0.5);
      await Promise.all(writes.map((w) => direct.write(w.at, w.data.length, [w.data.subarray(0, 1), w.data.subarray(1)])));
      if (!content.equals(expected)) throw new Error('bytes were lost');
      const seen = Buffer.alloc(at);
      await direct.read(seen, 0);
      if (!seen.equals(expected.subarray(0, at))) throw new Error('read otherwise than it is there');
    }),
    { numRuns: 300 },
  );
});

t.test('longer than a slot; a medium that ends', async (t) => {
  const content = Buffer.alloc(4 * MIB);
  const direct = medium(4096, content, 1);
  const data = randomBytes(3 * MIB + 12_345);
  await direct.write(777, data.length, [data]);
  t.ok(content.subarray(777, 777 + data.length).equals(data));
  const seen = Buffer.alloc(data.length);
  await direct.read(seen, 777);
  t.ok(seen.equals(data));
  await t.rejects(direct.read(Buffer.alloc(10), 4 * MIB + 100), /read ends at 4194304/);
});

t.test('a file: the same as through the page cache, whichever is used when', async (t) => {
  const path = join(dir, 'disk');
  let cached: FileStore | undefined;
  let direct: FileStore | undefined;
  t.teardown(() => Promise.all([cached?.close(), direct?.close()]));
  cached = await FileStore.open({ path, sizeBytes: 4 * MIB });
  direct = await FileStore.open({ path, sizeBytes: 4 * MIB, cache: 'direct' });
  if (direct.notes.length > 0) t.comment(direct.notes[0]);
  const expected = Buffer.alloc(4 * MIB);
  const chance = random(42);
  for (let i = 0; i < 300; i++) {
    const offset = Math.floor(chance() * 4 * MIB);
    const length = Math.min(4 * MIB - offset, 1 + Math.floor(chance() ** 4 * MIB));
    const store = chance() < 0.6 ? direct : cached;
    const x = chance();
    if (x < 0.2) {
      await store.zero(offset, length, { space: x < 0.1 ? 'release' : 'keep' });
      expected.fill(0, offset, offset + length);
    } else {
      const data = randomBytes(length);
      await store.write(offset, data);
      data.copy(expected, offset);
    }
    t.ok((await (chance() < 0.5 ? direct : cached).read(offset, length)).equals(expected.subarray(offset, offset + length)), `step ${i}`);
  }
  await direct.flush();
  t.ok(readFileSync(path).equals(expected));
  t.equal(statSync(path).size, 4 * MIB);
});

t.test('zeroes at any borders beside writes: no byte comes back', async (t) => {
  const store = await FileStore.open({ path: join(dir, 'zeroes'), sizeBytes: MIB, cache: 'direct' });
  t.teardown(() => store.close());
  const expected = randomBytes(MIB);
  await store.write(0, expected);
  for (let round = 0; round < 20; round++) {
    const work: Promise<void>[] = [];
    for (let at = 0; at < MIB; ) {
      const length = Math.min(MIB - at, 100 + ((at * 7919 + round * 104_729) % 150_000));
      if ((at + round) % 2 === 0) {
        work.push(store.zero(at, length, { space: 'release' }));
        expected.fill(0, at, at + length);
      } else {
        const data = randomBytes(length);
        work.push(store.write(at, data));
        data.copy(expected, at);
      }
      at += length;
    }
    await Promise.all(work);
    t.ok((await store.read(0, MIB)).equals(expected), `round ${round}`);
  }
});

t.test('many requests at once, and close waits for them', async (t) => {
  const path = join(dir, 'many');
  const store = await FileStore.open({ path, sizeBytes: 8 * MIB, cache: 'direct' });
  const writes = Array.from({ length: 500 }, (_, i) => store.write(i * 16_000 + 100, Buffer.alloc(16_000, i % 255)));
  const closed = Promise.all(writes).then(() => store.close());
  await closed;
  const content = readFileSync(path);
  for (let i = 0; i < 500; i++) t.equal(content[i * 16_000 + 100 + 8000], i % 255);
  await t.rejects(store.read(0, 1), { code: 'EBADF' });
});

t.test('a size that is no multiple of the blocks: through the page cache, and said', async (t) => {
  const path = join(dir, 'odd');
  const store = await FileStore.open({ path, sizeBytes: MIB + 100, cache: 'direct' });
  t.teardown(() => store.close());
  t.match(store.notes, [/odd: cannot be used past the page cache/]);
  await store.write(MIB, Buffer.alloc(100, 1));
  t.equal(statSync(path).size, MIB + 100);
});
