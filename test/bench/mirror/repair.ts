// What an outage costs afterwards: how fast the missed bytes are made good, whether anything else is copied, and how the guest's writes
// fare meanwhile. And what the durable records cost: a first write to a cold extent, going on alone, a takeover.
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { NbdClient } from '../../../drivers/nbd/index.ts';
import { quantile } from '../reading.ts';
import { WritingGuest } from './guest.ts';
import { MirrorSide, type Place } from './servers.ts';
import { removeRecords, startPair } from './variants.ts';

const MIB = 1024 * 1024;
const EXTENT_BYTES = 4 * MIB;
/** Dirtied while the partner is away: about 1 GB, whole extents, so that what is copied can be compared with it. */
const MISSED_BYTES = 256 * EXTENT_BYTES;
const GUEST_BYTES = 64 * MIB;
const DISK_BYTES = GUEST_BYTES + MISSED_BYTES + 128 * MIB;
const COLD_WRITES = 24;
const OVERLAY_WRITES = 2_000;
/** Of the guest that is timed: a database that commits. */
const GUEST_DEPTH = 1;
const QUIET_WRITES = 1_000;

export interface Repair {
  missedBytes: number;
  comparedBytes: number;
  copiedBytes: number;
  seconds: number;
  commandedBytesPerS: number | null;
  /** Of the guest's writes before and during it, ms. Null: it did not write. */
  quietP95Ms: number | null;
  duringP95Ms: number | null;
}

export interface Costs {
  /** A write to an extent that nobody wrote to for long, and the next one to it. */
  coldWriteP50Ms: number;
  hotWriteP50Ms: number;
  /** Of so many separate pieces of 4 KiB in the overlay. */
  takeOverPieces: number;
  takeOverMs: number;
}

/** Two resyncs of the same size: at a commanded rate with a guest that is quiet, and at its own rate beside a guest that writes. */
export async function measureRepair(
  place: Place,
  commandedBytesPerS: number,
  shape: (mbitPerS: number | null) => Promise<void>,
  say: (line: string) => void,
): Promise<{ repairs: Repair[]; costs: Costs }> {
  const own: Place = { ...place, folder: join(place.folder, 'repair') };
  mkdirSync(own.folder, { recursive: true });
  removeRecords(own);
  const pairKey = randomBytes(32);
  const pair = await startPair(own, DISK_BYTES, { pairKey });
  let b = pair.b;
  const { a } = pair;
  const outage = async (): Promise<void> => {
    await b.server.end('SIGKILL');
    await a.mirror.call('goSolo', {});
    const client = await NbdClient.connect(a.socketPath, 'disk0');
    await writeAll(client, GUEST_BYTES, MISSED_BYTES);
    await client.close();
    b = new MirrorSide(own, 'B', { links: [0, 1], encrypted: true, sizeBytes: DISK_BYTES, pairKey });
    await b.mirror.call('startTarget', {});
    await a.mirror.call('startSource', {});
  };
  try {
    const cold = await measureCold(a);
    say(`${Math.round(MISSED_BYTES / 1e6)} MB are written while the partner is away, then resynced at ${commandedBytesPerS / 1e6} MB/s`);
    await outage();
    const commanded = await resynced(a, commandedBytesPerS);
    say('the same once more beside a guest that writes, links of 1 Gbit/s');
    await outage();
    await shape(1000);
    const guest = await WritingGuest.start(a.socketPath, GUEST_BYTES, GUEST_DEPTH);
    await guest.more(QUIET_WRITES);
    const quiet = p95(guest);
    guest.written.length = 0;
    const free = await resynced(a, null);
    const during = p95(guest);
    await guest.stop();
    await shape(null);
    const repairs = [commanded, { ...free, quietP95Ms: quiet, duringP95Ms: during }];
    await b.mirror.call('startReplica', {});
    const takeOverMs = await measureTakeOver(a, b);
    return { repairs, costs: { ...cold, takeOverPieces: OVERLAY_WRITES, takeOverMs } };
  } finally {
    await Promise.all([a.server.end('SIGKILL'), b.server.end('SIGKILL')]);
    rmSync(own.folder, { recursive: true, force: true });
  }
}

async function resynced(a: MirrorSide, commandedBytesPerS: number | null): Promise<Repair> {
  const beganMs = performance.now();
  const limit = commandedBytesPerS === null ? {} : { maximumBytesPerS: commandedBytesPerS };
  const { comparedBytes, copiedBytes } = await a.mirror.call('resync', limit, Infinity);
  const seconds = (performance.now() - beganMs) / 1000;
  return { missedBytes: MISSED_BYTES, comparedBytes, copiedBytes, seconds, commandedBytesPerS, quietP95Ms: null, duringP95Ms: null };
}

/** New content for each block: nothing is equal by chance. */
async function writeAll(client: NbdClient, offset: number, bytes: number): Promise<void> {
  let next = 0;
  const writer = async (): Promise<void> => {
    for (let at = next; at < bytes; at = next) {
      next += MIB;
      await client.write(offset + at, randomBytes(MIB));
    }
  };
  await Promise.all([writer(), writer(), writer(), writer()]);
}

function p95(guest: WritingGuest): number {
  const sorted = guest.written.map((w) => w.tookMs).sort((x, y) => x - y);
  return quantile(sorted, 0.95) ?? Number.NaN;
}

async function measureCold(a: MirrorSide): Promise<Pick<Costs, 'coldWriteP50Ms' | 'hotWriteP50Ms'>> {
  const client = await NbdClient.connect(a.socketPath, 'disk0');
  const data = randomBytes(4096);
  const times = { cold: [] as number[], hot: [] as number[] };
  const timed = async (list: number[], offset: number): Promise<void> => {
    const beganMs = performance.now();
    await client.write(offset, data);
    list.push(performance.now() - beganMs);
  };
  for (let i = 0; i < COLD_WRITES; i++) {
    const offset = DISK_BYTES - (i + 1) * EXTENT_BYTES;
    await timed(times.cold, offset);
    await timed(times.hot, offset + 8192);
  }
  await client.close();
  const median = (list: number[]): number =>
    quantile(
      list.sort((x, y) => x - y),
      0.5,
    ) ?? Number.NaN;
  return { coldWriteP50Ms: median(times.cold), hotWriteP50Ms: median(times.hot) };
}

/** The primary dies with the secondary's own writes in its overlay, all over the disk. */
async function measureTakeOver(a: MirrorSide, b: MirrorSide): Promise<number> {
  a.setInterval(1);
  const client = await NbdClient.connect(b.socketPath, 'disk0');
  const data = randomBytes(4096);
  const step = Math.floor(DISK_BYTES / OVERLAY_WRITES / 4096) * 4096;
  for (let i = 0; i < OVERLAY_WRITES; i++) await client.write(i * step, data);
  await a.server.end('SIGKILL');
  const beganMs = performance.now();
  await b.mirror.call('takeOver', {});
  const ms = performance.now() - beganMs;
  await client.close();
  return ms;
}
