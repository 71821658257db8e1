// Secure Boot, with keys made for this run: a server without keys takes ours over and starts what they signed; afterwards a program with one
// byte another one, and one without a signature, are refused by the firmware.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { espFiles } from '../../../image/disk/boot-files.ts';
import type { FatFile } from '../../../image/disk/fat.ts';
import { addSections } from '../../../image/disk/uki.ts';
import { isSigned, signProgram } from '../../../image/secure-boot/authenticode.ts';
import { enrolmentFiles, type SecureBoot, secureBootOf } from '../../../image/secure-boot/index.ts';
import { enrolment, makeKeys } from '../../../image/secure-boot/keys.ts';
import { LabError } from '../lab-error.ts';
import { EMULATION_WORDS } from './machine.ts';
import { type Stage, WAITS, type Where, watch } from './stage.ts';

export async function secureBootTale(stage: Stage): Promise<void> {
  const { built, tools } = stage;
  if (isSigned(built.program)) throw new LabError('this image is signed already, by other keys than the ones of the lab', 'npm run image');
  const now = new Date();
  const keys = makeKeys(now);
  const variables = enrolment(keys, now);
  const secureBoot = secureBootOf(
    keys.db,
    enrolmentFiles((name) => variables[name]),
  );
  const program = signProgram(built.program, keys.db);

  stage.say('a server without keys, a signed disk: the keys are taken over');
  const where = stage.disk({ files: filesOf(stage, program, secureBoot), slots: { a: built.slot } });
  await boot(stage, where, [
    [/Custom Secure Boot keys successfully enrolled/, 'the firmware has our keys, and starts again'],
    [/Secure Boot is on/, 'the kernel says so'],
    [WAITS, "the product's first screen"],
  ]);

  stage.say('the same server, one byte of the program is another one');
  const changed = Buffer.from(program);
  const at = changed.length >> 1;
  changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
  await refused(stage, where, filesOf(stage, changed, secureBoot));

  stage.say('the same server, nothing is signed');
  await refused(stage, where, espFiles(tools, [built]));

  stage.say('the same server, signed by another key');
  const others = makeKeys(now);
  await refused(stage, where, filesOf(stage, signProgram(built.program, others.db), secureBootOf(others.db)));
}

/** Under Secure Boot the stub takes no words from the machine; what emulation needs comes as an addon that is signed as all else. */
export function filesOf({ tools, built }: Stage, program: Buffer, secureBoot: SecureBoot): FatFile[] {
  const stub = readFileSync(join(tools, 'usr/lib/systemd/boot/efi/addonx64.efi.stub'));
  const addon = addSections(stub, [{ name: '.cmdline', data: Buffer.from(EMULATION_WORDS) }]);
  return [
    ...espFiles(tools, [{ version: built.version, program }], secureBoot),
    { path: 'loader/addons/emulation.addon.efi', data: secureBoot.sign(addon) },
  ];
}

const boot = (stage: Stage, where: Where, steps: readonly (readonly [RegExp, string])[]) =>
  stage.boot(where, {}, (machine) => watch(stage, machine, steps), { secureBoot: true });

/** Another disk in the same server, whose firmware keeps its keys. */
async function refused(stage: Stage, { directory }: Where, files: FatFile[]): Promise<void> {
  const { disk } = stage.disk({ files, slots: { a: stage.built.slot } });
  await stage.boot(
    { disk, directory },
    {},
    async (machine) => {
      await watch(stage, machine, [[/Access Denied|Access denied|Security Violation|Security violation/, 'refused by the firmware']]);
      if (/is starting/.test(machine.serial())) throw new LabError('it was started nevertheless');
    },
    { secureBoot: true },
  );
}
