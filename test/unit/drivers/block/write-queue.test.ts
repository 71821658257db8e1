// Many writes as one job of the thread pool: each whole at its place, each with an error of its own.
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { native } from '../../../../drivers/block/native.ts';
import { WriteQueue } from '../../../../drivers/block/write-queue.ts';

const folder = mkdtempSync(join(tmpdir(), 'write-queue-'));
t.teardown(() => rmSync(folder, { recursive: true }));

function opened(name: string, content = Buffer.alloc(0)): { path: string; fd: number } {
  const path = join(folder, name);
  writeFileSync(path, content);
  return { path, fd: openSync(path, 'r+') };
}

function write(queue: WriteQueue, position: number, bytes: number, parts: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve, reject) => queue.write(position, bytes, parts, (e) => (e ? reject(e) : resolve())));
}

t.test('thousands at a time, of one part or many, are all where they belong', async (t) => {
  const { path, fd } = opened('many');
  const queue = new WriteQueue(fd);
  const expected = randomBytes(4000 * 700);
  const all: Promise<void>[] = [];
  for (let at = 0; at < expected.length; at += 700) {
    const piece = expected.subarray(at, at + 700);
    const parts = at % 3 === 0 ? [piece] : [piece.subarray(0, 1), piece.subarray(1, 300), piece.subarray(300)];
    all.push(write(queue, at, 700, parts));
  }
  await Promise.all(all);
  t.ok(readFileSync(path).equals(expected));
  closeSync(fd);
});

t.test('more parts than one call of the system takes, and one larger than a job', async (t) => {
  const { path, fd } = opened('parts');
  const queue = new WriteQueue(fd);
  const tiny = randomBytes(5000);
  const large = randomBytes(3 * 1024 * 1024);
  await Promise.all([
    write(
      queue,
      0,
      5000,
      Array.from({ length: 5000 }, (_, i) => tiny.subarray(i, i + 1)),
    ),
    write(queue, 5000, large.length, [large]),
  ]);
  t.ok(readFileSync(path).equals(Buffer.concat([tiny, large])));
  closeSync(fd);
});

t.test('one that fails does not fail those beside it, nor those after it', async (t) => {
  const { path, fd } = opened('errors', Buffer.alloc(8));
  const queue = new WriteQueue(fd);
  // No file system has files of that size.
  const tooFar = 2 ** 62;
  const ended = await Promise.allSettled([
    write(queue, 0, 4, [Buffer.from('good')]),
    write(queue, tooFar, 4, [Buffer.from('lost')]),
    write(queue, 4, 4, [Buffer.from('also')]),
  ]);
  t.match(ended, [{ status: 'fulfilled' }, { status: 'rejected', reason: { code: /^(EFBIG|EINVAL)$/ } }, { status: 'fulfilled' }]);
  await write(queue, 0, 1, [Buffer.from('G')]);
  t.equal(readFileSync(path, 'latin1'), 'Goodalso');
  closeSync(fd);
});

t.test('a full medium and a closed descriptor, by name', async (t) => {
  const full = openSync('/dev/full', 'r+');
  await t.rejects(write(new WriteQueue(full), 0, 4, [Buffer.from('none')]), { code: 'ENOSPC' });
  closeSync(full);
  const readOnly = openSync('/dev/null', 'r');
  await t.rejects(write(new WriteQueue(readOnly), 0, 4, [Buffer.from('none')]), { code: 'EBADF' });
  closeSync(readOnly);
});

t.test('what the addon cannot mean is refused before anything is written', async (t) => {
  const { path, fd } = opened('refused', Buffer.from('as it was'));
  const part = Buffer.from('x');
  const { writeMany } = native();
  for (const [positions, counts, parts] of [
    [[0], [2], [part]],
    [[0, 1], [1], [part]],
    [[-1], [1], [part]],
    [[0], [-1], [part]],
  ] as const)
    t.throws(() => writeMany(fd, positions, counts, parts), /writeMany\(fd, positions, counts, parts\)/);
  t.throws(() => writeMany(fd, [0], [1], ['text' as unknown as Uint8Array]), /writeMany/);
  t.equal(await writeMany(fd, [], [], []), null);
  t.equal(readFileSync(path, 'latin1'), 'as it was');
  closeSync(fd);
});
