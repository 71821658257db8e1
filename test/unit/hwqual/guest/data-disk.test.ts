import { crc32 } from 'node:zlib';
import t from 'tap';
import { createDataDisk, parseRecords } from '../../../../hwqual/lab/guest/data-disk.ts';

function record(number: number): Buffer {
  const body = `R ${String(number).padStart(20, '0')}`;
  return Buffer.from(`${body} ${crc32(body).toString(16).padStart(8, '0')}\n`);
}

t.test('records are read back', async (t) => {
  t.equal(record(17).length, 32);
  t.strictSame(parseRecords(Buffer.concat([record(17), record(999_999_999_999_999), record(0)])), [17, 999_999_999_999_999, 0]);
  t.strictSame(parseRecords(Buffer.alloc(0)), []);
});

t.test('a torn record at the end is none', async (t) => {
  t.strictSame(parseRecords(Buffer.concat([record(1), record(2).subarray(0, 20)])), [1]);
});

t.test('a damaged record is named', async (t) => {
  const damaged = record(5);
  damaged[21] = 0x36;
  t.throws(() => parseRecords(Buffer.concat([record(4), damaged])), /record 1 on the disk is damaged/);
  t.throws(() => parseRecords(Buffer.alloc(32)), /record 0 on the disk is damaged/);
});

t.test('too small a disk is refused', async (t) => {
  await t.rejects(createDataDisk({ root: '/', path: '/nowhere/disk', sizeMiB: 8 }), /at least 16 MiB/);
});
