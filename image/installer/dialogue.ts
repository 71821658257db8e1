// What the installer is doing, as a pure state: keys and news in, what must be done out. `screens.ts` draws it.
//
//   looking -> choose -> (how) -> confirm -> working -> done -> restart
//      ^---------------------------------------- failed
import type { Key } from '../../appliance/console/serial/keys.ts';
import type { Answers } from './answers.ts';
import { type DiskChoice, newerState } from './disk-choice.ts';
import type { Progress } from './progress.ts';

/** On one screen, and one key each; the cursor leads to further ones. */
export const DISKS_PER_SCREEN = 9;
/** Longer than any serial number's end: a flood of keys stays bounded. */
const MAX_TYPED = 32;

export interface Target {
  disk: DiskChoice;
  /** The state stays, only slot and programs are written. */
  keep: boolean;
}

export type Mode =
  | { kind: 'looking' }
  | { kind: 'choose'; cursor: number }
  | { kind: 'how'; disk: DiskChoice; keep: boolean }
  | { kind: 'confirm'; target: Target; typed: string }
  | { kind: 'working'; target: Target; phase: 'writing' | 'checking'; progress: Progress }
  | { kind: 'done'; target: Target; tookMs: number }
  /** `final`: nothing can be installed from this medium. */
  | { kind: 'failed'; why: string; remedy: string; final: boolean }
  | { kind: 'leaving' };

export interface Installation {
  version: string;
  mode: Mode;
  disks: readonly DiskChoice[];
  message: string;
  /** Taken once, at the first look at the disks. */
  answers: Answers | null;
  /** What an installation by itself ends with; null: somebody is asked. */
  finally: 'restart' | 'off' | null;
}

export type Duty = { kind: 'look' } | { kind: 'install'; target: Target } | { kind: 'leave'; how: 'restart' | 'off' } | { kind: 'redraw' };

export type News =
  | { kind: 'disks'; disks: readonly DiskChoice[] }
  | { kind: 'progress'; phase: 'writing' | 'checking'; progress: Progress }
  | { kind: 'installed'; tookMs: number }
  | { kind: 'failed'; why: string; remedy: string; final: boolean };

export interface Step {
  state: Installation;
  duty: Duty | null;
}

export function freshInstallation(version: string, answers: Answers | null, message = ''): Installation {
  return { version, mode: { kind: 'looking' }, disks: [], message, answers, finally: null };
}

const stay = (state: Installation, mode: Mode = state.mode, message = ''): Step => ({ state: { ...state, mode, message }, duty: null });

export function onNews(state: Installation, news: News): Step {
  switch (news.kind) {
    case 'disks': {
      const next: Installation = { ...state, disks: news.disks, answers: null };
      if (state.answers !== null) return byAnswers(next, state.answers, news.disks);
      const first = next.disks.findIndex(({ refusal }) => refusal === null);
      return stay(next, { kind: 'choose', cursor: Math.max(0, first) }, state.message);
    }
    case 'progress':
      if (state.mode.kind !== 'working') return stay(state, state.mode, state.message);
      return stay(state, { ...state.mode, phase: news.phase, progress: news.progress });
    case 'installed': {
      if (state.mode.kind !== 'working') return stay(state, state.mode, state.message);
      const { target } = state.mode;
      const done = stay(state, { kind: 'done', target, tookMs: news.tookMs });
      return state.finally === null ? done : { ...done, duty: { kind: 'leave', how: state.finally } };
    }
    case 'failed':
      return stay({ ...state, finally: null }, news);
    default:
      throw new Error(`unknown news ${String(news satisfies never)}`);
  }
}

/** Nobody is asked; whatever does not fit is said, and then somebody is. */
function byAnswers(state: Installation, answers: Answers, disks: readonly DiskChoice[]): Step {
  const { serial, keep } = answers;
  const refuse = (why: string): Step => stay(state, { kind: 'choose', cursor: 0 }, `Not installed by itself: ${why}.`);
  const [disk, ...more] = disks.filter(({ facts }) => facts.serial === serial);
  if (disk === undefined) return refuse(`no disk has the serial number ${serial}`);
  if (more.length > 0) return refuse(`${more.length + 1} disks have the serial number ${serial}`);
  if (disk.refusal !== null) return refuse(`disk ${serial} cannot be taken: ${disk.refusal}`);
  if (keep && !disk.keepable) return refuse(`disk ${serial} has no state of this layout that could stay`);
  const newer = keep ? newerState(disk, state.version) : null;
  if (newer !== null)
    return refuse(
      `the state of disk ${serial} was written by version ${newer}, and this is ${state.version}: install ${newer} or a newer one`,
    );
  return install({ ...state, finally: answers.finally }, { disk, keep });
}

/** What is typed before anything is written: more, where an older version is put beside a state that it may not understand. */
export function wordFor({ version }: Installation, { disk, keep }: Target): string {
  return keep && newerState(disk, version) !== null ? `older ${disk.word}` : disk.word;
}

function install(state: Installation, target: Target): Step {
  const progress: Progress = { total: 0, done: 0, samples: [] };
  return {
    state: { ...state, mode: { kind: 'working', target, phase: 'writing', progress }, message: '' },
    duty: { kind: 'install', target },
  };
}

const look = (state: Installation): Step => ({ state: { ...state, mode: { kind: 'looking' }, message: '' }, duty: { kind: 'look' } });
const leave = (state: Installation): Step => ({
  state: { ...state, mode: { kind: 'leaving' }, message: '' },
  duty: { kind: 'leave', how: 'restart' },
});

export function onKey(state: Installation, key: Key): Step {
  if (key.kind === 'redraw') return { state, duty: { kind: 'redraw' } };
  const { mode } = state;
  switch (mode.kind) {
    case 'choose':
      return chooseKey(state, mode, key);
    case 'how':
      if (isLetter(key, '1') || isLetter(key, '2')) return confirm(state, { disk: mode.disk, keep: isLetter(key, '1') });
      if (key.kind === 'move') return stay(state, { ...mode, keep: !mode.keep });
      if (key.kind === 'enter') return confirm(state, { disk: mode.disk, keep: mode.keep });
      return isBack(key) ? backToDisks(state, mode.disk) : stay(state);
    case 'confirm':
      return confirmKey(state, mode, key);
    case 'done':
      return key.kind === 'enter' ? leave(state) : stay(state);
    case 'failed':
      if (isLetter(key, 'q')) return leave(state);
      return key.kind === 'enter' && !mode.final ? look(state) : stay(state);
    case 'looking':
    case 'working':
    case 'leaving':
      return stay(state, mode, state.message);
    default:
      throw new Error(`unknown mode ${String(mode satisfies never)}`);
  }
}

export const firstShown = (cursor: number): number => Math.floor(cursor / DISKS_PER_SCREEN) * DISKS_PER_SCREEN;

function chooseKey(state: Installation, mode: Extract<Mode, { kind: 'choose' }>, key: Key): Step {
  if (isLetter(key, 'r')) return look(state);
  if (isLetter(key, 'q')) return leave(state);
  const last = state.disks.length - 1;
  if (key.kind === 'move') return stay(state, { kind: 'choose', cursor: Math.max(0, Math.min(last, mode.cursor + key.direction)) });
  const number = key.kind === 'byte' ? key.byte - 0x31 : -1;
  const numbered = firstShown(mode.cursor) + number;
  if (number >= 0 && number < DISKS_PER_SCREEN && numbered <= last) return stay(state, { kind: 'choose', cursor: numbered });
  if (key.kind !== 'enter') return stay(state);
  const disk = state.disks[mode.cursor];
  if (disk === undefined) return stay(state);
  if (disk.refusal !== null) return stay(state, mode, `This disk cannot be taken: ${disk.refusal}.`);
  return disk.keepable ? stay(state, { kind: 'how', disk, keep: true }) : confirm(state, { disk, keep: false });
}

const confirm = (state: Installation, target: Target): Step => stay(state, { kind: 'confirm', target, typed: '' });

function confirmKey(state: Installation, mode: Extract<Mode, { kind: 'confirm' }>, key: Key): Step {
  const { target, typed } = mode;
  const word = wordFor(state, target);
  switch (key.kind) {
    case 'byte':
      return stay(state, { ...mode, typed: (typed + String.fromCharCode(key.byte)).slice(0, MAX_TYPED) });
    case 'backspace':
      return stay(state, { ...mode, typed: typed.slice(0, -1) });
    case 'enter':
      if (typed === word) return install(state, target);
      return stay(state, { ...mode, typed: '' }, `That is not '${word}'. Nothing was written.`);
    case 'escape':
    case 'cancel':
      return backToDisks(state, target.disk);
    case 'move':
    case 'redraw':
      return stay(state);
    default:
      throw new Error(`unknown key ${String(key satisfies never)}`);
  }
}

const backToDisks = (state: Installation, disk: DiskChoice): Step =>
  stay(state, { kind: 'choose', cursor: Math.max(0, state.disks.indexOf(disk)) }, 'Nothing was written.');

const isBack = (key: Key): boolean => key.kind === 'escape' || key.kind === 'cancel';
const isLetter = (key: Key, letter: string): boolean => key.kind === 'byte' && String.fromCharCode(key.byte).toLowerCase() === letter;
