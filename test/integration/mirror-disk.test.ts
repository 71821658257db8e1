// The store on media that are full, or that are block devices: in a mount namespace of its own.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

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
