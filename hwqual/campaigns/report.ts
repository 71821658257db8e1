// The report of a campaign: what `--report FILE.json` holds and what the page shows. All times in ms, wall clock where absolute.
import type { CheckpointView, CoServerName, IncidentView, TakeoverStep } from '../../appliance/core/snapshot.ts';
import type { Percentiles } from '../lab/clients/histogram.ts';
import type { ClientKind, ConnectionAge, Incident, Sample } from '../lab/clients/protocol.ts';

export const ACTIONS = [
  'powerOffPrimary',
  'powerOffSecondary',
  'cutLink1',
  'cutLink2',
  'cutBothLinks',
  'freezePrimary',
  'freezeSecondary',
  'breakGarbage',
  'breakByte',
  'breakStuck',
] as const;
export type Action = (typeof ACTIONS)[number];

export type StallMs = Partial<Record<ClientKind, number>>;

export interface KindCount {
  operations: number;
  bytes: number;
  latencyMs: Percentiles;
}

export interface Round {
  round: number;
  action: Action;
  /** The CoServer that was powered off or frozen; null for links. */
  target: CoServerName | null;
  /** "random moment", or the phase of a checkpoint. */
  moment: string;
  /** Where in the phase's bytes the stream was cut, where it has bytes. */
  byte?: number | null;
  /** The longest stall of each kind between the fault and the repair. */
  faultStallsMs?: StallMs;
  /** The primary's server was lost, and the other could not go on from where it was. */
  metBrokenSecondary?: boolean;
  /** Replicas that the CoServers found broken meanwhile. */
  brokenReplicas?: IncidentView[];
  at: number;
  /** Connections without progress for 20 s. */
  hungConnections: number;
  /** Connections reset, refused, ended early, or answered with an error. */
  brokenConnections: number;
  wrongChecksums: number;
  /** Acknowledged records that the guest's disk does not have. */
  lostAcknowledged: number;
  acknowledged: number;
  /** Longest time without progress per kind of client, over the whole round. */
  stallMs: StallMs;
  /** From the repair (power on, link mended, thawed) to duplex. Null: duplex was not reached. 0: it was never left. */
  timeToDuplexMs: number | null;
  /** Longest time without progress of any TCP client between the fault and the repair: detection and takeover. */
  faultStallMs: number;
  /** Longest time without progress of any TCP client between the repair and duplex. */
  rejoinPauseMs: number;
  /** From the fault to the survivor noticing the loss; null when nobody had to take over or continue alone. */
  detectionMs: number | null;
  /** From the fault to the workload running alone, as the survivor recorded it. */
  aloneAfterMs: number | null;
  /** Why the survivor was allowed to run; null: nothing was recorded. */
  reason: string | null;
  /** The row of the decision table. */
  row: string | null;
  steps: TakeoverStep[];
  /** Where in the row of checkpoints the fault fell, as the survivor knew it. */
  during?: string;
  /** How late the clients' own timers were at worst: their stalls cannot be known better. */
  clientLagMs: number;
  kinds: Partial<Record<ClientKind, KindCount>>;
  /** What the CoServers wrote into their timelines meanwhile, oldest first. */
  timeline: { at: number; coServer: CoServerName; severity: 'info' | 'warning' | 'critical'; text: string }[];
  /** What makes this round a failure, and what is only worth knowing. */
  problems: string[];
  remarks: string[];
}

export interface Marker {
  at: number;
  text: string;
}

export interface Distribution {
  count: number;
  p50: number;
  p99: number;
  max: number;
}

export interface Summary {
  rounds: number;
  hungConnections: number;
  brokenConnections: number;
  wrongChecksums: number;
  lostAcknowledged: number;
  acknowledged: number;
  stallMs: Partial<Record<ClientKind, Distribution>>;
  /** Of all TCP clients together: the longest of each round. */
  worstStallMs: Distribution;
  /** Per kind, between the fault and the repair; of the rounds in which the primary's server was lost. */
  takeoverStallsMs: Partial<Record<ClientKind, Distribution>>;
  takeoverStallMs: Distribution;
  takeovers: number;
  metBrokenSecondary: number;
  /** Found by the CoServers themselves. */
  brokenReplicas: number;
  timeToDuplexMs: Distribution;
  faultStallMs: Distribution;
  rejoinPauseMs: Distribution;
  detectionMs: Distribution;
}

export interface Report {
  format: 'twinstep-campaign/1';
  name: string;
  startedAt: number;
  endedAt: number;
  /** How the replicas' output was treated; unknown: no CoServer answered. */
  mode?: CheckpointView['mode'] | 'unknown';
  /** Connections at their end, or at the end of the campaign. */
  connections?: ConnectionAge[];
  machine: { cpus: number; memoryGiB: number; system: string; acceleration: string };
  rounds: Round[];
  summary: Summary;
  /** Null: it did not come to the comparison. */
  copiesIdentical: boolean | null;
  copiesDetail: string;
  /** Acknowledged records missing on a copy read without the guest; null: not read. */
  lostOnColdDisk: Record<CoServerName, number | null>;
  guestShutDown: boolean;
  /** Whether everything was as it must be. */
  ok: boolean;
  /** Every reason why not. */
  problems: string[];
  incidents: Incident[];
  markers: Marker[];
  samples: Sample[];
}
