import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { UpdateRefusal } from '../../../../appliance/update/bundle.ts';
import { seededDice } from '../../../../hwqual/lab/power-loss.ts';
import { bundle, copyOf, folderFor, Machine, manifestOf, SLOT_BYTES, stream, version } from './machine.ts';
import { Power, PowerCut } from './volatile-disk.ts';

// Hundreds of updates, each with what it keeps flushed.
t.setTimeout(300_000);

const OLD = version('1.0.0');
const NEW = version('1.1.0', 50_001, 7_001);
const OLDER = version('0.9.0');

t.test('an update: received, started on trial, found healthy; the old version stays to go back to', async (t) => {
  const m = Machine.make([OLD, OLDER], folderFor(t));
  const steps: number[] = [];
  await m.store().receive(stream(bundle(NEW)), { onProgress: (done, total) => steps.push(done / total) });
  t.equal(steps.at(-1), 1);
  t.strictSame(await m.files(), ['twinstep_1.0.0.efi', 'twinstep_1.1.0.efi.new'], 'the loader does not see it yet');
  t.match(await m.store().status(), { version: '1.0.0', received: '1.1.0', next: '1.0.0', other: null, trial: null });
  t.equal(await m.store().activate(), '1.1.0');
  t.strictSame(await m.files(), ['twinstep_1.0.0.efi', 'twinstep_1.1.0+3.efi']);
  t.equal(await m.store().activate(), '1.1.0', 'asked twice');
  t.equal(await m.store().news(), null, 'nothing is decided yet');

  t.equal(await m.start(), 1);
  t.strictSame(m.running, { version: '1.1.0', slot: 'b' });
  t.match(await m.store().status(), { version: '1.1.0', slot: 'b', trial: { triesLeft: 2 }, other: { version: '1.0.0', isUsable: true } });
  t.equal(await m.store().news(), null);
  t.ok((await m.program('twinstep_1.1.0+2-1.efi')).equals(NEW.program));
  await t.rejects(
    m.store().receive(stream(bundle(version('1.2.0')))),
    { kind: 'onTrial', message: /being tried/ },
    'what it would go back to is not overwritten',
  );
  t.equal(await m.store().markHealthy(), true);
  t.equal(await m.store().markHealthy(), false);
  t.strictSame(await m.files(), ['twinstep_1.0.0.efi', 'twinstep_1.1.0.efi']);
  t.match(await m.store().news(), { severity: 'info', text: /1\.1\.0 runs and was found healthy; before it ran 1\.0\.0/ });
  t.equal(await m.store().news(), null, 'told once');

  await m.store().receive(stream(bundle(version('1.2.0'))));
  await m.store().activate();
  await m.start();
  t.strictSame(m.running, { version: '1.2.0', slot: 'a' }, 'the next one goes to the other slot');
});

t.test('a version that never becomes healthy is left after three starts, and the news says so', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  await m.store().receive(stream(bundle(NEW)));
  await m.store().activate();
  for (const _ of [1, 2, 3]) {
    await m.start();
    t.equal(m.running.version, '1.1.0');
  }
  await m.start();
  t.strictSame(m.running, { version: '1.0.0', slot: 'a' });
  t.match(await m.store().status(), { next: '1.0.0', other: { version: '1.1.0', isUsable: false, text: /3 times/ } });
  t.match(await m.store().news(), {
    severity: 'warning',
    text: 'Version 1.1.0 was given up: it was tried 3 times and did not become healthy. This CoServer is back on 1.0.0.',
  });
  await t.rejects(m.store().rollback(), { kind: 'nothing', message: /1\.1\.0 is not taken.*--force/ });
  t.equal(await m.store().rollback({ force: true }), '1.1.0');
  await m.start();
  t.equal(m.running.version, '1.1.0');
});

t.test('a slot that is damaged after it was received: the initrd marks it, and the news says that', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  await m.store().receive(stream(bundle(NEW)));
  await m.store().activate();
  await m.slots.b.store().write(100, Buffer.from('x'));
  t.equal(await m.start(), 2);
  t.equal(m.running.version, '1.0.0');
  t.match(await m.store().news(), { severity: 'warning', text: /1\.1\.0 was given up: its slot could not be read/ });
});

t.test('going back: the older version starts, and is kept although the newer one is there', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  await m.store().receive(stream(bundle(NEW)));
  await m.store().activate();
  await m.start();
  await m.store().markHealthy();
  t.equal(await m.store().rollback(), '1.0.0');
  t.equal(await m.store().markHealthy(), false, 'a mark of health does not undo the wish');
  for (const _ of [1, 2]) {
    await m.start();
    t.equal(m.running.version, '1.0.0');
  }
  t.match(await m.store().news(), { severity: 'info', text: /1\.0\.0 runs/ });
});

t.test('an update that is installed after all, instead of going back: if it fails, the running version is what is left', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  await m.store().receive(stream(bundle(NEW)));
  await m.store().activate();
  await m.start();
  await m.store().markHealthy();
  await m.store().rollback();
  t.match(await m.store().status(), { next: '1.0.0' });
  await m.store().receive(stream(bundle(version('1.2.0'))));
  t.match(await m.store().status(), { next: '1.1.0', received: '1.2.0' }, 'where it would have gone back to is overwritten');
  await m.store().activate();
  for (const _ of [1, 2, 3]) {
    await m.start();
    t.equal(m.running.version, '1.2.0');
  }
  await m.start();
  t.equal(m.running.version, '1.1.0');
});

t.test('giving up a trial: the older version starts', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  await m.store().receive(stream(bundle(NEW)));
  await m.store().activate();
  for (const _ of [1, 2, 3]) await m.start();
  t.match(await m.files(), ['twinstep_1.0.0.efi', 'twinstep_1.1.0+0-3.efi']);
  await m.store().rollback();
  t.equal(await m.store().markHealthy(), false);
  await m.start();
  t.equal(m.running.version, '1.0.0');
});

t.test('a downgrade is refused unless it is forced; one that fails leads back to the newer version', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  await t.rejects(m.store().receive(stream(bundle(OLDER))), { kind: 'downgrade', message: /0\.9\.0 is older than 1\.0\.0.*--force/ });
  await m.store().receive(stream(bundle(OLDER)), { force: true });
  t.equal(await m.store().activate(), '0.9.0');
  for (const _ of [1, 2, 3]) {
    await m.start();
    t.equal(m.running.version, '0.9.0');
  }
  await m.start();
  t.equal(m.running.version, '1.0.0');
  t.equal(await m.store().markHealthy(), true, 'it was counted when it was started again');
  t.match(await m.store().status(), { next: '1.0.0' });
});

t.test('a downgrade on trial is given up by hand: the newer version starts again, and is on trial until it is healthy', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  await m.store().receive(stream(bundle(OLDER)), { force: true });
  await m.store().activate();
  await m.start();
  t.match(await m.files(), ['twinstep_0.9.0+2-1.efi', 'twinstep_1.0.0+0.efi']);
  t.equal(await m.store().rollback(), '1.0.0');
  await m.start();
  t.equal(m.running.version, '1.0.0');
  t.equal(await m.store().markHealthy(), true);
});

t.test('what is wrong with an update is said by name, and the running version stays', async (t) => {
  const m = Machine.make([OLD, OLDER], folderFor(t));
  const before = await m.files();
  const good = bundle(NEW);
  const changed = (at: number, data = good) => {
    const copy = Buffer.from(data);
    copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
    return copy;
  };
  const head = good.length - NEW.slot.length - NEW.program.length;
  const refused = async (data: Buffer, kind: string, message: RegExp) => {
    await t.rejects(m.store().receive(stream(data)), { name: 'UpdateRefusal', kind, message }, `${kind}: ${message}`);
    t.equal((await m.store().status()).next, '1.0.0');
  };
  // Before anything is written.
  await refused(Buffer.alloc(5000, 'PK'), 'notAnUpdate', /no update of Twinstep/);
  await refused(Buffer.alloc(0), 'truncated', /after 0 bytes, in the middle of its header.*Send it again/);
  await refused(changed(8), 'format', /format 0/);
  await refused(changed(14), 'manifest', /65\d\d\d bytes/);
  await refused(changed(30), 'signature', /not signed by a key/);
  await refused(changed(head - 1), 'signature', /not signed by a key/);
  await refused(bundle(NEW, { key: generateKeyPairSync('ed25519').privateKey }), 'signature', /not signed by a key/);
  await refused(bundle(OLD), 'same', /1\.0\.0 runs here already/);
  await refused(bundle(NEW, { manifest: manifestOf(NEW, { minimumFrom: '1.0.1' }) }), 'tooOld', /install 1\.0\.1 first/);
  await refused(bundle(version('1.1.0', SLOT_BYTES + 1)), 'tooLarge', /a slot of this disk has 262144/);
  await refused(good.subarray(0, head + 100), 'truncated', /in the middle of its program/);
  await refused(changed(head + 100), 'hash', /program is not what was signed/);
  t.strictSame(await m.files(), before, 'until here also the version before is still there');
  t.ok(m.slots.b.read(0, OLDER.slot.length).equals(OLDER.slot));
  // From here on the other slot is lost.
  await refused(good.subarray(0, good.length - 1), 'truncated', /in the middle of its slot/);
  t.strictSame(await m.files(), ['twinstep_1.0.0.efi']);
  await refused(changed(good.length - 1), 'hash', /slot is not what was signed/);
  await refused(Buffer.concat([good, Buffer.alloc(1)]), 'tooLong', /goes on after/);
  await t.rejects(m.store().activate(), { kind: 'nothing', message: /No update waits/ });
  await m.store().receive(stream(good));
  t.equal(await m.store().activate(), '1.1.0');
});

t.test('an image without keys takes nothing; a sender that breaks off, and a second update at a time', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  await t.rejects(m.store({ ...m.place, keys: [] }).receive(stream(bundle(NEW))), { kind: 'noKeys', message: /--update-key/ });
  const broken = async function* () {
    yield* stream(bundle(NEW).subarray(0, 20_000));
    throw new Error('the connection broke');
  };
  await t.rejects(m.store().receive(broken()), { message: 'the connection broke' });
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = async function* () {
    await promise;
    yield* stream(bundle(NEW));
  };
  const first = m.store().receive(slow());
  await t.rejects(m.store().receive(stream(bundle(NEW))), { kind: 'busy', message: /Another update is going on/ });
  resolve();
  t.equal((await first).version, '1.1.0');
  writeFileSync(m.place.lockFile, '1 1');
  t.equal(await m.store().activate(), '1.1.0', 'a lock that an ended process left counts no more');
});

t.test('a disk that does not give back what was written is named', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  const bad = m.slots.b.store();
  const store = m.slots.b.store.bind(m.slots.b);
  m.slots.b.store = (power) => ({ ...store(power), read: async (offset, length) => (await bad.read(offset, length)).fill(1, 0, 1) });
  await t.rejects(m.store().receive(stream(bundle(NEW))), { kind: 'disk', message: /does not give back the slot/ });
  t.strictSame(await m.files(), ['twinstep_1.0.0.efi']);
});

t.test(
  'the power fails after each single write and flush of an update: a good version starts, and the update can be done again',
  async (t) => {
    const folder = folderFor(t);
    const fresh = Machine.make([OLD, OLDER], folder);
    const update = async (m: Machine) => {
      // Hundreds of them: at a disk's pace that is seconds.
      await m.store().receive(stream(bundle(NEW)), { pace: async () => {} });
      await m.store().activate();
    };
    const counting = copyOf(fresh);
    await update(counting);
    const operations = counting.power.done;
    t.ok(operations >= 18, `${operations} operations`);
    const ends = new Set<string>();
    let lost = 0;
    for (let cut = 0; cut <= operations; cut++)
      for (const seed of [1, 2, 3, 4]) {
        const m = copyOf(fresh);
        m.power = new Power(cut);
        const error = await update(m).then(
          () => null,
          (e: unknown) => e,
        );
        if (error !== null && !(error instanceof PowerCut)) throw error;
        const dice = seededDice(cut * 100 + seed);
        for (const disk of [m.esp, m.slots.a, m.slots.b]) disk.loseUnflushed(dice);
        const starts = await m.start();
        if (starts !== 1) lost += 1;
        ends.add(m.running.version);
        if (cut < operations && m.running.version === '0.9.0') t.fail(`cut ${cut}: the version before the running one was started`);
        if (m.running.version === '1.0.0') {
          await update(m);
          await m.start();
        }
        if (m.running.version !== '1.1.0') t.fail(`cut ${cut}, seed ${seed}: ${m.running.version} runs`);
        if (!(await m.program((await m.files()).find((f) => f.includes('1.1.0')) ?? '')).equals(NEW.program))
          t.fail('the program is another one');
      }
    t.equal(lost, 0, 'what the loader took first was whole each time');
    t.strictSame([...ends].sort(), ['1.0.0', '1.1.0']);
  },
);

t.test('the power fails after each write of going back and of the mark of health', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  await m.store().receive(stream(bundle(NEW)));
  await m.store().activate();
  await m.start();
  for (const work of [(s: Machine) => s.store().markHealthy(), (s: Machine) => s.store().rollback()]) {
    const counting = copyOf(m);
    await work(counting);
    for (let cut = 0; cut <= counting.power.done; cut++)
      for (const seed of [1, 2, 3]) {
        const one = copyOf(m);
        one.power = new Power(cut);
        await work(one).catch((e: unknown) => {
          if (!(e instanceof PowerCut) && !(e instanceof UpdateRefusal)) throw e;
        });
        one.esp.loseUnflushed(seededDice(cut * 10 + seed));
        t.equal(await one.start(), 1);
      }
  }
});
