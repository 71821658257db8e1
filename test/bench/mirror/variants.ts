// What is compared, each started anew for every visit on the same two disks.

import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { linkAddress } from './network.ts';
import { MirrorSide, type Place, type Server, startEngineTool, startHost } from './servers.ts';

export const MIRROR_VARIANTS = [
  'raw',
  'qemu-nbd',
  'nbdkit',
  'solo',
  'quorum',
  'quorum-tls',
  'one-link',
  'two-links',
  'one-plain',
  'two-plain',
  'lockstep',
] as const;
export type MirrorVariant = (typeof MIRROR_VARIANTS)[number];

export const VARIANT_TEXT: Record<MirrorVariant, string> = {
  raw: 'the disk file itself, no server: io_uring, page cache',
  'qemu-nbd': "QEMU's server, one copy",
  nbdkit: "nbdkit's file plugin, one copy",
  solo: 'our mirror without its partner, one copy',
  quorum: "QEMU's quorum: a file and an NBD client to qemu-nbd on the other side, over the first link, not encrypted",
  'quorum-tls': 'the same encrypted as ours is (TLS with a pre-shared key)',
  'one-link': 'our mirror, both copies, one link',
  'two-links': 'our mirror, both copies, both links',
  'one-plain': 'the same without encryption, one link',
  'two-plain': 'the same without encryption, both links',
  lockstep: 'our mirror, both links, writes journaled by interval, a checkpoint each second',
};

/** With these the second copy is over the links: only they change when the links are shaped. */
export const MIRRORED: readonly MirrorVariant[] = ['quorum', 'quorum-tls', 'one-link', 'two-links', 'one-plain', 'two-plain', 'lockstep'];

export interface Running {
  /** Where fio connects: a file or a socket. */
  target: { file: string } | { socket: string };
  /** Of all its processes. */
  pids: number[];
  stop(): Promise<void>;
}

const QUORUM_PORT = 10_809;
const CHECKPOINT_EVERY_MS = 1_000;

export async function startVariant(variant: MirrorVariant, place: Place, sizeBytes: number): Promise<Running> {
  const disk = (side: 'A' | 'B') => join(place.folder, `disk-${side}`);
  const socket = join(place.folder, 'nbd-A');
  rmSync(socket, { force: true });
  const served = async (...servers: Server[]): Promise<Running> => {
    const stop = async (): Promise<void> => {
      for (const s of servers) await s.end();
      rmSync(socket, { force: true });
    };
    try {
      await servers[0]?.listening(socket);
    } catch (e) {
      await stop();
      throw e;
    }
    return { target: { socket }, pids: servers.map((s) => s.pid), stop };
  };
  switch (variant) {
    case 'raw':
      return { target: { file: disk('A') }, pids: [], stop: async () => undefined };
    case 'qemu-nbd':
      return served(startEngineTool(place, 'A', 'qemu-nbd', [...QEMU_NBD, '-k', '/mnt/nbd-A', '/mnt/disk-A']));
    case 'nbdkit':
      return served(startHost(place, 'A', 'nbdkit', ['-f', '-U', socket, '-e', 'disk0', 'file', disk('A')]));
    case 'quorum':
    case 'quorum-tls': {
      const tls = variant === 'quorum-tls' ? writePreSharedKey(place) : null;
      const ready = join(place.folder, 'quorum-ready');
      rmSync(ready, { force: true });
      const second = startEngineTool(place, 'B', 'qemu-nbd', [
        ...QEMU_NBD,
        ...(tls === null ? [] : ['--object', `${tls},endpoint=server`, '--tls-creds', 'tls']),
        ...['-b', linkAddress('B', 0), '-p', `${QUORUM_PORT}`, '--pid-file', '/mnt/quorum-ready', '/mnt/disk-B'],
      ]);
      try {
        await second.listening(ready);
      } catch (e) {
        await second.end();
        throw e;
      }
      return served(startEngineTool(place, 'A', 'qemu-storage-daemon', quorumArguments(tls)), second);
    }
    case 'solo':
    case 'one-link':
    case 'two-links':
    case 'one-plain':
    case 'two-plain':
    case 'lockstep':
      return startOurs(variant, place, sizeBytes);
    default:
      return variant satisfies never;
  }
}

const QEMU_NBD = ['-f', 'raw', '-x', 'disk0', '-t', '-e', '16', '--cache=writeback', '--aio=threads'];

const TLS_USER = 'mirror';

/** Answers QEMU's object without its endpoint. */
function writePreSharedKey(place: Place): string {
  const folder = join(place.folder, 'quorum-key');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, 'keys.psk'), `${TLS_USER}:${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  return 'tls-creds-psk,id=tls,dir=/mnt/quorum-key';
}

function quorumArguments(tls: string | null): string[] {
  const nbd = `driver=nbd,node-name=there,server.type=inet,server.host=${linkAddress('B', 0)},server.port=${QUORUM_PORT},export=disk0`;
  return [
    ...(tls === null ? [] : ['--object', `${tls},endpoint=client,username=${TLS_USER}`]),
    ...['--blockdev', 'driver=file,node-name=file,filename=/mnt/disk-A', '--blockdev', 'driver=raw,node-name=here,file=file'],
    ...['--blockdev', tls === null ? nbd : `${nbd},tls-creds=tls`],
    ...['--blockdev', 'driver=quorum,node-name=both,children.0=here,children.1=there,vote-threshold=1,read-pattern=fifo'],
    ...['--nbd-server', 'addr.type=unix,addr.path=/mnt/nbd-A', '--export', 'type=nbd,id=e,node-name=both,name=disk0,writable=on'],
  ];
}

/** Two mirrors joined and equal. Their records are removed first: other programs wrote to the disks. */
export async function startPair(
  place: Place,
  sizeBytes: number,
  options: { links?: readonly number[]; encrypted?: boolean; pairKey?: Uint8Array } = {},
): Promise<{ a: MirrorSide; b: MirrorSide; stop(): Promise<void> }> {
  const { links = [0, 1], encrypted = true, pairKey = randomBytes(32) } = options;
  removeRecords(place);
  const [a, b] = (['A', 'B'] as const).map((side) => new MirrorSide(place, side, { links, encrypted, sizeBytes, pairKey }));
  if (!a || !b) throw new Error('two sides make a pair');
  const stop = async (): Promise<void> => {
    await Promise.all([a.server.end(), b.server.end()]);
  };
  try {
    await b.mirror.call('startTarget', {});
    await a.mirror.call('serveSolo', {});
    await a.mirror.call('startSource', {});
    await a.mirror.call('resync', {}, 120_000);
    await b.mirror.call('startReplica', {});
  } catch (e) {
    await stop();
    throw e;
  }
  return { a, b, stop };
}

export function removeRecords(place: Place): void {
  for (const side of ['A', 'B'])
    for (const what of ['0', '1', 'regions', 'scratch']) rmSync(join(place.folder, `journal-${side}.${what}`), { force: true });
}

async function startOurs(variant: MirrorVariant, place: Place, sizeBytes: number): Promise<Running> {
  if (variant === 'solo') {
    removeRecords(place);
    const a = new MirrorSide(place, 'A', { links: [0, 1], encrypted: true, sizeBytes, pairKey: randomBytes(32) });
    await a.mirror.call('serveSolo', {});
    return { target: { socket: a.socketPath }, pids: [a.server.pid], stop: () => a.server.end() };
  }
  const isOne = variant === 'one-link' || variant === 'one-plain';
  const isPlain = variant === 'one-plain' || variant === 'two-plain';
  const { a, b, stop } = await startPair(place, sizeBytes, { links: isOne ? [0] : [0, 1], encrypted: !isPlain });
  // Its requests are held from then on: whoever measures should hear of it instead.
  a.mirror.on('lost', ({ reason }) => {
    process.stderr.write(`${variant}: the partner was lost: ${reason}\n`);
    void a.server.end('SIGKILL');
  });
  const endCheckpoints = variant === 'lockstep' ? checkpoints(a, b) : async () => undefined;
  return {
    target: { socket: a.socketPath },
    pids: [a.server.pid, b.server.pid],
    stop: async () => {
      await endCheckpoints();
      await stop();
    },
  };
}

/**
 * What the memory stream does at each checkpoint. There the guest stands, and what it wrote has ended; here it writes on, so an
 * interval is committed only after all of the next one has passed.
 */
function checkpoints(a: MirrorSide, b: MirrorSide): () => Promise<void> {
  let interval = 1;
  a.setInterval(interval);
  let under: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    under = under.then(async () => {
      const ended = interval - 1;
      interval++;
      a.setInterval(interval);
      if (ended === 0) return;
      await b.commit.call('decide', { interval: ended });
      await b.commit.call('apply', { interval: ended });
    });
    under.catch(() => clearInterval(timer));
  }, CHECKPOINT_EVERY_MS);
  return async () => {
    clearInterval(timer);
    await under.catch(() => undefined);
  };
}
