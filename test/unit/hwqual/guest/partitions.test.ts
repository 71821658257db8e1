import t from 'tap';
import { partitionTable, readPartitionTable } from '../../../../hwqual/lab/guest/partitions.ts';

const MIB = 2 ** 20;

t.test('a table as the kernel reads it', async (t) => {
  const partitions = [
    { startBytes: MIB, sizeBytes: 31 * MIB },
    { startBytes: 32 * MIB, sizeBytes: 48 * MIB },
  ];
  const sector = partitionTable(partitions);
  t.equal(sector.length, 512);
  t.equal(sector.subarray(446, 462).toString('hex'), '00feffff83feffff0008000000f80000');
  t.equal(sector.subarray(510).toString('hex'), '55aa');
  t.strictSame(readPartitionTable(sector), partitions);
  t.throws(() => partitionTable(Array.from({ length: 5 }, () => ({ startBytes: 0, sizeBytes: 512 }))), /at most 4 partitions, not 5/);
});

t.test('a disk without a table has no partitions', async (t) => {
  t.strictSame(readPartitionTable(Buffer.alloc(512)), []);
  t.strictSame(readPartitionTable(partitionTable([])), []);
});
