// Two mirrors, as their worker threads run them, joined by a channel in memory, on files in a directory of their own.
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import type { CommitCommands, MirrorCommands, MirrorEvents, MirrorSetup, PointsSetup } from '../../../../appliance/mirror/api.ts';
import type { MetadataScale } from '../../../../appliance/mirror/metadata.ts';
import { runMirrorWorker } from '../../../../appliance/mirror/worker.ts';
import { IntervalCounter } from '../../../../appliance/wire/interval.ts';
import { Caller } from '../../../../appliance/wire/rpc.ts';
import { type BlockStore, FileStore, type FileStoreOptions } from '../../../../drivers/block/index.ts';
import { type FakePair, fakePair } from '../../../../drivers/link/fake.ts';
import type { Channel } from '../../../../drivers/link/index.ts';
import { NbdClient } from '../../../../drivers/nbd/index.ts';

export interface Side {
  mirror: Caller<MirrorCommands, MirrorEvents>;
  commit: Caller<CommitCommands, Record<string, never>>;
  interval: IntervalCounter;
  setup: MirrorSetup;
  lost: string[];
  diskErrors: string[];
  repaired: MirrorEvents['repaired'][];
  unreadable: MirrorEvents['blockUnreadable'][];
  sumsUnknown: string[];
  connect(): Promise<NbdClient>;
  disk(): Buffer;
  end(): void;
}

export interface PairOptions {
  sizeBytes: number;
  openStore?: (options: FileStoreOptions) => Promise<BlockStore>;
  scale?: MetadataScale;
  /** As in surroundings.ts. */
  holds?: { quarantineMs?: number; aloneErrorMs?: number };
  points?: PointsSetup;
  /** Of both sides. */
  setup?: Pick<MirrorSetup, 'timeoutMs' | 'acknowledgeMs' | 'scrub'>;
  pairId?: string;
  /** An engine that outlived an earlier process is expected on both. */
  isAwaited?: boolean;
  isWriteThrough?: boolean;
}

export class MirrorPair {
  readonly directory = mkdtempSync(join(tmpdir(), 'mirror-'));
  readonly fake: FakePair = fakePair();
  readonly a: Side;
  readonly b: Side;
  readonly #pairKey = randomBytes(32);
  readonly #clients: NbdClient[] = [];

  constructor(options: PairOptions) {
    this.a = this.#side('A', this.fake.a, options);
    this.b = this.#side('B', this.fake.b, options);
  }

  /** Both open, B equal to A and following as a replica in interval 0. */
  async protect(): Promise<void> {
    await this.equalise();
    await this.b.mirror.call('startReplica', {});
  }

  /** A serves alone, then as source; B is its target, equal. */
  async equalise(): Promise<void> {
    await this.a.mirror.call('open', {});
    await this.a.mirror.call('serveSolo', {});
    await this.b.mirror.call('open', {});
    await this.b.mirror.call('startTarget', {});
    await this.a.mirror.call('startSource', {});
    await this.a.mirror.call('resync', {});
  }

  /** A checkpoint as the memory stream makes it: the guests are stopped, nothing is under way. */
  async checkpoint(): Promise<void> {
    const n = this.a.interval.current;
    this.a.interval.current = n + 1;
    await this.b.commit.call('decide', { interval: n });
    await this.b.commit.call('apply', { interval: n });
  }

  async end(): Promise<void> {
    for (const c of this.#clients) c.destroy();
    await Promise.all([this.a.mirror.call('close', {}), this.b.mirror.call('close', {})]);
    this.a.end();
    this.b.end();
    rmSync(this.directory, { recursive: true });
  }

  #side(name: 'A' | 'B', channel: Channel, options: PairOptions): Side {
    const main = new MessageChannel();
    const commit = new MessageChannel();
    const interval = new IntervalCounter();
    const setup: MirrorSetup = {
      channel: { stream: 'disk', side: name, links: [], pairKey: this.#pairKey },
      interval: interval.buffer,
      diskPath: join(this.directory, `disk-${name}`),
      sizeBytes: options.sizeBytes,
      journalPath: join(this.directory, `journal-${name}`),
      socketPath: join(this.directory, name, 'nbd'),
      ...(options.points ? { points: options.points } : {}),
      ...options.setup,
      ...(options.pairId ? { pairId: options.pairId } : {}),
      ...(options.isAwaited ? { isAwaited: true } : {}),
      isWriteThrough: options.isWriteThrough ?? false,
    };
    mkdirSync(join(this.directory, name));
    runMirrorWorker(setup, main.port1, commit.port1, {
      openChannel: () => channel,
      openStore: options.openStore ?? ((o) => FileStore.open(o)),
      ...(options.scale ? { scale: options.scale } : {}),
      ...(options.holds ? { holds: options.holds } : {}),
    });
    const side: Side = {
      mirror: new Caller(`mirror ${name}`, main.port2),
      commit: new Caller(`commit ${name}`, commit.port2),
      interval,
      setup,
      lost: [],
      diskErrors: [],
      repaired: [],
      unreadable: [],
      sumsUnknown: [],
      connect: async () => {
        const client = await NbdClient.connect(setup.socketPath, 'disk0');
        this.#clients.push(client);
        return client;
      },
      disk: () => readFileSync(setup.diskPath),
      end: () => {
        main.port1.close();
        commit.port1.close();
      },
    };
    side.mirror.on('lost', ({ reason }) => side.lost.push(reason));
    side.mirror.on('diskError', ({ message }) => side.diskErrors.push(message));
    side.mirror.on('repaired', (e) => side.repaired.push(e));
    side.mirror.on('blockUnreadable', (e) => side.unreadable.push(e));
    side.mirror.on('sumsUnknown', ({ reason }) => side.sumsUnknown.push(reason));
    return side;
  }
}

/** Ends when `condition` holds; an event is awaited by looking at it every turn of the event loop. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
