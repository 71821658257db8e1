// What lies on the EFI system partition: the boot loader, and one program per version of the appliance.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type SecureBoot, UNSIGNED } from '../secure-boot/index.ts';
import type { FatFile } from './fat.ts';
import type { Slot } from './slot.ts';
import { addSections } from './uki.ts';

const EFI_FOLDER = 'usr/lib/systemd/boot/efi';

/**
 * The reason of each word:
 * console=tty2          the serial line and the first screen belong to the product; the kernel speaks on the second (Alt-F2)
 * ras=cec_disable       or the kernel's own collector takes corrected memory errors before anybody else sees them
 * panic=10, oops=panic  a kernel in doubt ends this server, and its partner goes on; after 10 s it starts again
 * random.trust_*        no wait for entropy
 */
const WORDS = 'console=tty2 quiet loglevel=4 ras=cec_disable panic=10 oops=panic random.trust_cpu=on random.trust_bootloader=on';

/** The loader shows no menu and lets nobody change the command line. */
const LOADER_CONF = 'timeout 0\neditor no\nauto-firmware no\nconsole-mode keep\n';
/** A virtual machine without keys takes ours over by itself; at a server a person chooses it in the loader's menu. */
const ENROL_CONF = 'secure-boot-enroll if-safe\n';

export function commandLine(slot: Pick<Slot, 'rootHash' | 'salt' | 'dataBlocks'>, version: string): string {
  const { rootHash, salt, dataBlocks } = slot;
  return `${WORDS} twinstep.version=${version} twinstep.hash=${rootHash} twinstep.salt=${salt} twinstep.blocks=${dataBlocks}`;
}

/** Kernel, initrd and command line as one EFI program. It boots from whichever slot holds the content it names. */
export function makeProgram(parts: {
  tools: string;
  kernel: { version: string; data: Buffer };
  initrd: Buffer;
  slot: Pick<Slot, 'rootHash' | 'salt' | 'dataBlocks'>;
  version: string;
}): Buffer {
  const { tools, kernel, initrd, slot, version } = parts;
  const osRelease = `ID=twinstep\nNAME=Twinstep\nPRETTY_NAME="Twinstep ${version}"\nVERSION_ID=${version}\n`;
  return addSections(readFileSync(join(tools, EFI_FOLDER, 'linuxx64.efi.stub')), [
    { name: '.osrel', data: Buffer.from(osRelease) },
    { name: '.cmdline', data: Buffer.from(commandLine(slot, version)) },
    { name: '.uname', data: Buffer.from(kernel.version) },
    { name: '.initrd', data: initrd },
    // The last one: the stub may grow it in memory.
    { name: '.linux', data: kernel.data },
  ]);
}

/** Files of the EFI system partition, for the versions in its slots; their programs are signed already. */
export function espFiles(
  tools: string,
  programs: readonly { version: string; program: Buffer }[],
  { sign, enrolment }: SecureBoot = UNSIGNED,
): FatFile[] {
  return [
    { path: 'EFI/BOOT/BOOTX64.EFI', data: sign(readFileSync(join(tools, EFI_FOLDER, 'systemd-bootx64.efi'))) },
    { path: 'loader/loader.conf', data: Buffer.from(LOADER_CONF + (enrolment.length > 0 ? ENROL_CONF : '')) },
    ...enrolment,
    ...programs.map(({ version, program }) => ({ path: `EFI/Linux/twinstep_${version}.efi`, data: program })),
  ];
}
