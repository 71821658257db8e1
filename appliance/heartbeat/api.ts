// What the heartbeat's worker thread is asked and what it reports. It does nothing else, so that its clock is honest.

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
  /** Frames dropped: wrong MAC (another pair's key), stale sequence (replay), truncated or malformed. */
  forged: number;
  replayed: number;
  malformed: number;
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
  /** Frames with a wrong MAC arrive: another pair's key, or a hostile neighbour. At most once per 5 s. */
  stranger: { link: number; count: number };
  status: HeartbeatStatus;
};
