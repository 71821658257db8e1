// Builds the lab's workload: the Debian kernel of the engine's root, an initramfs with busybox, the few modules the guest
// needs and the server compiled here, and the kernel command line. The result is kept by the hash of all that went in.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { type CpioEntry, cpioArchive } from './cpio.ts';
import { FIO, fioFiles, requireFio } from './fio-files.ts';
import { elfKernel } from './kernel-image.ts';
import { moduleName, resolveModules } from './modules.ts';

const run = promisify(execFile);
const HERE = import.meta.dirname;
const DEFAULT_CACHE = '/var/cache/twinstep';
/** A compiled or unpacked file, in bytes: more is a mistake. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

// crc32c_generic: ext4's checksums ask for it by algorithm, which modules.dep does not tell.
const MODULES = ['virtio_pci', 'virtio_net', 'virtio_blk', 'crc32c_generic', 'ext4', 'af_packet', 'ipv6', 'button', 'evdev'];
const LOAD_MODULES = ['xfs'];
const JOBS = ['direct.fio', 'buffered.fio'];

/**
 * The guest's kernel command line, with the reason of each word:
 * panic=-1, oops=panic     a broken replica ends at once (QEMU -no-reboot) instead of serving on
 * no_timer_check           a starved emulated CPU fails the boot-time timer check by chance
 * mitigations=off          emulated CPUs have nothing to mitigate, and page table isolation makes TCG twice as slow
 * nowatchdog, rcupdate...  a replica that waits for checkpoints is not stuck; its kernel must not say so
 * 8250.nr_uarts, i8042...  no probing of devices that are not there
 * random.trust_*           the random pool is ready at boot: no wait for entropy in a guest without interrupts
 */
export const GUEST_APPEND = [
  'console=ttyS0 quiet panic=-1 oops=panic no_timer_check mitigations=off nowatchdog rcupdate.rcu_cpu_stall_suppress=1',
  '8250.nr_uarts=1 i8042.noaux i8042.nopnp random.trust_bootloader=on',
].join(' ');

/** What the guest does by itself, beside serving: fio with verification on an ext4 and an xfs file system (load.c). */
export type GuestLoad = 'fio';

export interface GuestImage {
  /** Paths for QEMU's -kernel and -initrd, and the text for -append. */
  kernel: string;
  initrd: string;
  append: string;
}

export interface GuestBuildOptions {
  /** The engine's root file system: kernel, modules and busybox come from there; nothing is written to it. */
  root: string;
  /** Folder under which results are kept, one folder per content hash. Default: /var/cache/twinstep. */
  out?: string;
  /** Default: none. */
  load?: GuestLoad | undefined;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function kernelVersion(root: string): Promise<string> {
  const names = (await readdir(join(root, 'boot')).catch(() => [])).filter((name) => name.startsWith('vmlinuz-'));
  const newest = names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
  if (newest === undefined) throw new Error(`no kernel in ${join(root, 'boot')}: is ${root} a complete engine root?`);
  return newest.slice('vmlinuz-'.length);
}

/** Compiles a program of the guest's. The hash of the source decides whether this happens at all; see buildGuest. */
async function compile(source: string, out: string): Promise<void> {
  const flags = ['-static', '-O2', '-s', '-std=gnu11', '-Wall', '-Wextra', '-pthread', '-Wl,--build-id=none'];
  await run('gcc', [...flags, '-o', out, join(HERE, source)]).catch((error: unknown) => {
    const detail = error instanceof Error ? error.message : String(error);
    throw new Error(`the guest's ${source} does not compile (are gcc and libc6-dev installed?): ${detail}`);
  });
}

/** Module files unpacked, in load order. busybox unpacks .xz: it comes from the same root and is static. */
async function readModules(root: string, version: string, wanted: readonly string[]): Promise<CpioEntry[]> {
  const folder = join(root, 'lib/modules', version);
  const [dep, builtin] = await Promise.all([
    readFile(join(folder, 'modules.dep'), 'utf8'),
    readFile(join(folder, 'modules.builtin'), 'utf8'),
  ]);
  const paths = resolveModules(wanted, dep, builtin);
  return Promise.all(
    paths.map(async (path): Promise<CpioEntry> => {
      const file = join(folder, path);
      const name = `modules/${moduleName(path)}.ko`;
      if (path.endsWith('.ko')) return { kind: 'file', path: name, mode: 0o644, data: await readFile(file) };
      if (!path.endsWith('.ko.xz')) throw new Error(`kernel module ${path}: only .ko and .ko.xz are understood`);
      const busybox = join(root, 'bin/busybox');
      const { stdout } = await run(busybox, ['xz', '-dc', file], { encoding: 'buffer', maxBuffer: MAX_OUTPUT_BYTES });
      return { kind: 'file', path: name, mode: 0o644, data: stdout };
    }),
  );
}

/** What the load needs beside the rest; the jobs are read from /load, file systems are mounted below it. */
async function loadFiles(work: string): Promise<CpioEntry[]> {
  const program = join(work, 'load');
  await compile('load.c', program);
  return [
    ...(await fioFiles(work)),
    { kind: 'directory', path: 'load', mode: 0o755 },
    { kind: 'file', path: 'load/load', mode: 0o755, data: await readFile(program) },
    ...(await Promise.all(
      JOBS.map(
        async (job): Promise<CpioEntry> => ({
          kind: 'file',
          path: `load/${job}`,
          mode: 0o644,
          data: await readFile(join(HERE, 'jobs', job)),
        }),
      ),
    )),
  ];
}

async function buildInitrd(root: string, version: string, work: string, load: GuestLoad | undefined): Promise<Buffer> {
  const modules = await readModules(root, version, load === undefined ? MODULES : [...MODULES, ...LOAD_MODULES]);
  const server = join(work, 'server');
  await compile('server.c', server);
  const list = modules.map((module) => module.path.slice('modules/'.length)).join('\n');
  const entries: CpioEntry[] = [
    { kind: 'directory', path: 'dev', mode: 0o755 },
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'directory', path: 'bin', mode: 0o755 },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, data: await readFile(join(root, 'bin/busybox')) },
    { kind: 'file', path: 'init', mode: 0o755, data: await readFile(join(HERE, 'init')) },
    { kind: 'file', path: 'server', mode: 0o755, data: await readFile(server) },
    { kind: 'file', path: 'modules.list', mode: 0o644, data: Buffer.from(`${list}\n`) },
    { kind: 'directory', path: 'modules', mode: 0o755 },
    ...modules,
    ...(load === undefined ? [] : await loadFiles(work)),
  ];
  return gzipSync(cpioArchive(entries), { level: 6 });
}

async function contentHash(root: string, version: string, load: GuestLoad | undefined): Promise<string> {
  const own = ['server.c', 'init', 'build.ts', 'cpio.ts', 'modules.ts', 'kernel-image.ts'];
  const loads = ['load.c', 'fio-files.ts', ...JOBS.map((job) => join('jobs', job))];
  const inputs = [
    ...[...own, ...(load === undefined ? [] : loads)].map((name) => join(HERE, name)),
    ...(load === undefined ? [] : [FIO]),
    join(root, 'boot', `vmlinuz-${version}`),
    join(root, 'lib/modules', version, 'modules.dep'),
    join(root, 'bin/busybox'),
  ];
  const hash = createHash('sha256').update(`${version} ${load ?? ''}`);
  for (const input of inputs)
    hash.update(
      createHash('sha256')
        .update(await readFile(input))
        .digest(),
    );
  return hash.digest('hex').slice(0, 16);
}

/** Builds the workload, or finds it built. Seconds the first time, tens of milliseconds later. */
export async function buildGuest(options: GuestBuildOptions): Promise<GuestImage> {
  const { root, load } = options;
  const cache = options.out ?? DEFAULT_CACHE;
  if (load !== undefined) await requireFio();
  const version = await kernelVersion(root);
  const folder = join(cache, `guest-${await contentHash(root, version, load)}`);
  const image = {
    kernel: join(folder, 'kernel'),
    initrd: join(folder, 'initrd.gz'),
    append: load === undefined ? GUEST_APPEND : `${GUEST_APPEND} load=${load}`,
  };
  if (await exists(folder)) return image;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'guest-work-'));
  try {
    const bzImage = await readFile(join(root, 'boot', `vmlinuz-${version}`));
    await writeFile(join(work, 'kernel'), elfKernel(bzImage) ?? bzImage);
    await writeFile(join(work, 'initrd.gz'), await buildInitrd(root, version, work, load));
    // A whole folder appears at once; whoever builds the same at the same time has made the same.
    await rename(work, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return image;
}
