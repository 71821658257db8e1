import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { decodeSlot, encodeSlot, FRESH_RECORD, RecordStore } from '../../../../appliance/runtime/record-store.ts';

const record = (generation: number) => ({
  generation,
  standing: 'simplex' as const,
  workloadOff: false,
  wasPrimary: false,
  pinnedMode: null,
});

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
    t.equal(again.record.generation, slot === 4096 ? 2 : 3, 'the other slot counts');
    await again.close();
  }
  writeFileSync(path, Buffer.alloc(8192, 7));
  await t.rejects(RecordStore.open(path), /both copies of the record are damaged/);
});

t.test('slots of another format are not read', async (t) => {
  t.equal(decodeSlot(Buffer.alloc(4096)), null);
  t.equal(decodeSlot(Buffer.alloc(3)), null);
  const slot = encodeSlot(1n, record(1));
  slot.writeUInt32BE(0xffffffff, 16);
  t.equal(decodeSlot(slot), null);
});
