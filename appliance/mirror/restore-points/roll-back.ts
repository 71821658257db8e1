// The disk is made as a restore point was: only what was written since can differ, and only what does is written.
//
//   keep how it is now (a point of kind `rollback`) -> read all that the point keeps -> durable: "rolling back" -> write -> flush -> durable: over
//
// Cut short after the mark, it is done again from the start before anything may run on the disk: every step can be repeated, as the
// point does not change. What is written is suspect like any write of one that runs alone: the next resync makes the partner's copy equal.
import type { Metadata } from '../metadata.ts';
import { PointReader } from './point-reader.ts';
import type { PointStore } from './point-store.ts';
import { GRAIN_BYTES } from './segment-codec.ts';

/** Grains at a time: one is read while another is written. */
const PARALLEL = 8;
const TELL_EVERY_MS = 250;

export interface RollBackParts {
  points: PointStore;
  metadata: Metadata;
  /** Ends it at the next grain; it is finished before the disk is served. */
  signal: AbortSignal;
  onProgress(p: { name: string; doneBytes: number; totalBytes: number; rateBytesPerS: number }): void;
}

/** Sets the mark: nothing was written before it ends. Rejects when the point cannot be read, with nothing changed. */
export async function beginRollBack(points: PointStore, id: string, signal: AbortSignal): Promise<void> {
  const entry = points.points.find((p) => p.id === id);
  if (!entry) throw new Error('there is no such restore point here');
  const end = points.use(id);
  try {
    const reader = new PointReader(points, id);
    await each(reader.changed(), signal, async (grain) => {
      await reader.read(grain * GRAIN_BYTES, lengthOf(points, grain));
    });
    await points.setRollingBack({ id, name: entry.name });
  } finally {
    end();
  }
}

/** What the mark says, from the start. Answers the bytes that differed. */
export async function finishRollBack({
  points,
  metadata,
  signal,
  onProgress,
}: RollBackParts): Promise<{ name: string; writtenBytes: number }> {
  const to = points.catalogue.rollingBack;
  if (!to) throw new Error('the disk is not being rolled back');
  let writtenBytes = 0;
  let done = 0;
  let toldMs = performance.now();
  const startedMs = toldMs;
  const end = points.use(to.id);
  try {
    const reader = new PointReader(points, to.id);
    const grains = reader.changed();
    const tell = (): void => {
      toldMs = performance.now();
      const seconds = (toldMs - startedMs) / 1000;
      const doneBytes = done * GRAIN_BYTES;
      onProgress({
        name: to.name,
        doneBytes,
        totalBytes: grains.length * GRAIN_BYTES,
        rateBytesPerS: seconds > 0 ? doneBytes / seconds : 0,
      });
    };
    await each(grains, signal, async (grain) => {
      const [offset, length] = [grain * GRAIN_BYTES, lengthOf(points, grain)];
      const then = await reader.read(offset, length);
      // A block that cannot be read is written as well: that may mend it.
      const now = await points.read(offset, length).catch(() => null);
      if (!now?.equals(then)) {
        await metadata.begin(offset, length, 0);
        try {
          await points.write(offset, then);
        } finally {
          metadata.end(offset, length);
        }
        writtenBytes += length;
      }
      done++;
      if (performance.now() - toldMs >= TELL_EVERY_MS) tell();
    });
    tell();
  } catch (e) {
    if (signal.aborted) throw new Error(`rolling back to '${to.name}' was interrupted: it is finished before the workload starts`);
    throw new Error(
      `rolling back to '${to.name}' failed, and the disk must not be used until it is rolled back to some point: ${(e as Error).message}`,
    );
  } finally {
    end();
  }
  await points.flush();
  await points.setRollingBack(null);
  return { name: to.name, writtenBytes };
}

async function each(grains: readonly number[], signal: AbortSignal, work: (grain: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let c = grains[next++]; c !== undefined; c = grains[next++]) {
      signal.throwIfAborted();
      await work(c);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

const lengthOf = (points: PointStore, grain: number): number => Math.min(GRAIN_BYTES, points.sizeBytes - grain * GRAIN_BYTES);
