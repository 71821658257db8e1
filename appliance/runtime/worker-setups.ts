// What the worker threads are told of the configuration.
import { dirname, join } from 'node:path';
import type { CoServerConfig } from '../config.ts';
import type { HardwareSetup } from '../hardware/api.ts';
import type { ChannelSetup, StreamName } from '../wire/channel-setup.ts';
import type { IntervalCounter } from '../wire/interval.ts';
import { slownessOf } from './slowness.ts';
import type { WorkerSetups } from './workers.ts';

export interface SetupParts {
  config: CoServerConfig;
  pairKey: Buffer;
  interval: IntervalCounter;
  sockets: { gate: string; mirror: string; source: string; incoming: string };
  /** An engine that outlived the last process waits for this one. */
  adoptable: boolean;
}

export function workerSetups({ config, pairKey, interval, sockets, adoptable }: SetupParts): WorkerSetups {
  const channel = (stream: StreamName): ChannelSetup => channelOf(config, pairKey, stream);
  const lockstep = isLockstep(config);
  const slowness = slownessOf(config);
  return {
    heartbeat: {
      coServer: config.coServer,
      pairId: Buffer.from(config.pair.id, 'hex'),
      pairKey,
      links: config.links.map((l) => ({ nic: l.nic, localAddress: l.address, remoteAddress: l.peer })),
      intervalMs: config.heartbeat.intervalMs,
      timeoutMs: config.heartbeat.timeoutMs,
    },
    mirror: {
      channel: channel('disk'),
      interval: interval.buffer,
      diskPath: config.workload.disk.path,
      sizeBytes: config.workload.disk.sizeMiB * 1048576,
      pairId: config.pair.id,
      cache: config.workload.disk.cache,
      isWriteThrough: config.workload.disk.durability === 'write-through',
      journalPath: join(config.stateDir, 'intervals.journal'),
      socketPath: sockets.mirror,
      points: {
        directory: config.restorePoints.directory,
        maximumBytes: config.restorePoints.maximumMiB * 1048576,
        reserveBytes: config.restorePoints.reserveMiB * 1048576,
      },
      ...config.disk,
      scrub: { rateBytesPerS: config.scrub.rateMiBPerS * 1048576, everyHours: config.scrub.everyHours },
      isAwaited: adoptable,
    },
    gate: {
      channel: channel('network'),
      interval: interval.buffer,
      nic: config.business.nic,
      socketPath: sockets.gate,
      guestMac: config.workload.mac,
      lockstep,
      holdLimits: config.checkpoint.hold,
      slowness,
    },
    memory: {
      channel: channel('memory'),
      interval: interval.buffer,
      sourceSocketPath: sockets.source,
      incomingSocketPath: sockets.incoming,
      lockstep,
      slowness,
      ...(config.labSocket ? { powerTrap: { folder: dirname(config.labSocket), coServer: config.coServer } } : {}),
    },
  };
}

/** Null: it is not watched. */
export function hardwareSetup({ hardware, links, business, management, workload, stateDir }: CoServerConfig): HardwareSetup | null {
  if (hardware.watch === 'off') return null;
  return {
    bmc: hardware.bmc,
    copy: workload.disk.path,
    nics: [
      ...links.map(({ nic }) => ({ nic, role: 'link' as const })),
      { nic: business.nic, role: 'business' as const },
      { nic: management.nic, role: 'management' as const },
    ],
    stateDir,
  };
}

export function channelOf(config: CoServerConfig, pairKey: Buffer, stream: StreamName): ChannelSetup {
  const links = config.links.map((l) => ({ localAddress: l.address, remoteAddress: l.peer }));
  return { stream, side: config.coServer, links, pairKey };
}

/** Both replicas run, and their output is compared. */
export function isLockstep({ workload, checkpoint }: CoServerConfig): boolean {
  return workload.level === 3 && checkpoint.mode === 'lockstep';
}
