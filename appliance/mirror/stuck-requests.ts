// What was given up waiting for: requests of disks that have not returned. Each holds a thread of the pool that all threads of this process
// share, and what it writes late must not hit a copy that was made anew.
import { StoreError } from '../../drivers/block/index.ts';

/**
 * What has to end at the closing of a copy, and is not watched as a disk is (a list, a mark, the folder of the restore points), is waited
 * for no longer: as long as a before-image is waited for. With a disk that hangs the closing still ends within some of these.
 */
export const CLOSE_WITHIN_MS = 5_000;

/** By disk or file. */
const stuck = new Map<string, number>();

/** Throws if an earlier life of this disk or file has requests that never returned. */
export function mustBeDrained(path: string): void {
  const requests = stuck.get(path) ?? 0;
  if (requests > 0)
    throw new StoreError('setup', 'open', 0, `the disk ${path} still does not answer: ${requests} earlier requests have not returned`);
}

/** All of them, of all disks: each holds a thread of the pool. */
export function stuckRequests(): number {
  let requests = 0;
  for (const n of stuck.values()) requests += n;
  return requests;
}

export function addStuck(path: string, requests: number): void {
  if (requests > 0) stuck.set(path, (stuck.get(path) ?? 0) + requests);
}

/** One has returned late. */
export function endStuck(path: string): void {
  const left = (stuck.get(path) ?? 1) - 1;
  if (left > 0) stuck.set(path, left);
  else stuck.delete(path);
}

/** Nobody waits for it any more: it counts as one stuck request until it ends, well or not. */
export function giveUpWaiting(path: string, work: Promise<unknown>): void {
  addStuck(path, 1);
  work.then(
    () => endStuck(path),
    () => endStuck(path),
  );
}

/** Ends with the work, well or not, or when the time is over: then it is given up. False: it was. */
export async function endsWithin(path: string, work: Promise<unknown>, limitMs: number = CLOSE_WITHIN_MS): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  const ended = work.then(
    () => true as const,
    () => true as const,
  );
  const isOver = await Promise.race([ended, late]);
  clearTimeout(timer);
  if (!isOver) giveUpWaiting(path, work);
  return isOver;
}
