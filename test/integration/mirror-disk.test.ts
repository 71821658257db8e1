// The store on media that are full, or that are block devices: in a mount namespace of its own.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { FileStore } from '../../drivers/block/index.ts';

const run = promisify(execFile);
const skip = process.getuid?.() === 0 ? false : 'needs root';
const store = new URL('../../drivers/block/index.ts', import.meta.url).href;

/** Runs `script` (it has FileStore and `directory`) with a file system of that size in `directory`; answers what it printed, as JSON. */
async function onMedium(sizeKiB: number, script: string): Promise<unknown> {
  const directory = mkdtempSync(join(tmpdir(), 'mirror-disk-'));
  try {
    const program = `import { FileStore } from ${JSON.stringify(store)}; const directory = ${JSON.stringify(directory)}; ${script}`;
    const shell = `mount -t tmpfs -o size=${sizeKiB}k none '${directory}' && exec "$@"`;
    const argv = [
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      shell,
      'sh',
      process.execPath,
      '--no-warnings',
      '--input-type=module',
      '-e',
      program,
    ];
    return JSON.parse((await run('unshare', argv)).stdout);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

t.test('a full medium: ENOSPC by name, what is there stays readable', { skip }, async (t) => {
  const seen = await onMedium(
    256,
    `const s = await FileStore.open({ path: directory + '/disk', sizeBytes: 1 << 20 });
     await s.write(0, Buffer.alloc(65536, 7));
     const e = await s.write(65536, Buffer.alloc(900000, 8)).then(() => ({}), (e) => ({ kind: e.kind, code: e.code, operation: e.operation }));
     const first = (await s.read(65535, 1))[0];
     await s.zero(0, 65536);
     await s.flush();
     console.log(JSON.stringify({ e, first, zeroed: (await s.read(65535, 1))[0] }));`,
  );
  t.same(seen, { e: { kind: 'noSpace', code: 'ENOSPC', operation: 'write' }, first: 7, zeroed: 0 });
});

t.test('a block device: zeroes at any borders, its space given back, no map', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'mirror-device-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'disk');
  const bytes = 16 * 1024 * 1024;
  writeFileSync(file, Buffer.alloc(bytes, 7));
  const device = (await run('losetup', ['--find', '--show', file])).stdout.trim();
  t.teardown(() => run('losetup', ['--detach', device]));
  const store = await FileStore.open({ path: device, sizeBytes: bytes });
  t.teardown(() => store.close());
  await store.zero(1000, 1_000_000);
  t.same(await store.read(0, 1000), Buffer.alloc(1000, 7));
  t.same(await store.read(1000, 1_000_000), Buffer.alloc(1_000_000));
  t.same(await store.read(1_001_000, 1000), Buffer.alloc(1000, 7));
  await store.zero(2_000_001, 5, { space: 'release' });
  t.same(await store.read(2_000_000, 7), Buffer.from([7, 0, 0, 0, 0, 0, 7]), 'less than a block is written');
  t.same(await store.extents(0, bytes), [{ lengthBytes: bytes, hole: false, zero: false }]);
  if (await store.canRelease()) {
    await store.flush();
    const before = statSync(file).blocks;
    await store.zero(4_000_100, 8_000_000, { space: 'release', fast: true });
    t.ok(statSync(file).blocks <= before - 15_000, `${before} blocks of the file behind it, then ${statSync(file).blocks}`);
  } else await t.rejects(store.zero(0, bytes, { fast: true }), { kind: 'unsupported', code: 'ENOTSUP' });
  await store.zero(4_000_100, 8_000_000, { space: 'release' });
  t.same(await store.read(4_000_100, 8_000_000), Buffer.alloc(8_000_000));
  t.same(await store.read(12_000_100, 100), Buffer.alloc(100, 7));
});
