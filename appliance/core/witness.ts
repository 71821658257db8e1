// The witness's whole decision: one compare-and-set per workload group.
//
// A claim says: "my durable record has generation g; let me own g+1". It is granted when nobody was granted anything
// newer than g; asking again for one's own grant is granted again, because the answer may have been lost on the way.
// A witness without memory of a group that is past its first generation refuses: it may have forgotten a grant.
import type { CoServerName } from './snapshot.ts';

export interface Grant {
  /** The newest generation granted. */
  generation: number;
  owner: CoServerName;
}

export interface Claim {
  /** The generation of the claimant's record. */
  generation: number;
  claimant: CoServerName;
}

export type WitnessAnswer = { granted: true; grant: Grant } | { granted: false; reason: string };

export function decideClaim(stored: Grant | null, claim: Claim): WitnessAnswer {
  const wanted: Grant = { generation: claim.generation + 1, owner: claim.claimant };
  if (!stored) {
    if (claim.generation === 0) return { granted: true, grant: wanted };
    return {
      granted: false,
      reason: `this witness has no memory of the pair, which is at generation ${claim.generation}: it must be enrolled again`,
    };
  }
  if (stored.generation <= claim.generation) return { granted: true, grant: wanted };
  if (stored.generation === wanted.generation && stored.owner === claim.claimant) return { granted: true, grant: stored };
  return { granted: false, reason: `generation ${stored.generation} was granted to ${stored.owner}` };
}
