// The update of the pair, put together: its stream over the links, what the core knows of the pair, and what it is ordered to do.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { setTrafficClass } from '../../drivers/ethernet/index.ts';
import { PairChannel } from '../../drivers/link/index.ts';
import type { CoServerConfig } from '../config.ts';
import { isProved } from '../core/audit.ts';
import { mayRequest } from '../core/requests.ts';
import type { Snapshot } from '../core/snapshot.ts';
import type { State } from '../core/state.ts';
import {
  compatibleByWish,
  findPlace,
  isAppliance,
  type PairNow,
  PairUpdater,
  type PairUpdaterParts,
  type Place,
  readLevel,
  readWish,
  restartServer,
  UpdateStore,
  whyNotRestart,
} from '../update/index.ts';
import { STREAM_PORTS, STREAM_PRIORITIES } from '../wire/channel-setup.ts';
import { deriveKey } from '../wire/keys.ts';
import type { History } from './history.ts';
import { log } from './log.ts';
import type { NewEvent } from './pump.ts';

const ENGINE_TIMEOUT_MS = 30_000;
const BY = 'the update of the pair';

/** What of the configuration an update overrides while the versions differ: the level, and which versions run duplex. Pure but for two small files. */
export function configDuringUpdate(config: CoServerConfig, place: Place | null): { config: CoServerConfig; told: string | null } {
  if (place === null) return { config, told: null };
  const { rejoin, workload } = config;
  const also = compatibleByWish(readWish(place.recordFile), place.version);
  const compatibleVersions = [...new Set([...rejoin.compatibleVersions, ...also])];
  const level = levelDuringUpdate(workload.level, place);
  return {
    config: { ...config, rejoin: { ...rejoin, compatibleVersions }, workload: { ...workload, level } },
    told:
      level !== workload.level
        ? 'While the versions of the two CoServers differ, this one runs at protection level 2 (an update goes on).'
        : null,
  };
}

/** At which a process runs that starts now. Reads a small file. */
export const levelDuringUpdate = (configured: 2 | 3, place: Place | null): 2 | 3 =>
  place !== null && configured === 3 && readLevel(place.recordFile) === 2 ? 2 : configured;

/** Where an image was started; null: nothing here is updated by itself. */
export function placeOfUpdates(): Place | null {
  if (!isAppliance()) return null;
  try {
    return findPlace();
  } catch (error) {
    log('warning', `no updates here: ${(error as Error).message}`);
    return null;
  }
}

export interface PairUpdateParts {
  /** As it runs, and the level that the operator configured. */
  config: CoServerConfig;
  level: 2 | 3;
  place: Place;
  pairKey: Buffer;
  state: () => State;
  snapshot: () => Snapshot;
  feed: (event: NewEvent) => void;
  history: Pick<History, 'add'>;
  /** In place of this machine's; for tests. */
  given?: Partial<Pick<PairUpdaterParts, 'restartServer' | 'restartProcess' | 'tickMs'>>;
}

export interface PairUpdate {
  updater: PairUpdater;
  linkVerdict(link: number, up: boolean): void;
  stop(): Promise<void>;
}

export async function startPairUpdate({
  config,
  level,
  place,
  pairKey,
  state,
  snapshot,
  feed,
  history,
  given = {},
}: PairUpdateParts): Promise<PairUpdate> {
  const engine = await engineVersionOf(config.engine.binary);
  const channel = new PairChannel({
    side: config.coServer,
    port: STREAM_PORTS.update,
    links: config.links.map((l) => ({ localAddress: l.address, remoteAddress: l.peer })),
    key: deriveKey(pairKey, 'stream:update'),
    onSocket: (fd) => setTrafficClass(fd, STREAM_PRIORITIES.update),
  });
  channel.on('stranger', (address, message) => log('warning', `updates: a stranger at ${address} was refused: ${message}`));
  const updater = new PairUpdater({
    coServer: config.coServer,
    store: new UpdateStore(place),
    recordFile: place.recordFile,
    channel,
    engine,
    runsAtLevel: config.workload.level,
    level,
    hasWatchdog: config.watchdog.device !== '',
    now: () => pairNow(state()),
    moveWorkload: () => feed({ kind: 'operatorRequested', action: 'move-workload', by: BY }),
    whyNotRestart: () => whyNotRestart(snapshot()),
    restartServer,
    restartProcess: () => process.kill(process.pid, 'SIGTERM'),
    tell: (news) => history.add({ ...news, row: null }),
    ...given,
  });
  updater.start();
  return {
    updater,
    linkVerdict: (link, up) => channel.linkVerdict(link, up),
    stop: async () => {
      updater.stop();
      await channel.close();
    },
  };
}

/** What the rule is told of the pair. Pure. */
export function pairNow(s: State): PairNow {
  return {
    role: roleOf(s),
    isDuplex: s.phase.kind === 'duplex' ? isProved(s) : s.phase.kind === 'secondary' && s.partnerHeard && s.partner?.proved === true,
    mayMove: mayRequest(s, 'move-workload').allowed,
    whyNotLockstep: s.mustQualify && s.qualification?.verdict === 'refused' ? s.qualification.sentence : null,
  };
}

function roleOf(s: State): PairNow['role'] {
  switch (s.phase.kind) {
    case 'starting':
    case 'running':
    case 'resyncing':
    case 'protecting':
    case 'committing':
    case 'duplex':
    case 'steppingDown':
      return 'primary';
    case 'secondary':
    case 'ready':
      return 'secondary';
    default:
      return 'none';
  }
}

/** "11.1.3"; empty when it does not say: then it is no other one than the partner's that does not either. */
async function engineVersionOf(binary: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(binary, ['--version'], { timeout: ENGINE_TIMEOUT_MS, encoding: 'utf8' });
    return /version (\d+(?:\.\d+){1,3})/.exec(stdout)?.[1] ?? '';
  } catch (error) {
    log('warning', `updates: ${binary} does not say its version: ${(error as Error).message}`);
    return '';
  }
}
