// What a restore point must survive, and what must be said of one that did not: damaged and foreign files, no room, places that fail
// or hang. The guest's write goes on in every case.
import t from 'tap';
import { decodeCatalogue, encodeCatalogue } from '../../../../../appliance/mirror/restore-points/catalogue-codec.ts';
import { decodeCutStep, decodePointList, encodeCutStep } from '../../../../../appliance/mirror/restore-points/cut-codec.ts';
import { decodeBatchPage, encodeBatchPage, GRAIN_BYTES, PAGE_BYTES } from '../../../../../appliance/mirror/restore-points/segment-codec.ts';
import { stuckRequests } from '../../../../../appliance/mirror/stuck-requests.ts';
import { type BlockStore, StoreError } from '../../../../../drivers/block/index.ts';
import { always, blankImages, contentOf, DISK_BYTES, idOf, PointMachine, take } from './point-disks.ts';

// Most of it is the disk's time.
t.setTimeout(120_000);

/** What lies below, with some of its requests done otherwise. */
function changed(store: BlockStore, changes: Partial<BlockStore>): BlockStore {
  return {
    sizeBytes: store.sizeBytes,
    read: (o, l) => store.read(o, l),
    write: (o, ...p) => store.write(o, ...p),
    zero: (o, l, z) => store.zero(o, l, z),
    flush: () => store.flush(),
    close: () => store.close(),
    ...changes,
  };
}

const fill = (byte: number, length = DISK_BYTES): Buffer => Buffer.alloc(length, byte);

/** Two points: the disk was 0xee at `one`, 0x11 at `two`, and is 0x22. */
async function twoPoints(m: PointMachine, kinds: ['scheduled' | 'operator', 'scheduled' | 'operator'] = ['operator', 'operator']) {
  const points = await m.open();
  await take(points, idOf(1), 'one', kinds[0]);
  await points.write(0, fill(0x11));
  await take(points, idOf(2), 'two', kinds[1]);
  await points.write(0, fill(0x22));
  await points.flush();
  return points;
}

const after = (m: PointMachine): PointMachine =>
  new PointMachine(
    m.afterLoss(() => 0),
    always(),
  );

t.test('without a point nothing is kept, and after the last one neither', async (t) => {
  const m = new PointMachine(blankImages(), always());
  const points = await twoPoints(m);
  t.ok((await contentOf(points, idOf(1))).equals(fill(0xee)));
  t.ok((await contentOf(points, idOf(2))).equals(fill(0x11)));
  await points.remove(idOf(1));
  t.ok((await contentOf(points, idOf(2))).equals(fill(0x11)));
  await points.remove(idOf(2));
  t.same([...m.files.keys()], [], 'no file is left');
  const before = m.power.requests;
  await points.write(0, fill(0x33));
  t.equal(m.power.requests - before, 1, 'one request for one write');
});

t.test('one in the middle can be removed: older ones still read what it kept, and no more than that is kept', async (t) => {
  const m = new PointMachine(blankImages(), always());
  const points = await m.open();
  await take(points, idOf(1), 'one');
  await points.write(0, fill(1, GRAIN_BYTES));
  await take(points, idOf(2), 'two');
  await points.write(0, fill(2, 2 * GRAIN_BYTES));
  await take(points, idOf(3), 'three');
  await points.write(0, fill(3));
  const bytes = points.keptBytes(idOf(2));
  await points.remove(idOf(2));
  t.equal(bytes - points.keptBytes(idOf(2)), GRAIN_BYTES, 'what the oldest one covers is given back');
  const [want1, want3] = [fill(0xee), Buffer.concat([fill(2, 2 * GRAIN_BYTES), fill(0xee, DISK_BYTES - 2 * GRAIN_BYTES)])];
  for (const p of [points, await after(m).open()]) {
    t.same(
      p.points.map((x) => x.name),
      ['one', 'three'],
    );
    t.ok((await contentOf(p, idOf(1))).equals(want1));
    t.ok((await contentOf(p, idOf(3))).equals(want3));
  }
});

t.test('a damaged image: found by its checksum, the points that read it are in trouble, the others are not', async (t) => {
  const m = new PointMachine(blankImages(), always());
  await twoPoints(m);
  const file = m.files.get(idOf(2));
  await file?.write(2 * PAGE_BYTES + 100, Buffer.from([1]));
  await file?.flush();
  const m2 = after(m);
  // Of the last batch: seen at the start. The live disk says that it was overwritten.
  const points = await m2.open();
  t.match(points.points.find((p) => p.name === 'two')?.trouble, /damaged/);
  t.match(m2.told, [/two cannot be used any more/]);
  await t.rejects(contentOf(points, idOf(2)), /cannot be used: what was kept of 64 KiB at 0 is damaged/);
  t.ok((await contentOf(points, idOf(1))).equals(fill(0xee)));
});

t.test('a damaged image of an older batch: found when it is read, and never served', async (t) => {
  const m = new PointMachine(blankImages(), always());
  const points = await twoPoints(m);
  await m.files.get(idOf(1))?.write(2 * PAGE_BYTES + 100, Buffer.from([1]));
  await t.rejects(contentOf(points, idOf(1)), /what was kept of 64 KiB at 0 is damaged/);
  t.match(points.points[0]?.trouble, /damaged/);
  await t.rejects(contentOf(points, idOf(1)), /the restore point 'one' cannot be used/);
  t.ok((await contentOf(points, idOf(2))).equals(fill(0x11)));
});

t.test('a batch whose pages are gone, or the file of another one: the points up to it are lost by name', async (t) => {
  for (const spoil of ['pages', 'other', 'header'] as const) {
    const m = new PointMachine(blankImages(), always());
    await twoPoints(m);
    const images = m.afterLoss(() => 0);
    const [one, two] = [images.files.get(idOf(1)), images.files.get(idOf(2))];
    if (!one || !two) throw new Error('two files');
    if (spoil === 'other') images.files.set(idOf(1), two);
    else one.fill(0, spoil === 'header' ? 0 : PAGE_BYTES);
    const m2 = new PointMachine(images, always());
    const points = await m2.open();
    t.same(
      points.points.map((p) => [p.name, p.state]),
      [
        ['one', 'lost'],
        ['two', 'kept'],
      ],
      spoil,
    );
    t.match(m2.told, [/Restore points one cannot be used any more/]);
    t.ok((await contentOf(points, idOf(2))).equals(fill(0x11)));
    await points.remove(idOf(1));
    t.same(
      points.points.map((p) => p.name),
      ['two'],
    );
  }
});

t.test('one page of a batch is enough', async (t) => {
  const m = new PointMachine(blankImages(), always());
  await twoPoints(m);
  const images = m.afterLoss(() => 0);
  images.files.get(idOf(2))?.fill(0, PAGE_BYTES, 2 * PAGE_BYTES);
  const points = await new PointMachine(images, always()).open();
  t.ok((await contentOf(points, idOf(2))).equals(fill(0x11)));
});

t.test('another disk, or one of another size: none of its points is a point of this one', async (t) => {
  const m = new PointMachine(blankImages(), always());
  await twoPoints(m);
  const points = await after(m).open({ disk: 'another' });
  t.same(
    points.points.map((p) => p.state),
    ['lost', 'lost'],
  );
  t.match(points.points[0]?.trouble, /of another disk/);
});

t.test('a catalogue that is damaged in both places: said, and begun anew; in one place: nothing is lost', async (t) => {
  const m = new PointMachine(blankImages(), always());
  await twoPoints(m);
  const images = m.afterLoss(() => 0);
  const half = Buffer.from(images.catalogue);
  // The older slot is that of the other one's place.
  half.fill(0xff, 0, 10);
  const one = new PointMachine({ ...images, catalogue: half }, always());
  const survived = await one.open();
  t.ok(survived.points.length >= 1, 'one slot is enough to know of points');
  images.catalogue.fill(0xff, 0, 10);
  images.catalogue.fill(0xff, 65_536, 65_546);
  const both = new PointMachine(images, always());
  t.same((await both.open()).points, []);
  t.match(both.told, [/damaged in both places/]);
  t.same([...both.files.keys()], []);
});

t.test('no room: the oldest scheduled point goes first, then the oldest; the newest last, and the write goes on', async (t) => {
  const m = new PointMachine(blankImages(), always());
  await twoPoints(m, ['operator', 'scheduled']);
  const m2 = after(m);
  const used = 2 * (4 * (GRAIN_BYTES + 0) + 20 * PAGE_BYTES);
  const points = await m2.open({ maximumBytes: used });
  await take(points, idOf(3), 'three');
  await points.write(0, fill(0x33));
  t.ok((await points.read(0, DISK_BYTES)).equals(fill(0x33)));
  t.match(m2.told[0], /'two' was dropped: there was no room/);
  for (const p of points.points.filter((x) => x.state === 'kept' && x.trouble === ''))
    t.ok((await contentOf(points, p.id)).equals(p.name === 'one' ? fill(0xee) : fill(0x22)), `${p.name} is right`);
  const tight = new PointMachine(blankImages(), always());
  const few = await tight.open({ maximumBytes: GRAIN_BYTES });
  await take(few, idOf(1), 'one');
  await few.write(0, fill(0x44));
  t.ok((await few.read(0, DISK_BYTES)).equals(fill(0x44)));
  t.match(tight.told, [/Restore points one were given up: there was no room/]);
  t.equal(few.points[0]?.state, 'lost');
  const again = after(tight);
  t.match((await again.open()).points[0]?.trouble, /no room/, 'also after a loss of power');
});

t.test('a file system that is full, files that fail or hang: the points are given up, durably, before the overwrite', async (t) => {
  const broken: [string, (store: BlockStore) => Partial<BlockStore>, RegExp][] = [
    ['full', () => ({ write: () => Promise.reject(new StoreError('noSpace', 'write', 0, 'no space left', 'ENOSPC')) }), /no space left/],
    ['flush fails', () => ({ flush: () => Promise.reject(new StoreError('io', 'flush', 0, 'flush failed')) }), /flush failed/],
    ['hangs', () => ({ flush: () => new Promise(() => {}) }), /could not be kept within/],
  ];
  for (const [name, change, reason] of broken) {
    const m = new PointMachine(blankImages(), always());
    let isBroken = false;
    m.around = (store, what) =>
      what === 'disk'
        ? store
        : changed(store, {
            write: (o, ...p) => (isBroken ? (change(store).write?.(o, ...p) ?? store.write(o, ...p)) : store.write(o, ...p)),
            flush: () => (isBroken ? (change(store).flush?.() ?? store.flush()) : store.flush()),
          });
    const points = await m.open({ saveWithinMs: 30 });
    await take(points, idOf(1), 'one');
    isBroken = true;
    await points.write(0, fill(0x77));
    t.ok((await points.read(0, DISK_BYTES)).equals(fill(0x77)), name);
    await t.rejects(contentOf(points, idOf(1)), /cannot be used|not there any more/);
    const found = await after(m).open();
    t.equal(found.points[0]?.state, 'lost', name);
    t.match(found.points[0]?.trouble, reason, name);
  }
});

t.test('a place of the points that hangs: the disk is closed all the same, and what hangs is not opened again', async (t) => {
  const m = new PointMachine(blankImages(), always());
  const hung = Promise.withResolvers<void>();
  let hangs = false;
  let closed = false;
  const closing = async (): Promise<void> => {
    closed = true;
  };
  m.around = (store, what) =>
    changed(store, what === 'disk' ? { close: closing } : { close: async () => await (hangs ? hung.promise : store.close()) });
  const points = await m.open({ closeWithinMs: 30 });
  for (const n of [21, 22]) await take(points, idOf(n), `point${n}`);
  const before = stuckRequests();
  hangs = true;
  m.hung = hung.promise;
  const removing = points.remove(idOf(21));
  await points.close();
  t.ok(closed);
  t.equal(stuckRequests() - before, 2, 'the removal, and the file that is left');
  m.hung = Promise.resolve();
  const again = await m.open();
  t.throws(() => again.chainOf(idOf(22)), /'point22' is not available: .*still does not answer/);
  hung.resolve();
  await removing.catch(() => undefined);
  while (stuckRequests() > before) await new Promise((resolve) => setImmediate(resolve));
});

t.test(
  'a block of the disk that cannot be read when it is overwritten: that point cannot be read there, and is said to be in trouble',
  async (t) => {
    const m = new PointMachine(blankImages(), always());
    m.around = (store, what) =>
      what === 'disk'
        ? changed(store, {
            read: (o, l) => (o === GRAIN_BYTES ? Promise.reject(new StoreError('io', 'read', o, 'a bad block')) : store.read(o, l)),
          })
        : store;
    const points = await m.open();
    await take(points, idOf(1), 'one');
    await points.write(0, fill(5, 2 * GRAIN_BYTES));
    await t.rejects(contentOf(points, idOf(1)), /could not be read from the disk when they were overwritten/);
    t.match(points.points[0]?.trouble, /could not be read/);
  },
);

t.test('names, limits and what is in use are refused by name', async (t) => {
  const m = new PointMachine(blankImages(), always());
  const points = await twoPoints(m);
  await t.rejects(points.begin({ id: idOf(9), name: 'one', kind: 'operator', takenAt: 1 }), /there is a restore point 'one' already/);
  const end = points.use(idOf(1));
  await t.rejects(points.remove(idOf(1)), /'one' is being read: end that first/);
  end();
  await points.remove(idOf(1));
  await t.rejects(points.remove(idOf(1)), /no such restore point/);
  await t.rejects(points.cut(idOf(7), 10), /given up/);
});

t.test('a cut that finds no end of the writes under way is given up, and they go on', async (t) => {
  const m = new PointMachine(blankImages(), always());
  let release = (): void => {};
  m.around = (store, what) =>
    what === 'disk'
      ? changed(store, {
          write: async (o, ...p) => {
            await new Promise<void>((resolve) => {
              release = resolve;
            });
            await store.write(o, ...p);
          },
        })
      : store;
  const points = await m.open();
  const writing = points.write(0, fill(1, 512));
  await points.begin({ id: idOf(1), name: 'one', kind: 'operator', takenAt: 1 });
  await t.rejects(points.cut(idOf(1), 20), /did not end within 20 ms/);
  await points.dropCutting(idOf(1));
  release();
  await writing;
  t.same(points.points, []);
});

t.test('codecs refuse what they did not write', async (t) => {
  const c = {
    disk: 'd',
    sizeBytes: 5,
    points: [{ id: idOf(1), name: 'a-b', kind: 'operator' as const, takenAt: 3, state: 'kept' as const, trouble: '', batches: null }],
    rollingBack: null,
  };
  const slot = encodeCatalogue(c, 7n);
  t.same(decodeCatalogue(slot), { catalogue: c, counter: 7n });
  for (const at of [0, 9, 17, 21, 30]) {
    const bad = Buffer.from(slot);
    bad.writeUInt8(bad.readUInt8(at) ^ 1, at);
    t.equal(decodeCatalogue(bad), null, `byte ${at}`);
  }
  t.equal(
    decodeCatalogue(encodeCatalogue({ ...c, points: [{ ...c.points[0], name: '../x' } as never] }, 1n)),
    null,
    'a name that is a path',
  );
  const page = encodeBatchPage(idOf(1), { sequence: 4, entries: [{ grain: 9, kind: 'data', crc: 1, lengthBytes: GRAIN_BYTES }] });
  t.equal(decodeBatchPage(page, idOf(1))?.sequence, 4);
  t.equal(decodeBatchPage(page, idOf(2)), null, "another file's");
  page.writeUInt8(1, 100);
  t.equal(decodeBatchPage(page, idOf(1)), null);
  const step = { step: 'cut' as const, id: idOf(3) };
  t.same(decodeCutStep(encodeCutStep(step)), step);
  for (const bad of ['', '{}', '{"step":"cut","id":"../../etc"}', '{"step":"begin","point":{"name":"x/y"}}', '[1]', 'null'])
    t.throws(() => decodeCutStep(Buffer.from(bad)), /do both CoServers run the same version/);
  t.throws(() => decodePointList(Buffer.from('[{"id":1}]')), /cannot be read/);
});
