// The initrd: microcode in front, uncompressed, where the kernel looks for it before anything else; behind it busybox, dmsetup, the drivers
// of disks, and init. The same root and tools give the same bytes.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import { type CpioEntry, cpioArchive } from '../../hwqual/lab/guest/cpio.ts';
import { moduleName, resolveModules } from '../../hwqual/lab/guest/modules.ts';
import { mustRun } from '../engine/run-program.ts';

const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
const LOADER = 'usr/lib64/ld-linux-x86-64.so.2';
const LEVEL = 15;

/** Enough to reach any disk that the appliance may be on; all else is loaded by init, from the root. */
const MODULES = [
  // sha256_ssse3: the CPU's own instructions for dm-verity's hashes. vfat: a version that is refused is marked on the EFI system partition.
  ...['sha256_ssse3', 'dm_verity', 'squashfs', 'vfat', 'nls_cp437', 'nls_ascii', 'nls_utf8'],
  ...['nvme', 'ahci', 'ata_piix', 'sd_mod', 'megaraid_sas', 'mpt3sas', 'aacraid', 'smartpqi', 'hpsa'],
  ...['xhci_pci', 'ehci_pci', 'usb_storage', 'uas', 'virtio_pci', 'virtio_blk', 'virtio_scsi'],
  // The installation medium: a CD-ROM, and then its content in memory.
  ...['sr_mod', 'loop'],
];

/** The kernel's version: there is exactly one in a root. */
export function kernelVersion(root: string): string {
  const [version, ...more] = readdirSync(join(root, 'usr/lib/modules'));
  if (version === undefined || more.length > 0) throw new Error(`${root} must hold the modules of exactly one kernel`);
  return version;
}

export async function makeInitrd(root: string, tools: string, work: string): Promise<Buffer> {
  const dmsetup = join(root, 'usr/sbin/dmsetup');
  const files: [string, string][] = [
    ['bin/busybox', 'usr/bin/busybox'],
    ['bin/dmsetup', 'usr/sbin/dmsetup'],
    ['lib64/ld-linux-x86-64.so.2', LOADER],
    ...(await libraries(root, dmsetup)).map((name): [string, string] => [`lib/${name}`, join(LIBRARIES, name)]),
  ];
  const modules = await unpackedModules(root, work);
  const entries: CpioEntry[] = [
    ...['bin', 'dev', 'lib', 'lib64', 'modules'].map((path): CpioEntry => ({ kind: 'directory', path, mode: 0o755 })),
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    ...files.map(([path, from]): CpioEntry => ({ kind: 'file', path, mode: 0o755, data: readFileSync(join(root, from)) })),
    ...modules.map(({ name, data }): CpioEntry => ({ kind: 'file', path: `modules/${name}`, mode: 0o644, data })),
    { kind: 'file', path: 'modules.list', mode: 0o644, data: Buffer.from(modules.map(({ name }) => `${name}\n`).join('')) },
    { kind: 'file', path: 'init', mode: 0o755, data: readFileSync(join(import.meta.dirname, 'initrd/init')) },
    { kind: 'file', path: 'medium.sh', mode: 0o644, data: readFileSync(join(import.meta.dirname, 'initrd/medium.sh')) },
  ];
  const packed = zstdCompressSync(cpioArchive(entries), { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } });
  return Buffer.concat([cpioArchive(microcode(tools)), packed]);
}

/** Intel's files one after the other, as the kernel looks for them (Documentation/arch/x86/microcode.rst). */
function microcode(tools: string): CpioEntry[] {
  const folder = join(tools, 'usr/lib/firmware/intel-ucode');
  const data = Buffer.concat(
    readdirSync(folder)
      .sort()
      .map((name) => readFileSync(join(folder, name))),
  );
  const folders = ['kernel', 'kernel/x86', 'kernel/x86/microcode'];
  return [
    ...folders.map((path): CpioEntry => ({ kind: 'directory', path, mode: 0o755 })),
    { kind: 'file', path: 'kernel/x86/microcode/GenuineIntel.bin', mode: 0o644, data },
  ];
}

/** Asked of the root's own loader, so that its libraries are found and not this machine's. */
async function libraries(root: string, program: string): Promise<string[]> {
  const said = await mustRun(join(root, LOADER), ['--library-path', join(root, LIBRARIES), '--list', program]);
  return said.split('\n').flatMap((line) => {
    const path = /=> (\/\S+)/.exec(line)?.[1];
    if (path === undefined || path.includes('ld-linux')) return [];
    if (!path.startsWith(root)) throw new Error(`${program} needs ${path}, which is not in ${root}`);
    return [basename(path)];
  });
}

/** In the order in which they are loaded. */
async function unpackedModules(root: string, work: string): Promise<{ name: string; data: Buffer }[]> {
  const folder = join(root, 'usr/lib/modules', kernelVersion(root));
  const lists = ['modules.dep', 'modules.builtin'].map((name) => readFileSync(join(folder, name), 'utf8'));
  const paths = resolveModules(MODULES, lists[0] ?? '', lists[1] ?? '');
  const found: { name: string; data: Buffer }[] = [];
  for (const path of paths) {
    const target = join(work, `${moduleName(path)}.ko`);
    // The root's busybox is static: it runs anywhere.
    await mustRun('sh', ['-c', '"$1" xz -dc "$2" >"$3"', 'sh', join(root, 'usr/bin/busybox'), join(folder, path), target]);
    found.push({ name: basename(target), data: readFileSync(target) });
  }
  return found;
}
