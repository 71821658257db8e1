// The files of a restore point: what was fsynced before the cut and stands in the file system's log only is read; the point stays as it is; what
// was mounted, or cut short by a crash, leaves nothing behind.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { mountPoint, unmountPoint } from '../../appliance/console/cli/point-mount.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { MirrorPair } from '../unit/appliance/mirror/mirror-pair.ts';

t.setTimeout(180_000);
const run = promisify(execFile);
const MIB = 1024 * 1024;
const ENGINE_ROOT = process.env.TWINSTEP_ENGINE_ROOT ?? engineRootPath();
const isReady = process.getuid?.() === 0 && existsSync(join(ENGINE_ROOT, 'usr/bin/qemu-storage-daemon')) && existsSync('/dev/fuse');
const skip = isReady ? false : 'needs root, /dev/fuse and the engine (npm start builds it)';
const directory = mkdtempSync(join(tmpdir(), 'points-mount-'));
t.teardown(() => rmSync(directory, { recursive: true }));

/** The appliance's programs, of the engine's root. With DIE set, whoever asks for a mount dies before it. */
function programs(): void {
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  const libraries = [join(ENGINE_ROOT, 'usr/lib/x86_64-linux-gnu'), join(ENGINE_ROOT, 'lib/x86_64-linux-gnu')].join(':');
  const loader = `exec '${ENGINE_ROOT}/lib64/ld-linux-x86-64.so.2' --library-path '${libraries}'`;
  for (const name of ['qemu-img', 'qemu-storage-daemon', 'busybox']) {
    const die = name === 'busybox' ? `if [ "$DIE$1" = yesmount ]; then kill -9 $PPID; exit 1; fi\n` : '';
    writeFileSync(join(bin, name), `#!/bin/sh\n${die}${loader} '${ENGINE_ROOT}/usr/bin/${name}' "$@"\n`);
    chmodSync(join(bin, name), 0o755);
  }
  process.env.PATH = `${bin}:${process.env.PATH}`;
}

/** A file system as the power's loss leaves it: its log is to be replayed. */
async function dirtyImage(name: string, bytes: number, mkfs: string[]): Promise<Buffer> {
  const [file, at, copy] = [join(directory, name), join(directory, `${name}.at`), join(directory, `${name}.copy`)];
  writeFileSync(file, '');
  truncateSync(file, bytes);
  await run(mkfs[0] ?? '', [...mkfs.slice(1), file]);
  mkdirSync(at);
  await run('mount', ['-o', 'loop', file, at]);
  try {
    await run('sync', ['-f', at]);
    const records = openSync(join(at, 'records'), 'w');
    for (let i = 0; i < 100; i++) {
      writeSync(records, `record ${i}\n`);
      fsyncSync(records);
    }
    copyFileSync(file, copy);
    closeSync(records);
  } finally {
    await run('umount', [at]);
  }
  return readFileSync(copy);
}

async function disk(t: { teardown(f: () => unknown): unknown }, content: Buffer) {
  const pair = new MirrorPair({ sizeBytes: content.length, points: { directory: '', maximumBytes: 0, reserveBytes: 0 } });
  t.teardown(() => pair.end());
  await pair.equalise();
  const guest = await pair.a.connect();
  const blank = Buffer.alloc(MIB);
  for (let at = 0; at < content.length; at += MIB) {
    const part = content.subarray(at, at + MIB);
    if (!part.equals(blank.subarray(0, part.length))) await guest.write(at, part);
  }
  await pair.a.mirror.call('takePoint', { name: 'cut', kind: 'operator', takenAt: 1 });
  // The guest writes on: the point is what was kept.
  await guest.write(0, Buffer.alloc(4 * MIB, 0x77));
  return pair;
}

const exported = (pair: MirrorPair) => pair.a.mirror.call('exportPoint', { name: 'cut' });
const wanted = Array.from({ length: 100 }, (_, i) => `record ${i}\n`).join('');

t.test('the files of a point', { skip }, async (t) => {
  programs();
  const folder = join(directory, 'run');
  const at = join(directory, 'files here');
  mkdirSync(at);
  // This thread serves what is below: it must not wait for it.
  const records = (): Promise<string> => readFile(join(at, 'records'), 'utf8');
  const nothingLeft = async (): Promise<void> => {
    t.same(readdirSync(folder), []);
    t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), directory.slice(1));
    t.notMatch((await run('losetup', ['-a'])).stdout, directory);
  };

  await t.test('ext4 in a partition: what is in the log only; twice, as nothing was written to the point', async (t) => {
    const image = await dirtyImage('ext4', 32 * MIB, ['mkfs.ext4', '-q']);
    t.ok(image.readUInt32LE(0x460) & 4, 'the log is to be replayed');
    const table = Buffer.alloc(MIB);
    table.writeUInt16LE(0xaa55, 510);
    table.writeUInt8(0x83, 446 + 4);
    table.writeUInt32LE(MIB / 512, 446 + 8);
    table.writeUInt32LE(image.length / 512, 446 + 12);
    const pair = await disk(t, Buffer.concat([table, image]));
    for (const _ of [1, 2]) {
      t.match(await mountPoint(await exported(pair), 'cut', at, 1, folder), /is mounted read-only at .*\(ext4\)/);
      t.equal(await records(), wanted);
      await t.rejects(writeFile(join(at, 'new'), 'x'), /EROFS/);
      await t.rejects(mountPoint(await exported(pair), 'cut', at, 1, folder), /'cut' is mounted already/);
      t.match(await unmountPoint(at, folder), /no longer mounted/);
      await nothingLeft();
    }
    await t.rejects(unmountPoint(at, folder), /no restore point is mounted at/);
    await t.rejects(mountPoint(await exported(pair), 'cut', at, null, folder), /Then name one: --partition 1/);
    await nothingLeft();

    // The command dies in the middle.
    const script = `import { mountPoint } from ${JSON.stringify(new URL('../../appliance/console/cli/point-mount.ts', import.meta.url).href)};
      await mountPoint(JSON.parse(process.argv[1]), 'cut', process.argv[2], 1, process.argv[3]);`;
    const e = JSON.stringify(await exported(pair));
    const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script, e, at, folder], {
      env: { ...process.env, DIE: 'yes' },
      stdio: 'inherit',
    });
    t.same(await once(child, 'exit'), [null, 'SIGKILL']);
    t.ok(readdirSync(folder).includes('cut.overlay'), 'it left something');
    await mountPoint(await exported(pair), 'cut', at, 1, folder);
    t.equal(await records(), wanted);

    // The process that serves the point goes, and the engine is killed.
    await pair.a.mirror.call('endPointExport', { name: 'cut' });
    process.kill(Number(readFileSync(join(folder, 'cut.pid'), 'utf8')), 'SIGKILL');
    await unmountPoint(at, folder);
    await nothingLeft();
  });

  const noXfs = existsSync('/usr/sbin/mkfs.xfs') ? false : 'needs xfsprogs';
  await t.test('xfs, on the disk itself; unmounted by hand, the rest goes with the next command', { skip: noXfs }, async (t) => {
    const pair = await disk(t, await dirtyImage('xfs', 320 * MIB, ['mkfs.xfs', '-q']));
    await mountPoint(await exported(pair), 'cut', at, null, folder);
    t.equal(await records(), wanted);
    await run('umount', [at]);
    await t.rejects(unmountPoint(join(directory, 'elsewhere'), folder), /no restore point is mounted/);
    await nothingLeft();
  });
});
