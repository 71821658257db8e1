// What a CoServer that runs hands to the server that replaces its partner: all of its configuration that is the same on both, and what belonged to
// the partner's place (addresses). Pure. It comes under the new key of the pair; it is still looked at before it is used.
import type { CoServerConfig } from '../config.ts';

/** Sections that are the same on both. */
const WHOLE = ['rejoin', 'qualification', 'heartbeat', 'resync', 'checkpoint', 'disk', 'scrub', 'witness'] as const;
type Whole = (typeof WHOLE)[number];

const WORKLOAD = ['name', 'level', 'memoryMiB', 'cpus', 'mac', 'append', 'readyMarker', 'bootTimeoutS'] as const;

export interface HandOver {
  sections: Pick<CoServerConfig, Whole>;
  workload: Pick<CoServerConfig['workload'], (typeof WORKLOAD)[number]> & {
    disk: Pick<CoServerConfig['workload']['disk'], 'sizeMiB' | 'cache' | 'durability'>;
  };
  restorePoints: Pick<CoServerConfig['restorePoints'], 'everyMinutes' | 'keep'>;
  watchdogTimeoutS: number;
  consolePort: number;
  /** As the new server has them: its own address and prefix length, and the other end. In the order of the links. */
  links: { address: string; bits: number; peer: string }[];
  /** The place of the partner in the operators' network, with the length of its network; '': not known. */
  management: { address: string; gateway: string };
}

/** Where nothing says how long a link's network is: two addresses. */
const LINK_BITS = 30;

/** @param nics The file `nics` of this server, for what the configuration does not say; '': there is none. */
export function handOverOf(config: CoServerConfig, nics: string): HandOver {
  const lines = nics.split('\n').map((line) => line.trim().split(/\s+/));
  const bitsOf = (address: string): number | null => {
    const found = lines.find(([, , own]) => own?.split('/')[0] === address)?.[2];
    return found ? Number(found.split('/')[1]) : null;
  };
  const { workload, management } = config;
  const bits = bitsOf(management.address);
  return {
    sections: pick(config, WHOLE),
    workload: { ...pick(workload, WORKLOAD), disk: pick(workload.disk, ['sizeMiB', 'cache', 'durability'] as const) },
    restorePoints: pick(config.restorePoints, ['everyMinutes', 'keep'] as const),
    watchdogTimeoutS: config.watchdog.timeoutS,
    consolePort: config.console.port,
    links: config.links.map(({ address, peer }) => ({ address: peer, bits: bitsOf(address) ?? LINK_BITS, peer: address })),
    management: {
      address: management.peer === '' || bits === null ? '' : `${management.peer}/${bits}`,
      gateway: lines.find(([, , own]) => own?.split('/')[0] === management.address)?.[3] ?? '',
    },
  };
}

/** The configuration that was planned for this server, with what the pair has already. */
export function withHandOver(planned: CoServerConfig, given: HandOver): CoServerConfig {
  return {
    ...planned,
    ...given.sections,
    links: planned.links.slice(0, given.links.length).map((link, i) => ({ ...link, ...pick(given.links[i] ?? link, ['address', 'peer']) })),
    restorePoints: { ...planned.restorePoints, ...given.restorePoints },
    watchdog: { ...planned.watchdog, timeoutS: given.watchdogTimeoutS },
    console: { ...planned.console, port: given.consolePort },
    workload: { ...planned.workload, ...given.workload, disk: { ...planned.workload.disk, ...given.workload.disk } },
  };
}

/** Null: it has another shape than what this version hands over. @param like A whole configuration, whichever: it says what the shape is. */
export function parseHandOver(value: unknown, like: CoServerConfig): HandOver | null {
  const shape = handOverOf(like, '');
  if (!isRecord(value) || !Array.isArray(value['links'])) return null;
  const { links: _, ...rest } = shape;
  if (value['links'].length === 0 || !value['links'].every((l) => isLike(l, { address: '', bits: 0, peer: '' }))) return null;
  return Object.entries(rest).every(([key, part]) => isLike(value[key], part)) ? (value as unknown as HandOver) : null;
}

/** Every key of `shape` is there, with a value of the same kind; lists have the kind of their elements only where there is one. */
function isLike(value: unknown, shape: unknown): boolean {
  if (Array.isArray(shape)) return Array.isArray(value) && value.every((v) => typeof v === 'string');
  if (isRecord(shape)) return isRecord(value) && Object.entries(shape).every(([key, part]) => isLike(value[key], part));
  return typeof value === typeof shape;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

function pick<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}
