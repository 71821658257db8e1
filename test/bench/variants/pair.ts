// The variants that are ours: a real pair in the lab, with the benchmark's guest.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoServerName, Snapshot } from '../../../appliance/core/snapshot.ts';
import { STREAM_PORTS } from '../../../appliance/wire/channel-setup.ts';
import { Lab } from '../../../hwqual/lab/lab.ts';
import { LabError } from '../../../hwqual/lab/lab-error.ts';
import type { LabParts } from '../../../hwqual/lab/prepare.ts';
import { CO_SERVERS, coServerPaths, type LabSettings, partnerOf } from '../../../hwqual/lab/settings.ts';
import { readSnapshot } from '../../../hwqual/lab/snapshot-client.ts';
import { waitDuplex } from '../../../hwqual/lab/wait-duplex.ts';
import type { RunningVariant } from './variant.ts';

/** Boot of the guest, both disks compared, first protection: 20 s on two idle cores. */
const DUPLEX_TIMEOUT_MS = 180_000;
const ALONE_TIMEOUT_MS = 30_000;
const LOOK_EVERY_MS = 200;

export async function startPair(
  settings: LabSettings,
  parts: LabParts,
  kind: 'gate' | 'lockstep' | 'passive',
  signal: AbortSignal,
): Promise<RunningVariant> {
  const mode = kind === 'passive' ? 'passive' : 'lockstep';
  const lab = await Lab.up(settings, { ...parts, workload: { ...parts.workload, mode } }, () => undefined);
  try {
    const look = async (name: CoServerName) => {
      signal.throwIfAborted();
      return readSnapshot(coServerPaths(settings, name).consoleSocket);
    };
    const pictures = await waitDuplex(async () => ({ A: await look('A'), B: await look('B') }), DUPLEX_TIMEOUT_MS);
    const primary = primaryOf(pictures.A);
    if (kind === 'gate') {
      await lab.powerOff(partnerOf(primary));
      await waitAlone(() => look(primary));
    }
    const roles = kind === 'gate' ? [primary] : [primary, partnerOf(primary)];
    return {
      places: roles.map((name) => ({ role: name === primary ? 'primary' : 'secondary', namespace: settings.namespaces[name] })),
      checkpointPort: kind === 'gate' ? null : STREAM_PORTS.memory,
      checkpoints: async (sinceMs) => {
        if (kind === 'gate') return null;
        const picture = await answer(settings, primary);
        const recent = picture.checkpoints.recent.filter((c) => c.at >= sinceMs);
        return {
          count: picture.checkpoints.interval,
          streamBytes: recent.map((c) => c.bytes),
          pausesMs: recent.map((c) => c.pauseMs),
          causes: picture.lockstep ? Object.fromEntries(picture.lockstep.causes.map((c) => [c.cause, c.total])) : null,
        };
      },
      mode: async () => {
        if (kind === 'gate') return null;
        const picture = await answer(settings, primary);
        return `${picture.redundancy}, ${picture.lockstep?.mode ?? picture.checkpoints.mode}`;
      },
      stop: () => lab.down(),
    };
  } catch (error) {
    await lab.down();
    throw error;
  }
}

/** Under load a picture may be late; the counters are worth some patience. */
const ANSWER_ATTEMPTS = 5;

async function answer(settings: LabSettings, name: CoServerName): Promise<Snapshot> {
  for (let attempt = 1; attempt <= ANSWER_ATTEMPTS; attempt++) {
    const picture = await readSnapshot(coServerPaths(settings, name).consoleSocket);
    if (picture !== null) return picture;
  }
  throw new LabError(
    `CoServer ${name} does not answer on its console socket`,
    `npm run lab -- logs ${name} --instance ${settings.instance}`,
  );
}

function primaryOf(picture: Snapshot | null): CoServerName {
  const name = CO_SERVERS.find((c) => picture?.coServers.some((view) => view.name === c && view.role === 'primary'));
  if (name === undefined) throw new LabError('the pair is duplex, but nobody says who is the primary');
  return name;
}

async function waitAlone(look: () => Promise<Snapshot | null>): Promise<void> {
  const end = performance.now() + ALONE_TIMEOUT_MS;
  for (;;) {
    const picture = await look();
    if (picture?.redundancy === 'simplex' && picture.workload.state === 'running') return;
    if (performance.now() > end)
      throw new LabError(
        `the primary does not go on alone after ${ALONE_TIMEOUT_MS / 1000} s: ${picture?.redundancySentence ?? 'no answer'}`,
      );
    await sleep(LOOK_EVERY_MS);
  }
}
