// Copies on media that are not alike: a file here, a block device there, with other block sizes, past the page cache or through it.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { openDiskStack } from '../../appliance/mirror/disk-stack.ts';
import { WatchedFiles } from '../../appliance/mirror/watched-files.ts';
import { FileStore, type FileStoreOptions } from '../../drivers/block/index.ts';
import { random } from '../unit/appliance/mirror/losable-store.ts';
import { MirrorPair } from '../unit/appliance/mirror/mirror-pair.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;
const SIZE_BYTES = 16 * MIB;
const skip = process.getuid?.() === 0 ? false : 'needs root';
const directory = mkdtempSync(join(tmpdir(), 'mirror-device-'));
t.teardown(() => rmSync(directory, { recursive: true }));

let n = 0;
/** A loop device on a new file; both are gone after the test. */
async function loopDevice(t: { teardown(f: () => unknown): unknown }, sectorBytes: number, bytes = SIZE_BYTES) {
  const file = join(directory, `backing${n++}`);
  writeFileSync(file, '');
  truncateSync(file, bytes);
  const attach = async (): Promise<string> =>
    (await run('losetup', ['--find', '--show', '--sector-size', String(sectorBytes), file])).stdout.trim();
  const loop = { file, device: await attach(), detach: () => run('losetup', ['--detach', loop.device]), attach };
  t.teardown(() => loop.detach().catch(() => undefined));
  return loop;
}

for (const sectorBytes of [512, 4096]) {
  t.test(`past the page cache of a device with sectors of ${sectorBytes} bytes: any borders, zeroes, space`, { skip }, async (t) => {
    const loop = await loopDevice(t, sectorBytes);
    const store = await FileStore.open({ path: loop.device, sizeBytes: SIZE_BYTES, cache: 'direct' });
    t.same(store.notes, []);
    const expected = Buffer.alloc(SIZE_BYTES);
    const chance = random(sectorBytes);
    for (let i = 0; i < 150; i++) {
      const offset = Math.floor(chance() * SIZE_BYTES);
      const length = Math.min(SIZE_BYTES - offset, 1 + Math.floor(chance() ** 3 * 2 * MIB));
      if (chance() < 0.25) {
        await store.zero(offset, length, { space: chance() < 0.5 ? 'release' : 'keep' });
        expected.fill(0, offset, offset + length);
      } else {
        const data = randomBytes(length);
        await store.write(offset, data);
        data.copy(expected, offset);
      }
    }
    t.ok((await store.read(0, SIZE_BYTES)).equals(expected));
    await store.write(0, randomBytes(8 * MIB));
    await store.flush();
    const before = statSync(loop.file).blocks * 512;
    t.ok(await store.canRelease());
    await store.zero(0, 8 * MIB, { space: 'release' });
    await store.flush();
    t.ok(statSync(loop.file).blocks * 512 <= before - 7 * MIB, 'its space is given back');
    await store.close();
    expected.fill(0, 0, 8 * MIB);
    t.ok(readFileSync(loop.device).equals(expected), 'as everybody else sees it');
  });
}

t.test('a file system that refuses it: through the page cache, and said', { skip }, async (t) => {
  const script = `import { FileStore } from ${JSON.stringify(new URL('../../drivers/block/index.ts', import.meta.url).href)};
    const s = await FileStore.open({ path: process.argv[1] + '/disk', sizeBytes: 1 << 20, cache: 'direct' });
    await s.write(100, Buffer.alloc(1000, 7));
    await s.flush();
    console.log(JSON.stringify({ notes: s.notes, byte: (await s.read(1099, 1))[0] }));`;
  const mount = join(directory, 'ram');
  const shell = `mkdir '${mount}' && mount -t ramfs none '${mount}' && exec "$@"`;
  const program = [process.execPath, '--no-warnings', '--input-type=module', '-e', script, mount];
  const { stdout } = await run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', shell, 'sh', ...program]);
  t.match(JSON.parse(stdout), { notes: [/ram\/disk: cannot be used past the page cache here/], byte: 7 });
});

t.test(
  'a pair of a file and a larger device with larger sectors: equal, also what is trimmed and written in small pieces',
  { skip },
  async (t) => {
    const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
    t.teardown(() => pair.end());
    const loop = await loopDevice(t, 4096, SIZE_BYTES + MIB);
    Object.assign(pair.b.setup, { diskPath: loop.device, cache: 'direct' });
    writeFileSync(pair.a.setup.diskPath, randomBytes(SIZE_BYTES));
    await pair.protect();
    const guest = await pair.a.connect();
    const life = async (): Promise<void> => {
      const chance = random(pair.a.interval.current);
      await Promise.all(
        Array.from({ length: 300 }, (_, i) =>
          guest.write(i * 50_000 + 512 * Math.floor(chance() * 8), randomBytes(512 * (1 + Math.floor(chance() * 20)))),
        ),
      );
      await guest.trim(MIB + 512, MIB);
      await guest.flush();
    };
    await life();
    pair.a.interval.current = 1;
    await life();
    await pair.checkpoint();
    await pair.b.mirror.call('close', {});
    const there = readFileSync(loop.device);
    t.ok(there.subarray(0, SIZE_BYTES).equals(pair.a.disk()), 'equal');
    t.ok(there.subarray(SIZE_BYTES).equals(Buffer.alloc(MIB)), 'nothing beyond its size');
  },
);

t.test('a device is known by what it says of itself; another in its place is refused', { skip }, async (t) => {
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES });
  t.teardown(() => pair.end());
  const loop = await loopDevice(t, 512);
  pair.b.setup.diskPath = loop.device;
  await pair.equalise();
  await pair.b.mirror.call('close', {});
  t.match(await pair.b.mirror.call('open', { serves: true }), { notes: [] }, 'known again');
  await pair.b.mirror.call('close', {});
  await loop.detach();
  const other = randomBytes(SIZE_BYTES);
  writeFileSync(`${loop.file}.other`, other);
  renameSync(`${loop.file}.other`, loop.file);
  loop.device = await loop.attach();
  pair.b.setup.diskPath = loop.device;
  for (const serves of [false, true]) await t.rejects(pair.b.mirror.call('open', { serves }), /this one was replaced/);
  t.ok(readFileSync(loop.device).equals(other), 'nothing was written');
  const small = await loopDevice(t, 512, SIZE_BYTES - MIB);
  pair.b.setup.diskPath = small.device;
  await t.rejects(pair.b.mirror.call('open', {}), /has 15728640 bytes, 16777216 are needed: enlarge it or set a smaller disk/);
});

t.test('restore points of a device are of that device: those of another in its place are not read', { skip }, async (t) => {
  const loop = await loopDevice(t, 512);
  const told: string[] = [];
  const openStore = (o: FileStoreOptions) => FileStore.open(o);
  const onFailed = (e: Error): void => void t.fail(e.message);
  const timeoutMs = 60_000;
  const open = () =>
    openDiskStack({
      openStore,
      files: new WatchedFiles({ openStore, timeoutMs, onFailed }),
      path: loop.device,
      sizeBytes: SIZE_BYTES,
      timeoutMs,
      onFailed,
      pointsPath: join(directory, 'device.points'),
      points: { directory: join(directory, 'points-of-device'), maximumBytes: 0, reserveBytes: 0 },
      told: (text) => told.push(text),
    });
  const first = await open();
  const id = '0123456789abcdef';
  await first.points.begin({ id, name: 'one', kind: 'operator', takenAt: 1 });
  await first.points.cut(id, 1_000);
  await first.points.keep(id);
  await first.disk.close();
  await loop.detach();
  loop.device = await loop.attach();
  const again = await open();
  t.match(again.points.points, [{ name: 'one', state: 'kept', trouble: '' }], 'known again');
  await again.disk.close();
  await loop.detach();
  writeFileSync(`${loop.file}.other`, randomBytes(SIZE_BYTES));
  renameSync(`${loop.file}.other`, loop.file);
  loop.device = await loop.attach();
  const other = await open();
  t.match(other.points.points, [{ name: 'one', state: 'lost', trouble: /of another disk/ }]);
  t.match(told, [/one cannot be used any more/]);
  await other.disk.close();
});
