import fc from 'fast-check';
import t from 'tap';
import { bootName, bootOrder, parseBootName } from '../../../../appliance/update/boot-names.ts';
import { UpdateRefusal } from '../../../../appliance/update/bundle.ts';
import { Esp } from '../../../../appliance/update/esp.ts';
import { decodeDirectory, decodeGeometry, encodeFile } from '../../../../appliance/update/fat-codec.ts';
import { RECORD_BYTES } from '../../../../appliance/update/fat-records.ts';
import { fatFileSystem } from '../../../../image/disk/fat.ts';
import { ESP_BYTES } from './machine.ts';
import { Power, VolatileDisk } from './volatile-disk.ts';

const FILES = [
  { path: 'EFI/BOOT/BOOTX64.EFI', data: Buffer.alloc(5000, 'b') },
  { path: 'loader/loader.conf', data: Buffer.from('timeout 0\n') },
  { path: 'EFI/Linux/twinstep_1.0.0.efi', data: Buffer.alloc(70_000, 'one') },
];
const disk = () => new VolatileDisk(ESP_BYTES, fatFileSystem(FILES, ESP_BYTES, { volumeId: 1, label: 'TWINSTEP' }));

async function content(esp: Esp, name: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of esp.read(name)) parts.push(part);
  return Buffer.concat(parts);
}

async function add(esp: Esp, name: string, data: Buffer): Promise<void> {
  const file = await esp.create(name, data.length);
  await file.write(data);
  await file.commit();
}

t.test('what the image made is read, and files come, go and change their names, as in a folder', async () => {
  const NAMES = [
    'twinstep_1.0.0.efi',
    'twinstep_1.1.0+3.efi',
    'twinstep_1.1.0+2-1.efi',
    'twinstep_2.0.0.efi.new',
    'A.EFI',
    `${'long-'.repeat(20)}.efi`,
  ];
  const name = fc.constantFrom(...NAMES);
  const action = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), name, bytes: fc.integer({ min: 0, max: 9000 }) }),
    fc.record({ kind: fc.constant('remove' as const), name }),
    fc.record({ kind: fc.constant('rename' as const), name, to: name }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
      const d = disk();
      const model = new Map<string, Buffer>([['twinstep_1.0.0.efi', Buffer.alloc(70_000, 'one')]]);
      let esp = await Esp.open(d.store());
      for (const [i, a] of actions.entries()) {
        if (a.kind === 'add' && !model.has(a.name)) {
          const data = Buffer.alloc(a.bytes, `${i} `);
          await add(esp, a.name, data);
          model.set(a.name, data);
        } else if (a.kind === 'remove' && model.has(a.name)) {
          await esp.remove(a.name);
          model.delete(a.name);
        } else if (a.kind === 'rename' && model.has(a.name)) {
          await esp.rename(a.name, a.to);
          const data = model.get(a.name) ?? Buffer.alloc(0);
          model.delete(a.name);
          model.set(a.to, data);
        }
        if (i % 7 === 0) esp = await Esp.open(d.store());
      }
      const names = (await esp.list()).sort();
      if (names.join() !== [...model.keys()].sort().join()) throw new Error(`${names} instead of ${[...model.keys()]}`);
      for (const [n, data] of model) if (!(await content(esp, n)).equals(data)) throw new Error(`${n} has another content`);
      const loader = d.read(0, 512);
      if (decodeGeometry(loader, ESP_BYTES).units < 65_525) throw new Error('the boot sector is another one');
    }),
    { numRuns: 200 },
  );
});

t.test('a new name that another file has takes its place', async (t) => {
  const d = disk();
  const esp = await Esp.open(d.store());
  await add(esp, 'twinstep_1.1.0+0-3.efi', Buffer.from('two'));
  await esp.rename('twinstep_1.1.0+0-3.efi', 'twinstep_1.0.0.efi');
  t.strictSame(await esp.list(), ['twinstep_1.0.0.efi']);
  t.equal((await content(esp, 'twinstep_1.0.0.efi')).toString(), 'two');
});

t.test('the power fails at any write: each name is there as before or as after, with all of its content', async (t) => {
  const base = disk();
  await add(await Esp.open(base.store()), 'twinstep_1.1.0+3.efi', Buffer.alloc(9_000, 'two'));
  const works: [string, (esp: Esp) => Promise<void>][] = [
    ['renamed', (esp) => esp.rename('twinstep_1.1.0+3.efi', 'twinstep_1.1.0.efi')],
    [
      'renamed to a name with more records',
      (esp) => esp.rename('twinstep_1.1.0+3.efi', `twinstep_1.1.0+${'3'.repeat(9)}-${'1'.repeat(9)}.efi`),
    ],
    ['removed', (esp) => esp.remove('twinstep_1.1.0+3.efi')],
    ['added', (esp) => add(esp, 'twinstep_1.2.0.efi.new', Buffer.alloc(20_000, 'three'))],
  ];
  for (const [what, work] of works) {
    const after = base.copy();
    const counting = new Power();
    await work(await Esp.open(after.store(counting)));
    const outcomes = [await state(base), await state(after)];
    const seen = new Set<string>();
    for (let cut = 0; cut <= counting.done; cut++)
      for (let seed = 0; seed < 8; seed++) {
        const d = base.copy();
        await Esp.open(d.store(new Power(cut)))
          .then(work)
          .catch(() => undefined);
        let dice = seed;
        d.loseUnflushed((below) => (dice++ * 7 + seed) % below);
        const now = await state(d);
        seen.add(now);
        if (!outcomes.includes(now)) t.fail(`${what}, cut ${cut}: ${now}`);
        // And it can be gone on with.
        await add(await Esp.open(d.store()), 'twinstep_9.0.0.efi', Buffer.alloc(100));
      }
    t.equal(seen.size, 2, `${what}: before and after were both seen, and nothing else`);
  }
});

async function state(d: VolatileDisk): Promise<string> {
  const esp = await Esp.open(d.store());
  const lines: string[] = [];
  for (const name of await esp.list())
    lines.push(
      `${name} ${(await content(esp, name))
        .toString('latin1')
        .replace(/(.)\1+/g, '$1')
        .slice(0, 9)}`,
    );
  return lines.sort().join('; ');
}

t.test('units that an interruption lost are used again', async (t) => {
  const d = disk();
  const free = async () => {
    const esp = await Esp.open(d.store());
    for (let mib = 150; mib > 0; mib--)
      try {
        await esp.create('x', mib << 20);
        return mib;
      } catch (e) {
        if (!(e instanceof UpdateRefusal)) throw e;
      }
    return 0;
  };
  const before = await free();
  for (let i = 0; i < 4; i++) {
    // The tables are written, the name is not.
    const esp = await Esp.open(d.store(new Power(7)));
    await t.rejects(add(esp, 'twinstep_2.0.0.efi', Buffer.alloc(40 << 20)));
  }
  t.equal(await free(), before);
});

t.test('a name across two sectors, as firmware may leave it, is moved without ever being gone', async (t) => {
  const d = disk();
  let esp = await Esp.open(d.store());
  // 2 (. and ..) + 3 + 3 * 3 = 14: firmware puts the next three records into 14, 15 and, in the next sector, 16.
  for (const n of ['a', 'b', 'c']) await add(esp, `twinstep_${n}-long.efi`, Buffer.from(n));
  const sector = folderOffset(d);
  const folder = d.read(sector, 2048);
  t.equal(decodeDirectory(folder).end, 14);
  await esp.remove('twinstep_c-long.efi');
  const unit = decodeDirectory(folder).entries.find((e) => e.name.includes('1.0.0'))?.firstUnit ?? 0;
  const gone = decodeDirectory(folder).entries.find((e) => e.name.includes('1.0.0'));
  const store = d.store();
  for (let i = gone?.from ?? 0; i < (gone?.to ?? 0); i++) await store.write(sector + i * RECORD_BYTES, Buffer.from([0xe5]));
  await store.write(sector + 14 * RECORD_BYTES, encodeFile('twinstep_1.0.0+3.efi', 'FIRMWAREEFI', unit, 70_000));
  await store.flush();
  esp = await Esp.open(d.store());
  t.ok((await esp.list()).includes('twinstep_1.0.0+3.efi'));
  const counting = new Power();
  await (await Esp.open(d.copy().store(counting))).rename('twinstep_1.0.0+3.efi', 'twinstep_1.0.0.efi');
  for (let cut = 0; cut <= counting.done; cut++)
    for (const seed of [0, 1, 2]) {
      const one = d.copy();
      await Esp.open(one.store(new Power(cut)))
        .then((e) => e.rename('twinstep_1.0.0+3.efi', 'twinstep_1.0.0.efi'))
        .catch(() => undefined);
      one.loseUnflushed((below) => seed % below);
      const after = await Esp.open(one.store());
      const names = (await after.list()).filter((n) => n.startsWith('twinstep_1.0.0'));
      t.ok(names.length >= 1, `cut ${cut}: ${names}`);
      for (const n of names) t.ok((await content(after, n)).equals(Buffer.alloc(70_000, 'one')), n);
    }
});

/** Of EFI/Linux on `disk()`. */
function folderOffset(d: VolatileDisk): number {
  const g = decodeGeometry(d.read(0, 512), ESP_BYTES);
  const folder = (unit: number) => d.read(g.dataOffset + (unit - 2) * g.unitBytes, g.unitBytes);
  const child = (unit: number, name: string) => decodeDirectory(folder(unit)).entries.find((e) => e.name === name)?.firstUnit ?? 0;
  return g.dataOffset + (child(child(g.rootUnit, 'EFI'), 'Linux') - 2) * g.unitBytes;
}

t.test('what is no file system of ours is said, and left alone', async (t) => {
  const power = new Power();
  for (const [at, bytes, message] of [
    [510, '0000', /no FAT file system/],
    [11, '0010', /sectors have 4096 bytes/],
    [13, '03', /not FAT32/],
    [40, '80', /not copies/],
    [32, 'ffffffff', /contradict/],
    [44, '00000000', /no root directory/],
  ] as const) {
    const d = disk();
    await d.store().write(at, Buffer.from(bytes, 'hex'));
    await t.rejects(Esp.open(d.store(power)), { kind: 'disk', message });
  }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(), async (bytes, where) => {
      // Nonsense in a directory or an allocation table: an error or an answer, and never a hang.
      const d = disk();
      const g = decodeGeometry(d.read(0, 512), ESP_BYTES);
      const table = g.tables[0] ?? 0;
      await d.store().write(where % 2 === 0 ? table + (where % 600) : g.dataOffset + (where % 8192), bytes);
      const work = async () => {
        const esp = await Esp.open(d.store());
        for (const n of await esp.list()) await content(esp, n);
        await add(esp, 'twinstep_2.0.0.efi', Buffer.alloc(5000));
      };
      await work().catch((e: unknown) => {
        if (!(e instanceof UpdateRefusal) && !/there is a file/.test(String(e))) throw e;
      });
    }),
    { numRuns: 200 },
  );
});

t.test('names: how much a version is trusted, and what the loader takes first', async (t) => {
  for (const name of [
    'twinstep_1.2.3.efi',
    'twinstep_1.2.3+3.efi',
    'twinstep_1.2.3+0-3.efi',
    'twinstep_1.2.3+0.efi',
    'twinstep_1.2.3.efi.new',
  ]) {
    const file = parseBootName(name);
    t.equal(file && bootName(file), name);
  }
  for (const name of ['twinstep_1.2.efi', 'twinstep_1.2.3+.efi', 'twinstep_1.2.3-1.efi', 'other_1.2.3.efi', 'twinstep_1.2.3.efi.old'])
    t.equal(parseBootName(name), null, name);
  t.match(parseBootName('TWINSTEP_1.2.3+2-1.EFI'), { version: '1.2.3', count: { left: 2, done: 1 } });
  const order = (names: string[]) => bootOrder(names.flatMap((n) => parseBootName(n) ?? [])).map(bootName);
  t.strictSame(
    order([
      'twinstep_3.0.0+0-3.efi',
      'twinstep_1.0.0.efi',
      'twinstep_2.0.0+1-2.efi',
      'twinstep_9.0.0.efi.new',
      'twinstep_4.0.0+0.efi',
      'twinstep_1.10.0.efi',
    ]),
    ['twinstep_2.0.0+1-2.efi', 'twinstep_1.10.0.efi', 'twinstep_1.0.0.efi', 'twinstep_4.0.0+0.efi', 'twinstep_3.0.0+0-3.efi'],
  );
});
