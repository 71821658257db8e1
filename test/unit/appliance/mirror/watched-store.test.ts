// A disk that hangs, fails and comes back, under the store that watches it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DoubtfulDisk } from '../../../../appliance/mirror/doubtful-disk.ts';
import { Patience } from '../../../../appliance/mirror/patience.ts';
import { mustBeDrained } from '../../../../appliance/mirror/stuck-requests.ts';
import { placesOf, SilentDiskError, WatchedStore } from '../../../../appliance/mirror/watched-store.ts';
import { type BlockStore, StoreError } from '../../../../drivers/block/index.ts';

const SIZE = 1 << 20;

/** A disk whose requests end when they are let go. */
class HungDisk implements BlockStore {
  readonly sizeBytes = SIZE;
  readonly held: { what: string; go: () => void; fail: (e: Error) => void }[] = [];
  hangs = false;
  failing: Partial<Record<'read' | 'write' | 'flush', StoreError>> = {};
  calls: string[] = [];
  isClosed = false;

  async #do<T>(what: 'read' | 'write' | 'flush', value: T): Promise<T> {
    this.calls.push(what);
    if (this.hangs) await new Promise<void>((go, fail) => this.held.push({ what, go, fail }));
    const e = this.failing[what];
    if (e) throw e;
    return value;
  }
  read(_offset: number, length: number): Promise<Buffer> {
    return this.#do('read', Buffer.alloc(length));
  }
  write(): Promise<void> {
    return this.#do('write', undefined);
  }
  zero(): Promise<void> {
    return this.#do('write', undefined);
  }
  flush(): Promise<void> {
    return this.#do('flush', undefined);
  }
  closing: Promise<void> = Promise.resolve();
  async close(): Promise<void> {
    await this.closing;
    this.isClosed = true;
  }
}

function watched(disk: HungDisk, path: string, more: { timeoutMs?: number; places?: number } = {}) {
  const failures: StoreError[] = [];
  const { promise: failed, resolve } = Promise.withResolvers<void>();
  const store = new WatchedStore(disk, {
    path,
    timeoutMs: more.timeoutMs ?? 60_000,
    places: more.places ?? 8,
    onFailed: (e) => {
      failures.push(e);
      resolve();
    },
  });
  return { store, failures, failed };
}

t.test('a disk that does not answer is over: what waits and what comes fails at once', async (t) => {
  const disk = new HungDisk();
  disk.hangs = true;
  const { store, failures, failed } = watched(disk, '/dev/silent', { timeoutMs: 80, places: 2 });
  // A request of a real disk keeps the process alive.
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  const waiting: Promise<unknown>[] = [store.write(4096, Buffer.alloc(512)), store.read(0, 512), store.flush(), store.read(512, 512)];
  for (const w of waiting) w.catch(() => undefined);
  await failed;
  for (const w of waiting)
    await t.rejects(() => w, { name: 'SilentDiskError', message: '/dev/silent: the disk does not answer for 0.1 s' });
  await t.rejects(store.read(0, 512), SilentDiskError);
  t.match(failures, [{ operation: 'write', offset: 4096 }], 'told once, of the oldest request');
  t.same(disk.calls, ['write', 'read'], 'the medium had no more than its places');
  await store.close();
  t.throws(() => mustBeDrained('/dev/silent'), /still does not answer: 2 earlier requests have not returned/);
  t.doesNotThrow(() => mustBeDrained('/dev/other'));
  for (const { go } of disk.held) go();
  await new Promise((resolve) => setImmediate(resolve));
  t.doesNotThrow(() => mustBeDrained('/dev/silent'), 'everything it was given came back');
});

t.test('a disk that does not answer when it is closed is waited for as long as for a request', async (t) => {
  const disk = new HungDisk();
  const { promise, resolve } = Promise.withResolvers<void>();
  disk.closing = promise;
  const { store, failures } = watched(disk, '/dev/closing', { timeoutMs: 80 });
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  await store.close();
  t.notOk(disk.isClosed);
  t.match(failures, [{ name: 'SilentDiskError' }]);
  t.throws(() => mustBeDrained('/dev/closing'), /1 earlier requests/);
  resolve();
  await new Promise((r) => setImmediate(r));
  t.ok(disk.isClosed);
  t.doesNotThrow(() => mustBeDrained('/dev/closing'));
});

t.test('a failed flush is not tried again, and nothing is written after it', async (t) => {
  const disk = new HungDisk();
  const { store, failures } = watched(disk, '/dev/failing');
  disk.failing = { flush: new StoreError('io', 'flush', 0, 'lost') };
  await t.rejects(store.flush(), { message: 'lost' });
  disk.failing = {};
  await t.rejects(store.flush(), { message: 'lost' });
  await t.rejects(store.write(0, Buffer.alloc(512)), { message: 'lost' });
  await t.rejects(store.zero(0, 512), { message: 'lost' });
  t.same(disk.calls, ['flush'], 'the disk was not asked again');
  t.equal((await store.read(0, 512)).length, 512, 'what it holds can still be read');
  t.equal(failures.length, 1);
  await store.close();
  t.ok(disk.isClosed);
});

t.test('a read that fails, or a request outside of the disk, is not the end of the disk', async (t) => {
  const disk = new HungDisk();
  const { store, failures } = watched(disk, '/dev/bad-block');
  disk.failing = { read: new StoreError('io', 'read', 0, 'bad block'), write: new StoreError('range', 'write', 0, 'outside') };
  await t.rejects(store.read(0, 512), { message: 'bad block' });
  await t.rejects(store.write(SIZE, Buffer.alloc(1)), { message: 'outside' });
  disk.failing = {};
  await store.write(0, Buffer.alloc(512));
  t.same([failures, store.failure], [[], undefined]);
});

t.test('requests beyond its places wait for them, in order', async (t) => {
  const disk = new HungDisk();
  disk.hangs = true;
  const { store } = watched(disk, '/dev/busy', { places: 1 });
  const ended: number[] = [];
  const all = [1, 2, 3].map((n) => store.read(0, n).then(() => ended.push(n)));
  for (let i = 0; i < 3; i++) {
    t.equal(disk.held.length, 1);
    disk.held.pop()?.go();
    await all[i];
  }
  t.same(ended, [1, 2, 3]);
  t.equal(store.oldestMs, 0);
});

t.test('places: a hung disk leaves threads of the pool to all others', (t) => {
  t.same(
    [undefined, '4', '8', '24', 'x'].map((threads) => placesOf(threads)),
    [2, 2, 4, 12, 2],
  );
  t.end();
});

t.test('the own sleep is nobody else’s silence', (t) => {
  let now = 0;
  const patience = new Patience({ limitMs: 1000, onExhausted: () => t.fail('it slept itself'), now: () => now });
  const wait = patience.begin();
  now += 40;
  t.equal(patience.oldestMs, 40);
  now += 3_600_000;
  t.ok(patience.oldestMs <= 140, 'an hour of sleep counts as two looks');
  patience.end(wait);
  now += 10_000;
  t.equal(patience.oldestMs, 0);
  const later = patience.begin();
  now += 10;
  t.equal(patience.oldestMs, 10, 'time without a wait does not count');
  patience.end(later);
  t.end();
});

t.test('a disk in doubt stays so until its copy was made equal', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'doubt-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'doubtful');
  const first = await DoubtfulDisk.open(path);
  t.equal(first.why, null);
  const disk = new HungDisk();
  await first.test(disk);
  t.same(disk.calls, [], 'a disk that is not in doubt is not tested');
  await first.doubt('flush at 0: EIO');
  await first.doubt('another');
  const again = await DoubtfulDisk.open(path);
  t.equal(again.why, 'flush at 0: EIO');
  disk.failing = { flush: new StoreError('io', 'flush', 0, 'still broken') };
  await t.rejects(again.test(disk), { message: 'still broken' });
  disk.failing = { read: new StoreError('io', 'read', 0, 'bad block') };
  await again.test(disk);
  t.equal(disk.calls.filter((c) => c === 'write').length, 1, 'a block that cannot be read is left as it is');
  disk.failing = {};
  await again.test(disk);
  await again.trust();
  t.equal((await DoubtfulDisk.open(path)).why, null);
});
