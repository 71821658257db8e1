// An encrypted state partition: asked for, opened by the TPM, by the recovery key where the disk meets another TPM, and unreadable on the disk.
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { SECTOR_BYTES } from '../../../image/disk/gpt.ts';
import { diskLayout } from '../../../image/disk/layout.ts';
import { LabError } from '../lab-error.ts';
import { answersFor } from './first-start.ts';
import type { ApplianceMachine } from './machine.ts';
import { mustNot, type Stage, WAITS, type Where, watch } from './stage.ts';
import { startTpm } from './tpm.ts';

const PATIENCE_S = 1800;
export const QUESTION = /First start: encryption/;
export const LOCKED = /The state is locked/;
export const RECOVERY_KEY = /([0-9a-z]{4}(?:-[0-9a-z]{4}){7})/;
/** Of log/init.log on the state partition: written at every start, long before anything is shown. */
const KNOWN = 'boot: version ';
/** Of the header of an encrypted one. */
const TOKEN = 'twinstep-tpm2';
const READ_BYTES = 1 << 22;
/** Where the state partition begins: what is before it holds the programs that write these texts. */
const STATE_BYTE = (diskLayout().slots.b.firstSector + diskLayout().slots.b.sectors) * SECTOR_BYTES;

export async function tpmTale(stage: Stage): Promise<void> {
  const { built, tools, say } = stage;
  const where = stage.disk({ files: espFiles(tools, [built]), slots: { a: built.slot } });
  const [first, second] = [join(stage.work, 'tpm-1'), join(stage.work, 'tpm-2')];

  say('a server with a TPM, and somebody who does not want encryption');
  await boot(stage, where, first, async (machine) => {
    await sees(stage, machine, QUESTION, 'asked');
    machine.type('\r');
    await watch(stage, machine, [[WAITS, "the setup's first screen"]]);
  });
  expectOnDisk(where, KNOWN, true);
  say('  what the state holds can be read on the disk');

  say('started again, and encrypted');
  let recoveryKey = '';
  await boot(stage, where, first, async (machine) => {
    await sees(stage, machine, QUESTION, 'asked again: nothing is kept yet');
    machine.type(' \r');
    await sees(stage, machine, RECOVERY_KEY, 'the recovery key is shown');
    recoveryKey = RECOVERY_KEY.exec(machine.screen().join(' '))?.[1] ?? '';
    machine.type('zzzz\r');
    await sees(stage, machine, /Write all of it down first/, 'not written down: it stays');
    machine.type(`${recoveryKey.slice(-4)}\r`);
    await watch(stage, machine, [[WAITS, "the setup's first screen"]]);
  });

  say('started again');
  await opensByItself(stage, where, first);
  expectOnDisk(where, TOKEN, true);
  expectOnDisk(where, KNOWN, false);
  expectOnDisk(where, recoveryKey, false);
  say('  what the state holds cannot be read on the disk');

  say('the disk in a server with another TPM');
  await boot(stage, where, second, async (machine) => {
    await sees(stage, machine, LOCKED, 'the recovery key is asked for');
    await sees(stage, machine, /another TPM/, 'the reason is named');
    machine.type(`${'0123-'.repeat(8)}\r`);
    await sees(stage, machine, /That key does not open it/, 'another key is refused');
    // In capitals and without dashes, as people type.
    machine.type(`${recoveryKey.toUpperCase().replaceAll('-', ' ')}\r`);
    await watch(stage, machine, [
      [/opened by: recoveryKey/, 'its own key opens it'],
      [WAITS, "the setup's first screen"],
    ]);
  });

  say('started again there');
  await opensByItself(stage, where, second);
  await byAnswerFile(stage);
}

/** Nobody is there. */
async function byAnswerFile(stage: Stage): Promise<void> {
  const { built, tools, say } = stage;
  const answers = `${answersFor('A', randomBytes(16).toString('hex'))}stateEncryption: tpm2\n`;
  const where = stage.disk({ files: espFiles(tools, [built]), slots: { a: built.slot } });
  say('an answer file that wants encryption, a server without a TPM');
  await stage.boot(where, { answers }, (machine) =>
    sees(stage, machine, /the server shows no TPM 2\.0\. Switch it on/, 'refused, with the remedy'),
  );
  say('the same disk and file, the TPM is switched on');
  await boot(
    stage,
    where,
    join(stage.work, 'tpm-3'),
    async (machine) => {
      await sees(stage, machine, RECOVERY_KEY, 'the recovery key is shown');
      await sees(stage, machine, /First start: network ports/, 'it goes on by itself');
      await watch(stage, machine, [[/opened by: tpm2/, 'the state is encrypted']]);
    },
    { answers },
  );
}

export const sees = async (stage: Stage, machine: ApplianceMachine, pattern: RegExp, meaning: string): Promise<void> =>
  stage.say(`  ${(await machine.untilScreen(pattern, PATIENCE_S)).toFixed(1)} s  ${meaning}`);

function opensByItself(stage: Stage, where: Where, tpm: string): Promise<void> {
  return boot(stage, where, tpm, async (machine) => {
    await watch(stage, machine, [
      [/opened by: tpm2/, 'the TPM has opened the state'],
      [WAITS, "the setup's first screen"],
    ]);
    mustNot(machine, QUESTION);
    mustNot(machine, LOCKED);
    mustNot(machine, /cannot be/);
  });
}

async function boot(
  stage: Stage,
  where: Where,
  folder: string,
  tale: (machine: ApplianceMachine) => Promise<void>,
  given: Record<string, string> = {},
): Promise<void> {
  const tpm = await startTpm(folder);
  try {
    await stage.boot(where, given, tale, { tpm: tpm.socket });
  } finally {
    await tpm.stop();
  }
}

/** Throws unless the bytes are there, or not there, anywhere behind the slots. */
function expectOnDisk({ disk }: Where, text: string, isThere: boolean): void {
  if (holds(disk, Buffer.from(text)) === isThere) return;
  throw new LabError(`'${text.slice(0, 4)}...' is ${isThere ? 'not found' : 'found'} in the bytes of the disk`);
}

function holds(path: string, wanted: Buffer): boolean {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(READ_BYTES + wanted.length);
    for (let at = STATE_BYTE; ; at += READ_BYTES) {
      const count = readSync(fd, buffer, 0, buffer.length, at);
      if (count === 0) return false;
      if (buffer.subarray(0, count).includes(wanted)) return true;
    }
  } finally {
    closeSync(fd);
  }
}
