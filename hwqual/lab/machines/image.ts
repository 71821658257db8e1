// The image of a whole machine: the Debian kernel of the engine's root as an ELF file, and a root in memory. The root's larger part
// (Node, the engine, modules, the workload) is kept by the hash of what went in; the bundle and what one machine is told are further archives behind
// it, joined when the machine is made. Not compressed: unpacking under emulation takes longer than everything else in the boot.
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { GuestImage } from '../guest/build.ts';
import { type CpioEntry, cpioArchive } from '../guest/cpio.ts';
import { elfKernel } from '../guest/kernel-image.ts';
import { engineFiles, folders, guestFiles, kernelVersion, modules, programPaths, programs, tree } from './image-files.ts';

const HERE = import.meta.dirname;

/**
 * The reason of each word:
 * console=ttyS1            the first serial port is the appliance's own
 * panic=5                  a machine that died starts again, as a server does
 * no_timer_check           a starved emulated CPU fails the boot-time timer check by chance
 * mitigations=off          emulated CPUs have nothing to mitigate, and page table isolation makes TCG twice as slow
 * nowatchdog, rcupdate...  a machine that waits for a core of this one is not stuck
 * tsc=nowatchdog           the kernel compares two clocks that both stand still when the machine waits, and gives up the right one
 * 8250.nr_uarts=3          Debian's kernel looks at four ports, three are there
 * random.trust_*           no wait for entropy in a machine without interrupts
 */
export const MACHINE_APPEND = [
  'console=ttyS1 quiet panic=5 no_timer_check mitigations=off nowatchdog rcupdate.rcu_cpu_stall_suppress=1 tsc=nowatchdog',
  '8250.nr_uarts=3 i8042.noaux i8042.nopnp random.trust_cpu=on random.trust_bootloader=on',
  // Or the kernel's own collector takes corrected memory errors before anybody else sees them.
  'ras=cec_disable',
].join(' ');

/** `twinstep status` and the like. */
const COMMAND = '#!/bin/sh\nexec /opt/twinstep/node /opt/twinstep/twinstep.mjs "$@"\n';

const PROBE_COMMAND = '#!/bin/sh\nexec /opt/twinstep/node /opt/probe/twinstep.mjs\n';

export interface MachineImage {
  kernel: string;
  /** The common part of every machine's initrd. */
  base: string;
}

/** Builds the image, or finds it built: half a minute the first time. `cache` is the folder of folders by hash. */
export async function buildMachineImage(options: { root: string; node: string; guest: GuestImage; cache: string }): Promise<MachineImage> {
  const { root, node, guest, cache } = options;
  const version = await kernelVersion(root);
  const folder = join(cache, `machine-${await contentHash(root, node, version, guest)}`);
  const image = { kernel: join(folder, 'kernel'), base: join(folder, 'base.cpio') };
  if (existsSync(folder)) return image;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'machine-work-'));
  try {
    const bzImage = await readFile(join(root, 'boot', `vmlinuz-${version}`));
    await mkdir(join(work, 'result'));
    await writeFile(join(work, 'result/kernel'), elfKernel(bzImage) ?? bzImage);
    const entries: CpioEntry[] = [
      ...folders(),
      ...(await engineFiles(root)),
      ...(await guestFiles(guest)),
      ...(await programs(root, node, join(work, 'programs'))),
      ...(await modules(root, version, join(work, 'modules'))),
      { kind: 'file', path: 'init', mode: 0o755, data: await readFile(join(HERE, 'init')) },
    ];
    await writeFile(join(work, 'result/base.cpio'), cpioArchive(entries));
    // A whole folder appears at once; whoever builds the same at the same time has made the same.
    await rename(join(work, 'result'), folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return image;
}

async function contentHash(root: string, node: string, version: string, guest: GuestImage): Promise<string> {
  const own = ['init', 'image.ts', 'image-files.ts', '../guest/cpio.ts', '../guest/modules.ts', '../guest/kernel-image.ts'];
  const inputs = [
    ...own.map((name) => join(HERE, name)),
    ...[`boot/vmlinuz-${version}`, `lib/modules/${version}/modules.dep`, 'bin/busybox'].map((path) => join(root, path)),
    ...programPaths(root),
  ];
  const hash = createHash('sha256').update(version);
  for (const input of inputs)
    hash.update(
      createHash('sha256')
        .update(await readFile(input))
        .digest(),
    );
  // Of Node its size is enough: its package is pinned, and reading it takes longer than all the rest. The guest's folder is named by its content.
  return hash
    .update(`${(await stat(node)).size} ${guest.kernel}`)
    .digest('hex')
    .slice(0, 16);
}

/** Writes one machine's initrd: the image's base, the product, the probe (probe.ts), and `own` (paths in the machine, with their text). */
export async function writeInitrd(
  image: MachineImage,
  bundles: { product: string; probe: string },
  own: Record<string, string>,
  path: string,
): Promise<void> {
  const unneeded = (name: string) => name.endsWith('.map') || name === '.inputs';
  const entries: CpioEntry[] = [
    // A map is larger than its program, and only errors need it.
    { kind: 'file', path: 'usr/bin/twinstep', mode: 0o755, data: Buffer.from(COMMAND) },
    { kind: 'file', path: 'usr/bin/probe', mode: 0o755, data: Buffer.from(PROBE_COMMAND) },
    ...(await tree(bundles.product, 'opt/twinstep', unneeded)),
    { kind: 'directory', path: 'opt/probe', mode: 0o755 },
    ...(await tree(bundles.probe, 'opt/probe', unneeded)),
    { kind: 'directory', path: 'etc/twinstep', mode: 0o700 },
    ...Object.entries(own).map(([file, text]): CpioEntry => ({ kind: 'file', path: file, mode: 0o600, data: Buffer.from(text) })),
  ];
  await pipeline(createReadStream(image.base), createWriteStream(path, { mode: 0o600 }));
  await writeFile(path, cpioArchive(entries), { flag: 'a' });
}
