// Restore points as people use them: the disk is copied raw at the moment of the cut, and the engine's own tools must find the same in
// the export of the point, in its qcow2 file, and on the disk after it was rolled back.
import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { exportPoint, nbdUri } from '../../appliance/console/cli/point-export.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { random } from '../unit/appliance/mirror/losable-store.ts';
import { MirrorPair, type Side } from '../unit/appliance/mirror/mirror-pair.ts';

t.setTimeout(180_000);
const run = promisify(execFile);
const MIB = 1024 * 1024;
const SIZE_BYTES = 48 * MIB;
const ENGINE_ROOT = process.env.TWINSTEP_ENGINE_ROOT ?? engineRootPath();

t.test('taken in lockstep under writes, exported on both sides, rolled back to', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'points-it-'));
  const pair = new MirrorPair({ sizeBytes: SIZE_BYTES, points: { directory: '', maximumBytes: 0, reserveBytes: 0 } });
  t.teardown(async () => {
    await pair.end();
    rmSync(directory, { recursive: true });
  });
  // By the loader of the engine's root: so it sees the files of this machine.
  const qemuImg = async (...args: string[]): Promise<string> => {
    const loader = join(ENGINE_ROOT, 'lib64/ld-linux-x86-64.so.2');
    const libraries = [join(ENGINE_ROOT, 'usr/lib/x86_64-linux-gnu'), join(ENGINE_ROOT, 'lib/x86_64-linux-gnu')].join(':');
    return (await run(loader, ['--library-path', libraries, join(ENGINE_ROOT, 'usr/bin/qemu-img'), ...args])).stdout;
  };
  const chance = random(7);
  await pair.protect();
  const guest = await pair.a.connect();
  const burst = async (n: number): Promise<void> => {
    await Promise.all(
      Array.from({ length: n }, (_, i) => {
        const length = 512 * (1 + Math.floor(chance() * 200));
        const offset = 512 * Math.floor(chance() * ((SIZE_BYTES - length) / 512));
        return guest.write(offset, Buffer.alloc(length, 1 + (i % 255)));
      }),
    );
  };
  await burst(100);
  pair.a.interval.current = 1;
  const taking = pair.a.mirror.call('takePoint', { name: 'cut', kind: 'operator', takenAt: 1 });
  let raw = '';
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  taking.then(over, over);
  const copies = new Map<number, string>();
  while (!isOver) {
    await burst(5);
    const n = pair.a.interval.current;
    const copy = join(directory, `raw-${n}`);
    copyFileSync(pair.a.setup.diskPath, copy);
    copies.set(n, copy);
    await pair.checkpoint();
  }
  const { at, alone } = await taking;
  t.equal(alone, '');
  raw = copies.get(at) ?? '';
  await burst(100);
  await pair.checkpoint();
  await burst(50);
  const compared = async (side: Side): Promise<string> => {
    const { socketPath, exportName, sizeBytes } = await side.mirror.call('exportPoint', { name: 'cut' });
    const same = await qemuImg('compare', '-f', 'raw', '-F', 'raw', raw, nbdUri(socketPath, exportName));
    const file = join(directory, `${side.setup.channel.side}.qcow2`);
    await qemuImg('convert', '-O', 'qcow2', nbdUri(socketPath, exportName), file);
    t.equal(sizeBytes, SIZE_BYTES);
    t.match(await qemuImg('compare', '-f', 'raw', '-F', 'qcow2', raw, file), /identical/);
    await side.mirror.call('endPointExport', { name: 'cut' });
    return same;
  };
  t.match(await compared(pair.a), /identical/);
  t.match(await compared(pair.b), /identical/, 'also on the replica');
  await t.rejects(
    exportPoint({ socketPath: '/none', exportName: 'point-x', sizeBytes: 1 }, raw, {
      stdout: { write: () => true },
      stderr: { write: () => true },
    }),
    /is there already/,
  );
  await pair.a.mirror.call('goSolo', {});
  await pair.a.mirror.call('close', {});
  const progress: number[] = [];
  pair.a.mirror.on('rollBackProgress', (p) => progress.push(p.doneBytes));
  const done = await pair.a.mirror.call('rollBack', { name: 'cut', takenAt: 2 });
  t.ok(done.writtenBytes > MIB);
  t.ok((progress.at(-1) ?? 0) >= done.writtenBytes);
  await pair.a.mirror.call('close', {});
  t.match(await qemuImg('compare', '-f', 'raw', '-F', 'raw', raw, pair.a.setup.diskPath), /identical/);
});
