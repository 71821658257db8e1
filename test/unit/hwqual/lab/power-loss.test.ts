import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { applyPowerLoss, planLoss, seededDice } from '../../../../hwqual/lab/power-loss.ts';
import { decodeUndoLog, encodeUndoLog, type UndoRecord } from '../../../../hwqual/lab/undo-log.ts';

const fill = (byte: number, length: number) => new Uint8Array(length).fill(byte);
const write = (offset: number, length: number, sizeBefore: number, old: number): UndoRecord => ({
  kind: 'write',
  offset,
  length,
  sizeBefore,
  old: fill(old, Math.max(0, Math.min(length, sizeBefore - offset))),
});

t.test('the log is read as it was written', (t) => {
  const records: UndoRecord[] = [
    write(10, 20, 25, 7),
    { kind: 'truncate', offset: 5, sizeBefore: 30, old: fill(3, 25) },
    { kind: 'synced', offset: 4096, length: 9 },
  ];
  const decoded = decodeUndoLog(encodeUndoLog({ device: 1n, inode: 2n, records }));
  t.equal(decoded.inode, 2n);
  t.same(
    decoded.records.map((r) => ({ ...r, ...(r.kind === 'synced' ? {} : { old: [...r.old] }) })),
    records.map((r) => ({ ...r, ...(r.kind === 'synced' ? {} : { old: [...r.old] }) })),
  );
  t.end();
});

t.test('a damaged log is refused with the place', (t) => {
  const bytes = encodeUndoLog({ device: 1n, inode: 2n, records: [write(0, 8, 8, 1)] });
  t.throws(() => decodeUndoLog(bytes.subarray(0, 20)), /20 bytes, shorter than its header/);
  const wrongMagic = Buffer.from(bytes);
  wrongMagic[3] = 0;
  t.throws(() => decodeUndoLog(wrongMagic), /magic/);
  const wrongRecord = Buffer.from(bytes);
  wrongRecord[64] = 0;
  t.throws(() => decodeUndoLog(wrongRecord), /no record at 64/);
  t.throws(() => decodeUndoLog(bytes.subarray(0, 108)), /old bytes of the record at 64 lie beyond the end/);
  const wrongKind = Buffer.from(bytes);
  wrongKind[68] = 9;
  t.throws(() => decodeUndoLog(wrongKind), /unknown kind 9 at 64/);
  t.end();
});

t.test('a sector goes back to a state it had, newest undone first', (t) => {
  const records = [write(0, 4096, 8192, 1), write(0, 4096, 8192, 2), write(0, 4096, 8192, 3)];
  const keepNone = planLoss(records, () => 0);
  t.same(
    keepNone.writes.map((w) => w.bytes[0]),
    [3, 2, 1],
  );
  const keepTwo = planLoss(records, (below) => (below === 4 ? 2 : 0));
  t.same(
    keepTwo.writes.map((w) => w.bytes[0]),
    [3],
  );
  t.equal(keepTwo.lostSectors, 1);
  t.end();
});

t.test('sectors of one write are lost independently: a torn write', (t) => {
  let calls = 0;
  const plan = planLoss([write(0, 3 * 4096, 3 * 4096, 1)], (below) => (below === 1 ? 0 : calls++ % 2));
  t.equal(plan.unflushedSectors, 3);
  t.same(
    plan.writes.map((w) => w.offset),
    [0, 8192],
  );
  t.end();
});

t.test('O_DSYNC makes older writes of its sectors durable', (t) => {
  const records: UndoRecord[] = [write(0, 8192, 8192, 1), { kind: 'synced', offset: 100, length: 10 }];
  const plan = planLoss(records, () => 0);
  t.same(
    plan.writes.map((w) => w.offset),
    [4096],
  );
  t.end();
});

t.test('sizes survive in order; a lost truncation takes what followed', (t) => {
  const grown = [write(0, 10, 0, 0), write(10, 10, 10, 0)];
  t.equal(planLoss(grown, () => 0).size, 0);
  t.equal(planLoss(grown, (below) => (below === 3 ? 1 : 0)).size, 10);
  t.equal(planLoss(grown, (below) => below - 1).size, null);
  const cut: UndoRecord[] = [{ kind: 'truncate', offset: 0, sizeBefore: 10, old: fill(9, 10) }, write(0, 4, 0, 0)];
  const plan = planLoss(cut, () => 0);
  t.equal(plan.size, 10);
  t.same(
    plan.writes.map((w) => [w.offset, w.bytes.length]),
    [[0, 10]],
  );
  // The truncation survived: what lay beyond it before does not come back.
  const after = planLoss([write(0, 10, 10, 5), { kind: 'truncate', offset: 4, sizeBefore: 10, old: fill(6, 6) }], (below) =>
    below === 2 ? 1 : 0,
  );
  t.equal(after.size, null);
  t.ok(after.writes.every((w) => w.offset + w.bytes.length <= 4));
  t.end();
});

t.test('applied to files: flushed bytes stay, the seed decides about the rest, logs are gone', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'power-loss-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'disk');
  const outcomes = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    // Sector 0 was flushed (2), sectors 1 and 2 went from 1 to 2 without a flush.
    writeFileSync(path, fill(2, 3 * 4096));
    const inode = statSync(path, { bigint: true }).ino;
    const log = encodeUndoLog({ device: 0n, inode, records: [write(4096, 8192, 3 * 4096, 1)] });
    writeFileSync(join(directory, `0-${inode}.undo`), log);
    const losses = applyPowerLoss(directory, [directory], seed);
    const bytes = readFileSync(path);
    t.ok(
      bytes.subarray(0, 4096).every((b) => b === 2),
      `seed ${seed}: the flushed sector stays`,
    );
    t.equal(bytes.length, 3 * 4096);
    t.equal(losses.length, 1);
    outcomes.add(`${bytes[4096]}${bytes[8192]}`);
    t.throws(() => statSync(join(directory, `0-${inode}.undo`)));
  }
  t.same([...outcomes].sort(), ['11', '12', '21', '22'], 'each combination of lost sectors happens');
  t.end();
});

t.test('the same seed gives the same losses', (t) => {
  const roll = (seed: number) => {
    const dice = seededDice(seed);
    return Array.from({ length: 50 }, () => dice(6));
  };
  t.same(roll(5), roll(5));
  t.notSame(roll(5), roll(6));
  t.ok(new Set(roll(5)).size === 6, 'every face comes up');
  t.end();
});
