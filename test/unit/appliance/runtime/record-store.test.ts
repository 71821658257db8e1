import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { FRESH_RECORD } from '../../../../appliance/core/machine.ts';
import { decodeSlot, encodeSlot, RecordError, RecordStore } from '../../../../appliance/runtime/record-store.ts';

const record = (generation: number) => ({ ...FRESH_RECORD, generation, standing: 'simplex' as const });

t.test('the record survives a torn write of either slot', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'twinstep-record-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'record');
  const store = await RecordStore.open(path);
  t.same(store.record, FRESH_RECORD);
  for (const g of [1, 2, 3]) await store.write(record(g));
  await t.rejects(store.write(record(2)), /older than the recorded 3/);
  await store.close();
  const whole = readFileSync(path);
  for (const slot of [0, 4096]) {
    const torn = Buffer.from(whole);
    torn.fill(0xff, slot + 30, slot + 60);
    writeFileSync(path, torn);
    const again = await RecordStore.open(path);
    t.equal(again.record.generation, 3, 'the other slot holds the same');
    t.match(again.problem, /One of the two copies of the record.*generation 3, simplex/s);
    await again.close();
    const mended = readFileSync(path);
    for (const at of [0, 4096])
      t.equal(decodeSlot(mended.subarray(at, at + 4096))?.record.generation, 3, 'and makes it whole before the next write');
  }
  writeFileSync(path, Buffer.alloc(8192, 7));
  await t.rejects(RecordStore.open(path), /both copies of the record are damaged/);
  const error = await RecordStore.open(path).catch((e: unknown) => e);
  t.ok(error instanceof RecordError, 'which main.ts ends with: wait for the operator (78)');
});

t.test('a write cut short in its first slot leaves the older record, which nothing was done beyond', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'twinstep-record-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'record');
  const store = await RecordStore.open(path);
  for (const g of [1, 2]) await store.write(record(g));
  await store.close();
  const before = readFileSync(path);
  const torn = encodeSlot(3n, record(3)).subarray(0, 30);
  torn.copy(before, 4096);
  writeFileSync(path, before);
  const again = await RecordStore.open(path);
  t.equal(again.record.generation, 2);
  t.match(again.problem, /cut short/);
  await again.close();
});

t.test('slots of another format are not read', async (t) => {
  t.equal(decodeSlot(Buffer.alloc(4096)), null);
  t.equal(decodeSlot(Buffer.alloc(3)), null);
  const slot = encodeSlot(1n, record(1));
  slot.writeUInt32BE(0xffffffff, 16);
  t.equal(decodeSlot(slot), null);
});

t.test('a record that was wiped is a damaged one, not that of a new CoServer', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'twinstep-record-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'record');
  const store = await RecordStore.open(path);
  t.equal(readFileSync(path).length, 8192, 'both slots are there before anything is decided');
  await store.write(record(1));
  await store.close();
  const whole = readFileSync(path);
  for (const wiped of [Buffer.alloc(8192), Buffer.alloc(0)]) {
    writeFileSync(path, wiped);
    await t.rejects(RecordStore.open(path), /both copies of the record are damaged/);
  }
  writeFileSync(path, Buffer.concat([Buffer.alloc(4096), whole.subarray(4096)]));
  const again = await RecordStore.open(path);
  t.equal(again.record.generation, 1);
  t.match(again.problem, /One of the two copies/);
  await again.close();
});
