// With what the core begins a life of this process: the durable record, and what the configuration says of the pair.
import type { CoServerConfig } from '../config.ts';
import { DEFAULT_TIMING, type StateOptions } from '../core/machine.ts';
import { isLockstep } from './worker-setups.ts';

/** The watchdog's own inexactness, and the rounds that a renewal may be late by; see decision 0009. */
const LEASE_MARGIN_MS = 500;

export interface LifeParts extends Pick<StateOptions, 'version' | 'incarnation' | 'record' | 'now'> {
  config: CoServerConfig;
  adoptable: boolean;
}

export function lifeOf({ config, version, incarnation, record, adoptable, now }: LifeParts): StateOptions {
  return {
    me: config.coServer,
    incarnation,
    pairId: config.pair.id,
    version,
    record,
    links: config.links.length,
    now,
    adoptable,
    canCompare: isLockstep(config),
    arbiters: { witness: true, fence: config.fence.address !== '' },
    compatibleVersions: config.rejoin.compatibleVersions,
    level: config.workload.level,
    mustQualify: config.qualification.policy !== 'none',
    timing: {
      ...DEFAULT_TIMING,
      leaseMs: config.watchdog.timeoutS * 1000 + LEASE_MARGIN_MS,
      heartbeatTimeoutMs: config.heartbeat.timeoutMs,
      flapLosses: config.rejoin.losses,
      flapWindowMs: config.rejoin.windowMinutes * 60_000,
      quarantineMs: config.rejoin.quarantineMinutes * 60_000,
    },
  };
}
