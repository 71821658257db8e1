// The two copies of the disk in words: are they known to be the same, what was mended, what waits for the operator.
import type { DiskView, ScrubView, Snapshot } from '../core/snapshot.ts';
import { ageText, countText, dateText, percentText, printable, sizeText } from './format.ts';
import { type DiskModel, type Fact, fact, type Tone } from './view-models.ts';

/** Null: an earlier release made the picture, or nothing is known yet. */
export function diskModel(s: Snapshot): DiskModel | null {
  const { disk } = s;
  if (!disk) return null;
  const out = s.attention.some((a) => a.kind === 'diskOut' || a.kind === 'diskFailed');
  const { word, tone, sentence } = standing(disk, out, s);
  return {
    word,
    tone,
    sentence: printable(sentence),
    brief: printable(`${word}${disk.scrub ? `; ${scrubBrief(disk.scrub, s.at)}` : ''}`),
    facts: [
      fact('Size', sizeText(disk.sizeBytes)),
      fact('Repaired', countText(disk.repairedBlocks, 'block'), disk.repairedBlocks > 0 ? 'warning' : 'info'),
      fact('Not served', countText(disk.quarantined.length, 'block'), disk.quarantined.length > 0 ? 'critical' : 'info'),
      ...(disk.lateMs > 0 ? [fact('Answers', `not for ${(disk.lateMs / 1000).toFixed(0)} s`, 'warning')] : []),
      ...scrubFacts(disk.scrub, s.at),
    ],
  };
}

function standing(disk: DiskView, out: boolean, s: Snapshot): { word: string; tone: Tone; sentence: string } {
  if (out)
    return { word: 'one disk failed', tone: 'critical', sentence: 'One copy is out of use. What is above says which, and what to do.' };
  if (disk.quarantined.length > 0)
    return {
      word: `${countText(disk.quarantined.length, 'block')} in question`,
      tone: 'critical',
      sentence: 'Nobody knows the right content there: the guest gets an I/O error for these blocks.',
    };
  if (disk.lateMs > 0)
    return { word: 'slow to answer', tone: 'warning', sentence: `The disk of CoServer ${s.coServer} has not answered a request yet.` };
  if (disk.scrub?.state === 'running')
    return { word: 'being compared', tone: 'info', sentence: 'Both copies are read and compared while the guest runs.' };
  if (disk.repairedBlocks > 0)
    return {
      word: 'repaired',
      tone: 'warning',
      sentence:
        'Blocks that one copy had lost were served and written again from the other one. If it happens again, look at that disk. A comparison of the copies that finds nothing ends this.',
    };
  return { word: 'well', tone: 'good', sentence: 'Nothing is wrong with either copy, as far as it was read.' };
}

const STATE: Readonly<Record<ScrubView['state'], string>> = {
  running: 'being compared',
  paused: 'waits',
  done: 'compared',
  cutShort: 'comparison cut short',
};

function scrubBrief(v: ScrubView, at: number): string {
  switch (v.state) {
    case 'running':
    case 'paused':
      return `${percentText(share(v))} compared${v.state === 'paused' ? ', waits' : ''}`;
    default:
      return `${STATE[v.state]}${v.endedAt === null ? '' : ` ${ageText(Math.max(0, at - v.endedAt))} ago`}`;
  }
}

function scrubFacts(v: ScrubView | null, at: number): Fact[] {
  if (!v) return [fact('Compared', 'never yet', 'info')];
  const found = v.differed === 0 ? 'no difference' : `${countText(v.differed, 'block')} differed, ${v.repaired} made equal`;
  return [
    fact(
      'Compared',
      `${sizeText(v.checkedBytes)} of ${sizeText(v.totalBytes)}: ${STATE[v.state]}`,
      v.state === 'cutShort' ? 'warning' : 'info',
    ),
    fact('Found', found, v.differed > v.repaired ? 'critical' : v.differed > 0 ? 'warning' : 'good'),
    fact(
      v.endedAt === null ? 'Began' : 'Ended',
      v.endedAt === null ? ago(v.startedAt, at) : `${dateText(v.endedAt)}, ${ago(v.endedAt, at)}`,
    ),
    ...(v.reason === '' ? [] : [fact('Because', v.reason, 'warning')]),
  ];
}

const ago = (then: number, at: number): string => `${ageText(Math.max(0, at - then))} ago`;
const share = (v: ScrubView): number => (v.totalBytes === 0 ? 0 : v.checkedBytes / v.totalBytes);
