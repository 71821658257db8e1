// `twinstep state first|open --device DEVICE --console DEVICE...`: what init asks before the state partition is there.
//
//   first   a new partition: is it to be encrypted? Asks, or takes it from an answer file. 0: no. 10: yes, and it is open.
//   open    an encrypted one: by the TPM, else by the recovery key. 0: open by the TPM. 10: open by the recovery key.
import { Command } from 'commander';
import { openTpm } from '../../drivers/tpm/index.ts';
import { parseArguments } from '../console/cli/parse-arguments.ts';
import { runProgram } from '../console/cli/programs.ts';
import { readAnswerFile } from '../setup/answer-file.ts';
import { findAnswers } from '../setup/find-answers.ts';
import { cryptsetup } from './cryptsetup.ts';
import { firstQuestion, lockedQuestion, type StateDuty, type StateEvent } from './dialogue.ts';
import { DialogueHost } from './host.ts';
import { makeVolume, openByRecoveryKey, openByTpm, sealAnew, type VolumeParts } from './volume.ts';

/** As the setup looks for them. */
const LOOK_EVERY_MS = 3_000;
/** Nobody was announced: whoever reads along on the serial line has it by then. */
const SHOWN_TO_NOBODY_MS = 120_000;
const OTHERWISE = 10;

export interface StateParts {
  version: string;
  log: (line: string) => void;
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
}

interface Options {
  device: string;
  console: string[];
  run: string;
}

/** `argv`: what follows `state`. Answers the exit code: as above, 1 it cannot be done, 2 wrong arguments. */
export async function runState(argv: readonly string[], parts: StateParts): Promise<number> {
  const command = new Command('twinstep state')
    .description("The state partition's encryption, before it is mounted: run by the appliance's init.")
    .argument('<what>', 'first: ask whether a new one is encrypted; open: open an encrypted one')
    .requiredOption('--device <device>', 'the state partition')
    .requiredOption('--console <device...>', 'serial lines and screens to ask on')
    .option('--run <folder>', 'a folder in memory', '/run/twinstep')
    .allowExcessArguments(false);
  const code = parseArguments(command, argv, parts);
  if (code !== null) return code;
  const options = command.opts<Options>();
  const [what] = command.args;
  const discard = async (device: string): Promise<void> => {
    await runProgram('blkdiscard', ['--force', device], 'util-linux').catch((error: Error) => parts.log(error.message));
  };
  const volume: VolumeParts = { device: options.device, tpm: openTpm, cryptsetup, discard, keyFolder: `${options.run}/keys` };
  switch (what) {
    case 'first':
      return first(options, volume, parts);
    case 'open':
      return open(options, volume, parts);
    default:
      parts.stderr.write(`twinstep state: there is no ${what}: first or open\n`);
      return 2;
  }
}

async function first(options: Options, volume: VolumeParts, { version, log }: StateParts): Promise<number> {
  const obey = (duty: StateDuty, tell: (event: StateEvent) => void): void => {
    switch (duty.kind) {
      case 'make':
        makeVolume(volume).then(
          (recoveryKey) => tell({ kind: 'made', recoveryKey }),
          (error: Error) => {
            log(`the state partition is not encrypted: ${error.message}`);
            tell({ kind: 'failed', problem: `It is not encrypted: ${error.message}.` });
          },
        );
        return;
      case 'showLong':
        setTimeout(() => tell({ kind: 'shownLong' }), SHOWN_TO_NOBODY_MS).unref();
        return;
      case 'try':
      case 'redraw':
      case 'end':
        return;
      default:
        duty satisfies never;
    }
  };
  const host = new DialogueHost({ start: firstQuestion(), version, consoles: options.console, log, obey });
  let known = '';
  let isLooking = false;
  const look = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    try {
      await findAnswers(null, `${options.run}/stick`, async ({ from, text }) => {
        if (text === known) return;
        known = text;
        const reading = readAnswerFile(text);
        if (reading.kind === 'wrong') host.tell({ kind: 'fileWrong', problem: `${from}: ${reading.problems[0]}` });
        else host.tell({ kind: 'file', encryption: reading.file.stateEncryption });
      });
    } catch (error) {
      host.tell({ kind: 'fileWrong', problem: (error as Error).message });
    } finally {
      isLooking = false;
    }
  };
  const timer = setInterval(() => void look(), LOOK_EVERY_MS);
  void look();
  const isEncrypted = await host.ended;
  clearInterval(timer);
  await host.close();
  return isEncrypted ? OTHERWISE : 0;
}

async function open(options: Options, volume: VolumeParts, { version, log }: StateParts): Promise<number> {
  const why = await openByTpm(volume);
  if (why === null) return 0;
  log(`the TPM does not open the state partition: ${why}`);
  const obey = (duty: StateDuty, tell: (event: StateEvent) => void): void => {
    if (duty.kind !== 'try') return;
    const { recoveryKey } = duty;
    openByRecoveryKey(volume, recoveryKey).then(
      async (isRight) => {
        if (!isRight) return tell({ kind: 'refused' });
        // Without a TPM the recovery key is asked for at each start.
        await sealAnew(volume, recoveryKey).then(
          () => log("the state partition's key is sealed anew"),
          (error: Error) => log(`the state partition's key is not sealed anew: ${error.message}`),
        );
        tell({ kind: 'opened' });
      },
      (error: Error) => {
        log(error.message);
        tell({ kind: 'lockFailed', problem: error.message });
      },
    );
  };
  const host = new DialogueHost({ start: lockedQuestion(why), version, consoles: options.console, log, obey });
  await host.ended;
  await host.close();
  return OTHERWISE;
}
