// Files of restore points that a start cannot open, on real files: the points are kept, said to be not available, and right again when
// their files are back, whatever was written meanwhile. What was overwritten without being kept is said to be lost.
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CATALOGUE_BYTES } from '../../../../../appliance/mirror/restore-points/catalogue.ts';
import { type OpenPointsParts, openPoints } from '../../../../../appliance/mirror/restore-points/open-points.ts';
import { openPointFolder } from '../../../../../appliance/mirror/restore-points/point-folder.ts';
import type { PointStore } from '../../../../../appliance/mirror/restore-points/point-store.ts';
import { GRAIN_BYTES, PAGE_BYTES } from '../../../../../appliance/mirror/restore-points/segment-codec.ts';
import { type BlockStore, FileStore, type FileStoreOptions, StoreError } from '../../../../../drivers/block/index.ts';
import { random } from '../losable-store.ts';
import { MirrorPair } from '../mirror-pair.ts';
import { contentOf, idOf, take } from './point-disks.ts';

// Most of it is the disk's time.
t.setTimeout(120_000);

const DISK_BYTES = 8 * GRAIN_BYTES + 3000;
const fill = (byte: number): Buffer => Buffer.alloc(DISK_BYTES, byte);

class Place {
  readonly directory = mkdtempSync(join(tmpdir(), 'points-'));
  readonly diskPath = join(this.directory, 'disk');
  told: string[] = [];
  /** Of the files of points, at their opening. */
  fault: (path: string) => Promise<void> = async () => {};
  around: (store: BlockStore) => BlockStore = (store) => store;

  constructor(t: { teardown(f: () => void): unknown }) {
    writeFileSync(this.diskPath, fill(0xee));
    t.teardown(() => rmSync(this.directory, { recursive: true }));
  }

  get folder(): string {
    return `${this.diskPath}.points`;
  }

  file(n: number): string {
    return join(this.folder, `${idOf(n)}.point`);
  }

  async open(more: Partial<OpenPointsParts> = {}): Promise<PointStore> {
    this.told = [];
    const openStore = async (options: FileStoreOptions): Promise<BlockStore> => {
      await this.fault(options.path);
      return this.around(await FileStore.open(options));
    };
    return await openPoints({
      below: await FileStore.open({ path: this.diskPath, sizeBytes: DISK_BYTES }),
      disk: 'this one',
      catalogue: await FileStore.open({ path: join(this.directory, 'catalogue'), sizeBytes: CATALOGUE_BYTES }),
      folder: await openPointFolder({ directory: '', diskPath: this.diskPath, openStore }),
      maximumBytes: 64 * 1024 * 1024,
      reserveBytes: 0,
      told: (text) => this.told.push(text),
      ...more,
    });
  }

  /** The disk was 0xee at `one`, 0x11 at `two`, and is 0x22 in its first half. */
  async twoPoints(): Promise<void> {
    const points = await this.open();
    await take(points, idOf(1), 'one');
    await points.write(0, fill(0x11));
    await take(points, idOf(2), 'two');
    await points.write(0, fill(0x22).subarray(0, 4 * GRAIN_BYTES));
    await points.close();
  }
}

const namesOf = (points: PointStore): [string, string, boolean][] =>
  points.points.map((p) => [p.name, p.state, points.whyUnavailable(p.id) !== '']);

for (const code of ['EIO', 'EACCES', 'EMFILE', 'ENOSPC'])
  for (const which of [1, 2])
    t.test(`${code} at the file of point ${which}: kept, shown as not available, and right again when it is back`, async (t) => {
      const place = new Place(t);
      await place.twoPoints();
      place.fault = async (path) => {
        if (path === place.file(which)) throw new StoreError('setup', 'open', 0, `cannot open ${path}: ${code}`, code);
      };
      const points = await place.open();
      t.same(namesOf(points), [
        ['one', 'kept', true],
        ['two', 'kept', which === 2],
      ]);
      t.match(place.told, [new RegExp(`Restore points ${which === 1 ? 'one' : 'one, two'} are not available: .*${code}.*They are kept`)]);
      t.equal(place.told.length, 1);
      await t.rejects(contentOf(points, idOf(1)), new RegExp(`'one' is not available: .*${code}`));
      // Half of it is over what point 2 keeps already, half is not.
      await points.write(2 * GRAIN_BYTES, fill(0x33).subarray(0, 4 * GRAIN_BYTES));
      await take(points, idOf(3), 'three');
      const atThree = await points.read(0, DISK_BYTES);
      await points.write(0, fill(0x44));
      t.ok((await contentOf(points, idOf(3))).equals(atThree), 'a new point is a point');
      if (which === 1) t.ok((await contentOf(points, idOf(2)))[0] === 0x11, 'newer ones are');
      await points.close();
      place.fault = async () => {};
      const again = await place.open();
      t.same(place.told, []);
      t.ok((await contentOf(again, idOf(1))).equals(fill(0xee)));
      t.ok((await contentOf(again, idOf(2))).equals(fill(0x11)));
      t.ok((await contentOf(again, idOf(3))).equals(atThree));
      for (const n of [1, 2, 3]) await again.remove(idOf(n));
      t.same(readdirSync(place.folder), [], 'no file is left');
      await again.close();
    });

t.test('a folder that is not there, as if it were not mounted: as any other file that is not available', async (t) => {
  const place = new Place(t);
  await place.twoPoints();
  renameSync(place.folder, `${place.folder}.away`);
  const points = await place.open();
  t.same(namesOf(points), [
    ['one', 'kept', true],
    ['two', 'kept', true],
  ]);
  await points.close();
  rmSync(place.folder, { recursive: true });
  renameSync(`${place.folder}.away`, place.folder);
  const again = await place.open();
  t.ok((await contentOf(again, idOf(1))).equals(fill(0xee)));
  await again.close();
});

t.test('a file that hangs: the disk is there all the same, and the points are kept', async (t) => {
  // What hangs keeps nothing alive.
  const alive = setInterval(() => {}, 1_000);
  t.teardown(() => clearInterval(alive));
  for (const what of ['open', 'read'] as const) {
    const place = new Place(t);
    await place.twoPoints();
    const hung = Promise.withResolvers<void>();
    if (what === 'open') place.fault = (path) => (path === place.file(2) ? hung.promise : Promise.resolve());
    else
      place.around = (store) => ({
        sizeBytes: store.sizeBytes,
        read: (o, l) => hung.promise.then(() => store.read(o, l)),
        write: (o, ...p) => store.write(o, ...p),
        zero: (o, l, z) => store.zero(o, l, z),
        flush: () => store.flush(),
        close: () => store.close(),
      });
    const points = await place.open({ answerWithinMs: 30 });
    t.same(namesOf(points), [
      ['one', 'kept', true],
      ['two', 'kept', true],
    ]);
    t.match(place.told, [/did not answer within 0.03 s/]);
    hung.resolve();
    await points.close();
  }
});

t.test('nowhere to keep what is overwritten: lost from the first overwrite on, and not before, and an event says so', async (t) => {
  const place = new Place(t);
  await place.twoPoints();
  place.fault = (path) => Promise.reject(new StoreError('setup', 'open', 0, `cannot open ${path}: EMFILE`, 'EMFILE'));
  for (let i = 0; i < 2; i++) {
    const unwritten = await place.open();
    t.ok((await unwritten.read(0, 4096)).equals(Buffer.alloc(4096, 0x22)));
    await unwritten.close();
  }
  const points = await place.open();
  t.same(namesOf(points), [
    ['one', 'kept', true],
    ['two', 'kept', true],
  ]);
  await points.write(0, Buffer.alloc(4096, 0x55));
  t.ok((await points.read(0, 4096)).equals(Buffer.alloc(4096, 0x55)), 'the guest has its write');
  t.match(place.told.at(-1), /Restore points one, two were given up: what was overwritten could not be kept: .*EMFILE/);
  await points.close();
  place.fault = async () => {};
  const again = await place.open();
  t.same(
    again.points.map((p) => [p.state, /EMFILE/.test(p.trouble)]),
    [
      ['lost', true],
      ['lost', true],
    ],
  );
  await again.close();
});

t.test('removed while it is not available: older ones still read it when it is back', async (t) => {
  const place = new Place(t);
  await place.twoPoints();
  place.fault = (path) => (path === place.file(2) ? Promise.reject(new Error('EIO')) : Promise.resolve());
  const points = await place.open();
  await points.remove(idOf(2));
  await points.write(0, fill(0x66));
  await points.close();
  place.fault = async () => {};
  const again = await place.open();
  t.same(
    again.points.map((p) => p.name),
    ['one'],
  );
  t.ok((await contentOf(again, idOf(1))).equals(fill(0xee)));
  await again.remove(idOf(1));
  t.same(readdirSync(place.folder), []);
  await again.close();
});

t.test('a last batch that was torn is mended from what was kept since, when its file is back', async (t) => {
  const place = new Place(t);
  const points = await place.open();
  await take(points, idOf(1), 'one');
  await points.write(0, Buffer.alloc(GRAIN_BYTES, 0x11));
  await points.close();
  // Power was lost before the overwrite: the image is torn, the disk has it still.
  writeFileSync(place.diskPath, fill(0xee));
  const bytes = readFileSync(place.file(1));
  bytes.fill(0, 3 * PAGE_BYTES, 4 * PAGE_BYTES);
  writeFileSync(place.file(1), bytes);
  place.fault = (path) => (path === place.file(1) ? Promise.reject(new Error('EIO')) : Promise.resolve());
  const without = await place.open();
  await without.write(0, Buffer.alloc(GRAIN_BYTES, 0x22));
  await without.close();
  place.fault = async () => {};
  const again = await place.open();
  t.same(place.told, []);
  t.ok((await contentOf(again, idOf(1))).equals(fill(0xee)));
  await again.close();
});

t.test('a file that was cut off is known to be: lost, by name; another limit in the configuration is no such thing', async (t) => {
  const place = new Place(t);
  await place.twoPoints();
  for (const maximumBytes of [2 * GRAIN_BYTES, 1024 * GRAIN_BYTES]) {
    const points = await place.open({ maximumBytes });
    t.ok((await contentOf(points, idOf(1))).equals(fill(0xee)), `${maximumBytes}`);
    t.ok((await contentOf(points, idOf(2))).equals(fill(0x11)));
    await points.close();
  }
  truncateSync(place.file(2), statSync(place.file(2)).size / 2);
  const points = await place.open();
  t.same(
    points.points.map((p) => p.state),
    ['lost', 'lost'],
  );
  t.match(place.told, [/Restore points one, two cannot be used any more: its file is cut off/]);
  await points.close();
});

t.test('a disk that is refused: nothing of its restore points, their catalogue and its checksums is written or removed', async (t) => {
  const pair = new MirrorPair({ sizeBytes: 1024 * 1024 });
  t.teardown(() => pair.end());
  await pair.equalise();
  const { mirror, setup } = pair.a;
  const guest = await pair.a.connect();
  await mirror.call('takePoint', { name: 'one', kind: 'operator', takenAt: 1 });
  await guest.write(0, Buffer.alloc(4096, 1), true);
  await guest.close();
  await mirror.call('close', {});
  const folder = `${setup.diskPath}.points`;
  const held = (): unknown => ({
    files: readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString('base64')]),
    catalogue: readFileSync(`${setup.journalPath}.points`).toString('base64'),
    sums: readFileSync(`${setup.journalPath}.sums`).toString('base64'),
  });
  const before = held();
  const own = `${setup.diskPath}.own`;
  renameSync(setup.diskPath, own);
  writeFileSync(setup.diskPath, Buffer.alloc(1024 * 1024, 7));
  for (const serves of [true, false]) {
    await t.rejects(mirror.call('open', { serves }), /disk-A is not.*Nothing was written/);
    t.same(held(), before);
  }
  // Whatever else cannot be opened, adopting leaves it as it is as well.
  truncateSync(setup.diskPath, 4096);
  await t.rejects(mirror.call('adopt', {}), /enlarge it/);
  t.same(held(), before);
  renameSync(own, setup.diskPath);
  await mirror.call('open', { serves: true });
  t.match(await mirror.call('listPoints', {}), { points: [{ name: 'one', here: true, trouble: '', unavailable: '' }] });
});

t.test('a point that is begun before what follows the missing file is made is newer than that', async (t) => {
  const place = new Place(t);
  await place.twoPoints();
  place.fault = (path) => (path === place.file(2) ? Promise.reject(new Error('EIO')) : Promise.resolve());
  const points = await place.open();
  await points.begin({ id: idOf(3), name: 'three', kind: 'operator', takenAt: 1 });
  await points.write(0, Buffer.alloc(4096, 0x77));
  await points.cut(idOf(3), 1_000);
  await points.keep(idOf(3));
  await points.close();
  place.fault = async () => {};
  const again = await place.open();
  t.equal((await contentOf(again, idOf(3)))[0], 0x77);
  t.ok((await contentOf(again, idOf(2))).equals(fill(0x11)));
  await again.close();
});

t.test('a damaged image is the end of the points that read it, not of one whose own file may have it', async (t) => {
  const place = new Place(t);
  const points = await place.open();
  await take(points, idOf(1), 'one');
  await take(points, idOf(2), 'two');
  await points.write(0, fill(0x22));
  await take(points, idOf(3), 'three');
  await points.write(0, fill(0x33));
  await points.close();
  const bytes = readFileSync(place.file(3));
  bytes.fill(0x99, 2 * PAGE_BYTES, 3 * PAGE_BYTES);
  writeFileSync(place.file(3), bytes);
  place.fault = (path) => (path === place.file(2) ? Promise.reject(new Error('EIO')) : Promise.resolve());
  const without = await place.open();
  await t.rejects(contentOf(without, idOf(3)), /damaged|cannot be used/);
  await without.close();
  place.fault = async () => {};
  const again = await place.open();
  t.same(
    again.points.map((p) => [p.name, p.trouble === '']),
    [
      ['one', true],
      ['two', true],
      ['three', false],
    ],
  );
  t.ok((await contentOf(again, idOf(1))).equals(fill(0xee)));
  await again.close();
});

/** Of the random lives; more with POINT_SEEDS=n. */
const SEEDS = Number(process.env.POINT_SEEDS ?? 12);

t.test('random lives in which files come and go: no point is lost, and each reads what it should whenever it can be read', async (t) => {
  let refused = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const next = random(seed);
    const below = (n: number): number => Math.floor(next() * n);
    const place = new Place(t);
    const truth = new Map<string, Buffer>();
    let disk = fill(0xee);
    let points = await place.open();
    for (let step = 0; step < 60; step++) {
      const what = below(10);
      if (what < 2) {
        const id = idOf(1000 * seed + step);
        await take(points, id, `p-${step}`);
        truth.set(id, Buffer.from(disk));
      } else if (what < 6) {
        const offset = below(DISK_BYTES - 4096);
        const data = Buffer.alloc(1 + below(Math.min(3 * GRAIN_BYTES, DISK_BYTES - offset - 1)), 1 + below(255));
        await points.write(offset, data);
        disk = Buffer.from(disk);
        data.copy(disk, offset);
      } else if (what < 7 && truth.size > 1) {
        const id = [...truth.keys()][below(truth.size)] ?? '';
        truth.delete(id);
        await points.remove(id);
      } else {
        await points.close();
        const away = new Set<string>();
        const isAllThere = step > 50 || below(2) === 0;
        for (const name of readdirSync(place.folder)) if (!isAllThere && below(3) === 0) away.add(join(place.folder, name));
        place.fault = (path) => (away.has(path) ? Promise.reject(new Error('EIO')) : Promise.resolve());
        points = await place.open();
        t.same(
          points.points.map((p) => [p.id, p.state, p.trouble]),
          [...truth.keys()].map((id) => [id, 'kept', '']),
          `seed ${seed}, step ${step}`,
        );
        for (const [id, content] of truth) {
          if (points.whyUnavailable(id) !== '') refused++;
          else if (!(await contentOf(points, id)).equals(content)) t.fail(`seed ${seed}, step ${step}: ${id}`);
        }
      }
    }
    await points.close();
    place.fault = async () => {};
    const last = await place.open();
    for (const [id, content] of truth) t.ok((await contentOf(last, id)).equals(content), `seed ${seed}: ${id}`);
    await last.close();
  }
  t.ok(refused > 0, `${refused} times a point was not available`);
});
