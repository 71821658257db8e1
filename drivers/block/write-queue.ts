// The writes of one turn of the event loop go to the thread pool as one job: waking a thread costs several times what a write to
// the page cache takes. While as many jobs run as may, what comes next gathers for the following one.
import { getSystemErrorName } from 'node:util';
import { native } from './native.ts';

/** At a time: a disk has its writes done in parallel, and leaves threads for everybody else's requests. */
const JOBS = 4;
/** Of one job: a large write should not hold up the end of many small ones for long. */
const JOB_BYTES = 512 * 1024;
const JOB_WRITES = 64;

/** How a write ended: undefined is well. */
export type WriteEnded = (e: NodeJS.ErrnoException | undefined) => void;

interface Waiting {
  position: number;
  bytes: number;
  parts: readonly Uint8Array[];
  ended: WriteEnded;
}

export class WriteQueue {
  readonly #fd: number;
  #waiting: Waiting[] = [];
  #jobs = 0;
  #scheduled = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** `ended` when all of it was taken by the system, or with the system's error; never before this returns. */
  write(position: number, bytes: number, parts: readonly Uint8Array[], ended: WriteEnded): void {
    this.#waiting.push({ position, bytes, parts, ended });
    if (this.#scheduled || this.#jobs >= JOBS) return;
    this.#scheduled = true;
    setImmediate(this.#begin);
  }

  readonly #begin = (): void => {
    this.#scheduled = false;
    this.#start();
  };

  #start(): void {
    while (this.#jobs < JOBS && this.#waiting.length > 0) {
      let count = 0;
      let bytes = 0;
      for (const w of this.#waiting) {
        if (count > 0 && (count >= JOB_WRITES || bytes + w.bytes > JOB_BYTES)) break;
        bytes += w.bytes;
        count++;
      }
      const job = count === this.#waiting.length ? this.#waiting : this.#waiting.splice(0, count);
      if (job === this.#waiting) this.#waiting = [];
      this.#run(job);
    }
  }

  #run(job: readonly Waiting[]): void {
    this.#jobs++;
    const positions: number[] = [];
    const counts: number[] = [];
    const parts: Uint8Array[] = [];
    for (const w of job) {
      positions.push(w.position);
      counts.push(w.parts.length);
      for (const p of w.parts) parts.push(p);
    }
    const over = (errors: readonly number[] | null, failed: NodeJS.ErrnoException | undefined): void => {
      this.#jobs--;
      this.#start();
      for (let i = 0; i < job.length; i++) {
        const errno = errors?.[i] ?? 0;
        job[i]?.ended(failed ?? (errno === 0 ? undefined : systemError(errno)));
      }
    };
    try {
      native()
        .writeMany(this.#fd, positions, counts, parts)
        .then(
          (errors) => over(errors, undefined),
          (e: NodeJS.ErrnoException) => over(null, e),
        );
    } catch (e) {
      // Whoever asked hears of it in a later turn, as of every other end.
      queueMicrotask(() => over(null, e as NodeJS.ErrnoException));
    }
  }
}

function systemError(errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${code}: write failed`), { code, errno: -errno, syscall: 'pwritev' });
}
