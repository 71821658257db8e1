// Requests of a client down to the blocks of a file.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { FileStore } from '../../../../drivers/block/index.ts';
import { NbdClient, NbdServer } from '../../../../drivers/nbd/index.ts';
import { StoreExport } from './store-export.ts';

const MIB = 1024 * 1024;
const directory = mkdtempSync(join(tmpdir(), 'nbd-store-'));
t.teardown(() => rmSync(directory, { recursive: true }));

t.test('TRIM and WRITE_ZEROES change the space of the file, and the map shows it', async (t) => {
  const path = join(directory, 'disk');
  const store = await FileStore.open({ path, sizeBytes: 16 * MIB });
  const server = new NbdServer(new StoreExport(store), { trouble: (m) => t.fail(m) });
  await server.listen(join(directory, 's'));
  const c = await NbdClient.connect(join(directory, 's'), 'disk0', { structured: true });
  const mapBlocks = () => statSync(path).blocks / (MIB / 512);
  const data = (mib: number) => ({ lengthBytes: mib * MIB, hole: false, zero: false });
  const hole = (mib: number) => ({ lengthBytes: mib * MIB, hole: true, zero: true });

  await c.write(4 * MIB, Buffer.alloc(8 * MIB, 3));
  await c.flush();
  t.same(await c.blockStatus(0, 16 * MIB), [hole(4), data(8), hole(4)]);
  const before = mapBlocks();

  await c.trim(5 * MIB, MIB);
  t.same(await c.blockStatus(0, 16 * MIB), [hole(4), data(1), hole(1), data(6), hole(4)]);
  t.same(await c.read(5 * MIB, MIB), Buffer.alloc(MIB));
  await c.writeZeroes(7 * MIB, MIB, true);
  t.ok(mapBlocks() <= before - 1.9, `${before} MiB, then ${mapBlocks()}`);
  await c.writeZeroes(0, 2 * MIB, true, { noHole: true, fast: true });
  t.ok(mapBlocks() >= before - 0.1, `allocated again: ${mapBlocks()} MiB`);
  const read = await c.readInChunks(0, 16 * MIB);
  t.same([read.dataChunks, read.holeChunks], [3, 4]);
  t.same(await c.read(4 * MIB, MIB), Buffer.alloc(MIB, 3));
  t.same(await c.read(8 * MIB, 4 * MIB), Buffer.alloc(4 * MIB, 3));

  await c.close();
  await server.close();
  await store.close();
});
