// Other implementations of NBD against our server: libnbd's tools and the engine's.
import { type ExecFileOptions, execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { FileStore } from '../../drivers/block/index.ts';
import { NbdServer } from '../../drivers/nbd/index.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { StoreExport } from '../unit/drivers/nbd/store-export.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;
const SIZE_BYTES = 32 * MIB;
const TOOLS: ExecFileOptions = { timeout: 60_000 };
const ENGINE_ROOT = process.env.TWINSTEP_ENGINE_ROOT ?? engineRootPath();
const directory = mkdtempSync(join(tmpdir(), 'nbd-tools-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const noLibnbd = existsSync('/usr/bin/nbdcopy') ? false : 'needs libnbd-bin (npm test installs it)';
const noEngine =
  process.getuid?.() === 0 && existsSync(join(ENGINE_ROOT, 'usr/bin/qemu-io')) ? false : 'needs root and the engine (npm start builds it)';

let n = 0;
async function serve(t: { teardown(f: () => unknown): unknown }, readOnly = false) {
  const name = `disk${n++}`;
  const path = join(directory, name);
  const store = await FileStore.open({ path, sizeBytes: SIZE_BYTES });
  const troubles: string[] = [];
  const server = new NbdServer(new StoreExport(store, readOnly), { trouble: (m) => troubles.push(m) });
  await server.listen(`${path}.socket`);
  t.teardown(async () => {
    await server.close();
    await store.close();
  });
  return { name, path, store, troubles, uri: `nbd+unix:///disk0?socket=${path}.socket` };
}

async function tool(program: string, ...argv: string[]): Promise<string> {
  return String((await run(program, argv, TOOLS)).stdout);
}

/** The directory appears as /mnt in the engine root. */
async function engineTool(...argv: string[]): Promise<string> {
  const script = `mount --bind '${directory}' '${ENGINE_ROOT}/mnt' && exec chroot '${ENGINE_ROOT}' "$@"`;
  const { stdout, stderr } = await run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...argv], TOOLS);
  return String(stdout) + String(stderr);
}

/** 32 MiB with runs of zeroes of all sizes between what is not. */
function sparseContent(): Buffer {
  const content = Buffer.alloc(SIZE_BYTES);
  for (let at = 0; at < SIZE_BYTES; at += 3 * MIB) randomBytes(MIB + 4096).copy(content, at);
  return content;
}

t.test('nbdinfo: what is offered, and the map of holes', { skip: noLibnbd }, async (t) => {
  const d = await serve(t);
  await d.store.write(MIB, randomBytes(2 * MIB));
  const info = JSON.parse(await tool('nbdinfo', '--json', d.uri)).exports[0];
  t.match(info, {
    'export-name': 'disk0',
    'export-size': SIZE_BYTES,
    is_read_only: false,
    can_multi_conn: true,
    can_flush: true,
    can_fua: true,
    can_trim: true,
    can_zero: true,
    can_fast_zero: true,
    can_df: true,
    block_size_minimum: 512,
    block_size_preferred: 4096,
    contexts: ['base:allocation'],
  });
  const map = JSON.parse(await tool('nbdinfo', '--map', '--json', d.uri));
  t.match(map, [
    { offset: 0, length: MIB, type: 3 },
    { offset: MIB, length: 2 * MIB, type: 0 },
    { offset: 3 * MIB, length: SIZE_BYTES - 3 * MIB, type: 3 },
  ]);
  t.match(await tool('nbdinfo', '--list', d.uri), /export="disk0"/);
  const ro = await serve(t, true);
  t.equal(JSON.parse(await tool('nbdinfo', '--json', ro.uri)).exports[0].is_read_only, true);
  t.same([...d.troubles, ...ro.troubles], []);
});

t.test('nbdcopy: in and out, byte for byte, holes stay holes', { skip: noLibnbd }, async (t) => {
  const d = await serve(t);
  const content = sparseContent();
  const source = join(directory, 'source');
  const target = join(directory, 'target');
  writeFileSync(source, content);
  // Four connections: multi-conn in earnest.
  await tool('nbdcopy', '--connections=4', '--flush', source, d.uri);
  t.ok((await readFile(d.path)).equals(content), 'in');
  t.ok(statSync(d.path).blocks * 512 < 14 * MIB, 'zeroes of the source took no space');
  await tool('nbdcopy', '--connections=4', d.uri, target);
  t.ok((await readFile(target)).equals(content), 'out');
  const other = await serve(t);
  await tool('nbdcopy', d.uri, other.uri);
  t.ok((await readFile(other.path)).equals(content), 'from server to server');
  t.same([...d.troubles, ...other.troubles], []);
});

t.test('qemu-io: write, read, discard, zeroes with and without unmapping', { skip: noEngine }, async (t) => {
  const d = await serve(t);
  const uri = `nbd+unix:///disk0?socket=/mnt/${d.name}.socket`;
  const io = (...commands: string[]) => engineTool('qemu-io', '-f', 'raw', '-d', 'unmap', ...commands.flatMap((c) => ['-c', c]), uri);
  const said = await io(
    'write -P 0x5a 1M 8M',
    'write -f -P 0x5b 3M 4k',
    'read -P 0x5a 1M 2M',
    'read -P 0x5b 3M 4k',
    'discard 4M 1M',
    'read -P 0 4M 1M',
    'write -z 5M 1M',
    'read -P 0 5M 1M',
    'write -z -u 6M 1M',
    'write -z -n -u 7M 1M',
    'read -P 0 6M 2M',
    'read -P 0x5a 8M 1M',
    'aio_write -P 0x11 16M 4M',
    'aio_write -P 0x12 20M 4M',
    'aio_flush',
    'flush',
    'read -P 0x11 16M 4M',
    'read -P 0x12 20M 4M',
    'read -P 0 24M 8M',
  );
  t.notMatch(said, /failed|verification|error/i, said);
  const map = JSON.parse(await engineTool('qemu-img', 'map', '-f', 'raw', '--output=json', uri));
  const hole = map.find((m: { start: number }) => m.start === 4 * MIB);
  t.match(hole, { zero: true, data: false }, JSON.stringify(map));
  const outside = await io('read 32M 512').catch((e: { stdout: string; stderr: string }) => e.stdout + e.stderr);
  t.match(outside, /Input\/output error|Invalid argument|beyond|outside/i);
  await engineTool('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', uri, `/mnt/${d.name}`);
  t.same(d.troubles, []);
});
