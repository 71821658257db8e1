import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { GuestRam } from '../../../../appliance/memory/audit/guest-ram.ts';
import { PageLedger } from '../../../../appliance/memory/audit/page-ledger.ts';
import { type PageReader, PageSampler } from '../../../../appliance/memory/audit/page-sampler.ts';
import { SourceAudit } from '../../../../appliance/memory/audit/source-audit.ts';
import { MAX_GAP_MS, SIGHTED_FOR_MS, SIGHTINGS, STOPS_PROVE, WATCHED_LOADS } from '../../../../appliance/memory/audit/suspects.ts';
import { TargetAudit } from '../../../../appliance/memory/audit/target-audit.ts';
import { ForwardParser, PAGE_BYTES, ZERO_PAGE_CRC } from '../../../../appliance/memory/codec.ts';
import { recordedForward } from './recorded-session.ts';

const PAGES = 64;
const ALL_MS = 1_000;

/** A guest's RAM in which a page is one number. */
class FakeRam implements PageReader {
  readonly bytes: Buffer;
  reads = 0;
  constructor(pages = PAGES) {
    this.bytes = Buffer.alloc(pages * PAGE_BYTES);
  }
  set(page: number, value: number): void {
    this.bytes.writeUInt32BE(value, page * PAGE_BYTES);
  }
  get(page: number): number {
    return this.bytes.readUInt32BE(page * PAGE_BYTES);
  }
  crc(page: number): number {
    return crc32(this.bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
  }
  read(firstPage: number, count: number): Buffer {
    this.reads++;
    return this.bytes.subarray(firstPage * PAGE_BYTES, (firstPage + count) * PAGE_BYTES);
  }
}

t.test('the pages of a recorded session, however its bytes are cut', async (t) => {
  const { synchronisation, request, checkpoints } = recordedForward();
  const pagesOf = (cuts: number[]) => {
    const seen: string[] = [];
    const parser = new ForwardParser({
      bytes: () => {},
      event: (e) => seen.push(e.kind),
      pages: { summedBlock: 'pc.ram', passed: (page, crc) => seen.push(`${page} ${crc}`) },
    });
    const feed = (bytes: Buffer) => {
      const at = [0, ...cuts.map((c) => c % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      for (let i = 1; i < at.length; i++) parser.feed(bytes.subarray(at[i - 1], at[i]));
    };
    feed(synchronisation);
    parser.enterCheckpoints();
    for (const checkpoint of checkpoints) feed(Buffer.concat([request, checkpoint]));
    return seen;
  };
  const whole = pagesOf([]);
  const pages = new Set(whole.map((s) => s.split(' ')[0]));
  for (let page = 0; page < 4096; page++) if (!pages.has(String(page))) t.fail(`page ${page} of the 16 MiB was never told`);
  t.ok(whole.some((s) => s.endsWith(` ${ZERO_PAGE_CRC}`)) && whole.some((s) => /^\d+ /.test(s) && !s.endsWith(` ${ZERO_PAGE_CRC}`)));
  t.equal(whole.at(-1), 'checkpointEnd');
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 2 ** 30 }), { maxLength: 30 }), (cuts) => pagesOf(cuts).join() === whole.join()),
    { numRuns: 20 },
  );
});

t.test('checksums of a block that was named before in an earlier checkpoint, and of none other', async (t) => {
  const { synchronisation } = recordedForward();
  const seen: number[] = [];
  const parser = new ForwardParser({
    bytes: () => {},
    event: () => {},
    pages: { summedBlock: 'pc.bios', passed: (page) => seen.push(page) },
  });
  parser.feed(synchronisation);
  t.same(
    [...new Set(seen)].sort((a, b) => a - b),
    Array.from({ length: 64 }, (_, i) => i),
    'the 256 KiB of the firmware',
  );
});

t.test('the sampler looks at every page in turn, within its time', async (t) => {
  let now = 0;
  const ram = new FakeRam(100);
  const read = (first: number, count: number) => {
    now += 0.03;
    return ram.read(first, count);
  };
  const sampler = new PageSampler(100, { read }, () => now);
  const seen: number[] = [];
  for (let i = 0; i < 4; i++) sampler.sample(0.05, (page) => seen.push(page));
  const inTurn = Array.from({ length: 100 + 16 }, (_, i) => i % 100);
  t.same(seen, inTurn, 'two batches of 16 each time; the last one of the round is shorter');
  const whole: number[] = [];
  sampler.sample(ALL_MS, (page) => whole.push(page));
  t.equal(new Set(whole).size, 100, 'no page twice at one stop');
  t.equal(whole.length, 100);
  t.equal(sampler.checkedPages, seen.length + 100);
});

t.test("the guest's RAM through a file: the pages as they are; errors that name it", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'audit-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'ram');
  const fake = new FakeRam(32);
  for (let page = 0; page < 32; page++) fake.set(page, page * 77);
  writeFileSync(path, fake.bytes);
  const ram = new GuestRam({ path, sizeBytes: 32 * PAGE_BYTES });
  t.equal(crc32(ram.read(31, 1)), fake.crc(31));
  t.ok(ram.read(3, 16).equals(fake.read(3, 16)));
  t.throws(() => ram.read(31, 2), /4096 of 8192 bytes of the guest's RAM at page 31/);
  ram.close();
  ram.close();
  t.throws(() => ram.read(0, 1), /is closed/);
  t.throws(() => new GuestRam({ path, sizeBytes: PAGE_BYTES }), /has 131072 bytes, the guest's RAM 4096/);
  t.throws(() => new GuestRam({ path: join(directory, 'none'), sizeBytes: PAGE_BYTES }), /cannot read the guest's RAM: ENOENT.*none/);
  t.throws(() => new PageLedger(100), /100 bytes: whole pages/);
  t.throws(() => new PageLedger(PAGE_BYTES).sent(1, 0, 0), /page 1 of a guest with 1 pages/);
});

/** An engine at the primary: writes of the guest are noticed, except those that a mutant loses. */
class Primary {
  readonly ram = new FakeRam();
  readonly dirty = new Set<number>();
  readonly audit: SourceAudit;
  interval = 0;
  constructor() {
    this.audit = new SourceAudit(PAGES * PAGE_BYTES, this.ram, () => 0, ALL_MS);
    for (let page = 0; page < PAGES; page++) this.audit.sent(page, this.ram.crc(page), 0);
  }
  write(page: number, value: number, noticed: boolean): void {
    this.ram.set(page, value);
    if (noticed) this.dirty.add(page);
  }
  checkpoint() {
    this.interval++;
    this.audit.stopped();
    for (const page of this.dirty) this.audit.sent(page, this.ram.crc(page), this.interval);
    this.dirty.clear();
    return this.audit.judge(this.interval);
  }
}

const write = fc.record({ page: fc.nat(PAGES - 1), value: fc.nat(3) });

t.test('primary: no engine that notices its writes is accused, and none that loses one gets away with it', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(write, { maxLength: 20 }), { maxLength: 12 }), (intervals) => {
      const primary = new Primary();
      return intervals.every((writes) => {
        for (const w of writes) primary.write(w.page, w.value, true);
        return primary.checkpoint() === undefined;
      });
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.array(write, { maxLength: 20 }), { minLength: 1, maxLength: 12 }), fc.nat(), (intervals, seed) => {
      const primary = new Primary();
      const lostIn = seed % intervals.length;
      return intervals.every((writes, n) => {
        for (const w of writes) primary.write(w.page, w.value, true);
        const lost = seed % PAGES;
        if (n === lostIn) {
          primary.dirty.delete(lost);
          primary.write(lost, primary.ram.get(lost) + 100, false);
        }
        const found = primary.checkpoint();
        if (n < lostIn) return found === undefined;
        return (
          n > lostIn ||
          (found?.side === 'primary' && found.page === lost && found.interval === n + 1 && found.foundCrc === primary.ram.crc(lost))
        );
      });
    }),
  );
  const primary = new Primary();
  primary.write(5, 1, true);
  primary.audit.stopped();
  primary.audit.sent(5, 12345, 1);
  t.match(primary.audit.judge(1), { page: 5, expectedCrc: 12345, sinceInterval: 1 }, 'sent in this very checkpoint, and other bytes');
  t.same(primary.audit.status, { checkedPages: PAGES, totalPages: PAGES, differing: 1 });
});

/** An engine at the secondary. `load` does what the engine does, with looks in between. */
class Secondary {
  readonly ram = new FakeRam();
  /** What a healthy engine would have after a load. */
  readonly right: number[] = new Array<number>(PAGES).fill(0);
  readonly audit: TargetAudit;
  /** Pages that loads forget. */
  readonly forgotten = new Set<number>();
  now = 0;
  interval = 0;
  constructor(isFed = false) {
    this.audit = new TargetAudit(PAGES * PAGE_BYTES, this.ram, () => this.now, isFed, ALL_MS);
    for (let page = 0; page < PAGES; page++) this.audit.sent(page, this.ram.crc(page));
  }
  /** The replica ran and wrote; it stops, is compared, and gets a checkpoint with the primary's writes. */
  turn(own: { page: number; value: number }[], sent: { page: number; value: number }[], look = true, gapMs = 0) {
    for (const w of own) this.ram.set(w.page, w.value);
    this.interval++;
    const found = this.audit.stopped(this.interval);
    while (this.audit.sample());
    for (const { page, value } of sent) {
      this.right[page] = value;
      const image = Buffer.alloc(PAGE_BYTES);
      image.writeUInt32BE(value, 0);
      this.audit.staged(page, crc32(image));
    }
    let watch = this.audit.loading(this.interval);
    const turnOfLoop = () => {
      this.now += MAX_GAP_MS / 4;
      if (watch && look) watch = this.audit.look();
    };
    this.now += MAX_GAP_MS * 4;
    turnOfLoop();
    this.now += MAX_GAP_MS / 4;
    this.audit.received();
    turnOfLoop();
    for (let page = 0; page < PAGES; page++) if (!this.forgotten.has(page)) this.ram.set(page, this.right[page] ?? 0);
    if (gapMs > 0) {
      // The replica runs already, and has written, when this side is on the processor again.
      this.now += gapMs;
      for (const w of own) this.ram.set(w.page, w.value);
    }
    turnOfLoop();
    turnOfLoop();
    this.audit.loaded();
    return found;
  }
}

t.test('secondary: a replica that writes the same again after every load is never accused', async () => {
  const turns = fc.array(fc.record({ own: fc.array(write, { maxLength: 6 }), sent: fc.array(write, { maxLength: 3 }) }), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(turns, fc.boolean(), (script, look) => {
      const secondary = new Secondary();
      for (let round = 0; round < 30; round++) for (const { own, sent } of script) if (secondary.turn(own, sent, look)) return false;
      return true;
    }),
    { numRuns: 60 },
  );
});

t.test('secondary: a page that the engine does not restore, or does not load, is found', async (t) => {
  const enough = SIGHTINGS + WATCHED_LOADS + 2;
  for (const [name, spoil] of [
    ['not restored', (s: Secondary) => s.ram.set(9, 7)],
    ['not loaded', (s: Secondary) => void s.turn([], [{ page: 9, value: 3 }])],
  ] as const) {
    const secondary = new Secondary();
    secondary.turn([], []);
    secondary.forgotten.add(9);
    spoil(secondary);
    const found = [];
    for (let i = 0; i < enough; i++) {
      const busy = { page: 20 + (i % 7), value: i };
      found.push(secondary.turn([busy, { page: 11, value: 1 }], [{ page: 30, value: i }]));
    }
    const said = found.filter((f) => f !== undefined);
    t.match(said, [{ side: 'secondary', page: 9, foundCrc: secondary.ram.crc(9) }], name);
    t.ok(found.findIndex((f) => f !== undefined) >= SIGHTINGS + WATCHED_LOADS - 1, 'not before it is certain');
    t.equal(secondary.audit.status.differing, 1);
  }
});

t.test('secondary: a load during which this side did not get the processor proves nothing', async (t) => {
  const late = new Secondary();
  for (let i = 0; i < 100; i++) t.equal(late.turn([{ page: 9, value: 7 }], [], true, MAX_GAP_MS), undefined);
});

t.test('secondary: a page whose wrong content changes is left aside', async (t) => {
  const changing = new Secondary();
  changing.forgotten.add(9);
  for (let i = 0; i < 100; i++) t.equal(changing.turn([{ page: 9, value: i + 1 }], []), undefined);
});

t.test('secondary: what was sent anew is restored by that; a load that was not watched proves nothing', async (t) => {
  const secondary = new Secondary();
  secondary.forgotten.add(9);
  secondary.ram.set(9, 7);
  for (let i = 0; i < 100; i++) t.equal(secondary.turn([], [], false), undefined);
  const again = new Secondary();
  again.ram.set(9, 7);
  again.forgotten.add(9);
  for (let i = 0; i < 100; i++) {
    const healed = i % SIGHTINGS === 0;
    if (healed) again.forgotten.delete(9);
    t.equal(again.turn([{ page: 9, value: 7 }], healed ? [{ page: 9, value: i + 10 }] : []), undefined);
    again.forgotten.add(9);
  }
});

t.test('secondary that is fed: patience is proof where nothing can be watched', async (t) => {
  const secondary = new Secondary(true);
  secondary.forgotten.add(9);
  secondary.ram.set(9, 7);
  const step = () => {
    secondary.now += Math.ceil(SIGHTED_FOR_MS / (STOPS_PROVE - 1));
    return secondary.turn([], [{ page: 30, value: 1 }], false);
  };
  const found = Array.from({ length: STOPS_PROVE + 5 }, step);
  t.equal(
    found.findIndex((f) => f !== undefined),
    STOPS_PROVE - 1,
  );
  t.match(found[STOPS_PROVE - 1], { side: 'secondary', page: 9 });
  const fast = new Secondary(true);
  fast.forgotten.add(9);
  fast.ram.set(9, 7);
  for (let i = 0; i < 2 * STOPS_PROVE; i++) t.equal(fast.turn([], [], false), undefined, 'many stops in a short time prove nothing');
  const written = new Secondary(true);
  for (let i = 0; i < 4 * STOPS_PROVE; i++) {
    const sent = i % (STOPS_PROVE - 2) === 0 ? [{ page: 9, value: i }] : [];
    t.equal(written.turn([{ page: 9, value: 7 }], sent, false), undefined, 'the primary writes it too, if seldom');
  }
});
