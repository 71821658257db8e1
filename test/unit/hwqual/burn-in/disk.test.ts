// Disks that lie: at a write, at a flush, at a power cut; and places where nothing may be written.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { BlockStore } from '../../../../drivers/block/index.ts';
import { judgeDisk, judgeFlushes } from '../../../../hwqual/burn-in/disk.ts';
import { MARK, openScratch, SCRATCH_NAME } from '../../../../hwqual/burn-in/disk-scratch.ts';
import { diskWork, exercise } from '../../../../hwqual/burn-in/disk-work.ts';
import { type DiskKind, judgeFlush } from '../../../../hwqual/burn-in/flush-honesty.ts';
import { decodeRecord, encodeRecord, verifyPhase, writePhase } from '../../../../hwqual/burn-in/power-cut.ts';

const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'burn-in-disk-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** A disk in memory with a volatile cache: what was not flushed is lost at a cut. */
class CachedDisk implements BlockStore {
  readonly sizeBytes: number;
  #now: Buffer;
  #kept: Buffer;
  /** It says "flushed", and did nothing. */
  liesAtFlush = false;
  /** What becomes of a write. */
  spoil: (offset: number, bytes: Buffer) => { offset: number; bytes: Buffer } | null = (offset, bytes) => ({ offset, bytes });

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
    this.#now = Buffer.alloc(sizeBytes);
    this.#kept = Buffer.alloc(sizeBytes);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return Buffer.from(this.#now.subarray(offset, offset + length));
  }

  async write(offset: number, ...parts: Uint8Array[]): Promise<void> {
    const done = this.spoil(offset, Buffer.concat(parts));
    if (done) done.bytes.copy(this.#now, done.offset);
  }

  async zero(offset: number, length: number): Promise<void> {
    this.#now.fill(0, offset, offset + length);
  }

  async flush(): Promise<void> {
    if (!this.liesAtFlush) this.#now.copy(this.#kept);
  }

  cut(): void {
    this.#kept.copy(this.#now);
  }

  async close(): Promise<void> {}
}

/** Ends after the first round: writes are seen. */
function oneRound(disk: CachedDisk): AbortSignal {
  const stop = new AbortController();
  const { spoil } = disk;
  let [blocks, read] = [0, disk.read.bind(disk)];
  disk.spoil = (offset, bytes) => {
    if (bytes.length === MIB) blocks++;
    return spoil(offset, bytes);
  };
  disk.read = async (offset, length) => {
    if (blocks === disk.sizeBytes / MIB) stop.abort();
    return read(offset, length);
  };
  return stop.signal;
}

t.test('a good disk: each byte comes back', async (t) => {
  const disk = new CachedDisk(4 * MIB);
  const figures = await exercise(disk, 'memory', oneRound(disk), () => {});
  t.match(figures, { rounds: 1, writtenMiB: 4, readMiB: 4, wrongPieces: 0, failed: null });
  t.equal(figures.writeAloneUs.length, 32);
  t.equal(judgeDisk(figures).verdict, 'pass');
});

t.test('what a bad disk does is named', async (t) => {
  const at = 2 * MIB;
  const bad: [string, CachedDisk['spoil'], RegExp][] = [
    ['a lost write', (o, b) => (o === at && b.length === MIB ? null : { offset: o, bytes: b }), /at 2097152: zeroes instead of/],
    ['a write that went elsewhere', (o, b) => ({ offset: o === at && b.length === MIB ? MIB : o, bytes: b }), /went elsewhere|zeroes/],
    [
      'damage',
      (o, b) => {
        if (o === at && b.length === MIB) b[4096 * 3 + 999] = (b[4096 * 3 + 999] ?? 0) ^ 4;
        return { offset: o, bytes: b };
      },
      /1 pieces of 4 KiB read wrong, the first at 2109440: damaged bytes/,
    ],
  ];
  for (const [name, spoil, reason] of bad) {
    const disk = new CachedDisk(4 * MIB);
    disk.spoil = spoil;
    const found = judgeDisk(await exercise(disk, 'memory', oneRound(disk), () => {}));
    t.equal(found.verdict, 'fail', name);
    t.match(found.reason, reason, name);
  }
});

t.test('an error of the medium is a fail, with its sentence', async (t) => {
  const disk = new CachedDisk(4 * MIB);
  disk.flush = async () => Promise.reject(new Error('flush: EIO'));
  const found = judgeDisk(await exercise(disk, 'memory', new AbortController().signal, () => {}));
  t.match(found, { verdict: 'fail', reason: /flush: EIO: replace the disk/ });
});

t.test('nothing read again is no pass', async (t) => {
  t.equal(judgeDisk(await exercise(new CachedDisk(MIB), 'memory', AbortSignal.abort(), () => {})).verdict, 'notTested');
});

t.test('a real file: written past the page cache, and gone afterwards', async (t) => {
  const scratch = { guestDisk: join(folder, 'disk0'), sizeMiB: 16, area: null };
  const stop = new AbortController();
  const figures = await diskWork({ scratch }, stop.signal, () => stop.abort());
  t.equal(judgeDisk(figures).verdict, 'pass');
  t.match(figures.where, join(folder, SCRATCH_NAME));
  t.notOk(existsSync(join(folder, SCRATCH_NAME)));
});

t.test('never over data', async (t) => {
  const path = join(folder, SCRATCH_NAME);
  writeFileSync(path, "somebody's data");
  const scratch = { guestDisk: join(folder, 'disk0'), sizeMiB: 16, area: null };
  const refused = await diskWork({ scratch }, AbortSignal.abort(), () => {});
  t.match(judgeDisk(refused), { verdict: 'notTested', reason: /is not a burn-in's: look at it and move it away/ });
  t.equal(readFileSync(path, 'utf8'), "somebody's data");
  writeFileSync(path, Buffer.concat([MARK, Buffer.alloc(100)]));
  const again = await openScratch(scratch);
  t.ok(again.sizeBytes > 0, 'what an earlier burn-in left is taken');
  await again.end();

  const device = join(folder, 'device');
  const bytes = Buffer.alloc(20 * MIB);
  bytes.write('data', 18 * MIB + 4096);
  writeFileSync(device, bytes);
  const area = { path: device, offsetMiB: 2, lengthMiB: 16 };
  await t.rejects(openScratch({ ...scratch, area: { ...area, offsetMiB: 4 } }), /has data at 18878464/);
  const free = await openScratch({ ...scratch, area });
  await free.store.write(0, Buffer.alloc(4096, 1));
  await t.rejects(async () => free.store.write(16 * MIB, Buffer.alloc(1)), /outside of the area/);
  await free.end();
  t.equal(readFileSync(device)[2 * MIB], 1, 'where it was told');
  await t.rejects(openScratch({ guestDisk: '/dev/sdx', sizeMiB: 16, area: null }), /is a device: name an empty area/);
});

t.test('flush honesty', async (t) => {
  const SSD: DiskKind = { device: '/dev/sda', model: 'S', rotational: false, writeCache: 'write back', virtual: false };
  const times = (us: number): number[] => Array.from({ length: 40 }, () => us);
  const judge = (kind: Partial<DiskKind>, alone: number, flushed: number) =>
    judgeFlush({ ...SSD, ...kind }, times(alone), times(flushed)).honesty;
  t.equal(judge({}, 60, 900), 'honest');
  t.equal(judge({}, 60, 62), 'suspicious', 'a volatile cache, and a flush costs nothing');
  t.equal(judge({ rotational: true }, 20, 45), 'suspicious', 'no disk turns that fast');
  t.equal(judge({ rotational: true }, 60, 400), 'notKnown', 'a battery, perhaps');
  t.equal(judge({ rotational: true }, 60, 8_000), 'honest');
  t.equal(judge({ writeCache: 'write through' }, 60, 60), 'notKnown', 'by its own word');
  t.equal(judge({ writeCache: null }, 60, 900), 'notKnown');
  t.equal(judge({ virtual: true }, 60, 900), 'notKnown');
  t.equal(judge({ device: null }, 60, 900), 'notKnown');
  t.equal(judgeFlush(SSD, times(60).slice(0, 5), times(900)).honesty, 'notKnown', 'too few');
  const disk = new CachedDisk(MIB);
  const figures = {
    ...(await exercise(disk, 'memory', AbortSignal.abort(), () => {})),
    writeAloneUs: times(60),
    writeAndFlushUs: times(61),
  };
  t.match(judgeFlushes(figures, SSD), { verdict: 'fail', figures: { honesty: 'suspicious', flushUs: 1 } });
  t.match(judgeFlushes(figures, { ...SSD, virtual: true }), { verdict: 'notTested', figures: { honesty: 'not known' } });
});

/** Writes `records`, then the power is gone. Answers the last number that was told. */
async function writeAndCut(disk: CachedDisk, records: number): Promise<number> {
  const stop = new AbortController();
  let told = 0;
  const acknowledge = (n: number): void => {
    told = n;
    if (n === records) stop.abort();
  };
  await writePhase(disk, { acknowledge, say: () => {} }, stop.signal);
  disk.cut();
  return told;
}

t.test('power cut: every record that was told is there', async (t) => {
  for (const records of [1, 100, 256, 700]) {
    const disk = new CachedDisk(MIB); // 256 slots
    const told = await writeAndCut(disk, records);
    t.match(await verifyPhase(disk, told), { verdict: 'pass', checked: Math.min(records, 256), missing: 0, newest: records });
    // The one after it was under way, and is not whole.
    await disk.write(((records + 1) % 256) * 4096, encodeRecord(records + 1).subarray(0, 512));
    t.equal((await verifyPhase(disk, told)).verdict, 'pass', 'the next one may be torn');
  }
});

t.test('power cut: a disk that lies at flush is found', async (t) => {
  const disk = new CachedDisk(MIB);
  disk.liesAtFlush = true;
  const { verdict, missing, sentence } = await verifyPhase(disk, await writeAndCut(disk, 300));
  t.equal(verdict, 'fail');
  t.equal(missing, 256);
  t.match(sentence, /256 of 256 acknowledged records are lost \(record 256 is not there\)/);
});

t.test('power cut: one lost, one old, one damaged record', async (t) => {
  const spoilt: [string, (d: CachedDisk) => Promise<void>, RegExp][] = [
    ['lost', (d) => d.zero(40 * 4096, 4096), /record 296 is not there/],
    ['old', (d) => d.write(40 * 4096, encodeRecord(40)), /record 296 is record 40/],
    ['damaged', (d) => d.write(40 * 4096 + 2000, Buffer.from('?')), /record 296 is damaged/],
  ];
  for (const [name, spoil, sentence] of spoilt) {
    const disk = new CachedDisk(MIB);
    const told = await writeAndCut(disk, 300);
    await spoil(disk);
    t.match(await verifyPhase(disk, told), { verdict: 'fail', missing: 1, sentence }, name);
  }
  t.equal((await verifyPhase(new CachedDisk(MIB), 0)).verdict, 'fail', 'nothing told, nothing verified');
  t.strictSame([encodeRecord(7), Buffer.alloc(4096), Buffer.alloc(4096, 1)].map(decodeRecord), [7, null, 'torn']);
});
