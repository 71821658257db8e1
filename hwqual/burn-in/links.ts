// All dedicated links at once at line rate, both ways: what was lost or damaged, and which port is connected to which.
import { createHmac } from 'node:crypto';
import { type BurnInTest, outcome, rounded, type TestContext } from './context.ts';
import type { Received } from './flood-codec.ts';
import type { LinkFigures } from './link-work.ts';
import type { Figure, TestResult } from './result.ts';
import { startWork } from './worker.ts';

export const links: BurnInTest = { id: 'links', title: 'links', run };

/** A link that spoke and then not any more for so long before the end. */
const SILENT_MS = 5_000;
/** Who listened for less may have missed the partner. */
const LISTENED_MIN_MS = 3_000;
/** Of what the NIC says it can: below it the processors were too busy to fill the link. */
const FILLED_SHARE = 0.8;
const NO_KEY = Buffer.alloc(32);

/** A key for this purpose only. @param pairKey Null: everybody has it. */
export function floodKey(pairKey: Uint8Array | null, pairId: string): Buffer {
  return createHmac('sha256', pairKey ?? NO_KEY)
    .update(`burn-in ${pairId}`)
    .digest();
}

async function run(context: TestContext): Promise<TestResult> {
  const { options, stop, show } = context;
  const key = floodKey(options.pairKey, options.pairId);
  const now = new Map<number, LinkFigures>();
  const ends = await Promise.all(
    options.links.map(({ nic }, link) =>
      startWork<LinkFigures>({
        program: options.program,
        setup: { work: 'link', nic, link, coServer: options.coServer, key, answersOnly: options.answerOnly },
        stop,
        onFigures: (figures) => {
          now.set(link, figures);
          show([...now.values()].map(inWords).join('; '));
        },
      }),
    ),
  );
  const clocks = ends.flatMap((e) => (e.clock ? [e.clock] : []));
  context.tellPartnerClock(clocks.toSorted((a, b) => a.uncertaintyPpm - b.uncertaintyPpm)[0] ?? null);
  return judgeLinks(ends, options.pairKey !== null, options.coServer);
}

function inWords(f: LinkFigures): string {
  if (f.ownLink !== null) return `${f.nic}: hears this very CoServer's link ${f.ownLink}`;
  if (!f.heardPartner)
    return `${f.nic}: the partner is not heard yet${f.foreignFrames > 0 ? `, but ${f.foreignFrames} frames of somebody else` : ''}`;
  return `${f.nic}: ${mbitPerS(f.out.bytes, f.out.ms)} Mbit/s out, ${mbitPerS(f.in.bytes, f.in.ms)} in, ${f.in.lost} lost, ${f.in.damaged} damaged`;
}

/** Per link: what is wrong, and what only could not be tested. */
export function judgeLinks(ends: readonly LinkFigures[], paired: boolean, coServer: 'A' | 'B'): TestResult {
  const other = coServer === 'A' ? 'B' : 'A';
  const figures: Record<string, Figure> = { authenticated: paired };
  const answering = ends.some((e) => e.heardPartner);
  const wrong: string[] = [];
  const cables: string[] = [];
  for (const end of ends) {
    const { nic } = end;
    Object.assign(figures, figuresOf(end));
    if (end.heardPartner) cables.push(`${nic} to ${other}'s link ${end.partnerLink}`);
    wrong.push(...whatIsWrong(end, answering, other).map((what) => `${nic}: ${what}`));
  }
  figures['cables'] = cables.join(', ');
  if (wrong.length > 0) return outcome(links, 'fail', wrong.join('; '), figures);
  if (!answering)
    return outcome(
      links,
      'notTested',
      `CoServer ${other} does not answer on ${ends.map((e) => e.nic).join(', ')}: start its burn-in at the same time, or twinstep burn-in --answer there`,
      figures,
    );
  const short = ends.filter((e) => !e.heardPartner);
  if (short.length > 0)
    return outcome(
      links,
      'notTested',
      `there was no time to hear anybody on ${short.map((e) => e.nic).join(', ')}: give it longer`,
      figures,
    );
  const flooded = ends.filter((e) => e.out.frames + e.in.frames > 0);
  if (flooded.length < ends.length)
    return outcome(links, 'notTested', 'neither CoServer flooded: one of the two must not be started with --answer', figures);
  const slowest = Math.min(...flooded.map(rateOf));
  const dropped = flooded.reduce((sum, e) => sum + e.in.lost + (e.told?.lost ?? 0), 0);
  const tooSlow = dropped > 0 ? `; ${dropped} frames that a CoServer had no time for, none by the wire` : '';
  const slow = flooded
    .filter((e) => e.speedMbps !== null && rateOf(e) < e.speedMbps * FILLED_SHARE)
    .map((e) => `${e.nic} (${e.speedMbps})`);
  const unfilled = slow.length > 0 ? `; the processors could not fill ${slow.join(', ')}` : '';
  const open = paired ? '' : '; not authenticated: not paired yet';
  return outcome(links, 'pass', `${cables.join(', ')}: at least ${slowest} Mbit/s, nothing damaged${tooSlow}${unfilled}${open}`, figures);
}

function whatIsWrong(end: LinkFigures, answering: boolean, other: string): string[] {
  const wrong: string[] = [];
  if (end.problem !== null) return [end.problem];
  if (end.ownLink !== null) return [`is connected to link ${end.ownLink} of this very CoServer: it must lead to ${other}`];
  if (!end.heardPartner)
    return answering && end.listenedMs >= LISTENED_MIN_MS
      ? [`${other} is not heard here, though it answers on another link: cable, port, or its configuration`]
      : [];
  if (end.partnerLink !== end.link)
    wrong.push(`is link ${end.link} here and leads to ${other}'s link ${end.partnerLink}: cables are crossed, change them over`);
  if (end.in.damaged > 0) wrong.push(`${end.in.damaged} frames came damaged`);
  if ((end.told?.damaged ?? 0) > 0) wrong.push(`${end.told?.damaged} frames arrived damaged at ${other}`);
  const lostIn = unexplained(end.in, end.in.partnerSendDropped);
  if (lostIn > 0) wrong.push(`${lostIn} of ${end.in.frames + end.in.lost} frames were lost on the way here`);
  const lostOut = end.told && end.toldIsFinal ? unexplained(end.told, end.out.sendDropped) : 0;
  if (lostOut > 0) wrong.push(`${lostOut} of ${end.out.frames} frames were lost on the way to ${other}`);
  if (end.in.reordered + (end.told?.reordered ?? 0) > 0)
    wrong.push(`${end.in.reordered + (end.told?.reordered ?? 0)} frames came in another order: something stands between the two NICs`);
  if (end.in.duplicated + (end.told?.duplicated ?? 0) > 0)
    wrong.push(`${end.in.duplicated + (end.told?.duplicated ?? 0)} frames came twice: something stands between the two NICs`);
  const errors = Object.entries(end.nicGrowth.errors);
  if (errors.length > 0) wrong.push(`its counters grew: ${errors.map(([name, by]) => `${name} +${by}`).join(', ')}: cable or port`);
  if ((end.silentMs ?? 0) > SILENT_MS) wrong.push(`${other} fell silent ${Math.round((end.silentMs ?? 0) / 1000)} s before the end`);
  return wrong;
}

/** Frames that neither the sender's NIC, nor the receiver's kernel or NIC say that they had no room for. */
function unexplained(received: Received, sendDropped: number): number {
  return Math.max(0, received.lost - received.dropped - sendDropped);
}

function figuresOf(end: LinkFigures): Record<string, Figure> {
  const grew = Object.values(end.nicGrowth).flatMap((counts) => Object.entries(counts));
  return {
    [`${end.nic}.partnerLink`]: end.partnerLink,
    [`${end.nic}.speedMbps`]: end.speedMbps,
    [`${end.nic}.outMbitPerS`]: mbitPerS(end.out.bytes, end.out.ms),
    [`${end.nic}.inMbitPerS`]: mbitPerS(end.in.bytes, end.in.ms),
    [`${end.nic}.sentFrames`]: end.out.frames,
    [`${end.nic}.receivedFrames`]: end.in.frames,
    [`${end.nic}.lost`]: end.in.lost,
    [`${end.nic}.lostAtPartner`]: end.told?.lost ?? null,
    [`${end.nic}.droppedHere`]: end.in.dropped,
    [`${end.nic}.damaged`]: end.in.damaged,
    [`${end.nic}.damagedAtPartner`]: end.told?.damaged ?? null,
    [`${end.nic}.reordered`]: end.in.reordered,
    [`${end.nic}.foreignFrames`]: end.foreignFrames,
    [`${end.nic}.countersGrew`]: grew.map(([name, by]) => `${name} +${by}`).join(', '),
  };
}

/** Of the faster direction: one side may only answer. */
function rateOf(end: LinkFigures): number {
  return Math.max(mbitPerS(end.out.bytes, end.out.ms), mbitPerS(end.in.bytes, end.in.ms));
}

function mbitPerS(bytes: number, ms: number): number {
  return ms <= 0 ? 0 : rounded((bytes * 8) / 1000 / ms);
}
