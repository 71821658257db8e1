// The language of the stories: which sentence does what to the pair. README.md lists them for readers; an unknown sentence is an error.
//
//   <paragraph in plain words>          row(s) in its first line, "Row 5. ..."
//                                       (blank line)
//   <sentence>                          one or more: what happens
//   ----                                then what both cores did about it, up to the next blank line
import { CATALOGUE, type FaultCode } from '../../appliance/core/faults/catalogue.ts';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { NewEvent } from '../../appliance/runtime/pump.ts';
import { someFault } from '../unit/appliance/some-fault.ts';
import { type Controller, Pair, type PairSettings } from './pair.ts';

export interface Block {
  sentences: string[];
  golden: string;
}

export interface Story {
  /** The paragraph. */
  text: string;
  /** Rows of the decision table that it is about. */
  rows: string[];
  blocks: Block[];
}

function codeOf(word: string): FaultCode {
  if (!Object.hasOwn(CATALOGUE, word)) throw new Error(`no fault of the catalogue: ${word}`);
  return word as FaultCode;
}

export function parseStory(source: string): Story {
  const [text = '', ...parts] = source
    .replaceAll('\r', '')
    .trim()
    .split(/\n{2,}/);
  const named = /^Rows? ([0-9nw, and]+)\. /.exec(text)?.[1];
  if (!named) throw new Error("a story begins with its row, as in 'Row 5. The partner falls silent.'");
  return {
    text,
    rows: named.split(/, | and /),
    blocks: parts.map((part) => {
      const [before = '', after = ''] = part.split(/^----$/m);
      return {
        sentences: before
          .split('\n')
          .map((s) => s.trim())
          .filter(Boolean),
        golden: after.trim(),
      };
    }),
  };
}

export function printStory(story: Story): string {
  const blocks = story.blocks.map((b) => `${b.sentences.join('\n')}\n----\n${b.golden}`);
  return `${[story.text, ...blocks].join('\n\n')}\n`;
}

/** A story under way: settings may be said until it starts. */
export interface Stage {
  settings: PairSettings;
  pair: Pair | null;
}

export function emptyStage(): Stage {
  return {
    settings: { witness: true, fence: false, level: 3, version: { A: '1', B: '1' }, compatible: [] },
    pair: null,
  };
}

type Rule = [pattern: RegExp, act: (stage: Stage, words: string[]) => void];

function pairOf(stage: Stage): Pair {
  if (!stage.pair) throw new Error("nothing has started yet: 'start duplex' or 'start new' comes first");
  return stage.pair;
}

const both = (word: string): CoServerName[] => (word === 'both' ? ['A', 'B'] : [word === 'A' ? 'A' : 'B']);

function setting(change: (s: PairSettings, words: string[]) => void): Rule[1] {
  return (stage, words) => {
    if (stage.pair) throw new Error('settings come before the start');
    change(stage.settings, words);
  };
}

const happens =
  (act: (pair: Pair, words: string[]) => void): Rule[1] =>
  (stage, words) =>
    act(pairOf(stage), words);

/** An event that is told to one side (word 1) or to both. */
const told = (event: (words: string[]) => NewEvent): Rule[1] =>
  happens((pair, words) => {
    for (const name of both(words[0] ?? '')) pair.tell(name, event(words));
  });

const milliseconds = (number: string, unit: string) => Number(number) * ({ ms: 1, s: 1_000, min: 60_000, h: 3_600_000 }[unit] ?? 0);

const RULES: Rule[] = [
  [
    /^arbiters: (witness|fence|witness and fence|none)$/,
    setting((s, [which = '']) => Object.assign(s, { witness: which.includes('witness'), fence: which.includes('fence') })),
  ],
  [/^protection level (2|3)$/, setting((s, [level]) => Object.assign(s, { level: level === '2' ? 2 : 3 }))],
  [/^(A|B) has version (\S+)$/, setting((s, [name = '', version = '']) => Object.assign(s.version, { [name]: version }))],
  [/^versions (\S+) are declared compatible$/, setting((s, [versions = '']) => Object.assign(s, { compatible: versions.split(',') }))],
  [
    /^(A|B) is updated to version (\S+)$/,
    (stage, [name = '', version = '']) => void Object.assign(stage.settings.version, { [name]: version }),
  ],
  [/^start new$/, (stage) => start(stage)],
  [/^start duplex, arbiter (witness|fence|namedA)$/, (stage, [arbiter = '']) => startDuplex(stage, arbiter)],
  [/^(\d+) (ms|s|min|h) pass$/, happens((pair, [number = '', unit = '']) => pair.run(milliseconds(number, unit)))],
  // What is told elsewhere (row 21) and would only be in the way here.
  [
    /^until duplex, untold$/,
    happens((pair) => {
      const told = pair.facts.length;
      pair.runUntil('duplex', () => pair.isDuplex);
      pair.facts.length = told;
    }),
  ],
  [/^until duplex$/, happens((pair) => pair.runUntil('duplex', () => pair.isDuplex))],
  [/^(A|B|both) loses? power$/, happens((pair, [who = '']) => both(who).forEach((name) => void pair.powerOff(name)))],
  [/^(A|B|both) gets? power$/, happens((pair, [who = '']) => both(who).forEach((name) => void pair.powerOn(name)))],
  [/^(A|B) falls asleep$/, happens((pair, [who = '']) => pair.sleep(who === 'A' ? 'A' : 'B'))],
  [/^(A|B) wakes$/, happens((pair, [who = '']) => pair.wake(who === 'A' ? 'A' : 'B'))],
  [/^the process on (A|B) is killed$/, happens((pair, [who]) => pair.endProcess(who === 'A' ? 'A' : 'B'))],
  [/^the process on (A|B) is asked to end$/, told(() => ({ kind: 'stopRequested' }))],
  [/^link (1|2) is (cut|mended)$/, happens((pair, [link, how]) => pair.setLink(Number(link) - 1, how === 'mended'))],
  [/^both links are (cut|mended)$/, happens((pair, [how]) => [0, 1].forEach((link) => void pair.setLink(link, how === 'mended')))],
  [/^the management network is (cut|mended)$/, happens((pair, [how]) => pair.setManagement(how === 'mended'))],
  [
    /^the witness is (reachable|unreachable) from (A|B|both)$/,
    happens((pair, [how, who = '']) => both(who).forEach((name) => void pair.setWitness(name, how === 'reachable'))),
  ],
  [
    /^the witness restarts with its memory (kept|lost)$/,
    happens((pair, [memory]) => pair.restartWitness(memory === 'lost' ? 'lost' : 'kept')),
  ],
  [
    /^the management controller of (A|B) (answers|is silent|lies)$/,
    happens((pair, [who, how = '']) => pair.setController(who === 'A' ? 'A' : 'B', how.replace('is ', '') as Controller)),
  ],
  [/^the replica on (A|B) breaks$/, happens((pair, [who]) => pair.breakReplica(who === 'A' ? 'A' : 'B'))],
  [/^the disk of (A|B) (fails|is replaced)$/, happens((pair, [who, how]) => pair.setDisk(who === 'A' ? 'A' : 'B', how !== 'fails'))],
  [
    /^(A|B) finds block (\d+) of (its own|the partner's) copy unreadable$/,
    told(([, offset, side]) => ({ kind: 'blockUnreadable', offset: Number(offset), side: side === 'its own' ? 'own' : 'partner' })),
  ],
  [
    /^(A|B) finds the copies different at (\d+), (its own|the partner's|neither) fits$/,
    told(([, offset, fits]) => ({
      kind: 'copiesDiffer',
      offset: Number(offset),
      fits: fits === 'its own' ? 'own' : fits === 'neither' ? 'neither' : 'partner',
    })),
  ],
  [
    /^the mirror of (A|B) says that (no block waits|the block at (\d+) waits)$/,
    told(([, , offset]) => ({ kind: 'copiesObserved', scrubbing: true, quarantined: offset === undefined ? [] : [Number(offset)] })),
  ],
  [/^the business network of (A|B|both) is (dead|back)$/, told(([, how]) => ({ kind: 'businessNicObserved', up: how === 'back' }))],
  [
    /^(A|B|both) runs? on (mains|battery|low battery)$/,
    told(([, supply]) => ({ kind: 'upsObserved', onBattery: supply !== 'mains', low: supply === 'low battery' })),
  ],
  [
    /^the hardware of (A|B|both) (is well|has (\w+) at (.+?): "(.+)")$/,
    told(([, , code, where = '', detail = '']) => ({
      kind: 'faultsObserved',
      faults: code === undefined ? [] : [someFault(codeOf(code), where, detail)],
    })),
  ],
  [
    /^the engine of (A|B|both) ends: (guest panic|guest shutdown|crash)$/,
    told(([, cause]) => ({
      kind: 'engineExited',
      cause: cause === 'crash' ? 'crash' : cause === 'guest panic' ? 'guestPanic' : 'guestShutdown',
      reason: cause ?? '',
    })),
  ],
  [/^the clock of (A|B|both) jumps by (-?\d+) s$/, told(([, seconds]) => ({ kind: 'clockJumped', byMs: Number(seconds) * 1000 }))],
  [
    /^for (\d+) s (A|B) sees (\d+) frames agree, (\d+) wait and (\d+) checkpoints asked for each second$/,
    happens((pair, [seconds, who, agreed, waited, asked]) => {
      for (let i = 0; i < Number(seconds); i++) {
        pair.run(1_000);
        pair.tell(who === 'A' ? 'A' : 'B', {
          kind: 'comparisonObserved',
          agreed: Number(agreed),
          waited: Number(waited),
          asked: Number(asked),
        });
      }
    }),
  ],
  [/^the operator asks (A|B) to (\S+)$/, told(([, action = '']) => ({ kind: 'operatorRequested', action }))],
];

function start(stage: Stage): void {
  if (stage.pair) throw new Error('it has started already');
  stage.pair = new Pair(stage.settings);
  stage.pair.powerOn('A');
  stage.pair.powerOn('B');
}

/** From two new CoServers, through all that they say and do until they are duplex; none of it is told. */
function startDuplex(stage: Stage, arbiter: string): void {
  start(stage);
  const pair = pairOf(stage);
  pair.runUntil('duplex', () => pair.isDuplex);
  pair.run(30_000 - pair.now);
  if (pair.arbiter('A') !== arbiter || pair.arbiter('B') !== arbiter)
    throw new Error(`duplex with arbiter ${pair.arbiter('A')}, not ${arbiter}`);
  pair.facts.length = 0;
}

/** Lets one sentence happen. Throws an Error that names what is wrong with it. */
export function perform(stage: Stage, sentence: string): void {
  for (const [pattern, act] of RULES) {
    const words = pattern.exec(sentence);
    if (!words) continue;
    act(stage, words.slice(1));
    return;
  }
  throw new Error(`'${sentence}' is no sentence of the stories' language (README.md)`);
}
