// What is in a whole machine's root besides the bundle: programs of the engine's root with the libraries they need, Node, busybox,
// kernel modules. Nothing is installed there; each file is named here, which keeps the image small.
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { run } from '../command.ts';
import type { GuestImage } from '../guest/build.ts';
import type { CpioEntry } from '../guest/cpio.ts';
import { moduleName, resolveModules } from '../guest/modules.ts';
import { LabError } from '../lab-error.ts';

const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
const LOADER = 'usr/lib64/ld-linux-x86-64.so.2';
/** As the engine's root is laid out. */
const FOLDERS = [
  'usr',
  'usr/bin',
  'usr/sbin',
  'usr/lib',
  LIBRARIES,
  'usr/lib64',
  'modules',
  'opt',
  'opt/twinstep',
  'opt/guest',
  'etc',
  'etc/machine',
  'root',
  'tmp',
];
const MOUNT_POINTS = ['dev', 'proc', 'sys', 'run', 'var', 'var/lib', 'var/lib/twinstep'];
/** Of the engine's root. */
const PROGRAMS = ['usr/bin/qemu-system-x86_64', 'usr/bin/nice', 'usr/bin/ip', 'usr/sbin/tc', 'usr/sbin/ethtool', 'usr/sbin/smartctl'];
/** What the engine loads: firmware and boot code of a PC, without its EFI and screens. */
const ENGINE_FOLDERS = ['usr/share', 'usr/share/qemu', 'usr/share/seabios'];
const ENGINE_FILES = /^(?!efi-|vgabios|bios-microvm).*\.(bin|rom)$/;
/** Node's addons were linked with parts of the C library that are empty today, and still ask for them. */
const ADDON_LIBRARIES = ['librt.so.1', 'libpthread.so.0', 'libdl.so.2', 'libm.so.6'];

/**
 * crc32c_generic: ext4's checksums ask for it by algorithm, which modules.dep does not tell.
 * One watchdog only: ipmi_watchdog and the chipset's would fight over /dev/watchdog.
 */
const MODULES = [
  ...['ipmi_msghandler', 'ipmi_devintf', 'ipmi_si', 'i6300esb'],
  ...['nvme', 'ahci', 'sd_mod', 'crc32c_generic', 'ext4'],
  ...['e1000e', 'igb', 'af_packet', 'ipv6', 'bridge', 'tun'],
  ...['button', 'evdev', 'loop', 'fuse'],
];

export function folders(): CpioEntry[] {
  const links = ['bin', 'sbin', 'lib', 'lib64'].map((name): CpioEntry => ({ kind: 'symlink', path: name, target: `usr/${name}` }));
  return [
    ...[...FOLDERS, ...ENGINE_FOLDERS, ...MOUNT_POINTS].map(
      (path): CpioEntry => ({ kind: 'directory', path, mode: path === 'tmp' ? 0o1777 : 0o755 }),
    ),
    ...links,
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
  ];
}

/** Where the files come from: the engine's root; what it has not yet (smartctl, in an older one) from this machine. */
export function programPaths(root: string): string[] {
  return PROGRAMS.map((path) => {
    const found = [join(root, path), join('/', path)].find((p) => existsSync(p));
    if (found === undefined)
      throw new LabError(`${basename(path)} is neither in ${root} nor on this machine`, 'apt-get install smartmontools ethtool');
    return found;
  });
}

/** Node without its debugging symbols (a seventh of it), the programs, and every library that one of them loads. */
export async function programs(root: string, node: string, work: string): Promise<CpioEntry[]> {
  await mkdir(work, { recursive: true });
  const stripped = join(work, 'node');
  await run('strip', ['--strip-unneeded', '-o', stripped, node]);
  const paths = programPaths(root);
  const libraries = new Set(ADDON_LIBRARIES.map((name) => join(root, LIBRARIES, name)));
  for (const program of [node, ...paths]) for (const library of await librariesOf(root, program)) libraries.add(library);
  const file = async (path: string, from: string, mode = 0o755): Promise<CpioEntry> => ({
    kind: 'file',
    path,
    mode,
    data: await readFile(from),
  });
  return [
    await file('opt/twinstep/node', stripped),
    await file('usr/bin/busybox', join(root, 'usr/bin/busybox')),
    await file(LOADER, join(root, LOADER)),
    ...(await Promise.all(paths.map((path) => file(`usr/bin/${basename(path)}`, path)))),
    ...(await Promise.all([...libraries].sort().map((path) => file(join(LIBRARIES, basename(path)), path)))),
  ];
}

/** The engine's data files. */
export async function engineFiles(root: string): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = [];
  for (const folder of ENGINE_FOLDERS.slice(1))
    entries.push(...(await tree(join(root, folder), folder, (name) => !ENGINE_FILES.test(name))));
  return entries;
}

/** The workload that the machines protect. */
export async function guestFiles(guest: GuestImage): Promise<CpioEntry[]> {
  return [
    { kind: 'file', path: 'opt/guest/kernel', mode: 0o644, data: await readFile(guest.kernel) },
    { kind: 'file', path: 'opt/guest/initrd.gz', mode: 0o644, data: await readFile(guest.initrd) },
  ];
}

/** By the engine's own loader, so that its libraries are found and not this machine's. */
async function librariesOf(root: string, program: string): Promise<string[]> {
  const own = join(root, LIBRARIES);
  const said = await run(join(root, LOADER), ['--library-path', `${own}:/${LIBRARIES}`, '--list', program]);
  return said.split('\n').flatMap((line) => {
    const path = /=> (\/\S+)/.exec(line)?.[1];
    if (path === undefined || path.includes('ld-linux')) return [];
    // The loader of this machine is asked for by its full path; the engine's has the same place in the machine.
    const inRoot = join(own, basename(path));
    return [existsSync(inRoot) ? inRoot : path];
  });
}

export async function kernelVersion(root: string): Promise<string> {
  const names = (await readdir(join(root, 'boot'))).filter((name) => name.startsWith('vmlinuz-'));
  const newest = names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
  if (newest === undefined) throw new LabError(`no kernel in ${join(root, 'boot')}`, 'sh image/setup/setup.sh prepare');
  return newest.slice('vmlinuz-'.length);
}

/** Unpacked, in the order in which `modules.list` loads them. */
export async function modules(root: string, version: string, work: string): Promise<CpioEntry[]> {
  const folder = join(root, 'lib/modules', version);
  const [dep, builtin] = await Promise.all(['modules.dep', 'modules.builtin'].map((name) => readFile(join(folder, name), 'utf8')));
  const paths = resolveModules(MODULES, dep ?? '', builtin ?? '');
  const entries: CpioEntry[] = [];
  await mkdir(work, { recursive: true });
  for (const path of paths) {
    const name = `${moduleName(path)}.ko`;
    const unpacked = join(work, name);
    if (path.endsWith('.xz'))
      await run('sh', ['-c', `exec "$1" xz -dc "$2" >"$3"`, 'sh', join(root, 'bin/busybox'), join(folder, path), unpacked]);
    entries.push({
      kind: 'file',
      path: `modules/${name}`,
      mode: 0o644,
      data: await readFile(path.endsWith('.xz') ? unpacked : join(folder, path)),
    });
  }
  const list = paths.map((path) => `${moduleName(path)}.ko\n`).join('');
  return [...entries, { kind: 'file', path: 'modules.list', mode: 0o644, data: Buffer.from(list) }];
}

/** A folder with what is below it, put at `at`; `leaveOut` names files that nobody needs there. */
export async function tree(from: string, at: string, leaveOut: (name: string) => boolean): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = [];
  for (const item of (await readdir(from, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (leaveOut(item.name)) continue;
    const [path, source] = [`${at}/${item.name}`, join(from, item.name)];
    if (item.isDirectory()) entries.push({ kind: 'directory', path, mode: 0o755 }, ...(await tree(source, path, leaveOut)));
    else entries.push({ kind: 'file', path, mode: 0o644, data: await readFile(source) });
  }
  return entries;
}
