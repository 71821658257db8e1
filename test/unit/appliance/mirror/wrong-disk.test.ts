// Disks and records that are not what they should be: refused by name with nothing written, or taken and compared as a whole.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import t from 'tap';
import { METADATA_PAGE_BYTES } from '../../../../appliance/mirror/metadata-codec.ts';
import { MirrorPair, type Side } from './mirror-pair.ts';

// Most of it is the disk's time.
t.setTimeout(120_000);

const MIB = 1024 * 1024;
const SIZE_BYTES = 16 * MIB;
/** Of a journal's segment, which is large and sparse: all that these tests write to it. */
const HEAD_BYTES = 128 * 1024;

/** A pair that was duplex, its copies equal, both closed. */
async function known(t: { teardown(f: () => unknown): unknown }, sizeBytes = SIZE_BYTES): Promise<MirrorPair> {
  const pair = new MirrorPair({ sizeBytes });
  t.teardown(() => pair.end());
  writeFileSync(pair.a.setup.diskPath, randomBytes(sizeBytes));
  await pair.equalise();
  for (const side of [pair.b, pair.a]) await side.mirror.call('close', {});
  return pair;
}

const recordOf = (side: Side): string => `${side.setup.journalPath}.regions`;

function head(path: string): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES);
  const fd = openSync(path, 'r');
  const length = readSync(fd, bytes);
  closeSync(fd);
  return bytes.subarray(0, length);
}

/** Everything that must not change when a disk is refused. */
function written(side: Side): Buffer[] {
  return [side.disk(), readFileSync(recordOf(side)), head(`${side.setup.journalPath}.0`)];
}

async function refused(
  t: { rejects(p: Promise<unknown>, m: RegExp, why: string): unknown; same(a: unknown, b: unknown, m: string): unknown },
  side: Side,
  use: { serves: boolean },
  reason: RegExp,
): Promise<void> {
  const before = written(side);
  await t.rejects(side.mirror.call('open', use), reason, `${reason}, serves ${use.serves}`);
  t.same(
    written(side).map((b, i) => before[i]?.equals(b)),
    [true, true, true],
    'nothing was written',
  );
}

/** It is replaced under its name. */
function replaceDisk(side: Side, content: Buffer): void {
  const path = side.setup.diskPath;
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}

/** The copy here is made equal to the partner's; answers why what was compared. */
async function follow(source: Side, target: Side): Promise<string> {
  await source.mirror.call('open', { serves: true });
  await source.mirror.call('serveSolo', {});
  await target.mirror.call('startTarget', {});
  await source.mirror.call('startSource', {});
  return (await source.mirror.call('resync', {})).why;
}

t.test('a disk whose record is that of another pair', async (t) => {
  const [mine, theirs] = [await known(t), await known(t)];
  copyFileSync(recordOf(theirs.b), recordOf(mine.b));
  replaceDisk(mine.b, theirs.b.disk());
  for (const serves of [false, true]) await refused(t, mine.b, { serves }, /disk-B belongs to another pair.*Nothing was written.*adopt it/);
  await t.rejects(mine.b.mirror.call('startTarget', {}), /another pair/);
  await t.rejects(mine.b.mirror.call('serveSolo', {}), /another pair/);
  await mine.b.mirror.call('adopt', {});
  t.match(await follow(mine.a, mine.b), /whole disk/);
  t.ok(mine.a.disk().equals(mine.b.disk()));
});

t.test('a pair that has changed its key is still the same pair', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB, pairId: '00112233445566778899aabbccddeeff' });
  t.teardown(() => pair.end());
  await pair.equalise();
  await pair.a.mirror.call('close', {});
  const rekeyed = new MirrorPair({ sizeBytes: MIB, pairId: '00112233445566778899aabbccddeeff' });
  t.teardown(() => rekeyed.end());
  rmSync(rekeyed.a.setup.diskPath, { force: true });
  copyFileSync(recordOf(pair.a), recordOf(rekeyed.a));
  renameSync(pair.a.setup.diskPath, rekeyed.a.setup.diskPath);
  t.match(await rekeyed.a.mirror.call('open', { serves: true }), { notes: [] });
  writeFileSync(pair.a.setup.diskPath, '');
});

t.test('a disk that was replaced: a blank one is made whole without a question, one with something on it is not touched', async (t) => {
  const pair = await known(t);
  replaceDisk(pair.b, Buffer.alloc(SIZE_BYTES));
  t.match(await follow(pair.a, pair.b), /whole disk/);
  t.ok(pair.a.disk().equals(pair.b.disk()));
  for (const side of [pair.b, pair.a]) await side.mirror.call('close', {});
  for (const at of [0, SIZE_BYTES - 1]) {
    const content = Buffer.alloc(SIZE_BYTES);
    content[at] = 1;
    replaceDisk(pair.b, content);
    await refused(t, pair.b, { serves: false }, /disk-B is not blank, and is not the one that was here/);
  }
  await pair.b.mirror.call('adopt', {});
  t.match(await follow(pair.a, pair.b), /whole disk/);
  t.ok(pair.a.disk().equals(pair.b.disk()));
});

t.test('the journal of a disk that was replaced is not replayed over the new one', async (t) => {
  const pair = new MirrorPair({ sizeBytes: MIB });
  t.teardown(() => pair.end());
  await pair.protect();
  const primary = await pair.a.connect();
  pair.a.interval.current = 1;
  await primary.write(0, Buffer.alloc(4096, 1), true);
  await pair.b.commit.call('decide', { interval: 1 });
  const saved = ['.0', '.1', '.regions'].map((end) => [end, head(`${pair.b.setup.journalPath}${end}`)] as const);
  await pair.b.mirror.call('close', {});
  for (const [end, bytes] of saved) writeFileSync(`${pair.b.setup.journalPath}${end}`, bytes, { flag: 'r+' });
  replaceDisk(pair.b, Buffer.alloc(MIB));
  t.match(await pair.b.mirror.call('open', {}), { replayed: 0, notes: [/was replaced/] });
  t.ok(pair.b.disk().equals(Buffer.alloc(MIB)));
});

t.test('to run from: only the disk that the guest ran from', async (t) => {
  const pair = await known(t);
  const own = pair.a.disk();
  for (const content of [Buffer.alloc(SIZE_BYTES), own]) {
    replaceDisk(pair.a, content);
    await refused(t, pair.a, { serves: true }, /disk-A is not the one that the guest ran from/);
  }
  rmSync(pair.a.setup.diskPath);
  await t.rejects(pair.a.mirror.call('open', { serves: true }), /disk-A is not there.*bring it back/);
  await t.rejects(pair.a.mirror.call('adopt', {}), /disk-A is not there/);
  t.notOk(existsSync(pair.a.setup.diskPath), 'none is made');
  // Restored by the operator, who says so: it is copied over the partner's, which is what he wants.
  replaceDisk(pair.a, own);
  await pair.a.mirror.call('adopt', {});
  t.match(await follow(pair.a, pair.b), /whole disk.*no generation in common/);
  t.ok(pair.a.disk().equals(own) && pair.b.disk().equals(own));
});

t.test('a copy of which nothing is recorded is not copied over one that is known', async (t) => {
  const pair = await known(t);
  rmSync(recordOf(pair.a));
  await t.rejects(pair.a.mirror.call('open', { serves: true }), /disk-A is not known here: nothing is recorded of this disk yet/);
  await pair.a.mirror.call('serveSolo', {});
  await pair.b.mirror.call('startTarget', {});
  await pair.a.mirror.call('startSource', {});
  await t.rejects(pair.a.mirror.call('resync', {}), /the partner's copy is known: it is not copied over/);
});

t.test('one slot of the record damaged: written again, and said; both: named', async (t) => {
  const pair = await known(t);
  const damage = (side: Side, ...slots: number[]): void => {
    const bytes = readFileSync(recordOf(side));
    for (const slot of slots) bytes.fill(0x55, slot * METADATA_PAGE_BYTES, slot * METADATA_PAGE_BYTES + 100);
    writeFileSync(recordOf(side), bytes);
  };
  for (const slot of [0, 1]) {
    damage(pair.a, slot);
    t.match(await pair.a.mirror.call('open', { serves: true }), { notes: [/one of the two records.*written again/] });
    await pair.a.mirror.call('close', {});
    t.match(await pair.a.mirror.call('open', { serves: true }), { notes: [] });
    await pair.a.mirror.call('close', {});
  }
  damage(pair.b, 0, 1);
  t.match(await follow(pair.a, pair.b), /whole disk/, 'as the one that is made equal: as a whole');
  for (const side of [pair.b, pair.a]) await side.mirror.call('close', {});
  damage(pair.a, 0, 1);
  await refused(t, pair.a, { serves: true }, /disk-A is not known here: both copies of the record of this disk are damaged/);
  await pair.a.mirror.call('adopt', {});
  t.match(await follow(pair.a, pair.b), /whole disk/);
});

t.test('a disk that shrank, one that is larger, and other sizes than before', async (t) => {
  const pair = await known(t);
  truncateSync(pair.b.setup.diskPath, SIZE_BYTES - 4096);
  const disk = pair.b.disk();
  const tooSmall = /disk-B has 16773120 bytes, 16777216 are needed: enlarge it.*Nothing was written to it/;
  await t.rejects(pair.b.mirror.call('open', { serves: false }), /It had 16777216 bytes: what is recorded of it is forgotten/);
  t.ok(pair.b.disk().equals(disk), 'the disk itself was not written to');
  t.notOk(existsSync(recordOf(pair.b)));
  for (const serves of [false, true]) await t.rejects(pair.b.mirror.call('open', { serves }), tooSmall);
  truncateSync(pair.b.setup.diskPath, SIZE_BYTES);
  await t.rejects(pair.b.mirror.call('open', { serves: true }), /disk-B is not known here/, 'nothing runs from what lost its end');
  t.match(await follow(pair.a, pair.b), /whole disk/, 'as long as before: its new end is not what was there');
  t.ok(pair.a.disk().equals(pair.b.disk()));
  for (const side of [pair.b, pair.a]) await side.mirror.call('close', {});
  pair.b.setup.sizeBytes = SIZE_BYTES + MIB;
  await refused(t, pair.b, { serves: false }, /disk-B has 16777216 bytes, 17825792 are needed/);
  pair.b.setup.sizeBytes = SIZE_BYTES;
  truncateSync(pair.b.setup.diskPath, SIZE_BYTES + MIB);
  t.match(await follow(pair.a, pair.b), /of 4 extents/, 'a larger disk is as good');
  for (const side of [pair.b, pair.a]) {
    await side.mirror.call('close', {});
    const smaller = Object.assign(side.setup, { sizeBytes: SIZE_BYTES - MIB });
    await refused(t, side, { serves: true }, /is set to fewer bytes than the guest's disk has: the disk had 16777216 bytes/);
    smaller.sizeBytes = SIZE_BYTES + MIB;
  }
  truncateSync(pair.a.setup.diskPath, SIZE_BYTES + MIB);
  t.match(await follow(pair.a, pair.b), /whole disk, because the disk had 16777216 bytes/, 'enlarged on purpose');
  for (const side of [pair.b, pair.a]) await side.mirror.call('close', {});
  pair.b.setup.sizeBytes = SIZE_BYTES;
  await pair.b.mirror.call('adopt', {});
  await t.rejects(follow(pair.a, pair.b), /the partner's disk has 16777216 bytes, this one 17825792/);
});

t.test('two histories: when one was given up, that copy is compared as a whole', async (t) => {
  const pair = await known(t);
  for (const side of [pair.a, pair.b]) {
    await side.mirror.call('open', { serves: true });
    await side.mirror.call('serveSolo', {});
    const guest = await side.connect();
    await guest.write(side === pair.a ? 0 : 8 * MIB, randomBytes(4096), true);
    await guest.close();
    await side.mirror.call('close', {});
  }
  t.match(await follow(pair.a, pair.b), /whole disk, because both copies were written to alone/);
  t.ok(pair.a.disk().equals(pair.b.disk()));
});
