// The benchmark's guest: the lab's guest (kernel, init, server), with our services beside its server and a disk that is a Debian tree
// with PostgreSQL and a pgbench database in it. Made once, kept by the hash of all that went in.
//
// One guest for every measure and every variant: nothing but the way to it may differ.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { buildGuest, type GuestImage } from '../../../hwqual/lab/guest/build.ts';
import { cpioArchive } from '../../../hwqual/lab/guest/cpio.ts';
import { runInRoot } from '../../../hwqual/lab/guest/root-command.ts';
import { cacheDirectory } from '../../../image/engine/engine-root.ts';
import { mustRun } from '../../../image/engine/run-program.ts';
import { benchPackages, LOCK_FILE } from './packages.ts';

const run = promisify(execFile);
const HERE = import.meta.dirname;
/** The tree has 110 MiB, the database with its log 90: the rest is room to grow. Every protection compares all of it. */
export const DISK_MIB = 320;
/** The smallest database pgbench makes (100000 accounts, 16 MB): it stays in the guest's memory, as the waiting is what is measured. */
const PGBENCH_SCALE = 1;
/** bench-services.c has it too. */
const POSTGRES_ID = 105;
/** What the database's own log is cut into, MiB: with the usual 16 a small disk would hold few. */
const LOG_SEGMENT_MIB = 4;
const PROGRAMS = '/usr/lib/postgresql/17/bin';

export interface BenchGuest {
  image: GuestImage;
  /** The disk as it is before the first boot: copied for every start. */
  disk: string;
  diskMiB: number;
  /** The unpacked tree: pgbench is run from it, with chroot. */
  tree: string;
}

/** Builds the guest or finds it built: half a minute the first time. Needs root, gcc and the Debian mirror. */
export async function buildBenchGuest(engineRoot: string, signal: AbortSignal, say: (line: string) => void): Promise<BenchGuest> {
  const base = await buildGuest({ root: engineRoot });
  const folder = join(cacheDirectory(), `bench-${await contentHash(base)}`);
  const guest: BenchGuest = {
    image: { kernel: base.kernel, initrd: join(folder, 'initrd.gz'), append: base.append },
    disk: join(folder, 'disk0'),
    diskMiB: DISK_MIB,
    tree: join(folder, 'tree'),
  };
  if (existsSync(folder)) return guest;
  say("making the benchmark's guest (once)");
  const packages = await benchPackages(signal);
  const work = await mkdtemp(join(cacheDirectory(), 'bench-work-'));
  try {
    await buildInitrd(engineRoot, base, work);
    await buildTree(packages, join(work, 'tree'));
    await buildDatabase(join(work, 'tree'));
    await buildDisk(engineRoot, work);
    // The database belongs to the disk; what is run from the tree here is pgbench only.
    await rm(join(work, 'tree/srv/postgres'), { recursive: true });
    await chmod(work, 0o755);
    await rename(work, folder);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
  return guest;
}

async function contentHash(base: GuestImage): Promise<string> {
  const hash = createHash('sha256').update(base.initrd).update(String(DISK_MIB));
  const sources = ['build.ts', 'bench-services.c', 'start-services', 'postgresql.conf'].map((name) => join(HERE, name));
  for (const file of [...sources, LOCK_FILE]) hash.update(await readFile(file)).update('\0');
  return hash.digest('hex').slice(0, 16);
}

/** The lab guest's initramfs, and one more archive behind it: the kernel unpacks both, the later wins. */
async function buildInitrd(engineRoot: string, base: GuestImage, work: string): Promise<void> {
  const services = join(work, 'bench-services');
  const flags = ['-static', '-O2', '-s', '-std=gnu11', '-Wall', '-Wextra', '-pthread', '-Wl,--build-id=none'];
  await mustRun('gcc', [...flags, '-o', services, join(HERE, 'bench-services.c')]);
  const before = '/server /data/records';
  const labInit = await readFile(join(HERE, '../../../hwqual/lab/guest/init'), 'utf8');
  if (!labInit.includes(`\n${before}`))
    throw new Error(`the lab guest's init has no line that starts with "${before}": our part has no place`);
  const init = labInit.replace(`\n${before}`, `\n${await readFile(join(HERE, 'start-services'), 'utf8')}${before}`);
  const more = cpioArchive([
    { kind: 'file', path: 'init', mode: 0o755, data: Buffer.from(init) },
    { kind: 'file', path: 'bench-services', mode: 0o755, data: await readFile(services) },
  ]);
  const target = join(work, 'initrd.gz');
  await copyFile(base.initrd, target);
  await appendFile(target, gzipSync(more, { level: 6 }));
  await rm(services);
  if (!existsSync(join(engineRoot, 'usr/sbin/mke2fs'))) throw new Error(`the engine root ${engineRoot} has no mke2fs`);
}

async function buildTree(packages: readonly string[], tree: string): Promise<void> {
  await mkdir(tree, { mode: 0o755 });
  for (const file of packages) await mustRun('dpkg-deb', ['--extract', file, tree]);
  for (const unused of ['usr/share/locale', 'usr/share/doc', 'usr/share/man', 'usr/lib/x86_64-linux-gnu/gconv'])
    await rm(join(tree, unused), { recursive: true, force: true });
  await writeFile(
    join(tree, 'etc/passwd'),
    `root:x:0:0::/:/bin/false\npostgres:x:${POSTGRES_ID}:${POSTGRES_ID}::/srv/postgres:/bin/false\n`,
  );
  await writeFile(join(tree, 'etc/group'), `root:x:0:\npostgres:x:${POSTGRES_ID}:\n`);
  await mkdir(join(tree, 'srv/postgres'), { recursive: true });
  await run('chown', [`${POSTGRES_ID}:${POSTGRES_ID}`, join(tree, 'srv/postgres')]);
}

/** initdb and pgbench's tables, made here: emulated they would take minutes. In a mount and network namespace of its own. */
async function buildDatabase(tree: string): Promise<void> {
  const data = '/srv/postgres';
  await copyFile(join(HERE, 'postgresql.conf'), join(tree, 'etc/postgresql.conf'));
  const body = [
    'set -e; cd "$1"; shift',
    'mount --rbind /dev dev; mount -t tmpfs -o mode=1777 shm dev/shm; mount -t proc proc proc; ip link set lo up',
    `postgres() { chroot --userspec=${POSTGRES_ID}:${POSTGRES_ID} . "$@"; }`,
    `postgres ${PROGRAMS}/initdb -D ${data} --no-locale --encoding=UTF8 --auth=trust --username=postgres --wal-segsize=${LOG_SEGMENT_MIB} --no-sync --no-instructions`,
    `cp etc/postgresql.conf srv/postgres/postgresql.conf; echo 'host all all 10.77.0.0/24 trust' >>srv/postgres/pg_hba.conf`,
    // No pg_ctl: it would need a shell in the tree.
    `postgres ${PROGRAMS}/postgres -D ${data} -c listen_addresses=127.0.0.1 & server=$!`,
    `i=0; until grep -q ready srv/postgres/postmaster.pid 2>/dev/null; do i=$((i+1)); [ $i -lt 600 ]; sleep 0.1; done`,
    `postgres ${PROGRAMS}/pgbench -h 127.0.0.1 -U postgres -i -s ${PGBENCH_SCALE} -q postgres`,
    'kill -INT $(head -n 1 srv/postgres/postmaster.pid); wait $server',
  ].join('\n');
  await mustRun('unshare', [
    '--mount',
    '--net',
    '--pid',
    '--fork',
    '--kill-child',
    '--propagation',
    'private',
    'sh',
    '-c',
    body,
    'sh',
    tree,
  ]);
}

async function buildDisk(engineRoot: string, work: string): Promise<void> {
  const disk = join(work, 'disk0');
  await writeFile(disk, '');
  await truncate(disk, DISK_MIB * 2 ** 20);
  const features = ['-q', '-F', '-t', 'ext4', '-m', '0', '-L', 'bench', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard'];
  const made = await runInRoot(engineRoot, disk, '/usr/sbin/mke2fs', [...features, '-d', '/mnt/tree', disk]);
  if (made.status !== 0) throw new Error(`mke2fs of the benchmark's disk failed: ${made.stderr.trim()}`);
}

if (import.meta.main) {
  const { engineRootPath } = await import('../../../image/engine/engine-root.ts');
  const guest = await buildBenchGuest(engineRootPath(), new AbortController().signal, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${guest.disk}\n`);
}
