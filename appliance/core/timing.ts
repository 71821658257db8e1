// How long each thing is waited for, in ms, unless a configuration or a test says otherwise.

export interface Timing {
  /** After a restart, how long the partner is waited for before an arbiter is asked. */
  restartGraceMs: number;
  /** How much later than the primary the secondary asks: the primary going on costs less than a takeover. */
  secondaryBiasMs: number;
  /** The same for fencing: longer than a switch-off that is verified, so that the two never shoot each other. */
  fenceBiasMs: number;
  /** A partner that is still heard is asked to yield; only one that does not within this time is fenced. */
  yieldWithinMs: number;
  /** The primary's own engine left the stream: how long its end is waited for. Longer than the secondary's bias: that one is well. */
  engineEndMs: number;
  claimRetryMs: number;
  fenceRetryMs: number;
  /** An arbiter that is lost for so long is replaced; one that is back for so long is used again. */
  arbiterLostMs: number;
  arbiterBackMs: number;
  /** Pause after a failed start or protection, doubled up to the maximum. */
  retryMs: number;
  retryMaximumMs: number;
  /** So many unplanned losses within the window: no automatic rejoin for the quarantine. */
  flapLosses: number;
  flapWindowMs: number;
  quarantineMs: number;
  /** Level 2: how long after the loss the secondary waits with its claim. Longer than the watchdog of the side that may be asleep. */
  leaseMs: number;
  /** Of the heartbeat, on both CoServers: so long after the last frame the other side has noticed the loss too, whoever noticed it earlier. */
  heartbeatTimeoutMs: number;
  /** Both on battery for so long: the pair stops in order. */
  batteryGraceMs: number;
}

export const DEFAULT_TIMING: Timing = {
  restartGraceMs: 4_000,
  secondaryBiasMs: 40,
  fenceBiasMs: 15_000,
  yieldWithinMs: 1_500,
  engineEndMs: 400,
  claimRetryMs: 250,
  fenceRetryMs: 5_000,
  arbiterLostMs: 5_000,
  arbiterBackMs: 10_000,
  retryMs: 1_000,
  retryMaximumMs: 60_000,
  flapLosses: 3,
  flapWindowMs: 3_600_000,
  quarantineMs: 7_200_000,
  leaseMs: 12_000,
  heartbeatTimeoutMs: 300,
  batteryGraceMs: 30_000,
};
