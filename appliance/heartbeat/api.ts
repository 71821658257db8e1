// What the heartbeat's worker thread is asked and what it reports. It does nothing else, so that its clock is honest.

import type { DropCounts, DropReport } from './dropped.ts';

export interface HeartbeatSetup {
  coServer: 'A' | 'B';
  /** 16 bytes. */
  pairId: Uint8Array;
  /** 32 bytes. */
  pairKey: Uint8Array;
  links: { nic: string; localAddress: string; remoteAddress: string }[];
  intervalMs: number;
  /** A link with no valid frame for this long is down. Raised to the measured floor when it is smaller than that. */
  timeoutMs: number;
}

/** What every frame says of its sender. */
export interface HeartbeatPayload {
  generation: number;
  /** 0 isolated, 1 primary, 2 secondary, 3 stopped */
  role: number;
  /** Free for the core: changes when anything the partner should look at changes. */
  revision: number;
}

export type HeartbeatPath = 'ethernet' | 'ip';

export type HeartbeatCommands = {
  setPayload(a: HeartbeatPayload): void;
  /** Runs the clock for durationMs without deciding anything and answers the floor below which a time-out would be refused. */
  measureJitter(a: { durationMs: number }): Promise<HeartbeatJitter>;
  status(a: Record<string, never>): HeartbeatStatus;
};

export interface HeartbeatJitter {
  samples: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** The smallest time-out that is accepted: 3 intervals + 2 x the worst lateness seen. */
  floorMs: number;
}

export interface LinkStatus {
  link: number;
  up: boolean;
  carrier: boolean;
  /** ms since the last valid frame on each path; -1 never. */
  ethernetAgeMs: number;
  ipAgeMs: number;
  /** Round trip, median of the last 100, ms; -1 unknown. */
  rttMs: number;
  received: number;
  /** Frames dropped since the start, by kind. */
  dropped: DropCounts;
}

export interface HeartbeatStatus {
  links: LinkStatus[];
  jitter: HeartbeatJitter;
  timeoutMs: number;
}

export type HeartbeatEvents = {
  /** A link's verdict changed: `silentMs` since the last frame when it went down. */
  link: { link: number; up: boolean; silentMs: number; reason: 'heard' | 'silent' | 'carrier' };
  /** The partner's payload changed, or it restarted (a new incarnation number). */
  partner: HeartbeatPayload & { incarnation: string; restarted: boolean };
  /** This thread's tick came later than allowed: the CoServer was asleep and must suspect itself. */
  late: { lateMs: number };
  /** Frames were dropped, and the record should say so. At most once a minute for each kind on each link. */
  dropped: DropReport;
  status: HeartbeatStatus;
};
