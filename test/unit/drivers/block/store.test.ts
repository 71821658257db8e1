import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { FileStore, StoreError } from '../../../../drivers/block/index.ts';

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
