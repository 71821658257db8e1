import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants as os, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import t from 'tap';
import { FileStore, StoreError, type ZeroSpace } from '../../../../drivers/block/index.ts';
import { deviceNumbers, toExtents } from '../../../../drivers/block/medium.ts';
import { native } from '../../../../drivers/block/native.ts';

const dir = mkdtempSync(join(tmpdir(), 'block-'));
t.teardown(() => rmSync(dir, { recursive: true }));
const MIB = 1024 * 1024;

t.test('a missing file is created sparse, written, read and flushed', async (t) => {
  const path = join(dir, 'new');
  const store = await FileStore.open({ path, sizeBytes: 64 * MIB });
  t.equal(statSync(path).size, 64 * MIB);
  t.equal(statSync(path).blocks, 0);
  const data = randomBytes(12_345);
  await store.write(777, data.subarray(0, 5), data.subarray(5, 9000), data.subarray(9000));
  t.same(await store.read(777, data.length), data);
  await Promise.all([store.flush(), store.flush(), store.flush()]);
  await store.close();
  t.same(readFileSync(path).subarray(777, 777 + data.length), data);
});

t.test('more parts than one call takes', async (t) => {
  const store = await FileStore.open({ path: join(dir, 'parts'), sizeBytes: MIB });
  const parts = Array.from({ length: 3000 }, (_, i) => Buffer.alloc(3, i));
  await store.write(1, ...parts);
  t.same(await store.read(1, 9000), Buffer.concat(parts));
  await store.close();
});

t.test('zeroes: data goes, holes stay holes', async (t) => {
  const path = join(dir, 'zero');
  const store = await FileStore.open({ path, sizeBytes: 8 * MIB });
  await store.zero(0, 8 * MIB);
  t.equal(statSync(path).blocks, 0, 'nothing was allocated');
  await store.write(MIB - 10, randomBytes(20));
  await store.zero(MIB - 10, 20);
  t.same(await store.read(MIB - 10, 20), Buffer.alloc(20));
  await store.close();
});

/** Blocks of 512 bytes that the file has now, after the file system made up its mind. */
function allocated(path: string): number {
  return statSync(path).blocks;
}

t.test('a large zero keeps the space, release gives it back, allocate takes it', async (t) => {
  const path = join(dir, 'space');
  const store = await FileStore.open({ path, sizeBytes: 16 * MIB });
  t.ok(await store.canRelease());
  await store.write(4 * MIB, Buffer.alloc(4 * MIB, 7));
  await store.flush();
  const before = allocated(path);
  await store.zero(0, 16 * MIB);
  t.same(await store.read(4 * MIB, 4 * MIB), Buffer.alloc(4 * MIB));
  await store.flush();
  t.ok(Math.abs(allocated(path) - before) <= 16, `kept: ${before}, then ${allocated(path)} blocks`);

  await store.write(4 * MIB, Buffer.alloc(4 * MIB, 8));
  await store.flush();
  await store.zero(4 * MIB - 100, 4 * MIB + 200, { space: 'release' });
  t.ok(allocated(path) <= 32, `released: ${allocated(path)} blocks`);
  t.same(await store.read(4 * MIB - 100, 4 * MIB + 200), Buffer.alloc(4 * MIB + 200));

  await store.zero(MIB, 2 * MIB, { space: 'allocate', fast: true });
  t.ok(allocated(path) >= (2 * MIB) / 512, `allocated: ${allocated(path)} blocks`);
  await store.close();
});

t.test('closed while a request finds out about the medium: its descriptor is not used any more', async (t) => {
  const store = await FileStore.open({ path: join(dir, 'late'), sizeBytes: MIB });
  const zeroed = t.rejects(store.zero(0, MIB, { space: 'release' }), { kind: 'range', message: /is closed/ });
  await store.close();
  await zeroed;
});

t.test('zeroes and writes beside each other, at any borders: the same as in memory', async () => {
  const size = 512 * 1024;
  const store = await FileStore.open({ path: join(dir, 'model'), sizeBytes: size });
  const model = Buffer.alloc(size);
  await fc.assert(
    fc.asyncProperty(
      fc.nat(size),
      fc.nat(200_000),
      fc.constantFrom('keep', 'release', 'allocate', 'write'),
      fc.boolean(),
      async (at, wanted, what, fast) => {
        const length = Math.min(wanted, size - at);
        if (what === 'write') {
          const data = randomBytes(length);
          await store.write(at, data);
          data.copy(model, at);
        } else {
          await store.zero(at, length, { space: what as ZeroSpace, fast });
          model.fill(0, at, at + length);
        }
        if (!(await store.read(0, size)).equals(model)) throw new Error(`${what} of ${length} at ${at}`);
        let covered = 0;
        for (const e of await store.extents(0, size)) {
          if (e.zero && model.subarray(covered, covered + e.lengthBytes).some((byte) => byte !== 0)) throw new Error('data in a hole');
          covered += e.lengthBytes;
        }
        if (covered !== size) throw new Error(`extents of ${covered} bytes`);
      },
    ),
    { numRuns: 150 },
  );
  await store.close();
});

t.test('the map of holes', async (t) => {
  const store = await FileStore.open({ path: join(dir, 'map'), sizeBytes: 8 * MIB });
  t.same(await store.extents(0, 8 * MIB), [{ lengthBytes: 8 * MIB, hole: true, zero: true }]);
  await store.write(2 * MIB, Buffer.alloc(MIB, 1));
  const hole = (lengthBytes: number) => ({ lengthBytes, hole: true, zero: true });
  const data = (lengthBytes: number) => ({ lengthBytes, hole: false, zero: false });
  t.same(await store.extents(0, 8 * MIB), [hole(2 * MIB), data(MIB), hole(5 * MIB)]);
  t.same(await store.extents(2 * MIB + 5, 10), [data(10)]);
  t.same(await store.extents(100, 10), [hole(10)]);
  await t.rejects(store.extents(8 * MIB, 1), { kind: 'range', code: 'EINVAL' });
  await store.close();
});

t.test('more pieces than one answer has', async (t) => {
  const big = await FileStore.open({ path: join(dir, 'pieces'), sizeBytes: 2 * 4096 * 5000 });
  for (let at = 0; at < 5000; at += 100) {
    const pieces = Array.from({ length: 100 }, (_, i) => 2 * 4096 * (at + i));
    await Promise.all(pieces.map((p) => big.write(p, Buffer.alloc(4096, 3))));
  }
  const first = await big.extents(0, 2 * 4096 * 5000);
  const covered = first.reduce((sum, e) => sum + e.lengthBytes, 0);
  t.ok(covered < 2 * 4096 * 5000, `${first.length} extents cover ${covered} bytes`);
  const rest = await big.extents(covered, 2 * 4096 * 5000 - covered);
  t.equal([...first, ...rest].filter((e) => !e.hole).length, 5000);
  await big.close();
});

t.test('the pieces of an answer become a gapless map', async (t) => {
  t.same(toExtents(10, [30, 12, 20]), [
    { lengthBytes: 2, hole: true, zero: true },
    { lengthBytes: 8, hole: false, zero: false },
    { lengthBytes: 10, hole: true, zero: true },
  ]);
  t.same(toExtents(10, [20, 10, 20]), [{ lengthBytes: 10, hole: false, zero: false }]);
  t.same(deviceNumbers(0x10300801), { major: 8, minor: 0x10301 });
});

t.test('the addon refuses what is not a call', async (t) => {
  const call = native() as unknown as Record<string, (...a: unknown[]) => unknown>;
  t.throws(() => call.fallocate?.(1), /fallocate\(fd, mode, offset, length\)/);
  t.throws(() => call.fallocate?.(1, 0x08, 0, 4096), /not allowed here/, 'collapsing a range moves data');
  t.throws(() => call.dataRanges?.(1, -1, 4096), /dataRanges/);
  t.equal(await native().fallocate(-1, 1, 0, 4096), os.errno.EBADF);
  t.equal(await native().dataRanges(-1, 0, 4096), os.errno.EBADF);
});

t.test('a worker thread that ends with calls under way', async (t) => {
  const path = join(dir, 'worker');
  writeFileSync(path, Buffer.alloc(MIB, 1));
  const module = new URL('../../../../drivers/block/native.ts', import.meta.url).href;
  const worker = new Worker(
    `import { openSync } from 'node:fs';
     import { parentPort } from 'node:worker_threads';
     import { native } from ${JSON.stringify(module)};
     const fd = openSync(${JSON.stringify(path)}, 'r+');
     for (let i = 0; i < 64; i++) void native().dataRanges(fd, 0, 1048576);
     parentPort.postMessage(await native().fallocate(fd, 3, 0, 4096));
     for (let i = 0; i < 64; i++) void native().fallocate(fd, 3, 0, 1048576);
     process.exit(5);`,
    { eval: true },
  );
  const answers: unknown[] = [];
  worker.on('message', (m) => answers.push(m));
  t.equal(await new Promise((resolve) => worker.on('exit', resolve)), 5);
  t.same(answers, [0]);
});

t.test('many requests at once end all, close waits for them', async (t) => {
  const store = await FileStore.open({ path: join(dir, 'many'), sizeBytes: MIB });
  const writes = Array.from({ length: 256 }, (_, i) => store.write(i * 4096, Buffer.alloc(4096, i)));
  const closing = store.close();
  await Promise.all(writes);
  await closing;
  const bytes = readFileSync(join(dir, 'many'));
  for (let i = 0; i < 256; i++) t.equal(bytes[i * 4096 + 4095], i);
  await t.rejects(store.read(0, 1), { code: 'EBADF' });
});

t.test('errors say what is wrong', async (t) => {
  writeFileSync(join(dir, 'small'), 'x');
  await t.rejects(FileStore.open({ path: join(dir, 'small'), sizeBytes: 4096 }), {
    kind: 'setup',
    message: /has 1 bytes, 4096 are needed/,
  });
  await t.rejects(FileStore.open({ path: dir, sizeBytes: 4096 }), { name: 'StoreError' });
  await t.rejects(FileStore.open({ path: join(dir, 'none', 'x'), sizeBytes: 4096 }), { kind: 'setup', code: 'ENOENT' });
  await t.rejects(FileStore.open({ path: join(dir, 'neg'), sizeBytes: -1 }), { name: 'StoreError' });
  const store = await FileStore.open({ path: join(dir, 'range'), sizeBytes: 4096 });
  for (const [offset, length] of [
    [-1, 1],
    [4096, 1],
    [0, 4097],
    [Number.NaN, 1],
    [2 ** 60, 1],
  ] as const) {
    await t.rejects(store.read(offset, length), { kind: 'range', code: 'EINVAL' });
  }
  await t.rejects(store.write(4090, Buffer.alloc(7)), StoreError);
  await store.close();
});

t.test('what is neither a file nor a block device is refused', async (t) => {
  await t.rejects(FileStore.open({ path: '/dev/full', sizeBytes: 4096 }), { message: /neither a file nor a block device/ });
});

t.test('an empty file is one whose creation was cut short', async (t) => {
  writeFileSync(join(dir, 'empty'), '');
  const store = await FileStore.open({ path: join(dir, 'empty'), sizeBytes: 4096 });
  t.equal((await store.read(0, 4096)).length, 4096);
  await store.close();
});
