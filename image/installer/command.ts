// `twinstep install`: asks on serial line and screen, installs, says how the server is to go on.
//
//   twinstep install --console DEVICE... --content FILE --esp DIRECTORY [--answers FILE] [--command-line FILE]
//
// Exit code 0: start again; 10: switch off; anything else: it failed, and is to be started once more.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { openSerialPort, type SerialLine } from '../../drivers/serial/index.ts';
import { readAnswers } from './answers.ts';
import { Consoles } from './consoles.ts';
import { type Duty, freshInstallation, type Installation, type News, onKey, onNews, type Step, type Target } from './dialogue.ts';
import { type DiskFacts, diskChoice } from './disk-choice.ts';
import { findDisks } from './disk-facts.ts';
import { InstallError, writeDisk } from './disk-writer.ts';
import { installPlan } from './install-plan.ts';
import { type Medium, MediumError, readMedium } from './medium-content.ts';
import { advanced, freshProgress, type Progress } from './progress.ts';

const EXIT = { restart: 0, off: 10 } as const;

export interface InstallDoors {
  findDisks(): Promise<DiskFacts[]>;
  open(path: string): SerialLine;
  nowMs(): number;
  log(line: string): void;
}

export interface InstallOptions {
  consoles: readonly string[];
  version: string;
  content: string;
  esp: string;
  commandLine: string;
  /** Null: somebody is asked. */
  answers: string | null;
}

/** Answers the exit code. */
export async function runInstall(args: string[], version: string, log: (line: string) => void): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      console: { type: 'string', multiple: true, default: [] },
      content: { type: 'string', default: '' },
      esp: { type: 'string', default: '' },
      answers: { type: 'string' },
      'command-line': { type: 'string', default: '/proc/cmdline' },
    },
  });
  if (values.console.length === 0 || values.content === '' || values.esp === '')
    throw new Error('usage: twinstep install --console DEVICE... --content FILE --esp DIRECTORY [--answers FILE]');
  const options = {
    consoles: values.console,
    version,
    content: values.content,
    esp: values.esp,
    commandLine: readFileSync(values['command-line'], 'utf8'),
    answers: values.answers === undefined ? null : readFileSync(values.answers, 'utf8'),
  };
  return install(options, { findDisks, open: (path) => openSerialPort({ path, log }), nowMs: () => performance.now(), log });
}

export async function install(options: InstallOptions, doors: InstallDoors): Promise<number> {
  const { log, nowMs } = doors;
  const read = options.answers === null ? null : readAnswers(options.answers);
  const first = freshInstallation(options.version, read?.kind === 'answers' ? read.answers : null, read?.kind === 'wrong' ? read.why : '');
  let state: Installation = first;
  const screens = new Consoles(options.consoles, doors.open, () => state);
  const medium = mediumOf(options);
  return new Promise<number>((resolve) => {
    const leave = (how: keyof typeof EXIT) => {
      screens.draw();
      screens.close();
      resolve(EXIT[how]);
    };
    const take = ({ state: next, duty }: Step, soon = false) => {
      if (next.mode.kind !== state.mode.kind) log(`installer: ${next.mode.kind}${next.mode.kind === 'failed' ? `: ${next.mode.why}` : ''}`);
      state = next;
      screens.draw(soon);
      if (duty) obey(duty);
    };
    const tell = (news: News, soon = false) => take(onNews(state, news), soon);
    const obey = (duty: Duty): void => {
      switch (duty.kind) {
        case 'look':
          void lookAtDisks(doors, tell);
          return;
        case 'install':
          if (medium instanceof MediumError) throw medium;
          void installOn(duty.target, medium, tell, nowMs);
          return;
        case 'leave':
          leave(duty.how);
          return;
        case 'redraw':
          screens.redraw();
          return;
        default:
          throw new Error(`unknown duty ${String(duty satisfies never)}`);
      }
    };
    screens.onKeys((key) => take(onKey(state, key)));
    if (medium instanceof MediumError)
      tell({
        kind: 'failed',
        why: sentence(medium.message),
        remedy: 'Fetch the medium again, compare its SHA-256, and write it anew.',
        final: true,
      });
    else obey({ kind: 'look' });
  });
}

function mediumOf(options: InstallOptions): Medium | MediumError {
  try {
    return readMedium(options);
  } catch (error) {
    return error instanceof MediumError ? error : new MediumError(`the medium cannot be read: ${(error as Error).message}`);
  }
}

async function lookAtDisks(doors: InstallDoors, tell: (news: News) => void): Promise<void> {
  const disks = (await doors.findDisks()).map(diskChoice);
  for (const { facts, contents, refusal } of disks)
    doors.log(`installer: ${facts.device} ${facts.serial}: ${contents}${refusal ? `; ${refusal}` : ''}`);
  // Those that can be taken first.
  tell({ kind: 'disks', disks: disks.toSorted((a, b) => Number(a.refusal !== null) - Number(b.refusal !== null)) });
}

async function installOn(
  { disk, keep }: Target,
  medium: Medium,
  tell: (news: News, soon?: boolean) => void,
  nowMs: () => number,
): Promise<void> {
  const startedAt = nowMs();
  let phase: 'writing' | 'checking' | null = null;
  let progress: Progress = freshProgress(0, startedAt);
  try {
    const plan = installPlan({ diskBytes: disk.facts.bytes, keep, slot: medium.slot, files: medium.files });
    await writeDisk(disk.facts.device, plan, medium.verity, {
      progress: (now, done, total) => {
        if (now !== phase) progress = freshProgress(total, nowMs());
        phase = now;
        progress = advanced(progress, done, nowMs());
        tell({ kind: 'progress', phase: now, progress }, true);
      },
    });
    tell({ kind: 'installed', tookMs: nowMs() - startedAt });
  } catch (error) {
    const remedy =
      error instanceof InstallError ? error.remedy : 'Start this server again from the medium; if it happens again, report it.';
    tell({ kind: 'failed', why: sentence((error as Error).message), remedy, final: false });
  }
}

const sentence = (words: string): string => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
