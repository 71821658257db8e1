// Waits until both CoServers say that the pair is duplex.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoServerName, Snapshot } from '../../appliance/core/snapshot.ts';
import { LabError } from './lab-error.ts';
import { CO_SERVERS } from './settings.ts';

export type PairPictures = Record<CoServerName, Snapshot | null>;

/** Between two looks: a picture costs the CoServer a millisecond. */
const LOOK_EVERY_MS = 200;

/** What stands between the pair and duplex, in a sentence; null: nothing, it is duplex. */
export function whyNotDuplex(pictures: PairPictures): string | null {
  const reasons = CO_SERVERS.flatMap((name) => {
    const picture = pictures[name];
    if (picture === null) return [`${name} does not answer`];
    if (picture.redundancy === 'duplex') return [];
    const own = picture.coServers.find((c) => c.name === name);
    return [`${name}: ${picture.redundancySentence}${own === undefined ? '' : ` (${own.phase}: ${own.sentence})`}`];
  });
  return reasons.length === 0 ? null : reasons.join('; ');
}

/** Answers the pictures at duplex. Throws with what both said last after timeoutMs. */
export async function waitDuplex(look: () => Promise<PairPictures>, timeoutMs: number): Promise<PairPictures> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const pictures = await look();
    const reason = whyNotDuplex(pictures);
    if (reason === null) return pictures;
    if (performance.now() >= end) throw new LabError(`not duplex after ${timeoutMs / 1000} s: ${reason}`);
    await sleep(LOOK_EVERY_MS);
  }
}
