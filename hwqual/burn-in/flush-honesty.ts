// Does "flushed" mean that it is on the disk? What can be said without cutting the power. Pure.
//
// A disk with a volatile cache must do something when it is told to flush. A rotating one must move: half a turn at 15,000/min are 2 ms.
// An answer in less than 50 µs, or in the time of a write without a flush, cannot be. Where a capacitor or a battery stands behind the
// cache both are possible and right: then the disk says "write through", or only a power cut tells (power-cut.ts).
//
//   flush refused                                   suspicious
//   no volatile cache, by its own word              not known
//   virtual, or no device below that tells          not known
//   volatile cache, rotating, < 50 µs               suspicious     < 1 ms   not known (a battery?)
//   volatile cache, flush costs nothing             suspicious
//   else                                            honest

export interface DiskKind {
  /** "/dev/sda"; null: no device was found below. */
  device: string | null;
  model: string | null;
  rotational: boolean | null;
  writeCache: 'write back' | 'write through' | null;
  /** Somebody else's disk behind it: virtio, a loop device, a network. */
  virtual: boolean;
}

export interface FlushJudgement {
  honesty: 'honest' | 'suspicious' | 'notKnown';
  reason: string;
  samples: number;
  writeUs: number | null;
  flushUs: number | null;
}

const ROTATING_NEVER_US = 50;
const ROTATING_HARDLY_US = 1_000;
/** A flush that costs less than this of a write alone, and less than some µs, did nothing. */
const NOTHING_SHARE = 0.1;
const NOTHING_US = 20;
const SAMPLES_MIN = 16;

export function judgeFlush(kind: DiskKind, alone: readonly number[], flushed: readonly number[]): FlushJudgement {
  const samples = Math.min(alone.length, flushed.length);
  const writeUs = median(alone);
  const both = median(flushed);
  const flushUs = writeUs === null || both === null ? null : Math.max(0, both - writeUs);
  const say = (honesty: FlushJudgement['honesty'], reason: string): FlushJudgement => ({
    honesty,
    reason,
    samples,
    writeUs: writeUs === null ? null : Math.round(writeUs),
    flushUs: flushUs === null ? null : Math.round(flushUs),
  });
  if (samples < SAMPLES_MIN || writeUs === null || both === null || flushUs === null)
    return say('notKnown', `only ${samples} flushes were measured, ${SAMPLES_MIN} are needed`);
  const cut = 'only a power cut tells (--phase write, cut the power, --phase verify)';
  if (kind.device === null) return say('notKnown', `no device was found below the file system: ${cut}`);
  const name = kind.model === null ? kind.device : `${kind.device} (${kind.model})`;
  if (kind.virtual) return say('notKnown', `${name} is a virtual disk, its host decides what a flush is: ${cut}`);
  if (kind.writeCache === 'write through')
    return say('notKnown', `${name} says that it has no volatile cache, so a flush has nothing to do: ${cut}`);
  if (kind.writeCache === null) return say('notKnown', `${name} does not tell whether it has a volatile cache: ${cut}`);
  if (kind.rotational === true && both < ROTATING_NEVER_US)
    return say(
      'suspicious',
      `${name} rotates and says "flushed" ${Math.round(both)} µs after a write: it cannot have been there. Switch its cache off (hdparm -W 0), or replace it`,
    );
  if (flushUs < NOTHING_US && flushUs < writeUs * NOTHING_SHARE)
    return say(
      'suspicious',
      `${name} has a volatile cache, and a flush costs it nothing (${Math.round(flushUs)} µs beside ${Math.round(writeUs)} µs for a write): ${cut}`,
    );
  if (kind.rotational === true && both < ROTATING_HARDLY_US)
    return say('notKnown', `${name} rotates and flushes within ${Math.round(both)} µs: right only with a battery behind its cache: ${cut}`);
  return say('honest', `a flush of ${name} takes ${Math.round(flushUs)} µs beside ${Math.round(writeUs)} µs for a write alone`);
}

export function median(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? null;
}
