// What a whole machine starts, and the disks that belong to it: the lab's own kernel with a root in memory and the bundle of `dist`, or the
// disk that `npm run image` made, as a server in the field starts it.
import { copyFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { run } from '../command.ts';
import type { PairSecrets } from '../configuration.ts';
import { createDataDisk } from '../guest/data-disk.ts';
import { createTinyDisk } from '../guest/tiny/disk.ts';
import type { BootArguments } from './arguments.ts';
import { type MachinesWorkload, machineFiles, workloadDiskMiB } from './configuration.ts';
import { makeDataDisk, makeDisk } from './disks.ts';
import { MACHINE_APPEND, type MachineImage, writeInitrd } from './image.ts';
import { type MachinesSettings, machinePaths } from './settings.ts';
import type { MachineSpec } from './spec.ts';

const MIB = 1 << 20;

/**
 * For emulation only: no mitigations of what an emulated CPU has not, no timer check that a starved one fails by chance, no looking for stuck
 * CPUs. console: what the kernel says goes to the second serial port too, where the lab keeps it.
 */
const DISK_WORDS = 'console=ttyS1 mitigations=off no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1';

export interface KernelBoot {
  kind: 'kernel';
  image: MachineImage;
  bundles: { product: string; probe: string };
  /** False: a machine to look at, without the product. */
  runsProduct: boolean;
  workload: MachinesWorkload;
}

export interface DiskBoot {
  kind: 'disk';
  /** A raw disk, copied for each machine; what the spec's NVMe disk has more is free. */
  disk: string;
  /** The folder with OVMF. */
  firmware: string;
  /** Files that the machine's host gives to it (fw_cfg), by name. `writeGiven` changes one for the next power on. */
  given: (name: CoServerName, secrets: PairSecrets) => Readonly<Record<string, string>>;
  /** A raw disk on USB; null: none. */
  stick: (name: CoServerName, secrets: PairSecrets) => string | null;
  /** The folder for what each machine says on its serial console: serial-a.log, serial-b.log. */
  captures: string;
}

export type MachineBoot = KernelBoot | DiskBoot;

interface Of {
  settings: MachinesSettings;
  name: CoServerName;
  spec: MachineSpec;
  engineRoot: string;
  secrets: PairSecrets;
}

/** Its disks, and what it starts from. */
export async function makeBoot(boot: MachineBoot, of: Of): Promise<void> {
  switch (boot.kind) {
    case 'kernel':
      return makeKernelBoot(boot, of);
    case 'disk':
      return makeDiskBoot(boot, of);
    default:
      boot satisfies never;
  }
}

async function makeKernelBoot({ image, bundles, runsProduct, workload }: KernelBoot, { settings, name, spec, engineRoot, secrets }: Of) {
  const paths = machinePaths(settings, name);
  await makeDisk({ root: engineRoot, path: paths.nvme, sizeMiB: spec.disks.nvme.sizeMiB, label: 'system' });
  await makeDataDisk({
    root: engineRoot,
    path: paths.sata,
    sizeMiB: spec.disks.sata.sizeMiB,
    label: 'data',
    makeWorkload: (path) => {
      const sizeMiB = workloadDiskMiB(workload.guest);
      return workload.guest === 'tiny' ? createTinyDisk(path, sizeMiB) : createDataDisk({ root: engineRoot, path, sizeMiB });
    },
  });
  await writeInitrd(image, bundles, machineFiles(name, secrets, settings, { runsProduct, workload }), paths.initrd);
}

/** Both disks as they come from the maker, but for the image on the first one. */
async function makeDiskBoot({ disk, firmware, given, captures }: DiskBoot, { settings, name, spec, secrets }: Of): Promise<void> {
  const paths = machinePaths(settings, name);
  await run('cp', ['--sparse=always', '--reflink=auto', disk, paths.nvme]);
  truncateSync(paths.nvme, spec.disks.nvme.sizeMiB * MIB);
  writeFileSync(paths.sata, '', { flag: 'wx', mode: 0o600 });
  truncateSync(paths.sata, spec.disks.sata.sizeMiB * MIB);
  copyFileSync(join(firmware, 'OVMF_VARS_4M.fd'), paths.variables);
  mkdirSync(captures, { recursive: true });
  for (const [file, text] of Object.entries(given(name, secrets))) writeGiven(settings, name, file, text);
}

const GIVEN = 'given-';

export function writeGiven(settings: MachinesSettings, name: CoServerName, file: string, text: string): void {
  writeFileSync(join(machinePaths(settings, name).directory, `${GIVEN}${file}`), text, { mode: 0o600 });
}

/** As QEMU is told. */
export function bootArguments(boot: MachineBoot, { settings, name, secrets }: Of): BootArguments {
  const paths = machinePaths(settings, name);
  switch (boot.kind) {
    case 'kernel':
      return { kind: 'kernel', kernel: boot.image.kernel, initrd: paths.initrd, append: MACHINE_APPEND };
    case 'disk': {
      const files = Object.keys(boot.given(name, secrets)).map((file) => [file, join(paths.directory, `${GIVEN}${file}`)]);
      return {
        kind: 'disk',
        firmware: join(boot.firmware, 'OVMF_CODE_4M.fd'),
        variables: paths.variables,
        words: DISK_WORDS,
        given: Object.fromEntries(files),
        stick: boot.stick(name, secrets),
        consoleLog: capturePath(boot.captures, name),
      };
    }
    default:
      return boot satisfies never;
  }
}

export function capturePath(captures: string, name: CoServerName): string {
  return join(captures, `serial-${name.toLowerCase()}.log`);
}
