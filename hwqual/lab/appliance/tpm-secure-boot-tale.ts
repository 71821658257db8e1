// Secure Boot and a TPM together: the state is sealed to the firmware's keys (PCR 7). With other keys, and with Secure Boot off, the TPM gives nothing:
// the server says why, takes the recovery key, seals anew, and the next start needs nobody.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { FatFile } from '../../../image/disk/fat.ts';
import { SECTOR_BYTES } from '../../../image/disk/gpt.ts';
import { diskLayout } from '../../../image/disk/layout.ts';
import { signProgram } from '../../../image/secure-boot/authenticode.ts';
import { enrolmentFiles, secureBootOf } from '../../../image/secure-boot/index.ts';
import { enrolment, makeKeys } from '../../../image/secure-boot/keys.ts';
import type { ApplianceMachine } from './machine.ts';
import { PairReport } from './pair-report.ts';
import { filesOf } from './secure-boot-tale.ts';
import { mustNot, type Stage, WAITS, type Where, watch } from './stage.ts';
import { startTpm } from './tpm.ts';
import { LOCKED, QUESTION, RECOVERY_KEY, sees } from './tpm-tale.ts';

const ON = [/Secure Boot is on/, 'the kernel says that Secure Boot is on'] as const;
const ENROLLED = [/Custom Secure Boot keys successfully enrolled/, 'the firmware has these keys, and starts again'] as const;
const FIRST_SCREEN = [WAITS, "the setup's first screen"] as const;

export async function tpmSecureBootTale(stage: Stage): Promise<void> {
  const { built, say } = stage;
  const report = new PairReport(stage.options.report, say, 'tpm-secure-boot');
  const tpm = join(stage.work, 'tpm-secure-boot');
  const where = stage.disk({ files: signedFiles(stage), slots: { a: built.slot } });

  report.begin('a server with Secure Boot and a TPM: its state is encrypted');
  let recoveryKey = '';
  await boot(stage, where, tpm, true, async (machine) => {
    await watch(stage, machine, [ENROLLED, ON]);
    await sees(stage, machine, QUESTION, 'asked');
    machine.type(' \r');
    await sees(stage, machine, RECOVERY_KEY, 'the recovery key is shown');
    recoveryKey = RECOVERY_KEY.exec(machine.screen().join(' '))?.[1] ?? '';
    machine.type(`${recoveryKey.slice(-4)}\r`);
    await watch(stage, machine, [FIRST_SCREEN]);
  });

  report.begin('started again: the same keys');
  await opensByItself(stage, where, tpm, true);

  report.begin('the firmware gets other keys, and the disk programs that they signed');
  exchangeEsp(stage, where, signedFiles(stage));
  const anew = { ...where, directory: stage.disk(null).directory };
  await boot(stage, anew, tpm, true, async (machine) => {
    await watch(stage, machine, [ENROLLED, ON]);
    await opensByKey(stage, machine, report, recoveryKey, 'other-keys');
  });

  report.begin('started again: sealed to the new keys');
  await opensByItself(stage, anew, tpm, true);

  report.begin('Secure Boot is switched off');
  const off = { ...where, directory: stage.disk(null).directory };
  await boot(stage, off, tpm, false, (machine) => opensByKey(stage, machine, report, recoveryKey, 'switched-off'));
}

/** Under keys made for this call. */
function signedFiles(stage: Stage): FatFile[] {
  const now = new Date();
  const keys = makeKeys(now);
  const variables = enrolment(keys, now);
  const secureBoot = secureBootOf(
    keys.db,
    enrolmentFiles((name) => variables[name]),
  );
  return filesOf(stage, signProgram(stage.built.program, keys.db), secureBoot);
}

async function opensByKey(stage: Stage, machine: ApplianceMachine, report: PairReport, recoveryKey: string, file: string): Promise<void> {
  await sees(stage, machine, LOCKED, 'the recovery key is asked for');
  await sees(stage, machine, /Secure Boot is not what it was when the key was sealed/, 'the reason is named');
  await machine.untilDrawn();
  report.screen(file, 'the state is locked', machine.screen());
  machine.type(`${recoveryKey}\r`);
  await watch(stage, machine, [[/opened by: recoveryKey/, 'the recovery key opens it'], FIRST_SCREEN]);
}

function opensByItself(stage: Stage, where: Where, tpm: string, secureBoot: boolean): Promise<void> {
  return boot(stage, where, tpm, secureBoot, async (machine) => {
    await watch(stage, machine, [ON, [/opened by: tpm2/, 'the TPM has opened the state'], FIRST_SCREEN]);
    mustNot(machine, LOCKED);
  });
}

async function boot(
  stage: Stage,
  where: Where,
  folder: string,
  secureBoot: boolean,
  tale: (machine: ApplianceMachine) => Promise<void>,
): Promise<void> {
  const tpm = await startTpm(folder);
  try {
    await stage.boot(where, {}, tale, { tpm: tpm.socket, secureBoot });
  } finally {
    await tpm.stop();
  }
}

/** As an update does it: state and slots stay. */
function exchangeEsp(stage: Stage, { disk }: Where, files: FatFile[]): void {
  const { esp } = diskLayout();
  const from = openSync(stage.disk({ files, slots: { a: stage.built.slot } }).disk, 'r');
  const to = openSync(disk, 'r+');
  const piece = Buffer.alloc(1 << 20);
  const end = (esp.firstSector + esp.sectors) * SECTOR_BYTES;
  try {
    for (let at = esp.firstSector * SECTOR_BYTES; at < end; at += piece.length) {
      readSync(from, piece, 0, piece.length, at);
      writeSync(to, piece, 0, piece.length, at);
    }
  } finally {
    closeSync(from);
    closeSync(to);
  }
}
